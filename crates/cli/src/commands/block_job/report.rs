//! What is said at the end.

use serde_json::{Map, Value, json};
use virtwire::{BlockJob, Evidence, Outcome};

use super::info_json;
use super::wait::{End, Ends, Stop};
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
    let stop = ends.stop;
    let reports = jobs.iter().zip(ends.ends).map(|(job, end)| {
        let end = end?;
        let (name, status, text) = told(&end, stop, words);
        let text = named(job, jobs, &text);
        let stopped_by = stop.map(|stop| match stop {
            Stop::Interrupt => "interrupt",
            Stop::Timeout(_) => "timeout",
        });
        let mut fields = json!({ "event": "end", "outcome": name, "stopped_by": stopped_by });
        if let (End::Over(outcome), Some(fields)) = (&end, fields.as_object_mut()) {
            fields.extend(details(outcome));
        }
        let json = with_disk(job.disk(), fields);
        let unwell = matches!(status, JOB_FAILED | VANISHED);
        if unwell && !output.is_json() {
            output.remark(&format!("error: {}", escape(&text)));
            return Ok(Report::silent(json).with_status(status));
        }
        Ok(Report::message(json, text).with_status(status))
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
fn told(end: &End, stop: Option<Stop>, words: &Words) -> (&'static str, u8, String) {
    let noun = words.noun;
    match end {
        End::Over(Outcome::Completed) => ("completed", 0, format!("{noun} complete")),
        End::Over(Outcome::Cancelled) => ("cancelled", CANCELLED, cancelled_text(noun, stop)),
        End::Over(Outcome::Failed(_)) => ("failed", JOB_FAILED, format!("{noun} failed")),
        End::Over(Outcome::Vanished(evidence)) => {
            ("vanished", VANISHED, vanished_text(noun, evidence))
        }
        End::Over(_) => {
            let text = format!("{noun} ended in a way unknown to us");
            ("unknown", VANISHED, text)
        }
        End::Requested => {
            let text = format!("{noun} is being aborted; not waiting for its end");
            ("cancelling", CANCELLED, text)
        }
    }
}

fn cancelled_text(noun: &str, stop: Option<Stop>) -> String {
    match stop {
        Some(Stop::Interrupt) => format!("{noun} aborted"),
        Some(Stop::Timeout(time)) => format!("{noun} aborted after {} s", time.as_secs()),
        None => format!("{noun} aborted by somebody else"),
    }
}

/// What a vanished job leaves to say: why nobody announced its end, and what the disk looks like.
fn vanished_text(noun: &str, evidence: &Evidence) -> String {
    let mut text = format!("{noun} vanished: {}", evidence.reason);
    if let Some(status) = &evidence.domain {
        text.push_str(&format!("; the domain is {}", state_text(status.state)));
    }
    if let Some(disk) = &evidence.disk {
        text.push_str(match (disk.backing.is_empty(), disk.backing_known) {
            (false, _) => "; the disk still has a backing image",
            (true, true) => "; the disk has no backing image",
            (true, false) => "; the disk's backing chain is not known",
        });
    }
    text
}

fn details(outcome: &Outcome) -> Map<String, Value> {
    let details = match outcome {
        Outcome::Failed(failure) => {
            json!({ "last_info": failure.last_info.as_ref().map(info_json) })
        }
        Outcome::Vanished(evidence) => json!({
            "why": evidence.reason.to_string(),
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
