//! SM1 and the REGISTERs that follow a challenge.

use std::net::SocketAddr;

use rand_chacha::rand_core::Rng;
use sec_agree::{SecurityClient, SecurityVerify};
use sip::routing::branch;
use sip::text::quote;
use sip::{Draft, Instant, Method, Name, Transport};

use super::sets::Via;
use super::{Attempt, Command, Failure, Step, TransportChoice, Ue};

/// A request over this must not leave by UDP.
//= RFC 3261 18.1.1
const UDP_LIMIT: usize = 1300;

impl Ue {
    /// SM1, or its like that tells the network why a challenge was refused: over the current set where there is one,
    /// with a new offer. `refused`: challenges in a row the card has refused.
    pub(super) fn first_register(
        &mut self,
        now: Instant,
        command: Command,
        refused: u8,
        authorization: Option<Box<str>>,
    ) {
        let current = self.sets.current().filter(|_| self.registration.is_some());
        let via = current.map_or(Via::Clear, |set| Via::Set(set.id));
        let random = self.rng.next_u64();
        let Some(setup) = self.sets.draw(&self.config, random) else {
            return self.step(Step::Failed(Failure::NothingFree));
        };
        let offer = match SecurityClient::offer(&self.config.algorithms, setup) {
            Ok(offer) => offer,
            Err(error) => {
                self.sets.give_back(&setup);
                return self.step(Step::Failed(Failure::SecurityAgreement(error)));
            }
        };
        // SM7 continues the dialogue of SM1: one Call-ID, CSeq counting on.
        let (call_id, cseq, from_tag) = match self.attempt.take() {
            Some(attempt) => (attempt.call_id, attempt.cseq, attempt.from_tag),
            None => (self.token(), 0, self.token()),
        };
        let authorization = match (authorization, &self.last_authorization) {
            (Some(authorization), _) => authorization,
            //= TS 24.229 5.1.1.4: a re-REGISTER repeats the last nonce and response
            (None, Some(last)) if via != Via::Clear => last.clone(),
            _ => self.empty_authorization(),
        };
        let deadline = now + self.config.patience;
        self.attempt = Some(Attempt {
            command,
            call_id,
            cseq,
            from_tag,
            client: None,
            via,
            offer,
            initial: via == Via::Clear,
            authorization: None,
            answering: false,
            refused,
            malformed: 0,
            deadline,
        });
        self.send_register(now, &authorization);
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
        let branch = branch(self.rng.next_u64(), self.rng.next_u64());
        let Some(mut attempt) = self.attempt.take() else { return };
        attempt.cseq += 1;
        attempt.deadline = now + self.config.patience;
        let choice = self.config.transport;
        let first = if choice == TransportChoice::Tcp { Transport::Tcp } else { Transport::Udp };
        let mut message = self.register(&attempt, authorization, &branch, first);
        let mut transport = first;
        if choice == TransportChoice::BySize && message.bytes().len() > UDP_LIMIT {
            transport = Transport::Tcp;
            message = self.register(&attempt, authorization, &branch, transport);
        }
        let flow = attempt.via.flow(&self.config, &self.sets, transport);
        let sent = flow.map(|flow| self.transactions.request(now, flow, self.config.timers, message));
        match sent {
            Some(Ok(client)) => {
                attempt.client = Some(client);
                self.attempt = Some(attempt);
            }
            _ => {
                self.attempt = Some(attempt);
                self.fail(Failure::CannotSend);
            }
        }
    }

    fn register(
        &self,
        attempt: &Attempt,
        authorization: &str,
        branch: &str,
        transport: Transport,
    ) -> sip::Message {
        let config = &self.config;
        let contact = SocketAddr::new(config.address, config.server_port.get());
        let set = match attempt.via {
            Via::Clear => None,
            Via::Set(id) => self.sets.get(id),
        };
        //= TS 24.229 5.1.1.4: over a set the Via names the protected server port
        let sent_by = match set {
            Some(_) => contact,
            None => SocketAddr::new(config.address, config.clear_port),
        };
        let rport = if set.is_none() { ";rport" } else { "" };
        let expires = if attempt.command == Command::Deregister { 0 } else { config.expires };
        let impu = config.impu.as_str();
        let user = impu.split_once(':').and_then(|(_, rest)| rest.split('@').next()).unwrap_or(impu);
        let mut draft = Draft::request(Method::Register, format!("sip:{}", config.home_domain));
        draft
            .push(Name::Via, format!("SIP/2.0/{} {sent_by};branch={branch}{rport}", transport.as_str()))
            .push(Name::MaxForwards, "70")
            .push(Name::From, format!("<{impu}>;tag={}", attempt.from_tag))
            .push(Name::To, format!("<{impu}>"))
            .push(Name::CallId, &*attempt.call_id)
            .push(Name::CSeq, format!("{} REGISTER", attempt.cseq))
            .push(Name::Contact, format!("<sip:{user}@{contact}>"))
            .push(Name::Expires, expires.to_string())
            .push(Name::Authorization, authorization.to_owned())
            .push(Name::Require, "sec-agree")
            .push(Name::ProxyRequire, "sec-agree")
            .push(Name::Supported, "path")
            .push(Name::SecurityClient, attempt.offer.to_string());
        if let Some(set) = set {
            draft.push(Name::SecurityVerify, SecurityVerify::echo(&set.server).to_string());
            if let Some(network) = &config.access_network {
                draft.push(Name::PAccessNetworkInfo, &**network);
            }
        }
        draft.finish()
    }
}
