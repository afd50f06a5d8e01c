//! Another S-CSCF takes a user over (TS 23.380).

use super::*;

use ServerAssignmentType as T;

fn restoration(contact: &str) -> RestorationInfo {
    let contact = RestoredContact { path: "<sip:p>".into(), contact: contact.into(), ..Default::default() };
    RestorationInfo { impi: impi("a"), contacts: vec![contact] }
}

fn registered_with(contact: &str) -> Fixture {
    let hss = hss();
    register(&hss, "a", "a");
    let with = Some(restoration(contact));
    hss.assign(&ServerAssignmentRequest { restoration: with, ..sar("a", "a", SCSCF, T::ReRegistration) })
        .unwrap();
    hss
}

fn another_is_wanted(hss: &Fixture) {
    let answer = hss.authorize(&uar("a", "a", WITH_CAPABILITIES));
    assert_eq!(answer, Ok(UserAuthorization::Capabilities { capabilities: capabilities() }));
}

/// What the S-CSCF that was left behind was sent.
fn new_server_assigned(hss: &Fixture) -> Vec<(String, ReasonCode, Vec<Impu>)> {
    let sent = hss.sent().into_iter().map(|(to, request)| match request {
        Request::Rtr(rtr) => (to.host, rtr.reason, rtr.impus),
        other => panic!("{other:?}"),
    });
    sent.collect()
}

#[test]
fn cx_3_only_a_user_somebody_serves_can_be_reassigned() {
    let hss = hss();
    another_is_wanted(&hss);
    assert!(!hss.state("a").is_reassignment_pending(), "nothing to take over");
    register(&hss, "a", "a");
    another_is_wanted(&hss);
    assert!(hss.state("a").is_reassignment_pending());
    assert_eq!(hss.authorize(&uar("a", "a", REGISTRATION)), subsequent(SCSCF), "until somebody comes");
    // The S-CSCF was there after all.
    hss.assign(&sar("a", "a", SCSCF, T::ReRegistration)).unwrap();
    assert!(!hss.state("a").is_reassignment_pending());
}

#[test]
fn cx_6_another_server_takes_a_registered_user_over_when_it_may() {
    for assignment in [T::Registration, T::ReRegistration, T::UnregisteredUser, T::NoAssignment] {
        let hss = registered_with("<sip:a@ue>");
        assert!(hss.assign(&sar("a", "a", OTHER, assignment)).is_err(), "{assignment:?} without the flag");
        another_is_wanted(&hss);
        let answer = hss.assign(&sar("a", "a", OTHER, assignment)).unwrap();
        assert_eq!(answer.restoration, [restoration("<sip:a@ue>")], "{assignment:?}");
        assert!(answer.user_data.is_some());
        assert_eq!((hss.status("a"), hss.stored("a")), (Status::Registered, Some(name(OTHER))));
        assert!(!hss.state("a").is_reassignment_pending());
        // The one before hears of it, in case it lives.
        let expected = ["a-barred", "a", "a2"].map(impu).to_vec();
        let told = new_server_assigned(&hss);
        assert_eq!(told, [("scscf.home.example".to_owned(), ReasonCode::NewServerAssigned, expected)]);
        // What it says of the user counts no more.
        assert_eq!(hss.assign(&sar("a", "a", SCSCF, T::TimeoutDeregistration)), no(BaseCode::UnableToComply));
        assert_eq!(hss.status("a"), Status::Registered);
    }
}

#[test]
fn cx_6_a_challenge_by_another_server_takes_over_too() {
    let hss = registered_with("<sip:a@ue>");
    another_is_wanted(&hss);
    hss.authenticate(&mar("a", "a", OTHER)).unwrap();
    assert!(!hss.state("a").is_reassignment_pending());
    assert_eq!((hss.status("a"), hss.stored("a")), (Status::Registered, Some(name(OTHER))));
    assert!(new_server_assigned(&hss).is_empty(), "not before the user is registered there");
    let answer = hss.assign(&sar("a", "a", OTHER, T::Registration)).unwrap();
    assert_eq!(answer.restoration, [restoration("<sip:a@ue>")]);
    assert_eq!(new_server_assigned(&hss).len(), 1);
    // Told once.
    assert_eq!(hss.assign(&sar("a", "a", OTHER, T::ReRegistration)).unwrap().restoration, []);
    assert!(new_server_assigned(&hss).is_empty());
}

#[test]
fn cx_6_a_server_that_lost_its_memory_gets_its_own_back() {
    let hss = registered_with("<sip:a@ue>");
    for assignment in [T::UnregisteredUser, T::NoAssignment] {
        let answer = hss.assign(&sar("a", "a", SCSCF, assignment)).unwrap();
        assert_eq!(answer.restoration, [restoration("<sip:a@ue>")]);
        assert_eq!(hss.status("a"), Status::Registered, "still");
    }
    assert_eq!(hss.assign(&sar("a", "a", SCSCF, T::ReRegistration)).unwrap().restoration, []);
    assert!(new_server_assigned(&hss).is_empty());
}

#[test]
fn cx_6_restoration_information_is_replaced_bounded_and_forgotten() {
    let hss = registered_with("<sip:one>");
    let keep = |info: RestorationInfo| {
        let request = sar("a", "a", SCSCF, T::ReRegistration);
        hss.assign(&ServerAssignmentRequest { restoration: Some(info), ..request }).unwrap();
        hss.assign(&sar("a", "a", SCSCF, T::NoAssignment)).unwrap().restoration
    };
    assert_eq!(keep(restoration("<sip:two>")), [restoration("<sip:two>")]);
    assert_eq!(
        keep(RestorationInfo { impi: impi("c"), ..restoration("<sip:c>") }),
        [restoration("<sip:two>")]
    );
    let many =
        RestorationInfo { contacts: vec![restoration("<sip:x>").contacts.remove(0); 17], impi: impi("a") };
    assert_eq!(keep(many), []);
    assert_eq!(keep(restoration(&"x".repeat(9000))), []);
    assert_eq!(keep(restoration("<sip:three>")).len(), 1);
    hss.assign(&sar("a", "a", SCSCF, T::UserDeregistration)).unwrap();
    assert_eq!(hss.state("a").restoration, []);
}

#[test]
fn cx_6_who_takes_over_serves_the_whole_subscription() {
    let hss = hss();
    register(&hss, "m", "m");
    register(&hss, "m", "n");
    hss.authorize(&uar("m", "m", WITH_CAPABILITIES)).unwrap();
    hss.assign(&sar("m", "m", OTHER, T::Registration)).unwrap();
    assert_eq!(hss.stored("n"), Some(name(OTHER)));
    let told = new_server_assigned(&hss);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].2, ["m", "m2", "n"].map(impu));
}
