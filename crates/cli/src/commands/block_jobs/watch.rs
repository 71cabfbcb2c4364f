//! The jobs, live: ends and readiness from events, progress by asking those that run. Nothing
//! announces a beginning, so everything is looked at now and then.

use std::time::{Duration, Instant};

use futures_util::stream::StreamExt;
use serde_json::json;
use tokio::time::{Interval, MissedTickBehavior, interval};
use virtwire::constants::{DomainEventId, DomainEventType, ErrorCode};
use virtwire::event::{DomainEvent, DomainEventKind, EventError, EventStream};
use virtwire::{Connection, Domain, Error};

use super::questions::{Answer, Questions};
use super::rows::Rows;
use super::screen::Screen;
use crate::args::Blockjobs;
use crate::failure::Failure;
use crate::interrupt::{Interrupt, stopped};
use crate::output::{Output, Report};

/// How often everything is looked at.
const SCAN: Duration = Duration::from_secs(5);

/// How often answers are shown: they come one by one, and many at a time.
const REDRAW: Duration = Duration::from_millis(100);

pub(super) async fn run(
    connection: &Connection,
    only: Option<Domain>,
    args: &Blockjobs,
    output: Output,
) -> Result<Report, Failure> {
    let mut interrupt = Interrupt::listen()?;
    let mut events = connection
        .events()
        .events([DomainEventId::BLOCK_JOB_2, DomainEventId::LIFECYCLE]);
    if let Some(domain) = &only {
        events = events.domain(domain);
    }
    let events = events.subscribe_as::<DomainEvent>().await?;
    let mut watch = Watch {
        questions: Questions::new(connection, only),
        rows: Rows::default(),
        screen: Screen::new(output),
        stale: false,
    };
    let stop = tokio::select! {
        biased;
        stop = stopped(&mut interrupt, args.timeout) => stop,
        failure = watch.follow(events, args.interval) => return Err(failure),
    };
    let json = json!({ "event": "end", "stopped_by": stop.name() });
    Ok(Report::silent(json))
}

struct Watch {
    questions: Questions,
    rows: Rows,
    screen: Screen,
    /// The screen does not show what is known.
    stale: bool,
}

impl Watch {
    /// Shows what happens until that is not possible any more.
    async fn follow(&mut self, mut events: EventStream<DomainEvent>, pace: Duration) -> Failure {
        let (mut ask, mut scan, mut redraw) = (every(pace), every(SCAN), every(REDRAW));
        loop {
            let done = tokio::select! {
                biased;
                event = events.recv() => self.event(event).await,
                Some(answer) = self.questions.next() => self.answer(answer),
                _ = scan.tick() => {
                    self.questions.ask_all();
                    Ok(())
                }
                _ = ask.tick() => {
                    self.questions.ask_about(self.rows.running());
                    Ok(())
                }
                _ = redraw.tick(), if self.stale => self.show().await,
            };
            if let Err(failure) = done {
                return failure;
            }
        }
    }

    fn answer(&mut self, answer: Answer) -> Result<(), Failure> {
        match answer {
            Answer::Domains(Ok(domains)) => {
                let now = Instant::now();
                self.rows.keep_domains(&domains, now);
                self.questions.ask_domains(domains);
            }
            Answer::Jobs {
                domain,
                asked,
                jobs,
            } => match jobs {
                Ok(found) => self.rows.replace(&domain, found, asked),
                Err(error) => passing(error)?,
            },
            Answer::Job { disk, asked, info } => match info {
                Ok(info) => self.rows.answer(&disk, info, asked),
                Err(error) => passing(error)?,
            },
            Answer::Domains(Err(error)) => passing(error)?,
        }
        self.stale = true;
        Ok(())
    }

    async fn event(&mut self, event: Result<DomainEvent, EventError>) -> Result<(), Failure> {
        let now = Instant::now();
        let event = match event {
            Ok(event) => event,
            Err(error) if error.is_end() => return Err(error.into()),
            // Something was missed.
            Err(_) => {
                self.questions.ask_all();
                return Ok(());
            }
        };
        match event.kind {
            DomainEventKind::BlockJob2 { dst, kind, status } => {
                let disk = event.domain.disk(dst);
                self.rows.announced(&disk, kind, status, now);
            }
            DomainEventKind::Lifecycle(step) if step.event() == DomainEventType::STOPPED => {
                self.rows.stopped(event.domain.uuid(), now);
            }
            _ => return Ok(()),
        }
        self.show().await
    }

    async fn show(&mut self) -> Result<(), Failure> {
        self.stale = false;
        self.rows.forget(Instant::now());
        self.screen.show(&mut self.rows).await
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// A domain that is busy is asked again, and one that has gone is missed by the next look at all.
fn passing(error: Error) -> Result<(), Failure> {
    if error.is_busy() || error.has_code(ErrorCode::NO_DOMAIN) {
        return Ok(());
    }
    Err(error.into())
}
