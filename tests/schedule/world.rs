//! What really happens: a domain with one disk, its jobs, and the libvirt that takes note of them.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until};
use virtwire::constants::{
    ConnectDomainEventBlockJobStatus as Status, DomainBlockJobType, DomainEventCrashedDetailType,
    DomainEventResumedDetailType, DomainEventStartedDetailType, DomainEventStoppedDetailType,
    ErrorCode,
};
use virtwire_protocol::event::{DomainEventKind, Lifecycle};

use crate::chance::{Chance, millis};
use crate::link::{Link, News, Severed};
use crate::story::{Definition, PivotAnswer, Story, Work, XmlTurn};

pub(crate) const BEFORE: &[&str] = &["/top", "/mid", "/base"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Completed,
    Pivoted,
    Cancelled,
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    Ready,
    Ending { pivot: bool },
}

/// A job that libvirt knows.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    serial: u32,
    pub(crate) ours: bool,
    pub(crate) work: Work,
    pub(crate) began: Instant,
    pub(crate) phase: Phase,
    /// The hypervisor is done with it.
    pub(crate) over: Option<End>,
    /// The XML shows already what it has done.
    pub(crate) rewritten: bool,
}

/// What the oracle knows of the job that the client has started.
#[derive(Debug, Clone, Default)]
pub(crate) struct Truth {
    pub(crate) started: Option<Instant>,
    pub(crate) ready: Option<Instant>,
    /// A question would not have found it any more.
    pub(crate) gone: Option<Instant>,
    /// Libvirt's note, which is when it is announced.
    pub(crate) noted: Option<(Instant, End)>,
    /// When the client had a handle.
    pub(crate) handled: Option<Instant>,
    /// When the announcement was written to somebody who had asked for it.
    pub(crate) told: Option<Instant>,
    /// The domain stopped before libvirt had taken note, and what the job had come to by then.
    pub(crate) died: Option<(Instant, Option<End>)>,
    /// The XML shows that the job has done its work.
    pub(crate) rewritten: bool,
    pub(crate) stopped: Option<Instant>,
    pub(crate) stranger: Option<DomainBlockJobType>,
    pub(crate) pivots_heard: u32,
    pub(crate) aborts_heard: u32,
}

pub(crate) struct World {
    pub(crate) story: Story,
    pub(crate) chance: Chance,
    epoch: Instant,
    /// The domain's ID, while it runs.
    pub(crate) id: Option<i32>,
    runs: i32,
    pub(crate) live: Vec<&'static str>,
    pub(crate) definition: Option<Vec<&'static str>>,
    /// The chain that the XML does not show yet.
    pending: Option<&'static [&'static str]>,
    pub(crate) is_unplugged: bool,
    /// How many requests to pivot have had their answer.
    pivots: usize,
    pub(crate) job: Option<Job>,
    serial: u32,
    pub(crate) truth: Truth,
    pub(crate) links: Vec<Link>,
    pub(crate) connections: usize,
    /// The daemon is not there until then, and nobody reaches it.
    down_until: Instant,
    unreachable_until: Instant,
    log: Vec<String>,
    pub(crate) complaints: Vec<String>,
    tasks: Vec<AbortHandle>,
}

#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<World>>);

/// What has to be there for something to happen.
#[derive(Debug, Clone, Copy)]
enum Needs {
    Guest,
    Daemon,
    Nothing,
}

/// A refusal.
pub(crate) type Refused = (ErrorCode, &'static str);

impl Shared {
    pub(crate) fn new(story: Story) -> Self {
        let now = Instant::now();
        let definition = match story.definition {
            Definition::None => None,
            Definition::Same => Some(BEFORE.to_vec()),
            Definition::Other => Some(vec!["/other"]),
            Definition::Destination => Some(story.work.result().to_vec()),
        };
        let world = World {
            chance: Chance::new(!story.seed),
            epoch: now,
            id: Some(1),
            runs: 1,
            live: BEFORE.to_vec(),
            definition,
            pending: None,
            is_unplugged: false,
            pivots: 0,
            job: None,
            serial: 0,
            truth: Truth::default(),
            links: Vec::new(),
            connections: 0,
            down_until: now,
            unreachable_until: now,
            log: Vec::new(),
            complaints: Vec::new(),
            tasks: Vec::new(),
            story,
        };
        let shared = Self(Arc::new(Mutex::new(world)));
        shared.plan();
        shared
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    pub(crate) fn note(&self, line: impl AsRef<str>) {
        self.lock().note(line);
    }

    pub(crate) fn complain(&self, line: impl Into<String>) {
        let line = line.into();
        let mut world = self.lock();
        world.note(format!("VIOLATED: {line}"));
        world.complaints.push(line);
    }

    /// Does something later that no client has a hand in.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let handle = tokio::spawn(task).abort_handle();
        self.lock().tasks.push(handle);
    }

    pub(crate) fn end(&self) {
        for task in self.lock().tasks.drain(..) {
            task.abort();
        }
    }

    fn plan(&self) {
        let story = self.lock().story.clone();
        for cut in story.cuts {
            self.after(cut.at, Needs::Nothing, move |shared| {
                let mut world = shared.lock();
                world.note(format!("* cut: {cut:?}"));
                let until = Instant::now() + cut.down;
                world.unreachable_until = world.unreachable_until.max(until);
                if cut.restart {
                    world.down_until = world.down_until.max(until);
                }
                let (reset, heard) = (cut.reset, cut.heard && !cut.restart);
                for link in world.links.drain(..) {
                    link.cut(Severed { reset, heard });
                }
            });
        }
        if let Some(stop) = story.stop {
            self.after(stop.at, Needs::Nothing, move |shared| {
                shared.lock().stop(stop.crash);
                if let Some(pause) = stop.starts_after {
                    shared.after(pause, Needs::Nothing, |shared| shared.lock().start_domain());
                }
            });
        }
        if let Some(pause) = story.strange_news {
            for times in 1..=20 {
                self.after(pause * times, Needs::Daemon, |shared| {
                    let mut world = shared.lock();
                    let (kind, image) = (world.story.work.kind(), world.live[0]);
                    world.tell(kind, Status(4711), image, None);
                    world.tell(DomainBlockJobType(77), Status::COMPLETED, image, None);
                });
            }
        }
        if let Some(at) = story.storm {
            self.after(at, Needs::Nothing, |shared| {
                let mut world = shared.lock();
                world.note("* storm");
                for _ in 0..3_000 {
                    let detail = DomainEventResumedDetailType::UNPAUSED;
                    world.emit(
                        &DomainEventKind::Lifecycle(Lifecycle::Resumed(detail)),
                        None,
                    );
                }
            });
        }
    }

    fn after(&self, delay: Duration, needs: Needs, then: impl FnOnce(&Self) + Send + 'static) {
        let shared = self.clone();
        self.spawn(async move {
            sleep(delay).await;
            shared.until(needs).await;
            then(&shared);
        });
    }

    async fn until(&self, needs: Needs) {
        loop {
            let until = match needs {
                Needs::Nothing => None,
                Needs::Guest => self.lock().frozen_until(),
                Needs::Daemon => self.lock().down_until(),
            };
            match until {
                Some(until) => sleep_until(until).await,
                None => return,
            }
        }
    }

    /// Starts a job on the disk, of the client or of somebody else.
    pub(crate) fn start_job(&self, ours: bool, work: Work) -> Result<(), Refused> {
        let (serial, story) = {
            let mut world = self.lock();
            if world.id.is_none() {
                return Err((ErrorCode::OPERATION_INVALID, "domain is not running"));
            }
            if world.is_unplugged || (ours && world.live != BEFORE) {
                return Err((ErrorCode::INVALID_ARG, "no such disk or image"));
            }
            if world.job.is_some() {
                return Err((ErrorCode::BLOCK_COPY_ACTIVE, "already in active block job"));
            }
            world.serial += 1;
            let job = Job {
                serial: world.serial,
                ours,
                work,
                began: Instant::now(),
                phase: Phase::Running,
                over: None,
                rewritten: false,
            };
            world.note(format!("* job begins, ours: {ours}, {work:?}"));
            if ours {
                world.truth.started = Some(Instant::now());
            } else {
                world.truth.stranger = Some(work.kind());
            }
            world.job = Some(job);
            (world.serial, world.story.clone())
        };
        self.after(story.works_for, Needs::Guest, move |shared| {
            if work.is_mirror() {
                shared.after(Duration::ZERO, Needs::Daemon, move |shared| {
                    shared.lock().become_ready(serial);
                });
            } else {
                shared.over(serial, End::Completed);
            }
        });
        if let Some(delay) = story.fails_after.filter(|_| ours) {
            self.after(delay, Needs::Guest, move |shared| {
                shared.over(serial, End::Failed);
            });
        }
        self.after(story.patience, Needs::Guest, move |shared| {
            shared.end_by_outsider(serial, story.outsider_pivots);
        });
        Ok(())
    }

    fn end_by_outsider(&self, serial: u32, pivots: bool) {
        let ready = match &self.lock().job {
            Some(job) if job.serial == serial => job.phase == Phase::Ready,
            _ => return,
        };
        self.note("* an outsider ends the job");
        let _ = self.request_end(pivots && ready, false);
    }

    /// Somebody asks to end the job.
    pub(crate) fn request_end(&self, pivot: bool, client: bool) -> Result<(), Refused> {
        let (serial, end, winding) = {
            let mut world = self.lock();
            let end = world.accept_end(pivot, client)?;
            let serial = world.serial;
            (serial, end, world.story.winding)
        };
        self.after(winding, Needs::Guest, move |shared| {
            shared.over(serial, end);
        });
        Ok(())
    }

    /// The hypervisor is done with the job.
    fn over(&self, serial: u32, end: End) {
        let (noting, early) = {
            let mut world = self.lock();
            let Some(noting) = world.over(serial, end) else {
                return;
            };
            let early = world.chance.below(millis(noting) + 1);
            (noting, Duration::from_millis(early))
        };
        self.after(early, Needs::Daemon, move |shared| {
            let mut world = shared.lock();
            if world.story.xml == XmlTurn::Before {
                world.rewrite_of(serial);
            }
        });
        self.after(noting, Needs::Daemon, move |shared| {
            let (lag, stranger) = {
                let mut world = shared.lock();
                let Some(ours) = world.conclude(serial) else {
                    return;
                };
                let lag = match world.story.xml {
                    XmlTurn::After(lag) => Some(lag),
                    _ => None,
                };
                (lag, world.story.stranger.filter(|_| ours))
            };
            if let Some(lag) = lag {
                shared.after(lag, Needs::Nothing, |shared| shared.lock().apply_pending());
            }
            if let Some((delay, same)) = stranger {
                shared.after(delay, Needs::Daemon, move |shared| {
                    let work = shared.lock().strange_work(same);
                    let _ = shared.start_job(false, work);
                });
            }
        });
    }
}

impl World {
    pub(crate) fn note(&mut self, line: impl AsRef<str>) {
        let at = self.epoch.elapsed().as_millis();
        self.log.push(format!("{at:>7} ms  {}", line.as_ref()));
    }

    pub(crate) fn transcript(&self) -> String {
        self.log.join("\n")
    }

    /// When the guest moves again, if it hangs.
    pub(crate) fn frozen_until(&self) -> Option<Instant> {
        let (from, to) = self.story.frozen?;
        let now = Instant::now();
        let hangs = now >= self.epoch + from && now < self.epoch + to && self.id == Some(1);
        // A guest that is destroyed answers no more and waits for nothing.
        let stop = self.story.stop.map(|stop| self.epoch + stop.at);
        let until = stop.filter(|stop| *stop > now);
        hangs.then(|| until.unwrap_or(self.epoch + to).min(self.epoch + to))
    }

    pub(crate) fn is_unreachable(&self) -> bool {
        Instant::now() < self.unreachable_until
    }

    fn down_until(&self) -> Option<Instant> {
        (Instant::now() < self.down_until).then_some(self.down_until)
    }

    fn current(&mut self, serial: u32) -> Option<&mut Job> {
        self.job.as_mut().filter(|job| job.serial == serial)
    }

    fn become_ready(&mut self, serial: u32) {
        let Some(job) = self.current(serial) else {
            return;
        };
        if job.phase != Phase::Running || job.over.is_some() {
            return;
        }
        job.phase = Phase::Ready;
        let (ours, kind) = (job.ours, job.work.kind());
        if ours {
            self.truth.ready = Some(Instant::now());
        }
        self.note("* job is ready");
        self.tell(kind, Status::READY, self.live[0], None);
    }

    fn accept_end(&mut self, pivot: bool, client: bool) -> Result<End, Refused> {
        if self.id.is_none() {
            return Err((ErrorCode::OPERATION_INVALID, "domain is not running"));
        }
        let Some(job) = self.job.clone() else {
            return Err((ErrorCode::INVALID_ARG, "no active block job"));
        };
        if matches!(job.phase, Phase::Ending { .. }) {
            return Err((ErrorCode::OPERATION_INVALID, "still being ended"));
        }
        if job.over.is_some() {
            let codes = [ErrorCode::INVALID_ARG, ErrorCode::INTERNAL_ERROR];
            return Err((self.chance.pick(&codes), "QEMU has no such job"));
        }
        if pivot && job.phase != Phase::Ready {
            return Err((ErrorCode::BLOCK_COPY_ACTIVE, "not ready for pivot yet"));
        }
        if pivot && client {
            let answer = self.story.pivots.get(self.pivots);
            self.pivots += 1;
            match answer {
                Some(PivotAnswer::NotReady) => {
                    return Err((ErrorCode::BLOCK_COPY_ACTIVE, "not ready for pivot yet"));
                }
                Some(PivotAnswer::Failed) => {
                    return Err((ErrorCode::OPERATION_FAILED, "I/O error"));
                }
                Some(PivotAnswer::Taken) | None => {}
            }
        }
        if let Some(job) = &mut self.job {
            job.phase = Phase::Ending { pivot };
        }
        Ok(match pivot {
            true if self.story.pivot_fails => End::Failed,
            true => End::Pivoted,
            false => End::Cancelled,
        })
    }

    fn over(&mut self, serial: u32, end: End) -> Option<Duration> {
        let noting = self.story.noting;
        let gone_early = self.story.gone_early;
        let job = self.current(serial)?;
        if job.over.is_some() {
            return None;
        }
        // Whatever becomes of a job whose cancellation was accepted is called cancelled.
        let end = match job.phase {
            Phase::Ending { pivot: false } => End::Cancelled,
            _ => end,
        };
        job.over = Some(end);
        let ours = job.ours;
        if ours && gone_early {
            self.truth.gone = Some(Instant::now());
        }
        self.note(format!("* the hypervisor has ended the job: {end:?}"));
        Some(noting)
    }

    fn rewrite_of(&mut self, serial: u32) {
        let Some(job) = self.current(serial) else {
            return;
        };
        let worked = matches!(job.over, Some(End::Completed | End::Pivoted));
        if !worked || job.rewritten {
            return;
        }
        job.rewritten = true;
        let (ours, chain) = (job.ours, job.work.result());
        self.truth.rewritten |= ours;
        if ours {
            self.rewrite(chain);
        }
    }

    fn rewrite(&mut self, chain: &'static [&'static str]) {
        self.note(format!("* the XML shows {chain:?}"));
        let follows = |definition: &Vec<&str>| definition.first() == self.live.first();
        if self.definition.as_ref().is_some_and(follows) {
            self.definition = Some(chain.to_vec());
        }
        self.live = chain.to_vec();
    }

    fn apply_pending(&mut self) {
        if let Some(chain) = self.pending.take() {
            self.rewrite(chain);
        }
    }

    /// Libvirt takes note of the end; whether it was our job.
    fn conclude(&mut self, serial: u32) -> Option<bool> {
        let old = self.live[0];
        if matches!(self.story.xml, XmlTurn::After(_)) {
            let job = self.current(serial)?;
            if job.ours && matches!(job.over, Some(End::Completed | End::Pivoted)) {
                self.pending = Some(job.work.result());
                self.truth.rewritten = true;
            }
        } else {
            self.rewrite_of(serial);
        }
        let job = self.current(serial)?.clone();
        self.job = None;
        let end = job.over?;
        let now = Instant::now();
        if job.ours {
            self.truth.gone.get_or_insert(now);
            self.truth.noted = Some((now, end));
        }
        self.note(format!("* libvirt takes note of the end: {end:?}"));
        self.is_unplugged = job.ours && self.story.unplugged && self.pending.is_none();
        let status = match end {
            End::Completed | End::Pivoted => Status::COMPLETED,
            End::Cancelled => Status::CANCELED,
            End::Failed => Status::FAILED,
        };
        let named = match end {
            End::Pivoted if self.story.names_new_image => job.work.result()[0],
            _ => old,
        };
        let news = job.ours.then_some(News::Ended);
        self.tell(job.work.kind(), status, named, news);
        Some(job.ours)
    }

    /// A stranger's job does not change the chain; it only confuses.
    fn strange_work(&self, same: bool) -> Work {
        match (same, self.story.work) {
            (true, work) => work,
            (false, Work::Pull { .. }) => Work::Copy { shallow: false },
            (false, _) => Work::Pull { partial: false },
        }
    }

    fn stop(&mut self, crash: bool) {
        if self.id.take().is_none() {
            return;
        }
        let now = Instant::now();
        self.note("* the domain stops");
        self.apply_pending();
        self.truth.stopped = Some(now);
        if let Some(job) = self.job.take().filter(|job| job.ours) {
            self.truth.gone.get_or_insert(now);
            self.truth.died = Some((now, job.over));
        }
        if let Some(definition) = &self.definition {
            self.live.clone_from(definition);
        }
        let event = if crash {
            Lifecycle::Crashed(DomainEventCrashedDetailType::PANICKED)
        } else {
            Lifecycle::Stopped(DomainEventStoppedDetailType::DESTROYED)
        };
        self.emit(&DomainEventKind::Lifecycle(event), None);
    }

    fn start_domain(&mut self) {
        if self.definition.is_none() || self.id.is_some() {
            return;
        }
        self.runs += 1;
        self.id = Some(self.runs);
        self.note("* the domain starts");
        let event = Lifecycle::Started(DomainEventStartedDetailType::BOOTED);
        self.emit(&DomainEventKind::Lifecycle(event), None);
    }

    /// News of a job, in both styles.
    pub(crate) fn tell(
        &mut self,
        kind: DomainBlockJobType,
        status: Status,
        image: &str,
        news: Option<News>,
    ) {
        if !self.is_on_network(image) {
            let path = image.to_owned();
            self.emit(&DomainEventKind::BlockJob { path, kind, status }, news);
        }
        let dst = "vda".to_owned();
        self.emit(&DomainEventKind::BlockJob2 { dst, kind, status }, news);
    }

    pub(crate) fn is_on_network(&self, image: &str) -> bool {
        self.story.network && image != "/new"
    }

    pub(crate) fn emit(&mut self, event: &DomainEventKind, news: Option<News>) {
        let longest = millis(self.story.event_delay);
        let delay = self.chance.up_to(longest);
        let id = self.id.unwrap_or(-1);
        for link in &mut self.links {
            link.emit(event, id, delay, news);
        }
    }
}
