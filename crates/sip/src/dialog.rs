//! Dialogs (RFC 3261 clause 12) and the subscriptions that live in them: what both ends remember to write the next
//! request and to know the peer's.

use crate::{Draft, Message, Method, Name, ParseError};

/// One end's view of a dialog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialog {
    pub call_id: String,
    pub local_tag: String,
    pub remote_tag: String,
    /// Our From in requests, without tag.
    pub local_uri: String,
    /// Our To in requests, without tag.
    pub remote_uri: String,
    /// Request-URI of our requests: the peer's Contact.
    pub remote_target: String,
    /// The Route of our requests, top first, as `<uri>;params`.
    pub route_set: Vec<String>,
    /// CSeq of our last request.
    pub local_cseq: u32,
    /// CSeq of the peer's last request, once there was one.
    pub remote_cseq: Option<u32>,
}

/// Why a request of the peer cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialogError {
    /// Answered with 500 (RFC 3261 12.2.2).
    #[error("take a CSeq that is not higher than the last one")]
    OutOfOrder,
    #[error("read the request: {0}")]
    Malformed(#[from] ParseError),
}

/// More entries make no sensible route.
const MAX_ROUTES: usize = 32;

impl Dialog {
    /// The dialog that our `request` and its 2xx (or a NOTIFY, see [`Self::from_notify`]) made.
    //= RFC 3261 12.1.2
    pub fn uac(request: &Message, response: &Message) -> Result<Self, ParseError> {
        let mut route_set = routes(response)?;
        route_set.reverse();
        Ok(Self {
            remote_tag: tag(response, Name::To)?,
            remote_target: contact(response)?,
            route_set,
            remote_cseq: None,
            ..Self::asked(request)?
        })
    }

    /// The dialog that our SUBSCRIBE made, known from the NOTIFY that overtook its answer.
    //= RFC 6665 4.1.2.4
    pub fn from_notify(request: &Message, notify: &Message) -> Result<Self, ParseError> {
        Ok(Self {
            remote_tag: tag(notify, Name::From)?,
            remote_target: contact(notify)?,
            route_set: routes(notify)?,
            remote_cseq: Some(notify.cseq()?.number),
            ..Self::asked(request)?
        })
    }

    /// The dialog that the peer's `request` makes when we answer it with `local_tag`.
    //= RFC 3261 12.1.1
    pub fn uas(request: &Message, local_tag: &str) -> Result<Self, ParseError> {
        Ok(Self {
            call_id: request.call_id().to_owned(),
            local_tag: local_tag.to_owned(),
            remote_tag: tag(request, Name::From)?,
            local_uri: request.to()?.uri.to_owned(),
            remote_uri: request.from()?.uri.to_owned(),
            remote_target: contact(request)?,
            route_set: routes(request)?,
            local_cseq: 0,
            remote_cseq: Some(request.cseq()?.number),
        })
    }

    fn asked(request: &Message) -> Result<Self, ParseError> {
        Ok(Self {
            call_id: request.call_id().to_owned(),
            local_tag: tag(request, Name::From)?,
            remote_tag: String::new(),
            local_uri: request.from()?.uri.to_owned(),
            remote_uri: request.to()?.uri.to_owned(),
            remote_target: String::new(),
            route_set: Vec::new(),
            local_cseq: request.cseq()?.number,
            remote_cseq: None,
        })
    }

    /// Whether the peer's request belongs here.
    pub fn owns(&self, request: &Message) -> bool {
        request.call_id() == self.call_id
            && request.to().is_ok_and(|to| to.tag() == Some(&self.local_tag))
            && request.from().is_ok_and(|from| from.tag() == Some(&self.remote_tag))
    }

    /// Takes note of the peer's request. A CSeq that is not higher than the last one is answered with 500.
    //= RFC 3261 12.2.2
    pub fn take(&mut self, request: &Message) -> Result<(), DialogError> {
        let number = request.cseq()?.number;
        if self.remote_cseq.is_some_and(|last| number <= last) {
            return Err(DialogError::OutOfOrder);
        }
        self.remote_cseq = Some(number);
        //= RFC 6665 4.4.1: SUBSCRIBE and NOTIFY refresh the target
        self.retarget(request);
        Ok(())
    }

    /// The peer is where this request of its own, or its 2xx to one of ours, says.
    pub fn retarget(&mut self, message: &Message) {
        if let Ok(target) = contact(message) {
            self.remote_target = target;
        }
    }

    /// The next request in the dialog, without Via and body.
    //= RFC 3261 12.2.1.1
    pub fn request(&mut self, method: Method<'static>) -> Draft<'static> {
        self.local_cseq += 1;
        self.numbered(method, self.local_cseq)
    }

    /// The ACK of a 2xx to our INVITE with this CSeq.
    //= RFC 3261 13.2.2.4
    pub fn ack(&self, cseq: u32) -> Draft<'static> {
        self.numbered(Method::Ack, cseq)
    }

    fn numbered(&self, method: Method<'static>, cseq: u32) -> Draft<'static> {
        let mut draft = Draft::request(method, self.remote_target.clone());
        for route in &self.route_set {
            draft.push(Name::Route, route.clone());
        }
        draft
            .push(Name::MaxForwards, "70")
            .push(Name::From, format!("<{}>;tag={}", self.local_uri, self.local_tag))
            .push(Name::To, format!("<{}>;tag={}", self.remote_uri, self.remote_tag))
            .push(Name::CallId, self.call_id.clone())
            .push(Name::CSeq, format!("{cseq} {method}"));
        draft
    }
}

fn tag(message: &Message, name: Name) -> Result<String, ParseError> {
    message.address(name)?.tag().map(str::to_owned).ok_or(ParseError::Malformed(name))
}

fn contact(message: &Message) -> Result<String, ParseError> {
    Ok(message.address(Name::Contact)?.uri.to_owned())
}

fn routes(message: &Message) -> Result<Vec<String>, ParseError> {
    let routes: Vec<String> =
        message.values(Name::RecordRoute).take(MAX_ROUTES + 1).map(str::to_owned).collect();
    if routes.len() > MAX_ROUTES { Err(ParseError::Malformed(Name::RecordRoute)) } else { Ok(routes) }
}

/// Where a subscription stands, as its notifier says (RFC 6665 4.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscriptionState<'a> {
    /// `active`, `pending` or `terminated`.
    pub state: &'a str,
    /// Seconds left.
    pub expires: Option<u32>,
    pub reason: Option<&'a str>,
    pub retry_after: Option<u32>,
}

impl<'a> SubscriptionState<'a> {
    pub fn of(message: &'a Message) -> Option<Self> {
        let value = message.first(Name::SubscriptionState)?;
        let (state, params) = value.split_once(';').unwrap_or((value, ""));
        let params = crate::text::Params::new(params);
        let seconds = |name| params.value(name).and_then(crate::header::delta_seconds);
        let state = state.trim();
        (!state.is_empty()).then(|| Self {
            state,
            expires: seconds("expires"),
            reason: params.value("reason"),
            retry_after: seconds("retry-after"),
        })
    }

    pub fn is_terminated(&self) -> bool {
        self.state.eq_ignore_ascii_case("terminated")
    }
}

/// The event package a SUBSCRIBE or NOTIFY is about, without its parameters.
pub fn event_package(message: &Message) -> Option<&str> {
    let value = message.first(Name::Event)?;
    Some(value.split(';').next().unwrap_or_default().trim()).filter(|package| !package.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscribe() -> Message {
        let mut draft = Draft::request(Method::Subscribe, "sip:alice@home.example");
        draft
            .push(Name::Via, "SIP/2.0/UDP 10.9.0.2;branch=z9hG4bK1")
            .push(Name::RecordRoute, "<sip:mw.example;lr>, <sip:gm.example:6100;lr>")
            .push(Name::From, "<sip:alice@home.example>;tag=ue")
            .push(Name::To, "<sip:alice@home.example>")
            .push(Name::CallId, "c1")
            .push(Name::CSeq, "7 SUBSCRIBE")
            .push(Name::Contact, "<sip:alice@10.9.0.2:7100>")
            .push(Name::Event, "reg;id=1");
        draft.finish()
    }

    fn answer(request: &Message) -> Message {
        let mut draft = Draft::reply(request, 200, "OK", Some("s"));
        for route in request.values(Name::RecordRoute) {
            draft.push(Name::RecordRoute, route);
        }
        draft.push(Name::Contact, "<sip:scscf.example:5060>");
        draft.finish()
    }

    #[test]
    fn both_ends_agree_on_the_dialog() {
        let request = subscribe();
        let mut notifier = Dialog::uas(&request, "s").unwrap();
        let mut subscriber = Dialog::uac(&request, &answer(&request)).unwrap();
        assert_eq!(notifier.route_set, ["<sip:mw.example;lr>", "<sip:gm.example:6100;lr>"]);
        assert_eq!(subscriber.route_set, ["<sip:gm.example:6100;lr>", "<sip:mw.example;lr>"]);
        let mut notify = notifier.request(Method::Notify);
        notify.push(Name::Via, "SIP/2.0/UDP 10.9.0.3;branch=z9hG4bK2");
        let notify = notify.finish();
        assert_eq!(notify.request_uri(), Some("sip:alice@10.9.0.2:7100"));
        assert!(subscriber.owns(&notify) && !notifier.owns(&notify));
        assert_eq!(subscriber.take(&notify), Ok(()));
        assert_eq!(subscriber.take(&notify), Err(DialogError::OutOfOrder), "a CSeq counts up");
        let refresh = subscriber.request(Method::Subscribe);
        let refresh = refresh.finish();
        assert_eq!(refresh.first(Name::CSeq), Some("8 SUBSCRIBE"));
        assert_eq!(refresh.request_uri(), Some("sip:scscf.example:5060"));
        assert!(notifier.owns(&refresh));
        assert_eq!(notifier.take(&refresh), Ok(()));
    }

    #[test]
    fn sip_19_an_ack_has_the_number_of_its_invite_and_the_route_of_the_dialog() {
        let request = subscribe();
        let mut caller = Dialog::uac(&request, &answer(&request)).unwrap();
        let mut moved = Draft::reply(&request, 200, "OK", Some("s"));
        moved.push(Name::Contact, "<sip:elsewhere.example>");
        caller.retarget(&moved.finish());
        let ack = caller.ack(7).finish();
        assert_eq!((ack.first(Name::CSeq), caller.local_cseq), (Some("7 ACK"), 7));
        assert_eq!(ack.request_uri(), Some("sip:elsewhere.example"));
        assert_eq!(
            ack.values(Name::Route).collect::<Vec<_>>(),
            ["<sip:gm.example:6100;lr>", "<sip:mw.example;lr>"]
        );
        assert_eq!(ack.to().unwrap().tag(), Some("s"));
        let next = caller.request(Method::Bye).finish();
        assert_eq!(next.first(Name::CSeq), Some("8 BYE"), "an ACK counts for nothing");
    }

    #[test]
    fn a_notify_may_overtake_the_answer() {
        let request = subscribe();
        let mut notifier = Dialog::uas(&request, "s").unwrap();
        let mut notify = notifier.request(Method::Notify);
        notify
            .push(Name::Via, "SIP/2.0/UDP 10.9.0.3;branch=z9hG4bK2")
            .push(Name::Contact, "<sip:scscf.example:5060>")
            .push(Name::RecordRoute, "<sip:gm.example:6100;lr>, <sip:mw.example;lr>");
        let early = Dialog::from_notify(&request, &notify.finish()).unwrap();
        let regular = Dialog::uac(&request, &answer(&request)).unwrap();
        assert_eq!(Dialog { remote_cseq: None, ..early }, regular);
    }

    #[test]
    fn the_state_of_a_subscription() {
        let message = |value: &str| {
            let mut draft = Draft::forward(&subscribe()).finish();
            let mut changed = Draft::forward(&draft);
            changed.push(Name::SubscriptionState, value.to_owned());
            draft = changed.finish();
            draft
        };
        let active = message("active;expires=3600");
        let found = SubscriptionState::of(&active).unwrap();
        assert_eq!((found.state, found.expires, found.is_terminated()), ("active", Some(3600), false));
        let over = message("Terminated ; reason=deactivated;retry-after=5");
        let found = SubscriptionState::of(&over).unwrap();
        assert_eq!(
            (found.is_terminated(), found.reason, found.retry_after),
            (true, Some("deactivated"), Some(5))
        );
        assert_eq!(SubscriptionState::of(&message(";x")), None);
        assert_eq!(event_package(&subscribe()), Some("reg"));
    }
}
