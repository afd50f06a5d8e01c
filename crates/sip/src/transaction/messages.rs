//! Where answers go, and the messages that the transaction layer writes by itself.

use crate::header::stamp;
use crate::{Draft, Flow, Message, Method, Name};
use std::net::SocketAddr;

pub(super) fn stamped(message: Message, flow: &Flow) -> Message {
    let Some(via) = message.top_via().ok().and_then(|via| stamp(&via, flow.remote)) else { return message };
    Draft::forward(&message).remove_first_value(Name::Via).push_front(Name::Via, via).finish()
}

/// Streams: the connection of the request. UDP: the packet's source address with the port of rport, or of sent-by.
/// A maddr parameter is not followed: it would let anyone aim our answers at a third party.
pub fn reply_flow(flow: &Flow, request: &Message) -> Flow {
    if flow.transport.is_reliable() {
        return *flow;
    }
    //= RFC 3581 4
    let port = match request.top_via() {
        Ok(via) if via.rport().is_none() => via.port.unwrap_or(5060),
        _ => flow.remote.port(),
    };
    Flow { remote: SocketAddr::new(flow.remote.ip(), port), ..*flow }
}

/// The ACK of a non-2xx final: hop by hop, in the transaction of the INVITE.
//= RFC 3261 17.1.1.3
pub(super) fn ack(invite: &Message, response: &Message) -> Message {
    let mut draft = Draft::request(Method::Ack, invite.request_uri().unwrap_or_default());
    draft.push(Name::Via, invite.values(Name::Via).next().unwrap_or_default());
    for route in invite.lines(Name::Route) {
        draft.push(Name::Route, route);
    }
    draft.push(Name::MaxForwards, "70");
    draft.push(Name::From, invite.first(Name::From).unwrap_or_default());
    draft.push(Name::To, response.first(Name::To).unwrap_or_default());
    draft.push(Name::CallId, invite.call_id());
    draft.push(Name::CSeq, format!("{} ACK", invite.cseq().map_or(0, |cseq| cseq.number)));
    draft.finish()
}
