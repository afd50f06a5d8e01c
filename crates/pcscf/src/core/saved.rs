//! What outlives the process: registered devices and their sets, as data for a file. No key is among it: the kernel
//! has them, and gives them to nobody who does not ask for them.

use sec_agree::{Associations, SecurityClient, SecurityServer};
use sip::Instant;

use super::{Device, Dialog, Output, PCscf, Registration, Stage};

/// All there is to keep of one device. The latest takes the place of those before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedDevice {
    pub device: Device,
    /// Absent after a de-registration, while the sets live a little longer.
    pub registration: Option<Registration>,
    /// Those that a registration has confirmed; none: there is nothing to keep any more.
    pub sets: Vec<SavedSet>,
    /// Those that a final response has made.
    pub dialogs: Vec<Dialog>,
}

/// A set without its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedSet {
    pub associations: Associations,
    pub stage: Stage,
    pub client: SecurityClient,
    pub server: SecurityServer,
    pub initial: bool,
    pub nonce: Box<str>,
    pub used: bool,
    /// On a clock that goes on between two runs.
    pub installed: Instant,
    pub expires: Instant,
}

impl PCscf {
    /// From now on every change of what must outlive the process comes as an [`Output::Save`], ahead of the messages
    /// that tell others of it.
    pub fn save_changes(&mut self) {
        self.saving = true;
    }

    /// All there is to keep. Walks all registrations: to write a file anew, not to answer a message.
    pub fn saved(&self) -> impl Iterator<Item = SavedDevice> {
        self.sets.devices().into_iter().map(|device| self.saved_device(device))
    }

    /// Called at the end of every input.
    pub(super) fn save(&mut self) {
        let (mut changed, dialogs) = (self.sets.take_changed(), self.dialogs.take_changed());
        if self.saving {
            // Of a device without sets nothing is kept, and the end of its sets says so.
            let kept = |device: &Device| self.sets.of(device).any(|(_, entry)| !entry.stage.is_attempt());
            changed.extend(dialogs.into_iter().filter(kept));
            let mut seen = std::collections::HashSet::new();
            changed.retain(|device| seen.insert(device.clone()));
            for device in changed {
                let saved = self.saved_device(device);
                self.outputs.push_back(Output::Save(Box::new(saved)));
            }
        }
    }

    fn saved_device(&self, device: Device) -> SavedDevice {
        SavedDevice {
            registration: self.registration(&device).cloned(),
            sets: self.sets.saved(&device),
            dialogs: self.dialogs.saved(&device),
            device,
        }
    }
}
