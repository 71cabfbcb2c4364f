//! What is said at the end.

use serde_json::{Map, Value, json};
use virtwire::{BlockJob, Evidence, NextStart, Outcome, Verdict};

use super::info_json;
use super::wait::{Cause, End, Ends};
use super::words::Words;
use crate::args::{CANCELLED, JOB_FAILED, VANISHED};
use crate::commands::with_disk;
use crate::escape::escape;
use crate::failure::Failure;
use crate::output::{Output, Report};
use crate::state::{reason_name, state_name, state_text};

/// The jobs have been started, and nobody waits for them.
pub(super) fn started(jobs: &[BlockJob], words: &Words, output: Output) -> Result<Report, Failure> {
    let reports = jobs.iter().map(|job| {
        let json = with_disk(job.disk(), json!({ "started": true }));
        Ok(Report::message(json, named(job, jobs, words.started)))
    });
    all(reports.collect(), output)
}

/// The wait for the jobs is over.
pub(super) fn ended(
    jobs: &[BlockJob],
    ends: Ends,
    words: &Words,
    output: Output,
) -> Result<Report, Failure> {
    let cause = ends.cause;
    if let Some(why) = ends.frozen {
        let why = escape(&why).into_owned();
        output.warning(&format!(
            "the guest's filesystems may still be frozen: {why}"
        ));
    }
    let reports = jobs
        .iter()
        .zip(ends.ends)
        .enumerate()
        .map(|(place, (job, end))| {
            let end = end?;
            // The one that failed was not stopped by that.
            let cause = cause.filter(|cause| !matches!(cause, Cause::Failed(at) if *at == place));
            let (name, status, text) = told(&end, cause, words);
            let text = named(job, jobs, &text);
            let stopped_by = cause.map(|cause| match cause {
                Cause::Stopped(stop) => stop.name(),
                Cause::Failed(_) => "other_disk",
            });
            let mut fields = json!({ "event": "end", "outcome": name, "stopped_by": stopped_by });
            if let (End::Over(outcome), Some(fields)) = (&end, fields.as_object_mut()) {
                fields.extend(details(outcome));
            }
            let json = with_disk(job.disk(), fields);
            if let End::Over(Outcome::Pivoted(NextStart::OtherImage(_))) = &end {
                output.warning(&named(
                    job,
                    jobs,
                    "the definition of the domain names another image, which its next start uses",
                ));
            }
            Ok(Report::end(json, text, status, output))
        });
    all(reports.collect(), output)
}

/// Says all but the last, which is left to say, with the worst exit status of all.
fn all(reports: Vec<Result<Report, Failure>>, output: Output) -> Result<Report, Failure> {
    let mut worst = 0;
    let mut left: Option<Report> = None;
    let several = reports.len() > 1;
    for report in reports {
        match report {
            Ok(report) => {
                worst = worst.max(report.status());
                if let Some(before) = left.replace(report) {
                    output.report(&before)?;
                }
            }
            Err(failure) if several => {
                worst = worst.max(failure.exit_status());
                output.failure(&failure);
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(left.unwrap_or_else(Report::nothing).with_status(worst))
}

/// With the disk before it, where there are several.
fn named(job: &BlockJob, jobs: &[BlockJob], text: &str) -> String {
    match jobs.len() {
        1 => text.to_owned(),
        _ => format!("{}: {text}", job.disk().path()),
    }
}

/// The outcome for programs, the exit status and what people read.
fn told(end: &End, cause: Option<Cause>, words: &Words) -> (&'static str, u8, String) {
    let noun = words.noun;
    match end {
        End::Over(Outcome::Completed) => ("completed", 0, format!("{noun} complete")),
        End::Over(Outcome::Pivoted(_)) => ("pivoted", 0, "Successfully pivoted".to_owned()),
        End::Ready => ("ready", 0, words.ready.to_owned()),
        End::Finished => ("finished", 0, words.finished.to_owned()),
        End::Over(Outcome::Cancelled) => ("cancelled", CANCELLED, cancelled_text(noun, cause)),
        End::Over(Outcome::Failed(_)) => ("failed", JOB_FAILED, format!("{noun} failed")),
        End::Over(Outcome::Vanished(evidence)) => {
            ("vanished", VANISHED, vanished_text(noun, evidence))
        }
        End::Over(_) => {
            let text = format!("{noun} ended in a way unknown to us");
            ("unknown", VANISHED, text)
        }
        End::Cancelling => {
            let text = format!("{noun} is being aborted; not waiting for its end");
            ("cancelling", CANCELLED, text)
        }
        End::Pivoting => {
            let text = format!("{noun} is being pivoted; not waiting for its end");
            ("pivoting", VANISHED, text)
        }
    }
}

fn cancelled_text(noun: &str, cause: Option<Cause>) -> String {
    match cause {
        Some(Cause::Stopped(stop)) => format!("{noun} aborted{stop}"),
        Some(Cause::Failed(_)) => format!("{noun} aborted since another disk failed"),
        None => format!("{noun} aborted by somebody else"),
    }
}

/// What a vanished job leaves to say: why nobody announced its end, and what the disk looks like.
fn vanished_text(noun: &str, evidence: &Evidence) -> String {
    let mut text = format!("{noun} vanished: {}", evidence.reason);
    if let Some(status) = &evidence.domain {
        text.push_str(&format!("; the domain is {}", state_text(status.state)));
    }
    let verdict = evidence.resolve();
    text.push_str(match verdict {
        Verdict::Completed => "; by the look of the disk it has completed",
        Verdict::Pivoted => "; by the look of the disk it has been pivoted",
        Verdict::NotDone => "; by the look of the disk it has not been done",
        Verdict::Running => "; it still runs",
        _ => "; what has become of it cannot be told",
    });
    text
}

/// The name of a verdict for programs.
fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Completed => "completed",
        Verdict::Pivoted => "pivoted",
        Verdict::NotDone => "not_done",
        Verdict::Running => "running",
        _ => "unknown",
    }
}

/// The name of what the next start uses for programs.
fn next_start_name(next: &NextStart) -> &'static str {
    match next {
        NextStart::NewImage => "new_image",
        NextStart::OtherImage(_) => "other_image",
        NextStart::NoDefinition => "no_definition",
        _ => "unknown",
    }
}

fn details(outcome: &Outcome) -> Map<String, Value> {
    let details = match outcome {
        Outcome::Failed(failure) => {
            json!({ "last_info": failure.last_info.as_ref().map(info_json) })
        }
        Outcome::Pivoted(next) => json!({ "next_start": next_start_name(next) }),
        Outcome::Vanished(evidence) => json!({
            "why": evidence.reason.to_string(),
            "verdict": verdict_name(evidence.resolve()),
            "last_info": evidence.last_info.as_ref().map(info_json),
            "domain_state": evidence.domain.as_ref().map(|status| state_name(status.state)),
            "domain_reason": evidence.domain.as_ref().map(reason_name),
            "backing": evidence.disk.as_ref().map(|disk| disk.backing.len()),
            "backing_known": evidence.disk.as_ref().map(|disk| disk.backing_known),
        }),
        _ => Value::Null,
    };
    match details {
        Value::Object(details) => details,
        _ => Map::new(),
    }
}
