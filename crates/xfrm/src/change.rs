use std::time::Duration;

use sec_agree::Associations;

use crate::{Engine, Install, XfrmError};

/// Moves the end of life of a set that was installed `age` ago to `lifetime` from now.
#[derive(Debug, Clone, Copy)]
pub struct Extend {
    pub associations: Associations,
    pub age: Duration,
    pub lifetime: Duration,
}

/// Something to do in the kernel. `T` names the set to whoever asked.
#[derive(Debug)]
pub enum Change<T> {
    Install { set: T, install: Install },
    Extend(Extend),
    Remove { associations: Associations },
}

impl Engine {
    /// Carries changes out in their order; neighbours of one kind share a batch. Answers what became of the installs,
    /// in order; what goes wrong with the others is logged, since nobody can do better about it.
    pub fn carry_out<T>(
        &mut self,
        changes: impl IntoIterator<Item = Change<T>>,
    ) -> Vec<(T, Result<(), XfrmError>)> {
        let mut results = Vec::new();
        let mut batch = Batch::default();
        for change in changes {
            if !batch.takes(&change) {
                self.flush(&mut batch, &mut results);
            }
            match change {
                Change::Install { set, install } => {
                    batch.sets.push(set);
                    batch.installs.push(install);
                }
                Change::Extend(extend) => batch.extends.push(extend),
                Change::Remove { associations } => batch.removals.push(associations),
            }
        }
        self.flush(&mut batch, &mut results);
        results
    }

    fn flush<T>(&mut self, batch: &mut Batch<T>, results: &mut Vec<(T, Result<(), XfrmError>)>) {
        results.extend(batch.sets.drain(..).zip(self.install(&batch.installs)));
        for error in self.extend(&batch.extends).into_iter().filter_map(Result::err) {
            tracing::warn!(%error, "the lifetime of a set could not be moved");
        }
        for error in self.remove(&batch.removals).into_iter().filter_map(Result::err) {
            tracing::warn!(%error, "a set could not be removed; the kernel removes it at its lifetime");
        }
        *batch = Batch::default();
    }
}

/// Neighbours of one kind.
struct Batch<T> {
    sets: Vec<T>,
    installs: Vec<Install>,
    extends: Vec<Extend>,
    removals: Vec<Associations>,
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self { sets: Vec::new(), installs: Vec::new(), extends: Vec::new(), removals: Vec::new() }
    }
}

impl<T> Batch<T> {
    fn takes(&self, change: &Change<T>) -> bool {
        let (installs, extends, removals) =
            (self.installs.is_empty(), self.extends.is_empty(), self.removals.is_empty());
        match change {
            Change::Install { .. } => extends && removals,
            Change::Extend(_) => installs && removals,
            Change::Remove { .. } => installs && extends,
        }
    }
}
