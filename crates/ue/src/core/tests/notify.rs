//! The subscription to our own registration state, and what the network's word about it changes.

use sip::reginfo::{self, ContactEvent, ContactInfo, Reginfo, RegistrationInfo, RegistrationState};
use sip::{Dialog, Method, Transport};

use super::*;

/// The S-CSCF's end of a subscription.
pub(super) struct Notifier {
    dialog: Dialog,
    version: u32,
}

impl Notifier {
    fn new(subscribe: &Message) -> Self {
        Self { dialog: Dialog::uas(subscribe, "n").unwrap(), version: 0 }
    }

    /// A NOTIFY without a document yet.
    fn draft(&mut self, state: &str) -> Draft<'static> {
        let mut draft = self.dialog.request(Method::Notify);
        let branch = format!(
            "SIP/2.0/UDP 10.9.0.1:6100;branch=z9hG4bK{}-{}",
            self.dialog.call_id, self.dialog.local_cseq
        );
        draft
            .push_front(Name::Via, branch)
            .push(Name::Contact, "<sip:scscf.ims.example:5060>")
            .push(Name::Event, "reg")
            .push(Name::SubscriptionState, state.to_owned());
        draft
    }

    pub(super) fn notify(&mut self, full: bool, contacts: &[(&str, ContactInfo)]) -> Message {
        let document = self.document(full, contacts);
        let mut draft = self.draft("active;expires=3000");
        draft.body(reginfo::MIME, document.to_xml().into_bytes());
        draft.finish()
    }

    fn document(&mut self, full: bool, contacts: &[(&str, ContactInfo)]) -> Reginfo {
        let registrations = contacts.iter().map(|(aor, contact)| RegistrationInfo {
            aor: (*aor).to_owned(),
            id: format!("r-{aor}"),
            state: RegistrationState::Active,
            contacts: vec![contact.clone()],
        });
        self.version += 1;
        Reginfo { version: self.version - 1, full, registrations: registrations.collect() }
    }
}

pub(super) fn contact(event: ContactEvent, expires: Option<u32>) -> ContactInfo {
    let uri = "sip:alice@10.9.0.2:7100".into();
    ContactInfo { id: "c".into(), uri, event, expires, retry_after: None }
}

pub(super) fn subscribing() -> Config {
    Config { subscribe: true, ..config() }
}

/// A registered UE, its SUBSCRIBE answered or not, and the other end.
pub(super) fn subscribed(config: Config, answered: bool) -> (Bench, Notifier) {
    let (mut bench, outcome) = Bench::registered(config);
    let [.., (_, subscribe)] = outcome.sent.as_slice() else { panic!("no SUBSCRIBE") };
    let notifier = Notifier::new(subscribe);
    if answered {
        let over = towards_ue(&bench.set());
        let outcome = bench.receive(over, accepted(subscribe));
        assert_eq!(outcome.steps, [Step::Subscribed { expires: 3000 }]);
    }
    (bench, notifier)
}

fn accepted(subscribe: &Message) -> Message {
    let mut draft = Draft::reply(subscribe, 200, "OK", Some("n"));
    draft
        .push(Name::RecordRoute, "<sip:10.30.0.1:5060;lr>, <sip:10.9.0.1:6100;lr>")
        .push(Name::Contact, "<sip:scscf.ims.example:5060>")
        .push(Name::Expires, "3000");
    draft.finish()
}

impl Bench {
    /// A NOTIFY over the current set.
    pub(super) fn notified(&mut self, notify: &Message) -> (u16, Outcome) {
        let set = self.set();
        let outcome = self.receive(towards_ue(&set), notify.clone());
        let (flow, answer) = &outcome.sent[0];
        assert_eq!(*flow, towards_p_cscf(&set), "over UDP the answer leaves from our client port");
        (answer.status().unwrap(), outcome)
    }
}

pub(super) fn notice(outcome: &Outcome) -> Notice {
    let [Step::Notified(notice), ..] = outcome.steps.as_slice() else { panic!("{:?}", outcome.steps) };
    *notice
}

#[test]
fn reg_12_the_subscribe_asks_for_the_default_identity_along_the_service_route() {
    let (bench, outcome) =
        Bench::registered(Config { access_network: Some("3GPP-NR".into()), ..subscribing() });
    let [Step::Registered(registration)] = outcome.steps.as_slice() else { panic!("{:?}", outcome.steps) };
    let (flow, request) = outcome.only();
    assert_eq!(flow, towards_p_cscf(&bench.set()));
    // REG-10: the first of P-Associated-URI is the default identity.
    assert_eq!(&*registration.associated_uris[0], "sip:default@ims.example");
    assert_eq!(
        (request.method(), request.request_uri()),
        (Method::Subscribe, Some("sip:default@ims.example"))
    );
    for name in [Name::From, Name::To, Name::PPreferredIdentity] {
        assert_eq!(request.address(name).unwrap().uri, "sip:default@ims.example", "{name:?}");
    }
    // REG-11: the P-CSCF's protected server port, then the Service-Route in its order.
    let routes: Vec<&str> = request.values(Name::Route).collect();
    assert_eq!(
        routes,
        ["<sip:10.9.0.1:6100;lr>", "<sip:icscf.ims.example;lr>", "<sip:orig@scscf.ims.example;lr>"]
    );
    assert_eq!(request.first(Name::Contact), Some("<sip:alice@10.9.0.2:7100>"));
    assert_eq!((request.first(Name::Event), request.first(Name::Accept)), (Some("reg"), Some(reginfo::MIME)));
    assert_eq!(request.expires(), Some(600_000));
    let verify: Vec<&str> = request.values(Name::SecurityVerify).collect();
    assert_eq!(verify.join(", "), security_server(Policy::default().algorithms()));
    for name in [Name::Require, Name::ProxyRequire] {
        assert!(sip::OptionTags::of(request, name).contains("sec-agree"));
    }
    assert_eq!(request.first(Name::PAccessNetworkInfo), Some("3GPP-NR"));
    assert!(request.first(Name::Via).unwrap().contains("10.9.0.2:7100"));
}

#[test]
fn reg_12_a_notify_may_overtake_the_200_and_the_dialog_is_the_same() {
    let (mut bench, outcome) = Bench::registered(subscribing());
    let subscribe = outcome.only().1.clone();
    let mut notifier = Notifier::new(&subscribe);
    let notify =
        notifier.notify(true, &[("sip:alice@ims.example", contact(ContactEvent::Registered, Some(3600)))]);
    let (status, outcome) = bench.notified(&notify);
    assert_eq!(status, 200);
    let expected = Notice {
        version: Some(0),
        event: Some(ContactEvent::Registered),
        expires: Some(3600),
        retry_after: None,
        last: false,
    };
    assert_eq!(notice(&outcome), expected);
    let over = towards_ue(&bench.set());
    assert_eq!(bench.receive(over, accepted(&subscribe)).steps, [Step::Subscribed { expires: 3000 }]);
    let next = notifier.notify(false, &[]);
    assert_eq!(bench.notified(&next).0, 200);
}

#[test]
fn reg_12_only_what_comes_over_a_set_and_belongs_to_the_dialog_is_taken() {
    let (mut bench, mut notifier) = subscribed(subscribing(), true);
    let set = bench.set();
    let notify = notifier.notify(true, &[("sip:alice@ims.example", contact(ContactEvent::Rejected, None))]);
    let clear = Flow::udp("10.9.0.2:5060".parse().unwrap(), "10.9.0.1:5060".parse().unwrap());
    let elsewhere = Flow { remote: "10.9.0.66:6000".parse().unwrap(), ..towards_ue(&set) };
    // Over UDP nothing comes from the P-CSCF's server port.
    let wrong_pair = Flow::udp(set.ps_to_uc.destination, set.ps_to_uc.source);
    for flow in [clear, elsewhere, wrong_pair] {
        let outcome = bench.receive(flow, notify.clone());
        assert!(outcome.sent.is_empty() && outcome.steps.is_empty(), "{flow:?}");
    }
    let changed = |name: Name, from: &str, to: &str| {
        let mut draft = Draft::forward(&notify);
        let value = notify.first(name).unwrap().replace(from, to);
        draft.set(name, value).set(Name::Via, format!("SIP/2.0/UDP 10.9.0.1:6100;branch=z9hG4bK{to}"));
        draft.finish()
    };
    let call_id = notify.call_id().to_owned();
    for (notify, status) in [
        (changed(Name::CallId, &call_id, "other"), 481),
        (changed(Name::From, "tag=n", "tag=fork"), 481),
        (changed(Name::To, "tag=", "tag=x"), 481),
        (changed(Name::Event, "reg", "presence"), 489),
        (changed(Name::SubscriptionState, "active;expires=3000", ""), 400),
    ] {
        let (found, outcome) = bench.notified(&notify);
        assert!(found == status && outcome.steps.is_empty(), "{found} instead of {status}");
    }
    assert!(bench.ue.registration().is_some());
}

#[test]
fn reg_12_a_notify_out_of_order_or_unreadable_changes_nothing() {
    let (mut bench, mut notifier) = subscribed(subscribing(), true);
    let first = notifier.notify(true, &[]);
    let mut garbage = notifier.draft("active;expires=3000");
    garbage.body(reginfo::MIME, b"<reginfo version=\"1\" state=\"full\"><registration".to_vec());
    let (status, outcome) = bench.notified(&garbage.finish());
    assert!(status == 400 && outcome.steps.is_empty());
    // Its CSeq is lower now.
    let (status, outcome) = bench.notified(&first);
    assert!(status == 500 && outcome.steps.is_empty());
}

#[test]
fn reg_12_an_old_version_is_ignored_and_a_gap_fetches_the_full_state() {
    let (mut bench, mut notifier) = subscribed(subscribing(), true);
    bench.notified(&notifier.notify(true, &[]));
    notifier.version = 0;
    let old = notifier.notify(true, &[("sip:alice@ims.example", contact(ContactEvent::Rejected, None))]);
    let (status, outcome) = bench.notified(&old);
    assert!(status == 200 && outcome.steps.is_empty() && bench.ue.registration().is_some());

    notifier.version = 4;
    let (status, outcome) = bench.notified(&notifier.notify(false, &[]));
    let [_, (flow, refresh)] = outcome.sent.as_slice() else { panic!("{:?}", outcome.sent) };
    assert_eq!((status, *flow), (200, towards_p_cscf(&bench.set())));
    assert_eq!((refresh.method(), refresh.cseq().unwrap().number), (Method::Subscribe, 2));
    assert_eq!(refresh.request_uri(), Some("sip:scscf.ims.example:5060"));
    let routes: Vec<&str> = refresh.values(Name::Route).collect();
    assert_eq!(routes, ["<sip:10.9.0.1:6100;lr>", "<sip:10.30.0.1:5060;lr>"]);
    assert!(refresh.first(Name::SecurityVerify).is_some());
    assert!(notifier.dialog.owns(refresh));
    // A full document may skip versions.
    notifier.version = 9;
    assert_eq!(bench.notified(&notifier.notify(true, &[])).1.sent.len(), 1);
}

#[test]
fn reg_13_a_shortened_registration_is_renewed_in_time_and_no_set_outlives_it() {
    let config = Config { stay_registered: true, ..subscribing() };
    let (mut bench, mut notifier) = subscribed(config, true);
    let earlier = bench.set();
    let shortened = [
        ("tel:+49301", contact(ContactEvent::Shortened, Some(400))),
        ("sip:alice@ims.example", contact(ContactEvent::Shortened, Some(120))),
        ("sip:default@ims.example", contact(ContactEvent::Registered, Some(3600))),
    ];
    let (_, outcome) = bench.notified(&notifier.notify(true, &shortened));
    assert_eq!(notice(&outcome).expires, Some(120), "the shortest counts");
    assert_eq!(bench.ue.registration().unwrap().expires, 120);
    assert_eq!(outcome.lifetimes, [Duration::from_secs(120 + 30 + 60)], "with the kernel's margin");
    assert!(bench.wait(59).sent.is_empty());
    let outcome = bench.wait(1);
    let (flow, request) = outcome.only();
    assert_eq!((flow, request.method()), (towards_p_cscf(&earlier), Method::Register));
    let outcome = bench.authenticate((flow, request.clone()), ok);
    assert!(matches!(outcome.steps.as_slice(), [Step::Registered(_)]), "no second SUBSCRIBE");
    assert!(outcome.sent.is_empty());
    assert_ne!(bench.set(), earlier);
    // REG-12: the subscription lives on over the new set.
    assert_eq!(bench.notified(&notifier.notify(false, &[])).0, 200);
}

#[test]
fn reg_13_without_staying_registered_a_shortened_registration_runs_out() {
    let (mut bench, mut notifier) = subscribed(subscribing(), true);
    bench.notified(
        &notifier.notify(true, &[("sip:alice@ims.example", contact(ContactEvent::Shortened, Some(120)))]),
    );
    assert!(bench.wait(149).steps.is_empty());
    let outcome = bench.wait(1);
    assert_eq!((outcome.steps.as_slice(), outcome.removed), ([Step::Lapsed].as_slice(), 1));
    assert!(bench.ue.registration().is_none() && outcome.sent.is_empty());
}

#[test]
fn reg_13_what_the_network_ends_is_released_and_comes_back_as_it_says() {
    for (event, retry_after, wait) in [
        (ContactEvent::Deactivated, None, Some(0)),
        (ContactEvent::Expired, None, Some(0)),
        (ContactEvent::Probation, Some(90), Some(90)),
        (ContactEvent::Probation, None, Some(30)),
        (ContactEvent::Rejected, None, None),
        (ContactEvent::Unregistered, None, None),
    ] {
        for stay_registered in [true, false] {
            let (mut bench, mut notifier) = subscribed(Config { stay_registered, ..subscribing() }, true);
            let ended = ContactInfo { retry_after, ..contact(event, None) };
            let (status, outcome) =
                bench.notified(&notifier.notify(true, &[("sip:default@ims.example", ended)]));
            assert_eq!((status, notice(&outcome).event), (200, Some(event)));
            assert!(bench.ue.registration().is_none() && !bench.ue.is_subscribed());
            assert_eq!(outcome.removed, 0, "the 200 leaves over the set");
            let (mut sent, mut removed) = (Vec::new(), 0);
            for _ in 0..100 {
                let outcome = bench.wait(1);
                removed += outcome.removed;
                sent.extend(outcome.sent.into_iter().map(|sent| (bench.now, sent)));
                if !sent.is_empty() && removed > 0 {
                    break;
                }
            }
            assert_eq!(removed, 1, "{event:?}: the set is gone");
            let Some(wait) = wait.filter(|_| stay_registered) else {
                assert!(sent.is_empty(), "{event:?}: {sent:?}");
                continue;
            };
            let (at, (flow, request)) = &sent[0];
            assert_eq!(*at, Instant::from_epoch(Duration::from_secs(1 + wait.max(1))), "{event:?}");
            assert_eq!(flow.remote, config().p_cscf, "an initial registration is not protected");
            assert!(request.first(Name::SecurityVerify).is_none());
        }
    }
}

#[test]
fn reg_13_only_our_own_contact_and_identity_count() {
    let (mut bench, mut notifier) = subscribed(subscribing(), true);
    let other =
        ContactInfo { uri: "sip:alice@10.9.0.9:7100".into(), ..contact(ContactEvent::Rejected, None) };
    let port = ContactInfo { uri: "sip:alice@10.9.0.2:7102".into(), ..contact(ContactEvent::Rejected, None) };
    let own = contact(ContactEvent::Rejected, None);
    let documents = [
        vec![("sip:alice@ims.example", other)],
        vec![("sip:alice@ims.example", port)],
        // Another identity of the set ends; ours lives.
        vec![("tel:+49301", own.clone())],
        vec![("sip:alice@ims.example", own), ("tel:+49301", contact(ContactEvent::Refreshed, Some(60)))],
    ];
    for document in documents {
        let (status, _) = bench.notified(&notifier.notify(false, &document));
        assert_eq!(status, 200);
        assert!(bench.ue.registration().is_some(), "{document:?}");
    }
}

#[test]
fn reg_12_the_subscription_is_refreshed_before_it_ends_and_made_anew_when_it_is_lost() {
    let (mut bench, notifier) = subscribed(subscribing(), true);
    assert!(bench.wait(2399).sent.is_empty());
    let outcome = bench.wait(1);
    let (_, refresh) = outcome.only();
    assert!(notifier.dialog.owns(refresh));
    let over = towards_ue(&bench.set());
    let outcome = bench.receive(over, Draft::reply(refresh, 481, "Gone", None).finish());
    let (_, anew) = outcome.only();
    assert!(matches!(outcome.steps[0], Step::NotSubscribed(_)));
    assert_ne!(anew.call_id(), refresh.call_id());
    // The network ends it for a reason that may pass: again at once.
    let mut notifier = Notifier::new(anew);
    let outcome = bench.receive(over, notifier.draft("terminated;reason=timeout").finish());
    assert!(notice(&outcome).last);
    let [(_, answer), (_, third)] = outcome.sent.as_slice() else { panic!("{:?}", outcome.sent) };
    assert_eq!((answer.status().unwrap_or_default(), third.method()), (200, Method::Subscribe));
    // And for one that does not.
    let mut notifier = Notifier::new(third);
    let outcome = bench.receive(over, notifier.draft("terminated;reason=rejected").finish());
    assert!(outcome.sent.len() == 1 && !bench.ue.is_subscribed());
}

#[test]
fn reg_12_a_refused_subscribe_leaves_the_registration_alone() {
    let (mut bench, outcome) = Bench::registered(subscribing());
    let over = towards_ue(&bench.set());
    let outcome = bench.receive(over, Draft::reply(outcome.only().1, 403, "Forbidden", Some("n")).finish());
    let [Step::NotSubscribed(failure)] = outcome.steps.as_slice() else { panic!("{:?}", outcome.steps) };
    assert_eq!(failure.status(), Some(403));
    assert!(bench.ue.registration().is_some() && !bench.ue.is_subscribed());
}

#[test]
fn reg_12_a_notify_over_tcp_is_answered_on_its_connection() {
    let (mut bench, mut notifier) = subscribed(subscribing(), true);
    let set = bench.set();
    let notify = notifier.notify(true, &[]);
    // Opened by the P-CSCF, or ours used again.
    for (sa, number) in [(set.pc_to_us, 1), (set.ps_to_uc, 2)] {
        let flow = Flow {
            transport: Transport::Tcp,
            local: sa.destination,
            remote: sa.source,
            connection: Some(sip::ConnectionId(number)),
        };
        let mut draft = Draft::forward(&notify);
        draft.set(Name::CSeq, format!("{number} NOTIFY"));
        draft.set(Name::Via, format!("SIP/2.0/TCP 10.9.0.1:6100;branch=z9hG4bKt{number}"));
        let outcome = bench.receive(flow, draft.finish());
        let (back, answer) = outcome.only();
        assert_eq!((back, answer.status()), (flow, Some(200)));
    }
}
