use std::fmt;
use std::net::{IpAddr, SocketAddr};

use netlink_packet_xfrm::policy::DelGetMessage;
use netlink_packet_xfrm::state::GetDumpMessage;
use netlink_packet_xfrm::{
    Alg, AlgAead, AlgAuth, EncapTmpl, Selector, UserPolicyId, UserPolicyInfo, UserSaInfo, XFRMA_ALG_AEAD,
    XFRMA_ALG_AUTH_TRUNC, XFRMA_ALG_CRYPT, XFRMA_ENCAP, XfrmMessage,
};
use zeroize::Zeroizing;

use crate::selector::Direction;
use crate::socket::{XfrmSocket, split_attribute};
use crate::{XfrmError, policy, selector};

/// One of our states as the kernel holds it.
#[derive(Debug)]
pub struct KernelState {
    pub source: SocketAddr,
    pub destination: SocketAddr,
    /// Source and destination of the UDP packets around it, for a state in UDP-enc-tun.
    pub outer: Option<(SocketAddr, SocketAddr)>,
    pub spi: u32,
    pub algorithms: Vec<StateAlgorithm>,
    /// Packets and bytes that the state has carried.
    pub packets: u64,
    pub bytes: u64,
    /// Packets that failed the replay check and the integrity check.
    pub replayed: u32,
    pub integrity_failed: u32,
    /// Seconds from installation to the soft and hard end.
    pub soft_expires: u64,
    pub hard_expires: u64,
    pub replay_window: u8,
}

impl KernelState {
    /// Of the packets on the wire: with the SPI, the name of the state.
    pub fn outer_destination(&self) -> IpAddr {
        self.outer.map_or(self.destination, |(_, destination)| destination).ip()
    }
}

/// An algorithm of a state with its key. The key is there to be compared, not to be shown.
pub struct StateAlgorithm {
    pub name: String,
    /// Of the integrity check value; 0 for a plain cipher.
    pub icv_bits: u32,
    key: Zeroizing<Vec<u8>>,
}

impl StateAlgorithm {
    pub fn has_key(&self, key: &[u8]) -> bool {
        self.key.as_slice() == key
    }
}

impl fmt::Debug for StateAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} key <secret>", self.name, self.icv_bits)
    }
}

/// The SPIs of all ESP states towards an address, whosever they are.
pub(crate) fn spis(socket: &mut XfrmSocket, destination: IpAddr) -> Result<Vec<u32>, XfrmError> {
    let mut spis = Vec::new();
    socket.dump(&XfrmMessage::GetDumpSa(GetDumpMessage { nlas: Vec::new() }), |payload| {
        if let Ok(info) = UserSaInfo::parse(payload)
            && selector::address_of(&info.id.daddr, info.family) == destination
        {
            spis.push(info.id.spi);
        }
    })?;
    Ok(spis)
}

/// The states whose selector has this mark.
pub(crate) fn states(socket: &mut XfrmSocket, mark: u32) -> Result<Vec<KernelState>, XfrmError> {
    let mut states = Vec::new();
    let mut malformed = false;
    socket.dump(&XfrmMessage::GetDumpSa(GetDumpMessage { nlas: Vec::new() }), |payload| {
        match UserSaInfo::parse(payload) {
            Ok(info) if info.selector.user == mark => states.push(of_info(&info, payload)),
            Ok(_) => {}
            Err(_) => malformed = true,
        }
    })?;
    if malformed { Err(XfrmError::MalformedAnswer) } else { Ok(states) }
}

/// Direction and selector of the policies whose selector has this mark.
pub(crate) fn policies(socket: &mut XfrmSocket, mark: u32) -> Result<Vec<(Direction, Selector)>, XfrmError> {
    let mut policies = Vec::new();
    let mut malformed = false;
    let request = DelGetMessage { user_policy_id: UserPolicyId::default(), nlas: Vec::new() };
    socket.dump(&XfrmMessage::GetPolicy(request), |payload| match UserPolicyInfo::parse(payload) {
        Ok(info) if info.selector.user == mark => {
            policies.extend(policy::direction_of(info.direction).map(|direction| (direction, info.selector)));
        }
        Ok(_) => {}
        Err(_) => malformed = true,
    })?;
    if malformed { Err(XfrmError::MalformedAnswer) } else { Ok(policies) }
}

fn of_info(info: &UserSaInfo, payload: &[u8]) -> KernelState {
    let end = |address, port| SocketAddr::new(selector::address_of(address, info.family), port);
    let attributes = payload.get(netlink_packet_xfrm::XFRM_USER_SA_INFO_LEN..).unwrap_or_default();
    KernelState {
        outer: encapsulation(attributes).map(|template| {
            (end(&info.saddr, template.encap_sport), end(&info.id.daddr, template.encap_dport))
        }),
        source: end(&info.selector.saddr, info.selector.sport),
        destination: end(&info.selector.daddr, info.selector.dport),
        spi: info.id.spi,
        algorithms: algorithms(attributes),
        packets: info.lifetime_cur.packets,
        bytes: info.lifetime_cur.bytes,
        replayed: info.stats.replay,
        integrity_failed: info.stats.integrity_failed,
        soft_expires: info.lifetime_cfg.soft_add_expires_seconds,
        hard_expires: info.lifetime_cfg.hard_add_expires_seconds,
        replay_window: info.replay_window,
    }
}

fn encapsulation(mut attributes: &[u8]) -> Option<EncapTmpl> {
    while let Some((kind, value, next)) = split_attribute(attributes) {
        if kind == XFRMA_ENCAP {
            return EncapTmpl::parse(value).ok();
        }
        attributes = next;
    }
    None
}

fn algorithms(mut attributes: &[u8]) -> Vec<StateAlgorithm> {
    let mut found = Vec::new();
    while let Some((kind, value, next)) = split_attribute(attributes) {
        attributes = next;
        // Only fixed-size heads are parsed here; the crate checks their length.
        let algorithm = match kind {
            XFRMA_ALG_AUTH_TRUNC => {
                AlgAuth::parse(value).ok().map(|alg| (alg.alg_name, alg.alg_trunc_len, alg.alg_key))
            }
            XFRMA_ALG_CRYPT => Alg::parse(value).ok().map(|alg| (alg.alg_name, 0, alg.alg_key)),
            XFRMA_ALG_AEAD => {
                AlgAead::parse(value).ok().map(|alg| (alg.alg_name, alg.alg_icv_len, alg.alg_key))
            }
            _ => None,
        };
        if let Some((name, icv_bits, key)) = algorithm {
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            let name = String::from_utf8_lossy(name).into_owned();
            found.push(StateAlgorithm { name, icv_bits, key: Zeroizing::new(key) });
        }
    }
    found
}
