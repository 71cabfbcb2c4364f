//! What the task that follows a job and the handles to it tell each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{BlockJobInfo, Outcome, Progress};
use crate::domain::pace::Pace;

/// What handles and streams see of a job.
#[derive(Debug, Clone, Default)]
pub(super) struct JobState {
    pub(super) info: Option<BlockJobInfo>,
    pub(super) progress: Option<Progress>,
    /// Whether the job can be pivoted, which an event or the XML said.
    pub(super) ready: bool,
    /// Whether the end was announced, or the daemon has said that the job is gone. The outcome
    /// follows when the XML has been looked at, or the announcement was waited for.
    pub(super) ended: bool,
    pub(super) outcome: Option<Outcome>,
}

impl JobState {
    /// Whether there is still something to be pivoted or cancelled, as far as is known.
    pub(super) fn is_under_way(&self) -> bool {
        !self.ended && self.outcome.is_none()
    }
}

/// What handles tell the task.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    pub(super) pace: Arc<Pace>,
    pub(super) cancel_on_drop: AtomicBool,
    pub(super) pivots: Requests,
    pub(super) cancels: Requests,
}

/// How many requests of one kind the daemon has taken, or may have.
#[derive(Debug, Default)]
pub(super) struct Requests(AtomicUsize);

impl Requests {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn remove(&self) {
        let less = |count: usize| count.checked_sub(1);
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    pub(super) fn forget(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    pub(super) fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}
