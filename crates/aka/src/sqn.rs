//! Sequence numbers at both ends: the AuC's generator and the card's array of last accepted values.
//!
//! Both follow the counter scheme (profile 2, no clock) of TS 33.102 Annex C: SEQ grows by one with every vector,
//! IND walks through the slots reserved for IMS, so that an AV that waited at the S-CSCF while EPS authenticated
//! the same card is still fresh (TS 33.203 Annex G).

use std::ops::RangeInclusive;

use crate::{AkaError, Sqn};

const SLOTS: usize = 32;

/// The largest jump of SEQ a card follows.
//= TS 33.102 C.2.1
pub(crate) const DELTA: u64 = 1 << 28;

/// The slots a domain may use, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndRange {
    first: u8,
    last: u8,
}

impl IndRange {
    /// For a K that only IMS uses.
    pub const ALL: Self = Self { first: 0, last: Sqn::MAX_IND };

    pub fn new(first: u8, last: u8) -> Result<Self, AkaError> {
        if first > last || last > Sqn::MAX_IND {
            return Err(AkaError::IndRange);
        }
        Ok(Self { first, last })
    }

    pub fn first(self) -> u8 {
        self.first
    }

    pub fn last(self) -> u8 {
        self.last
    }

    pub fn contains(self, ind: u8) -> bool {
        RangeInclusive::from(self).contains(&ind)
    }

    fn after(self, ind: u8) -> u8 {
        if ind >= self.last || ind < self.first { self.first } else { ind + 1 }
    }
}

impl From<IndRange> for RangeInclusive<u8> {
    fn from(range: IndRange) -> Self {
        range.first..=range.last
    }
}

/// The AuC's counter for one subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqnGenerator {
    last: Sqn,
    range: IndRange,
}

impl SqnGenerator {
    /// The largest jump of SEQ that a card follows: beyond it the counter takes the card's number over.
    pub const LARGEST_JUMP: u64 = DELTA;

    /// Continues after `last`, the highest sequence number that may already have left (zero for a new card).
    pub fn new(last: Sqn, range: IndRange) -> Self {
        Self { last, range }
    }

    /// The highest sequence number handed out so far: SQN_HE.
    pub fn last(&self) -> Sqn {
        self.last
    }

    /// The next sequence number. An end of the number space is an error: wrapping would make every later
    /// challenge stale for ever.
    //= TS 33.102 C.1.1.2
    //= TS 33.102 C.1.2
    #[expect(clippy::should_implement_trait, reason = "this never ends with None and is no iterator")]
    pub fn next(&mut self) -> Result<Sqn, AkaError> {
        let seq = self.last.seq() + 1;
        let next =
            Sqn::from_parts(seq, self.range.after(self.last.ind())).map_err(|_| AkaError::SqnExhausted)?;
        self.last = next;
        Ok(next)
    }

    /// Takes the card's highest number over, unless the next number would be accepted anyway. The caller has
    /// verified MAC-S. Says whether the counter moved.
    ///
    /// The answer judges against the card's highest SEQ whatever the slot: that is the strictest reading, so a
    /// counter that is kept is accepted in every slot.
    //= TS 33.102 6.3.5
    pub fn resynchronise(&mut self, sqn_ms: Sqn) -> bool {
        let next = self.last.seq() + 1;
        let accepted_anyway = next > sqn_ms.seq() && next - sqn_ms.seq() <= DELTA;
        if accepted_anyway {
            return false;
        }
        self.last = sqn_ms;
        true
    }
}

/// The card's memory: the last accepted SEQ in each of 32 slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqnArray {
    slots: [u64; SLOTS],
    age_limit: Option<u64>,
}

impl Default for SqnArray {
    fn default() -> Self {
        Self::new()
    }
}

impl SqnArray {
    /// As it leaves the factory.
    pub fn new() -> Self {
        Self { slots: [0; SLOTS], age_limit: None }
    }

    /// With `L`: a SEQ more than `limit` below the highest is refused even when its slot is older.
    //= TS 33.102 C.2.2
    pub fn with_age_limit(mut self, limit: u64) -> Self {
        self.age_limit = Some(limit);
        self
    }

    /// A card that has already accepted `sqn`, in that slot only.
    pub fn starting_at(sqn: Sqn) -> Self {
        let mut array = Self::new();
        array.store(sqn);
        array
    }

    /// The highest sequence number accepted so far: SQN_MS.
    pub fn highest(&self) -> Sqn {
        let slots = (0u8..).zip(self.slots);
        let highest =
            slots.filter_map(|(ind, seq)| Sqn::from_parts(seq, ind).ok()).max_by_key(|sqn| sqn.seq());
        highest.unwrap_or_default()
    }

    /// Whether `sqn` is fresh.
    //= TS 33.102 C.2.2
    pub fn is_fresh(&self, sqn: Sqn) -> bool {
        let highest = self.highest().seq();
        let newer_than_slot = self.slots.get(usize::from(sqn.ind())).is_some_and(|last| sqn.seq() > *last);
        let jump_allowed = sqn.seq().saturating_sub(highest) <= DELTA;
        let young_enough = self.age_limit.is_none_or(|limit| highest.saturating_sub(sqn.seq()) <= limit);
        newer_than_slot && jump_allowed && young_enough
    }

    /// Stores `sqn` when it is fresh, and says whether it was.
    pub fn accept(&mut self, sqn: Sqn) -> bool {
        let fresh = self.is_fresh(sqn);
        if fresh {
            self.store(sqn);
        }
        fresh
    }

    fn store(&mut self, sqn: Sqn) {
        if let Some(slot) = self.slots.get_mut(usize::from(sqn.ind())) {
            *slot = sqn.seq();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sqn(seq: u64, ind: u8) -> Sqn {
        Sqn::from_parts(seq, ind).unwrap()
    }

    #[test]
    fn aka_4_older_slot_accepts_out_of_order() {
        let mut card = SqnArray::new();
        assert!(card.accept(sqn(10, 3)));
        assert!(card.accept(sqn(9, 2)), "lower than the maximum, but its slot is older");
        assert!(!card.accept(sqn(10, 3)), "the same again");
        assert!(!card.accept(sqn(9, 3)), "older than its slot");
        assert_eq!(card.highest(), sqn(10, 3));
    }

    #[test]
    fn aka_4_jump_beyond_delta_is_refused() {
        let mut card = SqnArray::starting_at(sqn(100, 0));
        assert!(!card.accept(sqn(100 + DELTA + 1, 1)));
        assert!(card.accept(sqn(100 + DELTA, 1)));
        assert!(card.accept(sqn(100 + DELTA + 1, 2)));
    }

    #[test]
    fn aka_4_age_limit_is_optional() {
        let mut strict = SqnArray::starting_at(sqn(1000, 0)).with_age_limit(10);
        assert!(!strict.accept(sqn(989, 1)));
        assert!(strict.accept(sqn(990, 1)));
        assert!(SqnArray::starting_at(sqn(1000, 0)).accept(sqn(1, 1)));
    }

    #[test]
    fn aka_5_the_end_of_seq_is_an_error() {
        let mut generator = SqnGenerator::new(sqn(Sqn::MAX_SEQ - 1, 0), IndRange::ALL);
        assert_eq!(generator.next().unwrap().seq(), Sqn::MAX_SEQ);
        assert_eq!(generator.next(), Err(AkaError::SqnExhausted));
        assert_eq!(generator.next(), Err(AkaError::SqnExhausted));
        assert_eq!(generator.last().seq(), Sqn::MAX_SEQ);
    }

    #[test]
    fn aka_6_resynchronise_moves_only_when_it_must() {
        let range = IndRange::new(8, 15).unwrap();
        let mut behind = SqnGenerator::new(sqn(5, 8), range);
        assert!(behind.resynchronise(sqn(900, 30)));
        assert_eq!(behind.next().unwrap(), sqn(901, 8));

        let mut fine = SqnGenerator::new(sqn(900, 8), range);
        assert!(!fine.resynchronise(sqn(900, 30)));
        assert_eq!(fine.next().unwrap(), sqn(901, 9));

        let mut too_far = SqnGenerator::new(sqn(900 + DELTA, 8), range);
        assert!(too_far.resynchronise(sqn(900, 30)));
        assert_eq!(too_far.next().unwrap().seq(), 901);
    }

    #[test]
    fn ind_range_has_ends() {
        assert_eq!(IndRange::new(3, 2), Err(AkaError::IndRange));
        assert_eq!(IndRange::new(0, 32), Err(AkaError::IndRange));
        let single = IndRange::new(4, 4).unwrap();
        let mut generator = SqnGenerator::new(Sqn::default(), single);
        assert_eq!((generator.next().unwrap().ind(), generator.next().unwrap().ind()), (4, 4));
    }

    proptest! {
        #[test]
        fn aka_10_ind_stays_in_its_range(first in 0u8..32, width in 0u8..32, start in 0u64..1 << 47, count in 1usize..100) {
            let range = IndRange::new(first, (first + width).min(31)).unwrap();
            let mut generator = SqnGenerator::new(Sqn::from_parts(start >> 5, (start & 31) as u8).unwrap(), range);
            let mut last = generator.last();
            for _ in 0..count {
                let next = generator.next().unwrap();
                prop_assert!(range.contains(next.ind()));
                prop_assert_eq!(next.seq(), last.seq() + 1);
                last = next;
            }
        }

        #[test]
        fn aka_6_after_resynchronisation_the_card_accepts(
            he in 0u64..1 << 40, ms in 0u64..1 << 40, he_ind in 0u8..32, ms_ind in 0u8..32,
        ) {
            let mut card = SqnArray::starting_at(sqn(ms, ms_ind));
            let mut generator = SqnGenerator::new(sqn(he, he_ind), IndRange::ALL);
            generator.resynchronise(card.highest());
            for _ in 0..40 {
                prop_assert!(card.accept(generator.next().unwrap()));
            }
        }
    }
}
