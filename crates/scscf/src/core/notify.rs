//! NOTIFY: one at a time in each dialog, over the dialog's first hop.

use super::{Event, Scscf, SubscriptionEnd, Timer};
use crate::news::{self, News};
use crate::subscriptions::{EndReason, Peer, Subscription, SubscriptionId};
use aka::Impu;
use rand_chacha::rand_core::Rng;
use sip::reginfo::{self, ContactEvent, Reginfo};
use sip::{ClientId, Flow, Instant, Message, Method, Name, Transport, routing};
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// A larger request goes over TCP.
//= RFC 3261 18.1.1
const LARGEST_DATAGRAM: usize = 1300;

/// News, and the identities whose subscribers must hear them.
#[derive(Debug, Default)]
pub(super) struct Notice {
    pub(super) audience: BTreeSet<Impu>,
    pub(super) news: Vec<News>,
    /// Something changed that news of contacts do not say.
    pub(super) full: bool,
}

impl Scscf {
    /// Tells all who watch, and says how many they are. A subscription ends with the last contact of what it watches: one that stayed active then
    /// confuses UEs.
    pub(super) fn tell(&mut self, now: Instant, notice: &Notice) -> usize {
        let mut told = 0;
        if notice.news.is_empty() && !notice.full {
            return told;
        }
        let comes_back = notice.news.iter().any(|news| news.event == ContactEvent::Deactivated);
        let reason = if comes_back { EndReason::Deactivated } else { EndReason::NoResource };
        for id in self.subscriptions.of(&notice.audience) {
            let Some(subscription) = self.subscriptions.get_mut(id) else { continue };
            if subscription.ended.is_some() {
                continue;
            }
            subscription.full |= notice.full;
            subscription.hear(&notice.news);
            if !self.registrar.is_registered(&subscription.impu) {
                subscription.end(reason);
            }
            self.notify(now, id);
            told += 1;
        }
        told
    }

    /// Sends what is due, unless the last NOTIFY is still on its way.
    pub(super) fn notify(&mut self, now: Instant, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get_mut(id) else { return };
        if !subscription.due || subscription.in_flight {
            return;
        }
        let version = subscription.version;
        subscription.version = version.saturating_add(1);
        let news = subscription.take_news();
        let full = std::mem::take(&mut subscription.full) && self.registrar.is_registered(&subscription.impu);
        let document = if full {
            news::everything(&self.registrar, now, &subscription.impu, version)
        } else {
            news::changes(&self.registrar, now, &news, version)
        };
        let branch = routing::branch(self.rng.next_u64(), self.rng.next_u64());
        let name = self.config.server_name.as_str();
        let (flow, message) = notify(now, subscription, &document, name, &branch);
        let sent = self.transactions.request(now, flow, self.config.timers, message);
        subscription.in_flight = sent.is_ok();
        // What could not be told now is told as a whole with the next news.
        subscription.full = sent.is_err();
        if subscription.ended.is_some() {
            return self.drop_subscription(id, SubscriptionEnd::Told);
        }
        if let Ok(client) = sent {
            self.notifies.insert(client, id);
        }
    }

    /// `None`: no answer came, or NOTIFY could not be sent.
    pub(super) fn notify_answered(&mut self, now: Instant, client: ClientId, status: Option<u16>) {
        if status.is_some_and(|status| status < 200) {
            return;
        }
        let Some(id) = self.notifies.remove(&client) else { return };
        let Some(subscription) = self.subscriptions.get_mut(id) else { return };
        subscription.in_flight = false;
        match status {
            Some(200..=299) => self.notify(now, id),
            //= RFC 6665 4.2.2
            None => self.drop_subscription(id, SubscriptionEnd::Unreachable),
            Some(status @ (404 | 405 | 408 | 410 | 416 | 480..=485 | 489 | 501 | 604)) => {
                self.drop_subscription(id, SubscriptionEnd::Refused { status });
            }
            Some(_) => {
                // The subscription lives, this document was not understood or not wanted now.
                subscription.full = true;
                self.notify(now, id);
            }
        }
    }

    pub(super) fn drop_subscription(&mut self, id: SubscriptionId, cause: SubscriptionEnd) {
        let Some(subscription) = self.subscriptions.remove(id) else { return };
        self.timers.remove(&(subscription.until, Timer::Subscription(id)));
        let Subscription { impu, subscriber, .. } = subscription;
        self.event(Event::SubscriptionEnded { impu, subscriber, cause });
    }
}

/// The request and the way it goes.
//= RFC 6665 4.2.2
fn notify(
    now: Instant,
    subscription: &mut Subscription,
    document: &Reginfo,
    server_name: &str,
    branch: &str,
) -> (Flow, Message) {
    let Peer { local, remote, transport } = subscription.peer;
    let state = match subscription.ended {
        Some(reason) => format!("terminated;reason={}", reason.as_str()),
        None => format!("active;expires={}", (subscription.until - now).as_secs()),
    };
    let mut draft = subscription.dialog.request(Method::Notify);
    draft
        .push(Name::Contact, format!("<{server_name}>"))
        .push(Name::Event, subscription.event.clone())
        .push(Name::SubscriptionState, state)
        .body(reginfo::MIME, document.to_xml().into_bytes());
    let via = |transport: Transport| format!("SIP/2.0/{} {local};branch={branch}", transport.as_str());
    let first = transport.unwrap_or(Transport::Udp);
    draft.push_front(Name::Via, via(first));
    let message = draft.finish();
    if transport.is_none() && message.bytes().len() > LARGEST_DATAGRAM {
        draft.set(Name::Via, via(Transport::Tcp));
        return (stream(local, remote), draft.finish());
    }
    let flow = if first == Transport::Udp { Flow::udp(local, remote) } else { stream(local, remote) };
    (flow, message)
}

/// From any port of our address.
fn stream(local: SocketAddr, remote: SocketAddr) -> Flow {
    Flow::tcp(SocketAddr::new(local.ip(), 0), remote)
}
