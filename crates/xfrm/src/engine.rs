use std::net::{IpAddr, SocketAddr};

use netlink_packet_xfrm::XfrmMessage;
use nix::errno::Errno;
use sec_agree::{Association, Associations, EspKeys, SaSet};

use crate::socket::{Answer, XfrmSocket};
use crate::{Extend, KernelState, Lifetime, MARK, Operation, Protection, XfrmError, dump, state, tunnel};

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
                let associations = &set.associations;
                associations.iter().map(move |sa| state::add_message(associations, sa, &set.keys, *lifetime))
            })
            .collect();
        let answers = match self.socket.exchange(&mut messages) {
            Ok(answers) => answers,
            Err(error) => {
                // Which of the messages the kernel took is unknown: take back all of them.
                let all = batch.iter().map(|install| &install.set.associations);
                self.roll_back(all.flat_map(|set| set.iter().map(move |sa| (set, sa))).collect());
                return batch.iter().map(|_| Err(error.clone())).collect();
            }
        };
        let mut results = Vec::with_capacity(batch.len());
        let mut orphans = Vec::new();
        for (Install { set, lifetime }, answers) in batch.iter().zip(answers.chunks(4)) {
            let set = &set.associations;
            // The policies of a tunnel come after its states: what they caught before would be lost.
            let outcome = outcome(Operation::AddState, set, answers)
                .and_then(|()| self.policies(Operation::AddPolicy, tunnel::add_messages(set, *lifetime)));
            if outcome.is_err() {
                let accepted = set.iter().zip(answers).filter(|(_, answer)| !refused(answer));
                orphans.extend(accepted.map(|(sa, _)| (set, sa)));
                if let Err(error) = self.policies(Operation::DeletePolicy, tunnel::delete_messages(set)) {
                    tracing::error!(%error, "rollback of a policy failed; the kernel removes it at its lifetime");
                }
            }
            results.push(outcome);
        }
        self.roll_back(orphans);
        results
    }

    fn roll_back(&mut self, associations: Vec<(&Associations, &Association)>) {
        let mut messages: Vec<XfrmMessage> =
            associations.iter().map(|(set, sa)| state::delete_message(set, sa)).collect();
        let answers = if messages.is_empty() { Ok(Vec::new()) } else { self.socket.exchange(&mut messages) };
        match answers {
            Ok(answers) => {
                for ((_, sa), answer) in associations.iter().zip(&answers) {
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

    /// Removes all four states, and the policies of a tunnel. What is gone already, by its lifetime, is no error.
    pub fn remove(&mut self, sets: &[Associations]) -> Vec<Result<(), XfrmError>> {
        let removed = self.change(sets, Operation::DeleteState, |set| set, state::delete_message);
        let pairs = sets.iter().zip(removed);
        pairs
            .map(|(set, removed)| {
                removed.and(self.policies(Operation::DeletePolicy, tunnel::delete_messages(set)))
            })
            .collect()
    }

    /// Moves the end of life of all four states of each set, and gives them the ports of their UDP-enc-tun.
    pub fn extend(&mut self, extends: &[Extend]) -> Vec<Result<(), XfrmError>> {
        let moved = self.change(
            extends,
            Operation::UpdateState,
            |extend| &extend.associations,
            |Extend { associations: set, age, lifetime }, sa| {
                // The kernel counts from the first installation and keeps the keys it has.
                let lifetime = Lifetime::new(*age + *lifetime);
                state::update_message(set, sa, &EspKeys::placeholder(set.algorithms), lifetime)
            },
        );
        let pairs = extends.iter().zip(moved);
        pairs
            .map(|(Extend { associations, lifetime, .. }, moved)| {
                let policies = tunnel::add_messages(associations, Lifetime::new(*lifetime));
                moved.and_then(|()| self.policies(Operation::AddPolicy, policies))
            })
            .collect()
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
        self.policies(Operation::AddPolicy, protection.add_messages())
    }

    /// Removes them. Whatever still arrives at the ports is then open: close the sockets first.
    pub fn unprotect(&mut self, protection: &Protection) -> Result<(), XfrmError> {
        self.policies(Operation::DeletePolicy, protection.delete_messages())
    }

    pub(crate) fn policies(
        &mut self,
        operation: Operation,
        messages: Vec<(SocketAddr, XfrmMessage)>,
    ) -> Result<(), XfrmError> {
        if messages.is_empty() {
            return Ok(());
        }
        let (ends, mut messages): (Vec<SocketAddr>, Vec<XfrmMessage>) = messages.into_iter().unzip();
        let answers = self.socket.exchange(&mut messages)?;
        for (end, answer) in ends.into_iter().zip(answers) {
            match answer {
                Some(Ok(())) => {}
                Some(Err((Errno::EPERM, _))) => return Err(XfrmError::NoCapNetAdmin),
                Some(Err((Errno::ENOENT, _))) if operation == Operation::DeletePolicy => {}
                Some(Err((errno, explanation))) => {
                    let (address, port) = (end.ip(), end.port());
                    return Err(XfrmError::PolicyRefused { operation, address, port, errno, explanation });
                }
                None => return Err(XfrmError::NoAnswer { operation }),
            }
        }
        Ok(())
    }

    /// Removes single states of ours that were read from the kernel, and the policies of those in a tunnel. One that is gone already is no error.
    pub fn remove_states(&mut self, states: &[&KernelState]) -> Result<(), XfrmError> {
        for batch in states.chunks(Self::BATCH * 4) {
            let mut messages: Vec<XfrmMessage> =
                batch.iter().map(|state| state::delete_by_id(state.outer_destination(), state.spi)).collect();
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
        for part in states.chunks(Self::BATCH * 2) {
            let left = part.iter().flat_map(|state| tunnel::delete_messages_of(state)).collect();
            self.policies(Operation::DeletePolicy, left)?;
        }
        Ok(())
    }

    /// The SPIs in use towards an address of ours, also those of other programs: they must not be drawn.
    pub fn spis_towards(&mut self, address: IpAddr) -> Result<Vec<u32>, XfrmError> {
        dump::spis(&mut self.socket, address)
    }

    /// Our states in the kernel, without their keys.
    pub fn states(&mut self) -> Result<Vec<KernelState>, XfrmError> {
        dump::states(&mut self.socket, MARK)
    }
}

fn refused(answer: &Option<Answer>) -> bool {
    matches!(answer, Some(Err(_)))
}

pub(crate) fn gone(answer: &Answer) -> bool {
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
