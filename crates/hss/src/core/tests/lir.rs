use super::*;

fn unregistered_service() -> Result<LocationInfo, CxFailure> {
    Ok(LocationInfo::UnregisteredService { capabilities: capabilities() })
}

#[test]
fn cx_11_every_state_without_services_for_the_unregistered() {
    let hss = hss();
    let not_registered = no(ExperimentalCode::IdentityNotRegistered);
    assert_eq!(hss.locate(&lir("nobody")), no(ExperimentalCode::UserUnknown));
    assert_eq!(hss.locate(&lir("a")), not_registered);
    // Between MAR and SAR the user is not registered.
    hss.authenticate(&mar("a", "a", SCSCF)).unwrap();
    assert_eq!(hss.locate(&lir("a")), not_registered);
    hss.assign(&sar("a", "a", SCSCF, ServerAssignmentType::Registration)).unwrap();
    for public in ["a", "a2", "a-barred"] {
        assert_eq!(hss.locate(&lir(public)), served(SCSCF), "{public}");
    }
    hss.assign(&sar("a", "a", SCSCF, ServerAssignmentType::UserDeregistrationStoreServerName)).unwrap();
    assert_eq!(hss.locate(&lir("a")), served(SCSCF), "unregistered");
    hss.assign(&sar("a", "a", SCSCF, ServerAssignmentType::UserDeregistration)).unwrap();
    assert_eq!(hss.locate(&lir("a")), not_registered);
}

#[test]
fn cx_11_requests_from_the_users_side_and_services_for_the_unregistered() {
    let hss = hss();
    let originating = LocationInfoRequest { originating: true, ..lir("a") };
    assert_eq!(hss.locate(&originating), unregistered_service());
    assert_eq!(hss.locate(&lir("n")), unregistered_service(), "its set has such services");
    assert_eq!(hss.locate(&lir("m")), no(ExperimentalCode::IdentityNotRegistered));
    // The S-CSCF of a challenge, and the one of another identity of the subscription, is the one to ask.
    hss.authenticate(&mar("a", "a", SCSCF)).unwrap();
    assert_eq!(hss.locate(&originating), served(SCSCF), "pending");
    hss.authenticate(&mar("m", "m", OTHER)).unwrap();
    assert_eq!(hss.locate(&lir("n")), served(OTHER));
    hss.assign(&sar("m", "m", OTHER, ServerAssignmentType::Registration)).unwrap();
    assert_eq!(hss.locate(&lir("n")), served(OTHER));
    assert_eq!(hss.locate(&lir("service")), no(ExperimentalCode::IdentityNotRegistered));
}

#[test]
fn cx_11_capabilities_are_told_when_the_server_does_not_answer() {
    let hss = hss();
    let asks = LocationInfoRequest { capabilities: true, ..lir("a") };
    assert_eq!(hss.locate(&asks), no(ExperimentalCode::IdentityNotRegistered));
    register(&hss, "a", "a");
    assert_eq!(hss.locate(&asks), Ok(LocationInfo::Capabilities { capabilities: capabilities() }));
    assert!(hss.state("a").is_reassignment_pending());
}
