//! Starting jobs, and waiting for them where that is asked for.

use virtwire::{JobSet, JobStart};

use super::report;
use super::wait::{Terms, wait};
use super::words::Words;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::{Output, Report};

/// Starts all the jobs, or none of them. Without terms they are not waited for.
pub(super) async fn start(
    jobs: Vec<JobStart>,
    words: &Words,
    terms: Option<Terms>,
    output: Output,
) -> Result<Report, Failure> {
    let several = jobs.len() > 1;
    // Listening first: an interrupt between the start and the wait must not be missed.
    let interrupt = match terms {
        Some(_) => Some(Interrupt::listen()?),
        None => None,
    };
    let set = JobSet::start(jobs).await.map_err(|failed| {
        if several {
            let doing = format!("cannot start the job on {}, so none goes on", failed.disk);
            Failure::doing(doing)(failed.error)
        } else {
            failed.error.into()
        }
    })?;
    let (Some(terms), Some(mut interrupt)) = (terms, interrupt) else {
        return report::started(set.jobs(), words, output);
    };
    let ends = wait(&set, words, terms, &mut interrupt, output).await?;
    report::ended(set.jobs(), ends, words, output)
}
