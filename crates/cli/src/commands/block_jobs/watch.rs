//! The jobs, live: ends and readiness from events, progress by asking those that run. Nothing
//! announces a beginning, so everything is looked at now and then.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval, interval_at};
use virtwire::constants::{DomainEventId, DomainEventType};
use virtwire::event::{DomainEvent, DomainEventKind, EventError, EventStream};
use virtwire::{Connection, Domain};

use super::rows::Rows;
use super::scan;
use super::screen::Screen;
use crate::args::Blockjobs;
use crate::failure::Failure;
use crate::interrupt::{Interrupt, stopped};
use crate::output::{Output, Report};

/// How often everything is looked at.
const SCAN: Duration = Duration::from_secs(5);

struct Watch<'a> {
    connection: &'a Connection,
    only: Option<Domain>,
    rows: Rows,
    screen: Screen,
}

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
        connection,
        only,
        rows: Rows::default(),
        screen: Screen::new(output),
    };
    let stop = tokio::select! {
        biased;
        stop = stopped(&mut interrupt, args.timeout) => stop,
        failure = watch.follow(events, args.interval) => return Err(failure),
    };
    let json = json!({ "event": "end", "stopped_by": stop.name() });
    Ok(Report::silent(json))
}

impl Watch<'_> {
    /// Shows what happens until that is not possible any more.
    async fn follow(&mut self, mut events: EventStream<DomainEvent>, pace: Duration) -> Failure {
        // The first look at everything has their figures already.
        let mut ask = interval_at(tokio::time::Instant::now() + pace, pace);
        ask.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut scan = interval(SCAN);
        scan.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let result = tokio::select! {
                biased;
                event = events.recv() => self.event(event).await,
                _ = scan.tick() => self.scan().await,
                _ = ask.tick() => self.ask().await,
            };
            if let Err(failure) = result {
                return failure;
            }
        }
    }

    async fn scan(&mut self) -> Result<(), Failure> {
        let found = scan::all(self.connection, self.only.as_ref()).await?;
        self.rows.replace(found, Instant::now());
        self.show().await
    }

    async fn ask(&mut self) -> Result<(), Failure> {
        let disks = self.rows.running();
        let answers = join_all(disks.iter().map(scan::job)).await;
        let now = Instant::now();
        for (disk, answer) in disks.iter().zip(answers) {
            match answer {
                Ok(info) => self.rows.answer(disk, info, now),
                // A domain that is busy is asked again.
                Err(error) if error.is_busy() => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.show().await
    }

    async fn event(&mut self, event: Result<DomainEvent, EventError>) -> Result<(), Failure> {
        let now = Instant::now();
        let event = match event {
            Ok(event) => event,
            Err(error) if error.is_end() => return Err(error.into()),
            // Something was missed.
            Err(_) => return self.scan().await,
        };
        match event.kind {
            DomainEventKind::BlockJob2 { dst, kind, status } => {
                let disk = event.domain.disk(dst);
                if !self.rows.announced(&disk, kind, status, now) {
                    return Ok(());
                }
            }
            DomainEventKind::Lifecycle(step) if step.event() == DomainEventType::STOPPED => {
                self.rows.stopped(event.domain.uuid(), now);
            }
            _ => return Ok(()),
        }
        self.show().await
    }

    async fn show(&mut self) -> Result<(), Failure> {
        self.rows.forget(Instant::now());
        self.screen.show(&mut self.rows).await
    }
}
