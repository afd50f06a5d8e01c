//! SM1 and SM7: a REGISTER from the UE, checked and sent on to the core network.

use std::net::SocketAddr;

use aka::Impi;
use rand_chacha::rand_core::Rng;
use sec_agree::{SecurityClient, SecurityVerify};
use sip::header::with_integrity_protected;
use sip::routing::{self, branch};
use sip::{Draft, Flow, Instant, Message, Name, OptionTags, ServerId, Timers, Transport, Uri};

use super::{Arrival, Forwarded, PCscf, Refusal, SetId, Stage, remove_tag};

/// A request over this must not leave by UDP.
//= RFC 3261 18.1.1
const UDP_LIMIT: usize = 1300;

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
    impi: Impi,
    offer: Option<SecurityClient>,
    integrity_protected: &'static str,
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
                let Checked { impi, offer, .. } = checked;
                self.forwarded.insert(client, Forwarded { server: id, request, flow, arrival, impi, offer });
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
        let impi = identity(request).ok_or(Refusal::NoIdentity)?;
        let offer = security_client(request)?.ok_or(Refusal::NoSecurityClient)?;
        self.check_offer(&impi, &offer, flow)?;
        Ok(Checked { impi, offer: Some(offer), integrity_protected: "no" })
    }

    /// SM7, or a REGISTER of a registered UE.
    fn check_protected(&self, request: &Message, flow: Flow, set: SetId) -> Result<Checked, Refusal> {
        check_hop(request)?;
        let entry = self.sets.get(set).ok_or(Refusal::Overloaded)?;
        // `spec/03` section 5: the sender is the one the association was made for.
        let via = request.top_via().map_err(|error| Refusal::Routing(error.into()))?;
        if via.host.ip().is_some_and(|address| address != flow.remote.ip()) {
            return Err(Refusal::WrongAddress);
        }
        //= TS 33.203 7.2: the P-CSCF checks that the echo equals the list it sent
        let echo = SecurityVerify::parse(request.values(Name::SecurityVerify));
        let echo = echo.ok().filter(|_| request.first(Name::SecurityVerify).is_some());
        entry.server.verify(&echo.ok_or(Refusal::NoSecurityVerify)?).map_err(Refusal::NotAsAgreed)?;
        let impi = identity(request).ok_or(Refusal::NoIdentity)?;
        if impi != entry.impi {
            return Err(Refusal::WrongIdentity);
        }
        let offer = security_client(request)?;
        let answers = request.authorization().is_some_and(|auth| auth.is_ok_and(|auth| auth.has_response()));
        match entry.stage {
            Stage::Installing => Err(Refusal::Overloaded),
            Stage::Temporary => {
                let repeated = offer.ok_or(Refusal::NoSecurityClient)?;
                entry.client.verify(&repeated).map_err(Refusal::NotAsAgreed)?;
                if !answers {
                    return Err(Refusal::NoAnswer);
                }
                Ok(Checked { impi, offer: None, integrity_protected: "yes" })
            }
            Stage::Current | Stage::Old => {
                let offer = offer.ok_or(Refusal::NoSecurityClient)?;
                self.check_offer(&impi, &offer, flow)?;
                //= TS 33.203 6.1.5: "yes" only over the set of the latest successful authentication
                let latest = entry.stage == Stage::Current;
                Ok(Checked {
                    impi,
                    offer: Some(offer),
                    integrity_protected: if latest { "yes" } else { "no" },
                })
            }
        }
    }

    /// Whether a set could be made of this offer (`spec/03` section 5).
    fn check_offer(&self, impi: &Impi, offer: &SecurityClient, flow: Flow) -> Result<(), Refusal> {
        self.config.policy.choose(offer).map_err(Refusal::BadSecurityClient)?;
        let client = SocketAddr::new(flow.remote.ip(), offer.setup().port_c.get());
        //= TS 33.203 7.2: the pair of UE address and protected client port is not in use
        let taken = self.sets.find(client).filter(|set| Some(*set) != self.sets.attempt_of(impi));
        if taken.is_some() {
            return Err(Refusal::PortInUse);
        }
        if !self.sets.has_room(impi) {
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
        // The user part marks the terminating direction.
        draft.push_front(Name::Path, format!("<sip:term@{};lr>", self.config.mw));
        draft.push(Name::PVisitedNetworkId, sip::text::quote(&self.config.network));
        let icid = self.token();
        draft.push(
            Name::PChargingVector,
            format!("icid-value={icid};orig-ioi={}", sip::text::quote(&self.config.network)),
        );
        draft.set(Name::MaxForwards, routing::max_forwards(request)?.to_string());
        let branch = branch(self.rng.next_u64(), self.rng.next_u64());
        Ok(self.with_via(&mut draft, &branch, to))
    }

    /// Puts our Via on top, for UDP or, where the request is too large for it, TCP.
    fn with_via(&self, draft: &mut Draft<'_>, branch: &str, to: SocketAddr) -> (Message, Flow) {
        let mw = self.config.mw;
        let via = |transport: Transport| format!("SIP/2.0/{} {mw};branch={branch}", transport.as_str());
        draft.push_front(Name::Via, via(Transport::Udp));
        let message = draft.finish();
        if message.bytes().len() <= UDP_LIMIT {
            return (message, Flow::udp(mw, to));
        }
        draft.remove_first_value(Name::Via).push_front(Name::Via, via(Transport::Tcp));
        (draft.finish(), Flow::tcp(SocketAddr::new(mw.ip(), 0), to))
    }
}

/// What a P-CSCF asks of every REGISTER before it looks at who sent it.
fn check_hop(request: &Message) -> Result<(), Refusal> {
    //= RFC 3329 2.3.1: a first hop that finds another Via below answers 502
    if request.values(Name::Via).count() != 1 {
        return Err(Refusal::NotFirstHop);
    }
    routing::proxy_require(request, &["sec-agree", "path"])?;
    routing::max_forwards(request)?;
    Ok(())
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
