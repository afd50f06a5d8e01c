use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use aka::Impi;
use sec_agree::{Associations, Port, SecurityClient, SecurityServer, Spi, SpiPool};
use sip::{Instant, Timers};

use super::{Device, Output, SavedSet};

mod kept;

/// A set of four security associations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SetId(u64);

impl fmt::Display for SetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a set stands in its life (`spec/04` section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Given to the kernel, which has not answered.
    Installing,
    /// Waits for the answer to its challenge.
    Temporary,
    /// Of the latest successful authentication.
    Current,
    /// Of an earlier one; ends soon after the current one is used.
    Old,
}

impl Stage {
    /// No registration has confirmed it.
    pub(super) fn is_attempt(self) -> bool {
        matches!(self, Self::Installing | Self::Temporary)
    }
}

/// A set with its security agreement.
#[derive(Debug)]
pub(super) struct SetEntry {
    pub(super) device: Device,
    pub(super) associations: Associations,
    pub(super) stage: Stage,
    pub(super) client: SecurityClient,
    pub(super) server: SecurityServer,
    /// The REGISTER that led to it was not protected.
    pub(super) initial: bool,
    /// Of the challenge that led to it.
    pub(super) nonce: Box<str>,
    installed: Instant,
    expires: Instant,
    /// The UE has sent over it since it became current.
    used: bool,
}

/// What a new set is made of.
pub(super) struct NewSet {
    pub(super) device: Device,
    pub(super) associations: Associations,
    pub(super) client: SecurityClient,
    pub(super) server: SecurityServer,
    pub(super) initial: bool,
    pub(super) nonce: Box<str>,
}

/// All sets, found by the UE's ports and by subscriber; and the SPIs and deadlines they hold.
#[derive(Debug)]
pub(super) struct SaTable {
    sets: HashMap<SetId, SetEntry>,
    by_client: HashMap<SocketAddr, SetId>,
    by_server: HashMap<SocketAddr, Vec<SetId>>,
    by_impi: HashMap<Impi, Vec<SetId>>,
    /// By destination and SPI, as the kernel names states: four for each set.
    by_state: HashMap<(IpAddr, u32), SetId>,
    deadlines: BTreeSet<(Instant, SetId)>,
    spis: SpiPool,
    last: u64,
    /// Devices whose confirmed sets have changed; few, since they are taken after every input.
    changed: Vec<Device>,
}

/// The kernel keeps a set a little longer than we do: it is the net below the trapeze, not the timer.
const KERNEL_MARGIN: Duration = Duration::from_secs(60);
//= TS 24.229 5.2.2: the lifetime of a set is the registration's and 30 seconds
const REGISTRATION_MARGIN: Duration = Duration::from_secs(30);
//= TS 33.203 7.1: at most three sets for each contact of an IMPI: old, current, temporary
const MAX_SETS: usize = 3;
/// Contacts that one private identity may have sets for at once.
const MAX_DEVICES: usize = 4;

impl SaTable {
    pub(super) fn new(spis: SpiPool) -> Self {
        Self {
            sets: HashMap::new(),
            by_client: HashMap::new(),
            by_server: HashMap::new(),
            by_impi: HashMap::new(),
            by_state: HashMap::new(),
            deadlines: BTreeSet::new(),
            spis,
            last: 0,
            changed: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.sets.len()
    }

    pub(super) fn all(&self) -> Vec<SetId> {
        self.sets.keys().copied().collect()
    }

    pub(super) fn get(&self, id: SetId) -> Option<&SetEntry> {
        self.sets.get(&id)
    }

    /// The set whose UE sends from this address and client port.
    pub(super) fn find(&self, client: SocketAddr) -> Option<SetId> {
        self.by_client.get(&client).copied()
    }

    /// The sets that end at this server port of a UE.
    pub(super) fn at_server(&self, server: SocketAddr) -> impl Iterator<Item = (SetId, &SetEntry)> {
        self.entries(self.by_server.get(&server))
    }

    pub(super) fn of_impi(&self, impi: &Impi) -> impl Iterator<Item = (SetId, &SetEntry)> {
        self.entries(self.by_impi.get(impi))
    }

    pub(super) fn of(&self, device: &Device) -> impl Iterator<Item = (SetId, &SetEntry)> {
        self.of_impi(&device.impi).filter(move |(_, entry)| entry.device == *device)
    }

    fn entries(&self, ids: Option<&Vec<SetId>>) -> impl Iterator<Item = (SetId, &SetEntry)> {
        let ids = ids.map(Vec::as_slice).unwrap_or_default();
        ids.iter().filter_map(|id| Some((*id, self.sets.get(id)?)))
    }

    /// The set of an attempt that is under way.
    pub(super) fn attempt_of(&self, device: &Device) -> Option<SetId> {
        self.of(device).find(|(_, entry)| entry.stage.is_attempt()).map(|(id, _)| id)
    }

    /// The set of the latest success, and the one before it.
    pub(super) fn kept(&self, device: &Device, stage: Stage) -> Option<(SetId, &SetEntry)> {
        self.of(device).find(|(_, entry)| entry.stage == stage)
    }

    /// What a request to the UE goes over: the old set until the UE has sent over the new one, unless the old one
    /// ends before the request could be answered.
    //= TS 33.203 7.4.2a
    pub(super) fn sending(&self, now: Instant, device: &Device) -> Option<(SetId, &SetEntry)> {
        let current = self.kept(device, Stage::Current);
        if current.is_some_and(|(_, entry)| entry.used) {
            return current;
        }
        let old = self.kept(device, Stage::Old).filter(|(_, old)| old.expires > now + give_up());
        old.or(current)
    }

    /// Whether the device may have one more set besides those that are not an attempt.
    pub(super) fn has_room(&self, device: &Device) -> bool {
        let kept = |entry: &SetEntry| !entry.stage.is_attempt();
        let of_device = self.of(device).filter(|(_, entry)| kept(entry)).count();
        let of_others = self.of_impi(&device.impi).filter(|(_, entry)| entry.device != *device).count();
        of_device < MAX_SETS && of_others <= (MAX_DEVICES - 1) * MAX_SETS
    }

    /// Client ports of ours that a set between us and this UE uses.
    pub(super) fn ports_in_use(&self, server: SocketAddr) -> Vec<u16> {
        self.at_server(server).map(|(_, entry)| entry.associations.pc_to_us.source.port()).collect()
    }

    pub(super) fn reserve_spi(&mut self, spi: Spi) {
        self.spis.reserve(spi);
    }

    /// Two SPIs of ours that are neither in use nor the UE's own.
    //= TS 33.203 7.1: SPIs chosen by the P-CSCF differ from those of the UE
    pub(super) fn draw_spis(&mut self, of_ue: [Spi; 2]) -> Option<(Spi, Spi)> {
        let first = self.spis.draw(&of_ue)?;
        let Some(second) = self.spis.draw(&of_ue) else {
            self.spis.give_back(first);
            return None;
        };
        Some((first, second))
    }

    /// Gives SPIs back that were drawn for a set that was not made.
    pub(super) fn give_back(&mut self, spis: (Spi, Spi)) {
        self.spis.give_back(spis.0);
        self.spis.give_back(spis.1);
    }

    /// Enters a set that is on its way to the kernel. Answers its id and how long the kernel may keep it.
    pub(super) fn insert(&mut self, now: Instant, new: NewSet, await_auth: Duration) -> (SetId, Duration) {
        let NewSet { device, associations, client, server, initial, nonce } = new;
        let id = self.enter(SetEntry {
            device,
            associations,
            stage: Stage::Installing,
            client,
            server,
            initial,
            nonce,
            installed: now,
            expires: now + await_auth,
            used: false,
        });
        (id, await_auth + KERNEL_MARGIN)
    }

    fn enter(&mut self, entry: SetEntry) -> SetId {
        self.last += 1;
        let id = SetId(self.last);
        self.by_client.insert(entry.associations.uc_to_ps.source, id);
        self.by_server.entry(entry.associations.pc_to_us.destination).or_default().push(id);
        self.by_impi.entry(entry.device.impi.clone()).or_default().push(id);
        self.by_state.extend(kept::states(&entry.associations).map(|state| (state, id)));
        self.deadlines.insert((entry.expires, id));
        self.sets.insert(id, entry);
        id
    }

    /// The kernel holds it.
    pub(super) fn installed(&mut self, id: SetId) -> Option<&SetEntry> {
        let entry = self.sets.get_mut(&id)?;
        entry.stage = Stage::Temporary;
        Some(entry)
    }

    /// Makes a temporary set the current one after SM12. Answers the sets that must go, and what to tell the kernel.
    pub(super) fn promote(&mut self, now: Instant, id: SetId, expires: u32) -> (Vec<SetId>, Option<Output>) {
        let Some(entry) = self.sets.get_mut(&id) else { return (Vec::new(), None) };
        entry.stage = Stage::Current;
        let (initial, device) = (entry.initial, entry.device.clone());
        let others: Vec<SetId> =
            self.of(&device).map(|(other, _)| other).filter(|other| *other != id).collect();
        let current = |other: &SetId| self.sets.get(other).is_some_and(|entry| entry.stage == Stage::Current);
        //= TS 33.203 7.4.2a: an unprotected initial registration ends all older sets; else the one used stays
        let kept = if initial { None } else { others.iter().copied().find(current) };
        let longest = kept.and_then(|kept| self.sets.get(&kept)).map_or(now, |old| old.expires);
        if let Some(old) = kept.and_then(|kept| self.sets.get_mut(&kept)) {
            old.stage = Stage::Old;
        }
        //= TS 33.203 7.4.2a: the lifetime of the new set is the longer of the old one's and the registration's
        let expires = (now + registration_life(expires)).max(longest);
        let change = self.move_deadline(now, id, expires);
        (others.into_iter().filter(|other| Some(*other) != kept).collect(), change)
    }

    /// Prolongs a set after a registration without a new authentication; never shortens it.
    pub(super) fn prolong(&mut self, now: Instant, id: SetId, expires: u32) -> Option<Output> {
        let current = self.sets.get(&id)?.expires;
        self.move_deadline(now, id, (now + registration_life(expires)).max(current))
    }

    /// Ends a set soon: after the last answers over it have left, however long it had to live.
    pub(super) fn end_soon(&mut self, now: Instant, id: SetId) -> Option<Output> {
        let current = self.sets.get(&id)?.expires;
        self.move_deadline(now, id, (now + give_up()).min(current))
    }

    /// Shortens a set to a registration that the network has shortened to `expires` seconds.
    //= TS 33.203 6.1.4
    pub(super) fn shorten(&mut self, now: Instant, id: SetId, expires: u32) -> Option<Output> {
        let current = self.sets.get(&id)?.expires;
        let shortened = now + registration_life(expires);
        if shortened < current { self.move_deadline(now, id, shortened) } else { None }
    }

    /// The UE has sent over this set. Its first message over a new current set ends the old one.
    //= TS 24.229 5.2.2: the old set is kept for 64*T1 once the new one is used
    pub(super) fn used(&mut self, now: Instant, id: SetId) -> Option<Output> {
        let entry = self.sets.get_mut(&id)?;
        if entry.used || entry.stage != Stage::Current {
            return None;
        }
        entry.used = true;
        let device = entry.device.clone();
        let old = self.kept(&device, Stage::Old)?.0;
        self.end_soon(now, old)
    }

    pub(super) fn remove(&mut self, id: SetId) -> Option<SetEntry> {
        self.changed(id);
        let entry = self.sets.remove(&id)?;
        for state in kept::states(&entry.associations) {
            self.by_state.remove(&state);
        }
        self.by_client.remove(&entry.associations.uc_to_ps.source);
        self.deadlines.remove(&(entry.expires, id));
        forget(&mut self.by_impi, &entry.device.impi, id);
        forget(&mut self.by_server, &entry.associations.pc_to_us.destination, id);
        self.give_back((entry.associations.uc_to_ps.spi, entry.associations.us_to_pc.spi));
        Some(entry)
    }

    /// One set whose time is over.
    pub(super) fn expired(&self, now: Instant) -> Option<SetId> {
        self.deadlines.first().filter(|(at, _)| *at <= now).map(|(_, id)| *id)
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Moves all sets of a device that go through one mapping of a NAT to another of its ports.
    pub(super) fn follow_nat(&mut self, now: Instant, id: SetId, port: u16) -> Vec<Output> {
        let Some(entry) = self.sets.get(&id) else { return Vec::new() };
        let (device, before) = (&entry.device, entry.associations.encapsulation);
        let moved = self.of(device).filter(|(_, entry)| entry.associations.encapsulation == before);
        let moved: Vec<(SetId, Instant)> = moved.map(|(id, entry)| (id, entry.expires)).collect();
        let follow = |(id, expires)| {
            let entry = self.sets.get_mut(&id)?;
            entry.associations = entry.associations.with_nat_port(port);
            self.move_deadline(now, id, expires)
        };
        moved.into_iter().filter_map(follow).collect()
    }

    fn move_deadline(&mut self, now: Instant, id: SetId, expires: Instant) -> Option<Output> {
        let entry = self.sets.get_mut(&id)?;
        self.deadlines.remove(&(entry.expires, id));
        self.deadlines.insert((expires, id));
        entry.expires = expires;
        let lifetime = (expires - now) + KERNEL_MARGIN;
        let (associations, age) = (entry.associations, now - entry.installed);
        self.changed(id);
        Some(Output::ExtendSas { associations, age, lifetime })
    }
}

fn forget<K: std::hash::Hash + Eq>(index: &mut HashMap<K, Vec<SetId>>, key: &K, id: SetId) {
    if let Some(ids) = index.get_mut(key) {
        ids.retain(|other| *other != id);
        if ids.is_empty() {
            index.remove(key);
        }
    }
}

fn registration_life(expires: u32) -> Duration {
    Duration::from_secs(expires.into()) + REGISTRATION_MARGIN
}

/// 64*T1 on Gm: nothing of a transaction comes later.
fn give_up() -> Duration {
    Timers::GM.t1 * 64
}

/// A client port of ours for a new set: free between us and this UE.
//= TS 33.203 7.4: the client ports change with every authentication, the server ports stay
pub(super) fn free_port(ports: sec_agree::ClientPorts, in_use: &[u16], random: u64) -> Option<Port> {
    let free: Vec<Port> = ports.iter().filter(|port| !in_use.contains(&port.get())).collect();
    let at = usize::try_from(random).unwrap_or(0).checked_rem(free.len())?;
    free.get(at).copied()
}

#[cfg(test)]
mod tests {
    use sec_agree::{End, Policy, Setup};

    use super::*;

    fn set(table: &mut SaTable, device: &Device, n: u16) -> SetId {
        let port = |value| Port::new(value).unwrap();
        let spi = |value: u32| Spi::new(value).unwrap();
        let setup = |base: u32, port_c: u16, port_s: u16| Setup {
            spi_c: spi(base + 2 * u32::from(n)),
            spi_s: spi(base + 2 * u32::from(n) + 1),
            port_c: port(port_c),
            port_s: port(port_s),
        };
        let ue = End { address: "10.9.0.2".parse().unwrap(), setup: setup(2000, 7000 + n, 7100) };
        let p_cscf = End { address: "10.9.0.1".parse().unwrap(), setup: setup(4000, 6000 + n, 6100) };
        let policy = Policy::default();
        let new = NewSet {
            device: device.clone(),
            associations: Associations::new(&ue, &p_cscf, policy.algorithms()[0]).unwrap(),
            client: SecurityClient::offer(policy.algorithms(), ue.setup).unwrap(),
            server: SecurityServer::answer(&policy, p_cscf.setup).unwrap(),
            initial: false,
            nonce: "n".into(),
        };
        table.insert(Instant::ZERO, new, Duration::from_secs(240)).0
    }

    fn table() -> SaTable {
        SaTable::new(SpiPool::new(Spi::new(0x1000).unwrap(), Spi::new(0x1fff).unwrap(), 0).unwrap())
    }

    fn device(flow: Option<&str>) -> Device {
        Device { impi: Impi::new("alice@ims.example").unwrap(), flow: flow.map(Into::into) }
    }

    /// SA-10: three that a registration has confirmed leave no room; one that is an attempt makes way by itself.
    #[test]
    fn sec_13_no_fourth_set_for_a_contact() {
        let (mut table, device) = (table(), device(None));
        for n in 0..3 {
            assert!(table.has_room(&device));
            let id = set(&mut table, &device, n);
            assert!(table.has_room(&device), "an attempt is replaced by the next");
            table.sets.get_mut(&id).unwrap().stage = Stage::Old;
        }
        assert!(!table.has_room(&device));
        assert!(table.has_room(&self::device(Some("other flow"))), "each contact has its own");
    }

    #[test]
    fn sec_13_the_contacts_of_an_identity_are_bounded_too() {
        let mut table = table();
        for n in 0..u16::try_from(MAX_DEVICES * MAX_SETS).unwrap() {
            set(&mut table, &device(Some(&format!("flow {}", n / 3))), n);
        }
        assert!(!table.has_room(&device(None)));
    }
}
