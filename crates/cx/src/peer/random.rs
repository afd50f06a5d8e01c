//! Numbers that keep nodes out of step, from a seed that the shell draws. No key depends on them.

use std::time::Duration;

/// SplitMix64.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn half(&mut self) -> u32 {
        let [a, b, c, d, ..] = self.next().to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// Evenly spread over `middle - spread` to `middle + spread`.
    pub(super) fn around(&mut self, middle: Duration, spread: Duration) -> Duration {
        let part = f64::from(self.half()) / f64::from(u32::MAX);
        middle.saturating_sub(spread) + spread.mul_f64(2.0 * part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_is_kept_and_used() {
        let mut random = Random::new(1);
        let (middle, spread) = (Duration::from_secs(30), Duration::from_secs(2));
        let drawn: Vec<_> = (0..1000).map(|_| random.around(middle, spread)).collect();
        assert!(drawn.iter().all(|one| (28.0..=32.0).contains(&one.as_secs_f64())));
        assert!(drawn.iter().any(|one| one.as_secs_f64() < 28.5));
        assert!(drawn.iter().any(|one| one.as_secs_f64() > 31.5));
    }
}
