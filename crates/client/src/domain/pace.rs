//! How often the daemon is asked about a job.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// How often the daemon is asked when nobody looks at the progress: only to notice that an event
/// will not come.
const IDLE_INTERVAL: Duration = Duration::from_secs(2);

/// How often the daemon is asked: as often as the most impatient of those who look wishes.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// What each progress stream asks for.
    wishes: Mutex<Vec<Duration>>,
    changed: Notify,
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
        self.wishes().push(interval);
        self.changed.notify_one();
        Quickened {
            pace: Arc::clone(self),
            interval,
        }
    }

    /// Has the next question asked at once.
    pub(crate) fn hurry(&self) {
        self.changed.notify_one();
    }

    /// Waits until it is time to ask.
    pub(crate) async fn wait(&self) {
        tokio::select! {
            () = tokio::time::sleep(self.interval()) => {}
            () = self.changed.notified() => {}
        }
    }

    fn interval(&self) -> Duration {
        self.wishes().iter().min().copied().unwrap_or(IDLE_INTERVAL)
    }

    fn wishes(&self) -> MutexGuard<'_, Vec<Duration>> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Quickened {
    fn drop(&mut self) {
        let mut wishes = self.pace.wishes();
        if let Some(position) = wishes.iter().position(|wish| *wish == self.interval) {
            wishes.swap_remove(position);
        }
    }
}
