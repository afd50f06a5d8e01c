//! What became of a command, in one word and as an exit status.

use std::fmt;
use std::str::FromStr;

use crate::core::{Answer, CallStep, Failure, Step};

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Registered,
    Deregistered,
    /// The network refused, with a status.
    Rejected,
    /// The UE refused the network: its challenge, its Security-Server, or its answer.
    Distrusted,
    NoAnswer,
    /// The kernel did not take the security associations.
    Kernel,
    /// The UE kept its answer back (fault `silent`).
    Withheld,
    /// The registration has run out.
    Lapsed,
    /// Another user has answered; or we have, and it is confirmed.
    Answered,
    /// Another user, or the network, has refused; or we have.
    Refused,
    /// It rings, there or here.
    Ringing,
    /// The caller has taken its call back.
    Cancelled,
    /// The call is over.
    Ended,
    /// Any failure: of these, or another.
    Failed,
}

impl Outcome {
    pub const ALL: [Self; 14] = [
        Self::Registered,
        Self::Deregistered,
        Self::Rejected,
        Self::Distrusted,
        Self::NoAnswer,
        Self::Kernel,
        Self::Withheld,
        Self::Lapsed,
        Self::Answered,
        Self::Refused,
        Self::Ringing,
        Self::Cancelled,
        Self::Ended,
        Self::Failed,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Deregistered => "deregistered",
            Self::Rejected => "rejected",
            Self::Distrusted => "distrusted",
            Self::NoAnswer => "no-answer",
            Self::Kernel => "kernel",
            Self::Withheld => "withheld",
            Self::Lapsed => "lapsed",
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Ringing => "ringing",
            Self::Cancelled => "cancelled",
            Self::Ended => "ended",
            Self::Failed => "failed",
        }
    }

    /// What a step that ends something says; nothing for the others.
    pub fn of(step: &Step) -> Option<Self> {
        match step {
            Step::Registered(_) => Some(Self::Registered),
            Step::Deregistered => Some(Self::Deregistered),
            Step::Lapsed => Some(Self::Lapsed),
            Step::Failed(failure) => Some(Self::of_failure(failure)),
            _ => None,
        }
    }

    /// What a step says that ends something between users; nothing for the others.
    pub(super) fn between_users(step: &Step) -> Option<Self> {
        match step {
            Step::Answered { answer, .. } => Some(Self::of_answer(answer)),
            Step::NotSent { failure, .. } => Some(Self::of_failure(failure)),
            Step::Call { step, .. } => match step {
                CallStep::Answered(answer) | CallStep::Refused(answer) | CallStep::Changed { answer, .. } => {
                    Some(Self::of_answer(answer))
                }
                CallStep::Confirmed => Some(Self::Answered),
                CallStep::Ringing { .. } => Some(Self::Ringing),
                CallStep::Declined { .. } => Some(Self::Refused),
                CallStep::Cancelled => Some(Self::Cancelled),
                CallStep::Ended { .. } => Some(Self::Ended),
                CallStep::Failed(failure) => Some(Self::of_failure(failure)),
                CallStep::Calling | CallStep::Incoming => None,
            },
            _ => None,
        }
    }

    fn of_answer(answer: &Answer) -> Self {
        match answer {
            answer if answer.local => Self::NoAnswer,
            answer if answer.is_success() => Self::Answered,
            _ => Self::Refused,
        }
    }

    pub fn of_failure(failure: &Failure) -> Self {
        match failure {
            Failure::Rejected { .. } => Self::Rejected,
            Failure::NetworkAuthentication
            | Failure::Synchronisation
            | Failure::SecurityAgreement(_)
            | Failure::BadChallenge(_)
            | Failure::BadAnswer(_) => Self::Distrusted,
            Failure::NoAnswer { .. } | Failure::Unreachable { .. } => Self::NoAnswer,
            Failure::Kernel { .. } => Self::Kernel,
            Failure::Withheld => Self::Withheld,
            _ => Self::Failed,
        }
    }

    /// Whether this is what was wanted.
    pub fn is(self, wanted: Self) -> bool {
        let failed = self.exit_status() != 0;
        self == wanted || (wanted == Self::Failed && failed)
    }

    /// Of a command that ended so and should not have.
    pub const fn exit_status(self) -> u8 {
        match self {
            Self::Registered | Self::Deregistered | Self::Answered | Self::Ringing | Self::Ended => 0,
            Self::Lapsed | Self::Failed | Self::Withheld | Self::Cancelled => 1,
            Self::Rejected | Self::Refused => 3,
            Self::Distrusted => 4,
            Self::NoAnswer => 5,
            Self::Kernel => 6,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Outcome {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == name).ok_or(())
    }
}
