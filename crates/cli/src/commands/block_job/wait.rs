//! `--wait`: until the jobs have come where they should, the time is up or the user has had enough.

use std::future;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt, select_all};
use virtwire::constants::DomainBlockJobAbortFlags;
use virtwire::{BlockJob, Outcome};

use super::display::Display;
use super::words::Words;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::Output;

/// How the jobs are waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) verbose: bool,
    pub(super) timeout: Option<Duration>,
    /// The end of a job that was cancelled is not waited for.
    pub(super) asynchronous: bool,
}

/// Why this command asked for the jobs' end.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stop {
    Interrupt,
    Timeout(Duration),
}

/// What is known of a job when the wait is over.
#[derive(Debug)]
pub(super) enum End {
    Over(Outcome),
    /// The end was asked for and is not waited for.
    Requested,
}

/// What has become of each job, and why this command intervened, if it did.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) ends: Vec<Result<End, Failure>>,
    pub(super) stop: Option<Stop>,
}

/// Waits until all jobs are over.
pub(super) async fn until_over(
    jobs: &[BlockJob],
    words: &Words,
    terms: Terms,
    interrupt: &mut Interrupt,
    output: Output,
) -> Result<Ends, Failure> {
    let mut display = Display::new(jobs, words.label, terms.verbose, output);
    let stop = watch(jobs, terms.timeout, interrupt, &mut display).await?;
    let ends = match stop {
        None => join_all(jobs.iter().map(over)).await,
        Some(_) => cancel(jobs, terms.asynchronous, interrupt).await,
    };
    for (place, end) in ends.iter().enumerate() {
        display.finish(place, matches!(end, Ok(End::Over(Outcome::Completed))));
    }
    Ok(Ends { ends, stop })
}

async fn over(job: &BlockJob) -> Result<End, Failure> {
    Ok(End::Over(job.wait().await))
}

/// Shows the progress until all jobs are over (`None`) or have to be stopped.
async fn watch(
    jobs: &[BlockJob],
    timeout: Option<Duration>,
    interrupt: &mut Interrupt,
    display: &mut Display,
) -> Result<Option<Stop>, Failure> {
    let streams = jobs.iter().enumerate();
    let mut progress =
        select_all(streams.map(|(place, job)| job.progress().map(move |now| (place, now))));
    let mut time_is_up = pin!(async {
        match timeout {
            Some(timeout) => {
                tokio::time::sleep(timeout).await;
                Stop::Timeout(timeout)
            }
            None => future::pending().await,
        }
    });
    let mut settled: FuturesUnordered<_> = jobs.iter().map(BlockJob::wait).collect();
    loop {
        tokio::select! {
            biased;
            () = interrupt.wait() => return Ok(Some(Stop::Interrupt)),
            stop = &mut time_is_up => return Ok(Some(stop)),
            next = settled.next() => if next.is_none() { return Ok(None) },
            Some((place, now)) = progress.next() => display.show(place, &now)?,
        }
    }
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
        () = interrupt.wait() => jobs.iter().map(known).collect(),
    }
}

async fn cancelled(job: &BlockJob) -> Result<End, Failure> {
    let outcome = job.cancel().await.map_err(Failure::doing(format!(
        "failed to abort job for disk '{}'",
        job.disk().path()
    )))?;
    Ok(End::Over(outcome))
}

/// Asks for a job's end, and does not wait for it.
async fn request(job: &BlockJob) -> Result<End, Failure> {
    if job.outcome().is_none() {
        let disk = job.disk();
        disk.abort_job(DomainBlockJobAbortFlags::ASYNC).await?;
    }
    known(job)
}

fn known(job: &BlockJob) -> Result<End, Failure> {
    Ok(job.outcome().map_or(End::Requested, End::Over))
}
