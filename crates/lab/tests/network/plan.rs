//! The roles of a virtual network: who they are and what they are told.

use std::net::SocketAddr;
use std::time::Duration;

use aka::{
    Algorithm, Amf, DigestAlgorithm, Impi, Impu, Isim, K, Opc, Sqn, SqnArray, Topc, Tuak, TuakK, TuakSettings,
};
use cx::ServerName;
use hss::{Hss, MemoryStore, Subscriber, SubscriberImpu};
use lab::plan::{self, Family};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sec_agree::{Algorithms, Policy, Spi};
use sip::Timers;
use ue::core::TransportChoice;

use super::{Node, sites};

/// What a virtual network is made of.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) ues: u16,
    pub(crate) seed: u64,
    pub(crate) transport: TransportChoice,
    pub(crate) algorithms: Vec<Algorithms>,
    /// The last sequence number that the cards have seen.
    pub(crate) card_sqn: Option<Sqn>,
    /// The cards hold another K than the HSS.
    pub(crate) wrong_k: bool,
    /// The cards compute with TUAK and a K of 256 bits.
    pub(crate) tuak: Option<TuakSettings>,
    pub(crate) amf: Amf,
    pub(crate) digest: DigestAlgorithm,
    pub(crate) qop: bool,
    pub(crate) authentication_info: bool,
    pub(crate) reauthenticate: scscf::Reauthenticate,
    pub(crate) expires: u32,
    /// The P-CSCF's list, where it is not the UEs'.
    pub(crate) policy: Option<Vec<Algorithms>>,
    /// UEs subscribe to the reg event.
    pub(crate) subscribe: bool,
    /// UEs register again by themselves.
    pub(crate) stay_registered: bool,
    /// Vectors the S-CSCF asks for at once.
    pub(crate) vectors: u32,
    /// How many S-CSCFs the I-CSCFs know: 1 or 2.
    pub(crate) s_cscfs: usize,
    /// Networks with an HSS of their own: 1 to 3.
    pub(crate) operators: u8,
    /// P-CSCFs and I-CSCFs of each: 1 or 2.
    pub(crate) p_cscfs: u8,
    pub(crate) i_cscfs: u8,
    /// Whose each UE is, and where; whoever is not here is at home at the first operator.
    pub(crate) attached: Vec<Attachment>,
    /// Public identities besides the two that every UE has: of whom, which, whether barred.
    pub(crate) identities: Vec<(u16, &'static str, bool)>,
    /// The operators that hide what is inside.
    pub(crate) hiding: Vec<u8>,
    /// They have a newer key than the first.
    pub(crate) second_key: bool,
    /// Operators speak TLS with each other, and know each other by that.
    pub(crate) tls: bool,
    pub(crate) wire: Wire,
}

/// Where a UE is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attachment {
    /// The operator that knows its card.
    pub(crate) home: u8,
    /// The operator whose P-CSCF it uses, and which of them.
    pub(crate) visited: u8,
    pub(crate) p_cscf: u8,
}

impl Attachment {
    /// Not abroad, at this P-CSCF.
    pub(crate) const fn at_home(home: u8, p_cscf: u8) -> Self {
        Self { home, visited: home, p_cscf }
    }

    pub(crate) const fn p_cscf(self) -> Node {
        Node::PCscf(self.visited, self.p_cscf)
    }
}

/// How the wire treats datagrams.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wire {
    pub(crate) latency: Duration,
    /// Added to the latency at random, so later datagrams overtake earlier ones.
    pub(crate) jitter: Duration,
    pub(crate) loss_percent: u32,
    pub(crate) duplicate_percent: u32,
    /// How late timers may fire.
    pub(crate) lateness: Duration,
    pub(crate) cx_latency: Duration,
    pub(crate) kernel_latency: Duration,
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(10),
            jitter: Duration::ZERO,
            loss_percent: 0,
            duplicate_percent: 0,
            lateness: Duration::ZERO,
            cx_latency: Duration::from_millis(1),
            kernel_latency: Duration::ZERO,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ues: 1,
            seed: 1,
            transport: TransportChoice::Udp,
            algorithms: Policy::default().algorithms().to_vec(),
            card_sqn: None,
            wrong_k: false,
            tuak: None,
            amf: Amf::from_bytes([0; 2]),
            digest: DigestAlgorithm::AkaV1Md5,
            qop: false,
            authentication_info: false,
            reauthenticate: scscf::Reauthenticate::Always,
            expires: 600_000,
            policy: None,
            subscribe: false,
            stay_registered: false,
            vectors: 1,
            s_cscfs: 1,
            operators: 1,
            p_cscfs: 1,
            i_cscfs: 1,
            attached: Vec::new(),
            identities: Vec::new(),
            hiding: Vec::new(),
            second_key: false,
            tls: false,
            wire: Wire::default(),
        }
    }
}

impl Options {
    fn algorithm(&self, n: u16, wrong_k: bool) -> Algorithm {
        let mut rng = ChaCha20Rng::seed_from_u64(self.seed ^ (u64::from(n) << 32));
        let (mut k, mut opc) = ([0; 16], [0; 16]);
        rng.fill_bytes(&mut k);
        rng.fill_bytes(&mut opc);
        k[0] ^= u8::from(wrong_k);
        if let Some(settings) = self.tuak {
            let (mut long_k, mut topc) = ([0; 32], [0; 32]);
            long_k[..16].copy_from_slice(&k);
            rng.fill_bytes(&mut long_k[16..]);
            rng.fill_bytes(&mut topc);
            return Algorithm::Tuak(Tuak::new(TuakK::from(long_k), Topc::from_bytes(topc), settings));
        }
        Algorithm::milenage(K::from_bytes(k), Opc::from_bytes(opc))
    }

    pub(crate) fn card(&self, n: u16) -> Isim {
        let sqn = self.card_sqn.map_or_else(SqnArray::new, SqnArray::starting_at);
        Isim::new(self.algorithm(n, self.wrong_k), sqn)
    }

    pub(crate) fn attachment(&self, n: u16) -> Attachment {
        self.attached.get(usize::from(n)).copied().unwrap_or(Attachment::at_home(0, 0))
    }

    pub(crate) fn hss(&self, operator: u8, seed: [u8; 32]) -> Hss<MemoryStore> {
        let own = (0..self.ues).filter(|n| self.attachment(*n).home == operator);
        let rows = own.map(|n| {
            let identity = |text: &str, barred| SubscriberImpu { impu: Impu::new(text).unwrap(), barred };
            let mut impus = vec![identity(&sites::impu(operator, n), false), identity(&plan::tel(n), false)];
            let further = self.identities.iter().filter(|(of, ..)| *of == n);
            impus.extend(further.map(|(_, impu, barred)| identity(impu, *barred)));
            let subscriber = Subscriber {
                impi: Impi::new(&sites::impi(operator, n)).unwrap(),
                algorithm: self.algorithm(n, false),
                amf: self.amf,
                impus,
                anonymity: cx::Anonymity::default(),
            };
            hss::csv::Imported { subscriber, sqn: Sqn::from_bytes([0; 6]) }
        });
        let store = MemoryStore::with(hss::subscriptions(rows.collect()).unwrap()).unwrap();
        // Challenges do not grow old here.
        let clock = Box::new(|| hss::UnixTime(0));
        Hss::new(hss::Policy::default(), store, seed, clock)
    }

    pub(crate) fn ue(&self, n: u16) -> ue::core::Config {
        let (server_port, client_ports) = plan::ue_ports();
        let at = self.attachment(n);
        ue::core::Config {
            impi: Impi::new(&sites::impi(at.home, n)).unwrap(),
            impu: Impu::new(&sites::impu(at.home, n)).unwrap(),
            home_domain: sites::domain(at.home).into(),
            address: plan::ue_address(Family::V4, n),
            clear_port: 5060,
            p_cscf: sites::gm(at.visited, at.p_cscf),
            transport: self.transport,
            algorithms: self.algorithms.clone(),
            nat_traversal: false,
            server_port,
            client_ports,
            spi_first: Spi::new(0x2000).unwrap(),
            spi_last: Spi::new(0x2fff).unwrap(),
            expires: self.expires,
            access_network: None,
            timers: Timers::GM,
            patience: Duration::from_secs(200),
            stay_registered: self.stay_registered,
            subscribe: self.subscribe,
            refresh_subscription: None,
            answering: ue::core::Answering::default(),
        }
    }

    pub(crate) fn pcscf(&self, node: Node) -> pcscf::core::Config {
        let Node::PCscf(operator, which) = node else { panic!("{node:?} is no P-CSCF") };
        let (server_port, client_ports) = plan::p_cscf_ports();
        let gm = pcscf::core::GmAddress { clear: sites::gm(operator, which), server_port, client_ports };
        // One that is abroad is led to the border of its home network, and to the S-CSCF that serves it there.
        let entry = |home: u8| match home == operator {
            true => sites::inside(Node::ICscf(home, which % self.i_cscfs)),
            false => sites::border(home, which % self.i_cscfs),
        };
        let served = (0..self.operators).filter(|home| *home == operator || self.roams(*home, operator));
        let served: Vec<u8> = served.collect();
        let mut neighbours: Vec<(Box<str>, SocketAddr)> = Vec::new();
        for which in [0, 1] {
            let node = Node::SCscf(operator, which);
            neighbours.push((sites::host(node).into(), sites::inside(node)));
        }
        for home in served.iter().filter(|home| **home != operator) {
            neighbours.extend(
                (0..self.i_cscfs).map(|which| {
                    (sites::host(Node::ICscf(*home, which)).into(), sites::border(*home, which))
                }),
            );
        }
        pcscf::core::Config {
            host: sites::host(node).into(),
            network: sites::domain(operator).into(),
            gm: vec![gm],
            mw: sites::inside(node),
            entry_points: served.iter().map(|home| (sites::domain(*home).into(), entry(*home))).collect(),
            neighbours,
            policy: Policy::new(self.policy.as_ref().unwrap_or(&self.algorithms)).unwrap(),
            spi_first: Spi::new(0x1000).unwrap(),
            spi_last: Spi::new(0x1fff).unwrap(),
            reg_await_auth: Duration::from_secs(240),
            limits: pcscf::core::Limits { transactions: 100_000, sets: 1_000, ..Default::default() },
        }
    }

    pub(crate) fn icscf(&self, node: Node) -> icscf::Config {
        let Node::ICscf(operator, which) = node else { panic!("{node:?} is no I-CSCF") };
        let s_cscfs = self.servers(operator).into_iter();
        let known = s_cscfs.clone().map(|node| {
            let name = ServerName::new(&sites::server_name(node)).unwrap();
            icscf::SCscf::new(name, sites::inside(node))
        });
        let p_cscfs = (0..self.p_cscfs).map(|which| Node::PCscf(operator, which));
        icscf::Config {
            trusted_peers: p_cscfs.chain(s_cscfs).map(|node| sites::inside(node).ip()).collect(),
            s_cscfs: known.collect(),
            border: self.border(operator, which),
            transactions: 100_000,
            ..icscf::Config::new(sites::inside(node), sites::domain(operator))
        }
    }

    pub(crate) fn scscf(&self, node: Node) -> scscf::Config {
        let Node::SCscf(operator, _) = node else { panic!("{node:?} is no S-CSCF") };
        let i_cscfs = (0..self.i_cscfs).map(|which| sites::inside(Node::ICscf(operator, which)));
        let p_cscfs = (0..self.p_cscfs).map(|which| sites::inside(Node::PCscf(operator, which)));
        let name = ServerName::new(&sites::server_name(node)).unwrap();
        scscf::Config {
            trusted_peers: i_cscfs.clone().chain(p_cscfs).map(|address| address.ip()).collect(),
            icscf: i_cscfs.clone().next(),
            // Requests leave by the last I-CSCF, and come in by the first.
            exit: i_cscfs.clone().next_back(),
            reauthenticate: self.reauthenticate,
            algorithm: self.digest,
            qop: self.qop,
            authentication_info: self.authentication_info,
            vectors_per_request: self.vectors,
            ..scscf::Config::new(name, sites::domain(operator))
        }
    }

    /// Whether a UE of `home` uses a P-CSCF of `visited`.
    fn roams(&self, home: u8, visited: u8) -> bool {
        let mut attached = (0..self.ues).map(|n| self.attachment(n));
        attached.any(|at| (at.home, at.visited) == (home, visited))
    }
}
