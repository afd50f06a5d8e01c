//! The HSS's answers for a person.

use std::fmt::Write;

use hss::control::{Added, Changed, List, Shown, ShownPrivate, ShownPublic};

pub(super) fn added(added: &Added) -> String {
    format!("{} added, {} replaced, {} left as they were\n", added.added, added.replaced, added.kept)
}

pub(super) fn listed(list: &List) -> String {
    let mut out = String::new();
    for subscription in &list.users {
        for private in &subscription.private {
            let _ = writeln!(out, "{}", private.impi);
        }
        subscription.public.iter().for_each(|public| identity(&mut out, public));
    }
    let listed: usize = list.users.iter().map(|subscription| subscription.private.len()).sum();
    let _ = writeln!(out, "{listed} of {} subscribers", list.subscribers);
    if let Some(next) = list.next {
        let _ = writeln!(out, "more with --after {next}");
    }
    out
}

pub(super) fn shown(shown: &Shown) -> String {
    let mut out = String::new();
    for private in &shown.private {
        let ShownPrivate { impi, algorithm, amf, sqn } = private;
        let _ = writeln!(out, "{impi}  {algorithm}, AMF {amf}, SQN {sqn}");
    }
    shown.public.iter().for_each(|public| identity(&mut out, public));
    for set in &shown.sets {
        for criteria in &set.criteria {
            let _ = writeln!(out, "  set {}  {criteria}", set.number);
        }
    }
    if shown.anonymous != "none" {
        let _ = writeln!(out, "  anonymous: {}", shown.anonymous);
    }
    if shown.reassignment_pending {
        out.push_str("  another S-CSCF may take the user over\n");
    }
    out
}

fn identity(out: &mut String, public: &ShownPublic) {
    let mut words = vec![format!("set {}", public.set), public.state.clone()];
    words.extend(public.barred.then(|| "barred".to_owned()));
    words.extend(public.server_name.as_ref().map(|name| format!("at {name}")));
    if !public.registered_by.is_empty() {
        words.push(format!("by {}", public.registered_by.join(" ")));
    }
    if !public.pending.is_empty() {
        words.push(format!("challenged: {}", public.pending.join(" ")));
    }
    let _ = writeln!(out, "  {}  {}", public.impu, words.join(", "));
}

pub(super) fn changed(what: &str, changed: &Changed) -> String {
    let mut out = String::new();
    for impu in &changed.impus {
        let _ = writeln!(out, "{impu}: {what}");
    }
    if changed.impus.is_empty() {
        out.push_str("nothing was registered, or no identity has changed for anybody\n");
    }
    for told in &changed.told {
        let _ = writeln!(out, "  {} to {}: {}", told.message, told.host, told.result);
    }
    out
}
