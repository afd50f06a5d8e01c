//! From the core network to a UE.

use std::net::SocketAddr;
use std::sync::OnceLock;

use sip::proxy::{Hop, Sender};
use sip::{Draft, Flow, Instant, Message, Name, Relay, ServerId, Timers, Uri, routing};

use super::{Relayed, Way, check_tag, is_in_dialog, makes_dialog, strip_network};
use crate::core::{Device, Event, PCscf, Refusal};

impl PCscf {
    /// To a UE, or a NOTIFY of our own subscription.
    pub(in crate::core) fn core_asked(&mut self, now: Instant, id: ServerId, request: Message, flow: Flow) {
        if !self.config.trusts(flow.remote.ip()) {
            return self.refuse(now, id, &request, None, Refusal::UntrustedPeer, None);
        }
        if self.is_to_us(&request) {
            return self.notified(now, id, &request);
        }
        match self.toward_ue(now, &request) {
            Ok((hop, context)) => self.relay(now, Relay { server: id, request, context }, hop),
            Err(refusal) => self.refuse(now, id, &request, None, refusal, None),
        }
    }

    /// The ACK of a 2xx.
    pub(in crate::core) fn ack_from_core(&mut self, now: Instant, request: &Message, flow: Flow) {
        if !self.config.trusts(flow.remote.ip()) {
            return self.event(Event::Dropped { flow, reason: "an ACK of a host that is no neighbour" });
        }
        match self.toward_ue(now, request) {
            Ok((hop, _)) => self.transactions.pass(hop.flow, &hop.message),
            Err(_) => self.event(Event::Dropped { flow, reason: "an ACK that belongs to no dialog" }),
        }
    }

    /// A strict router's rewrite has our own Record-Route entry there, which has lr.
    fn is_to_us(&self, request: &Message) -> bool {
        let target = Uri::parse(request.request_uri().unwrap_or_default());
        target.is_ok_and(|uri| self.own_route(&uri) && !uri.lr())
    }

    /// The request as the UE gets it, over the set that is used for sending.
    //= TS 24.229 5.2.6.4
    fn toward_ue(&mut self, now: Instant, request: &Message) -> Result<(Hop, Relayed), Refusal> {
        let hash = self.check_request(request)?;
        let mut draft = Draft::forward(request);
        routing::consume_routes(request, &mut draft, |uri| self.own_route(uri))?;
        let routed = draft.finish();
        if routed.first(Name::Route).is_some() {
            // What lies behind us is a UE; a Route that goes on from here was not made by us.
            return Err(Refusal::NoRoute);
        }
        let target = Uri::parse(routed.request_uri().unwrap_or_default());
        let target = target.map_err(|error| Refusal::Routing(error.into()))?;
        let device = self.device_at(&target, request)?;
        let dialog = self.dialog_of(&device, request, Way::ToUe)?;
        let (_, entry) = self.sets.sending(now, &device).ok_or(Refusal::Unreachable)?;
        let (sa, server) = (entry.associations.pc_to_us, entry.associations.uc_to_ps.destination);
        strip_network(&mut draft);
        if makes_dialog(request) || self.notify_makes_dialog(dialog, request) {
            draft.push_front(Name::RecordRoute, format!("<sip:{server};lr>"));
        }
        draft.set(Name::MaxForwards, routing::max_forwards(request)?.to_string());
        check_tag(request)?;
        let made_by_ue = dialog.and_then(|id| self.dialogs.get(id)).is_some_and(|dialog| dialog.by_ue);
        let peer = self.make_private(now, request, &mut draft, made_by_ue)?;
        let branch = self.branch(hash);
        //= TS 33.203 7.1: the UE answers to our protected server port
        let sender = Sender { address: server, branch: &branch };
        let mut hop = Hop::new(&mut draft, sender, sa.destination, None, Timers::GM);
        leave_from(&mut hop, sa.source);
        let asserted = self.addressed_by(&device, request, dialog);
        let mut context = Relayed {
            way: Way::ToUe,
            device,
            reply: None,
            dialog,
            made_by_ue,
            asserted,
            peer,
            made_with: OnceLock::new(),
        };
        context.dialog = self.enter_dialog(now, request, &context);
        Ok((hop, context))
    }

    /// Who is registered with this contact: found by its address and port, so nothing is walked. Within a dialog the UE
    /// may have given another Contact at the same place, and may have been registered until a moment ago.
    fn device_at(&self, contact: &Uri<'_>, request: &Message) -> Result<Device, Refusal> {
        let ip = contact.host.ip().ok_or(Refusal::Unreachable)?;
        let server = SocketAddr::new(ip, contact.port.unwrap_or(5060));
        let devices = || self.sets.at_server(server).map(|(_, entry)| &entry.device);
        if is_in_dialog(request) {
            let owner = devices().find(|device| self.find_dialog(device, request, Way::ToUe).is_some());
            if let Some(owner) = owner {
                return Ok(owner.clone());
            }
        }
        let registered = |device: &&Device| self.registration(device).is_some_and(|one| one.is_at(contact));
        devices().find(registered).cloned().ok_or(Refusal::Unreachable)
    }
}

/// Over UDP and TCP alike from our client port.
//= TS 33.203 7.1
fn leave_from(hop: &mut Hop, local: SocketAddr) {
    hop.flow.local = local;
    if let Some(instead) = &mut hop.instead {
        leave_from(instead, local);
    }
}
