//! What every request between users carries when it leaves this UE, and which way it takes.

use sip::{ClientId, Draft, Flow, Instant, Message, Method, Name, Transport};

use super::command::in_brackets;
use super::sets::Via;
use super::{Config, Failure, Identity, TransportChoice, Ue};

/// A request that has left.
#[derive(Debug)]
pub(super) struct Departure {
    pub(super) client: ClientId,
    pub(super) flow: Flow,
    pub(super) message: Message,
}

impl Ue {
    /// The beginning of a request outside of a dialog. It leaves over the current set.
    pub(super) fn opening(
        &mut self,
        method: Method<'static>,
        to: &str,
        identity: &Identity,
    ) -> Result<Draft<'static>, Failure> {
        let registration = self.registration.as_ref().ok_or(Failure::NotRegistered)?;
        let set = self.sets.current().ok_or(Failure::NotRegistered)?;
        let p_cscf = set.associations.uc_to_ps.destination;
        let mut draft = Draft::request(method, to.to_owned());
        //= TS 24.229 5.1.2A: the P-CSCF with its protected server port, then the Service-Route
        draft.push(Name::Route, format!("<sip:{p_cscf};lr>"));
        for route in &registration.service_route {
            draft.push(Name::Route, format!("<{route}>"));
        }
        let (call_id, tag) = (self.token(), self.token());
        let from = identity.from.as_deref().map_or_else(|| in_brackets(&self.identity()), in_brackets);
        draft
            .push(Name::MaxForwards, "70")
            .push(Name::From, format!("{from};tag={tag}"))
            .push(Name::To, in_brackets(to))
            .push(Name::CallId, call_id.to_string())
            .push(Name::CSeq, format!("1 {method}"));
        add_identity(&mut draft, identity);
        Ok(draft)
    }

    /// Sends a request of a user over the current set.
    pub(super) fn send_protected(
        &mut self,
        now: Instant,
        mut draft: Draft<'_>,
    ) -> Result<Departure, Failure> {
        let via = Via::Set(self.sets.current().ok_or(Failure::NotRegistered)?.id);
        self.add_security(&mut draft, via);
        self.depart(now, via, draft, self.config.transport).ok_or(Failure::CannotSend)
    }

    fn depart(
        &mut self,
        now: Instant,
        via: Via,
        draft: Draft<'_>,
        choice: TransportChoice,
    ) -> Option<Departure> {
        let (flow, message) = self.frame(via, draft, choice)?;
        let client = self.transactions.request(now, flow, self.config.timers, message.clone()).ok()?;
        Some(Departure { client, flow, message })
    }

    /// An ACK as it leaves over the current set.
    //= RFC 3329 2.6: ACK and CANCEL do not repeat the list of the server
    pub(super) fn frame_current(&mut self, draft: Draft<'_>) -> Option<(Flow, Message)> {
        let via = Via::Set(self.sets.current()?.id);
        self.frame(via, draft, self.config.transport)
    }

    /// Sends a request again that TCP did not take.
    //= RFC 3261 18.1.1: a request that went over TCP for its size only is tried over UDP
    pub(super) fn send_as_datagram(&mut self, now: Instant, request: &Message) -> Option<Departure> {
        let via = Via::Set(self.sets.current()?.id);
        let by_size = self.config.transport == TransportChoice::BySize;
        let was_stream = request.top_via().ok().and_then(|via| via.transport()) == Some(Transport::Tcp);
        if !by_size || !was_stream {
            return None;
        }
        let mut draft = Draft::forward(request);
        draft.remove_first_value(Name::Via);
        self.depart(now, via, draft, TransportChoice::Udp)
    }

    /// Where the answer leaves to a request that came by `flow`; the set it came over may have ended since.
    pub(super) fn answer_flow(&self, flow: &Flow) -> Option<Flow> {
        self.sets.reply_flow(flow).or_else(|| {
            let sa = self.sets.current()?.associations.uc_to_ps;
            (flow.transport == Transport::Udp).then(|| Flow::udp(sa.source, sa.destination))
        })
    }

    /// Our Contact in what goes over the current set.
    pub(super) fn current_contact(&self) -> String {
        let via = self.sets.current().map_or(Via::Clear, |set| Via::Set(set.id));
        format!("<{}>", self.contact(via))
    }

    /// An answer to a request of another user: its identity lines are ours to choose.
    pub(super) fn reply<'a>(
        &self,
        request: &'a Message,
        status: u16,
        reason: &'a str,
        tag: &str,
    ) -> Draft<'a> {
        let mut draft = Draft::reply(request, status, reason, Some(tag));
        if status > 100 {
            add_answering(&mut draft, &self.config);
        }
        draft
    }
}

pub(super) fn add_identity(draft: &mut Draft<'_>, identity: &Identity) {
    for preferred in &identity.preferred {
        draft.push(Name::PPreferredIdentity, in_brackets(preferred));
    }
    for asserted in &identity.asserted {
        draft.push(Name::PAssertedIdentity, in_brackets(asserted));
    }
    if let Some(privacy) = &identity.privacy {
        draft.push(Name::Privacy, privacy.to_string());
    }
}

//= RFC 5876 2: responses carry the identity headers as requests do
fn add_answering(draft: &mut Draft<'_>, config: &Config) {
    let answering = &config.answering;
    if let Some(preferred) = &answering.preferred {
        draft.push(Name::PPreferredIdentity, in_brackets(preferred));
    }
    if let Some(asserted) = &answering.asserted {
        draft.push(Name::PAssertedIdentity, in_brackets(asserted));
    }
    if let Some(privacy) = &answering.privacy {
        draft.push(Name::Privacy, privacy.to_string());
    }
}

/// The lines a command adds: each takes the place of those of its name.
pub(super) fn add_headers(draft: &mut Draft<'_>, headers: &[(Box<str>, Box<str>)]) {
    for (name, _) in headers {
        draft.remove_named(name);
    }
    for (name, value) in headers {
        draft.push_other(name.to_string(), value.to_string());
    }
}
