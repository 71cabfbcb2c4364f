//! The task that follows one block job from before its start to its end.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};
use virtwire_protocol::constants::{
    ConnectDomainEventBlockJobStatus, DomainBlockJobType, DomainEventId, DomainXmlFlags, ErrorCode,
};

use super::{BlockJob, BlockJobInfo, Evidence, JobFailure, Outcome, VanishedReason};
use crate::event::{DomainEvent, DomainEventKind, EventError, EventStream, Lifecycle};
use crate::{Disk, Error};

/// How often the daemon is asked when nobody looks at the progress: only to notice that an event
/// will not come.
const IDLE_INTERVAL: Duration = Duration::from_secs(2);

/// How long an event may trail behind the job's disappearance before it counts as lost. The
/// daemon queues the event before it forgets the job, so this is generous.
const EVENT_GRACE: Duration = Duration::from_secs(2);

/// How long the questions after a job's unannounced end may take altogether.
const EVIDENCE_DEADLINE: Duration = Duration::from_secs(5);

/// What comes of the subscription.
type Notice = Result<DomainEvent, EventError>;

/// What handles and streams see of a job.
#[derive(Debug, Clone, Default)]
pub(crate) struct JobState {
    pub(crate) info: Option<BlockJobInfo>,
    pub(crate) outcome: Option<Outcome>,
}

/// Follows one job.
#[derive(Debug)]
pub(crate) struct Monitor {
    disk: Disk,
    kind: DomainBlockJobType,
    events: EventStream<DomainEvent>,
    state: watch::Sender<JobState>,
    pace: Arc<Pace>,
}

impl Monitor {
    /// Asks for the events of the domain. To be called before the job is started.
    pub(crate) async fn prepare(disk: &Disk, kind: DomainBlockJobType) -> Result<Self, Error> {
        let wanted = [DomainEventId::BLOCK_JOB_2, DomainEventId::LIFECYCLE];
        let mut events = disk.domain().events(wanted).await?;
        // What is in the queue now was caused by an earlier job. Asking about the job orders us
        // behind the end of one that is just being torn down.
        let _ = disk.job_info().await;
        while events.try_recv().is_some() {}
        Ok(Self {
            disk: disk.clone(),
            kind,
            events,
            state: watch::Sender::new(JobState::default()),
            pace: Arc::default(),
        })
    }

    /// Takes over after the daemon has accepted the job.
    pub(crate) fn started(self) -> BlockJob {
        let job = BlockJob {
            disk: self.disk.clone(),
            kind: self.kind,
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
        tracing::debug!(disk = self.disk.path(), %outcome, "block job is over");
        state.send_modify(|state| state.outcome = Some(outcome));
    }

    async fn follow(&mut self) -> Outcome {
        if let Some(outcome) = self.early_outcome().await {
            return outcome;
        }
        loop {
            let question = question(self.disk.clone(), Arc::clone(&self.pace));
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

    /// What the events say that came before the daemon's answer to the start.
    ///
    /// An ending among them is ours if the job is gone; if the daemon still has a job, it was of
    /// an earlier one whose event came late.
    async fn early_outcome(&mut self) -> Option<Outcome> {
        let ending = self.latest_ending(None).await;
        let announced = matches!(
            ending,
            Some(Outcome::Completed | Outcome::Cancelled | Outcome::Failed(_))
        );
        if announced {
            // A guest that hangs does not answer; then the announcement has to do alone.
            let now = timeout(EVENT_GRACE, self.disk.job_info()).await;
            if matches!(now, Ok(Ok(Some(_)))) {
                return None;
            }
        }
        // Ours may have come while we asked, behind that of an earlier job.
        self.latest_ending(ending).await
    }

    /// The last ending among the notices that are there now.
    async fn latest_ending(&mut self, mut ending: Option<Outcome>) -> Option<Outcome> {
        while let Some(notice) = self.events.try_recv() {
            ending = self.on_notice(notice).await.or(ending);
        }
        ending
    }

    async fn on_notice(&mut self, notice: Notice) -> Option<Outcome> {
        let reason = match notice {
            Ok(event) => match event.kind {
                DomainEventKind::BlockJob2 { dst, kind, status } => {
                    let ours = dst == self.disk.path() && kind == self.kind;
                    return if ours { self.on_status(status) } else { None };
                }
                DomainEventKind::Lifecycle(Lifecycle::Stopped(detail)) => {
                    let detail = Some(detail);
                    VanishedReason::DomainStopped { detail }
                }
                _ => return None,
            },
            Err(EventError::Closed(cause)) => VanishedReason::ConnectionLost(cause),
            Err(error) if error.is_end() => VanishedReason::NoEvent,
            // Something was missed, and it may have been the end.
            Err(_) => {
                self.pace.hurry();
                return None;
            }
        };
        Some(self.vanished(reason).await)
    }

    fn on_status(&self, status: ConnectDomainEventBlockJobStatus) -> Option<Outcome> {
        match status {
            ConnectDomainEventBlockJobStatus::COMPLETED => Some(Outcome::Completed),
            ConnectDomainEventBlockJobStatus::CANCELED => Some(Outcome::Cancelled),
            ConnectDomainEventBlockJobStatus::FAILED => Some(Outcome::Failed(JobFailure {
                status,
                last_info: self.last_info(),
            })),
            // READY, or a status of a newer daemon: the job is not over for all we know.
            _ => {
                self.pace.hurry();
                None
            }
        }
    }

    async fn on_answer(&mut self, answer: Result<Option<BlockJobInfo>, Error>) -> Option<Outcome> {
        match answer {
            Ok(Some(info)) => {
                self.state.send_if_modified(|state| {
                    let changed = state.info != Some(info);
                    state.info = Some(info);
                    changed
                });
                None
            }
            Ok(None) => self.without_event(VanishedReason::NoEvent).await,
            Err(error) if error.is_not_found() || error.has_code(ErrorCode::OPERATION_INVALID) => {
                self.without_event(VanishedReason::DomainStopped { detail: None })
                    .await
            }
            // The connection's end comes as a notice; anything else may pass.
            Err(error) => {
                tracing::debug!(disk = self.disk.path(), %error, "cannot ask about the block job");
                None
            }
        }
    }

    /// The job is gone; gives its event time to arrive.
    async fn without_event(&mut self, reason: VanishedReason) -> Option<Outcome> {
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
        Some(self.vanished(reason).await)
    }

    async fn vanished(&mut self, reason: VanishedReason) -> Outcome {
        let mut evidence = Evidence::new(reason, self.last_info());
        let _ = timeout(EVIDENCE_DEADLINE, gather(&self.disk, &mut evidence)).await;
        Outcome::Vanished(Box::new(evidence))
    }

    fn last_info(&self) -> Option<BlockJobInfo> {
        self.state.borrow().info
    }
}

/// Waits for its time, then asks about the job.
async fn question(disk: Disk, pace: Arc<Pace>) -> Result<Option<BlockJobInfo>, Error> {
    pace.wait().await;
    disk.job_info().await
}

async fn gather(disk: &Disk, evidence: &mut Evidence) {
    evidence.domain = disk.domain().status().await.ok();
    let disks = disk
        .domain()
        .disks(DomainXmlFlags::empty())
        .await
        .unwrap_or_default();
    evidence.disk = disks
        .into_iter()
        .find(|description| description.target == disk.path());
}

/// How often the daemon is asked about a job.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// What each progress stream asks for, by its number.
    wishes: Mutex<Vec<Duration>>,
    changed: Notify,
}

/// Keeps a quicker pace while it lives.
#[derive(Debug)]
pub(crate) struct Quickened {
    pace: Arc<Pace>,
    interval: Duration,
}

impl Pace {
    pub(crate) fn quicken(self: &Arc<Self>, interval: Duration) -> Quickened {
        let interval = interval.max(Duration::from_millis(1));
        self.wishes().push(interval);
        self.changed.notify_one();
        Quickened {
            pace: Arc::clone(self),
            interval,
        }
    }

    /// Has the next question asked at once.
    fn hurry(&self) {
        self.changed.notify_one();
    }

    async fn wait(&self) {
        tokio::select! {
            () = tokio::time::sleep(self.interval()) => {}
            () = self.changed.notified() => {}
        }
    }

    fn interval(&self) -> Duration {
        self.wishes().iter().min().copied().unwrap_or(IDLE_INTERVAL)
    }

    fn wishes(&self) -> std::sync::MutexGuard<'_, Vec<Duration>> {
        self.wishes
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Quickened {
    fn drop(&mut self) {
        let mut wishes = self.pace.wishes();
        if let Some(position) = wishes.iter().position(|wish| *wish == self.interval) {
            wishes.swap_remove(position);
        }
    }
}
