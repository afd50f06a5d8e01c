use std::net::IpAddr;
use std::time::Duration;

use netlink_packet_xfrm::state::{DelGetMessage, ModifyMessage};
use netlink_packet_xfrm::{
    Address, Alg as KernelAlg, AlgAead, AlgAuth, Id, LifetimeConfig, Selector, UserSaId, UserSaInfo,
    XFRM_ALG_NAME_LEN, XFRM_MODE_TRANSPORT, XFRM_MODE_TUNNEL, XfrmAttrs, XfrmMessage,
};
use sec_agree::{Alg, Algorithms, Association, Associations, Ealg, EspKeys, Mode};
use zeroize::Zeroize;

use crate::{selector, tunnel};

/// How long a state lives, counted from its first installation as the kernel counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime(Duration);

impl Lifetime {
    /// Never less than a second: 0 would mean "for ever" to the kernel.
    pub fn new(wanted: Duration) -> Self {
        Self(wanted.max(Duration::from_secs(1)))
    }

    /// An end without an announcement, as a policy has.
    pub(crate) fn hard_only(self) -> LifetimeConfig {
        LifetimeConfig { soft_add_expires_seconds: 0, ..self.config() }
    }

    fn config(self) -> LifetimeConfig {
        let hard = self.0.as_secs();
        // The soft limit announces the end a tenth of the life before it comes.
        LifetimeConfig {
            hard_add_expires_seconds: hard,
            soft_add_expires_seconds: (hard - hard / 10).max(1),
            ..LifetimeConfig::default()
        }
    }
}

//= TS 33.203 7.1: anti-replay is on for every SA
const REPLAY_WINDOW: u8 = 32;

pub(crate) fn add_message(
    set: &Associations,
    association: &Association,
    keys: &EspKeys,
    lifetime: Lifetime,
) -> XfrmMessage {
    XfrmMessage::AddSa(message(set, association, keys, lifetime))
}

/// The kernel takes only the lifetimes and the ports of UDP-enc-tun from it, but refuses it without algorithms.
pub(crate) fn update_message(
    set: &Associations,
    association: &Association,
    keys: &EspKeys,
    lifetime: Lifetime,
) -> XfrmMessage {
    XfrmMessage::UpdateSa(message(set, association, keys, lifetime))
}

pub(crate) fn delete_message(set: &Associations, association: &Association) -> XfrmMessage {
    delete_by_id(outer_addresses(set, association).1, association.spi.get())
}

/// Source and destination of the packets on the wire.
pub(crate) fn outer_addresses(set: &Associations, association: &Association) -> (IpAddr, IpAddr) {
    let outer = set.outer(association.role).unwrap_or((association.source, association.destination));
    (outer.0.ip(), outer.1.ip())
}

/// Destination, protocol and SPI name a state.
pub(crate) fn delete_by_id(destination: IpAddr, spi: u32) -> XfrmMessage {
    XfrmMessage::DeleteSa(DelGetMessage {
        user_sa_id: UserSaId {
            daddr: Address::from_ip(&destination),
            spi,
            family: selector::family(destination),
            proto: netlink_packet_xfrm::IPPROTO_ESP,
        },
        nlas: Vec::new(),
    })
}

fn message(
    set: &Associations,
    association: &Association,
    keys: &EspKeys,
    lifetime: Lifetime,
) -> ModifyMessage {
    let (source, destination) = outer_addresses(set, association);
    let state = State {
        selector: selector::of_association(association),
        source,
        destination,
        spi: association.spi.get(),
        mode: match set.mode() {
            Mode::Trans => XFRM_MODE_TRANSPORT,
            Mode::UdpEncTun => XFRM_MODE_TUNNEL,
        },
        // What the policies ask for.
        reqid: 0,
        replay_window: REPLAY_WINDOW,
        lifetime: lifetime.config(),
        algorithms: set.algorithms,
        keys,
    };
    let mut message = state.message();
    message.nlas.extend(set.outer(association.role).map(tunnel::template));
    message
}

/// A state as the kernel is told of it.
pub(crate) struct State<'a> {
    pub(crate) selector: Selector,
    /// Of the packets on the wire.
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) spi: u32,
    pub(crate) mode: u8,
    pub(crate) reqid: u32,
    pub(crate) replay_window: u8,
    pub(crate) lifetime: LifetimeConfig,
    pub(crate) algorithms: Algorithms,
    pub(crate) keys: &'a EspKeys,
}

impl State<'_> {
    pub(crate) fn message(self) -> ModifyMessage {
        ModifyMessage {
            user_sa_info: UserSaInfo {
                selector: self.selector,
                id: Id {
                    daddr: Address::from_ip(&self.destination),
                    spi: self.spi,
                    proto: netlink_packet_xfrm::IPPROTO_ESP,
                },
                saddr: Address::from_ip(&self.source),
                lifetime_cfg: self.lifetime,
                reqid: self.reqid,
                family: selector::family(self.destination),
                mode: self.mode,
                replay_window: self.replay_window,
                // A non-zero `seq` would make old kernels walk all states.
                ..UserSaInfo::default()
            },
            nlas: algorithm_attributes(self.algorithms, self.keys),
        }
    }
}

fn algorithm_attributes(algorithms: Algorithms, keys: &EspKeys) -> Vec<XfrmAttrs> {
    let (integrity, cipher) = (keys.integrity.as_bytes(), keys.confidentiality.as_bytes());
    let auth = |name| XfrmAttrs::AuthenticationAlgTrunc(authentication(name, integrity));
    let crypt = |name| XfrmAttrs::EncryptionAlg(encryption(name, cipher));
    let encryption = match algorithms.ealg() {
        Ealg::Null => crypt("ecb(cipher_null)"),
        Ealg::AesCbc => crypt("cbc(aes)"),
        Ealg::DesEde3Cbc => crypt("cbc(des3_ede)"),
        Ealg::AesGcm => return vec![XfrmAttrs::EncryptionAlgAead(aead("rfc4106(gcm(aes))", cipher))],
    };
    match algorithms.alg() {
        Alg::HmacMd5_96 => vec![auth("hmac(md5)"), encryption],
        Alg::HmacSha1_96 => vec![auth("hmac(sha1)"), encryption],
        Alg::AesGmac => vec![XfrmAttrs::EncryptionAlgAead(aead("rfc4543(gcm(aes))", integrity))],
        // Only ever with aes-gcm, which has returned above.
        Alg::Null => vec![encryption],
    }
}

fn authentication(name: &str, key: &[u8]) -> AlgAuth {
    AlgAuth { alg_name: padded(name), alg_key_len: bits(key), alg_trunc_len: 96, alg_key: key.to_vec() }
}

fn encryption(name: &str, key: &[u8]) -> KernelAlg {
    KernelAlg { alg_name: padded(name), alg_key_len: bits(key), alg_key: key.to_vec() }
}

fn aead(name: &str, key: &[u8]) -> AlgAead {
    AlgAead { alg_name: padded(name), alg_key_len: bits(key), alg_icv_len: 128, alg_key: key.to_vec() }
}

fn padded(name: &str) -> [u8; XFRM_ALG_NAME_LEN] {
    let mut field = [0; XFRM_ALG_NAME_LEN];
    field[..name.len()].copy_from_slice(name.as_bytes());
    field
}

fn bits(key: &[u8]) -> u32 {
    u32::try_from(key.len() * 8).unwrap_or(u32::MAX)
}

/// The message types of the netlink crate do not wipe themselves.
pub(crate) fn wipe(message: &mut XfrmMessage) {
    if let XfrmMessage::AddSa(state) | XfrmMessage::UpdateSa(state) = message {
        for attribute in &mut state.nlas {
            match attribute {
                XfrmAttrs::AuthenticationAlgTrunc(alg) => alg.alg_key.zeroize(),
                XfrmAttrs::EncryptionAlg(alg) => alg.alg_key.zeroize(),
                XfrmAttrs::EncryptionAlgAead(alg) => alg.alg_key.zeroize(),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_never_for_ever() {
        assert_eq!(Lifetime::new(Duration::ZERO).config().hard_add_expires_seconds, 1);
        let config = Lifetime::new(Duration::from_secs(240)).config();
        assert_eq!((config.soft_add_expires_seconds, config.hard_add_expires_seconds), (216, 240));
    }

    #[test]
    fn keys_are_wiped_out_of_the_message() {
        let algorithms = Algorithms::new(Alg::HmacSha1_96, Ealg::AesCbc).unwrap();
        let keys = EspKeys::placeholder(algorithms);
        let mut message = XfrmMessage::AddSa(ModifyMessage {
            user_sa_info: UserSaInfo::default(),
            nlas: algorithm_attributes(algorithms, &keys),
        });
        wipe(&mut message);
        let XfrmMessage::AddSa(state) = message else { panic!("still a state") };
        for attribute in state.nlas {
            match attribute {
                XfrmAttrs::AuthenticationAlgTrunc(alg) => assert!(alg.alg_key.is_empty()),
                XfrmAttrs::EncryptionAlg(alg) => assert!(alg.alg_key.is_empty()),
                other => panic!("no key expected in kind {}", netlink_packet_core::Nla::kind(&other)),
            }
        }
    }
}
