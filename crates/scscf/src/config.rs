//! What an operator decides.

use aka::DigestAlgorithm;
use cx::{ServerName, UserData};
use sip::Timers;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What a protected REGISTER of a registered user leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reauthenticate {
    /// A new challenge.
    #[default]
    Always,
    /// The registration is prolonged without asking the HSS.
    Never,
}

/// What becomes of a UE that does not authenticate again in the time the network gave it.
//= TS 33.203 6.1.4
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unanswered {
    /// It is de-registered.
    #[default]
    Deregister,
    /// It is told again, this often, with the same time; then it is de-registered.
    NotifyAgain { times: u8 },
}

/// The S-CSCF's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Our SIP URI, as the HSS stores it and as Service-Route names it.
    pub server_name: ServerName,
    /// Realm of the challenge and our network's name in charging (term-ioi).
    pub home_domain: String,
    /// The CSCFs that may send us requests, and to which NOTIFY goes. Anybody else is refused: a challenge carries ik
    /// and ck, and who is registered where is nobody else's business.
    pub trusted_peers: Vec<IpAddr>,
    /// Further domains of users of ours.
    pub domains: Vec<String>,
    /// Where requests of our users go whose Request-URI is of a domain of ours, or a telephone number: the I-CSCF that
    /// asks the HSS. `None`: no such request is served.
    pub icscf: Option<SocketAddr>,
    /// Where requests for other domains go; `None`: to `icscf`.
    pub exit: Option<SocketAddr>,
    pub algorithm: DigestAlgorithm,
    /// Offer qop="auth". Off by default: known phones fail on it (`spec/02` section 6).
    pub qop: bool,
    /// Send Authentication-Info with rspauth in the 200. Off by default, as no standard of IMS AKA asks for it.
    pub authentication_info: bool,
    pub reauthenticate: Reauthenticate,
    pub unanswered: Unanswered,
    /// Vectors asked for at once. More than one saves questions, and ages: 1 is safe where S-CSCFs change.
    pub vectors_per_request: u32,
    /// Seconds; a shorter wish is answered with 423.
    pub min_expires: u32,
    /// Seconds; a longer wish is shortened.
    pub max_expires: u32,
    /// Seconds, when the UE says nothing.
    pub default_expires: u32,
    /// Seconds; a shorter subscription to the reg event package is answered with 423.
    pub min_subscription: u32,
    /// Seconds; a longer one is shortened.
    pub max_subscription: u32,
    /// How much longer than told to the UE a registration is kept. Below the 30 s that sets outlive it, so that the
    /// NOTIFY of its end still reaches the UE inside ESP.
    pub expiry_margin: Duration,
    /// The reg-await-auth timer.
    pub reg_await_auth: Duration,
    /// Visited networks users may come from; `None`: all.
    pub visited_networks: Option<Vec<String>>,
    /// Keep in the HSS what another S-CSCF needs to take a user over, so long after a change that comes without a SAR of
    /// its own; and take over users who are unknown here. `None`: neither.
    //= TS 23.380 4.2
    pub restoration: Option<Duration>,
    pub timers: Timers,
    pub limits: Limits,
}

/// Sizes of the tables.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub transactions: usize,
    pub registrations: usize,
    /// Challenges that run, or ended not long ago.
    pub challenges: usize,
    /// Public identities in one profile.
    pub identities: usize,
    /// Octets of filter criteria in one profile.
    pub criteria: usize,
    /// Contacts of one private identity.
    pub bindings: usize,
    pub subscriptions: usize,
    /// Subscriptions of one subscriber to one identity; the oldest makes room.
    pub subscriptions_each: usize,
}

impl Limits {
    /// Whether this is what one user may have.
    pub(crate) fn allows(&self, profile: &UserData) -> bool {
        let criteria = profile.profiles.iter().flat_map(|one| &one.filter_criteria);
        profile.identities().count() <= self.identities
            && criteria.map(|one| one.xml.len()).sum::<usize>() <= self.criteria
    }
}

impl Config {
    /// Whether this host is one of those we send to and hear.
    pub(crate) fn knows(&self, host: IpAddr) -> bool {
        let mut i_cscfs = self.icscf.iter().chain(&self.exit);
        self.trusted_peers.contains(&host) || i_cscfs.any(|i_cscf| i_cscf.ip() == host)
    }

    /// Defaults of TS 24.229 for all that has one.
    pub fn new(server_name: ServerName, home_domain: impl Into<String>) -> Self {
        Self {
            server_name,
            home_domain: home_domain.into(),
            trusted_peers: Vec::new(),
            domains: Vec::new(),
            icscf: None,
            exit: None,
            algorithm: DigestAlgorithm::AkaV1Md5,
            qop: false,
            authentication_info: false,
            reauthenticate: Reauthenticate::Always,
            unanswered: Unanswered::Deregister,
            vectors_per_request: 1,
            min_expires: 60,
            max_expires: 600_000,
            default_expires: 3600,
            min_subscription: 60,
            // A P-CSCF asks for somewhat longer than the registration.
            max_subscription: 700_000,
            expiry_margin: Duration::from_secs(10),
            //= TS 24.229 7.8
            reg_await_auth: Duration::from_secs(4 * 60),
            visited_networks: None,
            restoration: Some(Duration::from_secs(2)),
            timers: Timers::CORE,
            limits: Limits {
                transactions: 100_000,
                registrations: 1_000_000,
                challenges: 200_000,
                identities: 100,
                criteria: UserData::LARGEST,
                bindings: 4,
                subscriptions: 4_000_000,
                // A P-CSCF has one for each private identity that shares the public one.
                subscriptions_each: 16,
            },
        }
    }
}
