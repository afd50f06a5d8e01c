//! What of the table outlives the process, and how the kernel's names for states find a set.

use std::net::IpAddr;

use sec_agree::{Association, Associations};
use sip::Instant;

use super::{Device, KERNEL_MARGIN, Output, SaTable, SavedSet, SetEntry, SetId};

impl SaTable {
    /// Devices whose confirmed sets have changed since the last call.
    pub(in crate::core) fn take_changed(&mut self) -> Vec<Device> {
        std::mem::take(&mut self.changed)
    }

    /// The confirmed sets of a device.
    pub(in crate::core) fn saved(&self, device: &Device) -> Vec<SavedSet> {
        self.of(device)
            .filter(|(_, entry)| !entry.stage.is_attempt())
            .map(|(_, entry)| saved(entry))
            .collect()
    }

    /// Devices that have confirmed sets.
    pub(in crate::core) fn devices(&self) -> Vec<Device> {
        let confirmed = self.sets.values().filter(|entry| !entry.stage.is_attempt());
        let mut devices: Vec<Device> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for entry in confirmed {
            if seen.insert(&entry.device) {
                devices.push(entry.device.clone());
            }
        }
        devices
    }

    /// Enters a set that an earlier run made and the kernel still holds. Answers what to tell the kernel: that run may
    /// have ended between writing down a longer life and giving it to the kernel.
    pub(in crate::core) fn adopt(&mut self, now: Instant, device: Device, saved: SavedSet) -> Output {
        let SavedSet { associations, stage, client, server, initial, nonce, used, installed, expires } =
            saved;
        for sa in [associations.uc_to_ps, associations.us_to_pc] {
            self.spis.reserve(sa.spi);
        }
        let entry = SetEntry {
            device,
            associations,
            stage,
            client,
            server,
            initial,
            nonce,
            installed,
            expires,
            used,
        };
        let lifetime = (expires - now) + KERNEL_MARGIN;
        self.enter(entry);
        Output::ExtendSas { associations, age: now - installed, lifetime }
    }

    /// The set that a state in the kernel belongs to.
    pub(in crate::core) fn of_state(&self, destination: IpAddr, spi: u32) -> Option<SetId> {
        self.by_state.get(&(destination, spi)).copied()
    }

    /// Sets that the kernel has taken, and that have a state which `held` does not know.
    pub(in crate::core) fn incomplete(&self, held: impl Fn(IpAddr, u32) -> bool) -> Vec<SetId> {
        let lacks = |entry: &SetEntry| states(&entry.associations).any(|(to, spi)| !held(to, spi));
        let installed = self.sets.iter().filter(|(_, entry)| entry.stage != super::Stage::Installing);
        installed.filter(|(_, entry)| lacks(entry)).map(|(id, _)| *id).collect()
    }

    pub(super) fn changed(&mut self, id: SetId) {
        if let Some(entry) = self.sets.get(&id).filter(|entry| !entry.stage.is_attempt())
            && !self.changed.contains(&entry.device)
        {
            self.changed.push(entry.device.clone());
        }
    }
}

/// Destination and SPI of the four states of a set, as the kernel names them: in a tunnel the outer destination.
pub(super) fn states(associations: &Associations) -> impl Iterator<Item = (IpAddr, u32)> {
    let destination = |sa: &Association| {
        associations.outer(sa.role).map_or(sa.destination.ip(), |(_, destination)| destination.ip())
    };
    associations.iter().map(move |sa| (destination(sa), sa.spi.get()))
}

fn saved(entry: &SetEntry) -> SavedSet {
    SavedSet {
        associations: entry.associations,
        stage: entry.stage,
        client: entry.client.clone(),
        server: entry.server.clone(),
        initial: entry.initial,
        nonce: entry.nonce.clone(),
        used: entry.used,
        installed: entry.installed,
        expires: entry.expires,
    }
}
