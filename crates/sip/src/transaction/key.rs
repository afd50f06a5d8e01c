//! What names a transaction on the wire (RFC 3261 17.1.3, 17.2.3).

use crate::header::{Host, Via};
use crate::{Flow, Message, Method};
use std::fmt::Write;

const MAGIC_COOKIE: &str = crate::header::MAGIC_COOKIE;

/// Key of a client transaction; of a request that leaves or a response that arrived. The sent-by is part of it: a
/// response with a foreign top Via matches nothing.
pub(crate) fn client(via: &Via<'_>, method: Method<'_>) -> Option<Box<str>> {
    let mut key = String::with_capacity(96);
    let _ = write!(key, "{}\n{method}\n", via.branch()?);
    sent_by(&mut key, via);
    Some(key.into())
}

/// Key of a server transaction. The source address is part of it: another host cannot reach a transaction by
/// guessing its branch. An ACK has the key of its INVITE.
pub(crate) fn server(flow: &Flow, request: &Message, method: Method<'_>) -> Option<Box<str>> {
    let via = request.top_via().ok()?;
    let method = if method == Method::Ack { Method::Invite } else { method };
    let mut key = String::with_capacity(128);
    match via.branch() {
        Some(branch) if is_unique(branch) => {
            let _ = write!(key, "{branch}\n{method}\n");
            sent_by(&mut key, &via);
        }
        // RFC 2543: no unique branch. To is left out because an ACK carries the tag of the response.
        _ => {
            let cseq = request.cseq().ok()?;
            let from = request.from().ok()?.tag().unwrap_or_default();
            let uri = request.request_uri().unwrap_or_default();
            let via = request.values(crate::Name::Via).next().unwrap_or_default();
            let _ = write!(key, "\n{uri}\n{from}\n{}\n{}\n{method}\n{via}", request.call_id(), cseq.number);
        }
    }
    let _ = write!(key, "\n{}", flow.remote.ip());
    Some(key.into())
}

fn is_unique(branch: &str) -> bool {
    let cookie = branch.get(..MAGIC_COOKIE.len());
    cookie.is_some_and(|cookie| cookie.eq_ignore_ascii_case(MAGIC_COOKIE))
        && branch.len() > MAGIC_COOKIE.len()
}

fn sent_by(key: &mut String, via: &Via<'_>) {
    match via.host {
        Host::Name(name) => key.push_str(&name.to_ascii_lowercase()),
        host => {
            let _ = write!(key, "{host}");
        }
    }
    if let Some(port) = via.port {
        let _ = write!(key, ":{port}");
    }
}
