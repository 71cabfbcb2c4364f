//! Block jobs: work on the disks of a running guest.
//!
//! A job is started by a builder on a [`Disk`], which gives a [`BlockJob`]; one that runs already
//! is taken over by [`BlockJob::attach`]. The handle learns how the job ended from the daemon's
//! event, never from the job's disappearance: a job that is gone may have completed, failed or
//! been cancelled. Where the event cannot come any more (the domain was destroyed, the connection
//! was lost) the outcome is [`Outcome::Vanished`], with what was last seen and what the XML shows
//! now, and [`Evidence::resolve`] says what follows from that.
//!
//! Events are asked for before the job starts, so a job that ends before the answer to its start
//! is no less certain.
//!
//! # Which job
//!
//! | to | start | at its end |
//! |---|---|---|
//! | have a disk need its backing chain no more | [`Disk::pull`] | it ends by itself |
//! | have a disk stand on a lower image | [`Disk::pull`] with [`Pull::base`] | it ends by itself |
//! | merge the active image into one below | [`Disk::commit_active`] | [`BlockJob::pivot`] |
//! | merge inner images | [`Disk::commit_inner`] | it ends by itself |
//! | move a disk elsewhere | [`Disk::copy`] | [`BlockJob::pivot`] |
//! | keep a copy of a moment | [`Disk::copy`] | [`BlockJob::cancel`], once it is ready |
//! | do this on several disks | [`JobSet::start`] | [`JobSet::pivot`] |
//! | back up, also what has changed only | [`Domain::backup`](crate::Domain::backup) | a job of the whole domain, with a handle of its own |
//!
#![doc = include_str!("pitfalls.md")]

mod attach;
mod commit;
mod copy;
mod destination;
mod ending;
mod evidence;
mod info;
mod meter;
mod monitor;
mod outcome;
mod plan;
mod progress;
mod pull;
mod set;
mod start;
mod state;
mod subject;
mod watch;

pub use attach::RunningBlockJob;
pub use commit::{CommitActive, CommitBase, CommitInner};
pub use copy::BlockCopy;
pub use destination::CopyDestination;
pub use evidence::{Evidence, JobAfterwards, VanishedReason, Verdict};
pub use info::{BlockJobInfo, Convergence, Progress};
pub use outcome::{JobFailure, NextStart, Outcome};
pub use plan::{Obstacle, Plan};
pub use progress::ProgressStream;
pub use pull::Pull;
pub use set::{DiskEnd, JobSet, JobStart, SetEnd, SetNotStarted};

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch::Receiver;
use virtwire_protocol::constants::DomainBlockJobType;

use self::state::{JobState, Wishes};
use self::subject::Subject;
use crate::error::Cause;
use crate::{Bandwidth, Disk, Error};

/// A block job of a running guest.
///
/// Clones are handles to the same job. Dropping them all, and the [`ProgressStream`]s of the job,
/// leaves the job running, unless [`cancel_on_drop`](Self::cancel_on_drop) says otherwise.
///
/// The handle survives the loss of the connection where that is
/// [opened again](crate::Builder::reconnect): it then looks at what has become of the job.
#[derive(Debug, Clone)]
pub struct BlockJob {
    subject: Arc<Subject>,
    state: Receiver<JobState>,
    wishes: Arc<Wishes>,
}

/// What [`BlockJob::wait_ready`] has waited for.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Readiness {
    /// The job can be [pivoted](BlockJob::pivot).
    Ready,
    /// The job is over.
    Over(Outcome),
}

impl BlockJob {
    /// The disk that the job works on, named by its target.
    #[must_use]
    pub fn disk(&self) -> &Disk {
        &self.subject.disk
    }

    /// What kind of job it is.
    #[must_use]
    pub fn kind(&self) -> DomainBlockJobType {
        self.subject.kind
    }

    /// What the daemon says of the job now; `None` when it is over or about to be, which says
    /// nothing about how: that is what [`wait`](Self::wait) is for.
    ///
    /// # Errors
    ///
    /// `OPERATION_INVALID` when the domain does not run any more.
    pub async fn info(&self) -> Result<Option<BlockJobInfo>, Error> {
        let info = self.disk().job_info().await?;
        let ready = self.is_ready();
        Ok(info
            .filter(|info| info.kind == self.kind())
            .map(|info| BlockJobInfo { ready, ..info }))
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
        ProgressStream::new(self.state.clone(), self.wishes.pace.quicken(interval))
    }

    /// Limits the job, or lifts the limit.
    ///
    /// # Errors
    ///
    /// Kind `InvalidInput` when the job is known to be over: nothing is sent then, for another may
    /// run in its place. `INVALID_ARG` when the daemon knows first.
    #[doc(alias = "virDomainBlockJobSetSpeed")]
    pub async fn set_speed(&self, bandwidth: Bandwidth) -> Result<(), Error> {
        if !self.state.borrow().is_under_way() {
            return Err(Error::from(Cause::InvalidInput {
                what: "a limit",
                limit: "a job that runs",
                given: "one that is over".to_owned(),
            }));
        }
        self.disk().set_job_speed(bandwidth).await
    }

    /// Has the job cancelled when the last handle to it is dropped, in the background. Nobody
    /// then learns how it ended, and a process that ends cancels nothing.
    #[must_use]
    pub fn cancel_on_drop(self) -> Self {
        self.wishes.cancel_on_drop.store(true, Ordering::Relaxed);
        self
    }

    /// Takes [`cancel_on_drop`](Self::cancel_on_drop) back.
    fn leave_on_drop(&self) {
        self.wishes.cancel_on_drop.store(false, Ordering::Relaxed);
    }

    /// Whether the job is known to be ready to be [pivoted](Self::pivot). An event says so, or the
    /// XML where the event may have been missed; the daemon's figures do not.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let state = self.state.borrow();
        state.ready && state.is_under_way()
    }

    /// The outcome, if the job is over.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.state.borrow().outcome.clone()
    }

    /// Waits until the job can be [pivoted](Self::pivot), or is over: at once if it is so already.
    /// A pull and an inner commit cannot be pivoted, so it waits for their end.
    ///
    /// A guest that writes faster than the job copies can keep a job from ever being ready;
    /// [`Progress::convergence`] shows it.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is lost by dropping the future.
    pub async fn wait_ready(&self) -> Readiness {
        let decided =
            |state: &JobState| state.outcome.is_some() || (state.ready && state.is_under_way());
        match self.wait_until(decided).await {
            None => Readiness::Ready,
            Some(outcome) => Readiness::Over(outcome),
        }
    }

    /// Waits until the job is over and says how it ended. May be called any number of times.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is lost by dropping the future.
    pub async fn wait(&self) -> Outcome {
        let over = self.wait_until(|state| state.outcome.is_some()).await;
        over.unwrap_or_else(|| self.unwatched())
    }

    /// Waits for a state of the job, and gives the outcome if it is over then.
    async fn wait_until(&self, is_reached: impl FnMut(&JobState) -> bool) -> Option<Outcome> {
        let mut state = self.state.clone();
        let reached = state.wait_for(is_reached).await;
        match reached {
            Ok(state) => state.outcome.clone(),
            Err(_) => Some(self.outcome().unwrap_or_else(|| self.unwatched())),
        }
    }

    /// The outcome of a job that nobody watches any more, since the runtime was shut down.
    fn unwatched(&self) -> Outcome {
        let last_info = self.state.borrow().info;
        let evidence = Evidence::new(VanishedReason::Unwatched, &self.subject, last_info);
        Outcome::Vanished(Box::new(evidence))
    }
}
