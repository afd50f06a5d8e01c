//! MESSAGE and whole calls between the users of two operators and a stranger, with every kind of privacy: what crossed
//! each border and what the called one saw, as the links carried it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use hiding::{Hiding, Key, Keys};
use lab::{Border, Captured, Link, Operator, Recording, plan};
use netns_tests::{Phone, Stage, Stranger, assert_no_kernel_errors, carried, certify, watch};
use sip::{Message, Method, Name};
use trust::WithoutPrivacy;
use ue::core::ReceivedRequest;

const A: Operator = Operator::FIRST;
const B: Operator = Operator::SECOND;
const A1: Phone = Phone(A, 0);
const A2: Phone = Phone(A, 1);
const B1: Phone = Phone(B, 0);
const B2: Phone = Phone(B, 1);

const PRIVACIES: [Option<&str>; 6] =
    [None, Some("none"), Some("id"), Some("user"), Some("id;critical"), Some("header;critical")];

fn tag(direction: &str, privacy: Option<&str>, kind: &str) -> String {
    format!("{direction}-{}-{kind}.", privacy.unwrap_or("absent").replace(';', "+"))
}

/// Of a value that cannot be provided.
fn is_refused(privacy: Option<&str>) -> bool {
    privacy == Some("header;critical")
}

fn asks(privacy: Option<&str>, value: &str) -> bool {
    privacy.is_some_and(|privacy| privacy.split(';').any(|word| word == value))
}

/// A hides its nodes; B sends the identity of who says nothing of privacy to everybody. Between them TCP in clear, each
/// believing the other's address: so the capture shows what crosses.
fn stage() -> Result<Stage> {
    watch();
    let b = Border { without_privacy: WithoutPrivacy::Send, ..Border::default() };
    Stage::start([Border { hides: true, ..Border::default() }, b])
}

fn one<'a>(recording: &'a Recording, from: IpAddr, tag: &str) -> Result<&'a Message> {
    let seen = carried(recording, from, tag).next();
    Ok(&seen.with_context(|| format!("{tag} did not cross"))?.message)
}

fn asserted(message: &Message) -> Vec<&str> {
    message.values(Name::PAssertedIdentity).collect()
}

/// What the called UE may see of who asked: the last hop has done what privacy wants.
fn assert_seen(received: &ReceivedRequest, from: Option<Phone>, privacy: Option<&str>, tag: &str) {
    let shown = from.filter(|_| !asks(privacy, "id"));
    match shown {
        Some(phone) => {
            let uri = format!("<{}>", phone.uri());
            assert!(received.asserted.iter().any(|value| **value == *uri), "{tag}: {received:?}");
        }
        None => assert!(received.asserted.is_empty(), "{tag}: {received:?}"),
    }
    assert_eq!(received.from.contains("anonymous.invalid"), asks(privacy, "user"), "{tag}: {received:?}");
    // What is done is not asked for again.
    for done in ["id", "user"] {
        assert!(!asks(received.privacy.as_deref(), done), "{tag}: {received:?}");
    }
}

fn assert_refused(status: u16, reason: &str, tag: &str) {
    assert_eq!(status, 500, "{tag}");
    assert!(reason.contains("header"), "{tag}: the answer must name what failed: {reason}");
}

/// UEs and P-CSCF say nothing in clear but the REGISTERs and their challenges.
fn assert_esp_only(stage: &mut Stage) -> Result<()> {
    for operator in [A, B] {
        let access = stage.operators.recorded(Link::Access(operator));
        let clear: Vec<_> = access.messages.iter().map(|seen| seen.message.status()).collect();
        assert_eq!(clear, [None, Some(401), None, Some(401)]);
        assert!(access.requests("REGISTER").count() == 2 && access.opaque.is_empty());
        assert!(access.esp_packets > 8 && access.lost == 0, "{} ESP packets", access.esp_packets);
        assert_no_kernel_errors(stage.operators.lab(operator)?);
    }
    Ok(())
}

/// PRV-4, PRV-17, PRV-9: within one network and between two that trust each other.
#[test]
#[ignore = "needs a kernel with ESP"]
fn operators_prv_4_prv_9_prv_17_users_of_trusted_networks_see_what_privacy_leaves_them() -> Result<()> {
    let mut stage = stage()?;
    let directions = [("a-a", A1, A2), ("a-b", A1, B1), ("b-a", B2, A2)];
    for (direction, from, to) in directions {
        for privacy in PRIVACIES {
            let (text, call) = (tag(direction, privacy, "text"), tag(direction, privacy, "call"));
            let answer = stage.message(from, &to.uri(), privacy, &text).context(text.clone())?;
            if is_refused(privacy) {
                assert_refused(answer.status, &answer.reason, &text);
                let (_, answer) = stage.call(from, &to.uri(), privacy, &call)?;
                assert_refused(answer.status, &answer.reason, &call);
                continue;
            }
            ensure!(answer.status == 200, "{text}: {answer:?}");
            let received = stage.received(to, "MESSAGE")?;
            // Also: nothing that was refused before has been delivered after all.
            ensure!(received.text.as_deref() == Some(&*text), "{text}: {received:?}");
            assert_seen(&received, Some(from), privacy, &text);
            let received = stage.whole_call(from, to, privacy, &call).context(call.clone())?;
            assert_seen(&received, Some(from), privacy, &call);
        }
    }
    assert_esp_only(&mut stage)?;
    // PRV-19: between trusted networks identity and privacy cross as they are.
    let links = [A, B].map(|operator| stage.operators.recorded(Link::Border(operator)));
    for (direction, from) in [("a-b", A1), ("b-a", B2)] {
        for privacy in PRIVACIES {
            for tag in ["text", "call"].map(|kind| tag(direction, privacy, kind)) {
                for link in &links {
                    let message = one(link, from.0.border().ip(), &tag)?;
                    let uri = format!("<{}>", from.uri());
                    assert!(asserted(message).contains(&&*uri), "{tag}: {message:?}");
                    assert_eq!(message.first(Name::Privacy), privacy, "{tag}");
                    assert!(!message.from()?.uri.contains("anonymous"), "{tag}");
                }
            }
        }
    }
    let strangers = stage.operators.recorded(Link::Foreign);
    assert!(strangers.messages.is_empty(), "{:?}", strangers.messages);
    Ok(())
}

/// PRV-6, PRV-9, PRV-17: what leaves the trust domain.
#[test]
#[ignore = "needs a kernel with ESP"]
fn operators_prv_6_prv_9_prv_17_a_stranger_learns_what_the_sender_allows() -> Result<()> {
    let mut stage = stage()?;
    let to = Stranger::uri();
    let directions = [("a-x", A1, false), ("b-x", B1, true)];
    for (direction, from, _) in directions {
        for privacy in PRIVACIES {
            let (text, call) = (tag(direction, privacy, "text"), tag(direction, privacy, "call"));
            let answer = stage.message(from, &to, privacy, &text).context(text.clone())?;
            if is_refused(privacy) {
                assert_refused(answer.status, &answer.reason, &text);
                let (_, answer) = stage.call(from, &to, privacy, &call)?;
                assert_refused(answer.status, &answer.reason, &call);
                continue;
            }
            ensure!(answer.status == 200, "{text}: {answer:?}");
            stage.stranger()?.wait_for("MESSAGE")?;
            stage.whole_call_to_stranger(from, privacy, &call).context(call.clone())?;
        }
    }
    let link = stage.operators.recorded(Link::Foreign);
    for (direction, from, sends_without_privacy) in directions {
        for privacy in PRIVACIES {
            for tag in ["text", "call"].map(|kind| tag(direction, privacy, kind)) {
                let border = from.0.border().ip();
                if is_refused(privacy) {
                    assert_eq!(carried(&link, border, &tag).count(), 0, "{tag} was delivered");
                    continue;
                }
                let message = one(&link, border, &tag)?;
                let shown = privacy == Some("none") || (privacy.is_none() && sends_without_privacy);
                assert_eq!(!asserted(message).is_empty(), shown, "{tag}: {message:?}");
                assert_eq!(message.from()?.uri.contains("anonymous"), asks(privacy, "user"), "{tag}");
            }
        }
    }
    // Of the network itself nothing crosses, in no message, whatever is wanted.
    for seen in link.messages.iter().filter(|seen| seen.from.ip() != plan::FOREIGN) {
        for name in [Name::PChargingVector, Name::PAccessNetworkInfo, Name::PServedUser, Name::PCalledPartyId]
        {
            assert_eq!(seen.message.first(name), None, "{:?}", seen.message);
        }
    }
    assert_esp_only(&mut stage)
}

/// What a stranger says of itself and of others.
const FORGED: [(Name, &str); 6] = [
    (Name::PAssertedIdentity, "<sip:forged@foreign.example>"),
    (Name::PAssertedIdentity, "<tel:+4930forged>"),
    (Name::PChargingVector, "icid-value=forged"),
    (Name::PAccessNetworkInfo, "forged"),
    (Name::PServedUser, "<sip:forged@foreign.example>"),
    (Name::PCalledPartyId, "<sip:forged@foreign.example>"),
];

/// PRV-7, PRV-2, PRV-3, PRV-9: what comes from outside the trust domain.
#[test]
#[ignore = "needs a kernel with ESP"]
fn operators_prv_2_prv_3_prv_7_a_strangers_word_counts_for_nothing() -> Result<()> {
    let mut stage = stage()?;
    for privacy in PRIVACIES {
        let (text, call) = (tag("x-a", privacy, "text"), tag("x-a", privacy, "call"));
        let mut lines = FORGED.to_vec();
        lines.extend(privacy.map(|value| (Name::Privacy, value)));
        let message = stage.stranger()?.request(Method::Message, &A1.uri(), &lines, text.as_bytes());
        let answer = stage.stranger()?.ask(&message, A.border())?;
        if is_refused(privacy) {
            assert_refused(answer.status().unwrap_or(0), answer.reason().unwrap_or_default(), &text);
            continue;
        }
        ensure!(answer.status() == Some(200), "{text}: {answer:?}");
        let received = stage.received(A1, "MESSAGE")?;
        ensure!(received.text.as_deref() == Some(&*text), "{text}: {received:?}");
        assert_seen(&received, None, privacy, &text);
        let received = stage.whole_call_of_stranger(A2, &lines, &call).context(call.clone())?;
        assert_seen(&received, None, privacy, &call);
        for (name, value) in received.headers.iter() {
            assert!(!value.contains("forged"), "{name}: {value}");
        }
    }
    // It came to the border as it was, and went no further.
    let (border, inside) =
        (stage.operators.recorded(Link::Border(A)), stage.operators.recorded(Link::Icscf(A)));
    let text = tag("x-a", None, "text");
    assert!(one(&border, plan::FOREIGN, &text)?.first(Name::PAssertedIdentity).is_some());
    let crossed = one(&inside, A.i_cscf().ip(), &text)?;
    assert_eq!(asserted(crossed), Vec::<&str>::new());
    assert!(border.holds(b"forged") && !inside.holds(b"forged"));
    // PRV-14: who has answered is the sender's business only where he is trusted.
    let to_stranger = |seen: &&Captured| seen.to.ip() == plan::FOREIGN && !seen.message.is_request();
    assert!(border.messages.iter().filter(to_stranger).count() > 0);
    for seen in border.messages.iter().filter(to_stranger) {
        assert_eq!(asserted(&seen.message), Vec::<&str>::new(), "{:?}", seen.message);
    }
    assert_esp_only(&mut stage)
}

/// THG-1, THG-15, SIP-7: whole calls in every direction, and not one octet of A's inside crosses its border.
#[test]
#[ignore = "needs a kernel with ESP"]
fn operators_thg_1_thg_15_sip_7_nothing_of_the_hiding_network_crosses_its_border() -> Result<()> {
    let mut stage = stage()?;
    stage.whole_call(A1, B1, None, "a-b")?;
    stage.whole_call(B2, A2, Some("none"), "b-a")?;
    stage.whole_call_to_stranger(A1, Some("none"), "a-x")?;
    stage.whole_call_of_stranger(A2, &[], "x-a")?;
    for (from, to) in [(A1, B1.uri()), (B1, A1.uri()), (A2, Stranger::uri())] {
        let answer = stage.message(from, &to, None, "hello")?;
        ensure!(answer.status == 200, "{answer:?}");
    }
    let hiding = |operator: Operator| -> Result<Hiding> {
        let any = Keys::one(1, Key::new(&[0; 16]));
        Ok(Hiding::new(&operator.home_domain(), lab::inside(operator)?, any)?)
    };
    let (of_a, of_b) = (hiding(A)?, hiding(B)?);
    let leaks = |hiding: &Hiding, recording: &Recording| {
        recording.contents().flat_map(|octets| hiding.leaks(octets)).collect::<Vec<_>>()
    };
    let [border, foreign, inside] =
        [Link::Border(A), Link::Foreign, Link::Icscf(A)].map(|link| stage.operators.recorded(link));
    for link in [&border, &foreign] {
        assert_eq!(leaks(&of_a, link), [], "what crossed");
        assert!(link.messages.len() > 10);
    }
    // The search finds what is there: inside, and what B, which hides nothing, shows.
    assert!(!leaks(&of_a, &inside).is_empty());
    assert!(!leaks(&of_b, &border).is_empty());
    let known: BTreeSet<IpAddr> = [A.border().ip(), B.border().ip(), plan::FOREIGN].into();
    // Groups and the address of nobody are IGMP's.
    let is_node =
        |address: &&IpAddr| address.is_ipv4() && !address.is_multicast() && !address.is_unspecified();
    let nodes: BTreeSet<IpAddr> = border.addresses.iter().filter(is_node).copied().collect();
    assert_eq!(nodes, known);
    // SIP-7: the border is in the dialog with both its faces. Others see the outer one, and one token for all within.
    let invite = one(&border, A.border().ip(), "a-x")?;
    let routes: Vec<_> = invite.values(Name::RecordRoute).collect();
    assert!(routes.len() == 2 && routes[1].contains(";tokenized-by="), "{routes:?}");
    assert_eq!(routes[0], format!("<sip:{};lr>", A.border()));
    assert_esp_only(&mut stage)
}

/// PRV-12: TLS between the operators, with certificates that name them. What crosses is seen behind the other's border.
#[test]
#[ignore = "needs a kernel with ESP"]
fn operators_prv_12_prv_19_tls_joins_two_networks_and_nobody_reads_along() -> Result<()> {
    watch();
    let folder = tempfile::tempdir()?;
    let [a, b] = certify(folder.path(), [A, B].map(Operator::i_cscf_name))?;
    let border = |files| Border { hides: true, tls: Some(files), ..Border::default() };
    let mut stage = Stage::start([border(a), border(b)])?;
    for (from, to, privacy) in [(A1, B1, None), (B2, A2, Some("id")), (A2, B2, Some("none"))] {
        let text = tag("tls", privacy, "text");
        let answer = stage.message(from, &to.uri(), privacy, &text)?;
        ensure!(answer.status == 200, "{text}: {answer:?}");
        assert_seen(&stage.received(to, "MESSAGE")?, Some(from), privacy, &text);
        let received = stage.whole_call(from, to, privacy, &tag("tls", privacy, "call"))?;
        assert_seen(&received, Some(from), privacy, &text);
        let behind = stage.operators.recorded(Link::Icscf(to.0));
        let message = one(&behind, to.0.i_cscf().ip(), &text)?;
        assert!(!asserted(message).is_empty(), "{message:?}");
        assert_eq!(message.first(Name::Privacy), privacy);
    }
    let crossed = stage.operators.recorded(Link::Border(A));
    assert!(crossed.messages.is_empty() && crossed.opaque.len() >= 2, "{crossed:?}");
    assert!(!crossed.holds(b"SIP/2.0") && !crossed.holds(b"user1"));
    // The stranger, who proves nothing, is who it was before.
    let message = stage.stranger()?.request(Method::Message, &A1.uri(), &FORGED, b"untrusted");
    let answer = stage.stranger()?.ask(&message, A.border())?;
    ensure!(answer.status() == Some(200), "{answer:?}");
    assert_seen(&stage.received(A1, "MESSAGE")?, None, None, "untrusted");
    assert_esp_only(&mut stage)
}
