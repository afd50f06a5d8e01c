//! SM1 and the REGISTERs that follow a challenge.

use std::net::SocketAddr;

use rand_chacha::rand_core::Rng;
use sec_agree::{SecurityClient, SecurityVerify};
use sip::routing::branch;
use sip::text::quote;
use sip::{ClientId, Draft, Flow, Instant, Message, Method, Name, Transport};

use super::sets::Via;
use super::{Attempt, Command, Failure, Fault, TransportChoice, Ue};

/// A request over this must not leave by UDP.
//= RFC 3261 18.1.1
const UDP_LIMIT: usize = 1300;

impl Ue {
    /// SM1: over the current set where there is one, with a new offer.
    pub(super) fn first_register(&mut self, now: Instant, command: Command) {
        let current = self.sets.current().filter(|_| self.registration.is_some());
        //= TS 33.203 7.4.1a: a UE whose protected requests stay unanswered registers unprotected
        let current = current.filter(|_| !self.recovery.sets_are_lost() || command == Command::Deregister);
        let fault = match &command {
            Command::Misbehave(fault) => Some(*fault),
            _ => None,
        };
        let current = current.filter(|_| fault != Some(Fault::Uncover));
        let via = current.map_or(Via::Clear, |set| Via::Set(set.id));
        let authorization = self.first_authorization(via);
        let expires = match command {
            Command::Deregister => 0,
            _ => self.recovery.expires(self.config.expires),
        };
        let offer = match self.offer() {
            Ok(offer) => offer,
            Err(failure) => return self.fail(now, failure),
        };
        self.attempt = Some(Attempt {
            command,
            call_id: self.token(),
            cseq: 0,
            from_tag: self.token(),
            expires,
            client: None,
            via,
            first_via: via,
            offer,
            authorization: None,
            rspauth: None,
            answering: false,
            bound: None,
            ended: false,
            refused: 0,
            distrusted: false,
            malformed: 0,
            deadline: now + self.config.patience,
            fault,
        });
        self.send_register(now, &authorization);
    }

    /// A REGISTER like SM1 in the dialogue of the command under way: over what SM1 went over, with a new offer.
    pub(super) fn register_again(&mut self, now: Instant, authorization: &str) {
        let Some(mut attempt) = self.attempt.take() else { return };
        self.abandon(&attempt.offer);
        match self.offer() {
            Ok(offer) => attempt.offer = offer,
            Err(failure) => return self.fail(now, failure),
        }
        attempt.via = attempt.first_via;
        attempt.authorization = None;
        attempt.answering = false;
        self.attempt = Some(attempt);
        self.send_register(now, authorization);
    }

    fn offer(&mut self) -> Result<SecurityClient, Failure> {
        let random = self.rng.next_u64();
        let setup = self.sets.draw(&self.config, random).ok_or(Failure::NothingFree)?;
        let offer = SecurityClient::offer_in(self.config.modes(), &self.config.algorithms, setup);
        offer.map_err(|error| {
            self.sets.give_back(&setup);
            Failure::SecurityAgreement(error)
        })
    }

    /// The Authorization of a REGISTER that answers no challenge.
    pub(super) fn first_authorization(&self, via: Via) -> Box<str> {
        match &self.last_authorization {
            //= TS 24.229 5.1.1.4: a re-REGISTER repeats the last nonce and response
            Some(last) if via != Via::Clear => last.clone(),
            _ => self.empty_authorization(),
        }
    }

    fn empty_authorization(&self) -> Box<str> {
        let domain = &self.config.home_domain;
        //= TS 24.229 5.1.1.2: empty nonce and response before the first challenge
        format!(
            "Digest username={}, realm={}, uri=\"sip:{domain}\", nonce=\"\", response=\"\"",
            quote(self.config.impi.as_str()),
            quote(domain)
        )
        .into()
    }

    /// Sends a REGISTER of the command under way over what it names.
    pub(super) fn send_register(&mut self, now: Instant, authorization: &str) {
        let Some(mut attempt) = self.attempt.take() else { return };
        attempt.cseq += 1;
        attempt.deadline = now + self.config.patience;
        let draft = match attempt.fault {
            None => self.register(&attempt, authorization),
            Some(Fault::Uncover) => self.uncovered(&attempt),
            Some(fault) => fault.alter(self.register(&attempt, authorization), &attempt),
        };
        let client = self.send_request(now, attempt.via, draft).map(|(client, _)| client);
        attempt.client = client;
        self.attempt = Some(attempt);
        if client.is_none() {
            self.fail(now, Failure::CannotSend);
        }
    }

    fn register(&self, attempt: &Attempt, authorization: &str) -> Draft<'static> {
        let impu = self.config.impu.as_str();
        let mut draft = Draft::request(Method::Register, format!("sip:{}", self.config.home_domain));
        draft
            .push(Name::MaxForwards, "70")
            .push(Name::From, format!("<{impu}>;tag={}", attempt.from_tag))
            .push(Name::To, format!("<{impu}>"))
            .push(Name::CallId, attempt.call_id.to_string())
            .push(Name::CSeq, format!("{} REGISTER", attempt.cseq))
            .push(Name::Contact, format!("<{}>", self.contact(attempt.via)))
            .push(Name::Expires, attempt.expires.to_string())
            .push(Name::Authorization, authorization.to_owned())
            .push(Name::Supported, "path")
            .push(Name::SecurityClient, attempt.offer.to_string());
        self.add_security(&mut draft, attempt.via);
        draft
    }

    /// What every request carries for the security agreement, and over a set the P-CSCF's own list.
    pub(super) fn add_security(&self, draft: &mut Draft<'_>, via: Via) {
        draft.push(Name::Require, "sec-agree").push(Name::ProxyRequire, "sec-agree");
        let Via::Set(id) = via else { return };
        if let Some(set) = self.sets.get(id) {
            //= RFC 3329 2.3.1: every request over the set repeats the list of the server
            draft.push(Name::SecurityVerify, SecurityVerify::echo(&set.server).to_string());
            if let Some(network) = &self.config.access_network {
                draft.push(Name::PAccessNetworkInfo, network.to_string());
            }
        }
    }

    /// Sends a request with our Via on top, over UDP or, where it is too large for it, TCP.
    pub(super) fn send_request(
        &mut self,
        now: Instant,
        via: Via,
        draft: Draft<'_>,
    ) -> Option<(ClientId, Message)> {
        let (flow, message) = self.frame(via, draft, self.config.transport)?;
        let client = self.transactions.request(now, flow, self.config.timers, message.clone()).ok()?;
        Some((client, message))
    }

    /// The request with our Via on top, and the way it takes.
    pub(super) fn frame(
        &mut self,
        via: Via,
        mut draft: Draft<'_>,
        choice: TransportChoice,
    ) -> Option<(Flow, Message)> {
        let branch = branch(self.rng.next_u64(), self.rng.next_u64());
        //= TS 24.229 5.1.1.4: over a set the Via names the protected server port
        let (port, rport) = match via {
            Via::Set(_) => (self.config.server_port.get(), ""),
            Via::Clear => (self.config.clear_port, ";rport"),
        };
        let sent_by = SocketAddr::new(self.address_over(via), port);
        let line =
            |transport: Transport| format!("SIP/2.0/{} {sent_by};branch={branch}{rport}", transport.as_str());
        let mut transport = if choice == TransportChoice::Tcp { Transport::Tcp } else { Transport::Udp };
        draft.push_front(Name::Via, line(transport));
        let mut message = draft.finish();
        if choice == TransportChoice::BySize && message.bytes().len() > UDP_LIMIT {
            transport = Transport::Tcp;
            draft.set(Name::Via, line(transport));
            message = draft.finish();
        }
        Some((via.flow(&self.config, &self.sets, transport)?, message))
    }
}
