//! Subscriptions between users, both ways.

use sip::{Dialog, Method};

use super::caller::methods;
use super::page::{from_peer, received};
use super::*;

fn subscribe(branch: &str, package: &str, expires: u32) -> Draft<'static> {
    let mut draft = from_peer(Method::Subscribe, branch);
    draft
        .push(Name::RecordRoute, "<sip:10.9.0.1:6100;lr>")
        .push(Name::Contact, "<sip:bob@10.8.0.2:7100>")
        .push(Name::Event, format!("{package};id=7"))
        .push(Name::Expires, expires.to_string());
    draft
}

fn presence() -> Bench {
    let answering = Answering { packages: vec!["presence".into()], ..Answering::default() };
    Bench::registered(Config { answering, ..config() }).0
}

#[test]
fn sip_18_a_package_of_ours_is_subscribed_to_and_notified_at_once() {
    let mut bench = presence();
    let other = bench.comes(subscribe("o", "dialog", 60).finish());
    assert_eq!(methods(&other), ["489"]);
    assert_eq!(other.only().1.first(Name::AllowEvents), Some("presence"));
    let request = subscribe("s", "presence", 60).finish();
    let outcome = bench.comes(request.clone());
    assert_eq!(methods(&outcome), ["200", "NOTIFY"]);
    let (ok, notify) = (outcome.sent[0].1.clone(), outcome.sent[1].1.clone());
    assert_eq!((ok.expires(), received(&outcome).status), (Some(60), Some(200)));
    let mut dialog = Dialog::uac(&request, &ok).unwrap();
    assert!(dialog.owns(&notify));
    assert_eq!(notify.request_uri(), Some("sip:bob@10.8.0.2:7100"));
    assert_eq!(notify.values(Name::Route).collect::<Vec<_>>(), ["<sip:10.9.0.1:6100;lr>"]);
    assert_eq!(
        (notify.first(Name::Event), notify.first(Name::SubscriptionState)),
        (Some("presence;id=7"), Some("active;expires=60"))
    );
    bench.comes(Draft::reply(&notify, 200, "OK", None).finish());
    let mut refresh = dialog.request(Method::Subscribe);
    refresh
        .remove(Name::Route)
        .push_front(Name::Via, "SIP/2.0/UDP 10.9.0.1:6100;branch=z9hG4bKr")
        .push(Name::Event, "presence;id=7")
        .push(Name::Expires, "30");
    assert_eq!(methods(&bench.comes(refresh.finish())), ["200", "NOTIFY"]);
    let last = bench.wait(30);
    let last = last.sent.iter().rfind(|(_, message)| message.method() == Method::Notify).unwrap();
    assert_eq!(last.1.first(Name::SubscriptionState), Some("terminated;reason=timeout"));
    let mut late = dialog.request(Method::Subscribe);
    late.remove(Name::Route)
        .push_front(Name::Via, "SIP/2.0/UDP 10.9.0.1:6100;branch=z9hG4bKl")
        .push(Name::Event, "presence");
    assert_eq!(methods(&bench.comes(late.finish())), ["481"]);
}

#[test]
fn sip_18_who_does_not_know_its_subscription_is_not_notified_again() {
    let mut bench = presence();
    let outcome = bench.comes(subscribe("s", "presence", 60).finish());
    let notify = &outcome.sent[1].1;
    bench.comes(Draft::reply(notify, 481, "No", None).finish());
    let mut later = Vec::new();
    for _ in 0..70 {
        later.extend(methods(&bench.wait(1)));
    }
    assert!(!later.iter().any(|word| word == "NOTIFY"), "{later:?}");
}

#[test]
fn prv_17_a_subscription_of_ours_takes_notifies_until_the_last() {
    let (mut bench, _) = Bench::registered(config());
    let request = Request::subscribe("sip:bob@ims.example", "presence", 600);
    let outcome = bench.give(Input::Command(request.into()));
    let request = outcome.only().1.clone();
    assert_eq!((request.first(Name::Event), request.expires()), (Some("presence"), Some(600)));
    let mut notifier = Dialog::uas(&request, "n").unwrap();
    let mut notify = |state: &str| {
        let mut draft = notifier.request(Method::Notify);
        let via = format!("SIP/2.0/UDP 10.9.0.1:6100;branch=z9hG4bKn{}", notifier.local_cseq);
        draft
            .remove(Name::Route)
            .push_front(Name::Via, via)
            .push(Name::Contact, "<sip:bob@10.8.0.2:7100>")
            .push(Name::PAssertedIdentity, "<sip:bob@ims.example>")
            .push(Name::Event, "presence")
            .push(Name::SubscriptionState, state.to_owned());
        draft.finish()
    };
    let outcome = bench.comes(notify("active;expires=600"));
    assert_eq!(methods(&outcome), ["200"], "it has overtaken the answer");
    assert_eq!(received(&outcome).asserted, ["<sip:bob@ims.example>".into()]);
    let mut ok = Draft::reply(&request, 200, "OK", Some("n"));
    ok.push(Name::Contact, "<sip:bob@10.8.0.2:7100>").push(Name::Expires, "600");
    let outcome = bench.comes(ok.finish());
    assert!(matches!(outcome.steps[..], [Step::Answered { .. }]));
    assert_eq!(methods(&bench.comes(notify("active;expires=500"))), ["200"]);
    assert_eq!(methods(&bench.comes(notify("terminated;reason=noresource"))), ["200"]);
    assert_eq!(methods(&bench.comes(notify("active"))), ["489"], "nobody has subscribed any more");
}

#[test]
fn a_subscription_that_is_refused_takes_no_notify() {
    let (mut bench, _) = Bench::registered(config());
    let request = Request::subscribe("sip:bob@ims.example", "presence", 600);
    let outcome = bench.give(Input::Command(request.into()));
    let request = outcome.only().1.clone();
    bench.comes(Draft::reply(&request, 489, "Bad Event", Some("n")).finish());
    let mut notifier = Dialog { remote_target: "sip:a".into(), ..Dialog::uas(&request, "n").unwrap() };
    let mut draft = notifier.request(Method::Notify);
    draft
        .push_front(Name::Via, "SIP/2.0/UDP 10.9.0.1:6100;branch=z9hG4bKn")
        .push(Name::Contact, "<sip:bob@10.8.0.2:7100>")
        .push(Name::Event, "presence")
        .push(Name::SubscriptionState, "active");
    assert_eq!(methods(&bench.comes(draft.finish())), ["489"]);
}
