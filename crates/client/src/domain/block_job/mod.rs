//! Block jobs: work on the disks of a running guest.
//!
//! A job is started by a builder on a [`Disk`], which gives a [`BlockJob`]. The handle learns how
//! the job ended from the daemon's event, never from the job's disappearance: a job that is gone
//! may have completed, failed or been cancelled. Where the event cannot come any more (the domain
//! was destroyed, the connection was lost) the outcome is [`Outcome::Vanished`], with what was
//! last seen.
//!
//! Events are asked for before the job starts, so a job that ends before the answer to its start
//! is no less certain.

mod info;
mod monitor;
mod outcome;
mod progress;
mod pull;

pub use info::{BlockJobInfo, Progress};
pub use outcome::{Evidence, JobFailure, Outcome, VanishedReason};
pub use progress::ProgressStream;
pub use pull::Pull;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use virtwire_protocol::constants::{DomainBlockJobAbortFlags, DomainBlockJobType, ErrorCode};

use self::monitor::{JobState, Pace};
use crate::{Bandwidth, Disk, Error};

/// How long a job may go on after the daemon refused to cancel it, before the refusal counts.
/// Longer than the monitor takes to notice that a job is gone without an event.
const ENDING_GRACE: Duration = Duration::from_secs(5);

/// A block job that this process started.
///
/// Clones are handles to the same job. Dropping them all leaves the job running.
#[derive(Debug, Clone)]
pub struct BlockJob {
    disk: Disk,
    kind: DomainBlockJobType,
    state: watch::Receiver<JobState>,
    pace: Arc<Pace>,
}

impl BlockJob {
    /// The disk that the job works on, named by its target.
    #[must_use]
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// What kind of job it is.
    #[must_use]
    pub fn kind(&self) -> DomainBlockJobType {
        self.kind
    }

    /// What the daemon says of the job now; `None` when it is over or about to be, which says
    /// nothing about how: that is what [`wait`](Self::wait) is for.
    ///
    /// # Errors
    ///
    /// `OPERATION_INVALID` when the domain does not run any more.
    pub async fn info(&self) -> Result<Option<BlockJobInfo>, Error> {
        Ok(self
            .disk
            .job_info()
            .await?
            .filter(|info| info.kind == self.kind))
    }

    /// The job's progress: an item at once, then one for every change until the job is over. The
    /// daemon is asked twice a second while such a stream exists.
    #[must_use]
    pub fn progress(&self) -> ProgressStream {
        self.progress_every(Duration::from_millis(500))
    }

    /// As [`progress`](Self::progress), with the daemon asked at the given interval (at least a
    /// millisecond). Of several streams of one job the most impatient sets the pace.
    #[must_use]
    pub fn progress_every(&self, interval: Duration) -> ProgressStream {
        ProgressStream::new(self.state.clone(), self.pace.quicken(interval))
    }

    /// Limits the job, or lifts the limit.
    ///
    /// # Errors
    ///
    /// `INVALID_ARG` when the job is over.
    #[doc(alias = "virDomainBlockJobSetSpeed")]
    pub async fn set_speed(&self, bandwidth: Bandwidth) -> Result<(), Error> {
        self.disk.set_job_speed(bandwidth).await
    }

    /// Asks the daemon to cancel the job and waits until it is over. The request holds neither
    /// the domain nor a place among the calls in flight while the job winds down. A job that won
    /// the race has another outcome than `Cancelled`.
    ///
    /// # Errors
    ///
    /// When the daemon refuses, other than because the job is over or being ended already.
    ///
    /// # Cancel safety
    ///
    /// Once the request is sent the job will be cancelled whether or not anybody waits.
    #[doc(alias = "virDomainBlockJobAbort")]
    pub async fn cancel(&self) -> Result<Outcome, Error> {
        if let Some(outcome) = self.outcome() {
            return Ok(outcome);
        }
        match self.disk.abort_job(DomainBlockJobAbortFlags::ASYNC).await {
            Ok(()) => Ok(self.wait().await),
            Err(refusal) => self.end_despite(refusal).await,
        }
    }

    /// A job may end while we ask to end it, and the daemon then refuses in many ways: the job is
    /// gone, or is being ended already, or QEMU has concluded it and libvirt does not know yet.
    /// Whether the refusal was one of those shows in whether the job ends.
    async fn end_despite(&self, refusal: Error) -> Result<Outcome, Error> {
        let being_ended = refusal.has_code(ErrorCode::OPERATION_INVALID);
        if being_ended || refusal.is_closed() {
            return Ok(self.wait().await);
        }
        timeout(ENDING_GRACE, self.wait())
            .await
            .map_err(|_| refusal)
    }

    /// The outcome, if the job is over.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.state.borrow().outcome.clone()
    }

    /// Waits until the job is over and says how it ended. May be called any number of times.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is lost by dropping the future.
    pub async fn wait(&self) -> Outcome {
        let mut state = self.state.clone();
        let outcome = match state.wait_for(|state| state.outcome.is_some()).await {
            Ok(state) => state.outcome.clone(),
            Err(_) => self.outcome(),
        };
        outcome.unwrap_or_else(|| {
            let evidence = Evidence::new(VanishedReason::Unwatched, self.last_info());
            Outcome::Vanished(Box::new(evidence))
        })
    }

    fn last_info(&self) -> Option<BlockJobInfo> {
        self.state.borrow().info
    }
}
