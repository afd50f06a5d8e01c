//! Requests between users, as the P-CSCF and the I-CSCF send them, and the answers of what lies behind.

use super::subscriber::p_cscf_flow;
use super::{HOME, IMPU, Net, Register, config, flow};
use scscf::{Config, Input};
use sip::{Draft, Flow, Message, Name};
use std::net::SocketAddr;

pub(crate) const I_CSCF: &str = "192.0.2.2:5060";
pub(crate) const EXIT: &str = "192.0.2.4:5070";
pub(crate) const OTHER: &str = "sip:+4930999@ims.mnc001.mcc001.3gppnetwork.org;user=phone";
/// Where our Record-Route leads.
pub(crate) const OWN: &str = "192.0.2.3:6060";

/// One with an I-CSCF, whose users register with a Path of addresses.
pub(crate) fn serving() -> Config {
    Config { icscf: I_CSCF.parse().ok(), exit: EXIT.parse().ok(), ..config() }
}

/// A user registered by way of the P-CSCF at 192.0.2.1, and its second REGISTER.
pub(crate) fn with_user(config: Config) -> (Net, Register) {
    let mut net = Net::new(config);
    let first = Register { path: Some("<sip:term@192.0.2.1:5060;lr>"), ..Register::first() };
    let challenge = net.register(&first);
    let second = net.protected(&first, &challenge);
    assert_eq!(net.register(&second).status(), Some(200));
    net.asked.clear();
    net.sent.clear();
    net.events.clear();
    (net, second)
}

/// What a request says.
#[derive(Clone)]
pub(crate) struct Asks {
    pub(crate) method: &'static str,
    pub(crate) uri: String,
    pub(crate) routes: Vec<String>,
    pub(crate) asserted: Vec<String>,
    pub(crate) to_tag: Option<&'static str>,
    pub(crate) hops: u32,
    /// Whole lines.
    pub(crate) more: String,
    pub(crate) branch: &'static str,
    pub(crate) body: String,
}

impl Asks {
    /// Of our user, as the P-CSCF forwards it.
    pub(crate) fn from_user(method: &'static str) -> Self {
        Self {
            method,
            uri: OTHER.into(),
            routes: vec![format!("<sip:orig@scscf.{HOME}:6060;lr>")],
            asserted: vec![format!("\"A. User\" <{IMPU}>")],
            to_tag: None,
            hops: 69,
            more: String::new(),
            branch: "one",
            body: String::new(),
        }
    }

    /// To our user, as the I-CSCF forwards it.
    pub(crate) fn to_user(method: &'static str) -> Self {
        Self {
            uri: IMPU.into(),
            routes: vec![format!("<sip:scscf.{HOME}:6060;lr>")],
            asserted: vec!["<sip:caller@other.example>".into()],
            ..Self::from_user(method)
        }
    }

    pub(crate) fn text(&self) -> String {
        let Self { method, uri, branch, hops, .. } = self;
        let tag = self.to_tag.map(|tag| format!(";tag={tag}")).unwrap_or_default();
        let mut lines = vec![
            format!("{method} {uri} SIP/2.0"),
            format!("Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{branch}"),
            format!("Via: SIP/2.0/UDP 10.9.0.2:7002;branch=z9hG4bKue{branch}"),
            format!("Max-Forwards: {hops}"),
            format!("From: <{IMPU}>;tag=caller"),
            format!("To: <{OTHER}>{tag}"),
            format!("Call-ID: call-{branch}"),
            format!("CSeq: 1 {method}"),
            "Contact: <sip:10.9.0.2:7002>".into(),
        ];
        lines.extend(self.routes.iter().map(|route| format!("Route: {route}")));
        lines.extend(self.asserted.iter().map(|asserted| format!("P-Asserted-Identity: {asserted}")));
        let length = self.body.len();
        format!("{}\r\n{}Content-Length: {length}\r\n\r\n{}", lines.join("\r\n"), self.more, self.body)
    }
}

impl Net {
    /// Answers what came back at once.
    pub(crate) fn ask(&mut self, asks: &Asks) -> Vec<Message> {
        self.send_text(p_cscf_flow(), &asks.text())
    }

    /// What goes on of a request that is not answered at once.
    pub(crate) fn goes_on(&mut self, asks: &Asks) -> (Flow, Message) {
        let answers = self.ask(asks);
        assert!(answers.is_empty(), "{answers:?} {:?}", self.events);
        self.next_forwarded()
    }

    /// The only request that went on since the last look.
    pub(crate) fn next_forwarded(&mut self) -> (Flow, Message) {
        assert_eq!(self.forwarded.len(), 1, "{:?}", self.forwarded);
        self.forwarded.remove(0)
    }

    /// The status of a request that is answered at once, and goes nowhere.
    pub(crate) fn refused(&mut self, asks: &Asks) -> u16 {
        let answers = self.ask(asks);
        assert_eq!((answers.len(), self.forwarded.len()), (1, 0), "{:?}", self.events);
        answers[0].status().unwrap()
    }

    /// What lies behind answers a request that went on; what the sender gets of it.
    pub(crate) fn answers(&mut self, request: &(Flow, Message), status: u16) -> Vec<Message> {
        self.answers_with(request, status, &[])
    }

    pub(crate) fn answers_with(
        &mut self,
        (flow, request): &(Flow, Message),
        status: u16,
        lines: &[(Name, &str)],
    ) -> Vec<Message> {
        let mut draft = Draft::reply(request, status, "So", Some("callee"));
        for (name, value) in lines {
            draft.push(*name, (*value).to_owned());
        }
        let message = draft.finish();
        let local: SocketAddr = OWN.parse().unwrap();
        let flow = Flow::udp(local, flow.remote);
        self.scscf.handle(self.now, Input::Received { flow, message });
        self.drain()
    }

    /// Nothing is left of any request, once the longest timers have run.
    pub(crate) fn forgets_all(&mut self) {
        self.advance(std::time::Duration::from_secs(700));
        assert_eq!(self.scscf.under_way(), 0);
    }

    /// The address that a request of no CSCF of ours comes from.
    pub(crate) fn stranger() -> Flow {
        Flow { remote: "203.0.113.9:5060".parse().unwrap(), ..flow() }
    }
}

pub(crate) fn values(message: &Message, name: Name) -> Vec<&str> {
    message.values(name).collect()
}
