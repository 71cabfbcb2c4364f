//! `--wait`: until the job is over, the time is up or the user has had enough.

use std::future;
use std::pin::pin;
use std::time::Duration;

use serde_json::{Value, json};
use virtwire::constants::DomainBlockJobAbortFlags;
use virtwire::{BlockJob, Evidence, Outcome};

use super::display::Display;
use super::{info_json, with_disk};
use crate::args::{Blockpull, CANCELLED, JOB_FAILED, VANISHED};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::{Output, Report};
use crate::state::{reason_name, state_name, state_text};

/// Why this command asked for the job's end.
#[derive(Debug, Clone, Copy)]
enum Stop {
    Interrupt,
    Timeout(Duration),
}

/// What is known when the wait is over.
enum End {
    Over(Outcome),
    /// The end was asked for and is not waited for.
    Requested,
}

pub(super) async fn until_over(
    job: &BlockJob,
    args: &Blockpull,
    mut interrupt: Interrupt,
    output: Output,
) -> Result<Report, Failure> {
    let mut display = Display::new(job, args.verbose, output);
    let stop = watch(job, args.timeout, &mut interrupt, &mut display).await?;
    let end = match stop {
        None => End::Over(job.wait().await),
        Some(_) => cancel(job, args.asynchronous, &mut interrupt).await?,
    };
    display.finish(matches!(end, End::Over(Outcome::Completed)));
    Ok(report(job, &end, stop, output))
}

/// Shows the progress until the job is over (`None`) or has to be stopped.
async fn watch(
    job: &BlockJob,
    timeout: Option<Duration>,
    interrupt: &mut Interrupt,
    display: &mut Display,
) -> Result<Option<Stop>, Failure> {
    let mut progress = job.progress();
    let mut time_is_up = pin!(async {
        match timeout {
            Some(timeout) => {
                tokio::time::sleep(timeout).await;
                Stop::Timeout(timeout)
            }
            None => future::pending().await,
        }
    });
    loop {
        tokio::select! {
            biased;
            () = interrupt.wait() => return Ok(Some(Stop::Interrupt)),
            stop = &mut time_is_up => return Ok(Some(stop)),
            item = progress.next() => match item {
                Some(progress) => display.show(&progress)?,
                None => return Ok(None),
            },
        }
    }
}

/// Cancels the job; a further interrupt ends the wait for it.
async fn cancel(
    job: &BlockJob,
    asynchronous: bool,
    interrupt: &mut Interrupt,
) -> Result<End, Failure> {
    if asynchronous && job.outcome().is_none() {
        job.disk()
            .abort_job(DomainBlockJobAbortFlags::ASYNC)
            .await?;
        return Ok(End::Requested);
    }
    tokio::select! {
        outcome = job.cancel() => Ok(End::Over(outcome?)),
        () = interrupt.wait() => Ok(End::Requested),
    }
}

fn report(job: &BlockJob, end: &End, stop: Option<Stop>, output: Output) -> Report {
    let (name, status, text) = match end {
        End::Over(Outcome::Completed) => ("completed", 0, "Pull complete".to_owned()),
        End::Over(Outcome::Cancelled) => ("cancelled", CANCELLED, cancelled_text(stop)),
        End::Over(Outcome::Failed(_)) => ("failed", JOB_FAILED, "Pull failed".to_owned()),
        End::Over(Outcome::Vanished(evidence)) => ("vanished", VANISHED, vanished_text(evidence)),
        End::Over(_) => (
            "unknown",
            VANISHED,
            "Pull ended in a way unknown to us".to_owned(),
        ),
        End::Requested => {
            let text = "Pull is being aborted; not waiting for its end".to_owned();
            ("cancelling", CANCELLED, text)
        }
    };
    let stopped_by = stop.map(|stop| match stop {
        Stop::Interrupt => "interrupt",
        Stop::Timeout(_) => "timeout",
    });
    let mut fields = json!({ "event": "end", "outcome": name, "stopped_by": stopped_by });
    if let (End::Over(outcome), Some(fields)) = (end, fields.as_object_mut()) {
        fields.extend(details(outcome));
    }
    let json = with_disk(job.disk(), fields);
    let unwell = matches!(status, JOB_FAILED | VANISHED);
    if unwell && !output.is_json() {
        output.remark(&format!("error: {}", crate::escape::escape(&text)));
        return Report::silent(json).with_status(status);
    }
    Report::message(json, text).with_status(status)
}

fn cancelled_text(stop: Option<Stop>) -> String {
    match stop {
        Some(Stop::Interrupt) => "Pull aborted".to_owned(),
        Some(Stop::Timeout(time)) => format!("Pull aborted after {} s", time.as_secs()),
        None => "Pull aborted by somebody else".to_owned(),
    }
}

/// What a vanished job leaves to say: why nobody announced its end, and what the disk looks like.
fn vanished_text(evidence: &Evidence) -> String {
    let mut text = format!("Pull vanished: {}", evidence.reason);
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

fn details(outcome: &Outcome) -> serde_json::Map<String, Value> {
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
        _ => serde_json::Map::new(),
    }
}
