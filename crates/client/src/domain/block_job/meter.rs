//! How fast a job goes, reckoned from what the daemon says now and what it said before.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::{BlockJobInfo, Convergence, Progress};

/// How far back the figures count. Long enough to smooth QEMU's slices, short enough to follow a
/// change of the limit.
const WINDOW: Duration = Duration::from_secs(10);

/// How much must have been seen before anything is said.
const LEAST: Duration = Duration::from_millis(400);

/// How much must have been seen before it is said that a mirror does not converge.
const LEAST_TREND: Duration = Duration::from_secs(3);

/// Figures kept, however often the daemon is asked.
const SAMPLES: usize = 64;

/// Remembers what the daemon said of late.
#[derive(Debug, Default)]
pub(super) struct Meter {
    samples: VecDeque<Sample>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    current: u64,
    end: u64,
}

impl Sample {
    fn remaining(&self) -> u64 {
        self.end.saturating_sub(self.current)
    }
}

impl Meter {
    /// Takes the figures of now and says what they mean together with those before.
    pub(super) fn progress(&mut self, now: Instant, info: &BlockJobInfo) -> Progress {
        let mut progress = info.progress();
        if progress.fraction().is_none() {
            return progress;
        }
        self.take(Sample {
            at: now,
            current: info.current,
            end: info.end,
        });
        let (Some(first), Some(last)) = (self.samples.front(), self.samples.back()) else {
            return progress;
        };
        let span = last.at.duration_since(first.at);
        if span < LEAST {
            return progress;
        }
        progress.rate = Some(per_second(last.current.saturating_sub(first.current), span));
        let remaining = last.remaining();
        let shrunk = first.remaining().checked_sub(remaining);
        progress.eta = shrunk.and_then(|shrunk| eta(remaining, shrunk, span));
        if info.ready || !info.is_mirror() {
            return progress;
        }
        progress.convergence = match shrunk {
            Some(1..) => Some(Convergence::Converging),
            _ if span < LEAST_TREND => None,
            Some(0) => Some(Convergence::Stalled),
            None => Some(Convergence::Diverging),
        };
        progress
    }

    fn take(&mut self, sample: Sample) {
        // Figures that went back are those of another pass, or of another daemon.
        if self
            .samples
            .back()
            .is_some_and(|last| sample.current < last.current)
        {
            self.samples.clear();
        }
        while self.samples.len() >= SAMPLES {
            self.thin_out();
        }
        self.samples.push_back(sample);
        while self.is_too_old(sample.at) {
            self.samples.pop_front();
        }
    }

    /// Whether the first sample can be done without: the second is as old as is needed.
    fn is_too_old(&self, now: Instant) -> bool {
        self.samples
            .get(1)
            .is_some_and(|second| now.duration_since(second.at) >= WINDOW)
    }

    /// Forgets every other sample, and keeps the oldest and the newest.
    fn thin_out(&mut self) {
        let newest = self.samples.len().saturating_sub(1);
        let mut position = 0;
        self.samples.retain(|_| {
            let keep = position % 2 == 0 || position == newest;
            position += 1;
            keep
        });
    }
}

fn per_second(bytes: u64, span: Duration) -> u64 {
    let nanos = span.as_nanos().max(1);
    let rate = u128::from(bytes) * 1_000_000_000 / nanos;
    u64::try_from(rate).unwrap_or(u64::MAX)
}

fn eta(remaining: u64, shrunk: u64, span: Duration) -> Option<Duration> {
    if remaining == 0 {
        return Some(Duration::ZERO);
    }
    if shrunk == 0 {
        return None;
    }
    let nanos = u128::from(remaining) * span.as_nanos() / u128::from(shrunk);
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use virtwire_protocol::constants::DomainBlockJobType;

    use super::*;
    use crate::Bandwidth;

    fn info(kind: DomainBlockJobType, current: u64, end: u64) -> BlockJobInfo {
        BlockJobInfo {
            kind,
            bandwidth: Bandwidth::UNLIMITED,
            current,
            end,
            ready: false,
        }
    }

    /// The last of what a meter says to figures a second apart.
    fn after(kind: DomainBlockJobType, figures: &[(u64, u64)]) -> Progress {
        let start = Instant::now();
        let mut meter = Meter::default();
        let mut last = None;
        for (second, &(current, end)) in (0..).zip(figures) {
            let now = start + Duration::from_secs(second);
            last = Some(meter.progress(now, &info(kind, current, end)));
        }
        last.unwrap()
    }

    #[test]
    fn first_figures_say_nothing_of_speed() {
        let progress = after(DomainBlockJobType::PULL, &[(10, 100)]);
        assert_eq!((progress.rate, progress.eta), (None, None));
    }

    #[test]
    fn steady_job_has_a_rate_and_an_end() {
        let progress = after(DomainBlockJobType::PULL, &[(0, 100), (10, 100), (20, 100)]);
        assert_eq!(progress.rate, Some(10));
        assert_eq!(progress.eta, Some(Duration::from_secs(8)));
        assert_eq!(progress.convergence, None);
    }

    #[test]
    fn mirror_that_the_guest_outruns_diverges() {
        let figures: Vec<_> = (0..6).map(|n| (10 * n, 100 + 15 * n)).collect();
        let progress = after(DomainBlockJobType::ACTIVE_COMMIT, &figures);
        assert_eq!(progress.convergence, Some(Convergence::Diverging));
        assert_eq!(progress.rate, Some(10));
        assert_eq!(progress.eta, None);
    }

    #[test]
    fn mirror_that_the_guest_keeps_busy_is_stalled() {
        let figures: Vec<_> = (0..6).map(|n| (10 * n, 100 + 10 * n)).collect();
        let progress = after(DomainBlockJobType::COPY, &figures);
        assert_eq!(progress.convergence, Some(Convergence::Stalled));
    }

    #[test]
    fn mirror_is_not_called_stalled_too_soon_nor_when_it_is_ready() {
        let figures = [(0, 100), (10, 110), (20, 120)];
        let progress = after(DomainBlockJobType::COPY, &figures);
        assert_eq!(progress.convergence, None);

        let start = Instant::now();
        let mut meter = Meter::default();
        for second in 0..10 {
            let info = BlockJobInfo {
                ready: true,
                ..info(DomainBlockJobType::COPY, 100, 100)
            };
            let progress = meter.progress(start + Duration::from_secs(second), &info);
            assert_eq!(progress.convergence, None);
        }
    }

    #[test]
    fn figures_that_went_back_begin_anew() {
        let figures = [(50, 100), (60, 100), (0, 100), (30, 100)];
        let progress = after(DomainBlockJobType::PULL, &figures);
        assert_eq!(progress.rate, Some(30));
        assert_eq!(after(DomainBlockJobType::PULL, &figures[..3]).rate, None);
    }

    #[test]
    fn mirror_that_gets_nearer_converges_at_once() {
        let progress = after(DomainBlockJobType::COPY, &[(0, 100), (20, 110)]);
        assert_eq!(progress.convergence, Some(Convergence::Converging));
        assert_eq!(progress.eta, Some(Duration::from_secs(9)));
    }

    #[test]
    fn speed_is_that_of_late() {
        let mut figures: Vec<_> = (0..20).map(|n| (n, 1000)).collect();
        figures.extend((1..=12).map(|n| (20 + 50 * n, 1000)));
        assert_eq!(after(DomainBlockJobType::PULL, &figures).rate, Some(50));
    }

    #[test]
    fn figures_that_mean_no_data_are_left_out() {
        let progress = after(DomainBlockJobType::COPY, &[(0, 0), (0, 1), (0, 1)]);
        assert_eq!((progress.rate, progress.convergence), (None, None));
    }

    proptest! {
        #[test]
        fn any_figures_are_survived(figures in proptest::collection::vec((any::<u64>(), any::<u64>(), 0_u64..5_000), 1..200)) {
            let mut now = Instant::now();
            let mut meter = Meter::default();
            for (current, end, wait) in figures {
                now += Duration::from_millis(wait);
                let progress = meter.progress(now, &info(DomainBlockJobType::COPY, current, end));
                prop_assert_eq!((progress.current, progress.end), (current, end));
                prop_assert!(meter.samples.len() <= SAMPLES);
                if progress.eta.is_some() {
                    prop_assert!(progress.rate.is_some());
                }
            }
        }
    }
}
