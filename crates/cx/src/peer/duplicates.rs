//! Answers that may have to be given again: a request whose connection was lost comes once more, with the T flag.
//!
//! The first copy has no T flag, so every answer that counts is remembered, for a time and up to a bound.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::Now;
use crate::Answer;
use crate::diameter::{Command, Ids};

/// What makes two messages copies of one request. The Session-Id is in it so that a number which a restarted peer
/// uses again, or which somebody guesses, finds nothing.
//= RFC 6733 3
//= RFC 6733 5.5.4
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) origin_host: String,
    pub(super) end_to_end: u32,
    pub(super) command: Command,
    pub(super) session_id: String,
}

/// Where an answer goes, and what it repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) connection: u64,
    pub(super) ids: Ids,
    pub(super) repeated: Vec<u8>,
}

#[derive(Debug)]
enum Entry {
    /// The server works on it. A copy that came meanwhile names the way that works.
    InProgress { route: Option<Route> },
    /// An answer may hold keys; they are wiped when it goes.
    Answered { answer: Answer, octets: usize },
}

/// What to do with a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen<'a> {
    New,
    /// Its answer will go to the new route.
    InProgress,
    Answered(&'a Answer),
}

#[derive(Debug)]
pub(super) struct Duplicates {
    entries: HashMap<Key, (u64, Entry)>,
    /// In the order in which they go. A key that came again has an older line here, which counts for nothing.
    order: VecDeque<(Now, u64, Key)>,
    serial: u64,
    octets: usize,
    limits: Limits,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) time: Duration,
    pub(super) entries: usize,
    /// Of the answers as they are on the wire.
    pub(super) octets: usize,
}

impl Duplicates {
    pub(super) fn new(limits: Limits) -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new(), serial: 0, octets: 0, limits }
    }

    /// A request has come. Without the T flag it is new, whatever its numbers.
    pub(super) fn request(
        &mut self,
        now: Now,
        key: &Key,
        retransmitted: bool,
        route: impl FnOnce() -> Route,
    ) -> Seen<'_> {
        self.expire(now);
        if retransmitted && self.entries.contains_key(key) {
            return match self.entries.get_mut(key) {
                Some((_, Entry::InProgress { route: other })) => {
                    *other = Some(route());
                    Seen::InProgress
                }
                Some((_, Entry::Answered { answer, .. })) => Seen::Answered(answer),
                None => Seen::New,
            };
        }
        if self.limits.entries == 0 {
            return Seen::New;
        }
        while self.order.len() >= self.limits.entries {
            self.forget_oldest();
        }
        self.serial += 1;
        self.order.push_back((now + self.limits.time, self.serial, key.clone()));
        let before = self.entries.insert(key.clone(), (self.serial, Entry::InProgress { route: None }));
        self.uncount(before);
        Seen::New
    }

    /// Where the answer goes when it is not where the request came from.
    pub(super) fn other_route(&mut self, key: &Key) -> Option<Route> {
        match self.entries.get_mut(key) {
            Some((_, Entry::InProgress { route })) => route.take(),
            _ => None,
        }
    }

    /// The server has answered; `octets` long on the wire.
    pub(super) fn answered(&mut self, key: &Key, answer: Answer, octets: usize) {
        let Some((_, entry)) = self.entries.get_mut(key) else { return };
        if matches!(entry, Entry::Answered { .. }) {
            return;
        }
        *entry = Entry::Answered { answer, octets };
        self.octets += octets;
        while self.octets > self.limits.octets && !self.order.is_empty() {
            self.forget_oldest();
        }
    }

    /// The server gave no answer worth keeping: the next copy is a new request.
    pub(super) fn forget(&mut self, key: &Key) {
        let entry = self.entries.remove(key);
        self.uncount(entry);
    }

    pub(super) fn expire(&mut self, now: Now) {
        while self.order.front().is_some_and(|(until, _, _)| *until <= now) {
            self.forget_oldest();
        }
    }

    pub(super) fn deadline(&self) -> Option<Now> {
        self.order.front().map(|(until, _, _)| *until)
    }

    /// (entries, octets).
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        (self.order.len(), self.octets)
    }

    fn forget_oldest(&mut self) {
        let Some((_, serial, key)) = self.order.pop_front() else { return };
        if self.entries.get(&key).is_some_and(|(current, _)| *current == serial) {
            self.forget(&key);
        }
    }

    fn uncount(&mut self, entry: Option<(u64, Entry)>) {
        if let Some((_, Entry::Answered { octets, .. })) = entry {
            self.octets -= octets;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BaseCode;

    const LIMITS: Limits = Limits { time: Duration::from_secs(30), entries: 4, octets: 1000 };

    fn key(end_to_end: u32) -> Key {
        let (origin_host, session_id) = ("scscf.home.example".to_owned(), "a;1;2".to_owned());
        Key { origin_host, end_to_end, command: Command::MultimediaAuth, session_id }
    }

    fn route(connection: u64) -> Route {
        Route { connection, ids: Ids { hop_by_hop: 1, end_to_end: 1 }, repeated: Vec::new() }
    }

    fn answer(code: u32) -> Answer {
        Answer::Maa(Err(BaseCode::from_code(code).into()))
    }

    #[test]
    fn cx_12_a_copy_gets_the_answer_of_the_first() {
        let mut table = Duplicates::new(LIMITS);
        assert_eq!(table.request(Now::ZERO, &key(1), false, || route(1)), Seen::New);
        assert_eq!(table.request(Now::ZERO, &key(1), true, || route(2)), Seen::InProgress);
        assert_eq!(table.other_route(&key(1)), Some(route(2)));
        table.answered(&key(1), answer(5012), 100);
        assert_eq!(table.request(Now::ZERO, &key(1), true, || route(3)), Seen::Answered(&answer(5012)));
        assert_eq!(
            table.request(Now::ZERO, &key(2), true, || route(3)),
            Seen::New,
            "the first copy was lost"
        );
        let mut other = key(1);
        other.session_id = "b;1;2".to_owned();
        assert_eq!(table.request(Now::ZERO, &other, true, || route(3)), Seen::New);
        // Without the flag the number is used again.
        assert_eq!(table.request(Now::ZERO, &key(1), false, || route(3)), Seen::New);
        assert_eq!(table.octets, 0);
    }

    #[test]
    fn time_count_and_octets_are_bounded() {
        let mut table = Duplicates::new(LIMITS);
        for number in 0..10 {
            table.request(Now::ZERO, &key(number), false, || route(1));
            table.answered(&key(number), answer(5012), 10);
        }
        assert_eq!((table.entries.len(), table.size()), (4, (4, 40)));
        let later = Now::from_secs(29);
        assert!(matches!(table.request(later, &key(9), true, || route(1)), Seen::Answered(_)));
        let too_late = Now::from_secs(30);
        assert_eq!(table.request(too_late, &key(9), true, || route(1)), Seen::New);
        assert_eq!(table.size(), (1, 0));
        // One answer larger than everything is not kept.
        table.answered(&key(9), answer(5012), 2000);
        assert_eq!((table.entries.len(), table.size()), (0, (0, 0)));
        // The same key for ever fills nothing.
        for _ in 0..100 {
            table.request(too_late, &key(1), false, || route(1));
        }
        assert_eq!((table.entries.len(), table.size()), (1, (4, 0)));
    }
}
