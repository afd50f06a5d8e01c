//! The dialogs of registered devices, as far as a P-CSCF must know them: whose they are, which way the UE's requests
//! take, and when they end.

use std::collections::{BTreeSet, HashMap};

use sip::{Instant, Message};

use super::Device;

/// More dialogs one device has no use for; the one that was used longest ago makes way.
const MAX_DIALOGS: usize = 64;
/// A session and a few subscriptions share a dialog.
const MAX_USAGES: usize = 8;

/// A dialog held here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct DialogId(u64);

/// A dialog of a UE with somebody behind the core network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialog {
    pub call_id: Box<str>,
    /// The tag of the UE. Empty while a request to it has no answer.
    pub ue_tag: Box<str>,
    /// The tag of the other end. Empty while a request of the UE has no answer.
    pub peer_tag: Box<str>,
    /// The UE has sent the request that made it.
    pub by_ue: bool,
    /// Where the UE's requests go from here, top first, as `<uri>;params`.
    pub route: Vec<Box<str>>,
    /// What the UE's requests and answers assert, where they prefer nothing else.
    pub asserted: Vec<Box<str>>,
    /// What the other end wants hidden from the UE.
    pub peer: Option<PeerPrivacy>,
    /// A final response has made it.
    pub confirmed: bool,
    /// It ends with the last of them.
    pub usages: Vec<Usage>,
}

/// What one end of a dialog has asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerPrivacy {
    /// As in a Privacy header.
    pub wanted: Box<str>,
    /// Its From with the tag, where the UE sees an anonymous one.
    pub address: Option<Box<str>>,
}

/// What a dialog is there for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    pub purpose: Purpose,
    /// `None`: until somebody ends it.
    pub until: Option<Instant>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    Session,
    /// A subscription to this event package, with its id.
    Event(Box<str>),
}

/// How a message names its dialog. A tag that is missing is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DialogName<'a> {
    pub(super) call_id: &'a str,
    pub(super) ue_tag: &'a str,
    pub(super) peer_tag: &'a str,
}

/// All of them, by device and by the end of their time.
#[derive(Debug, Default)]
pub(super) struct Dialogs {
    entries: HashMap<DialogId, Entry>,
    by_device: HashMap<Device, Vec<DialogId>>,
    deadlines: BTreeSet<(Instant, DialogId)>,
    last: u64,
    /// Counts up with every use.
    uses: u64,
    /// Devices whose confirmed dialogs have changed; few, since they are taken after every input.
    changed: Vec<Device>,
    /// Those that have ended since and whose other end wanted something hidden.
    ended: Vec<Dialog>,
}

#[derive(Debug)]
struct Entry {
    device: Device,
    dialog: Dialog,
    deadline: Option<Instant>,
    used: u64,
}

impl Dialog {
    pub(super) fn name(&self) -> DialogName<'_> {
        DialogName { call_id: &self.call_id, ue_tag: &self.ue_tag, peer_tag: &self.peer_tag }
    }

    /// Begins a usage, or moves its end.
    pub(super) fn begin(&mut self, purpose: Purpose, until: Option<Instant>) {
        self.usages.retain(|usage| usage.purpose != purpose);
        if self.usages.len() >= MAX_USAGES {
            self.usages.remove(0);
        }
        self.usages.push(Usage { purpose, until });
    }

    pub(super) fn end(&mut self, purpose: &Purpose) {
        self.usages.retain(|usage| usage.purpose != *purpose);
    }

    /// When it ends by itself.
    fn deadline(&self) -> Option<Instant> {
        let ends: Option<Vec<Instant>> = self.usages.iter().map(|usage| usage.until).collect();
        ends.and_then(|ends| ends.into_iter().max())
    }
}

impl<'a> DialogName<'a> {
    /// Of a request, or of the response to one: `by_ue` tells who has sent the request.
    pub(super) fn of(message: &'a Message, by_ue: bool) -> Self {
        let from = message.from().ok().and_then(|from| from.tag()).unwrap_or_default();
        let to = message.to().ok().and_then(|to| to.tag()).unwrap_or_default();
        let (ue_tag, peer_tag) = if by_ue { (from, to) } else { (to, from) };
        Self { call_id: message.call_id(), ue_tag, peer_tag }
    }

    /// Before the request that makes the dialog has an answer.
    pub(super) fn unanswered(self, by_ue: bool) -> Self {
        if by_ue { Self { peer_tag: "", ..self } } else { Self { ue_tag: "", ..self } }
    }
}

impl Dialogs {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn find(&self, device: &Device, name: DialogName<'_>) -> Option<DialogId> {
        let is_named = |id: &DialogId| self.get(*id).is_some_and(|dialog| dialog.name() == name);
        self.of(device).find(is_named)
    }

    pub(super) fn get(&self, id: DialogId) -> Option<&Dialog> {
        self.entries.get(&id).map(|entry| &entry.dialog)
    }

    fn of(&self, device: &Device) -> impl Iterator<Item = DialogId> {
        self.by_device.get(device).into_iter().flatten().copied()
    }

    /// The confirmed ones.
    pub(super) fn saved(&self, device: &Device) -> Vec<Dialog> {
        let dialogs = self.of(device).filter_map(|id| self.get(id));
        dialogs.filter(|dialog| dialog.confirmed).cloned().collect()
    }

    /// Devices whose confirmed dialogs have changed since the last call.
    pub(super) fn take_changed(&mut self) -> Vec<Device> {
        std::mem::take(&mut self.changed)
    }

    pub(super) fn take_ended(&mut self) -> Vec<Dialog> {
        std::mem::take(&mut self.ended)
    }

    pub(super) fn insert(&mut self, device: &Device, dialog: Dialog) -> DialogId {
        // What nobody has accepted makes way first: a stranger's requests end no call.
        let worth = |id: &DialogId| self.entries.get(id).map(|entry| (entry.dialog.confirmed, entry.used));
        if self.of(device).count() >= MAX_DIALOGS
            && let Some(oldest) = self.of(device).min_by_key(worth)
        {
            self.remove(oldest);
        }
        self.last += 1;
        self.uses += 1;
        let (id, deadline) = (DialogId(self.last), dialog.deadline());
        self.deadlines.extend(deadline.map(|at| (at, id)));
        self.by_device.entry(device.clone()).or_default().push(id);
        self.entries.insert(id, Entry { device: device.clone(), dialog, deadline, used: self.uses });
        self.note(id);
        id
    }

    /// A request within it has come.
    pub(super) fn used(&mut self, id: DialogId) {
        self.uses += 1;
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.used = self.uses;
        }
    }

    /// Changes a dialog; without a usage it ends.
    pub(super) fn change(&mut self, id: DialogId, change: impl FnOnce(&mut Dialog)) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let before = entry.dialog.clone();
        change(&mut entry.dialog);
        let (deadline, is_over) = (entry.dialog.deadline(), entry.dialog.usages.is_empty());
        if let Some(at) = std::mem::replace(&mut entry.deadline, deadline) {
            self.deadlines.remove(&(at, id));
        }
        self.deadlines.extend(deadline.map(|at| (at, id)));
        if entry.dialog != before {
            self.note(id);
        }
        if is_over {
            self.remove(id);
        }
    }

    pub(super) fn remove(&mut self, id: DialogId) {
        self.note(id);
        let Some(Entry { device, dialog, deadline, .. }) = self.entries.remove(&id) else { return };
        if let Some(at) = deadline {
            self.deadlines.remove(&(at, id));
        }
        if let Some(ids) = self.by_device.get_mut(&device) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_device.remove(&device);
            }
        }
        if dialog.confirmed && dialog.peer.is_some() {
            self.ended.push(dialog);
        }
    }

    /// Removes what the request of this name has begun and no final response has made a dialog.
    pub(super) fn remove_early(&mut self, device: &Device, name: DialogName<'_>, by_ue: bool) {
        let name = name.unanswered(by_ue);
        let early = |id: &DialogId| {
            self.get(*id).is_some_and(|dialog| {
                !dialog.confirmed && dialog.by_ue == by_ue && dialog.name().unanswered(by_ue) == name
            })
        };
        let early: Vec<DialogId> = self.of(device).filter(early).collect();
        early.into_iter().for_each(|id| self.remove(id));
    }

    /// The registration of the device is over.
    pub(super) fn remove_all(&mut self, device: &Device) {
        let all: Vec<DialogId> = self.of(device).collect();
        all.into_iter().for_each(|id| self.remove(id));
    }

    /// Ends the usages and dialogs whose time is over.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some((_, id)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            self.remove(id);
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    fn note(&mut self, id: DialogId) {
        if let Some(entry) = self.entries.get(&id).filter(|entry| entry.dialog.confirmed)
            && !self.changed.contains(&entry.device)
        {
            self.changed.push(entry.device.clone());
        }
    }
}
