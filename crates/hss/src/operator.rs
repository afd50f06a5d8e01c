//! Carries out what an operator asks over the control socket.

mod edit;
mod show;

use std::sync::Arc;

use aka::Sqn;
use node::control::{Asked, ReplyTo};
use zeroize::Zeroizing;

use crate::control::{Added, Changed, Existing, List, Request, RequestError, Row, Told, user};
use crate::store::{IfPresent, Inserted, Key, Loaded, Store};
use crate::{Delivery, Hss, NewSubscription, OperationError, Report, Subscription, csv, subscriptions};

/// Answers when the store, and the S-CSCFs that must hear of it, have.
pub fn carry_out<S: Store>(hss: &Hss<S>, asked: Asked<Request>) {
    let Asked { request, reply } = asked;
    match request {
        Request::Add { header, rows, existing } => match read(&header, &rows) {
            Ok(new) => add(hss, new, existing, reply),
            Err(error) => reply.refuse(&error),
        },
        Request::List { after, most } => list(hss, after, most, reply),
        Request::Show { user } => with_user(&user, reply, |key, reply| {
            hss.store().load(
                key,
                Box::new(move |loaded| match loaded {
                    Ok(Some(loaded)) => reply.done(&show::shown(&loaded)),
                    Ok(None) => reply.refuse(&OperationError::UnknownSubscriber),
                    Err(error) => reply.refuse(&error),
                }),
            );
        }),
        Request::Remove { user } => {
            with_user(&user, reply, |key, reply| hss.remove(key, Box::new(|report| answer(reply, report))));
        }
        Request::Change { user, change } => {
            with_user(&user, reply, |key, reply| match edit::edit(&key, &change) {
                Ok(edit) => hss.change_profile(key, edit, Box::new(|report| answer(reply, report))),
                Err(error) => reply.refuse(&error),
            })
        }
        Request::Deregister { user, reason, info } => with_user(&user, reply, |key, reply| {
            let info = info.as_deref().map(Arc::from);
            hss.deregister(key, reason.into(), info, Box::new(|report| answer(reply, report)));
        }),
        Request::SetSqn { user, sqn } => with_user(&user, reply, |key, reply| set_sqn(hss, key, &sqn, reply)),
    }
}

fn with_user(text: &str, reply: ReplyTo, go_on: impl FnOnce(Key, ReplyTo)) {
    match user(text) {
        Ok(key) => go_on(key, reply),
        Err(error) => reply.refuse(&error),
    }
}

/// The subscriptions of some rows. The texts fit after "failed to …".
fn read(header: &str, rows: &[Row]) -> Result<Vec<NewSubscription>, Box<dyn std::fmt::Display>> {
    if rows.len() > crate::control::MOST_ROWS {
        return Err(Box::new(RequestError::TooManyRows));
    }
    let octets = header.len() + 1 + rows.iter().map(|row| row.text.len() + 1).sum::<usize>();
    let mut text = Zeroizing::new(String::with_capacity(octets));
    for line in std::iter::once(header).chain(rows.iter().map(|row| row.text.as_str())) {
        // A line end in a row would count its lines wrongly.
        if line.contains(['\n', '\r']) {
            return Err(Box::new("read a row: it has a line end in it"));
        }
        text.push_str(line);
        text.push('\n');
    }
    let imported = csv::parse(text.as_bytes()).map_err(|(line, error)| {
        let row = usize::try_from(line).ok().and_then(|line| rows.get(line.checked_sub(2)?));
        let place = row.map_or_else(|| "the header".to_owned(), |row| format!("line {}", row.line));
        Box::new(format!("read {place}: {error}")) as Box<dyn std::fmt::Display>
    })?;
    subscriptions(imported).map_err(|error| Box::new(error) as _)
}

fn add<S: Store>(hss: &Hss<S>, new: Vec<NewSubscription>, existing: Existing, reply: ReplyTo) {
    let present = match existing {
        Existing::Replace => return replace(hss.clone(), new, Added::default(), reply),
        Existing::Refuse => IfPresent::Fail,
        Existing::Keep => IfPresent::Skip,
    };
    let done = move |inserted: Result<Inserted, _>| match inserted {
        Ok(Inserted { inserted, present, .. }) => {
            reply.done(&Added { added: inserted, kept: present, replaced: 0 })
        }
        Err(error) => reply.refuse(&error),
    };
    hss.store().insert(new, present, Box::new(done));
}

/// One after the other, the last first: each may have to be looked at again because its S-CSCF was faster.
fn replace<S: Store>(hss: Hss<S>, mut new: Vec<NewSubscription>, so_far: Added, reply: ReplyTo) {
    let Some(one) = new.pop() else { return reply.done(&so_far) };
    let next = hss.clone();
    hss.put(
        one,
        Box::new(move |put| match put {
            Ok(replaced) => {
                let (added, replaced) = (usize::from(!replaced), usize::from(replaced));
                let so_far =
                    Added { added: so_far.added + added, replaced: so_far.replaced + replaced, ..so_far };
                replace(next, new, so_far, reply);
            }
            Err(error) => reply.refuse(&error),
        }),
    );
}

fn list<S: Store>(hss: &Hss<S>, after: Option<i64>, most: usize, reply: ReplyTo) {
    let most = most.clamp(1, Subscription::MOST_AT_ONCE);
    let other = hss.clone();
    let listed = move |found: Result<Vec<Loaded>, _>| {
        let found = match found {
            Ok(found) => found,
            Err(error) => return reply.refuse(&error),
        };
        let next = if found.len() == most { found.last().map(|last| last.id.0) } else { None };
        let users = found.iter().map(show::shown).collect();
        other.store().count(Box::new(move |counts| match counts {
            Ok(counts) => reply.done(&List { subscribers: counts.private_identities, users, next }),
            Err(error) => reply.refuse(&error),
        }));
    };
    hss.store().list(after.map(crate::store::SubscriptionId), most, Box::new(listed));
}

fn set_sqn<S: Store>(hss: &Hss<S>, key: Key, sqn: &str, reply: ReplyTo) {
    let (impi, sqn) = match (key, Sqn::from_hex(sqn)) {
        (Key::Impi(impi), Ok(sqn)) => (impi, sqn),
        (Key::Impu(_), _) => return reply.refuse(&RequestError::SqnOfImpu),
        (_, Err(_)) => return reply.refuse(&RequestError::Sqn),
    };
    let done = move |set| match set {
        Ok(true) => reply.done(&Changed { impus: Vec::new(), told: Vec::new() }),
        Ok(false) => reply.refuse(&OperationError::UnknownSubscriber),
        Err(error) => reply.refuse(&error),
    };
    hss.store().set_sqn(impi, sqn, Box::new(done));
}

fn answer(reply: ReplyTo, report: Result<Report, OperationError>) {
    match report {
        Ok(Report { impus, told }) => {
            let told = told.into_iter().map(|told| Told {
                host: told.to.host,
                message: told.message.to_owned(),
                result: match told.delivery {
                    Delivery::Delivered => "delivered".to_owned(),
                    Delivery::Unreachable(error) => format!("not delivered: failed to {error}"),
                    Delivery::Refused(failure) => format!("refused: failed to {failure}"),
                },
            });
            let impus = impus.iter().map(|impu| impu.as_str().to_owned()).collect();
            reply.done(&Changed { impus, told: told.collect() });
        }
        Err(error) => reply.refuse(&error),
    }
}
