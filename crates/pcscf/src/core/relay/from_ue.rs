//! From a UE to the core network.

use std::net::SocketAddr;
use std::sync::OnceLock;

use sip::proxy::{Hop, Sender};
use sip::{Draft, Flow, Instant, Message, Name, Relay, ServerId, Timers, Transport, routing};

use super::{Relayed, Way, check_tag, makes_dialog, remove_tag, strip_ue};
use crate::core::{Arrival, Device, Event, PCscf, Refusal, SetId, Stage, register};

/// A request ready to leave.
struct Prepared {
    hop: Hop,
    context: Relayed,
}

impl PCscf {
    pub(in crate::core) fn relay_from_ue(
        &mut self,
        now: Instant,
        id: ServerId,
        request: Message,
        flow: Flow,
        set: SetId,
    ) {
        let Some(device) = self.confirmed_sender(set, flow) else { return self.transactions.discard(id) };
        let reply = self.reply_flow(flow, Arrival::Over(set));
        let prepared = self
            .check_from_ue(&request, flow, set)
            .and_then(|hash| self.toward_home(now, &request, device, hash));
        match prepared {
            Ok(Prepared { hop, context }) => {
                let context = Relayed { reply, ..context };
                self.relay(now, Relay { server: id, request, context }, hop);
            }
            Err(refusal) => self.refuse(now, id, &request, reply, refusal, None),
        }
    }

    /// The ACK of a 2xx: no transaction, nobody to refuse it to.
    //= RFC 3261 16.11
    pub(in crate::core) fn ack_from_ue(&mut self, now: Instant, request: &Message, flow: Flow, set: SetId) {
        let Some(device) = self.confirmed_sender(set, flow) else { return };
        let prepared = self
            .check_from_ue(request, flow, set)
            .and_then(|hash| self.toward_home(now, request, device, hash));
        match prepared {
            Ok(Prepared { hop, .. }) => self.transactions.pass(hop.flow, &hop.message),
            Err(_) => self.event(Event::Dropped { flow, reason: "an ACK that belongs to no dialog" }),
        }
    }

    /// Whose set it is, if a registration has confirmed it.
    fn confirmed_sender(&mut self, set: SetId, flow: Flow) -> Option<Device> {
        let entry = self.sets.get(set)?;
        //= TS 33.203 7.4.2a: nothing but the answer to the challenge is taken over a temporary set
        if entry.stage.is_attempt() {
            self.event(Event::Dropped { flow, reason: "it came over a set that is not confirmed" });
            return None;
        }
        Some(entry.device.clone())
    }

    fn check_from_ue(&self, request: &Message, flow: Flow, set: SetId) -> Result<u64, Refusal> {
        let hash = self.check_request(request)?;
        //= RFC 3329 2.3.1: a first hop that finds another Via below answers 502
        if request.values(Name::Via).count() != 1 {
            return Err(Refusal::NotFirstHop);
        }
        let entry = self.sets.get(set).ok_or(Refusal::NotRegistered)?;
        register::check_sender(request, flow)?;
        //= RFC 3329 2.6: ACK and CANCEL do not repeat the list of the server
        if request.method() == sip::Method::Ack {
            return Ok(hash);
        }
        //= RFC 3329 2.3.1: every request over the association repeats the list of the server
        let echo = register::security_verify(request)?;
        // A request may leave the UE while its set changes: the list of the current set is as good as its own.
        let current = self.sets.kept(&entry.device, Stage::Current).map(|(_, current)| &current.server);
        if current.is_some_and(|current| current.verify(&echo).is_ok()) {
            return Ok(hash);
        }
        entry.server.verify(&echo).map_err(Refusal::NotAsAgreed)?;
        Ok(hash)
    }

    /// The request as it goes on: by the Service-Route where it begins something, by the route of its dialog else.
    //= TS 24.229 5.2.6.3
    fn toward_home(
        &mut self,
        now: Instant,
        request: &Message,
        device: Device,
        hash: u64,
    ) -> Result<Prepared, Refusal> {
        trust::Privacy::of(request)?;
        let registration = self.registration(&device).ok_or(Refusal::NotRegistered)?;
        let service_route = registration.service_route.clone();
        let mut draft = Draft::forward(request);
        routing::consume_routes(request, &mut draft, |uri| self.own_route(uri))?;
        let dialog = self.dialog_of(&device, request, Way::FromUe)?;
        let known = dialog.and_then(|id| self.dialogs.get(id));
        let made_by_ue = known.is_none_or(|dialog| dialog.by_ue);
        //= TS 24.229 5.2.6.3: a Route that is not the stored one is replaced
        let route = known.map_or(service_route, |dialog| dialog.route.clone());
        draft.replace_values(Name::Route, route.into_iter().map(String::from));
        for name in [Name::Require, Name::ProxyRequire, Name::Supported] {
            remove_tag(&mut draft, request, name, "sec-agree");
        }
        strip_ue(&mut draft);
        for name in [Name::RecordRoute, Name::Path, Name::ServiceRoute] {
            draft.remove(name);
        }
        self.give_back_name(now, request, &mut draft, made_by_ue);
        let asserted = self.asserted_by_request(&device, request, dialog)?;
        if request.method() != sip::Method::Ack {
            draft.replace_values(Name::PAssertedIdentity, asserted.iter().map(|one| format!("<{one}>")));
            draft.push(Name::PChargingVector, self.charging_vector());
        }
        if makes_dialog(request) || self.notify_makes_dialog(dialog, request) {
            draft.push_front(Name::RecordRoute, self.mw_route());
        }
        draft.set(Name::MaxForwards, routing::max_forwards(request)?.to_string());
        check_tag(request)?;
        let hop = self.mw_branch(&mut draft, hash)?;
        let mut context = Relayed {
            way: Way::FromUe,
            device,
            reply: None,
            dialog,
            made_by_ue,
            asserted,
            peer: None,
            made_with: OnceLock::new(),
        };
        context.dialog = self.enter_dialog(now, request, &context);
        Ok(Prepared { hop, context })
    }

    /// The request with our Via, on the way that its Route or Request-URI names.
    fn mw_branch(&mut self, draft: &mut Draft<'_>, hash: u64) -> Result<Hop, Refusal> {
        let routed = draft.finish();
        let (to, named) = self.mw_next_hop(&routed)?;
        let branch = self.branch(hash);
        let sender = Sender { address: self.config.mw, branch: &branch };
        Ok(match routing::strict_next_hop(&routed)? {
            Some(strict) => Hop::new(&mut Draft::forward(&strict), sender, to, named, Timers::CORE),
            None => Hop::new(draft, sender, to, named, Timers::CORE),
        })
    }

    fn mw_next_hop(&self, request: &Message) -> Result<(SocketAddr, Option<Transport>), Refusal> {
        let named = routing::next_hop(request)?.transport;
        // No neighbour is reached over TLS from here.
        Ok((self.mw_hop(request)?, named.filter(|transport| *transport != Transport::Tls)))
    }

    /// Our Record-Route entry as this UE sees it: with the protected server port of its set.
    //= TS 24.229 5.2.6.3
    pub(super) fn gm_route(&self, device: &Device) -> Option<String> {
        let (_, entry) = self.sets.of(device).find(|(_, entry)| !entry.stage.is_attempt())?;
        Some(format!("<sip:{};lr>", entry.associations.uc_to_ps.destination))
    }
}
