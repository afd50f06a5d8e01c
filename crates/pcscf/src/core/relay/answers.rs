//! What comes back for a request that was relayed.

use sip::header::strip_keys;
use sip::proxy::{Cause, upstream};
use sip::{ClientId, Draft, Flow, Instant, Message, Name, Relay};

use super::{Relayed, Way, makes_dialog, strip_network, strip_ue};
use crate::core::{Arrival, Event, PCscf};

impl PCscf {
    /// A UE answers a request that went to it.
    pub(in crate::core) fn ue_answered(
        &mut self,
        now: Instant,
        id: ClientId,
        response: &Message,
        flow: Flow,
        arrival: Arrival,
    ) {
        let Arrival::Over(set) = arrival else { return };
        self.heard_over(now, arrival);
        let Some(status) = response.status() else { return };
        let owner = self.sets.get(set).map(|entry| &entry.device);
        if self.proxy.context(id).is_some_and(|relayed| Some(&relayed.device) != owner) {
            //= TS 33.203 7.4.2a
            self.event(Event::Dropped { flow, reason: "it answers what another UE was asked" });
            // Its transaction is over with a final response, whoever sends it.
            return if status >= 200 {
                self.proxy_failed(now, id, Cause::Unreachable)
            };
        }
        if let Some(relay) = self.proxy.answered(now, &mut self.transactions, id, status) {
            self.follow_dialog(now, &relay, status, Some(response));
            self.privacy_answered(&relay, response);
            let response = self.back_to_core(&relay, status, response);
            self.respond(now, relay.server, relay.context.reply, response);
        }
    }

    /// The core network answers a request of a UE.
    pub(in crate::core) fn relay_answered(&mut self, now: Instant, id: ClientId, response: &Message) {
        let Some(status) = response.status() else { return };
        if self.proxy.context(id).is_none_or(|relayed| relayed.way != Way::FromUe) {
            return;
        }
        if let Some(relay) = self.proxy.answered(now, &mut self.transactions, id, status) {
            self.follow_dialog(now, &relay, status, Some(response));
            let passed_on = self.back_to_ue(now, &relay, status, response);
            self.privacy_answered(&relay, response);
            let response = passed_on;
            self.respond(now, relay.server, relay.context.reply, response);
        }
    }

    /// The answer of a UE: whoever asked gets his own Via and Record-Route back, whatever the UE has made of them.
    //= TS 24.229 5.2.6.4
    fn back_to_core(&self, relay: &Relay<Relayed>, status: u16, response: &Message) -> Message {
        let request = &relay.request;
        let mut draft = Draft::forward(response);
        draft.replace_values(Name::Via, request.lines(Name::Via));
        draft.remove(Name::RecordRoute);
        if makes_dialog(request) && (101..300).contains(&status) {
            draft.push(Name::RecordRoute, self.mw_route());
            for route in request.lines(Name::RecordRoute) {
                draft.push(Name::RecordRoute, route);
            }
        }
        strip_ue(&mut draft);
        let asserted = self.asserted_by_answer(relay, response);
        for identity in asserted {
            draft.push(Name::PAssertedIdentity, format!("<{identity}>"));
        }
        trust::answer_as_asked(request, &mut draft);
        draft.finish()
    }

    /// The answer of the core network as the UE gets it.
    //= TS 24.229 5.2.6.3
    fn back_to_ue(
        &mut self,
        now: Instant,
        relay: &Relay<Relayed>,
        status: u16,
        response: &Message,
    ) -> Message {
        let request = &relay.request;
        if let Some((status, reason)) = upstream(status) {
            let tag = response.to().ok().and_then(|to| to.tag());
            return Draft::reply(request, status, reason, tag).finish();
        }
        let mut draft = Draft::forward(response);
        draft.replace_values(Name::Via, request.lines(Name::Via));
        let recorded = response.values(Name::RecordRoute).map(str::to_owned).collect::<Vec<_>>();
        draft.remove(Name::RecordRoute);
        if makes_dialog(request) && (101..300).contains(&status) {
            for route in self.recorded_for_ue(relay, recorded) {
                draft.push(Name::RecordRoute, route);
            }
        }
        strip_network(&mut draft);
        // No challenge of ours passes here; ik and ck never do.
        let lines = response.lines(Name::WwwAuthenticate).map(|line| strip_keys(line).0);
        draft.replace_values(Name::WwwAuthenticate, lines);
        if let Some(wanted) = self.make_answer_private(now, relay, response, &mut draft) {
            self.remember_answerer(relay, response, &wanted);
        }
        trust::answer_as_asked(request, &mut draft);
        draft.finish()
    }

    /// Our own entry is the one nearest to the UE, at the end.
    fn recorded_for_ue(&self, relay: &Relay<Relayed>, mut recorded: Vec<String>) -> Vec<String> {
        let gm = self.gm_route(&relay.context.device);
        if let (Some(last), Some(gm)) = (recorded.last_mut(), gm)
            && self.is_own(last)
        {
            *last = gm;
        }
        recorded
    }
}
