//! The roles of a virtual network: who they are and what they are told.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
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

use super::Node;

/// The second S-CSCF.
pub(crate) const S_CSCF_2: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 30, 0, 4)), 5060);
const S_CSCF_2_NAME: &str = "sip:scscf2.ims.mnc001.mcc001.3gppnetwork.org:5060";
const S_CSCF_2_HOST: &str = "scscf2.ims.mnc001.mcc001.3gppnetwork.org";

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
    /// How many S-CSCFs the I-CSCF knows: 1 or 2.
    pub(crate) s_cscfs: usize,
    pub(crate) wire: Wire,
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

    pub(crate) fn hss(&self, seed: [u8; 32]) -> Hss<MemoryStore> {
        let rows = (0..self.ues).map(|n| {
            let identity = |text: &str| SubscriberImpu { impu: Impu::new(text).unwrap(), barred: false };
            let subscriber = Subscriber {
                impi: Impi::new(&plan::impi(n)).unwrap(),
                algorithm: self.algorithm(n, false),
                amf: self.amf,
                impus: vec![identity(&plan::impu(n)), identity(&plan::tel(n))],
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
        ue::core::Config {
            impi: Impi::new(&plan::impi(n)).unwrap(),
            impu: Impu::new(&plan::impu(n)).unwrap(),
            home_domain: plan::HOME_DOMAIN.into(),
            address: plan::ue_address(Family::V4, n),
            clear_port: 5060,
            p_cscf: plan::p_cscf(Family::V4),
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
        }
    }

    pub(crate) fn pcscf(&self) -> pcscf::core::Config {
        let (server_port, client_ports) = plan::p_cscf_ports();
        let gm = pcscf::core::GmAddress { clear: plan::p_cscf(Family::V4), server_port, client_ports };
        pcscf::core::Config {
            host: plan::P_CSCF_NAME.into(),
            network: plan::VISITED_NETWORK.into(),
            gm: vec![gm],
            mw: plan::P_CSCF_MW,
            entry_points: vec![(plan::HOME_DOMAIN.into(), plan::I_CSCF)],
            neighbours: vec![(plan::S_CSCF_HOST.into(), plan::S_CSCF), (S_CSCF_2_HOST.into(), S_CSCF_2)],
            policy: Policy::new(self.policy.as_ref().unwrap_or(&self.algorithms)).unwrap(),
            spi_first: Spi::new(0x1000).unwrap(),
            spi_last: Spi::new(0x1fff).unwrap(),
            reg_await_auth: Duration::from_secs(240),
            limits: pcscf::core::Limits { transactions: 10_000, sets: 1_000 },
        }
    }

    pub(crate) fn icscf(&self) -> icscf::Config {
        let known = self.servers().into_iter().map(|node| {
            let (name, address) = server(node);
            icscf::SCscf::new(name, address)
        });
        icscf::Config {
            trusted_peers: vec![plan::P_CSCF_MW.ip()],
            s_cscfs: known.collect(),
            transactions: 10_000,
            ..icscf::Config::new(plan::I_CSCF, plan::HOME_DOMAIN)
        }
    }

    pub(crate) fn scscf(&self, node: Node) -> scscf::Config {
        scscf::Config {
            trusted_peers: vec![plan::I_CSCF.ip(), plan::P_CSCF_MW.ip()],
            reauthenticate: self.reauthenticate,
            algorithm: self.digest,
            qop: self.qop,
            authentication_info: self.authentication_info,
            vectors_per_request: self.vectors,
            ..scscf::Config::new(server(node).0, plan::HOME_DOMAIN)
        }
    }
}

fn server(node: Node) -> (ServerName, SocketAddr) {
    let (name, address) = match node {
        Node::SCscf2 => (S_CSCF_2_NAME, S_CSCF_2),
        _ => (plan::S_CSCF_NAME, plan::S_CSCF),
    };
    (ServerName::new(name).unwrap(), address)
}
