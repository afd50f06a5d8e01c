//! From SM1 to SM12, and what may go wrong with the kernel and the core network.

use sec_agree::Role;
use sip::Transport;

use super::*;

/// SEC-11
#[test]
fn reg_1_sm2_has_what_the_core_needs_and_nothing_of_sec_agree() {
    let mut bench = Bench::new();
    let offer = offer(0);
    let forged = [
        ("Security-Client", offer.as_str()),
        ("P-Asserted-Identity", "<sip:boss@ims.example>"),
        ("P-Charging-Vector", "icid-value=forged"),
        ("P-Visited-Network-ID", "forged"),
        ("Route", "<sip:10.9.0.1:5060;lr>"),
        ("X-Unknown", "kept"),
    ];
    let request =
        bench.register("10.9.0.2:5060", r#"nonce="", response="", integrity-protected="yes""#, &forged);
    let outcome = bench.receive(clear(), request);
    let (flow, sm2) = outcome.only();
    assert_eq!(flow, from_core());
    for absent in [Name::SecurityClient, Name::ProxyRequire, Name::PAssertedIdentity, Name::Route] {
        assert_eq!(sm2.first(absent), None, "{}", absent.as_str());
    }
    assert_eq!(sm2.lines(Name::Require).collect::<Vec<_>>(), ["path"]);
    assert_eq!(sm2.first(Name::Path), Some("<sip:term@10.8.0.1:5060;lr>"));
    assert_eq!(sm2.lines(Name::PVisitedNetworkId).collect::<Vec<_>>(), ["\"visited.example\""]);
    assert_eq!(sm2.lines(Name::PChargingVector).count(), 1);
    assert!(!sm2.first(Name::PChargingVector).unwrap().contains("forged"));
    assert_eq!(sm2.first(Name::MaxForwards), Some("69"));
    assert_eq!(sm2.values(Name::Via).count(), 2);
    assert_eq!(sm2.named("X-Unknown"), Some("kept"));
    //= TS 33.203 6.1.5
    let credentials = sm2.authorization().unwrap().unwrap();
    assert_eq!(credentials.integrity_protected.as_deref(), Some("no"));
}

#[test]
fn the_401_leaves_only_after_the_kernel_has_all_four_states() {
    let mut bench = Bench::new();
    let request = bench.sm1(0);
    let forwarded = bench.receive(clear(), request);
    let outcome = bench.receive(from_core(), answer(forwarded.only().1, 401, KEYS, ""));
    assert!(outcome.sent.is_empty(), "nothing leaves before the kernel has answered");
    let [(set, sas, lifetime)] = outcome.installs.as_slice() else { panic!("one set") };
    assert_eq!(*lifetime, Duration::from_secs(240 + 60));
    assert_eq!(sas.associations.algorithms.to_string(), "hmac-sha-1-96/aes-cbc");
    assert_eq!(sas.associations.uc_to_ps.source, "10.9.0.2:7000".parse().unwrap());
    assert_eq!(sas.associations.pc_to_us.destination, "10.9.0.2:7100".parse().unwrap());
    let challenge = bench.give(Input::SasInstalled { set: *set });
    let (flow, sm6) = challenge.only();
    assert_eq!(flow, clear());
    assert_eq!(sm6.status(), Some(401));
    // OVW-2, DIG-5
    let text = String::from_utf8(sm6.bytes().to_vec()).unwrap();
    assert!(!text.contains("f769bcd7") && !text.contains("b40ba9a3"), "no key on Gm");
    assert!(sm6.www_authenticate().unwrap().unwrap().keys.is_none());
    // SEC-4: the whole list, whatever was offered.
    assert_eq!(sm6.values(Name::SecurityServer).count(), 2);
}

#[test]
fn a_kernel_that_refuses_gives_the_ue_an_error_and_the_log_the_cause() {
    let mut bench = Bench::new();
    let request = bench.sm1(0);
    let forwarded = bench.receive(clear(), request);
    let outcome = bench.receive(from_core(), answer(forwarded.only().1, 401, KEYS, ""));
    let set = outcome.installs[0].0;
    let refused = bench.give(Input::SasFailed { set, cause: "File exists".into() });
    assert_eq!(refused.only().1.status(), Some(500));
    assert_eq!(refused.only().1.first(Name::WwwAuthenticate), None);
    assert!(bench.events.iter().any(|event| matches!(event,
        Event::Refused { refusal: Refusal::Kernel, cause: Some(cause), .. } if &**cause == "File exists")));
    assert_eq!(bench.pcscf.sets(), 0);
    // Nothing is left that would stand in the way of another try with the same numbers.
    bench.challenge(0);
}

#[test]
fn dig_5_a_challenge_without_keys_is_not_forwarded() {
    for keys in ["", r#", ik="f769bcd751044604127672711c6d3441""#, r#", ik="00", ck="00""#] {
        let mut bench = Bench::new();
        let request = bench.sm1(0);
        let forwarded = bench.receive(clear(), request);
        let mut response = answer(forwarded.only().1, 401, keys, "");
        if keys.is_empty() {
            response = answer(forwarded.only().1, 401, ", opaque=\"x\"", "");
        }
        let outcome = bench.receive(from_core(), response);
        assert!(outcome.installs.is_empty());
        assert_eq!(outcome.only().1.status(), Some(500), "{keys}");
    }
}

#[test]
fn sa_2_protected_udp_answers_leave_from_the_client_port_to_the_ues_server_port() {
    let mut bench = Bench::new();
    let (associations, verify) = bench.challenge(0);
    let forwarded = bench.sm7(&associations, 0, &verify);
    let (_, sm8) = forwarded.only();
    assert_eq!(sm8.first(Name::SecurityVerify), None);
    assert_eq!(sm8.authorization().unwrap().unwrap().integrity_protected.as_deref(), Some("yes"));
    let headers = "Contact: <sip:alice@10.9.0.2:7100>;expires=3600\r\nP-Charging-Vector: icid-value=1\r\n\
                   P-Associated-URI: <sip:alice@ims.example>\r\nService-Route: <sip:orig@scscf.ims.example;lr>\r\n";
    let outcome = bench.receive(from_core(), answer(sm8, 200, "", headers));
    let (flow, sm12) = &outcome.sent[0];
    assert_eq!((flow.local, flow.remote), (associations.pc_to_us.source, associations.pc_to_us.destination));
    assert_eq!(sm12.values(Name::Via).count(), 1);
    assert_eq!(sm12.first(Name::PChargingVector), None);
    assert_eq!(sm12.first(Name::ServiceRoute), Some("<sip:orig@scscf.ims.example;lr>"));
    // SA-8: the registration's life and 30 s, and the kernel a minute more.
    assert_eq!(outcome.extended, [(associations, Duration::from_secs(3600 + 30 + 60))]);
    let registration = bench.pcscf.registration(&device()).unwrap();
    assert_eq!(*registration.associated_uris, ["sip:alice@ims.example".into()]);
    assert_eq!(*registration.service_route, ["<sip:orig@scscf.ims.example;lr>".into()]);
}

#[test]
fn tcp_answers_stay_on_their_connection() {
    let mut bench = Bench::new();
    let (associations, verify) = bench.challenge(0);
    let headers = [("Security-Client", offer(0)), ("Security-Verify", verify)];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let request = bench.register("10.9.0.2:7100", r#"nonce="n", response="0123""#, &headers);
    let connection = Some(sip::ConnectionId(9));
    let flow = Flow { transport: Transport::Tcp, connection, ..over(&associations) };
    let forwarded = bench.receive(flow, request);
    let outcome = bench.receive(from_core(), answer(forwarded.only().1, 403, "", ""));
    assert_eq!(outcome.only().0, flow);
    // SA-13: the set of a failed answer goes after the message, which a stream carries later.
    assert!(outcome.removed.is_empty(), "the answer is not written yet");
    assert_eq!(bench.wait(Duration::from_secs(128)).removed, [associations]);
}

/// SA-6
#[test]
fn sa_9_re_registration_makes_a_second_set_and_the_first_ends_when_the_second_is_used() {
    let mut bench = Bench::new();
    let (first, verify) = bench.registered(0);
    let headers = [("Security-Client", offer(1)), ("Security-Verify", verify)];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let request = bench.register("10.9.0.2:7100", r#"nonce="n", response="0123""#, &headers);
    let forwarded = bench.receive(over(&first), request);
    assert_eq!(
        forwarded.only().1.authorization().unwrap().unwrap().integrity_protected.as_deref(),
        Some("yes"),
        "over the set of the latest success"
    );
    let outcome = bench.receive(from_core(), answer(forwarded.only().1, 401, KEYS, ""));
    let (set, second) = (outcome.installs[0].0, outcome.installs[0].1.associations);
    let challenge = bench.give(Input::SasInstalled { set });
    // The challenge leaves over the set its request came over.
    let (flow, sm6) = challenge.only();
    assert_eq!((flow.local, flow.remote), (first.pc_to_us.source, first.pc_to_us.destination));
    for role in Role::ALL {
        let of = |set: &Associations| *set.iter().find(|sa| sa.role == role).unwrap();
        assert_ne!(of(&first).spi, of(&second).spi);
    }
    assert_ne!(first.pc_to_us.source, second.pc_to_us.source, "another client port");
    assert_eq!(first.uc_to_ps.destination, second.uc_to_ps.destination, "the same server port");
    let verify = sm6.first(Name::SecurityServer).unwrap().to_owned();
    let forwarded = bench.sm7(&second, 1, &verify);
    let ok = answer(forwarded.only().1, 200, "", "Contact: <sip:alice@10.9.0.2:7100>;expires=600000\r\n");
    let outcome = bench.receive(from_core(), ok);
    assert!(outcome.removed.is_empty(), "the old set stays until the new one is used");
    assert_eq!(bench.pcscf.sets(), 2);
    // A message over the new set: the old one has 64*T1 = 128 s left.
    let headers = [("Security-Client", offer(2)), ("Security-Verify", verify)];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let request = bench.register("10.9.0.2:7100", r#"nonce="n", response="0123""#, &headers);
    let outcome = bench.receive(over(&second), request);
    assert_eq!(outcome.extended, [(first, Duration::from_secs(128 + 60))]);
    assert!(bench.wait(Duration::from_secs(127)).removed.is_empty());
    assert_eq!(bench.wait(Duration::from_secs(2)).removed, [first]);
    assert_eq!(bench.pcscf.sets(), 1);
}

#[test]
fn sa_7_an_unprotected_registration_ends_all_older_sets() {
    let mut bench = Bench::new();
    let (first, _) = bench.registered(0);
    let (second, verify) = bench.challenge(1);
    let forwarded = bench.sm7(&second, 1, &verify);
    let ok = answer(forwarded.only().1, 200, "", "Contact: <sip:alice@10.9.0.2:7100>;expires=600000\r\n");
    let outcome = bench.receive(from_core(), ok);
    assert_eq!(outcome.removed, [first]);
    assert_eq!(bench.pcscf.sets(), 1);
}

#[test]
fn sa_5_an_unanswered_challenge_leaves_nothing() {
    let mut bench = Bench::new();
    let (associations, _) = bench.challenge(0);
    assert!(bench.wait(Duration::from_secs(239)).removed.is_empty());
    assert_eq!(bench.wait(Duration::from_secs(2)).removed, [associations]);
    assert_eq!(bench.pcscf.sets(), 0);
}

#[test]
fn sa_12_a_message_over_no_association_reaches_nobody() {
    let mut bench = Bench::new();
    let (associations, verify) = bench.registered(0);
    let headers = [("Security-Client", offer(1)), ("Security-Verify", verify)];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let request = bench.register("10.9.0.2:7100", r#"nonce="n", response="0123""#, &headers);
    let right = over(&associations);
    let other_port = Flow { remote: "10.9.0.2:7001".parse().unwrap(), ..right };
    let other_address = Flow { remote: "10.9.0.3:7000".parse().unwrap(), ..right };
    let other_local = Flow { local: associations.pc_to_us.source, ..right };
    for flow in [other_port, other_address, other_local] {
        let outcome = bench.receive(flow, request.clone());
        assert!(outcome.sent.is_empty(), "{flow:?}");
    }
    assert_eq!(bench.receive(right, request).sent.len(), 1);
}

#[test]
fn sec_6_a_changed_security_verify_ends_the_attempt() {
    let mut bench = Bench::new();
    let (associations, verify) = bench.challenge(0);
    let outcome = bench.sm7(&associations, 0, &verify.replace("q=0.2", "q=0.3"));
    let (flow, response) = outcome.only();
    assert_eq!(response.status(), Some(494));
    assert_eq!(flow.remote, associations.pc_to_us.destination, "over the new set");
    assert_eq!(outcome.removed, [associations]);
}

#[test]
fn sec_16_another_private_identity_on_the_set_is_refused() {
    let mut bench = Bench::new();
    let (associations, verify) = bench.challenge(0);
    let headers = [("Security-Client", offer(0)), ("Security-Verify", verify)];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let request = bench.register("10.9.0.2:7100", r#"nonce="n", response="0123""#, &headers);
    let text = String::from_utf8(request.bytes().to_vec()).unwrap().replace(IMPI, "other@ims.example");
    let outcome = bench.receive(over(&associations), Message::parse(text.into_bytes()).unwrap());
    assert_eq!(outcome.only().1.status(), Some(403));
}

#[test]
fn refusals_of_sm1() {
    let refused = |from: &str, to: &str| {
        let mut bench = Bench::new();
        let text = String::from_utf8(bench.sm1(0).bytes().to_vec()).unwrap();
        assert!(text.contains(from));
        let outcome = bench.receive(clear(), Message::parse(text.replace(from, to).into_bytes()).unwrap());
        (outcome.only().1.status().unwrap(), outcome.only().1.first(Name::SecurityServer).is_some())
    };
    // SEC-10
    assert_eq!(refused("Require: sec-agree\r\nProxy-Require: sec-agree", "X: y"), (421, true));
    assert_eq!(refused("Security-Client", "X-Client"), (400, false));
    assert_eq!(refused("spi-c=1000", "spi-c=7"), (400, false));
    assert_eq!(refused("hmac-sha-1-96", "hmac-md5-96"), (403, false));
    assert_eq!(refused("REGISTER sip:ims.example", "REGISTER sip:other.example"), (404, false));
    assert_eq!(refused("Max-Forwards: 70", "Max-Forwards: 0"), (483, false));
    assert_eq!(refused("Proxy-Require: sec-agree", "Proxy-Require: sec-agree, magic"), (420, false));
    assert_eq!(refused("Via: ", "Via: SIP/2.0/UDP 10.9.0.9;branch=z9hG4bK1, "), (502, false));
}

#[test]
fn sec_14_a_client_port_in_use_is_refused() {
    let mut bench = Bench::new();
    bench.registered(0);
    let request = bench.sm1(0);
    assert_eq!(bench.receive(clear(), request).only().1.status(), Some(403));
}

#[test]
fn a_core_network_that_is_silent_gives_504() {
    let mut bench = Bench::new();
    let request = bench.sm1(0);
    bench.receive(clear(), request);
    let mut sent = Vec::new();
    for _ in 0..40 {
        sent.extend(bench.wait(Duration::from_secs(1)).sent.into_iter().filter(|(flow, _)| *flow == clear()));
    }
    assert_eq!(sent.iter().filter_map(|(_, message)| message.status()).max(), Some(504));
}

#[test]
fn sip_12_the_100_to_a_protected_request_takes_the_protected_way_too() {
    let mut bench = Bench::new();
    let (associations, verify) = bench.challenge(0);
    bench.sm7(&associations, 0, &verify);
    let mut to_ue = Vec::new();
    for _ in 0..20 {
        let sent = bench.wait(Duration::from_secs(1)).sent;
        to_ue.extend(sent.into_iter().filter(|(flow, _)| flow.local.ip() == associations.p_cscf_address()));
    }
    // RFC 4320: 14 s after the request where T1 is 2 s.
    let [(flow, trying)] = to_ue.as_slice() else { panic!("one answer, not {to_ue:?}") };
    assert_eq!(trying.status(), Some(100));
    assert_eq!((flow.local, flow.remote), (associations.pc_to_us.source, associations.pc_to_us.destination));
}

#[test]
fn sa_11_only_register_is_taken_in_clear() {
    let mut bench = Bench::new();
    let text = String::from_utf8(bench.sm1(0).bytes().to_vec()).unwrap().replace("REGISTER", "MESSAGE");
    let outcome = bench.receive(clear(), Message::parse(text.into_bytes()).unwrap());
    assert_eq!(outcome.only().1.status(), Some(403));
}

#[test]
fn the_end_takes_every_set_with_it() {
    let mut bench = Bench::new();
    let (associations, _) = bench.registered(0);
    bench.pcscf.end();
    let outcome = bench.give(Input::Timeout);
    assert_eq!(outcome.removed, [associations]);
}
