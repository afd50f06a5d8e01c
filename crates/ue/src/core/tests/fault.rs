//! What a UE sends that does one thing wrong on purpose.

use sec_agree::SecurityClient;
use sip::Method;

use super::*;

/// A command, and what left because of it until SM7.
struct Spoiled {
    bench: Bench,
    sm1: Message,
    /// Nothing when none left.
    sm7: Option<(Flow, Message)>,
    associations: Option<Associations>,
    ik: Option<Vec<u8>>,
    steps: Vec<Step>,
}

fn spoiled(fault: Fault) -> Spoiled {
    spoil(Bench::new(config()), fault)
}

fn spoil(mut bench: Bench, fault: Fault) -> Spoiled {
    let outcome = bench.give(Input::Command(Command::Misbehave(fault)));
    let (flow, sm1) = outcome.only();
    let (sm1, back) = (sm1.clone(), bench.back(flow));
    let mut outcome = bench.receive(back, challenge_number(&sm1, bench.challenges));
    bench.challenges += 1;
    let mut steps = std::mem::take(&mut outcome.steps);
    let (mut associations, mut ik) = (None, None);
    if let Some((set, sas)) = outcome.installs.first() {
        associations = Some(sas.associations);
        ik = Some(sas.keys.integrity.as_bytes().to_vec());
        outcome = bench.give(Input::SasInstalled { set: *set });
        steps.append(&mut outcome.steps);
    }
    Spoiled { bench, sm1, sm7: outcome.sent.into_iter().next(), associations, ik, steps }
}

fn offer_of(message: &Message) -> SecurityClient {
    SecurityClient::parse(message.values(Name::SecurityClient)).unwrap()
}

fn text(message: &Message, name: Name) -> String {
    message.values(name).collect::<Vec<_>>().join(", ")
}

#[test]
fn ovw_10_every_fault_has_a_name_and_a_meaning() {
    let all: Vec<Fault> = Fault::all().collect();
    assert_eq!(all.len(), 23);
    for fault in all {
        assert_eq!(fault.to_string().parse(), Ok(fault));
        assert!(!fault.meaning().is_empty());
    }
    assert_eq!("none".parse::<Fault>(), Err(UnknownFault("none".into())));
}

#[test]
fn ovw_10_faults_of_the_card() {
    let mac = spoiled(Fault::Mac);
    let credentials = mac.sm7.as_ref().unwrap().1.authorization().unwrap().unwrap();
    assert!(mac.associations.is_none(), "no set of a challenge that is refused");
    assert_eq!((credentials.response.as_deref(), credentials.auts.is_none()), (Some(""), true));

    let auts = |fault| {
        let mut spoiled = spoiled(fault);
        assert_eq!(spoiled.steps, [Step::SynchronisationFailure]);
        let (flow, told) = spoiled.sm7.clone().unwrap();
        assert_ne!(offer_of(&told), offer_of(&spoiled.sm1), "with a new offer");
        let credentials = told.authorization().unwrap().unwrap();
        let auts = aka::Auts::from_base64(credentials.auts.as_deref().unwrap()).unwrap();
        // The next challenge is taken.
        let outcome = spoiled.bench.authenticate((flow, told.clone()), ok);
        assert!(matches!(outcome.steps.as_slice(), [Step::Registered(_)]), "{:?}", outcome.steps);
        algorithm().resynchronise(&Rand::from_bytes([9; 16]), &auts)
    };
    assert_eq!(auts(Fault::Sqn).unwrap(), Sqn::from_parts(5, 0).unwrap());
    assert!(auts(Fault::Auts).is_err());
}

#[test]
fn ovw_10_faults_of_the_answer() {
    let honest = {
        let mut bench = Bench::new(config());
        let (flow, sm1) = bench.register();
        let outcome = bench.receive(flow, good_challenge(&sm1));
        let (set, sas) = &outcome.installs[0];
        let ik = sas.keys.integrity.as_bytes().to_vec();
        (ik, bench.give(Input::SasInstalled { set: *set }).only().1.clone())
    };
    let response = |message: &Message| {
        message.authorization().unwrap().unwrap().response.unwrap_or_default().into_owned()
    };
    let res = spoiled(Fault::Res);
    let (flow, sm7) = res.sm7.unwrap();
    assert_eq!(flow, towards_p_cscf(&res.associations.unwrap()));
    assert_ne!(response(&sm7), response(&honest.1));
    assert_eq!(res.ik.as_deref(), Some(&*honest.0), "RES is wrong, IK is right");

    let ik = spoiled(Fault::Ik);
    assert_eq!(response(&ik.sm7.unwrap().1), response(&honest.1), "RES is right, IK is wrong");
    assert_ne!(ik.ik.as_deref(), Some(&*honest.0));

    let silent = spoiled(Fault::Silent);
    assert!(silent.sm7.is_none());
    assert_eq!(silent.steps.last(), Some(&Step::Failed(Failure::Withheld)));

    let (flow, sm7) = spoiled(Fault::ClearAnswer).sm7.unwrap();
    assert_eq!(flow.remote, config().p_cscf);
    assert!(sm7.authorization().unwrap().unwrap().has_response());
}

#[test]
fn sec_9_ovw_10_faults_of_the_agreement_in_sm7() {
    let server = security_server(Policy::default().algorithms());
    for fault in [Fault::Verify, Fault::Client, Fault::Spi, Fault::Port, Fault::StripEalg, Fault::StripServer]
    {
        let Spoiled { sm1, sm7, associations, .. } = spoiled(fault);
        let sm7 = sm7.unwrap().1;
        let (first, repeated) = (offer_of(&sm1), offer_of(&sm7));
        let same_offer = first.verify(&repeated).is_ok();
        let same_server = text(&sm7, Name::SecurityVerify) == server;
        let expected = match fault {
            Fault::Verify | Fault::StripServer => (true, false),
            _ => (false, true),
        };
        assert_eq!((same_offer, same_server), expected, "{fault}");
        let (before, after) = (first.setup(), repeated.setup());
        assert_eq!(
            (before.spi_c == after.spi_c, before.port_c == after.port_c),
            match fault {
                Fault::Spi => (false, true),
                Fault::Port => (true, false),
                _ => (true, true),
            }
        );
        let chosen = associations.unwrap().algorithms;
        match fault {
            Fault::StripEalg => {
                assert!(first.algorithms().iter().all(|pair| !pair.encrypts()));
                assert_eq!(repeated.algorithms(), config().algorithms);
                assert!(chosen.encrypts(), "the UE chooses by the P-CSCF's list, which nobody touched");
            }
            Fault::StripServer => assert!(!chosen.encrypts() && server.contains("aes-cbc")),
            _ => assert!(chosen.encrypts()),
        }
    }
}

#[test]
fn ovw_10_faults_of_the_offer() {
    for (fault, found) in [
        (Fault::Ah, Some("prot=ah")),
        (Fault::Tun, Some("mod=tun")),
        (Fault::BadSpi, Some("spi-c=200")),
        (Fault::EqualPorts, Some("port-c=7100")),
        (Fault::NoSecurityClient, None),
        (Fault::NoSecAgree, None),
    ] {
        let sm1 = spoiled(fault).sm1;
        let offer = text(&sm1, Name::SecurityClient);
        match found {
            Some(found) => {
                assert_eq!(offer.matches(found).count(), config().algorithms.len(), "{offer}");
                assert!(SecurityClient::parse(sm1.values(Name::SecurityClient)).is_err());
            }
            None => assert_eq!(offer, ""),
        }
        let agrees = sip::OptionTags::of(&sm1, Name::Require).contains("sec-agree");
        assert_eq!(agrees, fault != Fault::NoSecAgree);
    }
}

#[test]
fn ovw_10_faults_of_identity_and_dialogue() {
    let Spoiled { sm1, sm7, .. } = spoiled(Fault::CallId);
    assert_ne!(sm7.unwrap().1.call_id(), sm1.call_id());
    let sm7 = spoiled(Fault::Impi).sm7.unwrap().1;
    assert_eq!(sm7.authorization().unwrap().unwrap().username, "other001010000000001@ims.example");
    let to = sm7.to().unwrap().uri;
    assert_eq!(to, "sip:alice@ims.example");
}

#[test]
fn dig_12_ovw_10_a_spent_answer_is_replayed() {
    let (bench, _) = Bench::registered(config());
    let spent = bench.ue.last_authorization.clone().unwrap();
    let earlier = bench.set();
    let spoiled = spoil(bench, Fault::Replay);
    let (flow, sm7) = spoiled.sm7.unwrap();
    assert_eq!(flow, towards_p_cscf(&spoiled.associations.unwrap()), "over the set of the new challenge");
    assert_ne!(flow, towards_p_cscf(&earlier));
    assert_eq!(sm7.first(Name::Authorization), Some(&*spent));
    let unregistered = spoil(Bench::new(config()), Fault::Replay);
    assert_eq!(unregistered.steps.last(), Some(&Step::Failed(Failure::NotRegistered)));
}

#[test]
fn ovw_10_a_request_that_should_be_protected_leaves_in_clear() {
    let (mut bench, _) = Bench::registered(config());
    let outcome = bench.give(Input::Command(Command::Misbehave(Fault::Uncover)));
    let (flow, request) = outcome.only();
    assert_eq!((flow.remote, request.method()), (config().p_cscf, Method::Message));
    let refused = Draft::reply(request, 403, "Forbidden", Some("p")).finish();
    assert_eq!(bench.receive(flow, refused).failure().status(), Some(403));
    assert!(bench.ue.registration().is_some());
}

#[test]
fn dig_8_a_fault_spoils_one_command_and_no_registration() {
    let (bench, _) = Bench::registered(Config { stay_registered: true, ..config() });
    let earlier = bench.set();
    let Spoiled { mut bench, sm7, .. } = spoil(bench, Fault::Res);
    let refused = Draft::reply(&sm7.unwrap().1, 403, "Forbidden", Some("s")).finish();
    let outcome = bench.receive(towards_ue(&earlier), refused);
    assert_eq!((outcome.failure().status(), outcome.removed), (Some(403), 1));
    assert_eq!(bench.set(), earlier);
    let sm1 = bench.register();
    let outcome = bench.authenticate(sm1, ok);
    assert!(matches!(outcome.steps.as_slice(), [Step::Registered(_)]));
}
