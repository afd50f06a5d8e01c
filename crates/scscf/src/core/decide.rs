//! The decision table of `spec/05` section 4: integrity-protected, reg-await-auth, Authorization.

use super::Scscf;
use crate::challenge::{Answer, Attempt, RESYNCS, State, judge};
use crate::register::{Register, Wish};
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
    /// Prolong without asking.
    Refresh,
    Deregister,
    Query,
}

impl Scscf {
    pub(super) fn decide(&self, register: &Register) -> Step {
        //= RFC 3261 10.3
        if let Some(user) = self.registrar.user(&register.impi)
            && user.binding.call_id == register.message.call_id()
            && register.cseq() <= user.binding.cseq
        {
            return Step::Refuse(Refusal::CSeqOutOfOrder);
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
                return (repeated && binds && !registered).then_some(Step::Refuse(Refusal::ChallengeSpent));
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
        if removal && !registered {
            return Step::Refuse(Refusal::NotBound);
        }
        if !register.protected {
            let query = register.wish == Wish::Query;
            return if query { Step::Refuse(Refusal::ContactMalformed) } else { Step::Challenge };
        }
        if !registered {
            return Step::Refuse(Refusal::UserUnknown);
        }
        match (&register.wish, self.config.reauthenticate) {
            (Wish::Unbind(_), _) => self.decide_removal(register),
            (Wish::Query, _) => Step::Query,
            (Wish::Bind(_), Reauthenticate::Always) => Step::Challenge,
            // The stale nonce and response such a REGISTER carries are not looked at.
            (Wish::Bind(_), Reauthenticate::Never) => Step::Refresh,
        }
    }

    fn decide_removal(&self, register: &Register) -> Step {
        let user = self.registrar.user(&register.impi);
        let bound = match &register.wish {
            Wish::Unbind(Some(uri)) => user.is_some_and(|user| user.binding.is_to(uri)),
            _ => user.is_some(),
        };
        if bound { Step::Deregister } else { Step::Refuse(Refusal::NotBound) }
    }
}
