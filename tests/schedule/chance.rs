//! Chance that is the same for the same seed.

use std::time::Duration;

/// A source of chance (`SplitMix64`).
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bf0_3635)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit
    }

    /// Happens once in so many times.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }

    pub(crate) fn up_to(&mut self, millis: u64) -> Duration {
        Duration::from_millis(self.below(millis + 1))
    }

    /// What a daemon takes to answer: mostly nothing or next to it.
    pub(crate) fn latency(&mut self) -> Duration {
        match self.below(10) {
            0..=3 => Duration::ZERO,
            4..=7 => self.up_to(8),
            8 => self.up_to(150),
            _ => self.up_to(900),
        }
    }

    /// A moment in a schedule: the first ones are the most interesting.
    pub(crate) fn moment(&mut self) -> Duration {
        match self.below(10) {
            0 | 1 => self.up_to(5),
            2..=4 => self.up_to(100),
            5..=7 => self.up_to(3_000),
            _ => self.up_to(15_000),
        }
    }
}

/// A time in whole milliseconds.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap()
}
