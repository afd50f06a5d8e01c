//! Requests other than REGISTER, between a UE over its security associations and the core network.
//!
//! Follow one INVITE: `from_ue.rs` takes it from the caller, `answers.rs` brings back what the core network says,
//! `to_ue.rs` takes it to the called UE; `dialog.rs` remembers what it has made, `identity.rs` says who sends it.

mod answers;
mod cancel;
mod dialog;
mod from_ue;
mod identity;
mod privacy;
mod to_ue;

use std::sync::OnceLock;

use rand_chacha::rand_core::Rng;
use sip::proxy::{Cause, Failure, Full};
use sip::{ClientId, Draft, Flow, Host, Instant, Message, Method, Name, Relay, routing};

pub(super) use self::privacy::PrivacyMemories;
use super::dialogs::{DialogId, PeerPrivacy};
use super::{Device, PCscf, Refusal, remove_tag};

/// Option tags of Proxy-Require that a P-CSCF understands.
const UNDERSTOOD: [&str; 3] = ["sec-agree", "path", "privacy"];

/// What UE and P-CSCF say to each other only, and what nobody but the network may write.
const NOT_OF_A_UE: [Name; 15] = [
    Name::SecurityClient,
    Name::SecurityServer,
    Name::SecurityVerify,
    Name::PPreferredIdentity,
    Name::PAssertedIdentity,
    Name::PAssociatedUri,
    Name::PCalledPartyId,
    Name::PChargingVector,
    Name::PChargingFunctionAddresses,
    Name::PVisitedNetworkId,
    Name::PUserDatabase,
    Name::PServedUser,
    Name::PProfileKey,
    Name::PAssertedService,
    Name::PPrivateNetworkIndication,
];

/// What concerns only the network. P-Called-Party-ID is for the UE.
const NOT_FOR_A_UE: [Name; 12] = [
    Name::SecurityClient,
    Name::SecurityServer,
    Name::SecurityVerify,
    Name::PPreferredIdentity,
    Name::PAccessNetworkInfo,
    Name::PChargingVector,
    Name::PChargingFunctionAddresses,
    Name::PVisitedNetworkId,
    Name::PUserDatabase,
    Name::PServedUser,
    Name::PProfileKey,
    Name::PPrivateNetworkIndication,
];

/// Who has sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    FromUe,
    ToUe,
}

/// What is to be known of a request when its answer comes.
#[derive(Debug)]
pub(super) struct Relayed {
    way: Way,
    /// The UE that has sent it, or that it went to.
    device: Device,
    /// Where answers leave; `None`: as the Via says.
    reply: Option<Flow>,
    /// What it has come in, or has begun.
    dialog: Option<DialogId>,
    /// Who has made the dialog that it is in, or makes.
    made_by_ue: bool,
    /// What the UE asserts: in the request, or in its answers where they prefer nothing else.
    asserted: Vec<Box<str>>,
    /// What the sender of a request to the UE wants hidden.
    peer: Option<PeerPrivacy>,
    /// The tag of the end whose 2xx has made a dialog.
    made_with: OnceLock<Box<str>>,
}

impl Relayed {
    fn by_ue(&self) -> bool {
        self.way == Way::FromUe
    }
}

impl PCscf {
    fn relay(&mut self, now: Instant, relay: Relay<Relayed>, hop: sip::Hop) {
        if let Err(Full(relay)) = self.proxy.forward(now, &mut self.transactions, relay, hop) {
            self.relay_refused(now, &relay, Refusal::Overloaded);
        }
    }

    pub(super) fn proxy_failed(&mut self, now: Instant, id: ClientId, cause: Cause) {
        if let Some(failure) = self.proxy.failed(now, &mut self.transactions, id, cause) {
            self.relay_failed(now, &failure);
        }
    }

    /// Nobody answered, or the request could not leave.
    pub(super) fn relay_failed(&mut self, now: Instant, failure: &Failure<Relayed>) {
        let Failure { relay, cause, .. } = failure;
        let is_invite = relay.request.method() == Method::Invite;
        let refusal = match (relay.context.way, cause) {
            (_, Cause::Cancelled) => Refusal::Cancelled,
            (Way::ToUe, Cause::Silent) => Refusal::UeSilent,
            (Way::ToUe, Cause::Unreachable) => Refusal::Unreachable,
            //= RFC 3261 16.8, RFC 4320 4.2: 408 to INVITE only
            (Way::FromUe, Cause::Silent) if is_invite => Refusal::NoAnswerToInvite,
            (Way::FromUe, Cause::Silent) => Refusal::CoreSilent,
            (Way::FromUe, Cause::Unreachable) => Refusal::CoreUnreachable,
        };
        self.relay_refused(now, relay, refusal);
    }

    fn relay_refused(&mut self, now: Instant, relay: &Relay<Relayed>, refusal: Refusal) {
        let Relay { server, request, context } = relay;
        let (status, reason) = refusal.status();
        self.follow_dialog(now, relay, status, None);
        self.privacy_answered(relay, &Draft::reply(request, status, reason, None).finish());
        self.refuse(now, *server, request, context.reply, refusal, None);
    }

    /// What is asked of every request before it is looked at who sent it. Answers its loop hash.
    //= RFC 3261 16.3
    fn check_request(&self, request: &Message) -> Result<u64, Refusal> {
        routing::request_uri(request)?;
        routing::max_forwards(request)?;
        let hash = routing::loop_hash(request, self.loop_key);
        routing::check_loop(request, hash, |host, port| self.is_own_via(host, port))?;
        routing::proxy_require(request, &UNDERSTOOD)?;
        Ok(hash)
    }

    fn is_own_via(&self, host: Host<'_>, port: Option<u16>) -> bool {
        let port = port.unwrap_or(5060);
        let is_mw = host.ip() == Some(self.config.mw.ip()) && port == self.config.mw.port();
        let is_gm = host.ip().and_then(|ip| self.config.gm_address(ip)).is_some_and(|gm| gm.owns(port));
        is_mw || is_gm
    }

    /// A branch in which the request is known again.
    fn branch(&mut self, loop_hash: u64) -> String {
        routing::branch(self.rng.next_u64(), loop_hash)
    }

    /// Our Record-Route entry as the core network sees it: the Gm side does not show.
    fn mw_route(&self) -> String {
        format!("<sip:{};lr>", self.config.mw)
    }

    fn is_own(&self, route: &str) -> bool {
        let address = sip::NameAddr::parse(route).and_then(|address| address.parse_uri().ok());
        address.is_some_and(|uri| self.own_route(&uri))
    }
}

/// Whether a 2xx to this request makes a dialog, so that we want to be on its route.
//= RFC 3261 16.6 item 4, RFC 6665 4.3, RFC 3515 2.4.4
fn makes_dialog(request: &Message) -> bool {
    let method = matches!(request.method(), Method::Invite | Method::Subscribe | Method::Refer);
    method && !is_in_dialog(request)
}

/// What makes a dialog must name the end that has sent it.
//= RFC 3261 12.1.1
fn check_tag(request: &Message) -> Result<(), Refusal> {
    let is_named = request.from().is_ok_and(|from| from.tag().is_some());
    if makes_dialog(request) && !is_named {
        return Err(Refusal::Routing(sip::ParseError::Malformed(Name::From).into()));
    }
    Ok(())
}

fn is_in_dialog(request: &Message) -> bool {
    request.to().is_ok_and(|to| to.tag().is_some())
}

/// The network cannot be spoken for by a UE.
fn strip_ue(draft: &mut Draft<'_>) {
    for name in NOT_OF_A_UE {
        draft.remove(name);
    }
    //= TS 24.229 5.2.6.3: what claims to be the network's word on the access is not the UE's to write
    let is_own = |value: &&str| !sip::header::PAccessNetworkInfo(value).is_network_provided();
    let lines: Vec<String> = draft.lines(Name::PAccessNetworkInfo).map(str::to_owned).collect();
    let kept = lines.iter().flat_map(|line| sip::text::list(line)).filter(is_own).map(str::to_owned);
    let kept: Vec<String> = kept.collect();
    draft.replace_values(Name::PAccessNetworkInfo, kept);
}

fn strip_network(draft: &mut Draft<'_>) {
    for name in NOT_FOR_A_UE {
        draft.remove(name);
    }
}
