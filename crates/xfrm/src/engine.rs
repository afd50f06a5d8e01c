use std::net::IpAddr;

use netlink_packet_xfrm::XfrmMessage;
use nix::errno::Errno;
use sec_agree::{Association, Associations, EspKeys, SaSet};

use crate::socket::{Answer, XfrmSocket};
use crate::{Extend, KernelState, Lifetime, Operation, Protection, XfrmError, dump, state};

/// A set to install and how long the kernel may keep it.
#[derive(Debug)]
pub struct Install {
    pub set: SaSet,
    pub lifetime: Lifetime,
}

/// The XFRM state and policy tables of one network namespace, as far as they are ours.
#[derive(Debug)]
pub struct Engine {
    pub(crate) socket: XfrmSocket,
}

impl Engine {
    /// Sets that share one `send`: 4 messages each. More overflow the receive buffer with answers.
    pub const BATCH: usize = 32;

    /// In the network namespace of the calling thread.
    pub fn open() -> Result<Self, XfrmError> {
        Ok(Self { socket: XfrmSocket::open()? })
    }

    /// Installs each set whole or not at all; answers in the order of `installs`.
    pub fn install(&mut self, installs: &[Install]) -> Vec<Result<(), XfrmError>> {
        let mut results = Vec::with_capacity(installs.len());
        for batch in installs.chunks(Self::BATCH) {
            results.append(&mut self.install_batch(batch));
        }
        results
    }

    fn install_batch(&mut self, batch: &[Install]) -> Vec<Result<(), XfrmError>> {
        let mut messages: Vec<XfrmMessage> = batch
            .iter()
            .flat_map(|Install { set, lifetime }| {
                let algorithms = set.associations.algorithms;
                set.associations
                    .iter()
                    .map(move |sa| state::add_message(sa, algorithms, &set.keys, *lifetime))
            })
            .collect();
        let answers = match self.socket.exchange(&mut messages) {
            Ok(answers) => answers,
            Err(error) => {
                // Which of the messages the kernel took is unknown: take back all of them.
                let all: Vec<&Association> =
                    batch.iter().flat_map(|install| install.set.associations.iter()).collect();
                self.roll_back(&all);
                return batch.iter().map(|_| Err(error.clone())).collect();
            }
        };
        let mut results = Vec::with_capacity(batch.len());
        let mut orphans = Vec::new();
        for (install, answers) in batch.iter().zip(answers.chunks(4)) {
            let outcome = outcome(Operation::AddState, &install.set.associations, answers);
            if outcome.is_err() {
                let accepted = install.set.associations.iter().zip(answers);
                orphans.extend(accepted.filter(|(_, answer)| !refused(answer)).map(|(sa, _)| sa));
            }
            results.push(outcome);
        }
        self.roll_back(&orphans);
        results
    }

    fn roll_back(&mut self, associations: &[&Association]) {
        let mut messages: Vec<XfrmMessage> =
            associations.iter().map(|sa| state::delete_message(sa)).collect();
        let answers = if messages.is_empty() { Ok(Vec::new()) } else { self.socket.exchange(&mut messages) };
        match answers {
            Ok(answers) => {
                for (sa, answer) in associations.iter().zip(&answers) {
                    if let Some(Err((errno, _))) = answer.as_ref().filter(|answer| !gone(answer)) {
                        tracing::error!(spi = sa.spi.get(), destination = %sa.destination, %errno, "rollback of a state failed; the kernel removes it at its lifetime");
                    }
                }
            }
            Err(error) => {
                tracing::error!(%error, "rollback failed; the kernel removes the states at their lifetime")
            }
        }
    }

    /// Removes all four states. One that is gone already, by its lifetime, is no error.
    pub fn remove(&mut self, sets: &[Associations]) -> Vec<Result<(), XfrmError>> {
        self.change(sets, Operation::DeleteState, |set| set, |_, sa| state::delete_message(sa))
    }

    /// Moves the end of life of all four states of each set.
    pub fn extend(&mut self, extends: &[Extend]) -> Vec<Result<(), XfrmError>> {
        self.change(
            extends,
            Operation::UpdateState,
            |extend| &extend.associations,
            |extend, sa| {
                // The kernel counts from the first installation and keeps the keys it has.
                let lifetime = Lifetime::new(extend.age + extend.lifetime);
                let algorithms = extend.associations.algorithms;
                state::update_message(sa, algorithms, &EspKeys::placeholder(algorithms), lifetime)
            },
        )
    }

    fn change<T>(
        &mut self,
        items: &[T],
        operation: Operation,
        set: impl Fn(&T) -> &Associations,
        message: impl Fn(&T, &Association) -> XfrmMessage,
    ) -> Vec<Result<(), XfrmError>> {
        let mut results = Vec::with_capacity(items.len());
        for batch in items.chunks(Self::BATCH) {
            let mut messages: Vec<XfrmMessage> =
                batch.iter().flat_map(|item| set(item).iter().map(|sa| message(item, sa))).collect();
            match self.socket.exchange(&mut messages) {
                Ok(answers) => {
                    let pairs = batch.iter().zip(answers.chunks(4));
                    results.extend(pairs.map(|(item, answers)| outcome(operation, set(item), answers)));
                }
                Err(error) => results.extend(batch.iter().map(|_| Err(error.clone()))),
            }
        }
        results
    }

    /// Puts the constant policies of a local address in place. Those of a dead run are taken over.
    pub fn protect(&mut self, protection: &Protection) -> Result<(), XfrmError> {
        self.policies(Operation::AddPolicy, protection, protection.add_messages())
    }

    /// Removes them. Whatever still arrives at the ports is then open: close the sockets first.
    pub fn unprotect(&mut self, protection: &Protection) -> Result<(), XfrmError> {
        self.policies(Operation::DeletePolicy, protection, protection.delete_messages())
    }

    fn policies(
        &mut self,
        operation: Operation,
        protection: &Protection,
        messages: Vec<(u16, XfrmMessage)>,
    ) -> Result<(), XfrmError> {
        let (ports, mut messages): (Vec<u16>, Vec<XfrmMessage>) = messages.into_iter().unzip();
        let answers = self.socket.exchange(&mut messages)?;
        for (port, answer) in ports.into_iter().zip(answers) {
            match answer {
                Some(Ok(())) => {}
                Some(Err((Errno::EPERM, _))) => return Err(XfrmError::NoCapNetAdmin),
                Some(Err((Errno::ENOENT, _))) if operation == Operation::DeletePolicy => {}
                Some(Err((errno, explanation))) => {
                    let address = protection.local;
                    return Err(XfrmError::PolicyRefused { operation, address, port, errno, explanation });
                }
                None => return Err(XfrmError::NoAnswer { operation }),
            }
        }
        Ok(())
    }

    /// Removes states that a dead run left: those of ours that `is_orphan` names. Answers how many there were.
    pub fn remove_orphans(&mut self, is_orphan: impl Fn(&KernelState) -> bool) -> Result<usize, XfrmError> {
        let orphans: Vec<KernelState> = self.states()?.into_iter().filter(is_orphan).collect();
        for batch in orphans.chunks(Self::BATCH * 4) {
            let mut messages: Vec<XfrmMessage> =
                batch.iter().map(|state| state::delete_by_id(state.destination.ip(), state.spi)).collect();
            for (state, answer) in batch.iter().zip(self.socket.exchange(&mut messages)?) {
                match answer {
                    Some(answer) if gone(&answer) => {}
                    Some(Err((errno, explanation))) => {
                        return Err(XfrmError::StateRefused {
                            operation: Operation::DeleteState,
                            spi: state.spi,
                            source_address: state.source.ip(),
                            destination: state.destination.ip(),
                            errno,
                            explanation,
                        });
                    }
                    _ => return Err(XfrmError::NoAnswer { operation: Operation::DeleteState }),
                }
            }
        }
        Ok(orphans.len())
    }

    /// The SPIs in use towards an address of ours, also those of other programs: they must not be drawn.
    pub fn spis_towards(&mut self, address: IpAddr) -> Result<Vec<u32>, XfrmError> {
        dump::spis(&mut self.socket, address)
    }

    /// Our states in the kernel, without their keys.
    pub fn states(&mut self) -> Result<Vec<KernelState>, XfrmError> {
        dump::states(&mut self.socket)
    }
}

fn refused(answer: &Option<Answer>) -> bool {
    matches!(answer, Some(Err(_)))
}

fn gone(answer: &Answer) -> bool {
    matches!(answer, Ok(()) | Err((Errno::ESRCH, _)))
}

/// The first thing that went wrong with a set, if anything did.
fn outcome(operation: Operation, set: &Associations, answers: &[Option<Answer>]) -> Result<(), XfrmError> {
    for (sa, answer) in set.iter().zip(answers) {
        match answer {
            None => return Err(XfrmError::NoAnswer { operation }),
            Some(answer) if operation == Operation::DeleteState && gone(answer) => {}
            Some(Ok(())) => {}
            Some(Err((errno, explanation))) => {
                return Err(XfrmError::StateRefused {
                    operation,
                    spi: sa.spi.get(),
                    source_address: sa.source.ip(),
                    destination: sa.destination.ip(),
                    errno: *errno,
                    explanation: explanation.clone(),
                });
            }
        }
    }
    Ok(())
}
