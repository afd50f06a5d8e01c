//! The subscriptions to the reg event package, found by the dialog and by the identity they watch.

use crate::news::News;
use aka::Impu;
use sip::{Dialog, Instant, Transport};
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;

/// More news than this are told as a whole new document instead.
const MOST_NEWS: usize = 32;

/// Names a subscription; written in hexadecimal it is our tag of the dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SubscriptionId(pub(crate) u64);

impl SubscriptionId {
    pub(crate) fn tag(self) -> String {
        format!("{:016x}", self.0)
    }

    /// `None` for a tag that is none of ours.
    pub(crate) fn of_tag(tag: &str) -> Option<Self> {
        let id = u64::from_str_radix(tag, 16).ok().map(Self)?;
        (id.tag() == tag).then_some(id)
    }
}

/// Where the NOTIFYs of a dialog go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    /// The address the SUBSCRIBE came to.
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    /// As its URI says; without it the size of the NOTIFY decides.
    pub(crate) transport: Option<Transport>,
}

/// Why a subscription ends, as Subscription-State says it.
//= RFC 6665 4.1.3
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// Its time is over, or the subscriber said so.
    Timeout,
    /// Nothing is registered any more.
    NoResource,
    /// Nothing is registered any more, but the user shall come back.
    Deactivated,
    /// A newer subscription of the same subscriber took its place.
    Rejected,
}

impl EndReason {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::NoResource => "noresource",
            Self::Deactivated => "deactivated",
            Self::Rejected => "rejected",
        }
    }
}

/// One subscription.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) dialog: Dialog,
    /// The Event value of the SUBSCRIBE.
    pub(crate) event: String,
    /// Whom it watches.
    pub(crate) impu: Impu,
    /// Who watches, as asserted.
    pub(crate) subscriber: String,
    pub(crate) peer: Peer,
    pub(crate) until: Instant,
    /// Of the next document.
    pub(crate) version: u32,
    /// The CSeq that NOTIFY began with here: another S-CSCF may have sent some before.
    pub(crate) base: u32,
    /// What has not been told yet, at most one entry for a contact.
    news: Vec<News>,
    /// The next document names everything.
    pub(crate) full: bool,
    /// There is something to tell.
    pub(crate) due: bool,
    /// One NOTIFY at a time: the next waits for the answer to the last.
    //= RFC 6665 4.2.2
    pub(crate) in_flight: bool,
    pub(crate) ended: Option<EndReason>,
}

impl Subscription {
    pub(crate) fn new(
        dialog: Dialog,
        event: &str,
        impu: Impu,
        subscriber: String,
        peer: Peer,
        until: Instant,
    ) -> Self {
        Self {
            dialog,
            event: event.to_owned(),
            impu,
            subscriber,
            peer,
            until,
            version: 0,
            base: 0,
            news: Vec::new(),
            full: true,
            due: true,
            in_flight: false,
            ended: None,
        }
    }

    /// The next NOTIFY tells everything.
    pub(crate) fn tell_all(&mut self) {
        self.full = true;
        self.due = true;
    }

    /// Adds news; what they say of a contact replaces what has not been told of it yet.
    pub(crate) fn hear(&mut self, news: &[News]) {
        for one in news {
            self.news.retain(|old| old.binding != one.binding);
            self.news.push(one.clone());
        }
        if self.news.len() > MOST_NEWS {
            self.news.clear();
            self.full = true;
        }
        self.due = true;
    }

    /// The first reason stays.
    pub(crate) fn end(&mut self, reason: EndReason) {
        self.ended.get_or_insert(reason);
        self.due = true;
    }

    pub(crate) fn take_news(&mut self) -> Vec<News> {
        self.due = false;
        std::mem::take(&mut self.news)
    }
}

/// All subscriptions.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    by_id: HashMap<SubscriptionId, Subscription>,
    /// In the order they came.
    watching: HashMap<Impu, Vec<SubscriptionId>>,
}

impl Subscriptions {
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn get_mut(&mut self, id: SubscriptionId) -> Option<&mut Subscription> {
        self.by_id.get_mut(&id)
    }

    pub(crate) fn get(&self, id: SubscriptionId) -> Option<&Subscription> {
        self.by_id.get(&id)
    }

    pub(crate) fn insert(&mut self, id: SubscriptionId, subscription: Subscription) {
        self.watching.entry(subscription.impu.clone()).or_default().push(id);
        self.by_id.insert(id, subscription);
    }

    pub(crate) fn remove(&mut self, id: SubscriptionId) -> Option<Subscription> {
        let subscription = self.by_id.remove(&id)?;
        if let Some(watching) = self.watching.get_mut(&subscription.impu) {
            watching.retain(|other| *other != id);
            if watching.is_empty() {
                self.watching.remove(&subscription.impu);
            }
        }
        Some(subscription)
    }

    /// The subscriptions to any of these identities.
    pub(crate) fn of(&self, impus: &BTreeSet<Impu>) -> Vec<SubscriptionId> {
        impus.iter().filter_map(|impu| self.watching.get(impu)).flatten().copied().collect()
    }

    /// The oldest subscription of this subscriber to this identity, when there are as many as allowed.
    pub(crate) fn to_replace(&self, impu: &Impu, subscriber: &str, most: usize) -> Option<SubscriptionId> {
        let of_subscriber = |id: &&SubscriptionId| {
            self.get(**id).is_some_and(|one| one.subscriber == subscriber && one.ended.is_none())
        };
        let mut held = self.watching.get(impu)?.iter().filter(of_subscriber);
        let oldest = held.next()?;
        (held.count() + 1 >= most).then_some(*oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_tags_name_a_subscription() {
        let id = SubscriptionId(0xab);
        assert_eq!(SubscriptionId::of_tag(&id.tag()), Some(id));
        for strange in ["", "ab", "00000000000000AB", "+0000000000000ab", "00000000000000ab0", "é"] {
            assert_eq!(SubscriptionId::of_tag(strange), None, "{strange}");
        }
    }
}
