//! Who a request says it is from, at every hop between two users of the trust domain.

#[allow(dead_code, reason = "each test file uses a part of the network")]
mod network;

use std::time::Duration;

use lab::plan;
use network::plan::Attachment;
use network::{Network, Node, Options};
use sip::{Message, Method, Name};
use ue::core::{Answering, Call, CallStep, Command, Identity, Request, Step};

/// UE 0 and 1 at one operator, 2 at another.
fn network() -> Network {
    let attached = [0, 0, 1].map(|home| Attachment::at_home(home, 0));
    let mut network =
        Network::new(&Options { ues: 3, operators: 2, attached: attached.to_vec(), ..Options::default() });
    network.register_all();
    network.sent.clear();
    network
}

fn sip(network: &Network, ue: u16) -> String {
    format!("<{}>", network.impu(ue))
}

fn tel(ue: u16) -> String {
    format!("<{}>", plan::tel(ue))
}

fn with_privacy(privacy: Option<&str>) -> Identity {
    Identity { privacy: privacy.map(Into::into), ..Identity::default() }
}

/// The values of this header in what went between two CSCFs: every message that `is` picks.
fn inside(network: &Network, name: Name, is: impl Fn(&Message) -> bool) -> Vec<Vec<String>> {
    let between = |sent: &&network::Sent| sent.from.operator().is_some() && sent.to.operator().is_some();
    let picked = network.sent.iter().filter(between).filter(|sent| is(&sent.message));
    picked.map(|sent| sent.message.values(name).map(str::to_owned).collect()).collect()
}

/// What is asserted is what the UE's set has registered, whatever it says of itself.
#[test]
fn prv_1_prv_3_who_asks_is_asserted_by_its_p_cscf() {
    let mut network = network();
    let (own, number) = (sip(&network, 0), tel(0));
    let stranger = sip(&network, 1);
    let cases: [(Vec<&str>, Vec<&str>, &str); 6] = [
        (vec![], vec![], &own),
        (vec![&own], vec![], &own),
        (vec![&number], vec![], &number),
        (vec![&stranger], vec![], &own),
        (vec![], vec![&stranger], &own),
        (vec![&number], vec![&stranger, "<tel:+111>"], &number),
    ];
    for to in [1, 2] {
        for (preferred, asserted, expected) in &cases {
            network.sent.clear();
            let identity = Identity {
                preferred: preferred.iter().map(|one| (*one).into()).collect(),
                asserted: asserted.iter().map(|one| (*one).into()).collect(),
                ..Identity::default()
            };
            let request = Request { identity, ..Request::message(&network.impu(to), "it is me") };
            assert_eq!(network.ask(0, request).status, 200);
            let received = network.received(to).last().copied().unwrap();
            let first = received.asserted.first().map(|one| &**one);
            assert_eq!(first, Some(*expected), "{preferred:?} {asserted:?}");
            let others: Vec<_> = received.asserted.iter().filter(|one| ***one == *stranger).collect();
            assert!(others.is_empty() && received.asserted.len() <= 2, "{:?}", received.asserted);
            assert!(received.headers.first("P-Preferred-Identity").is_none());
            let preferred = inside(&network, Name::PPreferredIdentity, Message::is_request);
            assert!(preferred.iter().all(Vec::is_empty), "{preferred:?}");
        }
    }
    network.check_quiet("asserted");
}

/// Of who answers, too.
#[test]
fn prv_1_who_answers_is_asserted_by_its_p_cscf() {
    let mut network = network();
    for to in [1, 2] {
        let stranger = Some(sip(&network, 0).as_str().into());
        network.answers(to, Answering { asserted: stranger, ..Answering::default() });
        let (call, step) = network.call(0, Call::to(&network.impu(to)));
        let CallStep::Answered(answer) = step else { panic!("{step:?}") };
        assert_eq!(answer.asserted.first().map(|one| &**one), Some(&*sip(&network, to)));
        assert!(!answer.asserted.iter().any(|one| **one == *sip(&network, 0)));
        network.until(
            0,
            Command::HangUp { call },
            |step| matches!(step, Step::Call { step, .. } if step.ends()),
        );
        let message = network.ask(0, Request::message(&network.impu(to), "and you?"));
        assert_eq!(message.asserted.first().map(|one| &**one), Some(&*sip(&network, to)));
    }
    network.check_quiet("answers");
}

/// At the last hop `id` takes the asserted identity away; `none`, and no wish at all, do not. On the way there nothing
/// changes, of requests to users of the own network and of the other.
#[test]
fn prv_4_prv_5_prv_17_prv_19_privacy_id_is_done_at_the_last_hop_only() {
    for (privacy, known) in
        [(None, true), (Some("none"), true), (Some("id"), false), (Some("id;critical"), false)]
    {
        for to in [1, 2] {
            for method in [Method::Message, Method::Options, Method::Subscribe] {
                let mut network = network();
                let request = match method {
                    Method::Message => Request::message(&network.impu(to), "who am I?"),
                    Method::Options => Request::options(&network.impu(to)),
                    _ => Request::subscribe(&network.impu(to), "presence", 600),
                };
                let what = format!("{privacy:?} {method} to {to}");
                let answer = network.ask(0, Request { identity: with_privacy(privacy), ..request });
                // A UE may know no event package; what it was asked it has seen then.
                assert!([200, 489].contains(&answer.status), "{what}\n{:#?}", network.trace);
                let received = network.received(to).last().copied().unwrap();
                assert_eq!(&*received.method, method.as_str(), "{what}");
                assert_eq!(!received.asserted.is_empty(), known, "{what}: {:?}", received.asserted);
                let of = |message: &Message| message.is_request() && message.method() == method;
                for hop in inside(&network, Name::PAssertedIdentity, of) {
                    assert_eq!(hop.first().map(String::as_str), Some(&*sip(&network, 0)), "{what}");
                }
                let wishes = inside(&network, Name::Privacy, of);
                assert!(wishes.len() >= 4, "{what}: {wishes:?}");
                for wish in wishes {
                    assert_eq!(wish.first().map(String::as_str), privacy, "{what}");
                }
            }
        }
    }
}

/// The whole call is as anonymous as its INVITE: what changes it and what ends it, too.
#[test]
fn prv_4_prv_8_prv_17_a_call_is_anonymous_to_its_end() {
    for (privacy, asserted, anonymous) in
        [("id", false, false), ("user", true, true), ("user;id", false, true), ("none", true, false)]
    {
        for to in [1, 2] {
            let mut network = network();
            let what = format!("{privacy} to {to}");
            let headers = [
                ("Subject", "something private"),
                ("Organization", "mine"),
                ("User-Agent", "one that is known"),
                ("Call-Info", "<http://me.example/>"),
                ("Reply-To", "<sip:me@me.example>"),
                ("In-Reply-To", "earlier@me.example"),
            ];
            let headers: Vec<_> =
                headers.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
            let identity = with_privacy(Some(privacy));
            let (call, step) = network.call(0, Call { identity, headers, ..Call::to(&network.impu(to)) });
            assert!(matches!(step, CallStep::Answered(_)), "{what}: {step:?}\n{:#?}", network.trace);
            network.run(Duration::from_secs(2));
            let ends = |step: &Step| matches!(step, Step::Call { step, .. } if step.ends());
            network.until(0, Command::Reinvite { call }, ends);
            network.until(0, Command::Update { call }, ends);
            network.until(0, Command::HangUp { call }, ends);
            network.run(Duration::from_secs(2));
            let to_callee: Vec<&Message> = network
                .sent
                .iter()
                .filter(|sent| sent.to == Node::Ue(to) && sent.message.is_request())
                .map(|sent| &sent.message)
                .collect();
            let methods: Vec<Method<'_>> = to_callee.iter().map(|message| message.method()).collect();
            for method in [Method::Invite, Method::Ack, Method::Update, Method::Bye] {
                assert!(methods.contains(&method), "{what}: {methods:?}");
            }
            for message in &to_callee {
                let (method, from) = (message.method(), message.first(Name::From).unwrap());
                assert!(message.from().unwrap().tag().is_some(), "{what}: {from}");
                assert_eq!(!from.contains("user1@"), anonymous, "{what} {method}: {from}");
                if anonymous {
                    assert!(from.contains("sip:anonymous@anonymous.invalid"), "{what} {method}: {from}");
                }
                let tells = !message.values(Name::PAssertedIdentity).collect::<Vec<_>>().is_empty();
                assert!(asserted || !tells, "{what} {method} asserts somebody");
                let private = message.bytes();
                let private = String::from_utf8_lossy(&private);
                for word in ["something private", "one that is known", "me.example", "Organization"] {
                    assert!(!anonymous || !private.contains(word), "{what} {method}: {word}");
                }
            }
            assert_eq!(to_callee[0].first(Name::PAssertedIdentity).is_some(), asserted, "{what}");
            network.check_quiet(&what);
        }
    }
}

/// The callee may not want to be known: its answers, and what it sends within the call.
#[test]
fn prv_4_the_callee_can_be_anonymous_too() {
    for to in [1, 2] {
        let mut network = network();
        network.answers(to, Answering { privacy: Some("id".into()), ..Answering::default() });
        let (call, step) = network.call(0, Call::to(&network.impu(to)));
        let CallStep::Answered(answer) = step else { panic!("{step:?}") };
        assert!(answer.asserted.is_empty(), "{answer:?}");
        let of = |message: &Message| message.status() == Some(200) && message.method() == Method::Invite;
        let kept = inside(&network, Name::PAssertedIdentity, of);
        assert!(kept.iter().all(|hop| !hop.is_empty()) && !kept.is_empty(), "kept on the way: {kept:?}");
        network.until(
            0,
            Command::HangUp { call },
            |step| matches!(step, Step::Call { step, .. } if step.ends()),
        );
        network.check_quiet("anonymous callee");
    }
}

/// What cannot be done is refused where it is critical, and passed on where it is not.
#[test]
fn prv_9_what_is_critical_and_cannot_be_done_is_not_delivered() {
    for to in [1, 2] {
        let mut network = network();
        let ask = |network: &mut Network, privacy| {
            let identity = with_privacy(Some(privacy));
            let request = Request { identity, ..Request::message(&network.impu(to), "secret") };
            network.ask(0, request)
        };
        for privacy in ["header;critical", "session;critical", "id;header;critical"] {
            let answer = ask(&mut network, privacy);
            assert_eq!(answer.status, 500, "{privacy}");
            let missing = if privacy.contains("session") { "session" } else { "header" };
            assert!(answer.reason.contains(missing), "{privacy}: {}", answer.reason);
            assert!(network.received(to).is_empty(), "{privacy}");
        }
        let identity = with_privacy(Some("header;critical"));
        let (_, step) = network.call(0, Call { identity, ..Call::to(&network.impu(to)) });
        let CallStep::Refused(answer) = step else { panic!("{step:?}") };
        assert_eq!(answer.status, 500);
        assert!(network.received(to).is_empty());
        assert_eq!(ask(&mut network, "header").status, 200);
        assert_eq!(network.received(to).len(), 1);
        for privacy in ["none;id", "critical"] {
            let answer = ask(&mut network, privacy);
            assert!([400, 500].contains(&answer.status), "{privacy}: {}", answer.status);
        }
        assert_eq!(network.received(to).len(), 1);
        network.check_quiet("critical");
    }
}

/// Nothing that comes in clear is asserted, or goes anywhere.
#[test]
fn prv_2_nothing_is_asserted_outside_an_sa() {
    let mut network = network();
    assert_eq!(network.ask(0, Request::message(&network.impu(1), "in ESP")).status, 200);
    let of = network.requests(Node::Ue(0), Node::P_CSCF, Method::Message);
    let message = (*of.last().unwrap()).clone();
    let before = network.sent.len();
    let clear = std::net::SocketAddr::new(plan::ue_address(plan::Family::V4, 0), 5060);
    let mut draft = sip::Draft::forward(&message);
    draft.set(Name::Via, "SIP/2.0/UDP 10.20.0.1:5060;branch=z9hG4bKclear");
    network.inject(Node::P_CSCF, sip::Flow::udp(plan::p_cscf(plan::Family::V4), clear), draft.finish());
    network.run(Duration::from_secs(60));
    let after = &network.sent[before..];
    assert!(after.iter().all(|sent| !sent.message.is_request()), "{:#?}", network.trace);
    assert!(after.iter().any(|sent| sent.message.status().is_some_and(|status| status >= 400)));
    assert_eq!(network.received(1).len(), 1);
}
