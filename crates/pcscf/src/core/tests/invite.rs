//! Sessions: both directions, and how they end.

use super::*;

/// The peer, behind the core network.
const FAR: &str = "<sip:scscf.ims.example;lr>";

/// A request of the UE in this call, with lines of its own.
pub(super) fn from_ue(method: &str, cseq: u32, to_tag: &str, verify: &str, lines: &str) -> Message {
    let to_tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    let text = format!(
        "{method} sip:bob@ims.example SIP/2.0\r\n\
         Via: SIP/2.0/UDP 10.9.0.2:7100;branch=z9hG4bK-{method}{cseq}\r\nMax-Forwards: 70\r\n\
         From: <sip:alice@ims.example>;tag=a\r\nTo: <sip:bob@ims.example>{to_tag}\r\n\
         Call-ID: call\r\nCSeq: {cseq} {method}\r\nContact: <sip:alice@10.9.0.2:7100>\r\n\
         Security-Verify: {verify}\r\n{lines}Content-Length: 0\r\n\r\n"
    );
    Message::parse(text.into_bytes()).unwrap()
}

/// A request of the core network for the UE.
pub(super) fn to_ue(method: &str, cseq: u32, to_tag: &str, lines: &str) -> Message {
    let to_tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    let text = format!(
        "{method} sip:alice@10.9.0.2:7100 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 10.8.0.3:5060;branch=z9hG4bK-{method}{cseq}\r\n\
         Via: SIP/2.0/UDP 10.8.0.9:5060;branch=z9hG4bK-far\r\nMax-Forwards: 60\r\n\
         Route: <sip:term@10.8.0.1:5060;lr>\r\n\
         From: \"Bob\" <sip:bob@ims.example>;tag=b\r\nTo: <sip:alice@ims.example>{to_tag}\r\n\
         Call-ID: call\r\nCSeq: {cseq} {method}\r\nContact: <sip:bob@10.8.0.9>\r\n\
         P-Asserted-Identity: <sip:bob@ims.example>\r\n{lines}Content-Length: 0\r\n\r\n"
    );
    Message::parse(text.into_bytes()).unwrap()
}

pub(super) fn from_scscf() -> Flow {
    Flow::udp("10.8.0.1:5060".parse().unwrap(), S_CSCF.parse().unwrap())
}

impl Bench {
    /// The UE calls, and the call is answered. Answers the 200 as the UE gets it.
    pub(super) fn called(&mut self, set: &Associations, verify: &str) -> Message {
        let outcome = self.receive(over(set), from_ue("INVITE", 1, "", verify, ""));
        let invite = outcome.to(S_CSCF)[0].clone();
        let own = invite.first(Name::RecordRoute).unwrap().to_owned();
        let lines = format!("Record-Route: {FAR}, {own}\r\nContact: <sip:bob@10.8.0.9>\r\n");
        self.receive(from_scscf(), answer_of(&invite, 200, "b", &lines)).only().1.clone()
    }

    /// The UE is called, and answers.
    pub(super) fn answered(&mut self, set: &Associations, lines: &str) -> Message {
        let lines = format!("Record-Route: {FAR}\r\n{lines}");
        let outcome = self.receive(from_scscf(), to_ue("INVITE", 1, "", &lines));
        let invite = outcome.to("10.9.0.2:7100")[0].clone();
        let ok = answer_of(&invite, 200, "a", "Contact: <sip:alice@10.9.0.2:7100>\r\n");
        self.receive(over(set), ok).only().1.clone()
    }

    fn status(&mut self, flow: Flow, message: Message) -> Option<u16> {
        self.receive(flow, message).only().1.status()
    }
}

#[test]
fn sip_7_each_side_sees_its_own_record_route_and_requests_pass_both_ways() {
    let mut bench = Bench::new();
    let (set, verify, _) = bench.registered_with_profile(0);
    let ok = bench.called(&set, &verify);
    let recorded: Vec<_> = ok.values(Name::RecordRoute).collect();
    assert_eq!(recorded, [FAR, "<sip:10.9.0.1:6100;lr>"], "the UE sees the protected port");
    assert_eq!(bench.pcscf.open_dialogs(), 1);

    // TS 24.229 5.2.6.3: the stored route counts, whatever the UE writes.
    let route = "Route: <sip:10.9.0.1:6100;lr>, <sip:10.8.0.66;lr>\r\n";
    let outcome = bench.receive(over(&set), from_ue("ACK", 1, "b", &verify, route));
    let [ack] = outcome.to(S_CSCF)[..] else { panic!("{:?}", outcome.sent) };
    assert_eq!(ack.values(Name::Route).collect::<Vec<_>>(), [FAR]);
    assert_eq!((ack.first(Name::PAssertedIdentity), ack.first(Name::SecurityVerify)), (None, None));
    assert_eq!(ack.values(Name::Via).count(), 2);
    for (cseq, method) in (2..).zip(["PRACK", "UPDATE", "INFO", "INVITE", "REFER", "MESSAGE", "WAVE"]) {
        let outcome = bench.receive(over(&set), from_ue(method, cseq, "b", &verify, ""));
        let sent = outcome.to(S_CSCF)[0];
        assert_eq!(sent.values(Name::Route).collect::<Vec<_>>(), [FAR], "{method}");
        assert_eq!(sent.first(Name::RecordRoute), None);
        assert_eq!(sent.first(Name::PAssertedIdentity), Some("<sip:alice@ims.example>"));
        assert_eq!(bench.receive(from_scscf(), answer(sent, 200, "", "")).only().1.status(), Some(200));

        let outcome = bench.receive(from_scscf(), to_ue(method, cseq, "a", ""));
        let (flow, sent) = outcome.only();
        assert_eq!((flow.local, flow.remote), (set.pc_to_us.source, set.pc_to_us.destination), "{method}");
        assert_eq!((sent.first(Name::Route), sent.first(Name::RecordRoute)), (None, None));
        assert_eq!(sent.top_via().unwrap().port, Some(6100));
        assert_eq!(bench.receive(over(&set), answer(sent, 200, "", "")).to(S_CSCF).len(), 1);
    }
}

#[test]
fn sip_7_a_called_ue_sees_the_protected_port_and_the_core_gets_back_what_it_recorded() {
    let mut bench = Bench::new();
    let (set, verify, _) = bench.registered_with_profile(0);
    let lines = format!(
        "Record-Route: {FAR}\r\nP-Called-Party-ID: <tel:+491>\r\nP-Charging-Vector: icid-value=1\r\n"
    );
    let outcome = bench.receive(from_scscf(), to_ue("INVITE", 1, "", &lines));
    let invite = outcome.to("10.9.0.2:7100")[0];
    let recorded: Vec<_> = invite.values(Name::RecordRoute).collect();
    assert_eq!(recorded, ["<sip:10.9.0.1:6100;lr>", FAR]);
    assert_eq!(invite.first(Name::PCalledPartyId), Some("<tel:+491>"));
    assert_eq!(invite.first(Name::PChargingVector), None);
    assert_eq!(invite.first(Name::PAssertedIdentity), Some("<sip:bob@ims.example>"));
    // Whatever the UE makes of Via and Record-Route.
    let lines = "Record-Route: <sip:10.8.0.66;lr>\r\nP-Asserted-Identity: <sip:boss@ims.example>\r\n";
    let ringing = answer_of(invite, 180, "a", lines);
    let forged = Draft::forward(&ringing).push(Name::Via, "SIP/2.0/UDP 10.8.0.66").finish();
    let outcome = bench.receive(over(&set), forged);
    let ringing = outcome.to(S_CSCF)[0];
    assert_eq!(ringing.status(), Some(180));
    assert_eq!(ringing.values(Name::Via).count(), 2);
    assert_eq!(ringing.values(Name::RecordRoute).collect::<Vec<_>>(), ["<sip:10.8.0.1:5060;lr>", FAR]);
    // PRV-1: the identity that was called.
    assert_eq!(ringing.values(Name::PAssertedIdentity).collect::<Vec<_>>(), ["<tel:+491>"]);
    let ok = bench.receive(
        over(&set),
        answer_of(invite, 200, "a", "P-Preferred-Identity: <sip:alice@ims.example>\r\n"),
    );
    let ok = ok.to(S_CSCF)[0];
    assert_eq!(ok.values(Name::PAssertedIdentity).collect::<Vec<_>>(), ["<sip:alice@ims.example>"]);
    assert_eq!(ok.first(Name::PPreferredIdentity), None);
    // In its dialog the UE goes on under the name that was called.
    let outcome = bench.receive(over(&set), from_ue("BYE", 2, "b", &verify, ""));
    let bye = outcome.to(S_CSCF)[0];
    assert_eq!(bye.values(Name::PAssertedIdentity).collect::<Vec<_>>(), ["<tel:+491>"]);
    assert_eq!(bye.values(Name::Route).collect::<Vec<_>>(), [FAR]);
    bench.receive(from_scscf(), answer(bye, 200, "", ""));
    assert_eq!(bench.pcscf.open_dialogs(), 0);
}

#[test]
fn sip_19_a_cancel_ends_the_invite_hop_by_hop() {
    let mut bench = Bench::new();
    let (set, verify, _) = bench.registered_with_profile(0);
    let outcome = bench.receive(over(&set), from_ue("INVITE", 1, "", &verify, ""));
    let invite = outcome.to(S_CSCF)[0].clone();
    bench.receive(from_scscf(), answer_of(&invite, 180, "b", ""));
    assert_eq!(bench.pcscf.open_dialogs(), 1, "an early one");
    let via = from_ue("INVITE", 1, "", &verify, "");
    let text =
        String::from_utf8(from_ue("CANCEL", 1, "", &verify, "Reason: SIP;cause=200\r\n").bytes().to_vec())
            .unwrap();
    let cancel = Message::parse(text.replace("z9hG4bK-CANCEL1", "z9hG4bK-INVITE1").into_bytes()).unwrap();
    assert_eq!(cancel.first(Name::Via), via.first(Name::Via));
    let outcome = bench.receive(over(&set), cancel);
    assert_eq!(outcome.to("10.9.0.2:7100")[0].status(), Some(200));
    let onward = outcome.to(S_CSCF)[0];
    assert_eq!((onward.method(), onward.first(Name::Reason)), (Method::Cancel, Some("SIP;cause=200")));
    assert_eq!(
        (onward.first(Name::Via), onward.first(Name::PAssertedIdentity)),
        (invite.first(Name::Via), None)
    );
    let outcome = bench.receive(from_scscf(), answer_of(&invite, 487, "b", ""));
    assert_eq!(outcome.to("10.9.0.2:7100")[0].status(), Some(487));
    assert_eq!(outcome.to(S_CSCF)[0].method(), Method::Ack);
    assert_eq!((bench.pcscf.open_dialogs(), bench.pcscf.open_relays()), (0, 0));
    // Nothing is left to cancel that was never there.
    let stray = from_ue("CANCEL", 7, "", &verify, "");
    assert_eq!(bench.status(over(&set), stray), Some(481));
}

#[test]
fn sip_19_the_2xx_is_repeated_and_does_not_bring_back_a_dialog_that_is_over() {
    let mut bench = Bench::new();
    let (set, verify, _) = bench.registered_with_profile(0);
    let outcome = bench.receive(over(&set), from_ue("INVITE", 1, "", &verify, ""));
    let invite = outcome.to(S_CSCF)[0].clone();
    let ok = answer_of(&invite, 200, "b", &format!("Record-Route: {FAR}\r\n"));
    for _ in 0..3 {
        assert_eq!(bench.status(from_scscf(), ok.clone()), Some(200));
    }
    let outcome = bench.receive(from_scscf(), to_ue("BYE", 1, "a", ""));
    let bye = outcome.only().1.clone();
    bench.receive(over(&set), answer(&bye, 200, "", ""));
    assert_eq!(bench.pcscf.open_dialogs(), 0);
    assert_eq!(bench.status(from_scscf(), ok), Some(200));
    assert_eq!(bench.pcscf.open_dialogs(), 0);
    for _ in 0..40 {
        bench.wait(Duration::from_secs(20));
    }
    assert_eq!((bench.pcscf.open_relays(), bench.pcscf.open_transactions()), (0, 0));
}

#[test]
fn a_request_for_a_dialog_that_is_not_known_is_refused_and_its_ack_dropped() {
    let mut bench = Bench::new();
    let (set, verify, _) = bench.registered_with_profile(0);
    for (cseq, method) in (1..).zip(["BYE", "UPDATE", "INVITE", "NOTIFY", "MESSAGE"]) {
        assert_eq!(bench.status(over(&set), from_ue(method, cseq, "b", &verify, "")), Some(481), "{method}");
        assert_eq!(bench.status(from_scscf(), to_ue(method, cseq, "a", "")), Some(481), "{method}");
    }
    assert_eq!(bench.status(over(&set), from_ue("BYE", 9, "", &verify, "")), Some(481), "in no dialog");
    assert!(bench.receive(over(&set), from_ue("ACK", 9, "b", &verify, "")).sent.is_empty());
    assert!(bench.receive(from_scscf(), to_ue("ACK", 9, "a", "")).sent.is_empty());
}

#[test]
fn sip_4_each_check_has_its_status() {
    let mut bench = Bench::new();
    let (set, verify, _) = bench.registered_with_profile(0);
    let changed = |message: Message, from: &str, to: &str| {
        let text = String::from_utf8(message.bytes().to_vec()).unwrap();
        assert!(text.contains(from), "{text}");
        Message::parse(text.replacen(from, to, 1).into_bytes()).unwrap()
    };
    let ue = |cseq, lines: &str| from_ue("MESSAGE", cseq, "", &verify, lines);
    assert_eq!(bench.status(over(&set), changed(ue(1, ""), "sip:bob@", "mailto:bob@")), Some(416));
    assert_eq!(
        bench.status(over(&set), changed(ue(2, ""), "Max-Forwards: 70", "Max-Forwards: 0")),
        Some(483)
    );
    let refused = bench.receive(over(&set), ue(3, "Proxy-Require: sec-agree, wings\r\n"));
    assert_eq!(
        (refused.only().1.status(), refused.only().1.first(Name::Unsupported)),
        (Some(420), Some("wings"))
    );
    assert_eq!(bench.status(over(&set), ue(4, "Privacy: none;id\r\n")), Some(400));
    assert_eq!(bench.status(over(&set), changed(ue(5, ""), ";tag=a", "")), None, "a MESSAGE needs no tag");
    let invite = changed(from_ue("INVITE", 6, "", &verify, ""), ";tag=a", "");
    assert_eq!(bench.status(over(&set), invite), Some(400));
    assert_eq!(bench.status(over(&set), changed(ue(7, ""), "UDP 10.9.0.2", "UDP 10.9.0.9")), Some(403));
    // SIP-4: what comes back as it left is a loop.
    let outcome = bench.receive(from_scscf(), to_ue("MESSAGE", 8, "", ""));
    let sent = outcome.to("10.9.0.2:7100")[0];
    let own = sent.first(Name::Via).unwrap();
    let looped = Draft::forward(&to_ue("MESSAGE", 8, "", "")).push(Name::Via, own).finish();
    let looped = changed(looped, "z9hG4bK-MESSAGE8", "z9hG4bK-again");
    assert_eq!(bench.status(from_scscf(), looped), Some(482));
    // PRV-2: in clear nothing but REGISTER is taken, whoever says that he is registered.
    let outcome = bench.receive(clear(), ue(9, ""));
    assert_eq!(outcome.only().1.status(), Some(403));
}

#[test]
fn sip_5_own_routes_are_taken_and_a_strict_router_is_understood() {
    let mut bench = Bench::new();
    let (set, ..) = bench.registered_with_profile(0);
    bench.answered(&set, "");
    let text = String::from_utf8(to_ue("INFO", 2, "a", "").bytes().to_vec()).unwrap();
    let two = "Route: <sip:10.8.0.1:5060;lr>, <sip:pcscf.visited.example;lr>\r\n";
    let own = "Route: <sip:term@10.8.0.1:5060;lr>\r\n";
    let outcome = bench.receive(from_scscf(), Message::parse(text.replace(own, two).into_bytes()).unwrap());
    assert_eq!(outcome.to("10.9.0.2:7100")[0].first(Name::Route), None);
    let strict = text.replace(own, "Route: <sip:alice@10.9.0.2:7100>\r\n");
    let strict =
        strict.replace("INFO sip:alice@10.9.0.2:7100", "INFO sip:10.8.0.1:5060;lr").replace("INFO2", "INFO3");
    let outcome = bench.receive(from_scscf(), Message::parse(strict.into_bytes()).unwrap());
    let sent = outcome.to("10.9.0.2:7100")[0];
    assert_eq!((sent.request_uri(), sent.first(Name::Route)), (Some("sip:alice@10.9.0.2:7100"), None));
}

/// SIP-10: whatever connections the UE has closed, a new one begins at our client port.
#[test]
fn sip_8_a_large_request_takes_tcp_between_the_protected_ports_and_udp_where_that_is_refused() {
    let mut bench = Bench::new();
    let (set, verify, _) = bench.registered_with_profile(0);
    let subject = format!("Subject: {}\r\n", "x".repeat(1300));
    let outcome = bench.receive(from_scscf(), to_ue("MESSAGE", 1, "", &subject));
    let (flow, sent) = outcome.only();
    // SIP-10: whatever connections the UE has closed, a new one begins at our client port.
    assert_eq!(flow, Flow::tcp(set.pc_to_us.source, set.pc_to_us.destination));
    assert!(sent.first(Name::Via).unwrap().starts_with("SIP/2.0/TCP 10.9.0.1:6100"));
    let outcome = bench.give(Input::TransportFailed { flow });
    let (flow, sent) = outcome.only();
    assert_eq!(flow, Flow::udp(set.pc_to_us.source, set.pc_to_us.destination));
    assert!(sent.first(Name::Via).unwrap().starts_with("SIP/2.0/UDP 10.9.0.1:6100"));
    assert_eq!(bench.receive(over(&set), answer(sent, 200, "", "")).to(S_CSCF)[0].status(), Some(200));

    let outcome = bench.receive(over(&set), from_ue("MESSAGE", 1, "", &verify, &subject));
    let (flow, _) = outcome.only();
    assert_eq!((flow.transport, flow.remote.to_string()), (sip::Transport::Tcp, S_CSCF.to_owned()));
    let outcome = bench.give(Input::TransportFailed { flow });
    assert_eq!(outcome.only().0, Flow::udp("10.8.0.1:5060".parse().unwrap(), S_CSCF.parse().unwrap()));
}

#[test]
fn sip_11_a_503_of_the_core_network_is_a_500_to_the_ue() {
    let mut bench = Bench::new();
    let (set, verify, _) = bench.registered_with_profile(0);
    let outcome = bench.receive(over(&set), from_ue("MESSAGE", 1, "", &verify, ""));
    let busy = answer(outcome.to(S_CSCF)[0], 503, "", "Retry-After: 9\r\n");
    let outcome = bench.receive(from_scscf(), busy);
    assert_eq!((outcome.only().1.status(), outcome.only().1.first(Name::RetryAfter)), (Some(500), None));
}

#[test]
fn sip_12_silence_is_a_408_to_an_invite_only() {
    for (method, expected) in [("INVITE", 408), ("MESSAGE", 504)] {
        let mut bench = Bench::new();
        let (set, verify, _) = bench.registered_with_profile(0);
        bench.receive(over(&set), from_ue(method, 1, "", &verify, ""));
        let mut statuses = Vec::new();
        for _ in 0..130 {
            let outcome = bench.wait(Duration::from_secs(1));
            statuses.extend(outcome.to("10.9.0.2:7100").iter().filter_map(|message| message.status()));
        }
        statuses.retain(|status| *status != 100);
        statuses.dedup();
        assert_eq!(statuses, [expected], "{method}");
        assert_eq!(bench.pcscf.open_relays(), 0);
    }
}

#[test]
fn sip_20_an_answer_with_a_foreign_top_via_goes_nowhere() {
    let mut bench = Bench::new();
    let (set, verify, _) = bench.registered_with_profile(0);
    let outcome = bench.receive(over(&set), from_ue("MESSAGE", 1, "", &verify, ""));
    let ok = answer(outcome.to(S_CSCF)[0], 200, "", "");
    let text = String::from_utf8(ok.bytes().to_vec()).unwrap();
    let foreign = text.replacen("UDP 10.8.0.1:5060", "UDP 10.8.0.66:5060", 1);
    assert!(bench.receive(from_scscf(), Message::parse(foreign.into_bytes()).unwrap()).sent.is_empty());
    assert_eq!(bench.status(from_scscf(), ok), Some(200), "the right one is still awaited");
}

#[test]
fn a_device_has_64_dialogs_and_the_one_used_longest_ago_makes_way() {
    let mut bench = Bench::new();
    let (set, ..) = bench.registered_with_profile(0);
    for n in 0..70 {
        let text = String::from_utf8(to_ue("INVITE", 1, "", "").bytes().to_vec()).unwrap();
        let text = text
            .replace("Call-ID: call", &format!("Call-ID: call{n}"))
            .replace("INVITE1", &format!("INVITE{n}"));
        let outcome = bench.receive(from_scscf(), Message::parse(text.into_bytes()).unwrap());
        let invite = outcome.to("10.9.0.2:7100")[0].clone();
        bench.receive(over(&set), answer_of(&invite, 200, "a", ""));
    }
    assert_eq!(bench.pcscf.open_dialogs(), 64);
    let info = |n: u32| {
        let text = String::from_utf8(to_ue("INFO", 2, "a", "").bytes().to_vec()).unwrap();
        let text =
            text.replace("Call-ID: call", &format!("Call-ID: call{n}")).replace("INFO2", &format!("INFO{n}"));
        Message::parse(text.into_bytes()).unwrap()
    };
    assert_eq!(bench.status(from_scscf(), info(5)), Some(481));
    assert_eq!(bench.status(from_scscf(), info(6)), None, "it goes to the UE");
}

#[test]
fn what_nobody_has_accepted_ends_no_call() {
    let mut bench = Bench::new();
    let (set, ..) = bench.registered_with_profile(0);
    let invite = bench.receive(from_scscf(), to_ue("INVITE", 1, "", "")).to("10.9.0.2:7100")[0].clone();
    bench.receive(over(&set), answer_of(&invite, 200, "a", ""));
    for n in 0..70 {
        let text =
            String::from_utf8(to_ue("SUBSCRIBE", 1, "", "Event: presence\r\n").bytes().to_vec()).unwrap();
        let text = text
            .replace("Call-ID: call", &format!("Call-ID: flood{n}"))
            .replace("SUBSCRIBE1", &format!("SUBSCRIBE{n}"));
        bench.receive(from_scscf(), Message::parse(text.into_bytes()).unwrap());
    }
    assert_eq!(bench.pcscf.open_dialogs(), 64);
    assert_eq!(bench.status(from_scscf(), to_ue("INFO", 2, "a", "")), None, "the call goes on");
}

/// SIP-17: a flood in clear costs no transactions either.
#[test]
fn sip_17_who_is_turned_away_leaves_nothing() {
    let mut bench = Bench::new();
    for n in 0..2000 {
        let method = if n % 2 == 0 { "INVITE" } else { "MESSAGE" };
        let text = String::from_utf8(to_ue(method, 1, "", "").bytes().to_vec()).unwrap();
        let text = text.replace(&format!("{method}1"), &format!("{method}{n}"));
        let message = Message::parse(text.into_bytes()).unwrap();
        assert_eq!(bench.receive(clear(), message).only().1.status(), Some(403));
    }
    assert_eq!(bench.pcscf.open_transactions(), 0);
}
