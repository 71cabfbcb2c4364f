//! Showing events until there are enough, the time is up or the user has had enough.

use std::future;
use std::pin::pin;
use std::time::Duration;

use serde_json::{Value, json};
use virtwire::event::{Builder, Event, EventError, EventStream};

use super::document;
use super::line::{self, Form};
use crate::args::Wait;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::{Output, Report};
use crate::time::Moment;

/// How many events may wait while the reader of ours takes its time.
const QUEUE_LENGTH: usize = 4096;

/// How many bytes of lines are written at once, when many events wait.
const BATCH: usize = 64 << 10;

/// The exit status when fewer events came than were asked for, as virsh has it.
const TOO_FEW: u8 = 1;

/// Why the wait is over although more could have come.
#[derive(Debug, Clone, Copy)]
enum Stop {
    Interrupt,
    Timeout,
}

/// Subscribes, and shows what comes.
pub(super) async fn follow(
    events: Builder,
    wait: &Wait,
    pretty: bool,
    output: Output,
) -> Result<Report, Failure> {
    let mut interrupt = Interrupt::listen()?;
    let stream = tokio::select! {
        stream = events.queue_length(QUEUE_LENGTH).subscribe() => stream?,
        () = interrupt.wait() => return Ok(report(wait, 0, Some(Stop::Interrupt))),
    };
    let mut follower = Follower {
        stream,
        interrupt,
        form: Form {
            timestamp: wait.timestamp,
            pretty,
        },
        output,
        received: 0,
    };
    // One event is what virsh waits for, unless it is to go on.
    let limit = wait.count.unwrap_or(if wait.repeat { u64::MAX } else { 1 });
    let stop = follower.show(limit, wait.timeout).await?;
    let report = report(wait, follower.received, stop);
    follower.leave().await?;
    Ok(report)
}

struct Follower {
    stream: EventStream<Event>,
    interrupt: Interrupt,
    form: Form,
    output: Output,
    received: u64,
}

impl Follower {
    /// Shows events until there are `limit` (`None`), or it has to stop.
    async fn show(
        &mut self,
        limit: u64,
        timeout: Option<Duration>,
    ) -> Result<Option<Stop>, Failure> {
        let mut time_is_up = pin!(async {
            match timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => future::pending().await,
            }
        });
        while self.received < limit {
            tokio::select! {
                biased;
                () = self.interrupt.wait() => return Ok(Some(Stop::Interrupt)),
                () = &mut time_is_up => return Ok(Some(Stop::Timeout)),
                item = self.stream.recv() => self.item(item, limit).await?,
            }
        }
        Ok(None)
    }

    /// Shows an event or what stands in its place, and the events that wait behind it.
    async fn item(&mut self, item: Result<Event, EventError>, limit: u64) -> Result<(), Failure> {
        let (mut item, mut lines) = (Some(item), String::new());
        while let Some(Ok(event)) = &item {
            self.received += 1;
            self.add(event, &mut lines);
            let more = self.received < limit && lines.len() < BATCH;
            item = if more { self.stream.try_recv() } else { None };
        }
        self.output.lines(&lines).await?;
        match item {
            Some(Err(error)) if error.is_end() => Err(error.into()),
            Some(Err(error)) => self.instead(&error).await,
            _ => Ok(()),
        }
    }

    fn add(&self, event: &Event, lines: &mut String) {
        let moment = Moment::now();
        if self.output.is_json() {
            lines.push_str(&document::document(event, moment).to_string());
        } else {
            lines.push_str(&line::text(event, moment, self.form));
        }
        lines.push('\n');
    }

    /// Tells what stands in the stream in place of an event.
    async fn instead(&self, error: &EventError) -> Result<(), Failure> {
        if self.output.is_json() {
            let (kind, body) = instead(error);
            let document = document::remark(kind, Moment::now(), body);
            self.output.lines(&format!("{document}\n")).await
        } else {
            self.output.remark(&format!("warning: {error}"));
            Ok(())
        }
    }

    /// Unsubscribes; another interrupt ends the wait for that.
    async fn leave(mut self) -> Result<(), Failure> {
        tokio::select! {
            result = self.stream.unsubscribe() => result.map_err(Failure::from),
            () = self.interrupt.wait() => Ok(()),
        }
    }
}

fn instead(error: &EventError) -> (&'static str, Value) {
    match error {
        EventError::Lagged(missed) => ("lagged", json!({ "missed": missed })),
        EventError::Gap => ("gap", json!({})),
        EventError::Unknown(event) => ("unknown", document::undecoded(event)),
        EventError::Malformed { event, .. } => ("malformed", document::undecoded(event)),
        other => ("missed", json!({ "message": other.to_string() })),
    }
}

/// What is said at the end. Without a number, any event is enough.
fn report(wait: &Wait, received: u64, stop: Option<Stop>) -> Report {
    let (stopped_by, why) = match stop {
        None => (None, ""),
        Some(Stop::Interrupt) => (Some("interrupt"), "event loop interrupted\n"),
        Some(Stop::Timeout) => (Some("timeout"), "event loop timed out\n"),
    };
    let json = json!({ "event": "end", "received": received, "stopped_by": stopped_by });
    let enough = received >= wait.count.unwrap_or(1);
    Report::data(json, format!("{why}events received: {received}\n")).with_status(if enough {
        0
    } else {
        TOO_FEW
    })
}
