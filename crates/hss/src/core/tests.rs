use aka::{Algorithm, Amf, Auts, IndRange, Isim, IsimFailure, K, Opc, Sqn, SqnArray};

use cx::ServerName;

use super::*;
use crate::{MemoryStore, SubscriberImpu};

const SCSCF: &str = "sip:scscf.home.example";
const OTHER: &str = "sip:scscf2.home.example";

fn algorithm() -> Algorithm {
    Algorithm::milenage(K::from_bytes([0x11; 16]), Opc::from_bytes([0x22; 16]))
}

fn impi(name: &str) -> Impi {
    Impi::new(&format!("{name}@home.example")).unwrap()
}

fn impu(name: &str) -> Impu {
    Impu::new(&format!("sip:{name}@home.example")).unwrap()
}

fn name(text: &str) -> ServerName {
    ServerName::new(text).unwrap()
}

fn subscriber(user: &str, impus: &[(&str, bool)]) -> Subscriber {
    let impus = impus.iter().map(|(user, barred)| SubscriberImpu { impu: impu(user), barred: *barred });
    Subscriber {
        impi: impi(user),
        algorithm: algorithm(),
        amf: Amf::from_bytes([0, 0]),
        impus: impus.collect(),
    }
}

fn capabilities() -> ServerCapabilities {
    ServerCapabilities { mandatory: vec![7], ..Default::default() }
}

fn hss_with(policy: Policy) -> Hss<MemoryStore> {
    let mut store = MemoryStore::new();
    let subscribers = [
        subscriber("a", &[("a-barred", true), ("a", false), ("a2", false)]),
        subscriber("barred", &[("barred", true)]),
        // c and d share one public identity.
        subscriber("c", &[("shared", false), ("c", false)]),
        subscriber("d", &[("shared", false), ("d", false)]),
    ];
    for subscriber in subscribers {
        store.insert(subscriber, Sqn::default(), IndRange::ALL);
    }
    Hss::new(policy, store, [7; 32])
}

fn hss() -> Hss<MemoryStore> {
    hss_with(Policy { capabilities: capabilities(), ..Default::default() })
}

const REGISTRATION: UserAuthorizationType = UserAuthorizationType::Registration;
const DE_REGISTRATION: UserAuthorizationType = UserAuthorizationType::DeRegistration;

fn uar(user: &str, public: &str, kind: UserAuthorizationType) -> UserAuthorizationRequest {
    UserAuthorizationRequest {
        impi: impi(user),
        impu: impu(public),
        visited_network: VisitedNetwork::new("visited.example").unwrap(),
        kind,
        emergency: false,
    }
}

fn mar(user: &str, public: &str, server: &str) -> MultimediaAuthRequest {
    MultimediaAuthRequest {
        impi: impi(user),
        impu: impu(public),
        server_name: name(server),
        items: 1,
        scheme: AuthScheme::DigestAka,
        resync: None,
    }
}

fn sar(user: &str, public: &str, server: &str, assignment: ServerAssignmentType) -> ServerAssignmentRequest {
    ServerAssignmentRequest {
        impi: Some(impi(user)),
        impus: vec![impu(public)],
        server_name: name(server),
        assignment,
        user_data_already_available: false,
        restoration: None,
    }
}

fn subsequent(server: &str) -> Result<UserAuthorization, CxFailure> {
    Ok(UserAuthorization::Subsequent { server_name: name(server) })
}

fn leaving(server: &str) -> Result<UserAuthorization, CxFailure> {
    Ok(UserAuthorization::DeRegistration { server_name: name(server) })
}

fn first() -> Result<UserAuthorization, CxFailure> {
    Ok(UserAuthorization::FirstRegistration { capabilities: capabilities() })
}

fn no<T>(code: impl Into<CxFailure>) -> Result<T, CxFailure> {
    Err(code.into())
}

/// Through MAR and SAR to Registered.
fn register(hss: &mut Hss<MemoryStore>, user: &str, public: &str) {
    assert_eq!(hss.authenticate(&mar(user, public, SCSCF)).unwrap().vectors.len(), 1);
    hss.assign(&sar(user, public, SCSCF, ServerAssignmentType::Registration)).unwrap();
}

#[test]
fn cx_3_identities_are_checked_first() {
    let mut hss = hss();
    use ExperimentalCode as E;
    assert_eq!(hss.authorize(&uar("nobody", "a", REGISTRATION)), no(E::UserUnknown));
    assert_eq!(hss.authorize(&uar("a", "nobody", REGISTRATION)), no(E::UserUnknown));
    assert_eq!(hss.authorize(&uar("a", "c", REGISTRATION)), no(E::IdentitiesDontMatch));
}

#[test]
fn cx_3_barred_sets_may_register_only_in_an_emergency() {
    let mut hss = hss();
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
    let mut hss = hss_with(Policy {
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
    let mut hss = hss();
    // Not registered, nothing stored.
    assert_eq!(hss.authorize(&uar("a", "a", REGISTRATION)), first());
    let not_registered = no(ExperimentalCode::IdentityNotRegistered);
    assert_eq!(hss.authorize(&uar("a", "a", DE_REGISTRATION)), not_registered);
    // Registered.
    register(&mut hss, "a", "a");
    assert_eq!(hss.authorize(&uar("a", "a", REGISTRATION)), subsequent(SCSCF));
    assert_eq!(hss.authorize(&uar("a", "a", DE_REGISTRATION)), leaving(SCSCF));
    let capabilities_wanted = uar("a", "a", UserAuthorizationType::RegistrationAndCapabilities);
    let given = UserAuthorization::Capabilities { capabilities: capabilities() };
    assert_eq!(hss.authorize(&capabilities_wanted), Ok(given));
    // Unregistered.
    hss.assign(&sar("a", "a", SCSCF, ServerAssignmentType::UserDeregistrationStoreServerName)).unwrap();
    assert_eq!(hss.registrations.status(&impu("a")), Status::Unregistered);
    assert_eq!(hss.authorize(&uar("a", "a", REGISTRATION)), subsequent(SCSCF));
    assert_eq!(hss.authorize(&uar("a", "a", DE_REGISTRATION)), leaving(SCSCF));
}

#[test]
fn cx_3_another_identity_of_the_subscription_is_registered() {
    let mut hss = hss();
    register(&mut hss, "d", "d");
    // `shared` and `d` are registered by d; c's own identity is not, but shares the subscription.
    assert_eq!(hss.registrations.status(&impu("c")), Status::NotRegistered);
    assert_eq!(hss.authorize(&uar("c", "c", REGISTRATION)), subsequent(SCSCF));
    assert_eq!(hss.authorize(&uar("c", "c", DE_REGISTRATION)), no(ExperimentalCode::IdentityNotRegistered));
}

#[test]
fn cx_4_identities_and_scheme() {
    let mut hss = hss();
    use ExperimentalCode as E;
    assert_eq!(hss.authenticate(&mar("nobody", "a", SCSCF)), no(E::UserUnknown));
    assert_eq!(hss.authenticate(&mar("a", "nobody", SCSCF)), no(E::UserUnknown));
    assert_eq!(hss.authenticate(&mar("a", "c", SCSCF)), no(E::IdentitiesDontMatch));
    for scheme in ["SIP Digest", "Unknown", ""] {
        let request = MultimediaAuthRequest { scheme: AuthScheme::from(scheme), ..mar("a", "a", SCSCF) };
        assert_eq!(hss.authenticate(&request), no(E::AuthSchemeNotSupported));
    }
    assert!(hss.registrations.stored_name(&impu("a")).is_none(), "a refusal changes nothing");
}

#[test]
fn cx_4_every_state() {
    let mut hss = hss();
    let pending = |hss: &Hss<MemoryStore>| hss.authorize_pending("a", "a");
    // Not registered, none stored.
    hss.authenticate(&mar("a", "a", SCSCF)).unwrap();
    assert_eq!(hss.registrations.stored_name(&impu("a")), Some(&name(SCSCF)));
    assert!(pending(&hss));
    // Not registered, another stored.
    hss.authenticate(&mar("a", "a", OTHER)).unwrap();
    assert_eq!(hss.registrations.stored_name(&impu("a")), Some(&name(OTHER)));
    // Registered, equal: no flag.
    hss.assign(&sar("a", "a", OTHER, ServerAssignmentType::Registration)).unwrap();
    hss.authenticate(&mar("a", "a", OTHER)).unwrap();
    assert!(!pending(&hss));
    // Registered, different: name and flag, and still registered.
    hss.authenticate(&mar("a", "a", SCSCF)).unwrap();
    assert_eq!(hss.registrations.stored_name(&impu("a")), Some(&name(SCSCF)));
    assert!(pending(&hss));
    assert_eq!(hss.registrations.status(&impu("a")), Status::Registered);
}

impl Hss<MemoryStore> {
    fn authorize_pending(&self, user: &str, public: &str) -> bool {
        self.registrations.is_pending(&impu(public), &impi(user))
    }
}

#[test]
fn cx_4_the_number_of_vectors_is_bounded() {
    let mut hss = hss();
    for (items, expected) in [(0, 1), (1, 1), (3, 3), (u32::MAX, 5)] {
        let vectors =
            hss.authenticate(&MultimediaAuthRequest { items, ..mar("a", "a", SCSCF) }).unwrap().vectors;
        assert_eq!(vectors.len(), expected);
    }
}

#[test]
fn aka_8_no_two_vectors_share_a_challenge() {
    let mut hss = hss();
    let mut rands = HashSet::new();
    for _ in 0..1000 {
        assert!(rands.insert(hss.authenticate(&mar("a", "a", SCSCF)).unwrap().vectors[0].rand));
    }
}

#[test]
fn aka_5_a_thousand_vectors_in_a_row_are_accepted() {
    let mut hss = hss();
    let mut card = Isim::new(algorithm(), SqnArray::new());
    for number in 0..1000 {
        let vector = hss.authenticate(&mar("a", "a", SCSCF)).unwrap().vectors.remove(0);
        let answer = card.authenticate(&vector.rand, &vector.autn);
        assert_eq!(answer.map(|answer| answer.res), Ok(vector.xres), "vector {number}");
    }
}

/// A card far ahead of the AuC, and the AUTS it answers with.
fn out_of_step(hss: &mut Hss<MemoryStore>) -> (Isim, Rand, Auts) {
    let mut card = Isim::new(algorithm(), SqnArray::starting_at(Sqn::from_parts(5000, 9).unwrap()));
    for _ in 0..32 {
        let vector = hss.authenticate(&mar("a", "a", SCSCF)).unwrap().vectors.remove(0);
        if let Err(IsimFailure::SyncFailure(auts)) = card.authenticate(&vector.rand, &vector.autn) {
            return (card, vector.rand, auts);
        }
    }
    panic!("one of 32 slots must be stale");
}

#[test]
fn cx_5_aka_6_the_first_vector_after_resynchronisation_is_accepted() {
    let mut hss = hss();
    let (mut card, rand, auts) = out_of_step(&mut hss);
    let request = MultimediaAuthRequest { resync: Some((rand, auts)), ..mar("a", "a", SCSCF) };
    let vector = hss.authenticate(&request).unwrap().vectors.remove(0);
    assert_ne!(vector.rand, rand);
    assert!(card.authenticate(&vector.rand, &vector.autn).is_ok());
}

#[test]
fn cx_5_aka_6_a_damaged_auts_changes_nothing() {
    let mut hss = hss();
    let (_, rand, auts) = out_of_step(&mut hss);
    let before = hss.store.generator_state(&impi("a"));
    for bit in 0..112 {
        let mut octets = *auts.as_bytes();
        octets[bit / 8] ^= 1 << (bit % 8);
        let resync = Some((rand, Auts::from_bytes(octets)));
        let request = MultimediaAuthRequest { resync, ..mar("a", "a", SCSCF) };
        assert_eq!(hss.authenticate(&request), no(BaseCode::UnableToComply), "bit {bit}");
    }
    assert_eq!(hss.store.generator_state(&impi("a")), before);
}

#[test]
fn cx_5_only_the_stored_server_may_resynchronise() {
    let mut hss = hss();
    let (_, rand, auts) = out_of_step(&mut hss);
    let before = hss.store.generator_state(&impi("a"));
    let request = MultimediaAuthRequest { resync: Some((rand, auts)), ..mar("a", "a", OTHER) };
    assert_eq!(hss.authenticate(&request), no(BaseCode::UnableToComply));
    assert_eq!(hss.registrations.stored_name(&impu("a")), Some(&name(SCSCF)));
    assert_eq!(hss.store.generator_state(&impi("a")), before);
}

#[test]
fn cx_7_pending_covers_the_set_and_leads_back_to_the_same_server() {
    let mut hss = hss();
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
    register(&mut hss, "a", "a2");
    assert!(!hss.authorize_pending("a", "a"));
    assert_eq!(hss.registrations.status(&impu("a")), Status::Registered, "the whole set");
}

/// OVW-8 without its LIR, which the HSS does not answer yet: between MAR and SAR the user is pending, never
/// registered, and the name of the S-CSCF is known for that challenge alone.
#[test]
fn ovw_8_between_mar_and_sar_the_user_is_pending_and_not_registered() {
    let mut hss = hss();
    assert!(!hss.authorize_pending("a", "a"));
    hss.authenticate(&mar("a", "a", SCSCF)).unwrap();
    for public in ["a", "a2", "a-barred"] {
        assert!(hss.authorize_pending("a", public), "{public}");
        assert_eq!(hss.registrations.status(&impu(public)), Status::NotRegistered, "{public}");
        assert_eq!(hss.registrations.stored_name(&impu(public)), Some(&name(SCSCF)));
    }
    hss.assign(&sar("a", "a", SCSCF, ServerAssignmentType::Registration)).unwrap();
    assert!(!hss.authorize_pending("a", "a2"));
    assert_eq!(hss.registrations.status(&impu("a2")), Status::Registered);
    // A challenge of a registered user is not pending, and its failure leaves him registered.
    hss.authenticate(&mar("a", "a", SCSCF)).unwrap();
    assert!(!hss.authorize_pending("a", "a"));
    hss.assign(&sar("a", "a", SCSCF, ServerAssignmentType::AuthenticationFailure)).unwrap();
    assert_eq!(hss.registrations.status(&impu("a")), Status::Registered);
    // Who shares an identity with somebody registered is pending for himself.
    register(&mut hss, "c", "shared");
    hss.authenticate(&mar("d", "d", SCSCF)).unwrap();
    assert!(hss.authorize_pending("d", "d"));
    assert_eq!(hss.registrations.status(&impu("d")), Status::NotRegistered);
}

#[test]
fn cx_6_registration_gives_the_profile_unless_it_is_there() {
    let mut hss = hss();
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
    let mut hss = hss();
    register(&mut hss, "a", "a");
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
        let mut hss = hss();
        register(&mut hss, "a", "a");
        assert_eq!(hss.assign(&sar("a", "a2", SCSCF, assignment)), Ok(ServerAssignment::default()));
        assert_eq!(hss.authorize(&uar("a", "a", REGISTRATION)), first(), "{assignment:?}");
        assert_eq!(hss.registrations.len(), 0, "nothing is left behind");
    }
}

#[test]
fn cx_6_leaving_with_the_profile_kept_or_not() {
    use ServerAssignmentType as T;
    for assignment in [T::TimeoutDeregistrationStoreServerName, T::UserDeregistrationStoreServerName] {
        let mut keeps = hss();
        register(&mut keeps, "a", "a");
        assert_eq!(keeps.assign(&sar("a", "a", SCSCF, assignment)), Ok(ServerAssignment::default()));
        assert_eq!(keeps.registrations.status(&impu("a2")), Status::Unregistered);

        let mut drops = hss_with(Policy { keep_server_name: false, ..Default::default() });
        register(&mut drops, "a", "a");
        let answer = drops.assign(&sar("a", "a", SCSCF, assignment)).unwrap();
        assert!(answer.server_name_not_stored);
        assert_eq!(drops.registrations.status(&impu("a2")), Status::NotRegistered);
        assert_eq!(drops.registrations.stored_name(&impu("a")), None);
    }
}

#[test]
fn cx_6_failed_authentication_of_a_registered_user_changes_nothing() {
    let mut hss = hss();
    register(&mut hss, "a", "a");
    use ServerAssignmentType as T;
    for assignment in [T::AuthenticationFailure, T::AuthenticationTimeout] {
        hss.authenticate(&mar("a", "a", SCSCF)).unwrap();
        assert_eq!(hss.assign(&sar("a", "a", SCSCF, assignment)), Ok(ServerAssignment::default()));
        assert_eq!(hss.registrations.status(&impu("a")), Status::Registered);
        assert_eq!(hss.registrations.stored_name(&impu("a")), Some(&name(SCSCF)));
    }
}

#[test]
fn cx_6_no_assignment_and_unregistered_user() {
    let mut hss = hss();
    use ServerAssignmentType as T;
    assert_eq!(hss.assign(&sar("a", "a", SCSCF, T::NoAssignment)), no(BaseCode::UnableToComply));
    assert!(hss.assign(&sar("a", "a", SCSCF, T::UnregisteredUser)).unwrap().user_data.is_some());
    assert_eq!(hss.registrations.status(&impu("a")), Status::Unregistered);
    assert!(hss.assign(&sar("a", "a", SCSCF, T::NoAssignment)).unwrap().user_data.is_some());
    assert_eq!(hss.registrations.status(&impu("a")), Status::Unregistered);
    assert!(hss.assign(&sar("a", "a", SCSCF, T::Registration)).is_ok());
    assert_eq!(hss.registrations.status(&impu("a")), Status::Registered);
}

#[test]
fn cx_6_checks_come_in_order() {
    let mut hss = hss();
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
    let mut hss = hss();
    use ServerAssignmentType as T;
    register(&mut hss, "c", "shared");
    register(&mut hss, "d", "shared");
    hss.authenticate(&mar("c", "shared", SCSCF)).unwrap();
    assert!(!hss.authorize_pending("d", "shared"), "flags are independent");
    hss.assign(&sar("c", "shared", SCSCF, T::UserDeregistration)).unwrap();
    assert_eq!(hss.registrations.status(&impu("shared")), Status::Registered);
    assert_eq!(hss.registrations.status(&impu("c")), Status::NotRegistered);
    assert_eq!(hss.authorize(&uar("d", "shared", REGISTRATION)), subsequent(SCSCF));
    hss.assign(&sar("d", "shared", SCSCF, T::UserDeregistration)).unwrap();
    assert_eq!(hss.registrations.status(&impu("shared")), Status::NotRegistered);
    assert_eq!(hss.registrations.len(), 0);
}

#[test]
fn answers_are_of_the_kind_asked_for() {
    let mut hss = hss();
    let from = Origin { host: "scscf".into(), realm: "home.example".into() };
    assert!(matches!(hss.answer(&from, Request::Uar(uar("a", "a", REGISTRATION))), Answer::Uaa(Ok(_))));
    assert!(matches!(hss.answer(&from, Request::Mar(mar("a", "a", SCSCF))), Answer::Maa(Ok(_))));
    let request = sar("a", "a", SCSCF, ServerAssignmentType::Registration);
    assert!(matches!(hss.answer(&from, Request::Sar(request)), Answer::Saa(Ok(_))));
    assert!(!format!("{hss:?}").contains("ChaCha"));
}
