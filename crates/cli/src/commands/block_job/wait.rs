//! `--wait`: until the jobs have come where they should, the time is up or the user has had enough.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt, select_all};
use virtwire::constants::DomainBlockJobAbortFlags;
use virtwire::{BlockJob, Disk, JobSet, Outcome, Readiness, SetEnd};

use super::step::JobStep;
use super::words::Words;
use crate::escape::escape;
use crate::failure::Failure;
use crate::interrupt::{Interrupt, Stop, stopped};
use crate::output::{Display, Output};

/// How the jobs are waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) goal: Goal,
    pub(super) verbose: bool,
    pub(super) timeout: Option<Duration>,
    /// The end of a job that was cancelled is not waited for.
    pub(super) asynchronous: bool,
}

/// What the wait is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// The end of jobs that end by themselves.
    Over,
    /// The moment when they keep up with the guest, from which they go on.
    Ready,
    /// That moment, and then the guest on the other images.
    Pivoted { quiesce: bool },
    /// That moment, and then their end with the guest on the same images.
    Finished,
}

/// Why this command asked for the jobs' end.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cause {
    Stopped(Stop),
    /// The job in this place has gone wrong, and all or none were to get there.
    Failed(usize),
}

/// What is known of a job when the wait is over.
#[derive(Debug)]
pub(super) enum End {
    Over(Outcome),
    /// It keeps up with the guest, and goes on.
    Ready,
    /// It kept up with the guest, and was ended so, as asked.
    Finished,
    /// Its cancellation was asked for and is not waited for.
    Cancelling,
    /// Its pivot was asked for and is not waited for.
    Pivoting,
}

/// What has become of each job, and why this command intervened, if it did.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) ends: Vec<Result<End, Failure>>,
    pub(super) cause: Option<Cause>,
    /// The guest's filesystems may still be frozen.
    pub(super) frozen: Option<String>,
}

impl Goal {
    /// Whether all the jobs come there or none is to.
    fn is_common(self) -> bool {
        matches!(self, Self::Pivoted { .. } | Self::Finished)
    }
}

/// Waits for the jobs, and does with them what they are waited for.
pub(super) async fn wait(
    set: &JobSet,
    words: &Words,
    terms: Terms,
    interrupt: &mut Interrupt,
    output: Output,
) -> Result<Ends, Failure> {
    let mut display = Display::new(labels(set.jobs(), words), terms.verbose, output);
    let cause = watch(set.jobs(), terms, interrupt, &mut display).await?;
    let mut ends = match cause {
        None => conclude(set, terms.goal, interrupt, output).await?,
        Some(_) => Ends::of(cancel(set.jobs(), terms.asynchronous, interrupt).await),
    };
    ends.cause = cause.or(ends.cause);
    for (place, end) in ends.ends.iter().enumerate() {
        display.finish(place, end.as_ref().is_ok_and(End::is_full));
    }
    Ok(ends)
}

/// What stands before the progress of each job.
fn labels(jobs: &[BlockJob], words: &Words) -> Vec<String> {
    let label = words.label;
    match jobs {
        [_] => vec![label.to_owned()],
        jobs => {
            let disks = jobs.iter().map(|job| escape(job.disk().path()));
            disks.map(|disk| format!("{label} {disk}")).collect()
        }
    }
}

/// Shows the progress until the jobs have settled (`None`) or have to be stopped.
async fn watch(
    jobs: &[BlockJob],
    terms: Terms,
    interrupt: &mut Interrupt,
    display: &mut Display,
) -> Result<Option<Cause>, Failure> {
    let mut progress = select_all(jobs.iter().enumerate().map(|(place, job)| {
        let disk = job.disk().path();
        let step = move |progress| (place, JobStep { disk, progress });
        job.progress().map(step)
    }));
    let mut stopped = pin!(stopped(interrupt, terms.timeout));
    let mut settled: FuturesUnordered<_> = jobs
        .iter()
        .enumerate()
        .map(|(place, job)| async move { (place, settle(job, terms.goal).await) })
        .collect();
    loop {
        tokio::select! {
            biased;
            stop = &mut stopped => return Ok(Some(Cause::Stopped(stop))),
            next = settled.next() => match next {
                Some((place, false)) if terms.goal.is_common() => {
                    return Ok(Some(Cause::Failed(place)));
                }
                Some(_) => {}
                None => return Ok(None),
            },
            Some((place, step)) = progress.next() => display.show(place, &step)?,
        }
    }
}

/// Waits until a job has come as far as it can by itself; `false` if it has gone wrong.
async fn settle(job: &BlockJob, goal: Goal) -> bool {
    let outcome = match goal {
        Goal::Over => job.wait().await,
        Goal::Ready | Goal::Pivoted { .. } | Goal::Finished => match job.wait_ready().await {
            Readiness::Over(outcome) => outcome,
            _ => return true,
        },
    };
    outcome.is_success()
}

/// Does with jobs that have settled what they were waited for.
async fn conclude(
    set: &JobSet,
    goal: Goal,
    interrupt: &mut Interrupt,
    output: Output,
) -> Result<Ends, Failure> {
    let jobs = set.jobs();
    match goal {
        Goal::Over | Goal::Ready => Ok(Ends::of(jobs.iter().map(|job| known(job, End::Ready)))),
        Goal::Pivoted { quiesce } => pivot(set, quiesce, interrupt, output).await,
        Goal::Finished => {
            let all_ready = jobs.iter().all(BlockJob::is_ready);
            let ends = cancel(jobs, false, interrupt).await;
            Ok(Ends::of(ends.into_iter().map(|end| match end {
                Ok(End::Over(Outcome::Cancelled)) if all_ready => Ok(End::Finished),
                end => end,
            })))
        }
    }
}

/// Pivots the jobs. That is a short step, which does harm if it is left half done: a single
/// interrupt does not end the wait for it.
async fn pivot(
    set: &JobSet,
    quiesce: bool,
    interrupt: &mut Interrupt,
    output: Output,
) -> Result<Ends, Failure> {
    let jobs = set.jobs();
    let set = if quiesce {
        set.clone().freeze_filesystems()
    } else {
        set.clone()
    };
    let impatience = async {
        interrupt.wait().await;
        output.warning("the pivot is under way; another interrupt does not wait for its end");
        interrupt.wait().await;
    };
    tokio::select! {
        end = set.pivot() => {
            let end = end.map_err(Failure::doing("nothing is pivoted"))?;
            let mut ends = Ends::of_pivots(end);
            ends.cause = ends.failed().map(Cause::Failed);
            return Ok(ends);
        }
        () = impatience => {}
    }
    let mut ends = Ends::of(jobs.iter().map(|job| known(job, End::Pivoting)));
    if let (true, [job, ..]) = (quiesce, jobs) {
        let thawed = job.disk().domain().fs_thaw::<&str>([]).await;
        ends.frozen = thawed.err().map(|error| error.to_string());
    }
    Ok(ends)
}

/// Cancels the jobs; a further interrupt ends the wait for them.
async fn cancel(
    jobs: &[BlockJob],
    asynchronous: bool,
    interrupt: &mut Interrupt,
) -> Vec<Result<End, Failure>> {
    if asynchronous {
        return join_all(jobs.iter().map(request)).await;
    }
    tokio::select! {
        ends = join_all(jobs.iter().map(cancelled)) => ends,
        () = interrupt.wait() => jobs.iter().map(|job| known(job, End::Cancelling)).collect(),
    }
}

async fn cancelled(job: &BlockJob) -> Result<End, Failure> {
    let outcome = job.cancel().await;
    outcome
        .map(End::Over)
        .map_err(Failure::doing(cannot("abort", job.disk())))
}

/// Asks for a job's end, and does not wait for it.
async fn request(job: &BlockJob) -> Result<End, Failure> {
    if job.outcome().is_none() {
        let disk = job.disk();
        let asked = disk.abort_job(DomainBlockJobAbortFlags::ASYNC).await;
        asked.map_err(Failure::doing(cannot("abort", disk)))?;
    }
    known(job, End::Cancelling)
}

fn cannot(what: &str, disk: &Disk) -> String {
    format!("failed to {what} job for disk {}", disk.path())
}

/// The outcome of a job, if it is over.
fn known(job: &BlockJob, otherwise: End) -> Result<End, Failure> {
    Ok(job.outcome().map_or(otherwise, End::Over))
}

impl End {
    /// Whether everything has been copied.
    fn is_full(&self) -> bool {
        match self {
            Self::Over(outcome) => outcome.is_success(),
            Self::Ready | Self::Finished | Self::Pivoting => true,
            Self::Cancelling => false,
        }
    }
}

impl Ends {
    fn of(ends: impl IntoIterator<Item = Result<End, Failure>>) -> Self {
        Self {
            ends: ends.into_iter().collect(),
            cause: None,
            frozen: None,
        }
    }

    /// The place of the first job that went wrong by itself.
    fn failed(&self) -> Option<usize> {
        self.ends.iter().position(|end| match end {
            Ok(End::Over(Outcome::Cancelled)) => false,
            Ok(End::Over(outcome)) => !outcome.is_success(),
            Ok(_) => false,
            Err(_) => true,
        })
    }

    fn of_pivots(set: SetEnd) -> Self {
        let frozen = set.thaw_error().map(ToString::to_string);
        let ends = set.into_disks().into_iter().map(|disk| {
            let doing = cannot("pivot", &disk.disk);
            disk.end.map(End::Over).map_err(Failure::doing(doing))
        });
        Self {
            frozen,
            ..Self::of(ends)
        }
    }
}
