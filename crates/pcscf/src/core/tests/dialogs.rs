//! When a dialog begins and ends, and that it outlives the run.

use super::invite::{from_scscf, from_ue, to_ue};
use super::*;

const ANONYMOUS: &str = "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=b";
const PRESENCE: &str = "Event: presence\r\nExpires: 600\r\n";

fn notify(cseq: u32, state: &str) -> Message {
    to_ue("NOTIFY", cseq, "a", &format!("Event: presence\r\nSubscription-State: {state}\r\n"))
}

impl Bench {
    fn watching(&mut self, set: &Associations, verify: &str) -> Message {
        let outcome = self.receive(over(set), from_ue("SUBSCRIBE", 1, "", verify, PRESENCE));
        outcome.to(S_CSCF)[0].clone()
    }

    fn as_the_ue_gets(&mut self, message: Message) -> Message {
        self.receive(from_scscf(), message).to("10.9.0.2:7100")[0].clone()
    }
}

#[test]
fn sip_18_a_notify_may_overtake_the_answer_and_the_last_one_ends_the_dialog() {
    let mut bench = Bench::new();
    let (set, verify, _) = bench.registered_with_profile(0);
    let subscribe = bench.watching(&set, &verify);
    let first = bench.as_the_ue_gets(notify(1, "active;expires=600"));
    assert_eq!(first.first(Name::RecordRoute), Some("<sip:10.9.0.1:6100;lr>"), "it makes the dialog");
    bench.receive(over(&set), answer(&first, 200, "", ""));
    let accepted =
        answer_of(&subscribe, 200, "b", "Expires: 600\r\nRecord-Route: <sip:scscf.ims.example;lr>\r\n");
    bench.receive(from_scscf(), accepted);
    assert_eq!(bench.pcscf.open_dialogs(), 1);
    let refresh = bench.receive(over(&set), from_ue("SUBSCRIBE", 2, "b", &verify, PRESENCE));
    assert_eq!(refresh.to(S_CSCF)[0].first(Name::Route), Some("<sip:scscf.ims.example;lr>"));
    let last = bench.as_the_ue_gets(notify(2, "terminated;reason=timeout"));
    assert_eq!(last.first(Name::RecordRoute), None);
    bench.receive(over(&set), answer(&last, 200, "", ""));
    assert_eq!(bench.pcscf.open_dialogs(), 0);
}

#[test]
fn sip_18_a_subscription_that_nobody_refreshes_ends_with_its_time() {
    let mut bench = Bench::new();
    let (set, verify, _) = bench.registered_with_profile(0);
    let subscribe = bench.watching(&set, &verify);
    bench.receive(from_scscf(), answer_of(&subscribe, 200, "b", "Expires: 600\r\n"));
    bench.wait(Duration::from_secs(700));
    assert_eq!(bench.pcscf.open_dialogs(), 1, "what was said in time may come late");
    bench.wait(Duration::from_secs(61));
    assert_eq!(bench.pcscf.open_dialogs(), 0);
}

#[test]
fn sip_18_a_refused_subscription_leaves_nothing_and_481_ends_one() {
    let mut bench = Bench::new();
    let (set, verify, _) = bench.registered_with_profile(0);
    let subscribe = bench.watching(&set, &verify);
    assert_eq!(bench.pcscf.open_dialogs(), 1, "begun");
    bench.receive(from_scscf(), answer_of(&subscribe, 489, "b", ""));
    assert_eq!(bench.pcscf.open_dialogs(), 0);
    let text = String::from_utf8(from_ue("SUBSCRIBE", 3, "", &verify, PRESENCE).bytes().to_vec()).unwrap();
    let outcome = bench.receive(over(&set), Message::parse(text.into_bytes()).unwrap());
    bench.receive(from_scscf(), answer_of(outcome.to(S_CSCF)[0], 200, "b", "Expires: 600\r\n"));
    let told = bench.as_the_ue_gets(notify(1, "active"));
    bench.receive(over(&set), answer(&told, 481, "", ""));
    assert_eq!(bench.pcscf.open_dialogs(), 0);
}

#[test]
fn dialogs_end_with_the_registration() {
    let mut bench = Bench::new();
    let (set, verify, _) = bench.registered_with_profile(0);
    bench.called(&set, &verify);
    assert_eq!(bench.pcscf.open_dialogs(), 1);
    // The UE was switched off and on.
    let (set, ..) = bench.registered_with_profile(1);
    assert_eq!(bench.pcscf.open_dialogs(), 0);
    bench.answered(&set, "Privacy: id\r\n");
    assert_eq!(bench.pcscf.open_dialogs(), 1);
    assert_eq!(bench.pcscf.open_privacy(), 1);
    bench.wait(Duration::from_secs(600_100));
    assert_eq!((bench.pcscf.open_dialogs(), bench.pcscf.sets(), bench.pcscf.open_privacy()), (0, 0, 0));
}

#[test]
fn a_ue_whose_registration_is_over_is_called_no_more() {
    let mut bench = Bench::new();
    let (set, verify, _) = bench.registered_with_profile(0);
    let subscribe = bench.watching(&set, &verify);
    bench.receive(from_scscf(), answer_of(&subscribe, 200, "b", "Expires: 600\r\n"));
    let forwarded = bench.over_set(&set, 1, &verify, r#"nonce="n", response="0123""#);
    bench.receive(from_core(), answer(forwarded.only().1, 200, "", "Expires: 0\r\n"));
    let refused = bench.receive(from_scscf(), to_ue("INVITE", 1, "", ""));
    assert_eq!(refused.only().1.status(), Some(480));
    let refused = bench.receive(over(&set), from_ue("INVITE", 9, "", &verify, ""));
    assert_eq!(refused.only().1.status(), Some(403));
    // What it watches says so for the last time.
    let last = bench.as_the_ue_gets(notify(1, "terminated;reason=rejected"));
    assert_eq!(bench.receive(over(&set), answer(&last, 200, "", "")).to(S_CSCF).len(), 1);
    assert_eq!(bench.pcscf.open_dialogs(), 0);
}

#[test]
fn sa_17_a_session_and_its_privacy_go_on_after_a_restart() {
    let mut bench = Bench::new();
    bench.pcscf.save_changes();
    let (set, verify, _) = bench.registered_with_profile(0);
    let lines = "Privacy: user;id\r\nRecord-Route: <sip:scscf.ims.example;lr>\r\n";
    let invite = bench.as_the_ue_gets(to_ue("INVITE", 1, "", lines));
    let outcome = bench.receive(over(&set), answer_of(&invite, 200, "a", ""));
    let [saved] = outcome.saved.as_slice() else { panic!("written down before the 200 leaves") };
    assert_eq!(saved.dialogs.len(), 1);

    let mut next = Bench::new();
    next.now = bench.now + Duration::from_secs(5);
    let held: Vec<HeldState> = set
        .iter()
        .map(|sa| HeldState { source: sa.source, destination: sa.destination, spi: sa.spi.get() })
        .collect();
    next.pcscf.restore(next.now, bench.pcscf.saved().collect(), &held);
    next.pcscf.save_changes();
    next.give(Input::Timeout);
    assert_eq!(next.pcscf.open_dialogs(), 1);
    let again = next.as_the_ue_gets(to_ue("INVITE", 2, "a", ""));
    assert_eq!((again.first(Name::From), again.first(Name::PAssertedIdentity)), (Some(ANONYMOUS), None));
    next.receive(over(&set), answer(&again, 200, "", ""));
    let text = String::from_utf8(from_ue("BYE", 2, "b", &verify, "").bytes().to_vec()).unwrap();
    let bye = text.replace("To: <sip:bob@ims.example>;tag=b", &format!("To: {ANONYMOUS}"));
    let outcome = next.receive(over(&set), Message::parse(bye.into_bytes()).unwrap());
    let sent = outcome.to(S_CSCF)[0];
    assert_eq!(sent.first(Name::To), Some("\"Bob\" <sip:bob@ims.example>;tag=b"));
    let outcome = next.receive(from_scscf(), answer(sent, 200, "", ""));
    assert!(outcome.saved[0].dialogs.is_empty());
    assert_eq!((next.pcscf.open_dialogs(), next.pcscf.open_privacy()), (0, 0));
}

#[test]
fn sip_17_an_address_that_registers_too_often_waits() {
    let mut bench = Bench::new();
    let mut limited = config();
    limited.limits.registers = Rate { burst: 3, per_second: 1 };
    bench.pcscf = PCscf::new(limited, [7; 32]);
    for _ in 0..3 {
        let request = bench.sm1(0);
        assert_eq!(bench.receive(clear(), request).only().1.method(), Method::Register, "it goes on");
    }
    let request = bench.sm1(0);
    let outcome = bench.receive(clear(), request);
    let (_, refused) = outcome.only();
    assert_eq!((refused.status(), refused.first(Name::RetryAfter)), (Some(503), Some("30")));
    let request = bench.sm1(0);
    let elsewhere = Flow { remote: "10.9.0.3:5060".parse().unwrap(), ..clear() };
    let text = String::from_utf8(request.bytes().to_vec()).unwrap().replace("10.9.0.2", "10.9.0.3");
    let outcome = bench.receive(elsewhere, Message::parse(text.into_bytes()).unwrap());
    assert_eq!(outcome.only().1.method(), Method::Register, "another address is not concerned");
}
