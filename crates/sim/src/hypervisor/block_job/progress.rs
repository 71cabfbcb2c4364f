//! How far a block job is, computed from the clock.

use std::time::Duration;

use tokio::time::Instant;

use crate::hypervisor::disk::{time_for, transferred};

/// How far a job is: so much was done at a moment, and it goes on at a steady rate.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    since: Instant,
    done: u64,
    total: u64,
    rate: u64,
    /// How much is added to the work in a second.
    growth: u64,
    halted: bool,
}

impl Progress {
    /// Work that begins at a moment.
    pub(crate) fn new(begins: Instant, total: u64, rate: u64, growth: u64) -> Self {
        Self {
            since: begins,
            done: 0,
            total,
            rate,
            growth,
            halted: false,
        }
    }

    /// How much is done and how much there is to do, in bytes.
    pub(crate) fn at(&self, now: Instant) -> (u64, u64) {
        if self.halted {
            return (self.done, self.total);
        }
        let time = now.saturating_duration_since(self.since);
        let total = self.total.saturating_add(transferred(self.growth, time));
        let done = self.done.saturating_add(transferred(self.rate, time));
        (done.min(total), total)
    }

    /// How much is done in a second, while there is something to do.
    pub(crate) fn rate(&self, now: Instant) -> u64 {
        match self.at(now) {
            (done, total) if self.halted || (done == total && self.growth == 0) => 0,
            _ => self.rate,
        }
    }

    /// When everything will be done; never if more is added than done.
    pub(crate) fn end(&self) -> Option<Instant> {
        let left = self.total.saturating_sub(self.done);
        let net = self.rate.saturating_sub(self.growth);
        self.after(time_for(left, net))
    }

    /// When so many bytes will be done.
    pub(crate) fn reaches(&self, done: u64) -> Option<Instant> {
        self.after(time_for(done.saturating_sub(self.done), self.rate))
    }

    /// It goes on at this rate, and the work grows at that.
    pub(crate) fn set_rates(&mut self, now: Instant, rate: u64, growth: u64) {
        self.note(now);
        (self.rate, self.growth) = (rate, growth);
    }

    /// Nothing moves any more, or everything again.
    pub(crate) fn halt(&mut self, now: Instant, halted: bool) {
        self.note(now);
        self.halted = halted;
    }

    /// So much more is done at once.
    pub(crate) fn add(&mut self, now: Instant, done: u64) {
        self.note(now);
        self.done = self.done.saturating_add(done).min(self.total);
    }

    /// Everything is done at once.
    pub(crate) fn finish(&mut self, now: Instant) {
        self.note(now);
        self.done = self.total;
    }

    fn after(&self, time: Option<Duration>) -> Option<Instant> {
        if self.halted {
            return None;
        }
        self.since.checked_add(time?)
    }

    fn note(&mut self, now: Instant) {
        (self.done, self.total) = self.at(now);
        // Work that has not begun yet begins when it was to.
        self.since = self.since.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn work_is_done_at_its_rate() {
        let now = Instant::now();
        let mut progress = Progress::new(now, 1000, 100, 0);
        assert_eq!(progress.at(now + SECOND), (100, 1000));
        assert_eq!(progress.end(), Some(now + SECOND * 10));
        progress.set_rates(now + SECOND, 900, 0);
        assert_eq!(progress.end(), Some(now + SECOND * 2));
        assert_eq!(progress.at(now + SECOND * 100), (1000, 1000));
        assert_eq!(progress.reaches(550), Some(now + SECOND * 3 / 2));
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_grows_faster_than_it_is_done_never_ends() {
        let now = Instant::now();
        let progress = Progress::new(now, 1000, 100, 100);
        assert_eq!(progress.end(), None);
        assert_eq!(progress.at(now + SECOND * 20), (2000, 3000));
        let progress = Progress::new(now, 1000, 100, 50);
        assert_eq!(progress.end(), Some(now + SECOND * 20));
        assert_eq!(progress.at(now + SECOND * 20), (2000, 2000));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_done_while_halted() {
        let now = Instant::now();
        let mut progress = Progress::new(now, 1000, 100, 0);
        progress.halt(now + SECOND, true);
        assert_eq!(
            (progress.at(now + SECOND * 5), progress.end()),
            ((100, 1000), None)
        );
        progress.halt(now + SECOND * 5, false);
        assert_eq!(progress.end(), Some(now + SECOND * 14));
    }
}
