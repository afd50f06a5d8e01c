use super::*;

#[test]
fn cx_7_pending_covers_the_set_and_leads_back_to_the_same_server() {
    let hss = hss();
    hss.authenticate(&mar("a", "a", SCSCF)).unwrap();
    for public in ["a", "a2", "a-barred"] {
        assert_eq!(hss.authorize(&uar("a", public, REGISTRATION)), subsequent(SCSCF), "{public}");
        assert_eq!(hss.authorize(&uar("a", public, DE_REGISTRATION)), leaving(SCSCF), "{public}");
    }
    use ServerAssignmentType as T;
    for (assignment, after) in [(T::AuthenticationFailure, first()), (T::AuthenticationTimeout, first())] {
        hss.authenticate(&mar("a", "a", SCSCF)).unwrap();
        hss.assign(&sar("a", "a2", SCSCF, assignment)).unwrap();
        assert!(!hss.authorize_pending("a", "a"));
        assert_eq!(hss.authorize(&uar("a", "a", REGISTRATION)), after);
    }
    register(&hss, "a", "a2");
    assert!(!hss.authorize_pending("a", "a"));
    assert_eq!(hss.status("a"), Status::Registered, "the whole set");
}

/// OVW-8: between MAR and SAR the user is pending, never registered, the name of the S-CSCF is known for that
/// challenge alone, and a LIR finds nobody, or that S-CSCF when the user is to be served unregistered.
#[test]
fn ovw_8_between_mar_and_sar_the_user_is_pending_and_not_registered() {
    let hss = hss();
    assert!(!hss.authorize_pending("a", "a"));
    hss.authenticate(&mar("a", "a", SCSCF)).unwrap();
    for public in ["a", "a2", "a-barred"] {
        assert!(hss.authorize_pending("a", public), "{public}");
        assert_eq!(hss.status(public), Status::NotRegistered, "{public}");
        assert_eq!(hss.stored(public), Some(name(SCSCF)));
        assert_eq!(hss.locate(&lir(public)), no(ExperimentalCode::IdentityNotRegistered), "{public}");
        let originating = LocationInfoRequest { originating: true, ..lir(public) };
        assert_eq!(hss.locate(&originating), served(SCSCF), "{public}");
    }
    hss.assign(&sar("a", "a", SCSCF, ServerAssignmentType::Registration)).unwrap();
    assert!(!hss.authorize_pending("a", "a2"));
    assert_eq!(hss.status("a2"), Status::Registered);
    // A challenge of a registered user is not pending, and its failure leaves him registered.
    hss.authenticate(&mar("a", "a", SCSCF)).unwrap();
    assert!(!hss.authorize_pending("a", "a"));
    hss.assign(&sar("a", "a", SCSCF, ServerAssignmentType::AuthenticationFailure)).unwrap();
    assert_eq!(hss.status("a"), Status::Registered);
    // Who shares an identity with somebody registered is pending for himself.
    register(&hss, "c", "shared");
    hss.authenticate(&mar("d", "d", SCSCF)).unwrap();
    assert!(hss.authorize_pending("d", "d"));
    assert_eq!(hss.status("d"), Status::NotRegistered);
}

#[test]
fn cx_6_registration_gives_the_profile_unless_it_is_there() {
    let hss = hss();
    let request = sar("a", "a", SCSCF, ServerAssignmentType::Registration);
    let data = hss.assign(&request).unwrap().user_data.unwrap();
    assert_eq!(data.private_id, impi("a"));
    assert_eq!(data.default_impu(), Some(&impu("a")), "the first that is not barred");
    assert_eq!(data.identities().filter(|id| id.barred).count(), 1);
    let there = ServerAssignmentRequest { user_data_already_available: true, ..request };
    assert_eq!(hss.assign(&there), Ok(ServerAssignment::default()));
}

#[test]
fn cx_6_registered_elsewhere_is_told_with_the_name() {
    let hss = hss();
    register(&hss, "a", "a");
    use ServerAssignmentType as T;
    for assignment in [T::Registration, T::ReRegistration, T::UnregisteredUser] {
        let failure = CxFailure::AlreadyRegistered { server_name: name(SCSCF) };
        assert_eq!(hss.assign(&sar("a", "a", OTHER, assignment)), Err(failure));
    }
    for assignment in T::ALL.into_iter().filter(|kind| !matches!(kind.code(), 1..=3)) {
        assert_eq!(
            hss.assign(&sar("a", "a", OTHER, assignment)),
            no(BaseCode::UnableToComply),
            "{assignment:?}"
        );
    }
    assert_eq!(hss.authorize(&uar("a", "a", REGISTRATION)), subsequent(SCSCF));
}

#[test]
fn cx_6_leaving() {
    use ServerAssignmentType as T;
    let leaves = [
        T::TimeoutDeregistration,
        T::UserDeregistration,
        T::AdministrativeDeregistration,
        T::DeregistrationTooMuchData,
    ];
    for assignment in leaves {
        let hss = hss();
        register(&hss, "a", "a");
        assert_eq!(hss.assign(&sar("a", "a2", SCSCF, assignment)), Ok(ServerAssignment::default()));
        assert_eq!(hss.authorize(&uar("a", "a", REGISTRATION)), first(), "{assignment:?}");
        assert_eq!(hss.entries("a"), 0, "nothing is left behind");
    }
}

#[test]
fn cx_6_leaving_with_the_profile_kept_or_not() {
    use ServerAssignmentType as T;
    for assignment in [T::TimeoutDeregistrationStoreServerName, T::UserDeregistrationStoreServerName] {
        let keeps = hss();
        register(&keeps, "a", "a");
        assert_eq!(keeps.assign(&sar("a", "a", SCSCF, assignment)), Ok(ServerAssignment::default()));
        assert_eq!(keeps.status("a2"), Status::Unregistered);

        let drops = hss_with(Policy { keep_server_name: false, ..Default::default() });
        register(&drops, "a", "a");
        let answer = drops.assign(&sar("a", "a", SCSCF, assignment)).unwrap();
        assert!(answer.server_name_not_stored);
        assert_eq!(drops.status("a2"), Status::NotRegistered);
        assert_eq!(drops.stored("a"), None);
    }
}

#[test]
fn cx_6_failed_authentication_of_a_registered_user_changes_nothing() {
    let hss = hss();
    register(&hss, "a", "a");
    use ServerAssignmentType as T;
    for assignment in [T::AuthenticationFailure, T::AuthenticationTimeout] {
        hss.authenticate(&mar("a", "a", SCSCF)).unwrap();
        assert_eq!(hss.assign(&sar("a", "a", SCSCF, assignment)), Ok(ServerAssignment::default()));
        assert_eq!(hss.status("a"), Status::Registered);
        assert_eq!(hss.stored("a"), Some(name(SCSCF)));
    }
}

#[test]
fn cx_6_no_assignment_and_unregistered_user() {
    let hss = hss();
    use ServerAssignmentType as T;
    assert_eq!(hss.assign(&sar("a", "a", SCSCF, T::NoAssignment)), no(BaseCode::UnableToComply));
    assert!(hss.assign(&sar("a", "a", SCSCF, T::UnregisteredUser)).unwrap().user_data.is_some());
    assert_eq!(hss.status("a"), Status::Unregistered);
    assert!(hss.assign(&sar("a", "a", SCSCF, T::NoAssignment)).unwrap().user_data.is_some());
    assert_eq!(hss.status("a"), Status::Unregistered);
    assert!(hss.assign(&sar("a", "a", SCSCF, T::Registration)).is_ok());
    assert_eq!(hss.status("a"), Status::Registered);
}

#[test]
fn cx_6_checks_come_in_order() {
    let hss = hss();
    use ExperimentalCode as E;
    use ServerAssignmentType as T;
    let request = sar("a", "a", SCSCF, T::Registration);
    let with = |impi: Option<&str>, impus: &[&str], assignment| ServerAssignmentRequest {
        impi: impi.map(self::impi),
        impus: impus.iter().map(|text| impu(text)).collect(),
        assignment,
        ..request.clone()
    };
    assert_eq!(hss.assign(&with(Some("nobody"), &["a"], T::Registration)), no(E::UserUnknown));
    assert_eq!(hss.assign(&with(Some("a"), &["nobody"], T::Registration)), no(E::UserUnknown));
    assert_eq!(hss.assign(&with(Some("a"), &["c"], T::Registration)), no(E::IdentitiesDontMatch));
    let twice = no(BaseCode::AvpOccursTooManyTimes);
    for assignment in T::ALL {
        let several = hss.assign(&with(Some("a"), &["a", "a2"], assignment));
        assert_eq!(several == twice, assignment.takes_one_identity(), "{assignment:?}");
    }
    assert_eq!(hss.assign(&with(Some("a"), &[], T::Registration)), no(BaseCode::MissingAvp));
    assert_eq!(hss.assign(&with(None, &[], T::UserDeregistration)), no(BaseCode::MissingAvp));
    assert_eq!(hss.assign(&with(None, &["shared"], T::UserDeregistration)), no(BaseCode::MissingAvp));
    assert!(hss.assign(&with(Some("a"), &[], T::UserDeregistration)).is_ok(), "User-Name alone is enough");
    let answer = hss.assign(&with(None, &["a"], T::Registration)).unwrap();
    assert_eq!(answer.impi, Some(impi("a")), "told when it was not asked with");
}

#[test]
fn cx_16_a_shared_identity_stays_registered_until_both_leave() {
    let hss = hss();
    use ServerAssignmentType as T;
    register(&hss, "c", "shared");
    register(&hss, "d", "shared");
    hss.authenticate(&mar("c", "shared", SCSCF)).unwrap();
    assert!(!hss.authorize_pending("d", "shared"), "flags are independent");
    hss.assign(&sar("c", "shared", SCSCF, T::UserDeregistration)).unwrap();
    assert_eq!(hss.status("shared"), Status::Registered);
    assert_eq!(hss.status("c"), Status::NotRegistered);
    assert_eq!(hss.authorize(&uar("d", "shared", REGISTRATION)), subsequent(SCSCF));
    hss.assign(&sar("d", "shared", SCSCF, T::UserDeregistration)).unwrap();
    assert_eq!(hss.status("shared"), Status::NotRegistered);
    assert_eq!(hss.entries("a"), 0);
}

#[test]
fn cx_6_a_service_is_served_but_never_registers() {
    let hss = hss();
    use ServerAssignmentType as T;
    let request =
        |assignment| ServerAssignmentRequest { impi: None, ..sar("m", "service", SCSCF, assignment) };
    for assignment in T::ALL {
        let hss = self::hss();
        hss.assign(&request(T::UnregisteredUser)).unwrap();
        let refused = hss.assign(&request(assignment)) == no(ExperimentalCode::InAssignmentType);
        assert_eq!(refused, matches!(assignment.code(), 1 | 2 | 5 | 6 | 7 | 9 | 10), "{assignment:?}");
    }
    let answer = hss.assign(&request(T::UnregisteredUser)).unwrap();
    let data = answer.user_data.unwrap();
    assert_eq!(data.identities().map(|one| one.kind).collect::<Vec<_>>(), [IdentityType::DistinctService]);
    assert_eq!(hss.status("service"), Status::Unregistered);
    hss.assign(&request(T::AdministrativeDeregistration)).unwrap();
    assert_eq!(hss.status("service"), Status::NotRegistered);
}

#[test]
fn cx_6_sets_register_and_leave_each_for_itself() {
    let hss = hss();
    use ServerAssignmentType as T;
    register(&hss, "m", "m");
    register(&hss, "m", "n");
    let data = hss.assign(&sar("m", "n", SCSCF, T::NoAssignment)).unwrap().user_data.unwrap();
    assert_eq!(data.identities().map(|one| &one.identity).collect::<Vec<_>>(), [&impu("n")]);
    hss.assign(&sar("m", "m2", SCSCF, T::UserDeregistration)).unwrap();
    assert_eq!((hss.status("m"), hss.status("n")), (Status::NotRegistered, Status::Registered));
    // Without Public-Identity all that the private identity has registered leaves.
    register(&hss, "m", "m");
    let all = ServerAssignmentRequest { impus: Vec::new(), ..sar("m", "m", SCSCF, T::TimeoutDeregistration) };
    hss.assign(&all).unwrap();
    assert_eq!(hss.entries("m"), 0);
}

/// A user who is unregistered at one S-CSCF is not given to another that just asks.
#[test]
fn cx_6_unregistered_elsewhere() {
    let hss = hss();
    use ServerAssignmentType as T;
    hss.assign(&sar("m", "n", SCSCF, T::UnregisteredUser)).unwrap();
    let failure = CxFailure::AlreadyRegistered { server_name: name(SCSCF) };
    assert_eq!(hss.assign(&sar("m", "n", OTHER, T::UnregisteredUser)), Err(failure));
    assert!(hss.assign(&sar("m", "n", SCSCF, T::UnregisteredUser)).is_ok());
}
