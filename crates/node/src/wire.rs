//! What a role receives, as trace events: for `--log akasec::wire=trace` and for whoever draws a ladder. Only first
//! lines are told, never headers.

use sip::{Flow, Message};

/// The target of these events.
pub const TARGET: &str = "akasec::wire";

/// A SIP message has arrived.
pub(crate) fn received(flow: Flow, message: &Message) {
    tracing::trace!(
        target: TARGET,
        from = %flow.remote,
        to = %flow.local,
        transport = flow.transport.as_str(),
        method = message.method().as_str(),
        status = message.status().unwrap_or(0),
        reason = message.reason().unwrap_or_default(),
    );
}

/// One network element has asked another something outside SIP.
pub fn asked(from: &str, to: &str, what: &str) {
    tracing::trace!(target: TARGET, from, to, what);
}

/// Something has happened at an address.
pub fn note(at: std::net::IpAddr, text: &str) {
    tracing::trace!(target: TARGET, at = %at, note = text);
}
