//! The S-CSCFs, how loaded each is and which do not answer. Nothing here is about a user.

use std::time::Duration;

use cx::{ServerCapabilities, ServerName};
use sip::Instant;

use crate::SCscf;

/// Which S-CSCF a request needs.
#[derive(Debug, Clone)]
pub(crate) enum Wanted {
    /// The one that the HSS has stored.
    Named(ServerName),
    /// Any that can.
    Capable(ServerCapabilities),
}

/// An S-CSCF by its place in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Choice(usize);

/// How a request to an S-CSCF ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Answered,
    /// 503, and for how many seconds.
    Busy(Option<u32>),
    /// No answer, or no way there.
    Silent,
}

#[derive(Debug)]
struct Member {
    s_cscf: SCscf,
    /// Requests that wait for its answer.
    outstanding: u32,
    health: Health,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    In,
    /// It failed. `probed`: one request is trying whether it is back.
    Out {
        until: Instant,
        probed: bool,
    },
}

#[derive(Debug)]
pub(crate) struct Pool {
    members: Vec<Member>,
    left_out: Duration,
}

impl Pool {
    pub(crate) fn new(s_cscfs: &[SCscf], left_out: Duration) -> Self {
        let member = |s_cscf: &SCscf| Member { s_cscf: s_cscf.clone(), outstanding: 0, health: Health::In };
        Self { members: s_cscfs.iter().map(member).collect(), left_out }
    }

    pub(crate) fn get(&self, choice: Choice) -> Option<&SCscf> {
        self.members.get(choice.0).map(|member| &member.s_cscf)
    }

    /// The best S-CSCF that has not been `tried`: one that answers, named by the HSS, with most of the optional
    /// capabilities, least loaded for its weight; among those still equal `draw` decides by weight. When none of those
    /// that fit is known to answer, one that failed is tried, by one request at a time.
    //= TS 29.228 6.7
    pub(crate) fn choose(
        &self,
        now: Instant,
        wanted: &Wanted,
        tried: &[Choice],
        draw: u64,
    ) -> Option<Choice> {
        let fits = |member: &Member| match wanted {
            Wanted::Named(name) => member.s_cscf.name == *name,
            Wanted::Capable(wanted) => {
                wanted.mandatory.iter().all(|one| member.s_cscf.capabilities.contains(one))
            }
        };
        let able: Vec<(Choice, &Member)> = (0..)
            .map(Choice)
            .zip(&self.members)
            .filter(|(choice, member)| fits(member) && !tried.contains(choice))
            .collect();
        let usable = |member: &Member| match member.health {
            Health::In => true,
            Health::Out { until, probed } => now >= until && !probed,
        };
        let mut best: Vec<(Choice, &Member)> = Vec::new();
        for one in able.iter().copied().filter(|(_, member)| usable(member)) {
            let order = best.first().map(|(_, first)| rank(one.1, wanted).cmp(&rank(first, wanted)));
            match order {
                None | Some(std::cmp::Ordering::Greater) => best = vec![one],
                Some(std::cmp::Ordering::Equal) => best.push(one),
                Some(std::cmp::Ordering::Less) => {}
            }
        }
        if best.is_empty() && matches!(wanted, Wanted::Capable(_)) {
            let out = able.iter().filter_map(|(choice, member)| match member.health {
                Health::Out { until, probed: false } => Some((until, *choice)),
                _ => None,
            });
            return out.min().map(|(_, choice)| choice);
        }
        drawn(&best, draw)
    }

    /// A request goes there.
    pub(crate) fn sent(&mut self, choice: Choice) {
        let Some(member) = self.members.get_mut(choice.0) else { return };
        member.outstanding = member.outstanding.saturating_add(1);
        if let Health::Out { probed, .. } = &mut member.health {
            *probed = true;
        }
    }

    /// What [`Self::sent`] began goes there another way: nothing is known yet.
    pub(crate) fn ended_untold(&mut self, choice: Choice) {
        let Some(member) = self.members.get_mut(choice.0) else { return };
        member.outstanding = member.outstanding.saturating_sub(1);
        if let Health::Out { probed, .. } = &mut member.health {
            *probed = false;
        }
    }

    /// It has said something: whatever there was before, it lives. Answers whether it was left out.
    pub(crate) fn lives(&mut self, choice: Choice) -> bool {
        let Some(member) = self.members.get_mut(choice.0) else { return false };
        std::mem::replace(&mut member.health, Health::In) != Health::In
    }

    /// The end of what [`Self::sent`] began. Answers whether it was left out and is so no longer, or the other way round.
    pub(crate) fn ended(&mut self, now: Instant, choice: Choice, outcome: Outcome) -> bool {
        let left_out = self.left_out;
        let Some(member) = self.members.get_mut(choice.0) else { return false };
        member.outstanding = member.outstanding.saturating_sub(1);
        let pause = match outcome {
            Outcome::Answered => return self.lives(choice),
            Outcome::Busy(Some(seconds)) => Duration::from_secs(seconds.into()).min(left_out),
            Outcome::Busy(None) | Outcome::Silent => left_out,
        };
        let was_in = member.health == Health::In;
        member.health = Health::Out { until: now + pause, probed: false };
        was_in
    }
}

/// More is better.
fn rank(member: &Member, wanted: &Wanted) -> (bool, usize, bool) {
    let (named, optional) = match wanted {
        Wanted::Named(_) => (true, 0),
        Wanted::Capable(wanted) => {
            let has = |one: &&u32| member.s_cscf.capabilities.contains(one);
            (wanted.server_names.contains(&member.s_cscf.name), wanted.optional.iter().filter(has).count())
        }
    };
    (named, optional, member.s_cscf.weight > 0)
}

/// The least loaded for its weight, and by weight where that decides nothing.
fn drawn(best: &[(Choice, &Member)], draw: u64) -> Option<Choice> {
    // a/b < c/d as a*d < c*b: no division, no rounding.
    let load = |member: &Member| (u64::from(member.outstanding), u64::from(member.s_cscf.weight.max(1)));
    let less = |one: (u64, u64), other: (u64, u64)| one.0 * other.1 < other.0 * one.1;
    let least = best
        .iter()
        .map(|(_, member)| load(member))
        .reduce(|least, one| if less(one, least) { one } else { least })?;
    let equal: Vec<_> = best.iter().filter(|(_, member)| !less(least, load(member))).collect();
    let total: u64 = equal.iter().map(|(_, member)| load(member).1).sum();
    let mut at = draw % total.max(1);
    for (choice, member) in equal {
        match at.checked_sub(load(member).1) {
            Some(rest) => at = rest,
            None => return Some(*choice),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s_cscf(name: &str, capabilities: &[u32], weight: u32) -> SCscf {
        let address = "10.0.0.1:5060".parse().unwrap();
        let name = ServerName::new(name).unwrap();
        SCscf { capabilities: capabilities.to_vec(), weight, ..SCscf::new(name, address) }
    }

    fn pool() -> Pool {
        let known = [s_cscf("sip:a", &[1], 1), s_cscf("sip:b", &[1, 2], 1), s_cscf("sip:c", &[1, 2, 3], 1)];
        Pool::new(&known, Duration::from_secs(30))
    }

    fn wanted(mandatory: &[u32], optional: &[u32], named: &[&str]) -> Wanted {
        Wanted::Capable(ServerCapabilities {
            mandatory: mandatory.to_vec(),
            optional: optional.to_vec(),
            server_names: named.iter().map(|name| ServerName::new(name).unwrap()).collect(),
        })
    }

    /// The order in which they would be tried.
    fn order(pool: &Pool, wanted: &Wanted) -> Vec<usize> {
        let mut tried = Vec::new();
        while let Some(choice) = pool.choose(Instant::ZERO, wanted, &tried, 0) {
            tried.push(choice);
        }
        tried.iter().map(|choice| choice.0).collect()
    }

    #[test]
    fn mandatory_capabilities_exclude_optional_ones_and_names_prefer() {
        let pool = pool();
        assert_eq!(order(&pool, &wanted(&[], &[], &[])), [0, 1, 2]);
        assert_eq!(order(&pool, &wanted(&[2], &[], &[])), [1, 2]);
        assert_eq!(order(&pool, &wanted(&[1], &[3], &[])), [2, 0, 1]);
        assert_eq!(order(&pool, &wanted(&[1], &[3], &["sip:b"])), [1, 2, 0]);
        assert!(order(&pool, &wanted(&[9], &[], &[])).is_empty());
        assert_eq!(order(&pool, &Wanted::Named(ServerName::new("sip:c").unwrap())), [2]);
        assert!(order(&pool, &Wanted::Named(ServerName::new("sip:z").unwrap())).is_empty());
    }

    #[test]
    fn users_spread_by_weight_and_a_spare_gets_none() {
        let known = [s_cscf("sip:a", &[], 3), s_cscf("sip:b", &[], 1), s_cscf("sip:spare", &[], 0)];
        let mut pool = Pool::new(&known, Duration::from_secs(30));
        let any = wanted(&[], &[], &[]);
        let mut count = [0; 3];
        for draw in 0..400 {
            count[pool.choose(Instant::ZERO, &any, &[], draw).unwrap().0] += 1;
        }
        assert_eq!(count, [300, 100, 0]);
        // Requests under way weigh against their S-CSCF, for its weight.
        for _ in 0..3 {
            pool.sent(Choice(0));
        }
        for draw in 0..9 {
            assert_eq!(pool.choose(Instant::ZERO, &any, &[], draw), Some(Choice(1)));
        }
        pool.sent(Choice(1));
        pool.sent(Choice(1));
        assert_eq!(pool.choose(Instant::ZERO, &any, &[], 0), Some(Choice(0)));
        pool.ended(Instant::ZERO, Choice(0), Outcome::Silent);
        pool.ended(Instant::ZERO, Choice(1), Outcome::Silent);
        assert_eq!(pool.choose(Instant::ZERO, &any, &[], 0), Some(Choice(2)), "the spare, when no other can");
    }

    #[test]
    fn one_that_failed_is_left_out_then_tried_by_one_request_at_a_time() {
        let mut pool = pool();
        let (dead, any) = (Choice(0), wanted(&[], &[], &[]));
        let named = Wanted::Named(ServerName::new("sip:a").unwrap());
        pool.sent(dead);
        assert!(pool.ended(Instant::ZERO, dead, Outcome::Silent));
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        assert_eq!(pool.choose(at(29), &named, &[], 0), None);
        assert!((0..9).all(|draw| pool.choose(at(29), &any, &[], draw) != Some(dead)));
        assert_eq!(pool.choose(at(30), &named, &[], 0), Some(dead));
        pool.sent(dead);
        assert_eq!(pool.choose(at(30), &named, &[], 0), None, "one at a time");
        assert!(!pool.ended(at(35), dead, Outcome::Silent), "it is out still");
        assert_eq!(pool.choose(at(64), &named, &[], 0), None);
        pool.sent(dead);
        assert!(pool.ended(at(65), dead, Outcome::Answered));
        assert_eq!(pool.choose(at(65), &named, &[], 0), Some(dead));
        // Its Retry-After says for how long, but not for ever.
        pool.sent(dead);
        pool.ended(at(70), dead, Outcome::Busy(Some(3)));
        assert_eq!(pool.choose(at(72), &named, &[], 0), None);
        assert_eq!(pool.choose(at(73), &named, &[], 0), Some(dead));
        pool.sent(dead);
        pool.ended(at(80), dead, Outcome::Busy(Some(u32::MAX)));
        assert_eq!(pool.choose(at(110), &named, &[], 0), Some(dead));
    }

    #[test]
    fn when_all_have_failed_one_request_tries_the_one_that_failed_first() {
        let mut pool = pool();
        for (seconds, one) in [(1, 2), (2, 0), (3, 1)] {
            pool.sent(Choice(one));
            pool.ended(Instant::ZERO + Duration::from_secs(seconds), Choice(one), Outcome::Silent);
        }
        let now = Instant::ZERO + Duration::from_secs(4);
        let any = wanted(&[], &[], &[]);
        assert_eq!(pool.choose(now, &any, &[], 0), Some(Choice(2)));
        pool.sent(Choice(2));
        assert_eq!(pool.choose(now, &any, &[], 0), Some(Choice(0)));
        pool.sent(Choice(0));
        pool.sent(Choice(1));
        assert_eq!(pool.choose(now, &any, &[], 0), None, "a crowd would only keep them down");
    }
}
