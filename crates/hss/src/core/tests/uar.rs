use super::*;

#[test]
fn cx_3_identities_are_checked_first() {
    let hss = hss();
    use ExperimentalCode as E;
    assert_eq!(hss.authorize(&uar("nobody", "a", REGISTRATION)), no(E::UserUnknown));
    assert_eq!(hss.authorize(&uar("a", "nobody", REGISTRATION)), no(E::UserUnknown));
    assert_eq!(hss.authorize(&uar("a", "c", REGISTRATION)), no(E::IdentitiesDontMatch));
}

#[test]
fn cx_3_barred_sets_may_register_only_in_an_emergency() {
    let hss = hss();
    assert_eq!(hss.authorize(&uar("barred", "barred", REGISTRATION)), no(BaseCode::AuthorizationRejected));
    let emergency = UserAuthorizationRequest { emergency: true, ..uar("barred", "barred", REGISTRATION) };
    assert_eq!(hss.authorize(&emergency), first());
    assert_eq!(
        hss.authorize(&uar("a", "a-barred", REGISTRATION)),
        first(),
        "others of the set are not barred"
    );
}

#[test]
fn cx_3_roaming() {
    let home = VisitedNetwork::new("home.example").unwrap();
    let hss = hss_with(Policy {
        capabilities: capabilities(),
        visited_networks: HashSet::from([home.clone()]),
        ..Default::default()
    });
    let visitor = uar("a", "a", REGISTRATION);
    assert_eq!(hss.authorize(&visitor), no(ExperimentalCode::RoamingNotAllowed));
    assert_eq!(hss.authorize(&UserAuthorizationRequest { emergency: true, ..visitor.clone() }), first());
    assert_eq!(hss.authorize(&UserAuthorizationRequest { visited_network: home, ..visitor }), first());
    let leaves = uar("a", "a", DE_REGISTRATION);
    assert_eq!(hss.authorize(&leaves), no(ExperimentalCode::IdentityNotRegistered), "leaving is no roaming");
}

#[test]
fn cx_3_every_state() {
    let hss = hss();
    // Not registered, nothing stored.
    assert_eq!(hss.authorize(&uar("a", "a", REGISTRATION)), first());
    let not_registered = no(ExperimentalCode::IdentityNotRegistered);
    assert_eq!(hss.authorize(&uar("a", "a", DE_REGISTRATION)), not_registered);
    // Registered.
    register(&hss, "a", "a");
    assert_eq!(hss.authorize(&uar("a", "a", REGISTRATION)), subsequent(SCSCF));
    assert_eq!(hss.authorize(&uar("a", "a", DE_REGISTRATION)), leaving(SCSCF));
    let capabilities_wanted = uar("a", "a", UserAuthorizationType::RegistrationAndCapabilities);
    let given = UserAuthorization::Capabilities { capabilities: capabilities() };
    assert_eq!(hss.authorize(&capabilities_wanted), Ok(given));
    // Unregistered.
    hss.assign(&sar("a", "a", SCSCF, ServerAssignmentType::UserDeregistrationStoreServerName)).unwrap();
    assert_eq!(hss.status("a"), Status::Unregistered);
    assert_eq!(hss.authorize(&uar("a", "a", REGISTRATION)), subsequent(SCSCF));
    assert_eq!(hss.authorize(&uar("a", "a", DE_REGISTRATION)), leaving(SCSCF));
}

#[test]
fn cx_3_another_identity_of_the_subscription_is_registered() {
    let hss = hss();
    register(&hss, "d", "d");
    // `shared` and `d` are registered by d; c's own identity is not, but shares the subscription.
    assert_eq!(hss.status("c"), Status::NotRegistered);
    assert_eq!(hss.authorize(&uar("c", "c", REGISTRATION)), subsequent(SCSCF));
    assert_eq!(hss.authorize(&uar("c", "c", DE_REGISTRATION)), no(ExperimentalCode::IdentityNotRegistered));
}

#[test]
fn cx_3_several_sets_and_a_service() {
    let hss = hss();
    register(&hss, "m", "m");
    assert_eq!(hss.status("m2"), Status::Registered);
    assert_eq!(hss.status("n"), Status::NotRegistered, "another set");
    // One S-CSCF serves the whole subscription.
    assert_eq!(hss.authorize(&uar("m", "n", REGISTRATION)), subsequent(SCSCF));
    assert_eq!(hss.authorize(&uar("m", "n", DE_REGISTRATION)), no(ExperimentalCode::IdentityNotRegistered));
    assert_eq!(hss.authorize(&uar("m", "service", REGISTRATION)), no(ExperimentalCode::UserUnknown));
}

#[test]
fn cx_3_networks_and_capabilities_of_the_user_come_before_those_of_all() {
    let home = VisitedNetwork::new("home.example").unwrap();
    let own = ServerCapabilities { mandatory: vec![9], ..Default::default() };
    let hss = hss();
    let mut profile = several_sets();
    profile.visited_networks = Some(vec![home.clone()]);
    profile.capabilities = Some(own.clone());
    hss.report(|hss, done| {
        hss.change_profile(Key::Impi(impi("m")), Box::new(move |_| Ok(profile.clone())), done)
    })
    .unwrap();
    assert_eq!(hss.authorize(&uar("m", "m", REGISTRATION)), no(ExperimentalCode::RoamingNotAllowed));
    assert_eq!(hss.authorize(&uar("m", "m", WITH_CAPABILITIES)), no(ExperimentalCode::RoamingNotAllowed));
    let at_home = UserAuthorizationRequest { visited_network: home, ..uar("m", "m", REGISTRATION) };
    assert_eq!(hss.authorize(&at_home), Ok(UserAuthorization::FirstRegistration { capabilities: own }));
}
