//! What the HSS tells an S-CSCF of its own accord: RTR and PPR.

use super::*;

use ServerAssignmentType as T;
use cx::{FilterCriteria, UserData};

fn deregister(hss: &Fixture, whom: Key, reason: ReasonCode) -> Report {
    hss.report(|hss, done| hss.deregister(whom, reason, Some("bye".into()), done)).unwrap()
}

fn change(hss: &Fixture, change: impl FnOnce(&mut Profile)) -> Result<Report, OperationError> {
    let mut profile = several_sets();
    change(&mut profile);
    hss.report(|hss, done| {
        hss.change_profile(Key::Impi(impi("m")), Box::new(move |_| Ok(profile.clone())), done)
    })
}

fn rtrs(hss: &Fixture) -> Vec<(String, Impi, Vec<Impi>, Vec<Impu>)> {
    let sent = hss.sent().into_iter().filter_map(|(to, request)| match request {
        Request::Rtr(rtr) => Some((to.host, rtr.impi, rtr.associated, rtr.impus)),
        _ => None,
    });
    sent.collect()
}

fn pprs(hss: &Fixture) -> Vec<UserData> {
    let sent = hss.sent().into_iter().filter_map(|(_, request)| match request {
        Request::Ppr(ppr) => ppr.user_data,
        _ => None,
    });
    sent.collect()
}

#[test]
fn cx_9_deregistration_changes_the_state_and_tells_the_server() {
    for reason in ReasonCode::ALL {
        let hss = hss();
        register(&hss, "a", "a");
        let report = deregister(&hss, Key::Impi(impi("a")), reason);
        assert_eq!(report.impus.len(), 3);
        assert_eq!(report.told, [Told { to: origin(SCSCF), message: "RTR", delivery: Delivery::Delivered }]);
        assert_eq!((hss.status("a"), hss.stored("a"), hss.entries("a")), (Status::NotRegistered, None, 0));
        let sent = hss.sent();
        let [(to, Request::Rtr(rtr))] = &sent[..] else { panic!("{sent:?}") };
        assert_eq!((to, &rtr.impi, rtr.reason), (&origin(SCSCF), &impi("a"), reason));
        assert_eq!(rtr.impus, ["a-barred", "a", "a2"].map(impu));
        assert_eq!(rtr.info.as_deref(), Some("bye"));
        assert_eq!(hss.authorize(&uar("a", "a", REGISTRATION)), first());
    }
}

#[test]
fn cx_9_the_state_changes_also_when_the_server_does_not_hear() {
    let failures = [
        (Err(LinkError::NotConnected), Delivery::Unreachable(LinkError::NotConnected)),
        (Ok(ExperimentalCode::UserUnknown.into()), Delivery::Refused(ExperimentalCode::UserUnknown.into())),
    ];
    for (answer, delivery) in failures {
        let hss = hss();
        register(&hss, "a", "a");
        *hss.peers.answer.lock().unwrap() = Some(answer);
        let report = deregister(&hss, Key::Impu(impu("a2")), ReasonCode::PermanentTermination);
        assert_eq!(report.told[0].delivery, delivery);
        assert_eq!(hss.status("a"), Status::NotRegistered);
    }
}

#[test]
fn cx_9_nobody_is_told_of_who_is_not_registered() {
    let hss = hss();
    let reason = ReasonCode::PermanentTermination;
    let unknown = hss.report(|hss, done| hss.deregister(Key::Impi(impi("nobody")), reason, None, done));
    assert!(matches!(unknown, Err(OperationError::UnknownSubscriber)));
    assert_eq!(deregister(&hss, Key::Impi(impi("a")), reason).told, []);
    // A challenge ends with it.
    hss.authenticate(&mar("a", "a", SCSCF)).unwrap();
    assert_eq!(deregister(&hss, Key::Impi(impi("a")), reason).told, []);
    assert!(!hss.authorize_pending("a", "a"));
    assert!(hss.sent().is_empty());
}

#[test]
fn cx_9_cx_16_a_shared_identity_of_one_private_identity_or_of_all() {
    let hss = hss();
    let reason = ReasonCode::ServerChange;
    register(&hss, "c", "shared");
    register(&hss, "d", "shared");
    let host = "scscf.home.example".to_owned();
    deregister(&hss, Key::Impi(impi("c")), reason);
    assert_eq!(rtrs(&hss), [(host.clone(), impi("c"), vec![], vec![impu("shared"), impu("c")])]);
    assert_eq!((hss.status("shared"), hss.status("c")), (Status::Registered, Status::NotRegistered));

    register(&hss, "c", "shared");
    deregister(&hss, Key::Impu(impu("shared")), reason);
    let told = rtrs(&hss);
    assert_eq!(told[0], (host, impi("d"), vec![impi("c")], vec![impu("shared")]));
    assert_eq!(told.len(), 3, "what only one of them has registered is told apart");
    assert_eq!((hss.status("shared"), hss.status("d")), (Status::NotRegistered, Status::NotRegistered));
}

#[test]
fn cx_9_an_unregistered_user_is_removed_from_his_server() {
    let hss = hss();
    hss.assign(&sar("m", "n", SCSCF, T::UnregisteredUser)).unwrap();
    deregister(&hss, Key::Impu(impu("n")), ReasonCode::RemoveScscf);
    assert_eq!(rtrs(&hss), [("scscf.home.example".to_owned(), impi("m"), vec![], vec![impu("n")])]);
    assert_eq!(hss.entries("n"), 0);
}

#[test]
fn cx_9_one_set_leaves_and_the_other_stays() {
    let hss = hss();
    register(&hss, "m", "m");
    register(&hss, "m", "n");
    deregister(&hss, Key::Impu(impu("m")), ReasonCode::PermanentTermination);
    assert_eq!(rtrs(&hss)[0].3, ["m", "m2"].map(impu));
    assert_eq!((hss.status("m2"), hss.status("n")), (Status::NotRegistered, Status::Registered));
}

#[test]
fn cx_9_who_is_removed_is_deregistered_first() {
    let hss = hss();
    register(&hss, "a", "a");
    let sqn = hss.sqn("a");
    let report = hss.report(|hss, done| hss.remove(Key::Impu(impu("a")), done)).unwrap();
    assert_eq!(report.told.len(), 1);
    assert_eq!(rtrs(&hss).len(), 1);
    assert!(hss.load(Key::Impi(impi("a"))).is_none());
    assert_eq!(hss.authorize(&uar("a", "a", REGISTRATION)), no(ExperimentalCode::UserUnknown));
    assert_ne!(sqn, Sqn::default());
}

#[test]
fn cx_10_a_profile_reaches_the_servers_of_the_sets_that_change() {
    let hss = hss();
    // Nobody serves the user: nobody is told.
    assert_eq!(change(&hss, |profile| profile.public[1].barred = true).unwrap().told, []);
    assert_eq!(change(&hss, |_| ()).unwrap().told, []);
    register(&hss, "m", "m");
    register(&hss, "m", "n");
    let report = change(&hss, |profile| profile.public[1].barred = true).unwrap();
    assert_eq!(report.told, [Told { to: origin(SCSCF), message: "PPR", delivery: Delivery::Delivered }]);
    let pushed = pprs(&hss);
    assert_eq!(pushed.len(), 1, "the other set is as it was");
    let identities: Vec<_> = pushed[0].identities().map(|one| (one.identity.clone(), one.barred)).collect();
    assert_eq!(identities, [(impu("m"), false), (impu("m2"), true)]);
    assert_eq!(pushed[0].private_id, impi("m"));
    // It is there for the next download as well.
    let data = hss.assign(&sar("m", "m", SCSCF, T::NoAssignment)).unwrap().user_data.unwrap();
    assert_eq!(data, pushed[0]);

    let xml = b"<InitialFilterCriteria><Priority>1</Priority></InitialFilterCriteria>".to_vec();
    change(&hss, |profile| {
        profile.public[1].barred = true;
        profile.sets[0].filter_criteria = vec![FilterCriteria { xml: xml.clone() }];
    })
    .unwrap();
    let pushed = pprs(&hss);
    assert_eq!(pushed.len(), 1);
    assert_eq!(pushed[0].profiles[0].filter_criteria[0].xml, xml);
    assert!(pushed[0].identities().all(|one| one.identity == impu("n")));
}

#[test]
fn cx_10_an_unreachable_server_does_not_keep_the_profile_from_changing() {
    let hss = hss();
    register(&hss, "m", "m");
    *hss.peers.answer.lock().unwrap() = Some(Err(LinkError::Timeout));
    let report = change(&hss, |profile| profile.public[1].barred = true).unwrap();
    assert_eq!(report.told[0].delivery, Delivery::Unreachable(LinkError::Timeout));
    assert!(hss.load(Key::Impi(impi("m"))).unwrap().subscription.public()[1].barred);
}

#[test]
fn cx_10_identities_join_and_leave_a_registered_set() {
    let hss = hss();
    register(&hss, "m", "m");
    let sqn = hss.sqn("m");
    change(&hss, |profile| profile.public[1].impu = impu("m3")).unwrap();
    let pushed = pprs(&hss);
    let identities: Vec<_> = pushed[0].identities().map(|one| one.identity.clone()).collect();
    assert_eq!(identities, ["m", "m3"].map(impu));
    assert_eq!(hss.status("m3"), Status::Registered, "as the set it joined");
    assert!(hss.load(Key::Impu(impu("m2"))).is_none());
    assert_eq!(hss.sqn("m"), sqn, "keys and numbers stay");
    assert_eq!(hss.authenticate(&mar("m", "m3", SCSCF)).unwrap().vectors.len(), 1);
}

#[test]
fn cx_10_a_set_that_is_taken_away_is_deregistered() {
    let hss = hss();
    register(&hss, "m", "m");
    register(&hss, "m", "n");
    let without = |profile: &mut Profile| {
        profile.public.remove(2);
        profile.sets.clear();
    };
    change(&hss, without).unwrap();
    assert_eq!(rtrs(&hss), [("scscf.home.example".to_owned(), impi("m"), vec![], vec![impu("n")])]);
    assert_eq!(hss.status("m"), Status::Registered);
}

#[test]
fn cx_10_the_default_identity_of_a_registered_set_stays() {
    let hss = hss();
    let barred = |profile: &mut Profile| profile.public[0].barred = true;
    register(&hss, "m", "m");
    let before = hss.load(Key::Impi(impi("m"))).unwrap().revision;
    assert!(matches!(change(&hss, barred), Err(OperationError::DefaultIdentityChanges)));
    assert_eq!(hss.load(Key::Impi(impi("m"))).unwrap().revision, before);
    assert!(hss.sent().is_empty());
    deregister(&hss, Key::Impi(impi("m")), ReasonCode::ServerChange);
    assert!(change(&hss, barred).is_ok());
}
