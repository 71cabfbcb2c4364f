//! The task that follows one backup from before its start to its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use virtwire_protocol::constants::{
    ConnectDomainEventBlockJobStatus, DomainBlockJobType, DomainEventId, DomainGetJobStatsFlags,
    DomainJobType, ErrorCode,
};

use super::identity::Identity;
use super::stats::{DomainJob, domain_job, last_backup};
use super::{
    BackupEvidence, BackupFailure, BackupJob, BackupMode, BackupOutcome, BackupStats, BackupXml,
};
use crate::domain::pace::Pace;
use crate::event::{DomainEvent, DomainEventKind, EventError, EventStream, Lifecycle};
use crate::{Domain, DomainStatus, Error, VanishedReason};

/// How long the event may trail behind the backup's disappearance before it counts as lost. The
/// daemon queues the event before it forgets the backup, so this is generous.
const EVENT_GRACE: Duration = Duration::from_secs(2);

/// How long a backup that was found may have no disk at work. It has before the answer to its start
/// comes, so this is generous.
const WORK_GRACE: Duration = Duration::from_secs(3);

/// How long the questions after a backup's end may take altogether.
const EVIDENCE_DEADLINE: Duration = Duration::from_secs(5);

/// What comes of the subscription.
type Notice = Result<DomainEvent, EventError>;

/// What handles and streams see of a backup.
#[derive(Debug, Clone, Default)]
pub(super) struct BackupState {
    pub(super) stats: Option<BackupStats>,
    /// Whether the daemon has said that the backup is gone. The outcome follows when its
    /// announcement was waited for.
    pub(super) gone: bool,
    pub(super) outcome: Option<BackupOutcome>,
}

/// Follows one backup.
#[derive(Debug)]
pub(super) struct Monitor {
    domain: Domain,
    events: EventStream<DomainEvent>,
    state: watch::Sender<BackupState>,
    pace: Arc<Pace>,
    identity: Identity,
    /// Whether an event was lost, and with it perhaps the end of our backup.
    lost: bool,
    /// Whether a disk has been seen at work, or the daemon has said that it began the backup.
    works: bool,
    /// Since when there has been a backup and no disk at work.
    idle: Option<Instant>,
}

/// What can be found out when a backup is over.
#[derive(Debug, Default)]
struct Afterwards {
    last: Option<(DomainJobType, BackupStats)>,
    status: Option<DomainStatus>,
    stopped: bool,
}

impl Monitor {
    /// Asks for the events of the domain. To be called before the backup is started or looked for.
    pub(super) async fn prepare(domain: &Domain) -> Result<Self, Error> {
        let wanted = [
            DomainEventId::JOB_COMPLETED,
            DomainEventId::BLOCK_JOB_2,
            DomainEventId::LIFECYCLE,
        ];
        let mut events = domain.events(wanted).await?;
        // What is in the queue now was caused by an earlier backup.
        while events.try_recv().is_some() {}
        Ok(Self {
            domain: domain.clone(),
            events,
            state: watch::Sender::new(BackupState::default()),
            pace: Arc::default(),
            identity: Identity::new(None),
            lost: false,
            works: false,
            idle: None,
        })
    }

    /// Takes over after the daemon has said that there is a backup, or has begun it by a call that
    /// was made then.
    pub(super) fn started(mut self, mode: BackupMode, asked: Option<Instant>) -> BackupJob {
        self.identity = Identity::new(asked);
        self.works = asked.is_some();
        let job = BackupJob {
            domain: self.domain.clone(),
            mode,
            state: self.state.subscribe(),
            pace: Arc::clone(&self.pace),
        };
        tokio::spawn(self.run());
        job
    }

    async fn run(mut self) {
        let state = self.state.clone();
        let outcome = tokio::select! {
            outcome = self.follow() => outcome,
            // Nobody holds a handle any more.
            () = state.closed() => return,
        };
        tracing::debug!(domain = self.domain.name(), %outcome, "backup is over");
        state.send_modify(|state| state.outcome = Some(outcome));
    }

    async fn follow(&mut self) -> BackupOutcome {
        if let Some(outcome) = self.early_outcome().await {
            return outcome;
        }
        loop {
            let question = question(self.domain.clone(), Arc::clone(&self.pace));
            tokio::pin!(question);
            // Events are taken while the question waits: a guest that hangs does not answer it.
            let answer = loop {
                tokio::select! {
                    biased;
                    notice = self.events.recv() => {
                        if let Some(outcome) = self.on_notice(notice).await {
                            return outcome;
                        }
                    }
                    answer = &mut question => break answer,
                }
            };
            if let Some(outcome) = self.on_answer(answer).await {
                return outcome;
            }
        }
    }

    /// What the events say that came before the daemon's answer.
    ///
    /// An ending among them is ours if the backup is gone; if the daemon still has one, it was that
    /// of an earlier one whose event came late.
    async fn early_outcome(&mut self) -> Option<BackupOutcome> {
        let mut early = Vec::new();
        while let Some(notice) = self.events.try_recv() {
            early.push(notice);
        }
        let ends = early.iter().any(|notice| conclusion(notice).is_some());
        if ends && self.is_there().await {
            early.retain(|notice| conclusion(notice).is_none());
        }
        let mut outcome = None;
        for notice in early {
            outcome = self.on_notice(notice).await.or(outcome);
        }
        outcome
    }

    async fn is_there(&self) -> bool {
        let xml = timeout(EVENT_GRACE, self.domain.backup_xml()).await;
        matches!(xml, Ok(Ok(_)))
    }

    async fn on_notice(&mut self, notice: Notice) -> Option<BackupOutcome> {
        if let Some(stats) = conclusion(&notice) {
            let ours = !self.lost || self.identity.may_have_run(stats.elapsed);
            return match ours {
                true => Some(self.concluded(stats).await),
                false => None,
            };
        }
        let reason = match notice {
            Ok(event) => match event.kind {
                // The daemon says so once everything is over, and does not say more; unless it was
                // the end of an earlier run, told late.
                DomainEventKind::Lifecycle(Lifecycle::Stopped(detail)) => {
                    if self.is_there().await {
                        self.look_soon();
                        return None;
                    }
                    let detail = Some(detail);
                    VanishedReason::DomainStopped { detail }
                }
                DomainEventKind::BlockJob2 { kind, status, .. } => {
                    self.on_disk(kind, status);
                    return None;
                }
                _ => return None,
            },
            Err(EventError::Closed(cause)) => VanishedReason::ConnectionLost(cause),
            Err(error) if error.is_end() => VanishedReason::NoEvent,
            // Something was missed, and it may have been the end.
            Err(_) => {
                self.look_soon();
                return None;
            }
        };
        Some(self.unannounced(reason).await)
    }

    /// The backup that there is may not be ours.
    fn look_soon(&mut self) {
        self.lost = true;
        self.works = false;
        self.pace.hurry();
    }

    /// A disk is done, which changes the figures; whether the backup is, the daemon says apart.
    fn on_disk(&self, kind: DomainBlockJobType, status: ConnectDomainEventBlockJobStatus) {
        if kind == DomainBlockJobType::BACKUP {
            tracing::debug!(
                domain = self.domain.name(),
                ?status,
                "a disk's backup is over"
            );
            self.pace.hurry();
        }
    }

    async fn on_answer(&mut self, (asked, answer): Answer) -> Option<BackupOutcome> {
        match answer {
            Ok(job) => match job.and_then(DomainJob::backup) {
                Some(stats) if !self.lost || self.identity.may_run(stats.elapsed, asked) => {
                    self.lost = false;
                    self.identity.runs(stats.elapsed, asked);
                    self.state.send_modify(|state| state.stats = Some(stats));
                    self.look_for_work().await
                }
                // There is none, or somebody else's has taken its place.
                _ => self.without_event(VanishedReason::NoEvent).await,
            },
            Err(error) if error.is_not_found() || error.has_code(ErrorCode::OPERATION_INVALID) => {
                self.without_event(VanishedReason::DomainStopped { detail: None })
                    .await
            }
            // The connection's end comes as a notice; anything else may pass.
            Err(error) => {
                tracing::debug!(domain = self.domain.name(), %error, "cannot ask about the backup");
                None
            }
        }
    }

    /// A daemon that was killed while it began a backup may find it again without any disk at work,
    /// and then never says that it is over.
    async fn look_for_work(&mut self) -> Option<BackupOutcome> {
        if self.works {
            return None;
        }
        // Not answered, it is asked again with the next question.
        let jobs = timeout(EVIDENCE_DEADLINE, self.domain.block_jobs()).await;
        let jobs = jobs.ok()?.ok()?;
        self.works = jobs
            .iter()
            .any(|job| job.info.kind == DomainBlockJobType::BACKUP);
        if self.works {
            self.idle = None;
            return None;
        }
        let now = Instant::now();
        let since = *self.idle.get_or_insert(now);
        if now.duration_since(since) < WORK_GRACE {
            return None;
        }
        self.without_event(VanishedReason::HalfStarted).await
    }

    /// The backup is gone; gives its event time to arrive.
    async fn without_event(&mut self, reason: VanishedReason) -> Option<BackupOutcome> {
        if !matches!(reason, VanishedReason::HalfStarted) {
            // From here on nobody may ask for its end: the domain may have another job.
            self.state.send_modify(|state| state.gone = true);
        }
        let deadline = Instant::now() + EVENT_GRACE;
        loop {
            tokio::select! {
                biased;
                notice = self.events.recv() => {
                    if let Some(outcome) = self.on_notice(notice).await {
                        return Some(outcome);
                    }
                }
                () = sleep_until(deadline) => break,
            }
        }
        Some(self.unannounced(reason).await)
    }

    /// The daemon has announced the end.
    async fn concluded(&self, stats: BackupStats) -> BackupOutcome {
        if stats.success() == Some(true) {
            return BackupOutcome::Completed;
        }
        let afterwards = self.afterwards().await;
        let same = |(_, last): &&(_, BackupStats)| last.elapsed == stats.elapsed;
        let kind = afterwards.last.as_ref().filter(same).map(|(kind, _)| *kind);
        if stats.success().is_none() && kind.is_none() {
            return self.vanished(VanishedReason::NoEvent, afterwards);
        }
        ended(kind, stats, afterwards.stopped)
    }

    /// The end was not announced. What the daemon remembers of the domain's last backup tells it,
    /// if that can have been ours.
    async fn unannounced(&self, reason: VanishedReason) -> BackupOutcome {
        let mut afterwards = self.afterwards().await;
        match afterwards.last.take() {
            Some((kind, stats)) if self.identity.may_have_run(stats.elapsed) => {
                ended(Some(kind), stats, afterwards.stopped)
            }
            other => {
                afterwards.last = other;
                self.vanished(reason, afterwards)
            }
        }
    }

    fn vanished(&self, reason: VanishedReason, afterwards: Afterwards) -> BackupOutcome {
        let mut evidence = BackupEvidence::new(reason, self.last_stats());
        evidence.other = afterwards.last;
        evidence.domain = afterwards.status;
        BackupOutcome::Vanished(Box::new(evidence))
    }

    async fn afterwards(&self) -> Afterwards {
        let domain = &self.domain;
        let questions =
            async { tokio::join!(last_backup(domain), domain.status(), domain.is_active()) };
        let Ok((last, status, active)) = timeout(EVIDENCE_DEADLINE, questions).await else {
            return Afterwards::default();
        };
        let gone = |error: &Error| error.is_not_found();
        Afterwards {
            last: last.ok().flatten(),
            status: status.ok(),
            stopped: active.as_ref().map_or_else(gone, |active| !active),
        }
    }

    fn last_stats(&self) -> Option<BackupStats> {
        self.state.borrow().stats.clone()
    }
}

/// The figures in the announcement of a backup's end, if it is one.
fn conclusion(notice: &Notice) -> Option<BackupStats> {
    let DomainEventKind::JobCompleted { params } = &notice.as_ref().ok()?.kind else {
        return None;
    };
    BackupStats::read(params.clone())
}

/// What the daemon's record of a backup says. `kind` is what it says of its own accord, which tells
/// a cancelled backup from a failed one where the announcement does not.
fn ended(kind: Option<DomainJobType>, stats: BackupStats, stopped: bool) -> BackupOutcome {
    let completed = kind == Some(DomainJobType::COMPLETED);
    match kind {
        _ if stats.success().unwrap_or(completed) => BackupOutcome::Completed,
        Some(DomainJobType::CANCELLED) if !stopped => BackupOutcome::Cancelled,
        _ => BackupOutcome::Failed(Box::new(BackupFailure {
            message: stats.message(),
            domain_stopped: stopped,
            stats,
        })),
    }
}

/// When a question was asked, and what was answered.
type Answer = (Instant, Result<Option<DomainJob>, Error>);

/// Waits for its time, then asks about the domain's job.
async fn question(domain: Domain, pace: Arc<Pace>) -> Answer {
    pace.wait().await;
    let asked = Instant::now();
    let answer = domain_job(&domain, DomainGetJobStatsFlags::empty()).await;
    (asked, answer)
}

impl Domain {
    /// Looks for a backup that is under way, whoever started it: after a restart of this program,
    /// for example. `None` when there is none.
    ///
    /// # Errors
    ///
    /// `NO_DOMAIN` when the domain is gone, and those of a subscription.
    ///
    /// # Cancel safety
    ///
    /// Safe: the backup goes on.
    pub async fn backup_job(&self) -> Result<Option<BackupJob>, Error> {
        let monitor = Monitor::prepare(self).await?;
        match self.backup_xml().await {
            Ok(xml) => {
                let mode = BackupMode::of(&BackupXml::new(xml));
                Ok(Some(monitor.started(mode, None)))
            }
            Err(error) if error.has_code(ErrorCode::NO_DOMAIN_BACKUP) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
