//! What a client does with one disk, from the job's start to its end, and what it is told.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use virtwire::{
    BackupOutcome, BlockJob, Connection, Disk, Error, Evidence, Execution, Outcome, Readiness,
    Verdict,
};

use crate::disturbance::Disturbance;
use crate::operation::Work;
use crate::schedule::Moment;

/// How long a job may go on after all has been asked that there is to ask.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a job may begin to run after the client that started it has lost its connection.
const BELATED: Duration = Duration::from_secs(3);
/// How long all of it may take.
const HANG: Duration = Duration::from_secs(90);
/// How long a client looks for the daemon.
const LOST: Duration = Duration::from_secs(20);

/// What a client was told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Why the job was not started.
    pub(crate) refused: Option<Error>,
    /// How it ended, by the handle that it was started with.
    pub(crate) first: Option<Outcome>,
    /// How it ended by the handle that was attached to it after that.
    pub(crate) attached: Option<Outcome>,
    /// How a backup ended.
    pub(crate) backup: Option<BackupOutcome>,
    /// What a client fetched of the disk during a backup.
    pub(crate) fetched: Option<Vec<u8>>,
    /// What each request was answered.
    pub(crate) answers: Vec<Outcome>,
    /// What the evidence says, looked at again where that was due.
    pub(crate) verdict: Option<Verdict>,
    /// What should not have been said.
    pub(crate) complaints: Vec<String>,
    /// Everything in its order.
    pub(crate) history: Vec<String>,
}

/// One disk's part of a scene.
#[derive(Debug)]
pub(crate) struct Course {
    pub(crate) work: Work,
    pub(crate) disturbance: Disturbance,
    pub(crate) moment: Moment,
    /// The URI for who has to connect anew.
    pub(crate) uri: String,
    pub(crate) began: Instant,
    /// Has a permit for each job that was started, or was not to be.
    pub(crate) started: Arc<Semaphore>,
    pub(crate) told: Told,
}

impl Course {
    /// Follows it to its end; nothing is left to wait for then.
    pub(crate) async fn run(mut self, disk: Disk) -> Self {
        if timeout(HANG, self.steps(&disk)).await.is_err() {
            self.complain(format!("hangs after {HANG:?}"));
        }
        self
    }

    async fn steps(&mut self, disk: &Disk) {
        if self.work.operation.is_backup() {
            return self.back_up(disk).await;
        }
        match self.work.start(disk).await {
            Ok(job) => {
                self.note(format!("started {:?}", job.kind()));
                self.started.add_permits(1);
                self.told.first = self.follow(&job).await;
            }
            Err(error) => {
                self.not_started(error);
            }
        }
        self.afterwards(disk).await;
    }

    pub(crate) fn not_started(&mut self, error: Error) {
        self.note(format!("start: {error} ({:?})", error.execution()));
        self.started.add_permits(1);
        if !self.disturbance.explains_vanished() && !self.disturbance.is_of_storage() {
            self.complain(format!("not started: {error}"));
        }
        self.told.refused = Some(error);
    }

    /// Whether a job may run that was not said to be started.
    pub(crate) fn is_in_doubt(&self) -> bool {
        let refused = self.told.refused.as_ref();
        refused.is_some_and(|error| error.execution() == Some(Execution::MaybeExecuted))
    }

    /// Does with the job what the disturbance wants, and says how it ended.
    async fn follow(&mut self, job: &BlockJob) -> Option<Outcome> {
        let Moment { after, apart, .. } = self.moment;
        match self.disturbance {
            Disturbance::Cancel => {
                let (one, other) = tokio::join!(self.naturally(job), later(after, job.cancel()));
                self.heard("naturally", one);
                self.heard("cancel", other);
            }
            Disturbance::PivotEarliest => self.heard("pivot", job.pivot().await),
            Disturbance::PivotLate => {
                if let Readiness::Ready = job.wait_ready().await {
                    sleep(after).await;
                }
                self.heard("pivot", job.pivot().await);
            }
            Disturbance::PivotTwice => {
                job.wait_ready().await;
                let (one, other) = tokio::join!(job.pivot(), later(apart, job.pivot()));
                self.heard("pivot", one);
                self.heard("second pivot", other);
            }
            Disturbance::PivotAndCancel => {
                job.wait_ready().await;
                let cancels_first = self.moment.choice & 1 == 0;
                let (first, second) = if cancels_first {
                    (apart, Duration::ZERO)
                } else {
                    (Duration::ZERO, apart)
                };
                let (one, other) =
                    tokio::join!(later(first, job.pivot()), later(second, job.cancel()));
                self.heard("pivot", one);
                self.heard("cancel", other);
            }
            _ => {
                let heard = self.naturally(job).await;
                self.heard("naturally", heard);
            }
        }
        self.outcome(job).await
    }

    /// What happens if nothing comes between.
    fn naturally(&self, job: &BlockJob) -> impl Future<Output = Result<Outcome, Error>> + use<> {
        let (operation, job) = (self.work.operation, job.clone());
        async move {
            if !operation.is_mirror() {
                return Ok(job.wait().await);
            }
            match job.wait_ready().await {
                Readiness::Over(outcome) => Ok(outcome),
                Readiness::Ready if operation.pivots() => job.pivot().await,
                _ => job.cancel().await,
            }
        }
    }

    /// The outcome in the end, which is what everybody must have been told.
    async fn outcome(&mut self, job: &BlockJob) -> Option<Outcome> {
        let Ok(outcome) = timeout(PATIENCE, job.wait()).await else {
            let info = job.info().await;
            self.complain(format!("no outcome, ready {}, {info:?}", job.is_ready()));
            let cancelled = job.cancel().await;
            self.note(format!("cancelled by the runner: {cancelled:?}"));
            return None;
        };
        self.note(format!("outcome: {outcome}"));
        let others = std::mem::take(&mut self.told.answers);
        for other in others.iter().filter(|other| **other != outcome) {
            self.complain(format!("one was told {other:?}, another {outcome:?}"));
        }
        Some(outcome)
    }

    fn heard(&mut self, who: &str, answer: Result<Outcome, Error>) {
        match answer {
            Ok(outcome) => {
                self.note(format!("{who}: {outcome}"));
                self.told.answers.push(outcome);
            }
            Err(error) => {
                self.note(format!("{who}: {error}"));
                if !self.disturbance.explains_vanished() {
                    self.complain(format!("{who}: {error}"));
                }
            }
        }
    }

    /// Where the job has got out of sight, looks for it.
    async fn afterwards(&mut self, disk: &Disk) {
        let evidence = match &self.told.first {
            Some(Outcome::Vanished(evidence)) => Some(evidence.clone()),
            _ => None,
        };
        let in_doubt = self.is_in_doubt();
        if let Some(evidence) = &evidence {
            self.note(format!("evidence: {evidence:?}"));
            self.told.verdict = Some(evidence.resolve());
        }
        if self.disturbance.stops_the_guest() || (evidence.is_none() && !in_doubt) {
            return;
        }
        let Some(connection) = self.connect().await else {
            return;
        };
        let disk = disk.domain().with_connection(&connection).disk(disk.path());
        match Self::find(&disk, in_doubt).await {
            Ok(Some(job)) => {
                self.note("attached");
                let heard = self.naturally(&job).await;
                self.heard("attached", heard);
                self.told.attached = self.outcome(&job).await;
            }
            Ok(None) => {
                self.note("nothing to attach to");
                self.look_again(evidence.as_deref(), &disk).await;
            }
            Err(error) => self.complain(format!("attach: {error}")),
        }
    }

    /// Attaches to the job. A request to start it may still wait for its turn in the daemon.
    async fn find(disk: &Disk, in_doubt: bool) -> Result<Option<BlockJob>, Error> {
        let patience = if in_doubt { BELATED } else { Duration::ZERO };
        let end = Instant::now() + patience;
        loop {
            let found = BlockJob::attach(disk).await;
            if !matches!(found, Ok(None)) || Instant::now() >= end {
                return found;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn look_again(&mut self, evidence: Option<&Evidence>, disk: &Disk) {
        if let Some(evidence) = evidence {
            let again = evidence.look_again(disk).await;
            self.note(format!("looked again: {again:?}"));
            self.told.verdict = Some(again.resolve());
        }
    }

    pub(crate) async fn connect(&mut self) -> Option<Connection> {
        let end = Instant::now() + LOST;
        loop {
            match Connection::open(&self.uri).await {
                Ok(connection) => return Some(connection),
                Err(error) if Instant::now() > end => {
                    self.complain(format!("cannot connect any more: {error}"));
                    return None;
                }
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    }

    pub(crate) fn complain(&mut self, complaint: String) {
        self.note(format_args!("!! {complaint}"));
        self.told.complaints.push(complaint);
    }

    pub(crate) fn note(&mut self, what: impl Display) {
        let at = self.began.elapsed();
        self.told.history.push(format!("{at:>12.3?} {what}"));
    }
}

pub(crate) async fn later<T>(pause: Duration, what: impl Future<Output = T>) -> T {
    if !pause.is_zero() {
        sleep(pause).await;
    }
    what.await
}
