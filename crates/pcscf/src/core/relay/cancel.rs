//! CANCEL, hop by hop.

use sip::{Draft, Flow, Instant, Message, ServerId};

use super::Way;
use crate::core::{Arrival, PCscf, Refusal};

impl PCscf {
    /// `invite` is the request that it names, if that is still held.
    //= RFC 3261 16.10
    pub(in crate::core) fn cancelled(
        &mut self,
        now: Instant,
        id: ServerId,
        invite: Option<ServerId>,
        request: &Message,
        flow: Flow,
        arrival: Option<Arrival>,
    ) {
        let reply = arrival.and_then(|arrival| self.reply_flow(flow, arrival));
        if let Some(flow) = reply {
            self.transactions.reply_over(id, flow);
        }
        let invite = match arrival {
            Some(Arrival::Unprotected) => Err(Refusal::Unprotected),
            None if !self.config.trusts(flow.remote.ip()) => Err(Refusal::UntrustedPeer),
            _ => invite
                .filter(|invite| self.may_cancel(*invite, flow, arrival))
                .ok_or(Refusal::NoSuchTransaction),
        };
        match invite {
            Err(refusal) => self.refuse(now, id, request, reply, refusal, None),
            Ok(invite) => {
                let tag = self.token();
                let response = Draft::reply(request, 200, "OK", Some(&tag)).finish();
                self.respond(now, id, reply, response);
                // What is not under way any more has its final response.
                let _ = self.proxy.cancel(now, &mut self.transactions, invite, request);
            }
        }
    }

    /// A UE takes back what it has sent itself, over whichever of its sets; a neighbour likewise.
    fn may_cancel(&self, invite: ServerId, flow: Flow, arrival: Option<Arrival>) -> bool {
        let came = self.transactions.request_flow(invite);
        let Some(Arrival::Over(set)) = arrival else {
            let is_mw =
                |came: Flow| came.local.ip() == flow.local.ip() && came.remote.ip() == flow.remote.ip();
            return came.is_some_and(is_mw);
        };
        if came.is_some_and(|came| came.remote == flow.remote) {
            return true;
        }
        let relayed = self.proxy.pending(invite).map(|relay| &relay.context);
        let owner = self.sets.get(set).map(|entry| &entry.device);
        relayed.is_some_and(|relayed| relayed.way == Way::FromUe && Some(&relayed.device) == owner)
    }
}
