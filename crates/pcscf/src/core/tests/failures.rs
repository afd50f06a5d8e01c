//! Failed authentications, answers that come the wrong way, and attacks on the security agreement.

use super::*;

const EMPTY: &str = r#"nonce="n", response="""#;
const AUTS: &str = r#"nonce="n", response="", auts="uoU/PBIctV7bggBAq0E=""#;
const ANSWER: &str = r#"nonce="n", response="0123""#;

fn protected(message: &Message) -> String {
    message.authorization().unwrap().unwrap().integrity_protected.unwrap().into_owned()
}

/// DIG-7, OVW-10
#[test]
fn sa_14_a_failure_of_the_ue_in_clear_ends_the_temporary_set_at_once() {
    for failure in [EMPTY, AUTS] {
        let mut bench = Bench::new();
        let (associations, _) = bench.challenge(0);
        let offer = offer(1);
        let request = bench.register("10.9.0.2:5060", failure, &[("Security-Client", &offer)]);
        let outcome = bench.receive(clear(), request);
        assert_eq!(outcome.removed, [associations], "{failure}");
        assert_eq!(protected(outcome.only().1), "no");
        // The answer leaves as SM1 came: in clear. A new challenge makes a new set.
        let refused = bench.receive(from_core(), answer(outcome.only().1, 403, "", ""));
        assert_eq!((refused.only().0, refused.only().1.status()), (clear(), Some(403)));
        assert_eq!(bench.pcscf.sets(), 0);
    }
}

#[test]
fn sa_14_a_failure_over_the_old_set_ends_the_temporary_one_and_no_other() {
    for (failure, mark) in
        [(EMPTY, "yes"), (AUTS, "yes"), (r#"nonce="n", response="0123", auts="uoU/PBIctV7bggBAq0E=""#, "no")]
    {
        let mut bench = Bench::new();
        let (first, verify) = bench.registered(0);
        let (temporary, _) = bench.re_challenge(&first, 1, &verify, "n");
        let outcome = bench.over_set(&first, 2, &verify, failure);
        assert_eq!(outcome.removed, [temporary], "{failure}");
        assert_eq!(protected(outcome.only().1), mark, "{failure}");
        let refused = bench.receive(from_core(), answer(outcome.only().1, 403, "", ""));
        assert_eq!(refused.only().0.local, first.pc_to_us.source, "over the old set");
        // OVW-4: what was registered stays.
        assert_eq!(bench.pcscf.sets(), 1);
        assert!(bench.pcscf.registration(&device()).is_some());
    }
}

/// A stranger saw the nonce of the challenge, which crossed in clear, and answers it before the UE does.
#[test]
fn dig_10_an_answer_in_clear_goes_no_further_and_ends_nothing() {
    let mut bench = Bench::new();
    let (associations, verify) = bench.challenge(0);
    let offer = offer(1);
    let request = bench.register("10.9.0.2:5060", ANSWER, &[("Security-Client", &offer)]);
    let outcome = bench.receive(clear(), request);
    assert_eq!((outcome.only().0, outcome.only().1.status()), (clear(), Some(403)));
    assert!(outcome.removed.is_empty());
    let forwarded = bench.sm7(&associations, 0, &verify);
    assert_eq!(protected(forwarded.only().1), "yes");
}

/// A failure of a protected attempt must come over the old set too: in clear anybody could send it.
#[test]
fn sa_14_a_failure_in_clear_does_not_end_a_protected_attempt() {
    let mut bench = Bench::new();
    let (first, verify) = bench.registered(0);
    bench.re_challenge(&first, 1, &verify, "n");
    let offer = offer(2);
    let request = bench.register("10.9.0.2:5060", EMPTY, &[("Security-Client", &offer)]);
    let outcome = bench.receive(clear(), request);
    assert_eq!((outcome.only().0, outcome.only().1.status()), (clear(), Some(403)), "it went no further");
    assert!(outcome.removed.is_empty());
    assert_eq!(bench.pcscf.sets(), 2);
}

#[test]
fn sa_14_a_failure_from_another_address_goes_no_further() {
    let mut bench = Bench::new();
    bench.challenge(0);
    let offer = offer(1);
    let request = bench.register("10.9.0.66:5060", EMPTY, &[("Security-Client", &offer)]);
    let stranger = Flow { remote: "10.9.0.66:5060".parse().unwrap(), ..clear() };
    let outcome = bench.receive(stranger, request);
    assert_eq!((outcome.only().0, outcome.only().1.status()), (stranger, Some(403)));
    assert!(outcome.removed.is_empty());
}

#[test]
fn dig_10_an_answer_over_another_set_is_discarded() {
    let mut bench = Bench::new();
    let (first, verify) = bench.registered(0);
    let (second, new_verify) = bench.re_challenge(&first, 1, &verify, "n");
    let outcome = bench.over_set(&first, 2, &verify, ANSWER);
    assert!(outcome.sent.is_empty() && outcome.removed.is_empty());
    // Not even a 100 comes of it later.
    for _ in 0..20 {
        assert!(bench.wait(Duration::from_secs(1)).sent.is_empty());
    }
    let forwarded = bench.over_set(&second, 1, &new_verify, ANSWER);
    assert_eq!(protected(forwarded.only().1), "yes");
}

/// The whole table of TS 33.203 6.1.5.
#[test]
fn dig_10_yes_only_over_the_set_of_this_or_the_latest_successful_authentication() {
    let mut bench = Bench::new();
    let request = bench.sm1(0);
    assert_eq!(protected(bench.receive(clear(), request).only().1), "no", "in clear");
    let (first, verify) = bench.registered(0);
    let again = bench.over_set(&first, 1, &verify, r#"nonce="old", response="0123""#);
    assert_eq!(protected(again.only().1), "yes", "over the latest, nothing pending");
    let (second, new_verify) = bench.re_challenge(&first, 1, &verify, "n");
    let forwarded = bench.over_set(&second, 1, &new_verify, ANSWER);
    assert_eq!(protected(forwarded.only().1), "yes", "the answer over its own set");
    bench.receive(from_core(), answer(forwarded.only().1, 200, "", PROFILE));
    let late = bench.over_set(&first, 2, &verify, r#"nonce="old", response="0123""#);
    assert_eq!(protected(late.only().1), "no", "over an older set");
}

#[test]
fn sa_13_a_wrong_response_is_told_over_the_new_set_only_when_sm1_was_in_clear() {
    let mut bench = Bench::new();
    let (first, verify) = bench.challenge(0);
    let forwarded = bench.sm7(&first, 0, &verify);
    let refused = bench.receive(from_core(), answer(forwarded.only().1, 403, "", ""));
    assert_eq!(refused.only().0.local, first.pc_to_us.source, "over the new set");
    assert_eq!(refused.removed, [first]);

    let (first, verify) = bench.registered(0);
    let (second, new_verify) = bench.re_challenge(&first, 1, &verify, "n");
    let forwarded = bench.over_set(&second, 1, &new_verify, ANSWER);
    let refused = bench.receive(from_core(), answer(forwarded.only().1, 403, "", ""));
    assert_eq!(refused.only().0.local, first.pc_to_us.source, "over the old set");
    assert_eq!(refused.removed, [second]);
    assert!(bench.pcscf.registration(&device()).is_some(), "OVW-4");
}

/// OVW-9
#[test]
fn sa_5_a_newer_challenge_ends_the_older_temporary_set() {
    let mut bench = Bench::new();
    let (first, _) = bench.challenge(0);
    let request = bench.sm1(1);
    let forwarded = bench.receive(clear(), request);
    assert!(forwarded.removed.is_empty());
    let outcome = bench.receive(from_core(), answer(forwarded.only().1, 401, KEYS, ""));
    assert_eq!(outcome.removed, [first]);
    assert_eq!((outcome.installs.len(), bench.pcscf.sets()), (1, 1));
}

#[test]
fn sa_5_nothing_but_the_answer_is_taken_over_a_temporary_set() {
    let mut bench = Bench::new();
    let (associations, verify) = bench.challenge(0);
    let text = String::from_utf8(bench.sm1(0).bytes().to_vec()).unwrap();
    let options = text.replace("REGISTER", "OPTIONS");
    let outcome = bench.receive(over(&associations), Message::parse(options.into_bytes()).unwrap());
    assert!(outcome.sent.is_empty() && outcome.removed.is_empty());
    // A REGISTER that answers nothing aborts.
    let outcome = bench.over_set(&associations, 0, &verify, r#"nonce="", response="""#);
    assert_eq!(outcome.only().1.status(), Some(400));
    assert_eq!(outcome.removed, [associations]);
}

#[test]
fn sec_7_another_security_client_in_sm7_ends_the_attempt() {
    let changes = [
        ("spi-c=1000", "spi-c=2000"),
        ("port-c=7000", "port-c=7001"),
        ("aes-cbc", "null"),
        ("null", "des-ede3-cbc"),
    ];
    for (from, to) in changes {
        let mut bench = Bench::new();
        let (associations, verify) = bench.challenge(0);
        let changed = offer(0).replace(from, to);
        let headers = [("Security-Client", changed.as_str()), ("Security-Verify", verify.as_str())];
        let request = bench.register("10.9.0.2:7100", ANSWER, &headers);
        let outcome = bench.receive(over(&associations), request);
        assert!(matches!(outcome.only().1.status(), Some(400..500)), "{to}");
        assert_eq!(outcome.removed, [associations], "{to}");
    }
}

#[test]
fn sec_6_every_change_of_security_verify_ends_the_attempt() {
    let changes: [fn(&str) -> String; 6] = [
        |list| list.replace("q=0.2", "q=0.3"),
        |list| list.split_once(", ").unwrap().1.to_owned(),
        |list| list.split_once(", ").map(|(one, two)| format!("{two}, {one}")).unwrap(),
        |list| format!("{list}, {}", list.split_once(", ").unwrap().0),
        |list| list.replace("aes-cbc", "null"),
        |list| format!("{list};x=y"),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let mut bench = Bench::new();
        let (associations, verify) = bench.challenge(0);
        let outcome = bench.sm7(&associations, 0, &change(&verify));
        assert_eq!(outcome.only().1.status(), Some(494), "change {n}");
        assert_eq!(outcome.only().0.remote, associations.pc_to_us.destination, "over the new set");
        assert_eq!(outcome.removed, [associations], "change {n}");
    }
}

#[test]
fn sec_8_white_space_case_and_folding_of_security_verify_do_not_matter() {
    let mut bench = Bench::new();
    let (associations, verify) = bench.challenge(0);
    let verify = verify.to_uppercase().replace(';', " ;\r\n ").replace(',', " ,\t");
    let forwarded = bench.sm7(&associations, 0, &verify);
    assert_eq!(protected(forwarded.only().1), "yes");
}

#[test]
fn sec_2_modes_and_protocols_that_are_not_served_are_refused() {
    for (from, to) in [
        (";spi-c", ";prot=ah;spi-c"),
        (";spi-c", ";mod=tun;spi-c"),
        ("spi-c=1000", "spi-c=255"),
        ("spi-c=1000", "spi-c=4294967296"),
        ("spi-s=1001", "spi-s=1000"),
        ("port-c=7000", "port-c=5060"),
        ("port-c=7000", "port-c=0"),
        ("port-c=7000", "port-c=65536"),
        ("port-s=7100", "port-s=7000"),
        ("alg=hmac-sha-1-96;", ""),
        ("hmac-sha-1-96", "null"),
    ] {
        let mut bench = Bench::new();
        let offer = offer(0).replace(from, to);
        let request =
            bench.register("10.9.0.2:5060", r#"nonce="", response="""#, &[("Security-Client", &offer)]);
        let outcome = bench.receive(clear(), request);
        assert!(
            matches!(outcome.only().1.status(), Some(400 | 403)),
            "{to}: {outcome:?}",
            outcome = outcome.sent
        );
        assert_eq!(outcome.only().0, clear(), "{to}: it went no further");
    }
}

/// REG-8
#[test]
fn sa_16_a_ue_with_a_new_address_registers_while_its_old_sets_live() {
    let mut bench = Bench::new();
    let (first, _) = bench.registered(0);
    let there = |message: Message| {
        let text = String::from_utf8(message.bytes().to_vec()).unwrap();
        Message::parse(text.replace("10.9.0.2", "10.9.0.77").into_bytes()).unwrap()
    };
    let flow = Flow { remote: "10.9.0.77:5060".parse().unwrap(), ..clear() };
    // The same ports and SPIs as at the old address: they do not meet.
    let request = there(bench.sm1(0));
    let forwarded = bench.receive(flow, request);
    let outcome = bench.receive(from_core(), answer(forwarded.only().1, 401, KEYS, ""));
    let (set, second) = (outcome.installs[0].0, outcome.installs[0].1.associations);
    assert_eq!(second.ue_address().to_string(), "10.9.0.77");
    let challenge = bench.give(Input::SasInstalled { set });
    let verify = challenge.only().1.first(Name::SecurityServer).unwrap().to_owned();
    assert_eq!(bench.pcscf.sets(), 2, "the old set waits for the success of the new one");
    let offer = offer(0);
    let headers = [("Security-Client", offer.as_str()), ("Security-Verify", verify.as_str())];
    let request = there(bench.register("10.9.0.2:7100", ANSWER, &headers));
    let forwarded = bench.receive(over(&second), request);
    let ok = answer(forwarded.only().1, 200, "", "Contact: <sip:alice@10.9.0.77:7100>;expires=600000\r\n");
    assert_eq!(bench.receive(from_core(), ok).removed, [first]);
}

#[test]
fn sa_19_two_ues_with_the_same_ports_do_not_meet() {
    let mut bench = Bench::new();
    let (first, _) = bench.registered(0);
    let other = |message: Message| {
        let text = String::from_utf8(message.bytes().to_vec()).unwrap();
        let text = text.replace("10.9.0.2", "10.9.0.3").replace(IMPI, "bob@ims.example");
        Message::parse(text.into_bytes()).unwrap()
    };
    let flow = Flow { remote: "10.9.0.3:5060".parse().unwrap(), ..clear() };
    let request = other(bench.sm1(0));
    let forwarded = bench.receive(flow, request);
    let outcome = bench.receive(from_core(), answer(forwarded.only().1, 401, KEYS, ""));
    let second = outcome.installs[0].1.associations;
    assert_eq!(first.uc_to_ps.source.port(), second.uc_to_ps.source.port());
    assert!(outcome.removed.is_empty());
    // SEC-12: what the P-CSCF receives with is unique, whatever the UEs chose.
    let own = |set: &Associations| [set.uc_to_ps.spi, set.us_to_pc.spi];
    assert!(own(&first).iter().all(|spi| !own(&second).contains(spi)));
}

/// REG-8: the private identity may not change on a set.
#[test]
fn reg_8_a_re_register_for_somebody_else_is_refused_and_costs_nothing() {
    let mut bench = Bench::new();
    let (first, verify) = bench.registered(0);
    let offer = offer(1);
    let headers = [("Security-Client", offer.as_str()), ("Security-Verify", verify.as_str())];
    let request = bench.register("10.9.0.2:7100", r#"nonce="", response="""#, &headers);
    let text = String::from_utf8(request.bytes().to_vec()).unwrap().replace(IMPI, "other@ims.example");
    let outcome = bench.receive(over(&first), Message::parse(text.into_bytes()).unwrap());
    assert_eq!(outcome.only().1.status(), Some(403));
    assert_eq!((outcome.removed.len(), bench.pcscf.sets()), (0, 1));
}

/// With md5 ruled out by policy a UE that offers nothing else is turned away at once.
#[test]
fn ovw_6_an_offer_of_md5_alone_gets_an_error_and_no_challenge() {
    let mut bench = Bench::new();
    let offer = offer(0).replace("hmac-sha-1-96", "hmac-md5-96");
    let request = bench.register("10.9.0.2:5060", r#"nonce="", response="""#, &[("Security-Client", &offer)]);
    let outcome = bench.receive(clear(), request);
    assert_eq!((outcome.only().0, outcome.only().1.status()), (clear(), Some(403)), "it went no further");
}

/// SA-10: neither at the first registration nor at a later one.
#[test]
fn sec_14_a_client_port_in_use_is_refused_over_a_set_too() {
    let mut bench = Bench::new();
    let (first, verify) = bench.registered(0);
    let again = bench.over_set(&first, 0, &verify, r#"nonce="old", response="0123""#);
    assert_eq!(again.only().1.status(), Some(403));
    let request = bench.sm1(0);
    assert_eq!(bench.receive(clear(), request).only().1.status(), Some(403));
    assert_eq!(bench.pcscf.sets(), 1);
}

#[test]
fn reg_17_a_preloaded_route_to_the_p_cscf_is_consumed() {
    for route in ["<sip:10.9.0.1:5060;lr>", "<sip:pcscf.visited.example;lr>", "<sip:10.9.0.1:6100;lr>"] {
        let mut bench = Bench::new();
        let offer = offer(0);
        let headers = [("Security-Client", offer.as_str()), ("Route", route)];
        let request = bench.register("10.9.0.2:5060", r#"nonce="", response="""#, &headers);
        let outcome = bench.receive(clear(), request);
        assert_eq!(outcome.only().0, from_core(), "{route}");
        assert_eq!(outcome.only().1.first(Name::Route), None, "{route}");
    }
}

/// Both transports over the four associations of one registration: answers take the way of their request.
#[test]
fn sa_4_udp_and_tcp_share_one_set() {
    let mut bench = Bench::new();
    let (set, verify) = bench.registered(0);
    let by_udp = bench.over_set(&set, 1, &verify, r#"nonce="old", response="0123""#);
    let refused = bench.receive(from_core(), answer(by_udp.only().1, 403, "", ""));
    assert_eq!(refused.only().0, Flow::udp(set.pc_to_us.source, set.pc_to_us.destination));
    let offer = offer(1);
    let headers = [("Security-Client", offer.as_str()), ("Security-Verify", verify.as_str())];
    let request = bench.register("10.9.0.2:7100", r#"nonce="old", response="0123""#, &headers);
    let connection = Some(sip::ConnectionId(9));
    let stream = Flow { transport: sip::Transport::Tcp, connection, ..over(&set) };
    let by_tcp = bench.receive(stream, request);
    let refused = bench.receive(from_core(), answer(by_tcp.only().1, 403, "", ""));
    assert_eq!(refused.only().0, stream);
}

/// RFC 5626: two phones with one private identity, each a flow of its own: neither's registration touches the other's sets.
#[test]
fn sec_13_two_contacts_of_one_identity_have_sets_of_their_own() {
    let mut bench = Bench::new();
    let device = |flow: &str, message: Message| {
        let text = String::from_utf8(message.bytes().to_vec()).unwrap();
        let contact = format!("7100>;+sip.instance=\"<urn:uuid:{flow}>\";reg-id=1\r\n");
        let text =
            text.replace("7100>\r\n", &contact).replace("Supported: path", "Supported: path, outbound");
        Message::parse(text.replace("10.9.0.2", &format!("10.9.0.{flow}")).into_bytes()).unwrap()
    };
    let mut sets = Vec::new();
    for flow in ["21", "22"] {
        let clear = Flow { remote: format!("10.9.0.{flow}:5060").parse().unwrap(), ..clear() };
        let request = device(flow, bench.sm1(0));
        let sm2 = bench.receive(clear, request);
        assert!(sm2.only().1.first(Name::Path).unwrap().ends_with(";lr;ob>"), "the registrar may keep both");
        let outcome = bench.receive(from_core(), answer(sm2.only().1, 401, KEYS, ""));
        let (set, associations) = (outcome.installs[0].0, outcome.installs[0].1.associations);
        let sm6 = bench.give(Input::SasInstalled { set });
        let verify = sm6.only().1.first(Name::SecurityServer).unwrap().to_owned();
        let offer = offer(0);
        let headers = [("Security-Client", offer.as_str()), ("Security-Verify", verify.as_str())];
        let request = device(flow, bench.register("10.9.0.2:7100", ANSWER, &headers));
        let sm8 = bench.receive(over(&associations), request);
        let contact = format!("Contact: <sip:alice@10.9.0.{flow}:7100>;expires=600000\r\n");
        let sm12 = bench.receive(from_core(), answer(sm8.only().1, 200, "", &contact));
        assert!(sm12.removed.is_empty(), "the other's sets stay");
        sets.push((associations, verify));
    }
    assert_eq!(bench.pcscf.sets(), 2);
    // One leaves: the other stays.
    let (first, verify) = &sets[0];
    let offer = offer(1);
    let headers = [("Security-Client", offer.as_str()), ("Security-Verify", verify.as_str())];
    let request = device("21", bench.register("10.9.0.2:7100", r#"nonce="old", response="0123""#, &headers));
    let leaves = bench.receive(over(first), request);
    bench.receive(from_core(), answer(leaves.only().1, 200, "", ""));
    assert_eq!(bench.wait(Duration::from_secs(130)).removed, [*first]);
    assert_eq!(bench.pcscf.sets(), 1);
}
