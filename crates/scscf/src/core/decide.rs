//! The decision table of `spec/05` section 4: integrity-protected, reg-await-auth, Authorization.

use super::Scscf;
use crate::challenge::{Answer, Attempt, RESYNCS, State, judge};
use crate::register::{Contact, Register, Wish};
use crate::{Reauthenticate, Refusal};
use aka::{Auts, Rand};

/// What to do with a REGISTER.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Refuse(Refusal),
    Challenge,
    /// With the RAND we stored, not one the UE echoed.
    //= TS 33.203 6.1.3
    Resynchronise(Rand, Auts),
    /// The answer was right: ask the HSS to register.
    Register,
    /// Ask the HSS whether the user is registered, and only unknown here.
    Restore,
    /// Prolong without asking.
    Refresh,
    Deregister,
    Query,
}

impl Scscf {
    pub(super) fn decide(&self, register: &Register) -> Step {
        if let Some(user) = self.registrar.user(&register.impi) {
            let mut touched = user.touched(&register.wish);
            //= RFC 3261 10.3
            if touched.any(|old| old.call_id == register.message.call_id() && register.cseq() <= old.cseq) {
                return Step::Refuse(Refusal::CSeqOutOfOrder);
            }
            let stay = user.bindings.len() - user.touched(&register.wish).count();
            if matches!(register.wish, Wish::Bind(_)) && stay >= self.config.limits.bindings {
                return Step::Refuse(Refusal::TooManyBindings);
            }
        }
        let attempt = self.attempts.get(&register.impi);
        let answered = attempt.and_then(|attempt| self.decide_answer(register, attempt));
        answered.unwrap_or_else(|| self.decide_fresh(register))
    }

    /// `None`: no answer to the running attempt, but a new beginning.
    fn decide_answer(&self, register: &Register, attempt: &Attempt) -> Option<Step> {
        let credentials = register.credentials();
        let challenge = match &attempt.state {
            State::Waiting(challenge) => challenge,
            State::Fetching => return None,
            State::Spent { nonce } => {
                let repeated = credentials.is_some_and(|found| found.nonce == *nonce && found.has_response());
                let registered = self.registrar.holds(&register.impi, &register.impu);
                // A registered UE repeats its last answer in every re-REGISTER: that is no answer, and no harm.
                let binds = !matches!(register.wish, Wish::Unbind(_));
                // And it does so too when it registers another identity beside.
                let other = attempt.impu != register.impu && self.registrar.user(&register.impi).is_some();
                return (repeated && binds && !registered && !other)
                    .then_some(Step::Refuse(Refusal::ChallengeSpent));
            }
        };
        let answer = judge(
            challenge,
            self.config.algorithm,
            &self.config.home_domain,
            credentials.as_ref(),
            register.protected,
            attempt.call_id == register.message.call_id(),
        );
        let refuse = |refusal| Some(Step::Refuse(refusal));
        match answer {
            Answer::None => None,
            Answer::Right if attempt.impu != register.impu => refuse(Refusal::IdentityMismatch),
            Answer::Right => Some(match register.wish {
                Wish::Bind(_) => Step::Register,
                Wish::Unbind(_) => self.decide_removal(register),
                Wish::Query => Step::Refuse(Refusal::ContactMalformed),
            }),
            Answer::Wrong => refuse(Refusal::ResponseWrong),
            Answer::Empty => refuse(Refusal::NetworkNotAuthenticated),
            Answer::Auts(_) if attempt.resyncs >= RESYNCS => refuse(Refusal::TooManyResyncs),
            Answer::Auts(auts) => Some(Step::Resynchronise(challenge.rand, auts)),
            Answer::AutsMalformed => refuse(Refusal::AutsMalformed),
            Answer::Unprotected => refuse(Refusal::AnswerUnprotected),
            Answer::OtherCallId => refuse(Refusal::CallIdMismatch),
        }
    }

    fn decide_fresh(&self, register: &Register) -> Step {
        let registered = self.registrar.holds(&register.impi, &register.impu);
        let removal = matches!(register.wish, Wish::Unbind(_));
        //= TS 23.380 4.3: a protected REGISTER comes from somebody who has been authenticated
        let unknown = register.protected && self.registrar.user(&register.impi).is_none();
        if unknown && self.config.restoration.is_some() && !register.restored {
            return Step::Restore;
        }
        if removal && !registered {
            return Step::Refuse(Refusal::NotBound);
        }
        if !register.protected {
            let query = register.wish == Wish::Query;
            return if query { Step::Refuse(Refusal::ContactMalformed) } else { Step::Challenge };
        }
        if !registered {
            //= TS 24.229 5.4.1.2.2: who protects it is known, what he may register is not
            let known = self.registrar.user(&register.impi).is_some();
            let binds = matches!(register.wish, Wish::Bind(_));
            return if known && binds { Step::Challenge } else { Step::Refuse(Refusal::UserUnknown) };
        }
        match (&register.wish, self.config.reauthenticate) {
            (Wish::Unbind(_), _) => self.decide_removal(register),
            (Wish::Query, _) => Step::Query,
            // The stale nonce and response such a REGISTER carries are not looked at.
            (Wish::Bind(contact), Reauthenticate::Never) if self.is_bound(register, contact) => Step::Refresh,
            (Wish::Bind(_), _) => Step::Challenge,
        }
    }

    fn decide_removal(&self, register: &Register) -> Step {
        let user = self.registrar.user(&register.impi);
        let is_bound = user.is_some_and(|user| user.touched(&register.wish).next().is_some());
        if is_bound { Step::Deregister } else { Step::Refuse(Refusal::NotBound) }
    }

    /// Whether the REGISTER would only prolong. A new contact is challenged whatever the policy, and one the network
    /// wants authenticated again.
    fn is_bound(&self, register: &Register, contact: &Contact) -> bool {
        let user = self.registrar.user(&register.impi);
        user.is_some_and(|user| {
            user.bindings.iter().any(|binding| binding.demand.is_none() && binding.is_same(contact))
        })
    }
}
