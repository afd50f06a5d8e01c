//! Requests other than REGISTER.

use super::*;

fn subscribe(verify: &str, extra: &str) -> Message {
    let text = format!(
        "SUBSCRIBE sip:alice@ims.example SIP/2.0\r\n\
         Via: SIP/2.0/UDP 10.9.0.2:7100;branch=z9hG4bK-sub\r\nMax-Forwards: 70\r\n\
         From: <sip:alice@ims.example>;tag=f\r\nTo: <sip:alice@ims.example>\r\n\
         Call-ID: s1\r\nCSeq: 1 SUBSCRIBE\r\nContact: <sip:alice@10.9.0.2:7100>\r\n\
         Route: <sip:10.9.0.1:6100;lr>, <sip:elsewhere.example;lr>\r\n\
         Require: sec-agree\r\nProxy-Require: sec-agree\r\nSecurity-Verify: {verify}\r\n\
         P-Asserted-Identity: <sip:boss@ims.example>\r\nEvent: reg\r\n{extra}Content-Length: 0\r\n\r\n"
    );
    Message::parse(text.into_bytes()).unwrap()
}

/// What the S-CSCF sends to the UE by the route that the SUBSCRIBE recorded.
fn notify(cseq: u32, body: &str) -> Message {
    let text = format!(
        "NOTIFY sip:alice@10.9.0.2:7100 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 10.8.0.3:5060;branch=z9hG4bK-not{cseq}\r\nMax-Forwards: 70\r\n\
         Route: <sip:10.8.0.1:5060;lr>, <sip:10.9.0.1:6100;lr>\r\n\
         From: <sip:alice@ims.example>;tag=s\r\nTo: <sip:alice@ims.example>;tag=f\r\n\
         Call-ID: s1\r\nCSeq: {cseq} NOTIFY\r\nEvent: reg\r\nSubscription-State: active\r\n\
         Contact: <sip:scscf.ims.example:5060>\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    Message::parse(text.into_bytes()).unwrap()
}

fn from_scscf() -> Flow {
    Flow::udp("10.8.0.1:5060".parse().unwrap(), S_CSCF.parse().unwrap())
}

impl Bench {
    /// The UE has subscribed: what [`notify`] makes is in this dialog.
    fn subscribed(&mut self, set: &Associations, verify: &str) {
        let forwarded = self.receive(over(set), subscribe(verify, ""));
        let route = "Record-Route: <sip:10.8.0.1:5060;lr>\r\nContact: <sip:scscf.ims.example:5060>\r\n";
        let accepted = answer_of(forwarded.to(S_CSCF)[0], 200, "s", route);
        assert_eq!(self.receive(from_scscf(), accepted).only().1.status(), Some(200));
    }
}

#[test]
fn reg_11_a_request_goes_by_the_stored_service_route_whatever_its_own_says() {
    let mut bench = Bench::new();
    let (associations, verify, _) = bench.registered_with_profile(0);
    let outcome = bench.receive(over(&associations), subscribe(&verify, ""));
    let [forwarded] = outcome.to(S_CSCF)[..] else { panic!("{:?}", outcome.sent) };
    assert_eq!(forwarded.values(Name::Route).collect::<Vec<_>>(), ["<sip:orig@scscf.ims.example;lr>"]);
    // SEC-11
    for gone in [Name::SecurityVerify, Name::Require, Name::ProxyRequire] {
        assert_eq!(forwarded.first(gone), None, "{}", gone.as_str());
    }
    assert_eq!(forwarded.values(Name::PAssertedIdentity).collect::<Vec<_>>(), ["<sip:alice@ims.example>"]);
    let recorded: Vec<_> = forwarded.values(Name::RecordRoute).collect();
    assert_eq!(recorded, ["<sip:10.8.0.1:5060;lr>"]);
    // SA-2: the answer leaves our client port for the UE's server port.
    let answered = bench.receive(from_scscf(), answer_of(forwarded, 200, "s", ""));
    let (flow, response) = answered.only();
    assert_eq!((flow.local, flow.remote), (associations.pc_to_us.source, associations.pc_to_us.destination));
    assert_eq!((response.status(), response.values(Name::Via).count()), (Some(200), 1));
}

#[test]
fn a_preferred_identity_is_asserted_only_if_it_is_registered() {
    let mut bench = Bench::new();
    let (associations, verify, _) = bench.registered_with_profile(0);
    for (preferred, asserted) in
        [("tel:+491", "<tel:+491>"), ("sip:boss@ims.example", "<sip:alice@ims.example>")]
    {
        let request = subscribe(&verify, &format!("P-Preferred-Identity: <{preferred}>\r\n"));
        let text = String::from_utf8(request.bytes().to_vec()).unwrap();
        let text = text.replace("z9hG4bK-sub", &format!("z9hG4bK-{}", preferred.len()));
        let outcome = bench.receive(over(&associations), Message::parse(text.into_bytes()).unwrap());
        let forwarded = outcome.to(S_CSCF)[0];
        assert_eq!(forwarded.values(Name::PAssertedIdentity).collect::<Vec<_>>(), [asserted]);
        assert_eq!(forwarded.first(Name::PPreferredIdentity), None);
    }
}

#[test]
fn what_is_not_as_agreed_is_not_relayed() {
    let mut bench = Bench::new();
    let (associations, verify, _) = bench.registered_with_profile(0);
    let refused = |bench: &mut Bench, request: Message, status| {
        let outcome = bench.receive(over(&associations), request);
        assert_eq!(outcome.only().1.status(), Some(status), "{:?}", outcome.sent);
    };
    let changed = |from: &str, to: &str, n: u32| {
        let text = String::from_utf8(subscribe(&verify, "").bytes().to_vec()).unwrap().replace(from, to);
        Message::parse(text.replace("z9hG4bK-sub", &format!("z9hG4bK-{n}")).into_bytes()).unwrap()
    };
    refused(&mut bench, changed("q=0.2", "q=0.3", 1), 494);
    refused(&mut bench, changed("UDP 10.9.0.2", "UDP 10.9.0.9", 2), 403);
    refused(&mut bench, changed("SUBSCRIBE sip:", "SUBSCRIBE http:", 3), 416);
    refused(&mut bench, changed("Max-Forwards: 70", "Max-Forwards: 0", 4), 483);
    refused(&mut bench, changed("To: <sip:alice@ims.example>", "To: <sip:alice@ims.example>;tag=x", 5), 481);
}

#[test]
fn a_notify_goes_over_the_old_set_until_the_ue_has_used_the_new_one() {
    let mut bench = Bench::new();
    let (first, verify, _) = bench.registered_with_profile(0);
    bench.subscribed(&first, &verify);
    let outcome = bench.receive(from_scscf(), notify(1, ""));
    let (flow, forwarded) = outcome.only();
    assert_eq!((flow.local, flow.remote), (first.pc_to_us.source, first.pc_to_us.destination));
    assert_eq!(forwarded.first(Name::Route), None);
    assert_eq!(forwarded.top_via().unwrap().port, Some(6100), "the UE answers to the server port");
    // SA-2: the UE's answer comes from its client port.
    let answered = bench.receive(over(&first), answer(forwarded, 200, "", ""));
    assert_eq!(answered.to(S_CSCF).len(), 1);

    let (second, new_verify) = bench.re_challenge(&first, 1, &verify, "n");
    let during = bench.receive(from_scscf(), notify(2, ""));
    assert_eq!(during.only().0.local, first.pc_to_us.source, "between SM6 and SM12");
    let sm7 = bench.over_set(&second, 1, &new_verify, r#"nonce="n", response="0123""#);
    bench.receive(from_core(), answer(sm7.only().1, 200, "", PROFILE));
    let after = bench.receive(from_scscf(), notify(3, ""));
    assert_eq!(after.only().0.local, first.pc_to_us.source, "after SM12, the new set not used yet");
    // An answer over the new set is a use as well.
    let used = bench.receive(over(&second), answer(after.only().1, 200, "", ""));
    assert_eq!(used.extended, [(first, Duration::from_secs(128 + 60))]);
    let later = bench.receive(from_scscf(), notify(4, ""));
    assert_eq!(later.only().0.local, second.pc_to_us.source);
}

#[test]
fn sa_3_a_large_notify_takes_tcp_from_our_client_port() {
    let mut bench = Bench::new();
    let (first, verify, _) = bench.registered_with_profile(0);
    bench.subscribed(&first, &verify);
    let outcome = bench.receive(from_scscf(), notify(1, &"x".repeat(1300)));
    let (flow, forwarded) = outcome.only();
    assert_eq!(flow, Flow::tcp(first.pc_to_us.source, first.pc_to_us.destination));
    let connection = Some(sip::ConnectionId(4));
    let back = Flow { connection, ..flow };
    assert_eq!(bench.receive(back, answer(forwarded, 200, "", "")).to(S_CSCF).len(), 1);
    // On that connection a UE may answer, not ask.
    let asked = bench.receive(back, subscribe("x", ""));
    assert!(asked.sent.is_empty());
}

#[test]
fn a_ue_cannot_answer_for_another() {
    let mut bench = Bench::new();
    let (alices, verify, _) = bench.registered_with_profile(0);
    bench.subscribed(&alices, &verify);
    let outcome = bench.receive(from_scscf(), notify(1, ""));
    let forwarded = outcome.only().1.clone();
    let other = |message: Message| {
        let text = String::from_utf8(message.bytes().to_vec()).unwrap();
        let text = text.replace("10.9.0.2", "10.9.0.3").replace(IMPI, "bob@ims.example");
        Message::parse(text.into_bytes()).unwrap()
    };
    let flow = Flow { remote: "10.9.0.3:5060".parse().unwrap(), ..clear() };
    let request = other(bench.sm1(0));
    let sm2 = bench.receive(flow, request);
    let outcome = bench.receive(from_core(), answer(sm2.only().1, 401, KEYS, ""));
    let (set, bobs) = (outcome.installs[0].0, outcome.installs[0].1.associations);
    bench.give(Input::SasInstalled { set });
    let outcome = bench.receive(over(&bobs), answer(&forwarded, 200, "", ""));
    assert_eq!(outcome.only().1.status(), Some(480), "nothing of that answer goes on");
}

#[test]
fn a_request_for_nobody_or_from_nobody_is_refused() {
    let mut bench = Bench::new();
    let refused = bench.receive(from_scscf(), notify(1, ""));
    assert_eq!(refused.only().1.status(), Some(480), "nobody is registered there");
    bench.registered_with_profile(0);
    let stranger = Flow::udp("10.8.0.1:5060".parse().unwrap(), "10.8.0.66:5060".parse().unwrap());
    let refused = bench.receive(stranger, notify(2, ""));
    assert_eq!(refused.only().1.status(), Some(403));
    let text = String::from_utf8(notify(3, "").bytes().to_vec()).unwrap();
    let onward = text.replace(
        "Route: <sip:10.8.0.1:5060;lr>, <sip:10.9.0.1:6100;lr>",
        "Route: <sip:10.8.0.1:5060;lr>, <sip:10.8.0.66;lr>",
    );
    let refused = bench.receive(from_scscf(), Message::parse(onward.into_bytes()).unwrap());
    assert_eq!(refused.only().1.status(), Some(404));
}

#[test]
fn a_ue_that_does_not_answer_gives_408() {
    let mut bench = Bench::new();
    let (set, verify, _) = bench.registered_with_profile(0);
    bench.subscribed(&set, &verify);
    bench.receive(from_scscf(), notify(1, ""));
    let mut statuses = Vec::new();
    for _ in 0..140 {
        let outcome = bench.wait(Duration::from_secs(1));
        statuses.extend(outcome.to(S_CSCF).iter().filter_map(|message| message.status()));
    }
    // The S-CSCF has given up long before: 32 s against 128 s on Gm; RFC 4320 keeps the late 408 back.
    assert!(statuses.iter().all(|status| *status == 100), "{statuses:?}");
}
