mod initiated;
mod lir;
mod mar;
mod sar;
mod takeover;
mod uar;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use aka::{Algorithm, Amf, Auts, Impi, Impu, Isim, IsimFailure, K, Opc, Rand, Sqn, SqnArray};
use cx::{
    AuthScheme, BaseCode, CxFailure, ExperimentalCode, IdentityType, LinkError, LocationInfo,
    LocationInfoRequest, MultimediaAuth, MultimediaAuthRequest, ReasonCode, RegistrationTermination, Reply,
    RestorationInfo, RestoredContact, ServerAssignment, ServerAssignmentRequest, ServerAssignmentType,
    ServerName, UserAuthorization, UserAuthorizationRequest, UserAuthorizationType,
};

use super::*;
use crate::csv::Imported;
use crate::store::{Key, Loaded};
use crate::{
    HeldIdentity, ImplicitSet, NewSubscription, OperationError, PrivateIdentity, Profile, State, Status,
    Subscriber, SubscriberImpu, Subscription,
};

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

/// The Diameter name of an S-CSCF: the host of its SIP URI.
fn origin(server: &str) -> Origin {
    Origin { host: server.trim_start_matches("sip:").into(), realm: "home.example".into() }
}

fn row(user: &str, impus: &[(&str, bool)]) -> Imported {
    let impus = impus.iter().map(|(user, barred)| SubscriberImpu { impu: impu(user), barred: *barred });
    let subscriber = Subscriber {
        impi: impi(user),
        algorithm: algorithm(),
        amf: Amf::from_bytes([0, 0]),
        impus: impus.collect(),
        anonymity: cx::Anonymity::default(),
    };
    Imported { subscriber, sqn: Sqn::default() }
}

fn held(user: &str, kind: IdentityType, set: u32) -> HeldIdentity {
    HeldIdentity { impu: impu(user), barred: false, kind, set, held_by: vec![impi("m")] }
}

/// Two implicit sets, the second with services for who is not registered, and a service in a third.
fn several_sets() -> Profile {
    use IdentityType::{DistinctService, DistinctUser};
    Profile {
        public: vec![
            held("m", DistinctUser, 0),
            held("m2", DistinctUser, 0),
            held("n", DistinctUser, 1),
            held("service", DistinctService, 2),
        ],
        sets: vec![ImplicitSet { number: 1, unregistered_services: true, ..Default::default() }],
        capabilities: None,
        visited_networks: None,
        anonymity: cx::Anonymity::default(),
    }
}

fn capabilities() -> ServerCapabilities {
    ServerCapabilities { mandatory: vec![7], ..Default::default() }
}

/// S-CSCFs that answer as they are told to, and what they were sent.
#[derive(Default)]
struct Peers {
    answer: Mutex<Option<Result<CxFailure, LinkError>>>,
    sent: Mutex<Vec<(Origin, Request)>>,
}

impl PeerLink for Peers {
    fn call(&self, to: &Origin, request: Request, reply: Reply) {
        let yes = match &request {
            Request::Ppr(_) => Answer::Ppa(Ok(())),
            _ => Answer::Rta(Ok(RegistrationTermination::default())),
        };
        let answer = match &*self.answer.lock().unwrap() {
            None => Ok(yes),
            Some(Ok(failure)) => Ok(request.refused(failure.clone())),
            Some(Err(error)) => Err(*error),
        };
        self.sent.lock().unwrap().push((to.clone(), request));
        reply(answer);
    }
}

struct Fixture {
    hss: Hss<MemoryStore>,
    time: Arc<AtomicU64>,
    peers: Arc<Peers>,
}

impl std::ops::Deref for Fixture {
    type Target = Hss<MemoryStore>;

    fn deref(&self) -> &Self::Target {
        &self.hss
    }
}

fn hss_with(policy: Policy) -> Fixture {
    let rows = vec![
        row("a", &[("a-barred", true), ("a", false), ("a2", false)]),
        row("barred", &[("barred", true)]),
        // c and d share one public identity.
        row("c", &[("shared", false), ("c", false)]),
        row("d", &[("shared", false), ("d", false)]),
    ];
    let mut subscriptions = crate::subscriptions(rows).unwrap();
    let private =
        PrivateIdentity { impi: impi("m"), algorithm: Arc::new(algorithm()), amf: Amf::from_bytes([0, 0]) };
    let subscription = Subscription::new(vec![private], several_sets()).unwrap();
    subscriptions.push(NewSubscription { subscription, sqns: Vec::new() });
    let time = Arc::new(AtomicU64::new(1_000_000));
    let clock = Arc::clone(&time);
    let clock = Box::new(move || UnixTime(clock.load(Ordering::Relaxed)));
    let hss = Hss::new(policy, MemoryStore::with(subscriptions).unwrap(), [7; 32], clock);
    let peers = Arc::new(Peers::default());
    hss.reach(Arc::<Peers>::clone(&peers));
    Fixture { hss, time, peers }
}

fn hss() -> Fixture {
    hss_with(Policy { capabilities: capabilities(), ..Default::default() })
}

impl Fixture {
    fn authorize(&self, request: &UserAuthorizationRequest) -> Result<UserAuthorization, CxFailure> {
        match self.answer(&origin("icscf"), Request::Uar(request.clone())) {
            Answer::Uaa(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    fn authenticate(&self, request: &MultimediaAuthRequest) -> Result<MultimediaAuth, CxFailure> {
        match self.answer(&origin(request.server_name.as_str()), Request::Mar(request.clone())) {
            Answer::Maa(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    fn assign(&self, request: &ServerAssignmentRequest) -> Result<ServerAssignment, CxFailure> {
        match self.answer(&origin(request.server_name.as_str()), Request::Sar(request.clone())) {
            Answer::Saa(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    fn locate(&self, request: &LocationInfoRequest) -> Result<LocationInfo, CxFailure> {
        match self.answer(&origin("icscf"), Request::Lir(request.clone())) {
            Answer::Lia(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    fn load(&self, key: Key) -> Option<Loaded> {
        let (tell, told) = mpsc::channel();
        self.store().load(key, Box::new(move |loaded| tell.send(loaded).unwrap()));
        told.try_recv().unwrap().unwrap()
    }

    fn state(&self, public: &str) -> Arc<State> {
        self.load(Key::Impu(impu(public))).unwrap().state
    }

    fn status(&self, public: &str) -> Status {
        self.state(public).status(&impu(public))
    }

    fn stored(&self, public: &str) -> Option<ServerName> {
        self.state(public).server(&impu(public)).cloned()
    }

    fn authorize_pending(&self, user: &str, public: &str) -> bool {
        self.state(public).is_pending(&impu(public), &impi(user))
    }

    /// How many identities of the subscription have anything to say.
    fn entries(&self, public: &str) -> usize {
        self.state(public).registrations.len()
    }

    fn sqn(&self, user: &str) -> Sqn {
        self.load(Key::Impi(impi(user))).unwrap().sqns[0]
    }

    fn later(&self, seconds: u64) {
        self.time.fetch_add(seconds, Ordering::Relaxed);
    }

    fn sent(&self) -> Vec<(Origin, Request)> {
        std::mem::take(&mut self.peers.sent.lock().unwrap())
    }

    fn report(&self, operation: impl FnOnce(&Hss<MemoryStore>, ReportTo)) -> Result<Report, OperationError> {
        let (tell, told) = mpsc::channel();
        operation(&self.hss, Box::new(move |report| tell.send(report).unwrap()));
        told.try_recv().unwrap()
    }
}

const REGISTRATION: UserAuthorizationType = UserAuthorizationType::Registration;
const DE_REGISTRATION: UserAuthorizationType = UserAuthorizationType::DeRegistration;
const WITH_CAPABILITIES: UserAuthorizationType = UserAuthorizationType::RegistrationAndCapabilities;

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

fn lir(public: &str) -> LocationInfoRequest {
    LocationInfoRequest { impu: impu(public), originating: false, capabilities: false }
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

fn served(server: &str) -> Result<LocationInfo, CxFailure> {
    Ok(LocationInfo::Served { server_name: name(server) })
}

fn no<T>(code: impl Into<CxFailure>) -> Result<T, CxFailure> {
    Err(code.into())
}

/// Through MAR and SAR to Registered.
fn register(hss: &Fixture, user: &str, public: &str) {
    assert_eq!(hss.authenticate(&mar(user, public, SCSCF)).unwrap().vectors.len(), 1);
    hss.assign(&sar(user, public, SCSCF, ServerAssignmentType::Registration)).unwrap();
}

#[test]
fn answers_are_of_the_kind_asked_for() {
    let hss = hss();
    let from = origin(SCSCF);
    assert!(matches!(hss.answer(&from, Request::Uar(uar("a", "a", REGISTRATION))), Answer::Uaa(Ok(_))));
    assert!(matches!(hss.answer(&from, Request::Mar(mar("a", "a", SCSCF))), Answer::Maa(Ok(_))));
    let request = sar("a", "a", SCSCF, ServerAssignmentType::Registration);
    assert!(matches!(hss.answer(&from, Request::Sar(request)), Answer::Saa(Ok(_))));
    assert!(matches!(hss.answer(&from, Request::Lir(lir("a"))), Answer::Lia(Ok(_))));
    assert!(!format!("{:?}", hss.hss).contains("ChaCha"));
    // An HSS sends RTR and PPR, and answers none.
    let ppr = cx::PushProfileRequest { impi: impi("a"), user_data: None };
    assert_eq!(hss.answer(&from, Request::Ppr(ppr)), Answer::Ppa(no(BaseCode::CommandUnsupported)));
}
