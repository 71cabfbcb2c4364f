//! What is shown of each job: the latest figures, how fast they change, and how it ended.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use virtwire::constants::{ConnectDomainEventBlockJobStatus as Status, DomainBlockJobType as Kind};
use virtwire::{BlockJobInfo, Disk, Domain, RunningBlockJob, Uuid};

use crate::commands::block_job::{info_json, kind_text};
use crate::commands::with_disk;
use crate::output::{Table, scaled, whole_percent};

/// How long a job that is over stays in sight.
const REMEMBERED: Duration = Duration::from_secs(10);

/// How long the daemon may still have a job whose end it has announced.
const ENDING: Duration = Duration::from_secs(1);

/// The shortest time over which a rate is worth anything: the daemon's figures move in steps.
const SAMPLE: Duration = Duration::from_millis(250);

/// Every job that runs or has just ended, by domain and disk.
#[derive(Debug, Default)]
pub(super) struct Rows(BTreeMap<(String, Uuid, String), Row>);

/// How a job is, as far as it was announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Ready,
    Ended(&'static str, Instant),
}

#[derive(Debug)]
struct Row {
    disk: Disk,
    info: BlockJobInfo,
    state: State,
    /// Bytes a second, once two figures are known.
    rate: Option<f64>,
    /// Where the job was, and when: what the next rate is reckoned from.
    sample: (u64, Instant),
    changed: bool,
}

impl Rows {
    /// Takes in what a look at a domain has found: what is not there any more has ended.
    pub(super) fn replace(&mut self, domain: &Domain, found: Vec<RunningBlockJob>, asked: Instant) {
        let there: Vec<_> = found.iter().map(|found| key(&found.disk)).collect();
        let uuid = domain.uuid();
        for (_, row) in self
            .0
            .iter_mut()
            .filter(|(key, _)| key.1 == uuid && !there.contains(key))
        {
            row.end("gone", Instant::now());
        }
        for found in found {
            self.update(&found.disk, found.info, asked);
        }
    }

    /// Takes in which domains run: the jobs of others have ended.
    pub(super) fn keep_domains(&mut self, domains: &[Domain], now: Instant) {
        let running: HashSet<_> = domains.iter().map(Domain::uuid).collect();
        for (key, row) in &mut self.0 {
            if !running.contains(&key.1) {
                row.end("gone", now);
            }
        }
    }

    fn update(&mut self, disk: &Disk, info: BlockJobInfo, asked: Instant) {
        match self.0.entry(key(disk)) {
            Entry::Occupied(mut row) => row.get_mut().update(info, asked),
            Entry::Vacant(place) => {
                place.insert(Row::new(disk, info));
            }
        }
    }

    /// Takes in the answer to a question about one job.
    pub(super) fn answer(&mut self, disk: &Disk, info: Option<BlockJobInfo>, asked: Instant) {
        match (info, self.0.get_mut(&key(disk))) {
            (Some(info), _) => self.update(disk, info, asked),
            (None, Some(row)) => row.end("gone", Instant::now()),
            (None, None) => {}
        }
    }

    /// Takes in the announcement of a job's end, or of its readiness.
    pub(super) fn announced(&mut self, disk: &Disk, kind: Kind, status: Status, now: Instant) {
        let Some(row) = self.0.get_mut(&key(disk)) else {
            return;
        };
        match status {
            Status::READY => row.ready(),
            Status::COMPLETED if matches!(kind, Kind::COPY | Kind::ACTIVE_COMMIT) => {
                row.end("pivoted", now);
            }
            Status::COMPLETED => row.end("completed", now),
            Status::CANCELED => row.end("cancelled", now),
            Status::FAILED => row.end("failed", now),
            _ => row.end("ended", now),
        }
    }

    /// The domain has stopped, and its jobs with it.
    pub(super) fn stopped(&mut self, uuid: Uuid, now: Instant) {
        for row in self.0.values_mut() {
            if row.disk.domain().uuid() == uuid {
                row.end("domain stopped", now);
            }
        }
    }

    /// The disks whose jobs run.
    pub(super) fn running(&self) -> Vec<Disk> {
        let rows = self.0.values().filter(|row| !row.is_over());
        rows.map(|row| row.disk.clone()).collect()
    }

    /// Drops what ended a while ago.
    pub(super) fn forget(&mut self, now: Instant) {
        self.0.retain(|_, row| match row.state {
            State::Ended(_, since) => now.duration_since(since) < REMEMBERED,
            _ => true,
        });
    }

    pub(super) fn table(&self) -> Table {
        // What matters most comes first: a terminal may be too narrow for the rest.
        let mut table = Table::new(&[
            "Domain", "Disk", "Job", "Progress", "State", "Left", "Rate", "Done", "Limit",
        ]);
        for row in self.0.values() {
            let cells = row.cells();
            table.row(&cells.each_ref().map(String::as_str));
        }
        table
    }

    /// One document for each job.
    pub(super) fn documents(&self) -> Vec<Value> {
        self.0.values().map(Row::document).collect()
    }

    /// One document for each job of which something has changed since the last time.
    pub(super) fn changes(&mut self) -> Vec<Value> {
        let rows = self.0.values_mut();
        rows.filter_map(|row| std::mem::take(&mut row.changed).then(|| row.document()))
            .collect()
    }
}

fn key(disk: &Disk) -> (String, Uuid, String) {
    let domain = disk.domain();
    (
        domain.name().to_owned(),
        domain.uuid(),
        disk.path().to_owned(),
    )
}

impl Row {
    fn new(disk: &Disk, info: BlockJobInfo) -> Self {
        Self {
            disk: disk.clone(),
            info,
            state: if info.ready {
                State::Ready
            } else {
                State::Running
            },
            rate: None,
            sample: (info.current, Instant::now()),
            changed: true,
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.state, State::Ended(..))
    }

    fn update(&mut self, info: BlockJobInfo, asked: Instant) {
        match self.state {
            // The daemon was asked before, or may still have had it for a moment.
            State::Ended(_, since) if asked < since + ENDING => return,
            State::Running | State::Ready if info.kind == self.info.kind => {}
            // Another job has begun on the disk.
            _ => *self = Self::new(&self.disk, info),
        }
        let now = Instant::now();
        let (before, since) = self.sample;
        let time = now.duration_since(since);
        if time >= SAMPLE {
            let rate = info.current.saturating_sub(before) as f64 / time.as_secs_f64();
            // A figure that is shown should not jump about.
            self.rate = Some(self.rate.map_or(rate, |before| 0.6 * before + 0.4 * rate));
            self.sample = (info.current, now);
        }
        let figures = |info: &BlockJobInfo| (info.current, info.end, info.bandwidth);
        self.changed |= figures(&info) != figures(&self.info);
        self.info = info;
        if info.ready {
            self.ready();
        }
    }

    fn ready(&mut self) {
        if self.state == State::Running {
            self.state = State::Ready;
            self.changed = true;
        }
    }

    /// What was announced stands, and replaces what was only concluded.
    fn end(&mut self, how: &'static str, now: Instant) {
        match self.state {
            State::Ended("gone", _) if how != "gone" => {}
            State::Ended(..) => return,
            State::Running | State::Ready => {}
        }
        self.state = State::Ended(how, now);
        self.rate = None;
        self.changed = true;
    }

    fn cells(&self) -> [String; 9] {
        let info = &self.info;
        let percent = match (info.progress().fraction(), self.state) {
            (_, State::Ended("completed" | "pivoted", _)) => "100 %".to_owned(),
            (None, _) => "-".to_owned(),
            (Some(_), State::Ready) => {
                format!("{:>3} %", whole_percent(info.current, info.end))
            }
            (Some(_), _) => format!("{:>3} %", whole_percent(info.current, info.end).min(99)),
        };
        let speed = |bytes: Option<u64>| {
            bytes.map_or_else(|| "-".to_owned(), |bytes| format!("{}/s", size(bytes)))
        };
        let rate = self.rate.map(whole);
        [
            self.disk.domain().name().to_owned(),
            self.disk.path().to_owned(),
            kind_text(info.kind).to_owned(),
            percent,
            self.state_text().to_owned(),
            self.left().map_or_else(|| "-".to_owned(), clock),
            speed(rate),
            format!("{} of {}", size(info.current), size(info.end)),
            speed(info.bandwidth.bytes()),
        ]
    }

    fn state_text(&self) -> &'static str {
        match self.state {
            State::Running => "running",
            State::Ready => "ready",
            State::Ended(how, _) => how,
        }
    }

    /// How long the job will take at this rate.
    fn left(&self) -> Option<Duration> {
        let rate = self.rate.filter(|&rate| rate >= 1.0)?;
        if self.state != State::Running {
            return None;
        }
        let bytes = self.info.end.saturating_sub(self.info.current);
        Duration::try_from_secs_f64(bytes as f64 / rate).ok()
    }

    fn document(&self) -> Value {
        let fields = json!({
            "job": info_json(&self.info),
            "state": self.state_text().replace(' ', "_"),
            "rate": self.rate.map(whole),
        });
        with_disk(&self.disk, fields)
    }
}

fn whole(number: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is not negative, and the cast saturates"
    )]
    let whole = number as u64;
    whole
}

fn size(bytes: u64) -> String {
    let (value, unit) = scaled(bytes);
    if unit == "B" {
        format!("{bytes} B")
    } else {
        format!("{value:.1} {unit}")
    }
}

/// Hours, minutes and seconds.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    match minutes / 60 {
        0 => format!("{minutes}:{seconds:02}"),
        hours => format!("{hours}:{:02}:{seconds:02}", minutes % 60),
    }
}
