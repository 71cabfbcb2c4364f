//! The same workflows by virsh and by us, on guests that are the same: they end in the same chains,
//! in the XML and on the disk, after the same events, and both say the same of how they ended.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;
use virtwire::constants::{
    ConnectDomainEventBlockJobStatus as Status, DomainBlockJobType, DomainEventId,
};
use virtwire::event::{DomainEvent, DomainEventKind, EventStream};
use virtwire::{BlockJob, CommitBase, CopyDestination, Error, Outcome, Readiness};
use virtwire_lab::{Driver, image};
use virtwire_tests::deadline;

use crate::hypervisor::images::{define, snapshot, vda};
use crate::{Guest, Stage};

/// One guest: an image on an image on an image, and what happens to its jobs.
struct Side {
    guest: Guest,
    events: EventStream<DomainEvent>,
}

/// All that one side did to its guest.
#[derive(Debug, PartialEq)]
struct Record {
    /// In virsh's words: how it ended.
    said: String,
    /// The chain in the XML, and that of the image that is active.
    chain: Vec<String>,
    on_disk: Vec<String>,
    events: Vec<(DomainBlockJobType, Status)>,
    left: bool,
}

impl Side {
    async fn new(stage: &Stage, name: &str) -> Self {
        let guest = stage.guest(name, 4).await;
        define(stage, &guest).await;
        snapshot(stage, &guest, &format!("{name}-top")).await;
        let events = guest.domain.events([DomainEventId::BLOCK_JOB_2]).await;
        Self {
            guest,
            events: events.unwrap(),
        }
    }

    async fn record(mut self, said: &str, expected: usize) -> Record {
        let name = self.guest.domain.name().to_owned();
        let plain = |path: &Path| {
            let file = path.file_name().unwrap().to_str().unwrap();
            file.replace(&name, "GUEST")
        };
        let disk = vda(&self.guest.domain).await;
        let sources = disk.chain().map(|source| source.unwrap().path().unwrap());
        let chain = sources.map(|path| plain(Path::new(path))).collect();
        let active = disk.source.as_ref().unwrap().path().unwrap();
        let on_disk = image::chain(Path::new(active)).unwrap();
        let on_disk = on_disk.iter().map(|info| plain(&info.path)).collect();
        let mut events = Vec::new();
        while events.len() < expected {
            let event = timeout(Duration::from_secs(5), self.events.recv()).await;
            let event = event.expect("an event for each step").unwrap();
            if let DomainEventKind::BlockJob2 { kind, status, .. } = event.kind {
                events.push((kind, status));
            }
        }
        assert!(self.events.try_recv().is_none(), "no event more");
        let left = self.guest.disk().job_info().await.unwrap().is_some();
        Record {
            said: said.replace(&name, "GUEST"),
            chain,
            on_disk,
            events,
            left,
        }
    }
}

/// What virsh says last, without its progress.
fn last_line(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().lines().last().unwrap_or_default().to_owned()
}

async fn by_virsh(stage: &Stage, side: Side, words: &str, events: usize) -> Record {
    let name = side.guest.domain.name().to_owned();
    let directory = stage.images_dir();
    let words = words.replace("GUEST", &name);
    let words = words.replace("DIR", directory.to_str().unwrap());
    let mut command = Command::new("virsh");
    command
        .env("LC_ALL", "C")
        .arg("-c")
        .arg(stage.uri(Driver::Qemu));
    let output = command
        .args(words.split_whitespace())
        .output()
        .await
        .unwrap();
    side.record(&last_line(&output), events).await
}

/// What our handle does, as virsh does it after `--wait` and the flag.
enum End {
    Wait,
    Pivot,
    Abort,
}

async fn finish(job: Result<BlockJob, Error>, end: End) -> Outcome {
    let job = job.unwrap();
    match end {
        End::Wait => job.wait().await,
        End::Pivot => job.pivot().await.unwrap(),
        End::Abort => {
            assert_eq!(job.wait_ready().await, Readiness::Ready);
            job.cancel().await.unwrap()
        }
    }
}

/// virsh's words for an outcome, which differ by what was asked for.
fn words(outcome: &Outcome, complete: &str) -> String {
    match outcome {
        Outcome::Completed => complete.to_owned(),
        Outcome::Pivoted(_) => "Successfully pivoted".to_owned(),
        Outcome::Cancelled => complete.to_owned(),
        other => other.to_string(),
    }
}

#[tokio::test]
async fn pulls_are_the_same() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let theirs = Side::new(&stage, "pull-virsh").await;
        let theirs = by_virsh(&stage, theirs, "blockpull GUEST vda --wait", 1).await;
        let ours = Side::new(&stage, "pull-ours").await;
        let outcome = finish(ours.guest.disk().pull().start().await, End::Wait).await;
        let ours = ours.record(&words(&outcome, "Pull complete"), 1).await;
        assert_eq!(ours, theirs);
        assert_eq!(ours.chain.len(), 1);

        let theirs = Side::new(&stage, "part-virsh").await;
        let line = "blockpull GUEST vda --base DIR/GUEST-base.qcow2 --wait";
        let theirs = by_virsh(&stage, theirs, line, 1).await;
        let ours = Side::new(&stage, "part-ours").await;
        let base = ours.guest.base.to_str().unwrap().to_owned();
        let pull = ours.guest.disk().pull().base(base);
        let outcome = finish(pull.start().await, End::Wait).await;
        let ours = ours.record(&words(&outcome, "Pull complete"), 1).await;
        assert_eq!(ours, theirs);
        assert_eq!(ours.chain.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn commits_are_the_same() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let theirs = Side::new(&stage, "active-virsh").await;
        let line = "blockcommit GUEST vda --active --shallow --wait --pivot";
        let theirs = by_virsh(&stage, theirs, line, 2).await;
        let ours = Side::new(&stage, "active-ours").await;
        let commit = ours.guest.disk().commit_active().shallow();
        let outcome = finish(commit.start().await, End::Pivot).await;
        let ours = ours.record(&words(&outcome, ""), 2).await;
        assert_eq!(ours, theirs);
        assert_eq!(ours.chain.len(), 2);

        let theirs = Side::new(&stage, "kept-virsh").await;
        let line = "blockcommit GUEST vda --active --wait --keep-overlay";
        let theirs = by_virsh(&stage, theirs, line, 2).await;
        let ours = Side::new(&stage, "kept-ours").await;
        let commit = ours.guest.disk().commit_active();
        let outcome = finish(commit.start().await, End::Abort).await;
        let ours = ours
            .record(&words(&outcome, "Commit complete, overlay image kept"), 2)
            .await;
        assert_eq!(ours, theirs);
        assert_eq!(ours.chain.len(), 3);

        let theirs = Side::new(&stage, "inner-virsh").await;
        let line = "blockcommit GUEST vda --top DIR/GUEST.qcow2 --base DIR/GUEST-base.qcow2 --wait";
        let theirs = by_virsh(&stage, theirs, line, 1).await;
        let ours = Side::new(&stage, "inner-ours").await;
        let top = ours.guest.overlay.to_str().unwrap().to_owned();
        let commit = ours.guest.disk().commit_inner(top, CommitBase::Lowest);
        let outcome = finish(commit.start().await, End::Wait).await;
        let ours = ours.record(&words(&outcome, "Commit complete"), 1).await;
        assert_eq!(ours, theirs);
        assert_eq!(ours.chain.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn copies_are_the_same() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        for (name, flags, end, complete, chain) in [
            ("whole", "--pivot", End::Pivot, "", 1),
            ("shallow", "--shallow --pivot", End::Pivot, "", 3),
            ("left", "--finish", End::Abort, "Successfully copied", 3),
        ] {
            let theirs = Side::new(&stage, &format!("{name}-virsh")).await;
            let line = format!(
                "blockcopy GUEST vda --dest DIR/GUEST-copy.qcow2 --format qcow2 \
                 --transient-job --wait {flags}"
            );
            let theirs = by_virsh(&stage, theirs, &line, 2).await;
            let guest = format!("{name}-ours");
            let ours = Side::new(&stage, &guest).await;
            let to = stage.images_dir().join(format!("{guest}-copy.qcow2"));
            let to = CopyDestination::file(to.to_str().unwrap()).format("qcow2");
            let mut copy = ours.guest.disk().copy(to).transient_job();
            if flags.contains("--shallow") {
                copy = copy.shallow();
            }
            let outcome = finish(copy.start().await, end).await;
            let ours = ours.record(&words(&outcome, complete), 2).await;
            assert_eq!(ours, theirs);
            assert_eq!(ours.chain.len(), chain);
        }
    })
    .await;
}
