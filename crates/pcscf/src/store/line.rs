//! One device as a line of JSON.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use aka::Impi;
use sec_agree::{Associations, Encapsulation, End, Port, SecurityClient, SecurityServer, Setup, Side, Spi};
use serde::{Deserialize, Serialize};
use sip::Instant;

use crate::core::{Device, Dialog, PeerPrivacy, Purpose, Registration, SavedDevice, SavedSet, Stage, Usage};

/// Everything that is read here is checked when it becomes a [`SavedDevice`]: nothing else than a legal set comes out.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeviceLine {
    impi: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    flow: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    registration: Option<RegistrationLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sets: Vec<SetLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dialogs: Vec<DialogLine>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegistrationLine {
    associated_uris: Vec<Box<str>>,
    service_route: Vec<Box<str>>,
    contact: Box<str>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SetLine {
    stage: StageName,
    ue: EndLine,
    p_cscf: EndLine,
    algorithms: String,
    /// The outer address of the UE, where it is behind a NAT; then that of the P-CSCF.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tunnel: Option<[SocketAddr; 2]>,
    client: String,
    server: String,
    initial: bool,
    nonce: Box<str>,
    used: bool,
    /// Milliseconds on [`node::Clock`].
    installed: u64,
    expires: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndLine {
    address: IpAddr,
    port_c: u16,
    port_s: u16,
    spi_c: u32,
    spi_s: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DialogLine {
    call_id: Box<str>,
    ue_tag: Box<str>,
    peer_tag: Box<str>,
    by_ue: bool,
    route: Vec<Box<str>>,
    asserted: Vec<Box<str>>,
    /// What the other end wants hidden, as in a Privacy header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    privacy: Option<Box<str>>,
    /// Its From, where it is hidden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<Box<str>>,
    usages: Vec<UsageLine>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UsageLine {
    /// Without one it is a session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
}

/// The stages that are kept.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StageName {
    Current,
    Old,
}

/// More sets than that no device has.
const MAX_SETS: usize = 8;
/// Nor more dialogs, nor a dialog more usages.
const MAX_DIALOGS: usize = 64;
const MAX_USAGES: usize = 8;
/// A dialog that needs more octets than that is not kept: the line of its device has an end.
const MAX_DIALOG: usize = 2048;

impl DeviceLine {
    pub(super) fn of(saved: &SavedDevice) -> Self {
        let SavedDevice { device, registration, sets, dialogs } = saved;
        Self {
            impi: device.impi.as_str().to_owned(),
            flow: device.flow.clone(),
            registration: registration.as_ref().map(|registration| RegistrationLine {
                associated_uris: registration.associated_uris.clone(),
                service_route: registration.service_route.clone(),
                contact: registration.contact.clone(),
            }),
            sets: sets.iter().filter_map(SetLine::of).collect(),
            dialogs: dialogs.iter().filter(|dialog| size(dialog) <= MAX_DIALOG).map(DialogLine::of).collect(),
        }
    }

    /// `None` for what no run of ours can have written.
    pub(super) fn into_saved(self) -> Option<SavedDevice> {
        if self.sets.len() > MAX_SETS || self.dialogs.len() > MAX_DIALOGS {
            return None;
        }
        let device = Device { impi: Impi::new(&self.impi).ok()?, flow: self.flow };
        let registration = self.registration.map(|line| Registration {
            associated_uris: line.associated_uris,
            service_route: line.service_route,
            contact: line.contact,
            ended: false,
        });
        let sets: Option<Vec<SavedSet>> = self.sets.into_iter().map(SetLine::into_saved).collect();
        let dialogs: Option<Vec<Dialog>> = self.dialogs.into_iter().map(DialogLine::into_dialog).collect();
        Some(SavedDevice { device, registration, sets: sets?, dialogs: dialogs? })
    }
}

impl DialogLine {
    fn of(dialog: &Dialog) -> Self {
        let usage = |usage: &Usage| UsageLine {
            event: match &usage.purpose {
                Purpose::Session => None,
                Purpose::Event(event) => Some(event.clone()),
            },
            until: usage.until.map(milliseconds),
        };
        let Dialog { call_id, ue_tag, peer_tag, by_ue, route, asserted, peer, usages, .. } = dialog.clone();
        let usages = usages.iter().map(usage).collect();
        let (privacy, address) = peer.map(|peer| (peer.wanted, peer.address)).unzip();
        let address = address.flatten();
        Self { call_id, ue_tag, peer_tag, by_ue, route, asserted, privacy, address, usages }
    }

    fn into_dialog(self) -> Option<Dialog> {
        let Self { call_id, ue_tag, peer_tag, by_ue, route, asserted, privacy, address, usages } = self;
        if privacy.is_none() && address.is_some() {
            return None;
        }
        let peer = privacy.map(|wanted| PeerPrivacy { wanted, address });
        let is_named = !ue_tag.is_empty() && !peer_tag.is_empty();
        if !is_named || usages.is_empty() || usages.len() > MAX_USAGES {
            return None;
        }
        let usage = |line: UsageLine| Usage {
            purpose: line.event.map_or(Purpose::Session, Purpose::Event),
            until: line.until.map(instant),
        };
        let usages = usages.into_iter().map(usage).collect();
        Some(Dialog { call_id, ue_tag, peer_tag, by_ue, route, asserted, peer, confirmed: true, usages })
    }
}

fn size(dialog: &Dialog) -> usize {
    let Dialog { call_id, ue_tag, peer_tag, route, asserted, .. } = dialog;
    let events = dialog.usages.iter().filter_map(|usage| match &usage.purpose {
        Purpose::Session => None,
        Purpose::Event(event) => Some(event),
    });
    let hidden = dialog.peer.iter().flat_map(|peer| peer.address.iter().chain([&peer.wanted]));
    let texts =
        [call_id, ue_tag, peer_tag].into_iter().chain(route).chain(asserted).chain(events).chain(hidden);
    texts.map(|text| written(text)).sum()
}

/// Octets of a text as JSON writes it, at most.
fn written(text: &str) -> usize {
    let octets = |octet: u8| match octet {
        b'"' | b'\\' => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(octets).sum()
}

impl SetLine {
    fn of(set: &SavedSet) -> Option<Self> {
        let stage = match set.stage {
            Stage::Current => StageName::Current,
            Stage::Old => StageName::Old,
            Stage::Installing | Stage::Temporary => return None,
        };
        let Associations { uc_to_ps, ps_to_uc, pc_to_us, us_to_pc, algorithms, encapsulation } =
            set.associations;
        let end = |client: SocketAddr, server: SocketAddr, spi_c: Spi, spi_s: Spi| EndLine {
            address: client.ip(),
            port_c: client.port(),
            port_s: server.port(),
            spi_c: spi_c.get(),
            spi_s: spi_s.get(),
        };
        Some(Self {
            stage,
            ue: end(uc_to_ps.source, pc_to_us.destination, ps_to_uc.spi, pc_to_us.spi),
            p_cscf: end(pc_to_us.source, uc_to_ps.destination, us_to_pc.spi, uc_to_ps.spi),
            algorithms: algorithms.to_string(),
            tunnel: encapsulation.map(|Encapsulation { ue, p_cscf, .. }| [ue, p_cscf]),
            client: set.client.to_string(),
            server: set.server.to_string(),
            initial: set.initial,
            nonce: set.nonce.clone(),
            used: set.used,
            installed: milliseconds(set.installed),
            expires: milliseconds(set.expires),
        })
    }

    fn into_saved(self) -> Option<SavedSet> {
        let algorithms = self.algorithms.parse().ok()?;
        let mut associations =
            Associations::new(&self.ue.into_end()?, &self.p_cscf.into_end()?, algorithms).ok()?;
        if associations.ue_address().is_ipv4() != associations.p_cscf_address().is_ipv4() {
            return None;
        }
        if let Some([ue, p_cscf]) = self.tunnel {
            let seen = Encapsulation { side: Side::PCscf, ue, p_cscf };
            associations = associations.encapsulated(seen).ok()?;
        }
        Some(SavedSet {
            associations,
            stage: match self.stage {
                StageName::Current => Stage::Current,
                StageName::Old => Stage::Old,
            },
            client: SecurityClient::parse(values(&self.client)).ok()?,
            server: SecurityServer::parse(values(&self.server)).ok()?,
            initial: self.initial,
            nonce: self.nonce,
            used: self.used,
            installed: instant(self.installed),
            expires: instant(self.expires),
        })
    }
}

impl EndLine {
    fn into_end(self) -> Option<End> {
        let Self { address, port_c, port_s, spi_c, spi_s } = self;
        let (port_c, port_s) = (Port::new(port_c).ok()?, Port::new(port_s).ok()?);
        let (spi_c, spi_s) = (Spi::new(spi_c).ok()?, Spi::new(spi_s).ok()?);
        Some(End { address, setup: Setup { spi_c, spi_s, port_c, port_s } })
    }
}

/// The mechanisms of a header value that holds a list of them.
fn values(list: &str) -> impl Iterator<Item = &str> {
    sip::text::list(list)
}

fn milliseconds(instant: Instant) -> u64 {
    u64::try_from(instant.since_epoch().as_millis()).unwrap_or(u64::MAX)
}

fn instant(milliseconds: u64) -> Instant {
    Instant::from_epoch(Duration::from_millis(milliseconds))
}
