//! The task that follows one block job from before its start to its end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use virtwire_protocol::constants::{
    ConnectDomainEventBlockJobStatus as Status, DomainBlockJobAbortFlags,
    DomainEventStoppedDetailType, DomainXmlFlags, ErrorCode,
};

use super::evidence::Seen;
use super::info::is_mirror;
use super::meter::Meter;
use super::state::{JobState, Wishes};
use super::subject::{Subject, described, find};
use super::watch::{Notice, Watch};
use super::{BlockJob, BlockJobInfo, Evidence, JobFailure, NextStart, Outcome, VanishedReason};
use crate::domain::pace::Pace;
use crate::{Error, MirrorReady};

/// How long an event may trail behind the job's disappearance before it counts as lost. The
/// daemon queues the event before it forgets the job, so this is generous.
const EVENT_GRACE: Duration = Duration::from_secs(2);

/// How long the XML may trail behind the announcement of a pivot, as it did in old releases.
const XML_GRACE: Duration = Duration::from_secs(2);

/// How long the XML of a mirror that is under way may lack it. It has it before the answer to the
/// start comes, so this is generous.
const MIRROR_GRACE: Duration = Duration::from_secs(3);

/// How long a look at the XML may take.
const LOOK_DEADLINE: Duration = Duration::from_secs(5);

/// Follows one job.
#[derive(Debug)]
pub(super) struct Monitor {
    subject: Arc<Subject>,
    watch: Watch,
    state: watch::Sender<JobState>,
    wishes: Arc<Wishes>,
    meter: Meter,
    /// Whether something was missed, and the XML has to tell whether it was important.
    look: bool,
    /// Whether the connection was lost meanwhile.
    interrupted: bool,
    /// An end that was told before the answer to the start while the guest did not say whether the
    /// job is there: ours if it is gone, else that of an earlier one.
    unconfirmed: Option<Status>,
    /// Since when the XML has had no mirror for a job that is one.
    mirrorless: Option<Instant>,
}

impl Monitor {
    /// Asks for the events of the domain. To be called before the job is started.
    pub(super) async fn prepare(subject: Subject) -> Result<Self, Error> {
        let mut watch = Watch::begin(subject.disk.domain()).await?;
        // What is in the queue now was caused by an earlier job. Asking about the job orders us
        // behind the end of one that is just being torn down.
        let _ = subject.disk.job_info().await;
        watch.forget();
        Ok(Self::new(subject, watch))
    }

    pub(super) fn new(subject: Subject, watch: Watch) -> Self {
        Self {
            subject: Arc::new(subject),
            watch,
            state: watch::Sender::new(JobState::default()),
            wishes: Arc::default(),
            meter: Meter::default(),
            look: false,
            interrupted: false,
            unconfirmed: None,
            mirrorless: None,
        }
    }

    /// The job was found running, and the XML said then whether it can be pivoted.
    pub(super) fn found(self, info: BlockJobInfo, ready: bool) -> Self {
        self.state.send_modify(|state| {
            state.ready = ready;
            state.info = Some(BlockJobInfo { ready, ..info });
        });
        self
    }

    /// Takes over after the daemon has accepted the job.
    pub(super) fn started(self) -> BlockJob {
        let job = BlockJob {
            subject: Arc::clone(&self.subject),
            state: self.state.subscribe(),
            wishes: Arc::clone(&self.wishes),
        };
        tokio::spawn(self.run());
        job
    }

    async fn run(mut self) {
        let state = self.state.clone();
        let outcome = tokio::select! {
            outcome = self.follow() => outcome,
            // Nobody holds a handle any more.
            () = state.closed() => return self.abandoned().await,
        };
        tracing::debug!(disk = self.subject.disk.path(), %outcome, "block job is over");
        state.send_modify(|state| state.outcome = Some(outcome));
    }

    async fn abandoned(&self) {
        let under_way = self.state.borrow().is_under_way();
        if under_way && self.wishes.cancel_on_drop.load(Ordering::Relaxed) {
            let cancelled = self
                .subject
                .disk
                .abort_job(DomainBlockJobAbortFlags::ASYNC)
                .await;
            tracing::debug!(
                disk = self.subject.disk.path(),
                ?cancelled,
                "block job was dropped"
            );
        }
    }

    async fn follow(&mut self) -> Outcome {
        if let Some(outcome) = self.early_outcome().await {
            return outcome;
        }
        loop {
            let question = question(Arc::clone(&self.subject), Arc::clone(&self.wishes.pace));
            tokio::pin!(question);
            // Events are taken while the question waits: a guest that hangs does not answer it.
            let answer = loop {
                tokio::select! {
                    biased;
                    notice = self.watch.next(&self.subject) => {
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
    /// An ending among them is ours if the job is gone, or another is in its place already; if the
    /// daemon still has such a job, it was of an earlier one whose event came late.
    async fn early_outcome(&mut self) -> Option<Outcome> {
        let ending = self.latest_ending()?;
        let Notice::Status(early) = ending else {
            return self.on_notice(ending).await;
        };
        // A guest that hangs does not answer.
        let now = timeout(EVENT_GRACE, self.subject.disk.job_info()).await;
        match now {
            Ok(Ok(Some(info))) if info.kind == self.subject.kind => None,
            Ok(Ok(_)) => {
                // Ours may have come while we asked, behind that of an earlier job.
                let status = self.announced().unwrap_or(early);
                self.on_status(status).await
            }
            _ => {
                self.unconfirmed = Some(early);
                None
            }
        }
    }

    /// The last notice of an end among those that are there now.
    fn latest_ending(&mut self) -> Option<Notice> {
        let mut ending = None;
        while let Some(notice) = self.next_ending() {
            ending = Some(notice);
        }
        ending
    }

    /// The last announcement of an end among the notices that are there now.
    fn announced(&mut self) -> Option<Status> {
        let mut announced = None;
        while let Some(notice) = self.next_ending() {
            if let Notice::Status(status) = notice {
                announced = Some(status);
            }
        }
        announced
    }

    /// The next notice of an end, if it is there now.
    fn next_ending(&mut self) -> Option<Notice> {
        loop {
            match self.watch.try_next(&self.subject)? {
                Notice::Status(Status::READY) => self.is_ready(),
                notice @ (Notice::Status(Status::COMPLETED | Status::FAILED | Status::CANCELED)
                | Notice::Stopped(_)
                | Notice::Closed(_)
                | Notice::Ended) => return Some(notice),
                Notice::Status(_) | Notice::Look => self.look_soon(),
                Notice::Interrupted => self.interrupted(),
                Notice::Nothing => {}
            }
        }
    }

    async fn on_notice(&mut self, notice: Notice) -> Option<Outcome> {
        let reason = match notice {
            Notice::Nothing => return None,
            Notice::Status(status) => return self.on_status(status).await,
            Notice::Look => {
                self.look_soon();
                return None;
            }
            Notice::Interrupted => {
                self.interrupted();
                return None;
            }
            Notice::Stopped(detail) => return self.on_stopped(detail).await,
            Notice::Closed(cause) => VanishedReason::ConnectionLost(cause),
            Notice::Ended => VanishedReason::EventsEnded,
        };
        Some(self.vanished(reason).await)
    }

    async fn on_status(&mut self, status: Status) -> Option<Outcome> {
        match status {
            Status::COMPLETED if is_mirror(self.subject.kind) => Some(self.pivoted().await),
            Status::COMPLETED => Some(Outcome::Completed),
            Status::CANCELED => Some(Outcome::Cancelled),
            Status::FAILED => Some(Outcome::Failed(JobFailure {
                status,
                last_info: self.last_info(),
            })),
            Status::READY => {
                self.is_ready();
                None
            }
            // A status of a newer daemon: the job is not over for all we know.
            _ => {
                self.wishes.pace.hurry();
                None
            }
        }
    }

    fn is_ready(&mut self) {
        let mirror = is_mirror(self.subject.kind);
        self.state.send_if_modified(|state| {
            let news = mirror && !state.ready;
            state.ready |= mirror;
            news
        });
        self.wishes.pace.hurry();
    }

    /// The daemon may be another one.
    fn interrupted(&mut self) {
        self.interrupted = true;
        self.look_soon();
    }

    /// Something may have happened that no event tells.
    fn look_soon(&mut self) {
        self.look = true;
        self.wishes.pace.hurry();
    }

    /// The end of an earlier run can be told late, after this one has begun.
    async fn on_stopped(
        &mut self,
        detail: Option<DomainEventStoppedDetailType>,
    ) -> Option<Outcome> {
        let seen = Seen::gather(&self.subject.disk).await;
        // Whether it was the end of this run is not to be learned over a connection that is lost.
        let connection = self.subject.disk.domain().connection();
        let unseen = seen.disk.is_none() && connection.close_cause().is_some();
        if seen.runs_as(self.subject.instance) || unseen {
            self.look_soon();
            return None;
        }
        let reason = VanishedReason::DomainStopped { detail };
        Some(self.unless_announced(reason, seen).await)
    }

    /// The daemon announced that a mirror has done its work, which is done when it was pivoted.
    /// The XML has to agree: after a crash of the daemon between the request and its note of it,
    /// libvirt takes the end of a copy for a cancellation and still calls it completed.
    async fn pivoted(&mut self) -> Outcome {
        self.has_ended();
        let deadline = Instant::now() + XML_GRACE;
        let mut pause = Duration::from_millis(10);
        loop {
            // The last look begins when the XML has had its time, however long the looks take.
            let is_last = Instant::now() >= deadline;
            let seen = Seen::gather(&self.subject.disk).await;
            let unchanged = seen.runs_as(self.subject.instance) && self.is_unchanged(&seen);
            let contradicted = unchanged || (self.interrupted && self.is_cancelled());
            if !contradicted {
                let next = match &seen.disk {
                    Some(_) => seen.next_start(&self.subject),
                    None => NextStart::NotKnown,
                };
                return Outcome::Pivoted(next);
            }
            if is_last {
                return self.vanished_as(VanishedReason::Contradicted, seen);
            }
            sleep(pause).await;
            pause *= 2;
        }
    }

    /// Whether the daemon has taken a request to cancel the job, or may have. libvirt then says
    /// that it was cancelled, however it ended, unless it is killed in between: QEMU calls the end
    /// of a ready mirror completed in either case, and the next daemon takes that for a pivot.
    fn is_cancelled(&self) -> bool {
        self.wishes.cancels.any()
    }

    /// Whether the XML goes on to name the image from before the job as the active one.
    fn is_unchanged(&self, seen: &Seen) -> bool {
        let (Some(before), Some(now)) = (&self.subject.before, &seen.disk) else {
            return false;
        };
        before.source.is_some() && before.source == now.source
    }

    async fn on_answer(&mut self, answer: Result<Option<BlockJobInfo>, Error>) -> Option<Outcome> {
        match answer {
            Ok(Some(info)) if info.kind == self.subject.kind => self.on_info(info).await,
            // No job, or already the next one.
            Ok(_) => self.without_event(VanishedReason::NoEvent).await,
            Err(error) if error.is_not_found() || error.has_code(ErrorCode::OPERATION_INVALID) => {
                self.without_event(VanishedReason::DomainStopped { detail: None })
                    .await
            }
            // The disk has been taken away, and its job before that.
            Err(error) if error.has_code(ErrorCode::INVALID_ARG) => {
                self.without_event(VanishedReason::NoEvent).await
            }
            // The connection's end comes as a notice; anything else may pass.
            Err(error) => {
                tracing::debug!(disk = self.subject.disk.path(), %error, "cannot ask about the block job");
                None
            }
        }
    }

    async fn on_info(&mut self, info: BlockJobInfo) -> Option<Outcome> {
        self.unconfirmed = None;
        let ready = self.state.borrow().ready;
        // Equal figures say nothing, but they are a reason to look: the event may have been missed.
        let maybe_ready = info.is_mirror() && !ready && info.current == info.end && info.end > 0;
        if self.look || maybe_ready {
            if let Some(outcome) = self.look_at_xml().await {
                return Some(outcome);
            }
        }
        let meter = &mut self.meter;
        self.state.send_if_modified(|state| {
            let info = BlockJobInfo {
                ready: state.ready,
                ..info
            };
            let progress = Some(meter.progress(Instant::now(), &info));
            let changed = state.info != Some(info) || state.progress != progress;
            state.info = Some(info);
            state.progress = progress;
            changed
        });
        None
    }

    /// Whether the domain is still the one that has the job, and whether a mirror is ready.
    async fn look_at_xml(&mut self) -> Option<Outcome> {
        let domain = self.subject.disk.domain();
        let answer = timeout(LOOK_DEADLINE, described(domain, DomainXmlFlags::empty())).await;
        // Not answered, it is asked again with the next question.
        let described = answer.ok()?.ok()?;
        self.look = false;
        if described.id != self.subject.instance {
            let reason = VanishedReason::DomainStopped { detail: None };
            return self.without_event(reason).await;
        }
        let disk = find(described.disks, self.subject.disk.path())?;
        match disk.mirror {
            Some(mirror) => {
                self.mirrorless = None;
                if mirror.ready == MirrorReady::Yes {
                    self.is_ready();
                }
                None
            }
            None => self.without_mirror().await,
        }
    }

    /// A daemon that was killed while it started a mirror may know of the job and not of the
    /// mirror, and then never says that it is ready.
    async fn without_mirror(&mut self) -> Option<Outcome> {
        let mirror = is_mirror(self.subject.kind) && !self.state.borrow().ready;
        if !mirror {
            return None;
        }
        let now = Instant::now();
        let since = *self.mirrorless.get_or_insert(now);
        if now.duration_since(since) < MIRROR_GRACE {
            return None;
        }
        Some(self.vanished(VanishedReason::HalfStarted).await)
    }

    /// From here on nobody may ask for anything: another job may be in this one's place.
    fn has_ended(&self) {
        self.state.send_modify(|state| state.ended = true);
    }

    /// The job is gone; gives its event time to arrive.
    async fn without_event(&mut self, reason: VanishedReason) -> Option<Outcome> {
        self.has_ended();
        let deadline = Instant::now() + EVENT_GRACE;
        loop {
            tokio::select! {
                biased;
                notice = self.watch.next(&self.subject) => {
                    if let Some(outcome) = self.on_notice(notice).await {
                        return Some(outcome);
                    }
                }
                () = sleep_until(deadline) => break,
            }
        }
        if let (VanishedReason::NoEvent, Some(status)) = (&reason, self.unconfirmed) {
            return self.on_status(status).await;
        }
        Some(self.vanished(reason).await)
    }

    async fn vanished(&mut self, reason: VanishedReason) -> Outcome {
        let seen = Seen::gather(&self.subject.disk).await;
        self.unless_announced(reason, seen).await
    }

    /// An ending may have been told while things were looked at.
    async fn unless_announced(&mut self, reason: VanishedReason, seen: Seen) -> Outcome {
        if let Some(status) = self.announced() {
            if let Some(outcome) = self.on_status(status).await {
                return outcome;
            }
        }
        self.vanished_as(reason, seen)
    }

    fn vanished_as(&self, reason: VanishedReason, seen: Seen) -> Outcome {
        let mut evidence = Evidence::new(reason, &self.subject, self.last_info()).with(seen);
        evidence.pivot_asked = self.wishes.pivots.any();
        evidence.cancel_asked = self.is_cancelled();
        Outcome::Vanished(Box::new(evidence))
    }

    fn last_info(&self) -> Option<BlockJobInfo> {
        self.state.borrow().info
    }
}

/// Waits for its time, then asks about the job.
async fn question(subject: Arc<Subject>, pace: Arc<Pace>) -> Result<Option<BlockJobInfo>, Error> {
    pace.wait().await;
    subject.disk.job_info().await
}
