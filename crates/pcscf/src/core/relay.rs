//! Requests other than REGISTER, between a UE over its security associations and the core network.

use std::net::SocketAddr;

use sip::{ClientId, Draft, Flow, Instant, Message, Method, Name, ServerId, Timers, Uri, routing};

use super::{Arrival, Asked, Device, Event, PCscf, Refusal, SetId, Stage, register, remove_tag};

/// A request on its way, and where its answer goes.
#[derive(Debug)]
pub(super) struct Relayed {
    server: ServerId,
    request: Message,
    /// Where answers leave; `None`: as the Via says.
    reply: Option<Flow>,
    /// The UE that was asked; `None` where the core network was.
    asked: Option<Device>,
}

/// What only the network may write, and what UE and P-CSCF say to each other only.
const GM_ONLY: [Name; 9] = [
    Name::SecurityClient,
    Name::SecurityServer,
    Name::SecurityVerify,
    Name::PPreferredIdentity,
    Name::PAssertedIdentity,
    Name::PAssociatedUri,
    Name::PChargingVector,
    Name::PChargingFunctionAddresses,
    Name::PVisitedNetworkId,
];

/// What concerns only the network.
const MW_ONLY: [Name; 4] =
    [Name::PChargingVector, Name::PChargingFunctionAddresses, Name::SecurityServer, Name::PVisitedNetworkId];

impl PCscf {
    /// From a UE, over this set.
    pub(super) fn relay_from_ue(
        &mut self,
        now: Instant,
        id: ServerId,
        request: Message,
        flow: Flow,
        set: SetId,
    ) {
        let arrival = Arrival::Over(set);
        let Some(entry) = self.sets.get(set) else { return self.transactions.discard(id) };
        //= TS 33.203 7.4.2a: nothing but the answer to the challenge is taken over a temporary set
        if entry.stage.is_attempt() {
            self.transactions.discard(id);
            return self.event(Event::Dropped { flow, reason: "it came over a set that is not confirmed" });
        }
        let device = entry.device.clone();
        let reply = self.reply_flow(flow, arrival);
        let prepared =
            self.check_from_ue(&request, flow, set).and_then(|()| self.toward_home(&request, &device));
        let (message, to) = match prepared {
            Ok(prepared) => prepared,
            Err(refusal) => return self.refuse(now, id, &request, reply, refusal, None),
        };
        let relayed = Relayed { server: id, request, reply, asked: None };
        self.relay(now, relayed, to, Timers::CORE, message);
    }

    fn check_from_ue(&self, request: &Message, flow: Flow, set: SetId) -> Result<(), Refusal> {
        is_served(request)?;
        register::check_hop(request)?;
        let entry = self.sets.get(set).ok_or(Refusal::NotRegistered)?;
        register::check_sender(request, flow)?;
        //= RFC 3329 2.3.1: every request over the association repeats the list of the server
        let echo = register::security_verify(request)?;
        // A request may leave the UE while its set changes: the list of the current set is as good as its own.
        let current = self.sets.kept(&entry.device, Stage::Current).map(|(_, current)| &current.server);
        if current.is_some_and(|current| current.verify(&echo).is_ok()) {
            return Ok(());
        }
        entry.server.verify(&echo).map_err(Refusal::NotAsAgreed)
    }

    /// The request as it goes on: by the Service-Route where it begins something, by its own Route within a dialog.
    //= TS 24.229 5.2.6.3
    fn toward_home(&mut self, request: &Message, device: &Device) -> Result<(Message, Flow), Refusal> {
        let registration = self.registration(device).ok_or(Refusal::NotRegistered)?;
        let mut draft = Draft::forward(request);
        routing::consume_routes(request, &mut draft, |uri| self.own_route(uri))?;
        let in_dialog = request.to().is_ok_and(|to| to.tag().is_some());
        if !in_dialog {
            draft.remove(Name::Route);
            for route in &registration.service_route {
                draft.push(Name::Route, route.to_string());
            }
        }
        for name in [Name::Require, Name::ProxyRequire, Name::Supported] {
            remove_tag(&mut draft, request, name, "sec-agree");
        }
        for name in GM_ONLY {
            draft.remove(name);
        }
        //= RFC 3325 5: asserted is what this set's user has registered, whatever the request says
        let preferred = request.address(Name::PPreferredIdentity).ok();
        let asserted = registration.asserted(preferred.as_ref().map(|identity| identity.uri));
        if let Some(identity) = asserted {
            draft.push(Name::PAssertedIdentity, format!("<{identity}>"));
        }
        let gm = self.gm_route(request)?;
        if makes_dialog(request) {
            draft.push_front(Name::RecordRoute, gm);
            draft.push_front(Name::RecordRoute, format!("<sip:{};lr>", self.config.mw));
        }
        draft.push(Name::PChargingVector, self.charging_vector());
        draft.set(Name::MaxForwards, routing::max_forwards(request)?.to_string());
        let to = self.mw_hop(&draft.finish())?;
        Ok(self.toward_mw(&mut draft, to))
    }

    /// Our Record-Route entry as the UE sees it: with the protected server port of the UE's family.
    fn gm_route(&self, request: &Message) -> Result<String, Refusal> {
        let via = request.top_via().map_err(|error| Refusal::Routing(error.into()))?;
        let is_v4 = via.host.ip().is_none_or(|address| address.is_ipv4());
        let gm = self.config.gm.iter().find(|gm| gm.clear.is_ipv4() == is_v4).ok_or(Refusal::NoRoute)?;
        Ok(format!("<sip:{};lr>", SocketAddr::new(gm.clear.ip(), gm.server_port.get())))
    }

    /// From the core network: to a UE, or a NOTIFY of our own subscription.
    pub(super) fn core_asked(&mut self, now: Instant, id: ServerId, request: Message, flow: Flow) {
        if !self.config.trusts(flow.remote.ip()) {
            return self.refuse(now, id, &request, None, Refusal::UntrustedPeer, None);
        }
        if self.is_to_us(&request) {
            return self.notified(now, id, &request);
        }
        let prepared = self.toward_ue(now, &request);
        let (device, message, to) = match prepared {
            Ok(prepared) => prepared,
            Err(refusal) => return self.refuse(now, id, &request, None, refusal, None),
        };
        let relayed = Relayed { server: id, request, reply: None, asked: Some(device) };
        self.relay(now, relayed, to, Timers::GM, message);
    }

    fn is_to_us(&self, request: &Message) -> bool {
        let target = Uri::parse(request.request_uri().unwrap_or_default());
        target.is_ok_and(|uri| self.own_route(&uri))
    }

    /// The request as the registered contact gets it, over the set that is used for sending.
    //= TS 24.229 5.2.6.4
    fn toward_ue(&mut self, now: Instant, request: &Message) -> Result<(Device, Message, Flow), Refusal> {
        is_served(request)?;
        let mut draft = Draft::forward(request);
        routing::consume_routes(request, &mut draft, |uri| self.own_route(uri))?;
        if draft.finish().first(Name::Route).is_some() {
            // What lies behind us is a UE; a Route that goes on from here was not made by us.
            return Err(Refusal::NoRoute);
        }
        let target = Uri::parse(request.request_uri().unwrap_or_default());
        let target = target.map_err(|error| Refusal::Routing(error.into()))?;
        let device = self.device_at(&target).ok_or(Refusal::NotRegistered)?;
        let (_, entry) = self.sets.sending(now, &device).ok_or(Refusal::Unreachable)?;
        let sa = entry.associations.pc_to_us;
        let server = entry.associations.uc_to_ps.destination;
        for name in MW_ONLY {
            draft.remove(name);
        }
        if makes_dialog(request) {
            draft.push_front(Name::RecordRoute, format!("<sip:{};lr>", self.config.mw));
            draft.push_front(Name::RecordRoute, format!("<sip:{server};lr>"));
        }
        draft.set(Name::MaxForwards, routing::max_forwards(request)?.to_string());
        //= TS 33.203 7.1: the UE answers to our protected server port
        let (message, transport) = self.with_via(&mut draft, server);
        let (local, remote) = (sa.source, sa.destination);
        Ok((device, message, Flow { transport, local, remote, connection: None }))
    }

    /// Who is, or was until a moment ago, registered with this contact: found by its address and port, so nothing is walked.
    fn device_at(&self, contact: &Uri<'_>) -> Option<Device> {
        let server = SocketAddr::new(contact.host.ip()?, contact.port.unwrap_or(5060));
        let mut devices = self.sets.at_server(server).map(|(_, entry)| &entry.device);
        let registered =
            |device: &&Device| self.registrations.get(device).is_some_and(|one| one.is_at(contact));
        devices.find(registered).cloned()
    }

    fn relay(&mut self, now: Instant, relayed: Relayed, to: Flow, timers: Timers, message: Message) {
        match self.transactions.request(now, to, timers, message) {
            Ok(client) => {
                self.asked.insert(client, Asked::Relayed(Box::new(relayed)));
            }
            Err(_) => {
                let Relayed { server, request, reply, .. } = relayed;
                self.refuse(now, server, &request, reply, Refusal::Overloaded, None);
            }
        }
    }

    /// A UE answers a request that went to it.
    pub(super) fn ue_answered(
        &mut self,
        now: Instant,
        id: ClientId,
        response: Message,
        flow: Flow,
        arrival: Arrival,
    ) {
        let Arrival::Over(set) = arrival else { return };
        self.heard_over(now, arrival);
        if response.status().is_none_or(|status| status < 200) {
            return;
        }
        let owner = self.sets.get(set).map(|entry| &entry.device);
        // Its transaction is over either way.
        let Some(Asked::Relayed(relayed)) = self.asked.remove(&id) else { return };
        if relayed.asked.as_ref() != owner {
            //= TS 33.203 7.4.2a
            return self.event(Event::Dropped { flow, reason: "it answers what another UE was asked" });
        }
        let mut draft = Draft::forward(&response);
        draft.remove_first_value(Name::Via);
        for name in GM_ONLY {
            draft.remove(name);
        }
        self.respond(now, relayed.server, relayed.reply, draft.finish());
    }

    /// The core network answers a request of a UE.
    pub(super) fn relay_answered(&mut self, now: Instant, relayed: &Relayed, response: &Message) {
        if relayed.asked.is_none() {
            self.pass_on(now, relayed.server, relayed.reply, response);
        }
    }

    /// Nobody answered, or the request could not leave.
    pub(super) fn relay_failed(&mut self, now: Instant, relayed: &Relayed) {
        let refusal = if relayed.asked.is_some() { Refusal::UeSilent } else { Refusal::CoreSilent };
        self.refuse(now, relayed.server, &relayed.request, relayed.reply, refusal, None);
    }
}

/// Requests within INVITE dialogs come with the issue on requests between users.
fn is_served(request: &Message) -> Result<(), Refusal> {
    match request.method() {
        Method::Subscribe | Method::Notify | Method::Publish | Method::Message | Method::Options => Ok(()),
        _ => Err(Refusal::MethodNotServed),
    }
}

fn makes_dialog(request: &Message) -> bool {
    request.method() == Method::Subscribe && request.to().is_ok_and(|to| to.tag().is_none())
}
