//! The other end of the reg event package: SUBSCRIBEs as UE and P-CSCF send them, and what NOTIFY tells.

use super::{HOME, IMPU, Net};
use scscf::Input;
use sip::reginfo::{ContactEvent, Reginfo};
use sip::{Draft, Flow, Message, Name, NameAddr, SubscriptionState};

pub(crate) const P_CSCF: &str = "sip:pcscf.visited.example";

pub(crate) fn p_cscf_flow() -> Flow {
    Flow::udp("192.0.2.3:6060".parse().unwrap(), "192.0.2.1:5060".parse().unwrap())
}

/// What a SUBSCRIBE says, with the values of a UE's first one as the P-CSCF forwards it.
#[derive(Clone)]
pub(crate) struct Subscribe {
    pub(crate) uri: String,
    pub(crate) call_id: String,
    pub(crate) cseq: u32,
    pub(crate) from: String,
    pub(crate) to_tag: Option<String>,
    pub(crate) asserted: Option<String>,
    pub(crate) event: Option<&'static str>,
    pub(crate) expires: Option<u32>,
    pub(crate) contact: String,
    pub(crate) record_route: Vec<&'static str>,
    pub(crate) route: Option<String>,
    pub(crate) more: String,
}

impl Subscribe {
    pub(crate) fn of_ue() -> Self {
        Self {
            uri: IMPU.into(),
            call_id: "sub-ue".into(),
            cseq: 1,
            from: IMPU.into(),
            to_tag: None,
            asserted: Some(format!("<{IMPU}>")),
            event: Some("reg"),
            expires: Some(600_000),
            contact: "<sip:001010000000001@10.9.0.2:7100>".into(),
            record_route: vec!["<sip:192.0.2.1:5060;lr>", "<sip:10.9.0.1:6100;lr>"],
            route: Some(format!("<sip:orig@scscf.{HOME}:6060;lr>")),
            more: "Accept: application/reginfo+xml\r\n".into(),
        }
    }

    pub(crate) fn of_p_cscf() -> Self {
        Self {
            call_id: "sub-pcscf".into(),
            from: P_CSCF.into(),
            asserted: Some(format!("<{P_CSCF}>")),
            expires: Some(600_600),
            contact: "<sip:192.0.2.1:5060>".into(),
            record_route: Vec::new(),
            ..Self::of_ue()
        }
    }

    /// The next SUBSCRIBE in the dialog this answer made.
    pub(crate) fn next(&self, answer: &Message) -> Self {
        let to_tag = answer.to().unwrap().tag().map(str::to_owned);
        let uri = NameAddr::parse(answer.first(Name::Contact).unwrap()).unwrap().uri.to_owned();
        Self { uri, to_tag, cseq: self.cseq + 1, route: None, ..self.clone() }
    }

    fn text(&self, branch: u64) -> String {
        let tag = self.to_tag.as_ref().map(|tag| format!(";tag={tag}")).unwrap_or_default();
        let mut lines = vec![
            format!("SUBSCRIBE {} SIP/2.0", self.uri),
            format!("Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKs{branch}"),
            "Max-Forwards: 68".into(),
            format!("From: <{}>;tag=watcher", self.from),
            format!("To: <{IMPU}>{tag}"),
            format!("Call-ID: {}", self.call_id),
            format!("CSeq: {} SUBSCRIBE", self.cseq),
            format!("Contact: {}", self.contact),
        ];
        lines.extend(self.record_route.iter().map(|route| format!("Record-Route: {route}")));
        lines.extend(self.route.iter().map(|route| format!("Route: {route}")));
        lines.extend(self.asserted.iter().map(|asserted| format!("P-Asserted-Identity: {asserted}")));
        lines.extend(self.event.iter().map(|event| format!("Event: {event}")));
        lines.extend(self.expires.iter().map(|expires| format!("Expires: {expires}")));
        format!("{}\r\n{}Content-Length: 0\r\n\r\n", lines.join("\r\n"), self.more)
    }
}

impl Net {
    pub(crate) fn subscribe(&mut self, subscribe: &Subscribe) -> Message {
        self.subscribe_over(p_cscf_flow(), subscribe)
    }

    pub(crate) fn subscribe_over(&mut self, flow: Flow, subscribe: &Subscribe) -> Message {
        self.branch += 1;
        let text = subscribe.text(self.branch);
        let mut answers = self.send_text(flow, &text);
        assert_eq!(answers.len(), 1, "one answer to SUBSCRIBE");
        answers.remove(0)
    }

    /// UE and P-CSCF watch; their first NOTIFYs are forgotten.
    pub(crate) fn watched(&mut self) -> (Message, Message) {
        let answers = (self.subscribe(&Subscribe::of_ue()), self.subscribe(&Subscribe::of_p_cscf()));
        assert_eq!((answers.0.status(), answers.1.status()), (Some(200), Some(200)));
        self.notifies.clear();
        answers
    }

    pub(super) fn notified(&mut self, flow: Flow, message: Message) {
        self.notifies.push((flow, message.clone()));
        if let Some(status) = self.notify_status {
            self.answer_notify(&message, status);
        }
    }

    pub(crate) fn answer_notify(&mut self, notify: &Message, status: u16) {
        let message = Draft::reply(notify, status, "", None).finish();
        self.scscf.handle(self.now, Input::Received { flow: p_cscf_flow(), message });
        if self.notify_status.is_none() {
            assert!(self.drain().is_empty());
        }
    }

    /// The NOTIFYs of one dialog since the last look.
    pub(crate) fn take_notifies(&mut self, call_id: &str) -> Vec<Told> {
        let all = std::mem::take(&mut self.notifies);
        let (own, others) = all.into_iter().partition(|(_, notify)| notify.call_id() == call_id);
        self.notifies = others;
        let own: Vec<(Flow, Message)> = own;
        own.into_iter().map(|(_, notify)| Told::of(&notify)).collect()
    }
}

/// What one NOTIFY told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) version: u32,
    pub(crate) full: bool,
    /// `active`, or the reason of the end.
    pub(crate) state: String,
    /// (aor, its state, (contact URI, event, expires, retry-after) ...)
    pub(crate) aors: Vec<(String, String, Vec<ToldContact>)>,
}

pub(crate) type ToldContact = (String, ContactEvent, Option<u32>, Option<u32>);

impl Told {
    fn of(notify: &Message) -> Self {
        let state = SubscriptionState::of(notify).unwrap();
        let info = Reginfo::parse(notify.body()).unwrap();
        let aors = info.registrations.into_iter().map(|registration| {
            let contacts = registration.contacts.into_iter();
            let contacts = contacts.map(|one| (one.uri, one.event, one.expires, one.retry_after)).collect();
            (registration.aor, registration.state.as_str().to_owned(), contacts)
        });
        Self {
            version: info.version,
            full: info.full,
            state: state.reason.unwrap_or(state.state).to_owned(),
            aors: aors.collect(),
        }
    }

    /// (URI, event) of every contact of the first identity.
    pub(crate) fn events(&self) -> Vec<(&str, ContactEvent)> {
        self.aors[0].2.iter().map(|contact| (contact.0.as_str(), contact.1)).collect()
    }
}
