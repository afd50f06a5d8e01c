use std::time::Duration;

use sec_agree::Associations;

use crate::{Engine, Install, XfrmError};

/// Something to do in the kernel. `T` names the set to whoever asked.
#[derive(Debug)]
pub enum Change<T> {
    Install { set: T, install: Install },
    /// Moves the end of life of a set installed `age` ago to `lifetime` from now.
    Extend { associations: Associations, age: Duration, lifetime: Duration },
    Remove { associations: Associations },
}

impl Engine {
    /// Carries changes out in their order; neighbours of one kind share a batch. Answers what became of the installs,
    /// in order; what goes wrong with the others is logged, since nobody can do better about it.
    pub fn carry_out<T>(&mut self, changes: impl IntoIterator<Item = Change<T>>) -> Vec<(T, Result<(), XfrmError>)> {
        let mut results = Vec::new();
        let (mut sets, mut installs, mut removals) = (Vec::new(), Vec::new(), Vec::new());
        for change in changes {
            match change {
                Change::Install { set, install } => {
                    self.flush_removals(&mut removals);
                    sets.push(set);
                    installs.push(install);
                }
                Change::Remove { associations } => {
                    self.flush_installs(&mut sets, &mut installs, &mut results);
                    removals.push(associations);
                }
                Change::Extend { associations, age, lifetime } => {
                    self.flush_installs(&mut sets, &mut installs, &mut results);
                    self.flush_removals(&mut removals);
                    if let Err(error) = self.extend(&associations, age, lifetime) {
                        tracing::warn!(%error, "the lifetime of a set could not be moved");
                    }
                }
            }
        }
        self.flush_installs(&mut sets, &mut installs, &mut results);
        self.flush_removals(&mut removals);
        results
    }

    fn flush_installs<T>(
        &mut self,
        sets: &mut Vec<T>,
        installs: &mut Vec<Install>,
        results: &mut Vec<(T, Result<(), XfrmError>)>,
    ) {
        results.extend(sets.drain(..).zip(self.install(installs)));
        installs.clear();
    }

    fn flush_removals(&mut self, removals: &mut Vec<Associations>) {
        for error in self.remove(removals).into_iter().filter_map(Result::err) {
            tracing::warn!(%error, "a set could not be removed; the kernel removes it at its lifetime");
        }
        removals.clear();
    }
}
