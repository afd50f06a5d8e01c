//! What the parties of a dialog asked for when it began, for as long as it lives: a node that executes privacy treats
//! every later message of a party as its first one.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use sip::{Draft, Instant, Message, Method, Name, NameAddr, SubscriptionState};

use crate::{Privacy, PrivacyError, Value};

/// A dialog that nobody has accepted is over when nothing is said for so long: each 1xx comes earlier (Timer C).
const EARLY: Duration = Duration::from_secs(600);

/// Octets of names that an entry may have on the average.
const OCTETS_EACH: usize = 512;

/// Bounded, and it forgets nobody whose dialog lives: when it is full, what would have to be remembered is refused.
///
/// A message that goes out to where privacy is executed passes [`Self::request`] or [`Self::response`]; a request
/// that comes in from there passes [`Self::inward`]; every answer, either way, is told to [`Self::answered`] and gets
/// [`crate::answer_as_asked`].
#[derive(Debug)]
pub struct PrivacyMemory {
    limits: MemoryLimits,
    parties: HashMap<Arc<Key>, Party>,
    /// When they are forgotten, earliest first.
    due: BTreeMap<(Instant, u64), Arc<Key>>,
    octets: usize,
    stamp: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Parties, of whom a dialog has at most two. Answers, which cannot be refused, may fill it to the double.
    pub capacity: usize,
    /// A dialog that says nothing for so long is over.
    pub idle: Duration,
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self { capacity: 100_000, idle: Duration::from_secs(12 * 3600) }
    }
}

/// Why a request must not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    #[error(transparent)]
    Privacy(#[from] PrivacyError),
    #[error("remember the privacy of one more dialog")]
    Full,
    /// Whoever does this wants what is kept for the other.
    #[error("begin a dialog under the Call-ID and tag of somebody else")]
    Taken,
}

impl MemoryError {
    /// Status and reason phrase of the answer.
    pub fn status(&self) -> (u16, String) {
        match self {
            Self::Privacy(error) => error.status(),
            Self::Full => (503, "Service Unavailable".into()),
            Self::Taken => (400, "Call-ID and Tag in Use".into()),
        }
    }
}

/// One party of one dialog.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    call_id: Box<str>,
    tag: Box<str>,
}

#[derive(Debug)]
struct Party {
    privacy: Privacy,
    /// From as the party wrote it, where others see an anonymous one.
    address: Option<Box<str>>,
    /// Of the From in the request that began the dialog; `None` for whoever came in later.
    opener: Option<u64>,
    usage: Usage,
    /// A 2xx has passed: the dialog stands.
    is_established: bool,
    due: (Instant, u64),
    octets: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Usage {
    Call,
    Subscription,
}

impl PrivacyMemory {
    pub fn new(limits: MemoryLimits) -> Self {
        Self { limits, parties: HashMap::new(), due: BTreeMap::new(), octets: 0, stamp: 0 }
    }

    pub fn len(&self) -> usize {
        self.parties.len()
    }

    pub fn is_empty(&self) -> bool {
        self.parties.is_empty()
    }

    /// The privacy to execute for a request that goes out: what it asks for itself, and what its sender asked for
    /// earlier in its dialog. Remembered when it begins a dialog or belongs to one.
    pub fn request(&mut self, now: Instant, request: &Message) -> Result<Option<Privacy>, MemoryError> {
        let own = Privacy::of(request)?;
        let Some(key) = key(request, Name::From) else { return Ok(own) };
        let capacity = self.limits.capacity;
        let begins = begins_dialog(request);
        if begins && self.parties.get(&key).is_some_and(|party| party.opener != opener(request)) {
            return Err(MemoryError::Taken);
        }
        let keeps = begins || key_tag(request, Name::To).is_some();
        let wanted = self.joined(now, &key, own);
        wanted.as_ref().map_or(Ok(()), Privacy::check)?;
        match &wanted {
            Some(privacy) if keeps => self.keep(now, key, privacy, request, capacity)?,
            _ => {}
        }
        Ok(wanted)
    }

    /// The same for a response. One that nobody can read counts as [`Privacy::cautious`].
    pub fn response(&mut self, now: Instant, response: &Message) -> Option<Privacy> {
        let own = Privacy::of_response(response);
        let Some(key) = key(response, Name::To) else { return own };
        let capacity = self.limits.capacity.saturating_mul(2);
        let wanted = self.joined(now, &key, own);
        if let Some(privacy) = wanted.as_ref().filter(|_| makes_dialog(response.method())) {
            // Beyond the double the party is on its own: it says in its later messages what it wants, or not.
            let _ = self.keep(now, key, privacy, response, capacity);
        }
        wanted
    }

    /// A request that comes in from where its receiver was made anonymous: To gets back the address that the receiver
    /// knows.
    pub fn inward(&mut self, now: Instant, request: &Message, draft: &mut Draft<'_>) {
        let Some(key) = key(request, Name::To) else { return };
        self.touch(now, &key);
        let Some(address) = self.parties.get(&key).and_then(|party| party.address.as_deref()) else { return };
        draft.set(Name::To, address.to_owned());
    }

    /// A request was answered: dialogs begin to stand, or end.
    pub fn answered(&mut self, request: &Message, response: &Message) {
        let status = response.status().unwrap_or(0);
        if begins_dialog(request) {
            let both = [key(request, Name::From), key(response, Name::To)].into_iter().flatten();
            return match status {
                200..300 => both.for_each(|key| self.establish(&key)),
                300.. => both.for_each(|key| self.drop_unanswered(&key)),
                _ => {}
            };
        }
        // The dialog is the request's: what an answer says of itself ends nobody else's.
        let both = [key(request, Name::From), key(request, Name::To)];
        match request.method() {
            //= RFC 3261 15.1.1: 481 and 408 end a dialog as 200 does
            Method::Bye if matches!(status, 200..300 | 408 | 481) => self.end(both, Usage::Call),
            Method::Notify if status >= 200 && is_last(request) => self.end(both, Usage::Subscription),
            _ => {}
        }
    }

    /// A dialog is over without a word: what the party of this tag wanted in it does not matter any more.
    pub fn end_of(&mut self, call_id: &str, tag: &str) {
        self.forget(&Key { call_id: call_id.into(), tag: tag.into() });
    }

    /// Forgets the dialogs that have been silent for too long.
    pub fn expire(&mut self, now: Instant) {
        while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= now) {
            let key = Arc::clone(entry.get());
            self.forget(&key);
        }
    }

    /// When [`Self::expire`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// What is wanted now, with what was wanted before.
    fn joined(&mut self, now: Instant, key: &Key, own: Option<Privacy>) -> Option<Privacy> {
        self.touch(now, key);
        match (self.parties.get(key), own) {
            (Some(party), Some(own)) => Some(party.privacy.clone().and(&own)),
            (Some(party), None) => Some(party.privacy.clone()),
            (None, own) => own,
        }
    }

    fn keep(
        &mut self,
        now: Instant,
        key: Key,
        privacy: &Privacy,
        message: &Message,
        capacity: usize,
    ) -> Result<(), MemoryError> {
        let hides_from = message.is_request() && privacy.asks(&Value::User);
        let known = self.parties.get(&key);
        let first_address = known.and_then(|party| party.address.as_deref());
        let address = first_address.or_else(|| message.first(Name::From).filter(|_| hides_from));
        let octets = octets(&key, privacy, address);
        let others = self.octets.saturating_sub(known.map_or(0, |party| party.octets));
        let is_full = known.is_none() && self.parties.len() >= capacity;
        if is_full || others.saturating_add(octets) > capacity.saturating_mul(OCTETS_EACH) {
            return Err(MemoryError::Full);
        }
        let address: Option<Box<str>> = address.map(Into::into);
        self.octets = others.saturating_add(octets);
        if let Some(party) = self.parties.get_mut(&key) {
            (party.privacy, party.address, party.octets) = (privacy.clone(), address, octets);
            return Ok(());
        }
        let key = Arc::new(key);
        let is_established = !begins_dialog(message) && message.status().is_none_or(|status| status >= 200);
        let due = self.next_due(now, is_established);
        let usage = match message.method() {
            Method::Subscribe | Method::Refer | Method::Notify => Usage::Subscription,
            _ => Usage::Call,
        };
        self.due.insert(due, Arc::clone(&key));
        let party = Party {
            privacy: privacy.clone(),
            address,
            opener: if begins_dialog(message) { opener(message) } else { None },
            usage,
            is_established,
            due,
            octets,
        };
        self.parties.insert(key, party);
        Ok(())
    }

    fn next_due(&mut self, now: Instant, is_established: bool) -> (Instant, u64) {
        self.stamp = self.stamp.wrapping_add(1);
        (now + if is_established { self.limits.idle } else { self.early() }, self.stamp)
    }

    fn early(&self) -> Duration {
        self.limits.idle.min(EARLY)
    }

    fn touch(&mut self, now: Instant, key: &Key) {
        let Some(is_established) = self.parties.get(key).map(|party| party.is_established) else { return };
        let due = self.next_due(now, is_established);
        self.put_off(key, due);
    }

    fn put_off(&mut self, key: &Key, due: (Instant, u64)) {
        let Some(party) = self.parties.get_mut(key) else { return };
        if let Some(key) = self.due.remove(&std::mem::replace(&mut party.due, due)) {
            self.due.insert(due, key);
        }
    }

    fn establish(&mut self, key: &Key) {
        let Some(party) = self.parties.get_mut(key).filter(|party| !party.is_established) else { return };
        party.is_established = true;
        let (early_end, stamp) = party.due;
        self.put_off(key, (early_end + (self.limits.idle - self.early()), stamp));
    }

    /// The first request failed. A dialog that stands is not ended so: anybody who has heard its names can repeat them.
    fn drop_unanswered(&mut self, key: &Key) {
        if self.parties.get(key).is_some_and(|party| !party.is_established) {
            self.forget(key);
        }
    }

    /// A BYE does not end the subscriptions of a dialog, nor the last NOTIFY a call.
    fn end(&mut self, both: [Option<Key>; 2], usage: Usage) {
        for key in both.into_iter().flatten() {
            if self.parties.get(&key).is_some_and(|party| party.usage == usage) {
                self.forget(&key);
            }
        }
    }

    fn forget(&mut self, key: &Key) {
        if let Some(party) = self.parties.remove(key) {
            self.due.remove(&party.due);
            self.octets = self.octets.saturating_sub(party.octets);
        }
    }
}

impl Default for PrivacyMemory {
    fn default() -> Self {
        Self::new(MemoryLimits::default())
    }
}

/// The party named in From or To; none where there is no tag.
fn key(message: &Message, name: Name) -> Option<Key> {
    let tag = key_tag(message, name)?;
    Some(Key { call_id: message.call_id().into(), tag: tag.into() })
}

/// What tells a repetition of the first request from somebody else's.
fn opener(request: &Message) -> Option<u64> {
    let from = request.first(Name::From)?;
    let mut hasher = DefaultHasher::new();
    from.hash(&mut hasher);
    Some(hasher.finish())
}

/// What an entry costs of what a peer can make long.
fn octets(key: &Key, privacy: &Privacy, address: Option<&str>) -> usize {
    let words: usize = privacy.words().map(str::len).sum();
    key.call_id.len() + key.tag.len() + words + address.map_or(0, str::len)
}

fn key_tag(message: &Message, name: Name) -> Option<&str> {
    message.first(name).and_then(NameAddr::parse).and_then(|address| address.tag())
}

fn makes_dialog(method: Method<'_>) -> bool {
    matches!(method, Method::Invite | Method::Subscribe | Method::Refer)
}

fn begins_dialog(message: &Message) -> bool {
    message.is_request() && makes_dialog(message.method()) && key_tag(message, Name::To).is_none()
}

fn is_last(notify: &Message) -> bool {
    SubscriptionState::of(notify).is_some_and(|state| state.is_terminated())
}
