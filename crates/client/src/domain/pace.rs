//! How often the daemon is asked about a job.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// When nobody looks at the progress, the daemon is asked only to notice that an event will not come:
/// this long after the last news, then less and less often, down to the longest interval.
const FIRST_INTERVAL: Duration = Duration::from_secs(2);
const LONGEST_INTERVAL: Duration = Duration::from_secs(16);

/// How often the daemon is asked: as often as the most impatient of those who look wishes.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    wishes: Mutex<Wishes>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Wishes {
    /// What each progress stream asks for.
    intervals: Vec<Duration>,
    /// How often the daemon has been asked in vain since there was news.
    idle: u32,
}

impl Wishes {
    fn interval(&self) -> Duration {
        let idle = FIRST_INTERVAL.saturating_mul(1_u32.checked_shl(self.idle).unwrap_or(u32::MAX));
        let wished = self.intervals.iter().min().copied();
        wished.unwrap_or_else(|| idle.min(LONGEST_INTERVAL))
    }
}

/// Keeps a quicker pace while it lives.
#[derive(Debug)]
pub(crate) struct Quickened {
    pace: Arc<Pace>,
    interval: Duration,
}

impl Pace {
    pub(crate) fn quicken(self: &Arc<Self>, interval: Duration) -> Quickened {
        let interval = interval.max(Duration::from_millis(1));
        self.wishes().intervals.push(interval);
        self.changed.notify_one();
        Quickened {
            pace: Arc::clone(self),
            interval,
        }
    }

    /// There is news: has the next question asked at once, and those after it soon.
    pub(crate) fn hurry(&self) {
        self.wishes().idle = 0;
        self.changed.notify_one();
    }

    /// Waits until it is time to ask.
    pub(crate) async fn wait(&self) {
        let interval = self.wishes().interval();
        tokio::select! {
            () = tokio::time::sleep(interval) => {
                let mut wishes = self.wishes();
                wishes.idle = wishes.idle.saturating_add(1);
            }
            () = self.changed.notified() => {}
        }
    }

    fn wishes(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Quickened {
    fn drop(&mut self) {
        let mut wishes = self.pace.wishes();
        let mut intervals = wishes.intervals.iter();
        if let Some(position) = intervals.position(|wish| *wish == self.interval) {
            wishes.intervals.swap_remove(position);
        }
        wishes.idle = 0;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    async fn waited(pace: &Pace) -> Duration {
        let start = Instant::now();
        pace.wait().await;
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn daemon_is_asked_less_and_less_often_until_there_is_news() {
        let pace = Arc::new(Pace::default());
        for seconds in [2, 4, 8, 16, 16, 16] {
            assert_eq!(waited(&pace).await, Duration::from_secs(seconds));
        }
        pace.hurry();
        assert_eq!(waited(&pace).await, Duration::ZERO);
        assert_eq!(waited(&pace).await, Duration::from_secs(2));
        for _ in 0..100 {
            pace.wait().await;
        }
        assert_eq!(waited(&pace).await, Duration::from_secs(16));
    }

    #[tokio::test(start_paused = true)]
    async fn most_impatient_sets_the_pace() {
        let pace = Arc::new(Pace::default());
        let slow = pace.quicken(Duration::from_secs(1));
        let quick = pace.quicken(Duration::from_millis(10));
        pace.wait().await;
        assert_eq!(waited(&pace).await, Duration::from_millis(10));
        drop(quick);
        assert_eq!(waited(&pace).await, Duration::from_secs(1));
        drop(slow);
        assert_eq!(waited(&pace).await, Duration::from_secs(2));
    }
}
