//! From SM1 to SM12.

use sec_agree::SecAgreeError;
use sip::{Method, Transport};

use super::*;

#[test]
fn reg_1_sm1_offers_everything_and_claims_nothing() {
    let (flow, request) = Bench::new(config()).register();
    let local = "10.9.0.2:5060".parse().unwrap();
    assert_eq!(flow, Flow::udp(local, config().p_cscf));
    assert_eq!((request.method(), request.request_uri()), (Method::Register, Some("sip:ims.example")));
    let credentials = request.authorization().unwrap().unwrap();
    assert_eq!(credentials.username, "001010000000001@ims.example");
    assert_eq!((&*credentials.nonce, credentials.response.as_deref()), ("", Some("")));
    assert_eq!(request.first(Name::PAccessNetworkInfo), None);
    assert!(request.first(Name::Via).unwrap().contains(";rport"));
    for (name, tag) in
        [(Name::Require, "sec-agree"), (Name::ProxyRequire, "sec-agree"), (Name::Supported, "path")]
    {
        assert!(sip::OptionTags::of(&request, name).contains(tag), "{tag}");
    }
    let offer = SecurityClient::parse(request.values(Name::SecurityClient)).unwrap();
    assert_eq!(offer.algorithms(), config().algorithms);
    let setup = offer.setup();
    assert_eq!(setup.port_s, config().server_port);
    assert!(config().client_ports.contains(setup.port_c.get()));
    assert!(request.first(Name::Contact).unwrap().contains("10.9.0.2:7100"), "the protected server port");
    assert!(request.first(Name::SecurityVerify).is_none());
    assert_eq!(request.expires(), Some(3600));
}

#[test]
fn a_good_challenge_is_answered_over_the_new_set_once_the_kernel_has_it() {
    let mut bench = Bench::new(config());
    let (flow, request) = bench.register();
    let outcome = bench.receive(flow, good_challenge(&request));
    assert!(outcome.sent.is_empty(), "nothing leaves before the kernel has the set");
    let (set, sas) = &outcome.installs[0];
    let expected = sas.associations;
    let outcome = bench.give(Input::SasInstalled { set: *set });
    let (flow, answer) = outcome.only();
    assert_eq!(flow, Flow::udp(expected.uc_to_ps.source, expected.uc_to_ps.destination));
    assert!(answer.authorization().unwrap().unwrap().has_response());
    assert_eq!(answer.first(Name::SecurityClient), request.first(Name::SecurityClient));
    let verify: Vec<_> = answer.values(Name::SecurityVerify).collect();
    assert_eq!(verify.join(", "), security_server(Policy::default().algorithms()), "SEC-6: as it came");
    assert!(answer.first(Name::Via).unwrap().contains("10.9.0.2:7100"), "the protected server port");
    assert_eq!(answer.call_id(), request.call_id());
    assert_eq!(answer.cseq().unwrap().number, 2);
    // Over UDP the answer comes from the client port of the P-CSCF to our server port, and no other way.
    let sa = expected.pc_to_us;
    for wrong in [flow, Flow::udp("10.9.0.2:5060".parse().unwrap(), config().p_cscf)] {
        assert!(bench.receive(wrong, ok(answer)).steps.is_empty(), "{wrong:?}");
    }
    let outcome = bench.receive(Flow::udp(sa.destination, sa.source), ok(answer));
    assert!(matches!(outcome.steps.as_slice(), [Step::Registered(_)]), "{:?}", outcome.steps);
    assert_eq!(bench.ue.registration().unwrap().associations, expected);
}

#[test]
fn a_challenge_without_security_server_is_refused() {
    let aka = DigestAlgorithm::AkaV1Md5.as_str();
    let outcome = Bench::answered(config(), |request| challenge(request, digest(&nonce(), aka), None));
    assert!(matches!(outcome.failure(), Failure::SecurityAgreement(_)), "{:?}", outcome.failure());
    assert!(outcome.installs.is_empty() && outcome.sent.is_empty());
}

#[test]
fn a_challenge_without_an_algorithm_of_aka_is_refused() {
    let server = || Some(security_server(Policy::default().algorithms()));
    for algorithm in ["MD5", "SHA-256", "\"\""] {
        let outcome =
            Bench::answered(config(), |request| challenge(request, digest(&nonce(), algorithm), server()));
        assert!(
            matches!(outcome.failure(), Failure::BadChallenge(_)),
            "{algorithm}: {:?}",
            outcome.failure()
        );
        assert!(outcome.installs.is_empty() && outcome.sent.is_empty());
    }
}

#[test]
fn dig_4_a_nonce_without_room_for_rand_and_autn_is_refused() {
    let server = || Some(security_server(Policy::default().algorithms()));
    let aka = DigestAlgorithm::AkaV1Md5.as_str();
    let nonce = nonce();
    for short in [&nonce[..nonce.len() - 4], "", "****"] {
        let outcome = Bench::answered(config(), |request| challenge(request, digest(short, aka), server()));
        assert!(matches!(outcome.failure(), Failure::BadChallenge(_)), "{short}: {:?}", outcome.failure());
    }
}

#[test]
fn sec_5_a_server_list_without_an_algorithm_of_ours_is_refused() {
    let config = Config { algorithms: vec![Algorithms::ALL[1]], ..config() };
    let aka = DigestAlgorithm::AkaV1Md5.as_str();
    let outcome = Bench::answered(config, |request| {
        challenge(request, digest(&nonce(), aka), Some(security_server(&[Algorithms::ALL[7]])))
    });
    assert_eq!(outcome.failure(), &Failure::SecurityAgreement(SecAgreeError::NoCommonAlgorithm));
    assert!(outcome.installs.is_empty());
}

#[test]
fn an_answer_from_elsewhere_is_not_heard() {
    let mut bench = Bench::new(config());
    let (flow, request) = bench.register();
    let foreign = Flow { remote: "10.9.0.66:5060".parse().unwrap(), ..flow };
    let protected = Flow { remote: "10.9.0.1:6000".parse().unwrap(), ..flow };
    for wrong in [foreign, protected, Flow { transport: Transport::Tcp, ..foreign }] {
        let outcome = bench.receive(wrong, good_challenge(&request));
        assert!(outcome.steps.is_empty() && outcome.installs.is_empty(), "{wrong:?}");
    }
    assert_eq!(bench.receive(flow, good_challenge(&request)).installs.len(), 1);
}

#[test]
fn a_200_without_a_challenge_registers_nobody() {
    let outcome = Bench::answered(config(), ok);
    assert!(matches!(outcome.failure(), Failure::BadAnswer(_)), "{:?}", outcome.failure());
}

#[test]
fn a_kernel_that_refuses_ends_the_command_and_a_later_one_may_succeed() {
    let mut bench = Bench::new(config());
    let (flow, request) = bench.register();
    let set = bench.receive(flow, good_challenge(&request)).installs[0].0;
    let outcome = bench.give(Input::SasFailed { set, cause: "no room".into() });
    assert!(matches!(outcome.failure(), Failure::Kernel { .. }));
    assert_eq!(outcome.removed, 0, "the kernel holds nothing to remove");
    bench.register();
}

#[test]
fn one_command_at_a_time_and_no_de_registration_of_nobody() {
    let mut bench = Bench::new(config());
    assert_eq!(bench.give(Input::Command(Command::Deregister)).failure(), &Failure::NotRegistered);
    bench.register();
    assert_eq!(bench.give(Input::Command(Command::Register)).failure(), &Failure::Busy);
    assert_eq!(bench.give(Input::Command(Command::Deregister)).failure(), &Failure::Busy);
}

#[test]
fn sa_13_a_403_in_clear_is_not_for_us_and_over_the_set_it_ends_attempt_and_set() {
    let mut bench = Bench::new(config());
    let (clear, request) = bench.register();
    let outcome = bench.receive(clear, good_challenge(&request));
    let (set, sas) = &outcome.installs[0];
    let sa = sas.associations.pc_to_us;
    let outcome = bench.give(Input::SasInstalled { set: *set });
    let refused = Draft::reply(outcome.only().1, 403, "Forbidden", Some("s")).finish();
    assert!(bench.receive(clear, refused.clone()).steps.is_empty());
    let outcome = bench.receive(Flow::udp(sa.destination, sa.source), refused);
    assert!(matches!(outcome.failure(), Failure::Rejected { status: 403, .. }));
    assert_eq!(outcome.removed, 1);
}

#[test]
fn aka_3_a_network_that_cannot_authenticate_itself_is_told_so() {
    let forged = Nonce::new(Rand::from_bytes([3; 16]), aka::Autn::from_bytes([7; 16])).encode();
    let aka = DigestAlgorithm::AkaV1Md5.as_str();
    let server = || Some(security_server(Policy::default().algorithms()));
    let mut bench = Bench::new(config());
    let (flow, request) = bench.register();
    let outcome = bench.receive(flow, challenge(&request, digest(&forged, aka), server()));
    let told = outcome.only().1.clone();
    let credentials = told.authorization().unwrap().unwrap();
    assert_eq!((credentials.response.as_deref(), credentials.auts.is_none()), (Some(""), true));
    assert!(outcome.installs.is_empty() && outcome.steps.is_empty());
    let refused = Draft::reply(&told, 403, "Forbidden", Some("s")).finish();
    assert_eq!(bench.receive(flow, refused).failure(), &Failure::NetworkAuthentication);
}

#[test]
fn aka_3_a_good_challenge_after_a_bad_one_is_answered() {
    let forged = Nonce::new(Rand::from_bytes([3; 16]), aka::Autn::from_bytes([7; 16])).encode();
    let server = Some(security_server(Policy::default().algorithms()));
    let mut bench = Bench::new(config());
    let (flow, request) = bench.register();
    let bad = challenge(&request, digest(&forged, DigestAlgorithm::AkaV1Md5.as_str()), server);
    let told = bench.receive(flow, bad).only().1.clone();
    let outcome = bench.authenticate((flow, told), ok);
    assert!(matches!(outcome.steps.as_slice(), [Step::Registered(_)]), "{:?}", outcome.steps);
}

#[test]
fn aka_6_a_stale_sequence_number_is_answered_with_auts_and_a_new_offer() {
    let card = SqnArray::starting_at(Sqn::from_parts(100, 0).unwrap());
    let mut bench = Bench::with_card(config(), card);
    let (flow, request) = bench.register();
    let outcome = bench.receive(flow, good_challenge(&request));
    assert_eq!(outcome.steps, [Step::SynchronisationFailure]);
    let (_, resync) = outcome.only();
    assert!(resync.authorization().unwrap().unwrap().auts.is_some());
    assert_ne!(resync.first(Name::SecurityClient), request.first(Name::SecurityClient));
    assert_eq!(resync.call_id(), request.call_id());
}

#[test]
fn silence_is_a_failure() {
    let mut bench = Bench::new(config());
    bench.register();
    bench.now += config().patience + Duration::from_secs(1);
    let outcome = bench.give(Input::Timeout);
    assert!(matches!(outcome.failure(), Failure::NoAnswer { .. }), "{:?}", outcome.failure());
}
