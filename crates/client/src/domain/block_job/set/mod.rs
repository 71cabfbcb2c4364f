//! Jobs on several disks as one.

mod end;
mod start;

pub use end::{DiskEnd, SetEnd};
pub use start::{JobStart, SetNotStarted};

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use super::{BlockJob, Outcome, Readiness};
use crate::error::Cause;
use crate::{Domain, Error};

/// How long the cancellation of the others may take when one job of a set has failed.
const CANCEL_GRACE: Duration = Duration::from_secs(10);

/// Jobs on several disks, handled as one: all are started or none goes on, and all are pivoted
/// together or the rest is cancelled.
///
/// libvirt knows no such thing: between the first pivot and the last the guest can die, and a
/// pivot cannot be taken back. A set keeps that time short and says truthfully how far it came.
///
/// ```no_run
/// # async fn example(guest: virtwire::Domain) -> Result<(), Box<dyn std::error::Error>> {
/// use virtwire::JobSet;
///
/// let set = JobSet::start([
///     guest.disk("vda").commit_active(),
///     guest.disk("vdb").commit_active(),
/// ])
/// .await?;
/// let end = set.pivot().await?;
/// for disk in end.disks() {
///     println!("{disk}");
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct JobSet {
    jobs: Vec<BlockJob>,
    freeze: bool,
}

impl JobSet {
    /// Starts jobs, one after another. If one cannot be started, those before it are cancelled.
    ///
    /// # Errors
    ///
    /// See [`SetNotStarted`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the jobs that have been started are cancelled in the background.
    pub async fn start<J: Into<JobStart>>(
        jobs: impl IntoIterator<Item = J>,
    ) -> Result<Self, SetNotStarted> {
        let mut started = Vec::new();
        let jobs: Vec<JobStart> = jobs.into_iter().map(Into::into).collect();
        for job in jobs {
            let disk = job.disk().path().to_owned();
            match job.start().await {
                Ok(job) => started.push(job.cancel_on_drop()),
                Err(error) => {
                    let cancelled = cancel_all(&started).await;
                    return Err(SetNotStarted {
                        disk,
                        error,
                        cancelled,
                    });
                }
            }
        }
        for job in &started {
            job.leave_on_drop();
        }
        Ok(Self::of(started))
    }

    /// A set of jobs that are running, such as those that [`BlockJob::attach`] found.
    #[must_use]
    pub fn of(jobs: impl IntoIterator<Item = BlockJob>) -> Self {
        Self {
            jobs: jobs.into_iter().collect(),
            freeze: false,
        }
    }

    /// Has the guest's filesystems frozen while the jobs are pivoted, and only then, so that the
    /// images are of one moment and consistent. It needs the guest agent.
    #[must_use]
    pub fn freeze_filesystems(mut self) -> Self {
        self.freeze = true;
        self
    }

    /// The jobs, in the order in which they were given.
    #[must_use]
    pub fn jobs(&self) -> &[BlockJob] {
        &self.jobs
    }

    /// Waits until every job that can be pivoted is ready to be, and every other has completed.
    ///
    /// # Errors
    ///
    /// The first disk whose job ended otherwise; the others go on.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is lost by dropping the future.
    pub async fn wait_ready(&self) -> Result<(), Box<DiskEnd>> {
        let mut waiting: futures_util::stream::FuturesUnordered<_> =
            self.jobs.iter().map(settled).collect();
        while let Some(settled) = futures_util::StreamExt::next(&mut waiting).await {
            settled?;
        }
        Ok(())
    }

    /// Waits until all can be pivoted, then pivots one after another. If one fails, before or
    /// then, the others are cancelled, except those that have been pivoted by then.
    ///
    /// # Errors
    ///
    /// When the guest's filesystems were to be frozen and could not be. No job was pivoted then,
    /// and all are as they were.
    ///
    /// # Cancel safety
    ///
    /// Dropped while a job is not ready, nothing has happened. After that the pivots go on, and
    /// the guest's filesystems are thawed, whether or not anybody waits.
    pub async fn pivot(&self) -> Result<SetEnd, Error> {
        self.pivot_until(None).await
    }

    /// As [`pivot`](Self::pivot), with a limit for the waiting and the pivots together. What is
    /// not pivoted by then is cancelled, which may take ten seconds more.
    ///
    /// # Errors
    ///
    /// As [`pivot`](Self::pivot).
    ///
    /// # Cancel safety
    ///
    /// As [`pivot`](Self::pivot).
    pub async fn pivot_within(&self, limit: Duration) -> Result<SetEnd, Error> {
        self.pivot_until(Some((Instant::now() + limit, limit)))
            .await
    }

    async fn pivot_until(&self, limit: Option<(Instant, Duration)>) -> Result<SetEnd, Error> {
        let ready = async { self.wait_ready().await.is_ok() };
        let ready = match limit {
            None => ready.await,
            Some((deadline, _)) => tokio::time::timeout_at(deadline, ready)
                .await
                .unwrap_or_default(),
        };
        if !ready {
            return Ok(SetEnd::of(cancel_all(&self.jobs).await));
        }
        // The short step must not be left half done by a caller who goes away.
        let step = tokio::spawn(step(self.jobs.clone(), self.freeze, limit));
        step.await
            .unwrap_or_else(|_| Err(Cause::BadReply("the runtime was shut down").into()))
    }

    /// Cancels all jobs, at once, and waits until they are over, however long that takes.
    ///
    /// # Cancel safety
    ///
    /// The jobs that have been asked to end will end whether or not anybody waits.
    pub async fn cancel(&self) -> SetEnd {
        let ends = self.jobs.iter().map(|job| async {
            DiskEnd {
                disk: job.disk().clone(),
                end: job.cancel().await,
            }
        });
        SetEnd::of(join_all(ends).await)
    }

    /// Waits until all jobs are over.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is lost by dropping the future.
    pub async fn wait(&self) -> SetEnd {
        let ends = self.jobs.iter().map(|job| async {
            DiskEnd {
                disk: job.disk().clone(),
                end: Ok(job.wait().await),
            }
        });
        SetEnd::of(join_all(ends).await)
    }
}

/// Waits until a job is ready to be pivoted, or has completed.
async fn settled(job: &BlockJob) -> Result<(), Box<DiskEnd>> {
    match job.wait_ready().await {
        Readiness::Ready => Ok(()),
        Readiness::Over(outcome) if outcome.is_success() => Ok(()),
        Readiness::Over(outcome) => Err(Box::new(DiskEnd {
            disk: job.disk().clone(),
            end: Ok(outcome),
        })),
    }
}

/// Freezes, pivots, thaws.
async fn step(
    jobs: Vec<BlockJob>,
    freeze: bool,
    limit: Option<(Instant, Duration)>,
) -> Result<SetEnd, Error> {
    let frozen = if freeze { domains(&jobs) } else { Vec::new() };
    for (position, domain) in frozen.iter().enumerate() {
        if let Err(error) = freeze_one(domain).await {
            // An agent that did not answer in time may have frozen them all the same.
            for domain in frozen.iter().take(position + 1) {
                let _ = thaw_one(domain).await;
            }
            return Err(error);
        }
    }
    let mut disks = Vec::with_capacity(jobs.len());
    let mut failed = false;
    for job in &jobs {
        if failed {
            break;
        }
        let end = pivot_one(job, limit).await;
        failed = !matches!(&end, Ok(outcome) if outcome.is_success());
        disks.push(DiskEnd {
            disk: job.disk().clone(),
            end,
        });
    }
    let mut thaw = None;
    for domain in &frozen {
        thaw = thaw_one(domain).await.err().or(thaw);
    }
    // The one that failed may be ready still.
    let rest = if failed { disks.len() - 1 } else { disks.len() };
    let mut cancelled = cancel_all(jobs.get(rest..).unwrap_or_default()).await;
    let failure = if failed { disks.pop() } else { None };
    if let (Some(failure), Some(end)) = (failure, cancelled.first_mut()) {
        // How it failed says more than that it was cancelled then; but a pivot that took too long
        // may have won the race.
        if matches!(end.end, Ok(Outcome::Cancelled) | Err(_)) {
            *end = failure;
        }
    }
    disks.extend(cancelled);
    Ok(SetEnd { disks, thaw })
}

async fn pivot_one(job: &BlockJob, limit: Option<(Instant, Duration)>) -> Result<Outcome, Error> {
    if let Some(outcome) = job.outcome() {
        return Ok(outcome);
    }
    let Some((deadline, whole)) = limit else {
        return job.pivot().await;
    };
    match tokio::time::timeout_at(deadline, job.pivot()).await {
        Ok(end) => end,
        Err(_) => Err(Cause::Timeout(whole).into()),
    }
}

/// Cancels jobs at once, within a limit. One that is over, pivoted for example, says how it ended.
async fn cancel_all(jobs: &[BlockJob]) -> Vec<DiskEnd> {
    let ends = jobs.iter().map(|job| async {
        let end = timeout(CANCEL_GRACE, job.cancel()).await;
        DiskEnd {
            disk: job.disk().clone(),
            end: end.unwrap_or_else(|_| Err(Cause::Timeout(CANCEL_GRACE).into())),
        }
    });
    join_all(ends).await
}

/// The domains of the jobs, each once.
fn domains(jobs: &[BlockJob]) -> Vec<Domain> {
    let mut domains: Vec<Domain> = Vec::new();
    for job in jobs {
        let domain = job.disk().domain();
        if !domains.contains(domain) {
            domains.push(domain.clone());
        }
    }
    domains
}

async fn freeze_one(domain: &Domain) -> Result<(), Error> {
    domain.fs_freeze::<&str>([]).await.map(drop)
}

async fn thaw_one(domain: &Domain) -> Result<(), Error> {
    domain.fs_thaw::<&str>([]).await.map(drop)
}
