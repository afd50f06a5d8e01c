//! What the HSS asks of its own accord: RTR and PPR.

mod net;

use aka::{Impi, Impu};
use cx::{
    Answer, BaseCode, CxFailure, ExperimentalCode, PushProfileRequest, ReasonCode, RegistrationTermination,
    RegistrationTerminationRequest, Request, UserData,
};
use net::{BARRED, IMPI, IMPU, Net, Register, TEL, config, profile};
use scscf::{Command, Deregistration, Done, Event, Limits};
use sip::Name;
use sip::reginfo::ContactEvent;
use std::time::Duration;

const UE_CONTACT: &str = "sip:10.9.0.2:7002";
const WATCHERS: [&str; 2] = ["sub-ue", "sub-pcscf"];

fn watched() -> (Net, Register) {
    let mut net = Net::new(config());
    let second = net.registered();
    net.watched();
    net.asked.clear();
    net.sent.clear();
    (net, second)
}

fn rtr(reason: ReasonCode, impus: &[&str]) -> RegistrationTerminationRequest {
    RegistrationTerminationRequest {
        impi: Impi::new(IMPI).unwrap(),
        impus: impus.iter().map(|impu| Impu::new(impu).unwrap()).collect(),
        associated: Vec::new(),
        reason,
        info: None,
    }
}

fn terminated(net: &mut Net, rtr: RegistrationTerminationRequest) -> Result<(), CxFailure> {
    match net.hss_asks(Request::Rtr(rtr)) {
        Answer::Rta(Ok(answer)) => {
            assert_eq!(answer, RegistrationTermination::default());
            Ok(())
        }
        Answer::Rta(Err(failure)) => Err(failure),
        other => panic!("{other:?}"),
    }
}

fn pushed(net: &mut Net, user_data: Option<UserData>) -> Result<(), CxFailure> {
    match net.hss_asks(Request::Ppr(PushProfileRequest { impi: Impi::new(IMPI).unwrap(), user_data })) {
        Answer::Ppa(answer) => answer,
        other => panic!("{other:?}"),
    }
}

fn cause(net: &Net) -> Option<Deregistration> {
    net.events.iter().rev().find_map(|event| match event {
        Event::Deregistered { cause, .. } => Some(*cause),
        _ => None,
    })
}

/// CX-9, REG-14: the reason decides what UE and P-CSCF hear; the HSS knows and is not told again.
#[test]
fn cx_9_reg_14_rtr_ends_the_registration_as_its_reason_says() {
    for (reason, event, state) in [
        (ReasonCode::PermanentTermination, ContactEvent::Rejected, "noresource"),
        (ReasonCode::ServerChange, ContactEvent::Deactivated, "deactivated"),
    ] {
        for impus in [&[][..], &[IMPU], &[TEL], &[BARRED, "sip:unknown@home.example"]] {
            let (mut net, second) = watched();
            assert_eq!(terminated(&mut net, rtr(reason, impus)), Ok(()));
            assert!(net.asked.is_empty(), "no SAR");
            for call_id in WATCHERS {
                let told = net.take_notifies(call_id).remove(0);
                assert_eq!((told.events(), told.state.as_str()), (vec![(UE_CONTACT, event)], state));
            }
            assert_eq!((net.scscf.registered(), cause(&net)), (0, Some(Deregistration::Hss)));
            assert_eq!(net.register(&second.next()).status(), Some(500), "the UE must begin anew");
            net.advance(Duration::from_secs(700_000));
            assert_eq!(net.wait, None, "no timer is left");
        }
    }
}

#[test]
fn cx_9_a_new_server_means_silence_here() {
    let (mut net, _) = watched();
    assert_eq!(terminated(&mut net, rtr(ReasonCode::NewServerAssigned, &[])), Ok(()));
    assert!(net.notifies.is_empty() && net.sent.is_empty() && net.asked.is_empty());
    assert_eq!((net.scscf.registered(), cause(&net)), (0, Some(Deregistration::Moved)));
    net.advance(Duration::from_secs(700_000));
    assert_eq!(net.wait, None, "no timer is left");
    assert!(net.notifies.is_empty());
}

#[test]
fn cx_9_rtr_for_whom_nobody_knows_here() {
    let unknown = Err(ExperimentalCode::UserUnknown.into());
    let mut net = Net::new(config());
    for reason in ReasonCode::ALL {
        assert_eq!(terminated(&mut net, rtr(reason, &[])), unknown);
    }
    let (mut net, _) = watched();
    let stranger = rtr(ReasonCode::PermanentTermination, &["sip:bob@home.example"]);
    assert_eq!(terminated(&mut net, stranger), unknown);
    let removal = terminated(&mut net, rtr(ReasonCode::RemoveScscf, &[]));
    assert_eq!(removal, Err(BaseCode::UnableToComply.into()), "that is for users who are not registered");
    assert_eq!(net.scscf.registered(), 1);
    // Associated-Identities names the user as well.
    let other = RegistrationTerminationRequest {
        impi: Impi::new("other@home.example").unwrap(),
        associated: vec![Impi::new(IMPI).unwrap()],
        ..rtr(ReasonCode::PermanentTermination, &[])
    };
    assert_eq!(terminated(&mut net, other), Ok(()));
    assert_eq!(net.scscf.registered(), 0);
}

/// CX-9: nothing that is under way survives.
#[test]
fn cx_9_rtr_during_a_registration_leaves_no_half_of_it() {
    for reason in ReasonCode::ALL {
        // Challenged: the right answer comes too late.
        let mut net = Net::new(config());
        let first = Register::first();
        let challenge = net.register(&first);
        assert_eq!(terminated(&mut net, rtr(reason, &[])), Ok(()), "{reason:?}");
        let answer = net.protected(&first, &challenge);
        assert_eq!(net.register(&answer).status(), Some(500));
        assert_eq!(net.asked, ["MAR"]);

        // The HSS has taken the registration, and its answer is on its way.
        let mut net = Net::new(config());
        let challenge = net.register(&first);
        let answer = net.protected(&first, &challenge);
        net.held = Some(Vec::new());
        assert!(net.send(net::flow(), &answer).is_empty());
        assert_eq!(terminated(&mut net, rtr(reason, &[IMPU])), Ok(()));
        assert_eq!(net.release()[0].status(), Some(500));
        assert_eq!(net.scscf.registered(), 0);
        // Whichever of SAR and RTR the HSS has worked off last, nobody is registered there in the end.
        assert_eq!(net.asked, ["MAR", "Registration", "AdministrativeDeregistration"]);
    }
}

/// CX-10, REG-10: the newly barred identity is in no NOTIFY and in no 200 any more.
#[test]
fn cx_10_reg_10_a_profile_that_bars_is_told_at_once() {
    let (mut net, second) = watched();
    assert_eq!(pushed(&mut net, Some(profile(&[(BARRED, true), (IMPU, false), (TEL, true)]))), Ok(()));
    assert!(net.asked.is_empty());
    for call_id in WATCHERS {
        let told = net.take_notifies(call_id).remove(0);
        assert_eq!((told.version, told.full, told.state.as_str()), (1, true, "active"));
        let aors: Vec<_> = told.aors.iter().map(|(aor, state, _)| (aor.as_str(), state.as_str())).collect();
        assert_eq!(aors, [(IMPU, "active")]);
        assert_eq!(told.events(), [(UE_CONTACT, ContactEvent::Registered)]);
    }
    // The HSS of this test goes on with the old profile: what counts is what it has pushed.
    net.hss.unreachable = true;
    let query = Register { contact: String::new(), expires: None, ..second.next() };
    let ok = net.register(&query);
    assert_eq!(net::lines(&ok, Name::PAssociatedUri), [format!("<{IMPU}>")]);
    // And back again, with one more.
    let more = "sip:alias@ims.mnc001.mcc001.3gppnetwork.org";
    assert_eq!(pushed(&mut net, Some(profile(&[(IMPU, false), (TEL, false), (more, false)]))), Ok(()));
    let told = net.take_notifies("sub-ue").remove(0);
    let mut aors: Vec<_> = told.aors.iter().map(|(aor, ..)| aor.as_str()).collect();
    aors.sort_unstable();
    let mut wanted = [more, IMPU, TEL];
    wanted.sort_unstable();
    assert_eq!(aors, wanted);
    // The same once more is no news.
    net.notifies.clear();
    assert_eq!(pushed(&mut net, Some(profile(&[(IMPU, false), (TEL, false), (more, false)]))), Ok(()));
    assert!(net.notifies.is_empty());
}

#[test]
fn cx_10_a_profile_without_anybody_to_reach_ends_the_registration() {
    let (mut net, _) = watched();
    assert_eq!(pushed(&mut net, Some(profile(&[(IMPU, true), (TEL, true)]))), Ok(()));
    assert_eq!(net.scscf.registered(), 0);
    assert_eq!(net.asked, ["AdministrativeDeregistration"]);
    let told = net.take_notifies("sub-ue").remove(0);
    assert_eq!(told.events(), [(UE_CONTACT, ContactEvent::Rejected)]);
}

#[test]
fn cx_10_the_identity_that_was_registered_may_go() {
    let (mut net, second) = watched();
    assert_eq!(pushed(&mut net, Some(profile(&[(TEL, false)]))), Ok(()));
    assert_eq!(net.scscf.registered(), 1);
    // Who watched it hears that it is gone, and the contact is not said to be.
    let told = net.take_notifies("sub-ue").remove(0);
    assert_eq!((told.state.as_str(), told.aors.len()), ("noresource", 0));
    net.advance(Duration::from_secs(130));
    let of_the_old = Register { contact: String::new(), expires: None, ..second.next() };
    assert_eq!(net.register(&of_the_old).status(), Some(500));
    // What ends later is said of the identity that is left.
    net.advance(Duration::from_secs(700_000));
    assert_eq!((net.asked.as_slice(), net.wait), (&["TimeoutDeregistration".to_owned()][..], None));
}

#[test]
fn cx_10_what_cannot_be_taken_is_refused_and_changes_nothing() {
    let mut net = Net::new(config());
    let good = || Some(profile(&[(IMPU, false)]));
    assert_eq!(pushed(&mut net, good()), Err(ExperimentalCode::UserUnknown.into()));
    let limits = Limits { identities: 3, ..config().limits };
    let mut net = Net::new(scscf::Config { limits, ..config() });
    net.registered();
    let strangers = profile(&[("sip:bob@home.example", false)]);
    assert_eq!(pushed(&mut net, Some(strangers)), Err(ExperimentalCode::NotSupportedUserData.into()));
    let many = profile(&[(IMPU, false), (TEL, false), (BARRED, true), ("sip:one@too.many", false)]);
    assert_eq!(pushed(&mut net, Some(many)), Err(ExperimentalCode::TooMuchData.into()));
    let mut long = profile(&[(IMPU, false)]);
    long.profiles[0].filter_criteria[0].xml = vec![b' '; UserData::LARGEST + 1];
    assert_eq!(pushed(&mut net, Some(long)), Err(ExperimentalCode::TooMuchData.into()));
    assert_eq!(pushed(&mut net, None), Ok(()), "charging only");
    let Ok(Done::Users { users, .. }) = net.command(Command::List { user: None, most: 1 }) else { panic!() };
    assert_eq!(users[0].associated.len(), 2, "the set is as it was");
    assert!(net.hss_asks(Request::Lir(lir())).failure().is_some(), "an S-CSCF answers no LIR");
}

fn lir() -> cx::LocationInfoRequest {
    cx::LocationInfoRequest { impu: Impu::new(IMPU).unwrap(), originating: false, capabilities: false }
}

/// CX-6: what is larger than allowed is given back to the HSS.
#[test]
fn cx_6_a_profile_that_is_too_large_is_not_registered() {
    let limits = Limits { identities: 2, ..config().limits };
    let mut net = Net::new(scscf::Config { limits, ..config() });
    let first = Register::first();
    let challenge = net.register(&first);
    let answer = net.protected(&first, &challenge);
    assert_eq!(net.register(&answer).status(), Some(500));
    assert_eq!(net.asked, ["MAR", "Registration", "DeregistrationTooMuchData"]);
    assert_eq!(net.scscf.registered(), 0);
}

#[test]
fn the_filter_criteria_are_kept_and_shown() {
    let (mut net, _) = watched();
    let Ok(Done::Users { users, .. }) = net.command(Command::List { user: None, most: 1 }) else { panic!() };
    assert_eq!(users[0].criteria.len(), 1);
    assert_eq!(users[0].criteria[0].xml, net::CRITERIA.as_bytes());
}
