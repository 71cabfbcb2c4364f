//! What a guest writes to a disk.

use std::time::Duration;

use tokio::time::Instant;

/// What a guest writes, at a steady rate.
#[derive(Debug, Clone)]
pub(crate) struct Writes {
    rate: u64,
    since: Instant,
    /// All of it up to `since`.
    total: u64,
}

impl Writes {
    /// A guest that writes so many bytes in a second from now on.
    pub(crate) fn new(rate: u64) -> Self {
        Self {
            rate,
            since: Instant::now(),
            total: 0,
        }
    }

    /// How much it writes in a second.
    pub(crate) fn rate(&self) -> u64 {
        self.rate
    }

    /// All that it has written by now.
    pub(crate) fn total(&self, now: Instant) -> u64 {
        self.total.saturating_add(self.since_last(now))
    }

    /// How much it has written since this was asked last.
    pub(crate) fn settle(&mut self, now: Instant) -> u64 {
        let written = self.since_last(now);
        self.total = self.total.saturating_add(written);
        self.since = now;
        written
    }

    /// It writes faster or slower from now on. To be settled first.
    pub(crate) fn set_rate(&mut self, rate: u64) {
        self.rate = rate;
    }

    /// It writes so much at once.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.total = self.total.saturating_add(bytes);
    }

    /// How much it has written since it was settled last.
    pub(crate) fn unsettled(&self, now: Instant) -> u64 {
        self.since_last(now)
    }

    fn since_last(&self, now: Instant) -> u64 {
        transferred(self.rate, now.saturating_duration_since(self.since))
    }
}

/// What a rate in bytes a second comes to in some time.
pub(crate) fn transferred(rate: u64, time: Duration) -> u64 {
    let bytes = u128::from(rate) * time.as_nanos() / 1_000_000_000;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// How long so many bytes take; `None` when they never get there.
pub(crate) fn time_for(bytes: u64, rate: u64) -> Option<Duration> {
    if bytes == 0 {
        return Some(Duration::ZERO);
    }
    let nanos = (u128::from(bytes) * 1_000_000_000)
        .checked_add(u128::from(rate).checked_sub(1)?)?
        .checked_div(u128::from(rate))?;
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn writes_add_up_with_the_clock() {
        let mut writes = Writes::new(1000);
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(writes.settle(Instant::now()), 3000);
        writes.set_rate(1);
        writes.add(7);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(writes.total(Instant::now()), 3009);
    }

    #[test]
    fn rates_and_times_fit_each_other() {
        for (bytes, rate) in [(1, 3), (1 << 40, 7777), (5, 5), (0, 0)] {
            let time = time_for(bytes, rate).unwrap();
            assert!(transferred(rate, time) >= bytes, "{bytes} at {rate}");
        }
        assert_eq!(time_for(1, 0), None);
    }
}
