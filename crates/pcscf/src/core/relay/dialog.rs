//! What a request and its answers do to the dialogs of a device.

use std::time::Duration;

use sip::{Instant, Message, Method, Name, Relay, SubscriptionState};

use super::{Relayed, Way, is_in_dialog, makes_dialog};
use crate::core::dialogs::{Dialog, DialogId, DialogName, PeerPrivacy, Purpose};
use crate::core::{Device, PCscf, Refusal};

/// What was said in time may still be on its way: 64*T1 on Gm, and some more.
const GRACE: Duration = Duration::from_secs(160);
/// Of a REFER whose notifier has not said yet how long it will tell.
const REFER: Duration = Duration::from_secs(180);
/// More entries make no sensible route.
const MAX_ROUTES: usize = 32;

impl PCscf {
    /// The dialog that a request says it is in; `None`: it stands alone, or begins one.
    pub(super) fn dialog_of(
        &mut self,
        device: &Device,
        request: &Message,
        way: Way,
    ) -> Result<Option<DialogId>, Refusal> {
        if !is_in_dialog(request) {
            return if lives_in_dialogs(request.method()) { Err(Refusal::NoSuchDialog) } else { Ok(None) };
        }
        let found = self.find_dialog(device, request, way).ok_or(Refusal::NoSuchDialog)?;
        self.dialogs.used(found);
        Ok(Some(found))
    }

    /// A NOTIFY may overtake the answer of its SUBSCRIBE, which went the other way.
    pub(super) fn find_dialog(&self, device: &Device, request: &Message, way: Way) -> Option<DialogId> {
        let by_ue = way == Way::FromUe;
        let name = DialogName::of(request, by_ue);
        let begun = || self.dialogs.find(device, name.unanswered(!by_ue));
        let is_notify = request.method() == Method::Notify;
        self.dialogs.find(device, name).or_else(|| if is_notify { begun() } else { None })
    }

    /// Whether this NOTIFY is the first that is heard of the other end of a subscription.
    //= RFC 6665 4.1.2.4
    pub(super) fn notify_makes_dialog(&self, dialog: Option<DialogId>, request: &Message) -> bool {
        let dialog = dialog.and_then(|id| self.dialogs.get(id));
        request.method() == Method::Notify && dialog.is_some_and(|dialog| !dialog.confirmed)
    }

    /// A request leaves that is in this dialog, or begins a subscription, whose NOTIFY may overtake its answer.
    pub(super) fn enter_dialog(
        &mut self,
        now: Instant,
        request: &Message,
        context: &Relayed,
    ) -> Option<DialogId> {
        let Relayed { device, dialog, asserted, peer, .. } = context;
        let by_ue = context.by_ue();
        if let Some(id) = *dialog {
            let id = self.enter(now, device, id, request, by_ue);
            self.remember_privacy(id, peer.as_ref());
            return Some(id);
        }
        // An INVITE's dialog is known from its first response.
        if !makes_dialog(request) || request.method() == Method::Invite {
            return None;
        }
        let name = DialogName::of(request, by_ue);
        let mut begun = Dialog {
            asserted: asserted.clone(),
            peer: peer.clone(),
            route: if by_ue { Vec::new() } else { recorded(request).collect() },
            ..begun(name, by_ue)
        };
        begun.begin(purpose(request), Some(now + GRACE));
        Some(self.dialogs.insert(device, begun))
    }

    /// What is known already is not lost, where a later message says less.
    fn remember_privacy(&mut self, id: DialogId, peer: Option<&PeerPrivacy>) {
        let Some(PeerPrivacy { wanted, address }) = peer else { return };
        self.dialogs.change(id, |dialog| {
            let address = dialog.peer.take().and_then(|known| known.address).or_else(|| address.clone());
            dialog.peer = Some(PeerPrivacy { wanted: wanted.clone(), address });
        });
    }

    /// A response of the other end says what it wants.
    pub(super) fn remember_answerer(
        &mut self,
        relay: &Relay<Relayed>,
        response: &Message,
        peer: &PeerPrivacy,
    ) {
        let by_ue = relay.context.by_ue();
        let name = DialogName::of(response, by_ue);
        if let Some(id) = self.dialogs.find(&relay.context.device, name) {
            self.remember_privacy(id, Some(peer));
        }
    }

    fn enter(
        &mut self,
        now: Instant,
        device: &Device,
        id: DialogId,
        request: &Message,
        by_ue: bool,
    ) -> DialogId {
        let Some(known) = self.dialogs.get(id).filter(|_| request.method() == Method::Notify) else {
            return id;
        };
        let mut id = id;
        if !known.confirmed {
            let name = DialogName::of(request, by_ue);
            // What the SUBSCRIBE has begun stays for the NOTIFYs of other ends that it has reached.
            let route = if by_ue { known.route.clone() } else { recorded(request).collect() };
            let (asserted, peer) = (known.asserted.clone(), known.peer.clone());
            let mut made = Dialog { route, asserted, peer, confirmed: true, ..begun(name, known.by_ue) };
            made.begin(purpose(request), Some(now + GRACE));
            id = self.dialogs.insert(device, made);
        }
        // An implicit subscription has no other word on how long it lasts.
        let lasts = SubscriptionState::of(request).and_then(|state| state.expires);
        if let Some(seconds) = lasts.filter(|_| purpose(request) == refer()) {
            let until = now + Duration::from_secs(seconds.into()) + GRACE;
            self.dialogs.change(id, |dialog| dialog.begin(refer(), Some(until)));
        }
        id
    }

    /// What a response means to the dialog of its request. Without one, we have answered by ourselves.
    pub(super) fn follow_dialog(
        &mut self,
        now: Instant,
        relay: &Relay<Relayed>,
        status: u16,
        response: Option<&Message>,
    ) {
        let Relay { request, context, .. } = relay;
        match (makes_dialog(request), status) {
            (true, 101..300) => {
                if let Some(response) = response {
                    self.dialog_made(now, relay, status, response);
                }
            }
            (true, 300..) => {
                let name = DialogName::of(request, context.by_ue());
                self.dialogs.remove_early(&context.device, name, context.by_ue());
            }
            (false, 200..) => {
                if let Some(id) = context.dialog {
                    self.dialog_goes_on(now, id, request, status, response);
                }
            }
            _ => {}
        }
    }

    /// The request has begun a dialog, and this response knows the tags of both ends.
    //= RFC 3261 12.1
    fn dialog_made(&mut self, now: Instant, relay: &Relay<Relayed>, status: u16, response: &Message) {
        let Relay { request, context, .. } = relay;
        let (by_ue, is_final) = (context.by_ue(), status >= 200);
        let asked = DialogName::of(request, by_ue);
        let name = DialogName { call_id: asked.call_id, ..DialogName::of(response, by_ue) };
        let name = if by_ue {
            DialogName { ue_tag: asked.ue_tag, ..name }
        } else {
            DialogName { peer_tag: asked.peer_tag, ..name }
        };
        if name.ue_tag.is_empty() || name.peer_tag.is_empty() {
            return;
        }
        let answering = if by_ue { name.peer_tag } else { name.ue_tag };
        // A 2xx that comes again must not bring back a dialog that has ended since.
        if context.made_with.get().is_some_and(|tag| **tag == *answering) {
            return;
        }
        let known = self.dialogs.find(&context.device, name);
        // Another end of a forked request makes a dialog of its own.
        let known = known.or_else(|| self.dialogs.find(&context.device, name.unanswered(by_ue)));
        let route = self.route_behind(relay, response);
        let until = subscribed(now, request, response);
        if is_final && until == Lasts::Not {
            return known.into_iter().for_each(|id| self.dialogs.remove(id));
        }
        let id = known.unwrap_or_else(|| {
            let (asserted, peer) = (context.asserted.clone(), context.peer.clone());
            let mut begun = Dialog { asserted, peer, ..begun(name, by_ue) };
            begun.begin(purpose(request), None);
            self.dialogs.insert(&context.device, begun)
        });
        self.dialogs.change(id, |dialog| {
            (dialog.ue_tag, dialog.peer_tag) = (name.ue_tag.into(), name.peer_tag.into());
            if !dialog.confirmed || !route.is_empty() {
                dialog.route = route;
            }
            dialog.confirmed |= is_final;
            if let Lasts::Until(until) = until {
                dialog.begin(purpose(request), until);
            }
        });
        if is_final {
            // Another end that has answered as well makes a dialog of its own.
            let _ = context.made_with.set(answering.into());
            self.dialogs.remove_early(&context.device, name, by_ue);
        }
    }

    /// A request within a dialog has its final response.
    fn dialog_goes_on(
        &mut self,
        now: Instant,
        id: DialogId,
        request: &Message,
        status: u16,
        response: Option<&Message>,
    ) {
        let (purpose, is_gone) = (purpose(request), matches!(status, 408 | 481));
        match request.method() {
            //= RFC 3261 15.1.1: a session is over with its BYE, but where that is to be sent again
            Method::Bye if !matches!(status, 401 | 407) => {
                self.dialogs.change(id, |dialog| dialog.end(&Purpose::Session));
            }
            Method::Notify if is_gone || is_last(request) => {
                self.dialogs.change(id, |dialog| dialog.end(&purpose));
            }
            //= RFC 5057 5.1: of a subscription only it is lost
            Method::Subscribe if is_gone => self.dialogs.change(id, |dialog| dialog.end(&purpose)),
            Method::Subscribe | Method::Refer if (200..300).contains(&status) => {
                let lasts = response.map(|response| subscribed(now, request, response));
                if let Some(Lasts::Until(until)) = lasts {
                    self.dialogs.change(id, |dialog| dialog.begin(purpose, until));
                }
            }
            //= RFC 3262 3: 481 to PRACK says only that nothing waits for it
            Method::Prack | Method::Subscribe | Method::Notify | Method::Bye => {}
            //= RFC 3261 12.2.1.2: the dialog is over; the BYE that says so shall pass
            _ if is_gone => self.dialogs.change(id, |dialog| {
                if dialog.usages.iter().any(|usage| usage.purpose == Purpose::Session) {
                    dialog.begin(Purpose::Session, Some(now + GRACE));
                }
            }),
            _ => {}
        }
    }

    /// The way of the UE's requests in a dialog that this response makes, from here on.
    fn route_behind(&self, relay: &Relay<Relayed>, response: &Message) -> Vec<Box<str>> {
        if !relay.context.by_ue() {
            return recorded(&relay.request).collect();
        }
        let mut routes: Vec<Box<str>> = recorded(response).collect();
        if routes.last().is_some_and(|last| self.is_own(last)) {
            routes.pop();
        }
        routes.reverse();
        routes
    }
}

/// How long what a 2xx begins will last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lasts {
    /// It begins nothing.
    Not,
    Until(Option<Instant>),
}

fn subscribed(now: Instant, request: &Message, response: &Message) -> Lasts {
    match request.method() {
        Method::Subscribe => {
            let seconds = response.expires().or_else(|| request.expires()).unwrap_or(3600);
            Lasts::Until(Some(now + Duration::from_secs(seconds.into()) + GRACE))
        }
        //= RFC 4488 4
        Method::Refer
            if response.named("Refer-Sub").is_some_and(|sub| sub.trim().eq_ignore_ascii_case("false")) =>
        {
            Lasts::Not
        }
        Method::Refer => Lasts::Until(Some(now + REFER + GRACE)),
        _ => Lasts::Until(None),
    }
}

fn begun(name: DialogName<'_>, by_ue: bool) -> Dialog {
    Dialog {
        call_id: name.call_id.into(),
        ue_tag: name.ue_tag.into(),
        peer_tag: name.peer_tag.into(),
        by_ue,
        route: Vec::new(),
        asserted: Vec::new(),
        peer: None,
        confirmed: false,
        usages: Vec::new(),
    }
}

/// The Record-Route entries of a message.
fn recorded(message: &Message) -> impl Iterator<Item = Box<str>> {
    message.values(Name::RecordRoute).take(MAX_ROUTES).map(Into::into)
}

/// Outside a dialog these mean nothing.
fn lives_in_dialogs(method: Method<'_>) -> bool {
    matches!(method, Method::Ack | Method::Bye | Method::Prack | Method::Update | Method::Info)
}

/// What a request begins, or is about.
fn purpose(request: &Message) -> Purpose {
    match request.method() {
        Method::Subscribe | Method::Notify => {}
        Method::Refer => return refer(),
        _ => return Purpose::Session,
    }
    let value = request.first(Name::Event).unwrap_or_default();
    let (package, params) = value.split_once(';').unwrap_or((value, ""));
    let package = package.trim().to_ascii_lowercase();
    let id = sip::text::Params::new(params).value("id").filter(|_| package != "refer");
    Purpose::Event(id.map_or(package.clone(), |id| format!("{package};id={id}")).into())
}

/// Its NOTIFYs need not say which REFER they are about.
//= RFC 3515 2.4.6
fn refer() -> Purpose {
    Purpose::Event("refer".into())
}

fn is_last(notify: &Message) -> bool {
    SubscriptionState::of(notify).is_some_and(|state| state.is_terminated())
}
