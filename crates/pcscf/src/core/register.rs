//! SM1 and SM7: a REGISTER from the UE, checked and sent on to the core network.

use std::net::SocketAddr;

use aka::Impi;
use sec_agree::{Mode, SecurityClient, SecurityVerify};
use sip::header::with_integrity_protected;
use sip::routing;
use sip::{Draft, Flow, Instant, Message, Name, OptionTags, ServerId, Timers, Uri};

use super::sa_table::SetEntry;
use super::{Arrival, Asked, Device, Event, Forwarded, PCscf, Refusal, SetId, Stage, remove_tag};

/// What only the network may write; a UE's own lines go before anything is added (`spec/05` section 2 step 5).
const NETWORK_HEADERS: [Name; 6] = [
    Name::PAssertedIdentity,
    Name::PAssociatedUri,
    Name::PChargingVector,
    Name::PChargingFunctionAddresses,
    Name::PVisitedNetworkId,
    Name::PUserDatabase,
];

/// A REGISTER that has passed all checks.
struct Checked {
    device: Device,
    offer: Option<SecurityClient>,
    integrity_protected: &'static str,
    /// The set of the challenge that this REGISTER says the UE could not accept.
    failed: Option<SetId>,
}

/// What a REGISTER is to the challenge that its sender has not answered yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// There is no challenge, or this does not speak of it: a re-REGISTER repeats old material.
    None,
    Response,
    /// An empty response or AUTS: the card refused the challenge of this set.
    Failure {
        of: SetId,
        with_response: bool,
    },
}

impl PCscf {
    pub(super) fn register(
        &mut self,
        now: Instant,
        id: ServerId,
        request: Message,
        flow: Flow,
        arrival: Arrival,
    ) {
        let checked = match arrival {
            Arrival::Unprotected => self.check_unprotected(&request, flow),
            Arrival::Over(set) => self.check_protected(&request, flow, set),
        };
        let outcome = checked.and_then(|checked| {
            let (message, to) = self.toward_core(&request, &checked)?;
            Ok((checked, message, to))
        });
        let (checked, message, to) = match outcome {
            Ok(outcome) => outcome,
            Err(refusal) => return self.refuse_register(now, id, &request, flow, arrival, refusal),
        };
        match self.transactions.request(now, to, Timers::CORE, message) {
            Ok(client) => {
                let Checked { device, offer, failed, .. } = checked;
                //= TS 33.203 7.4.2a: a failure of the UE ends the temporary set at once
                failed.into_iter().for_each(|set| self.remove_set(set));
                let forwarded = Forwarded { server: id, request, flow, arrival, device, offer };
                self.asked.insert(client, Asked::Register(Box::new(forwarded)));
            }
            Err(_) => self.refuse_register(now, id, &request, flow, arrival, Refusal::Overloaded),
        }
    }

    fn refuse_register(
        &mut self,
        now: Instant,
        id: ServerId,
        request: &Message,
        flow: Flow,
        arrival: Arrival,
        refusal: Refusal,
    ) {
        //= TS 33.203 7.4.2a: what comes over the wrong set is discarded
        if refusal == Refusal::WrongSet {
            self.transactions.discard(id);
            return self.event(Event::Dropped { flow, reason: "it answers a challenge over another set" });
        }
        let reply = self.reply_flow(flow, arrival);
        self.refuse(now, id, request, reply, refusal, None);
        // A failed answer to a challenge ends the attempt (`spec/04` section 5).
        if let Arrival::Over(set) = arrival
            && self.sets.get(set).is_some_and(|entry| entry.stage == Stage::Temporary)
        {
            self.remove_set(set);
        }
    }

    /// SM1 of an initial registration.
    //= TS 33.203 7.2
    fn check_unprotected(&self, request: &Message, flow: Flow) -> Result<Checked, Refusal> {
        check_hop(request)?;
        let required = |name| OptionTags::of(request, name).contains("sec-agree");
        if ![Name::Require, Name::ProxyRequire, Name::Supported].into_iter().any(required) {
            return Err(Refusal::NoSecAgree);
        }
        let device = Device::of(request, identity(request).ok_or(Refusal::NoIdentity)?);
        let failed = match self.answer_to_challenge(request, &device) {
            Answer::None => None,
            // A stranger who has seen the challenge must not end the attempt: this goes no further. That the card
            // refused it may be said in clear where SM1 was in clear, from where it came.
            //= TS 33.203 7.1: the answer to a challenge is taken over its set only
            Answer::Failure { of, .. } if self.was_challenged_in_clear(of, flow) => Some(of),
            Answer::Response | Answer::Failure { .. } => return Err(Refusal::AnswerUnprotected),
        };
        let offer = security_client(request)?.ok_or(Refusal::NoSecurityClient)?;
        let mode = self.mode(request, flow, Arrival::Unprotected);
        self.check_offer(&device, &offer, flow, mode)?;
        Ok(Checked { device, offer: Some(offer), integrity_protected: "no", failed })
    }

    /// SM7, or a REGISTER of a registered UE.
    fn check_protected(&self, request: &Message, flow: Flow, set: SetId) -> Result<Checked, Refusal> {
        check_hop(request)?;
        let entry = self.sets.get(set).ok_or(Refusal::Overloaded)?;
        check_sender(request, flow)?;
        //= TS 33.203 7.2: the P-CSCF checks that the echo equals the list it sent
        entry.server.verify(&security_verify(request)?).map_err(Refusal::NotAsAgreed)?;
        if identity(request).ok_or(Refusal::NoIdentity)? != entry.device.impi {
            return Err(Refusal::WrongIdentity);
        }
        match entry.stage {
            Stage::Installing => Err(Refusal::Overloaded),
            Stage::Temporary => {
                let repeated = security_client(request)?.ok_or(Refusal::NoSecurityClient)?;
                entry.client.verify(&repeated).map_err(Refusal::NotAsAgreed)?;
                if self.answer_to_challenge(request, &entry.device) != Answer::Response {
                    return Err(Refusal::NoAnswer);
                }
                let device = entry.device.clone();
                //= TS 33.203 6.1.5: "yes" over the set of the challenge that is answered
                Ok(Checked { device, offer: None, integrity_protected: "yes", failed: None })
            }
            Stage::Current | Stage::Old => self.check_established(request, flow, entry),
        }
    }

    /// A REGISTER over a set that a registration has confirmed.
    fn check_established(&self, request: &Message, flow: Flow, entry: &SetEntry) -> Result<Checked, Refusal> {
        let device = entry.device.clone();
        let (failed, responds) = match self.answer_to_challenge(request, &device) {
            Answer::None => (None, false),
            Answer::Response => return Err(Refusal::WrongSet),
            Answer::Failure { of, with_response } => {
                (self.sets.get(of).filter(|temporary| !temporary.initial).map(|_| of), with_response)
            }
        };
        let offer = security_client(request)?.ok_or(Refusal::NoSecurityClient)?;
        self.check_offer(&device, &offer, flow, entry.associations.mode())?;
        //= TS 33.203 6.1.5: "yes" without a response over the set of the latest successful authentication
        let latest = entry.stage == Stage::Current && !responds;
        let integrity_protected = if latest { "yes" } else { "no" };
        Ok(Checked { device, offer: Some(offer), integrity_protected, failed })
    }

    fn was_challenged_in_clear(&self, set: SetId, flow: Flow) -> bool {
        let entry = self.sets.get(set);
        entry.is_some_and(|entry| entry.initial && entry.associations.ue_address() == flow.remote.ip())
    }

    fn answer_to_challenge(&self, request: &Message, device: &Device) -> Answer {
        let Some((of, entry)) = self.sets.attempt_of(device).and_then(|id| Some((id, self.sets.get(id)?)))
        else {
            return Answer::None;
        };
        let Some(Ok(credentials)) = request.authorization() else { return Answer::None };
        let with_response = credentials.has_response();
        match (credentials.nonce == *entry.nonce, credentials.auts.is_some()) {
            (false, _) => Answer::None,
            (true, false) if with_response => Answer::Response,
            (true, _) => Answer::Failure { of, with_response },
        }
    }

    /// Whether a set could be made of this offer (`spec/03` section 5).
    fn check_offer(
        &self,
        device: &Device,
        offer: &SecurityClient,
        flow: Flow,
        mode: Mode,
    ) -> Result<(), Refusal> {
        self.config.policy.choose_in(mode, offer).map_err(Refusal::of_offer)?;
        if mode == Mode::UdpEncTun {
            self.check_server_port(device, offer, flow)?;
        }
        let client = SocketAddr::new(flow.remote.ip(), offer.setup().port_c.get());
        //= TS 33.203 7.2: the pair of UE address and protected client port is not in use
        let taken = self.sets.find(client).filter(|set| Some(*set) != self.sets.attempt_of(device));
        if taken.is_some() {
            return Err(Refusal::PortInUse);
        }
        if !self.sets.has_room(device) {
            return Err(Refusal::TooManySets);
        }
        if self.sets.len() >= self.config.limits.sets {
            return Err(Refusal::Overloaded);
        }
        Ok(())
    }

    /// SM2 and SM8: what goes to the I-CSCF, and where that is.
    fn toward_core(&mut self, request: &Message, checked: &Checked) -> Result<(Message, Flow), Refusal> {
        let mut draft = Draft::forward(request);
        //= TS 24.229 5.2.2: entries of Route that are ours go first
        routing::consume_routes(request, &mut draft, |uri| self.own_route(uri))?;
        let home =
            Uri::parse(request.request_uri().unwrap_or_default()).map_err(|e| Refusal::Routing(e.into()))?;
        let to = self.config.entry_point(&home.host.to_string()).ok_or(Refusal::UnknownDomain)?;
        //= TS 33.203 7.2: Security-* and sec-agree stay between UE and P-CSCF
        draft.remove(Name::SecurityClient).remove(Name::SecurityVerify).remove(Name::SecurityServer);
        for name in [Name::ProxyRequire, Name::Supported] {
            remove_tag(&mut draft, request, name, "sec-agree");
        }
        for name in NETWORK_HEADERS {
            draft.remove(name);
        }
        let mut require = OptionTags::of(request, Name::Require);
        require.remove("sec-agree");
        //= RFC 3327 5.2: a registrar that does not understand Path must refuse
        require.insert("path");
        draft.set(Name::Require, require.value().unwrap_or_default());
        if let Some(authorization) = request.first(Name::Authorization) {
            //= TS 24.229 5.2.2: integrity-protected is the P-CSCF's to say
            let marked = with_integrity_protected(authorization, Some(checked.integrity_protected));
            draft.set(Name::Authorization, marked);
        }
        let outbound = if checked.device.flow.is_some() { ";ob" } else { "" };
        draft.push_front(Name::Path, format!("<{};lr{outbound}>", self.path_uri()));
        draft.push(Name::PVisitedNetworkId, sip::text::quote(&self.config.network));
        draft.push(Name::PChargingVector, self.charging_vector());
        draft.set(Name::MaxForwards, routing::max_forwards(request)?.to_string());
        Ok(self.toward_mw(&mut draft, to))
    }

    /// What the core network knows us by. The user part marks the terminating direction.
    pub(super) fn path_uri(&self) -> String {
        format!("sip:term@{}", self.config.mw)
    }
}

/// What a P-CSCF asks of every request before it looks at who sent it.
pub(super) fn check_hop(request: &Message) -> Result<(), Refusal> {
    //= RFC 3329 2.3.1: a first hop that finds another Via below answers 502
    if request.values(Name::Via).count() != 1 {
        return Err(Refusal::NotFirstHop);
    }
    routing::proxy_require(request, &["sec-agree", "path"])?;
    routing::max_forwards(request)?;
    Ok(())
}

/// The sender is the one the association was made for (`spec/03` section 5).
pub(super) fn check_sender(request: &Message, flow: Flow) -> Result<(), Refusal> {
    let via = request.top_via().map_err(|error| Refusal::Routing(error.into()))?;
    if via.host.ip().is_some_and(|address| address != flow.remote.ip()) {
        return Err(Refusal::WrongAddress);
    }
    Ok(())
}

pub(super) fn security_verify(request: &Message) -> Result<SecurityVerify, Refusal> {
    let echo = SecurityVerify::parse(request.values(Name::SecurityVerify));
    echo.ok().filter(|_| request.first(Name::SecurityVerify).is_some()).ok_or(Refusal::NoSecurityVerify)
}

fn security_client(request: &Message) -> Result<Option<SecurityClient>, Refusal> {
    if request.first(Name::SecurityClient).is_none() {
        return Ok(None);
    }
    SecurityClient::parse(request.values(Name::SecurityClient)).map(Some).map_err(Refusal::BadSecurityClient)
}

/// The private identity of a REGISTER: from Authorization, else derived from To.
//= TS 24.229 5.4.1.2.1
pub(super) fn identity(request: &Message) -> Option<Impi> {
    let username = match request.authorization() {
        Some(credentials) => credentials.ok()?.username.into_owned(),
        None => request.to().ok()?.parse_uri().ok()?.user_at_host()?,
    };
    Impi::new(&username).ok()
}
