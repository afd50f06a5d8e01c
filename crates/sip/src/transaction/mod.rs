//! Transactions (RFC 3261 clause 17, RFC 6026, RFC 4320). The four machines are values without messages; the layer
//! finds the machine, keeps the messages and the timers.

mod client_invite;
mod client_non_invite;
mod key;
mod layer;
mod messages;
mod server_invite;
mod server_non_invite;
mod timers;

pub use layer::{ClientId, Event, Received, ServerId, TransactionError, Transactions};
pub use messages::reply_flow;
pub use timers::Timers;

use crate::Instant;

/// The earlier of two deadlines.
pub(crate) fn earlier(one: Option<Instant>, two: Option<Instant>) -> Option<Instant> {
    match (one, two) {
        (Some(one), Some(two)) => Some(one.min(two)),
        (one, two) => one.or(two),
    }
}

pub(crate) fn due(deadline: Option<Instant>, now: Instant) -> bool {
    deadline.is_some_and(|deadline| deadline <= now)
}

/// What a client transaction wants after its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientTick {
    Nothing,
    Retransmit,
    TimedOut,
    Gone,
}

/// What becomes of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// To the transaction user.
    Pass,
    /// To the transaction user, and an ACK to the server.
    PassAndAck,
    /// An ACK only: the final response came again.
    Ack,
    Absorb,
}

/// What a server transaction wants after its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerTick {
    Nothing,
    /// 100 Trying is due.
    Trying,
    /// The final response again.
    Retransmit,
    /// Over; `true`: before its time (no ACK, or no answer from the transaction user).
    Gone {
        early: bool,
    },
}
