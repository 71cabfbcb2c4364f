//! The client's part: it starts a job and does with it what the story says.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use virtwire::{Bandwidth, BlockJob, Connection, Disk, Error, Outcome, Readiness, Reconnect};
use virtwire_tests::peer::builder;

use crate::daemon::connect;
use crate::oracle::Handle;
use crate::story::{Part, Story, Then, Work};
use crate::world::Shared;

/// Whatever waits has an end by then: the daemon's world comes to rest in less.
const LONG: Duration = Duration::from_secs(900);

pub(crate) async fn connection(shared: &Shared, reconnects: bool) -> Result<Connection, Error> {
    let mut builder = builder();
    if reconnects {
        // So short that chance has no say in it.
        let delay = Duration::from_millis(1);
        builder = builder.reconnect(Reconnect::default().first_delay(delay).longest_delay(delay));
    }
    let shared = shared.clone();
    Box::pin(builder.connect_over(move || connect(shared.clone()))).await
}

/// Plays the client's part to the end.
pub(crate) async fn play(shared: &Shared) {
    let story = shared.lock().story.clone();
    let Ok(connection) = connection(shared, story.reconnects).await else {
        return shared.note("cannot connect");
    };
    if let Err(error) = follow(shared, &story, &connection).await {
        shared.note(format!("there is no job to follow: {error}"));
    }
    let cause = connection.close_cause();
    if cause.is_none() {
        // Longer than a daemon that does not hang needs to answer.
        sleep(Duration::from_secs(200)).await;
        let world = shared.lock();
        let left: Vec<_> = world
            .links
            .iter()
            .flat_map(|link| &link.registrations)
            .collect();
        let left = format!("{left:?}");
        drop(world);
        if left != "[]" && connection.close_cause().is_none() {
            shared.complain(format!("registrations are left: {left}"));
        }
    }
}

async fn follow(shared: &Shared, story: &Story, connection: &Connection) -> Result<(), Error> {
    let guest = connection.lookup_domain_by_name("guest").await?;
    let disk = guest.disk("vda");
    let asked = Instant::now();
    let (job, handle) = match start(&disk, story.work).await {
        Ok(job) => (job, Handle::new("job", asked, shared)),
        Err(error) => {
            shared.note(format!("start: {error}"));
            let Some(job) = BlockJob::attach(&disk).await? else {
                return Ok(());
            };
            (job, Handle::new("found job", Instant::now(), shared))
        }
    };
    shared.note("the client has a handle");
    shared.lock().truth.handled = Some(Instant::now());
    if job.kind() != story.work.kind() {
        // A stranger's.
        return Ok(());
    }
    let mut parts = JoinSet::new();
    for (number, part) in story.parts.iter().enumerate() {
        let (job, handle) = (job.clone(), handle.clone());
        let act = Act {
            shared: shared.clone(),
            number,
            job,
            handle,
        };
        parts.spawn(act.play(*part));
    }
    if let Some((after, cancel)) = story.abandons {
        return abandon(shared, job, parts, after, cancel).await;
    }
    match timeout(LONG, job.wait()).await {
        Ok(outcome) => handle.over("wait", &outcome),
        Err(_) => shared.complain("wait does not end"),
    }
    drop(job);
    let all = async { while parts.join_next().await.is_some_and(|part| part.is_ok()) {} };
    if timeout(LONG, all).await.is_err() {
        shared.complain("some part does not end");
    }
    if !parts.is_empty() {
        shared.complain("a part has panicked");
    }
    Box::pin(handle.look_again(&connection_to(shared).await)).await;
    Ok(())
}

/// A connection when everything has calmed down.
async fn connection_to(shared: &Shared) -> Option<Connection> {
    sleep(Duration::from_secs(100)).await;
    connection(shared, false).await.ok()
}

async fn start(disk: &Disk, work: Work) -> Result<BlockJob, Error> {
    match work {
        Work::Pull { partial: false } => disk.pull().start().await,
        Work::Pull { partial: true } => disk.pull().base("vda[2]").start().await,
        Work::CommitInner => disk.commit_inner("vda[1]", "vda[2]").start().await,
        Work::CommitActive { shallow: false } => disk.commit_active().start().await,
        Work::CommitActive { shallow: true } => disk.commit_active().shallow().start().await,
        Work::Copy { shallow: false } => disk.copy("/new").start().await,
        Work::Copy { shallow: true } => disk.copy("/new").shallow().start().await,
    }
}

async fn abandon(
    shared: &Shared,
    job: BlockJob,
    mut parts: JoinSet<()>,
    after: Duration,
    cancel: bool,
) -> Result<(), Error> {
    let job = if cancel { job.cancel_on_drop() } else { job };
    sleep(after).await;
    parts.shutdown().await;
    shared.note(format!("all handles are dropped, to cancel: {cancel}"));
    let (over, connected) = {
        let disk = job.disk();
        let connected = disk.domain().connection().close_cause().is_none();
        let gone = shared.lock().truth.gone.is_some();
        (gone || job.outcome().is_some(), connected)
    };
    let before = shared.lock().truth.aborts_heard;
    drop(job);
    sleep(Duration::from_secs(100)).await;
    let heard = shared.lock().truth.aborts_heard > before;
    let calm = shared.lock().story.cuts.is_empty() && connected;
    if heard && !cancel {
        shared.complain("a job that was to be left alone was ended");
    }
    if !heard && cancel && !over && calm {
        shared.complain("a job that was to be cancelled was left");
    }
    Ok(())
}

/// What the client does beside waiting.
struct Act {
    shared: Shared,
    number: usize,
    job: BlockJob,
    handle: Handle,
}

impl Act {
    async fn play(self, part: Part) {
        let number = self.number;
        match part {
            Part::Wait { at, patience } => {
                sleep(at).await;
                let outcome = self.within(patience, self.job.wait()).await;
                self.is_over("wait", outcome.map(Ok));
            }
            Part::WaitReady { at, patience } => {
                sleep(at).await;
                match self.within(patience, self.job.wait_ready()).await {
                    Some(Readiness::Ready) => self.handle.ready(),
                    Some(Readiness::Over(outcome)) => self.handle.over("wait_ready", &outcome),
                    Some(_) | None => {}
                }
            }
            Part::Pivot { at, patience } => {
                sleep(at).await;
                self.shared.note(format!("part {number}: pivot"));
                let outcome = self.within(patience, self.job.pivot()).await;
                self.is_over("pivot", outcome);
            }
            Part::Cancel { at, patience } => {
                sleep(at).await;
                self.shared.note(format!("part {number}: cancel"));
                let outcome = self.within(patience, self.job.cancel()).await;
                self.is_over("cancel", outcome);
            }
            Part::Speed { at } => {
                sleep(at).await;
                let limit = Bandwidth::mib_per_s(8).unwrap();
                let _ = timeout(LONG, self.job.set_speed(limit)).await;
            }
            Part::Info { at } => {
                sleep(at).await;
                let info = timeout(LONG, self.job.info()).await;
                if matches!(info, Ok(Ok(Some(info))) if info.ready) {
                    self.handle.ready();
                }
            }
            Part::Progress { at, every, items } => {
                sleep(at).await;
                self.watch_progress(every, items).await;
            }
            Part::Attach { at, then } => {
                sleep(at).await;
                self.attach(then).await;
            }
        }
        if self.job.is_ready() {
            self.handle.ready();
        }
    }

    /// Does something for so long; it is dropped then.
    async fn within<T>(
        &self,
        patience: Option<Duration>,
        act: impl Future<Output = T>,
    ) -> Option<T> {
        let done = timeout(patience.unwrap_or(LONG), act).await.ok();
        if done.is_none() && patience.is_none() {
            self.shared
                .complain(format!("part {} does not end", self.number));
        }
        done
    }

    fn is_over(&self, call: &str, outcome: Option<Result<Outcome, Error>>) {
        match outcome {
            Some(Ok(outcome)) => self.handle.over(call, &outcome),
            Some(Err(error)) => self.handle.refused(call, &error),
            None => {}
        }
    }

    async fn watch_progress(&self, every: Duration, items: u64) {
        let mut progress = self.job.progress_every(every);
        for _ in 0..items {
            let Some(item) = self.within(None, progress.next()).await.flatten() else {
                return;
            };
            if item.ready {
                self.handle.ready();
            }
            if item
                .fraction()
                .is_some_and(|part| !(0.0..=1.0).contains(&part))
            {
                self.shared.complain(format!("a fraction of {item:?}"));
            }
        }
    }

    async fn attach(&self, then: Then) {
        let attached = self.within(None, BlockJob::attach(self.job.disk())).await;
        let Some(Ok(Some(job))) = attached else {
            return;
        };
        let name = format!("job attached by part {}", self.number);
        self.shared.note(format!("{name}: {:?}", job.kind()));
        let handle = Handle::new(name, Instant::now(), &self.shared);
        if job.kind() != self.job.kind() {
            // A stranger's.
            self.within(None, job.wait()).await;
            return;
        }
        let outcome = match then {
            Then::Wait => self.within(None, job.wait()).await.map(Ok),
            Then::Pivot => self.within(None, job.pivot()).await,
            Then::Cancel => self.within(None, job.cancel()).await,
        };
        match outcome {
            Some(Ok(outcome)) => handle.over("attached", &outcome),
            Some(Err(error)) => handle.refused("attached", &error),
            None => {}
        }
        let outcome = self.within(None, job.wait()).await;
        if let Some(outcome) = outcome {
            handle.over("attached, wait", &outcome);
        }
    }
}
