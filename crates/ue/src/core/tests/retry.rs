//! What follows a failure.

use super::*;

fn staying() -> Config {
    Config { stay_registered: true, ..config() }
}

fn refusal(request: &Message, status: u16, more: &[(Name, &'static str)]) -> Message {
    let mut draft = Draft::reply(request, status, "No", Some("s"));
    for (name, value) in more {
        draft.push(*name, *value);
    }
    draft.finish()
}

#[test]
fn reg_7_after_423_the_ue_asks_for_the_time_the_network_takes_and_registers() {
    let mut bench = Bench::new(Config { expires: 60, ..config() });
    let (flow, sm1) = bench.register();
    let outcome = bench.receive(flow, refusal(&sm1, 423, &[(Name::MinExpires, "900")]));
    let (flow, again) = outcome.only();
    assert!(outcome.steps.is_empty());
    assert_eq!((sm1.expires(), again.expires()), (Some(60), Some(900)));
    assert_eq!((again.call_id(), again.cseq().unwrap().number), (sm1.call_id(), 2));
    assert_ne!(again.first(Name::SecurityClient), sm1.first(Name::SecurityClient), "a new offer");
    let again = again.clone();
    let outcome = bench.authenticate((flow, again), |request| granted(request, 900));
    assert!(matches!(outcome.steps.as_slice(), [Step::Registered(_)]));
    // It is remembered, and a network that wants no more than it got is refused instead of asked for ever.
    let (flow, next) = bench.register();
    assert_eq!(next.expires(), Some(900));
    let back = bench.back(flow);
    let outcome = bench.receive(back, refusal(&next, 423, &[(Name::MinExpires, "900")]));
    assert_eq!(outcome.failure().status(), Some(423));
}

#[test]
fn a_failure_that_may_pass_is_tried_again_and_a_refusal_is_not() {
    for (status, tried) in [(500, true), (503, true), (504, true), (403, false), (404, false), (420, false)] {
        let mut bench = Bench::new(staying());
        let (flow, sm1) = bench.register();
        let outcome = bench.receive(flow, refusal(&sm1, status, &[]));
        let retries = matches!(
            outcome.steps.as_slice(),
            [Step::Failed(_), Step::Retrying { after }] if (30..=60).contains(&after.as_secs())
        );
        assert!(retries == tried && (tried || outcome.steps.len() == 1), "{status}: {:?}", outcome.steps);
        assert!(bench.wait(29).sent.is_empty());
        let sent = bench.wait(32).sent;
        assert_eq!(sent.len(), usize::from(tried), "{status}");
        assert!(sent.iter().all(|(_, request)| request.call_id() != sm1.call_id()), "a new attempt");
    }
    // Who does not want to stay registered leaves it at that.
    let outcome = Bench::answered(config(), |request| refusal(request, 503, &[]));
    assert_eq!(outcome.failure().status(), Some(503));
}

#[test]
fn retry_after_is_respected() {
    let mut bench = Bench::new(staying());
    let (flow, sm1) = bench.register();
    let outcome = bench.receive(flow, refusal(&sm1, 503, &[(Name::RetryAfter, "200 (busy)")]));
    assert_eq!(outcome.steps[1], Step::Retrying { after: Duration::from_secs(200) });
    assert!(bench.wait(199).sent.is_empty());
    assert_eq!(bench.wait(1).sent.len(), 1);
}

#[test]
fn a_refused_re_registration_leaves_the_registration_and_its_renewal() {
    let (mut bench, _) = Bench::registered(staying());
    let earlier = bench.set();
    let (flow, request) = bench.register();
    let back = bench.back(flow);
    let outcome = bench.receive(back, refusal(&request, 403, &[]));
    assert_eq!(outcome.failure().status(), Some(403));
    assert_eq!(bench.set(), earlier);
    let outcome = bench.wait(3000);
    assert_eq!(outcome.only().0, towards_p_cscf(&earlier), "600 s before the end");
}

#[test]
fn a_ue_whose_protected_requests_stay_unanswered_registers_unprotected() {
    let (mut bench, _) = Bench::registered(config());
    let earlier = bench.set();
    for _ in 0..2 {
        let (flow, request) = bench.register();
        assert_eq!(flow, towards_p_cscf(&earlier));
        assert!(request.first(Name::SecurityVerify).is_some());
        let outcome = bench.wait(61);
        let failure = outcome.steps.last().unwrap();
        assert!(matches!(failure, Step::Failed(Failure::NoAnswer { .. })), "{failure:?}");
    }
    let sm1 = bench.register();
    assert_eq!(sm1.0.remote, config().p_cscf);
    assert!(sm1.1.first(Name::SecurityVerify).is_none());
    assert!(sm1.1.authorization().unwrap().unwrap().nonce.is_empty());
    let outcome = bench.authenticate(sm1, ok);
    // SA-7 at the UE: after an unprotected SM1 all older sets go at once.
    assert_eq!(outcome.removed, 1);
    assert_ne!(bench.set(), earlier);
    assert_eq!(bench.register().0, towards_p_cscf(&bench.set()));
}

#[test]
fn sa_16_a_new_address_ends_every_set_and_registers_unprotected_from_there() {
    let (mut bench, _) = Bench::registered(Config { subscribe: true, ..config() });
    // Also while a command is under way.
    bench.register();
    let address = "10.9.0.77".parse().unwrap();
    let outcome = bench.give(Input::Command(Command::Move { address }));
    assert_eq!(outcome.steps, [Step::Failed(Failure::Moved)]);
    assert_eq!(outcome.removed, 1);
    assert!(bench.ue.registration().is_none() && !bench.ue.is_subscribed());
    let (flow, sm1) = outcome.only();
    assert_eq!(flow, Flow::udp("10.9.0.77:5060".parse().unwrap(), config().p_cscf));
    assert!(sm1.first(Name::Contact).unwrap().contains("10.9.0.77:7100"));
    assert!(sm1.first(Name::SecurityVerify).is_none());
    let sm1 = sm1.clone();
    bench.authenticate((flow, sm1), ok);
    assert_eq!(bench.set().ue_address(), address);
}

#[test]
fn at_most_two_invalid_challenges_in_a_row_are_answered() {
    let stale = SqnArray::starting_at(Sqn::from_parts(100, 0).unwrap());
    let mut bench = Bench::with_card(config(), stale);
    let (flow, mut request) = bench.register();
    for _ in 0..2 {
        let outcome = bench.receive(flow, good_challenge(&request));
        request = outcome.only().1.clone();
        assert!(request.authorization().unwrap().unwrap().auts.is_some());
    }
    let outcome = bench.receive(flow, good_challenge(&request));
    assert_eq!((outcome.failure(), outcome.sent.len()), (&Failure::Synchronisation, 0));
}

#[test]
fn sa_14_a_bad_challenge_over_the_old_set_is_answered_there_and_makes_no_set() {
    let (mut bench, _) = Bench::registered(config());
    let earlier = bench.set();
    let (flow, request) = bench.register();
    let forged = Nonce::new(Rand::from_bytes([3; 16]), aka::Autn::from_bytes([7; 16])).encode();
    let server = Some(security_server(Policy::default().algorithms()));
    let authenticate = digest(&forged, DigestAlgorithm::AkaV1Md5.as_str());
    let back = bench.back(flow);
    let outcome = bench.receive(back, challenge(&request, authenticate, server));
    let (flow, told) = outcome.only();
    assert_eq!(flow, towards_p_cscf(&earlier));
    assert!(outcome.installs.is_empty());
    assert_ne!(told.first(Name::SecurityClient), request.first(Name::SecurityClient));
    let told = told.clone();
    let outcome = bench.receive(back, refusal(&told, 403, &[]));
    assert_eq!(outcome.failure(), &Failure::NetworkAuthentication);
    assert_eq!((bench.set(), outcome.removed), (earlier, 0));
}

#[test]
fn sa_13_after_a_protected_sm1_the_403_comes_over_the_old_set_and_the_200_may_not() {
    let (mut bench, _) = Bench::registered(config());
    let earlier = bench.set();
    let (flow, sm1) = bench.register();
    let back = bench.back(flow);
    let outcome = bench.receive(back, challenge_number(&sm1, bench.challenges));
    let set = outcome.installs[0].0;
    let outcome = bench.give(Input::SasInstalled { set });
    let sm7 = outcome.only().1.clone();
    let outcome = bench.receive(back, ok(&sm7));
    assert!(outcome.steps.is_empty() && outcome.removed == 0, "SM12 comes over the new set only");
    let outcome = bench.receive(back, refusal(&sm7, 403, &[]));
    assert_eq!(outcome.failure().status(), Some(403));
    assert_eq!((outcome.removed, bench.set()), (1, earlier), "the new set is gone, the old one stays");
}
