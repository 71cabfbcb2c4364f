//! Backups of a running guest: every way one can end, each with its exact outcome.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use virtwire::constants::{
    DomainBlockJobType, DomainDestroyFlags, DomainJobOperation, DomainState, ErrorCode,
};
use virtwire::{
    Backup, BackupJob, BackupMode, BackupObstacle, BackupOutcome, BackupServer, BackupStats,
    BackupXml, CheckpointXml, CloseCause, Connection, Domain, ErrorKind, NewCheckpoint, PullBackup,
    PullDisk, PushBackup, PushDisk, Reconnect, VanishedReason,
};
use virtwire_lab::Driver;
use virtwire_tests::deadline;

use super::images::define;
use crate::Stage;

fn target(stage: &Stage, name: &str) -> PathBuf {
    stage.images_dir().join(name)
}

/// Everything of `vda`, written to there.
fn push(path: &Path) -> PushBackup {
    let disk = PushDisk::file(path.to_str().unwrap()).format("qcow2");
    PushBackup::new().disk("vda", disk)
}

/// `vda`, to be fetched.
fn pull(stage: &Stage) -> PullBackup {
    let socket = target(stage, "nbd.sock");
    let scratch = target(stage, "scratch.qcow2");
    let server = BackupServer::unix(socket.to_str().unwrap());
    let disk = PullDisk::scratch_file(scratch.to_str().unwrap()).export_name("a & b");
    PullBackup::new(server).disk("vda", disk)
}

/// A backup that takes its time, as the guest's base does.
async fn slow(backup: Backup) -> BackupJob {
    let job = backup.start().await.unwrap();
    assert_eq!(job.outcome(), None);
    job
}

/// The first figures that have this one.
async fn figures(job: &BackupJob, wanted: fn(&BackupStats) -> Option<u64>) -> BackupStats {
    let mut progress = job.progress_every(Duration::from_millis(10));
    loop {
        let stats = progress.next().await.expect("the backup goes on");
        if wanted(&stats).is_some() {
            return stats;
        }
    }
}

async fn destroy(domain: &Domain) {
    let flags = DomainDestroyFlags::empty();
    domain.destroy(flags).await.unwrap();
}

/// A connection that is opened again as soon as that can be done.
async fn persistent(stage: &Stage) -> Connection {
    let policy = Reconnect::default()
        .first_delay(Duration::from_millis(10))
        .longest_delay(Duration::from_millis(100));
    let builder = Connection::builder().uri(stage.uri(Driver::Qemu));
    builder.reconnect(policy).connect().await.unwrap()
}

#[tokio::test]
async fn full_push_backup_reads_as_the_disk() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("full", 32).await;
        let path = target(&stage, "full.backup");
        let backup = guest.domain.backup(push(&path));
        let plan = backup.plan().await.unwrap();
        assert!(plan.is_clear(), "{plan:?}");
        assert_eq!(plan.mode, BackupMode::Push);
        assert_eq!(plan.disks.len(), 1);
        assert_eq!(plan.disks[0].path.as_deref(), path.to_str());

        let job = backup.start().await.unwrap();
        assert_eq!(job.wait().await, BackupOutcome::Completed);
        assert_eq!(job.outcome(), Some(BackupOutcome::Completed));
        assert_eq!(job.cancel().await.unwrap(), BackupOutcome::Completed);
        assert_eq!(job.stats().await.unwrap(), None);
        let error = job.xml().await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::NO_DOMAIN_BACKUP));
        assert!(guest.domain.backup_job().await.unwrap().is_none());
        destroy(&guest.domain).await;
        assert!(guest.reads_as(&path));
    })
    .await;
}

#[tokio::test]
async fn progress_of_a_push_backup_moves_to_its_end() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.slow_guest("progress", 16).await;
        let path = target(&stage, "progress.backup");
        let job = slow(guest.domain.backup(push(&path))).await;
        let stats = figures(&job, |stats| stats.total).await;
        assert_eq!(stats.total, Some(16 << 20));
        assert_eq!(stats.scratch_used, None);
        let error = job.finish().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");

        let mut progress = job.progress_every(Duration::from_millis(50));
        let mut seen = Vec::new();
        while let Some(now) = progress.next().await {
            seen.push(now);
        }
        assert!(
            progress.next().await.is_none(),
            "the stream stays at its end"
        );
        let percents = seen.iter().map(BackupStats::percent);
        assert!(percents.is_sorted(), "{seen:?}");
        assert!(seen.len() >= 5 && seen.is_sorted_by_key(|stats| stats.elapsed));
        assert_eq!(job.wait().await, BackupOutcome::Completed);
    })
    .await;
}

#[tokio::test]
async fn incremental_backup_on_the_full_one_reads_as_the_disk() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("incremental", 16).await;
        let (full, changes) = (
            target(&stage, "full.backup"),
            target(&stage, "changes.backup"),
        );
        let backup = guest.domain.backup(push(&full));
        let job = backup
            .checkpoint(NewCheckpoint::named("one").disk("vda"))
            .start();
        assert_eq!(job.await.unwrap().wait().await, BackupOutcome::Completed);
        guest.write(3).await;

        let one = guest.domain.lookup_checkpoint("one").await.unwrap();
        let sizes = one.sizes().await.unwrap();
        assert_eq!(sizes[0].size, Some(3 << 20), "{sizes:?}");
        let since = push(&changes).incremental("one");
        let backup = guest
            .domain
            .backup(since)
            .checkpoint(NewCheckpoint::named("two"));
        let plan = backup.plan().await.unwrap();
        assert!(plan.is_clear(), "{plan:?}");
        assert_eq!(plan.disks[0].incremental.as_deref(), Some("one"));
        assert_eq!(plan.checkpoint.as_deref(), Some("two"));
        let job = backup.start().await.unwrap();
        assert_eq!(job.wait().await, BackupOutcome::Completed);

        let two = guest.domain.lookup_checkpoint("two").await.unwrap();
        assert_eq!(two.parent().await.unwrap(), Some(one));
        destroy(&guest.domain).await;
        assert!(!guest.reads_as(&full));
        guest.rebase(&changes, &full);
        assert!(guest.reads_as(&changes));
    })
    .await;
}

#[tokio::test]
async fn pull_backup_completes_when_it_is_finished_by_whichever_handle() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("pull", 16).await;
        let job = guest.domain.backup(pull(&stage)).start().await.unwrap();
        assert_eq!(job.mode(), BackupMode::Pull);
        let xml = job.xml().await.unwrap();
        assert!(xml.contains("exportname='a &amp; b'"), "{xml}");
        guest.write(2).await;
        let stats = figures(&job, |stats| stats.scratch_total).await;
        assert_eq!(stats.total, None);
        assert_eq!(stats.scratch_total, Some(16 << 20));
        assert!(stats.scratch_used >= Some(2 << 20), "{stats:?}");
        assert!(guest.has_image(&target(&stage, "scratch.qcow2")));

        let found = guest.domain.backup_job().await.unwrap().unwrap();
        assert_eq!(found.mode(), BackupMode::Pull);
        let (ended, waited) = tokio::join!(found.finish(), job.wait());
        assert_eq!(ended.unwrap(), BackupOutcome::Completed);
        assert_eq!(waited, BackupOutcome::Completed);
        assert_eq!(job.finish().await.unwrap(), BackupOutcome::Completed);
        assert!(!guest.has_image(&target(&stage, "scratch.qcow2")));
    })
    .await;
}

#[tokio::test]
async fn cancelled_push_backup_leaves_no_file() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.slow_guest("cancel", 16).await;
        let path = target(&stage, "cancel.backup");
        let job = slow(guest.domain.backup(push(&path))).await;
        let (first, second) = tokio::join!(job.cancel(), job.cancel());
        assert_eq!(first.unwrap(), BackupOutcome::Cancelled);
        assert_eq!(second.unwrap(), BackupOutcome::Cancelled);
        assert!(!guest.has_image(&path));
        // Nothing is in the way of another.
        let again = guest.domain.backup(push(&path)).start().await.unwrap();
        assert_eq!(again.wait().await, BackupOutcome::Completed);
        assert_eq!(job.wait().await, BackupOutcome::Cancelled);
    })
    .await;
}

#[tokio::test]
async fn backup_of_a_domain_that_stops_has_failed() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        for mode in [BackupMode::Push, BackupMode::Pull] {
            let guest = stage.slow_guest(mode.name(), 16).await;
            let path = target(&stage, "stopped.backup");
            let backup: BackupXml = match mode {
                BackupMode::Push => push(&path).into(),
                _ => pull(&stage).into(),
            };
            let job = slow(guest.domain.backup(backup)).await;
            destroy(&guest.domain).await;
            match job.wait().await {
                BackupOutcome::Failed(failure) => assert!(failure.domain_stopped, "{failure:?}"),
                other => panic!("{mode}: {other:?}"),
            }
            assert!(!guest.has_image(&path));
        }
    })
    .await;
}

#[tokio::test]
async fn second_backup_is_refused_by_the_plan() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("second", 4).await;
        let job = guest.domain.backup(pull(&stage)).start().await.unwrap();
        let start = Instant::now();
        let second = guest.domain.backup(push(&target(&stage, "second.backup")));
        let plan = second.plan().await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(10));
        match plan.obstacles.as_slice() {
            [
                BackupObstacle::JobOfDomain { operation },
                BackupObstacle::JobOfDisk { disk, job },
            ] => {
                assert_eq!(*operation, DomainJobOperation::BACKUP);
                assert_eq!(disk, "vda");
                assert_eq!(job.kind, DomainBlockJobType::BACKUP);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(job.finish().await.unwrap(), BackupOutcome::Completed);
        assert!(second.plan().await.unwrap().is_clear());
    })
    .await;
}

#[tokio::test]
async fn plan_names_every_obstacle() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("plan", 4).await;
        let domain = &guest.domain;
        let one = NewCheckpoint::named("one").disk("vda");
        domain.create_checkpoint(one.clone()).await.unwrap();
        let twice = PushBackup::new()
            .disk("vda", PushDisk::generated())
            .disk("vda", PushDisk::generated())
            .disk("vdz", PushDisk::generated())
            .incremental("never");
        let plan = domain.backup(twice).checkpoint(one).plan().await.unwrap();
        let names = plan.obstacles.iter().map(ToString::to_string);
        assert_eq!(
            names.collect::<Vec<_>>(),
            [
                "vda is named twice",
                "the domain has no disk vdz",
                "the domain has no checkpoint never",
                "the domain has a checkpoint one already",
            ]
        );
        let nothing = PushBackup::new().exclude("vda");
        let plan = domain.backup(nothing).plan().await.unwrap();
        assert_eq!(plan.obstacles, [BackupObstacle::NoDisks]);
        let broken = domain.backup(BackupXml::new("<domainbackup>"));
        let broken = broken.checkpoint(CheckpointXml::new("<x/>"));
        let plan = broken.plan().await.unwrap();
        assert!(
            plan.obstacles
                .iter()
                .all(|obstacle| matches!(obstacle, BackupObstacle::Unreadable(_))),
            "{plan:?}"
        );
        assert_eq!(plan.obstacles.len(), 2);
        let everything = domain.backup(PushBackup::new()).plan().await.unwrap();
        assert!(everything.is_clear(), "{everything:?}");
        assert_eq!(everything.disks.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn everything_is_backed_up_beside_the_images() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest_with_disks("two", 8, &["vdb"]).await;
        let full = guest.domain.backup(PushBackup::new());
        let full = full.checkpoint(NewCheckpoint::named("one"));
        assert_eq!(full.plan().await.unwrap().disks.len(), 2);
        let job = full.start().await.unwrap();
        assert_eq!(job.wait().await, BackupOutcome::Completed);
        assert!(guest.has_image(&target(&stage, "two.qcow2.one")));
        assert!(guest.has_image(&target(&stage, "two-vdb.qcow2.one")));

        // Each disk has an extent of its own.
        let (raw, since) = (target(&stage, "vda.raw"), target(&stage, "vdb.two"));
        let [whole, part] = [&raw, &since].map(|path| PushDisk::file(path.to_str().unwrap()));
        let changes = PushBackup::new()
            .disk("vda", whole.full().format("raw"))
            .disk("vdb", part.incremental_from("one"));
        let changes = guest.domain.backup(changes);
        let changes = changes.checkpoint(NewCheckpoint::named("two"));
        let disks = changes.plan().await.unwrap().disks;
        let extents = disks.iter().map(|disk| disk.incremental.as_deref());
        assert_eq!(extents.collect::<Vec<_>>(), [None, Some("one")]);
        let job = changes.start().await.unwrap();
        assert_eq!(job.wait().await, BackupOutcome::Completed);
        assert!(guest.has_image(&raw) && guest.has_image(&since));
    })
    .await;
}

#[tokio::test]
async fn domain_that_does_not_run_cannot_be_backed_up() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("stopped", 4).await;
        define(&stage, &guest).await;
        destroy(&guest.domain).await;
        let path = target(&stage, "stopped.backup");
        let backup = guest.domain.backup(push(&path));
        let plan = backup.plan().await.unwrap();
        assert_eq!(plan.obstacles, [BackupObstacle::NotRunning]);
        let error = backup.start().await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::OPERATION_UNSUPPORTED));
        assert!(guest.domain.backup_job().await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn backup_that_cannot_be_is_refused_and_leaves_nothing() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("refused", 4).await;
        let path = target(&stage, "refused.backup");
        let since = guest.domain.backup(push(&path).incremental("never"));
        let error = since.start().await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::NO_DOMAIN_CHECKPOINT));
        let error = guest.domain.abort_job().await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::OPERATION_INVALID));
        assert!(!guest.has_image(&path));
        let status = guest.domain.status().await.unwrap();
        assert_eq!(status.state, DomainState::RUNNING);
    })
    .await;
}

#[tokio::test]
async fn lost_connection_makes_a_backup_vanish_and_another_finds_it() {
    deadline(async {
        let mut stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("lost", 16).await;
        let job = guest.domain.backup(pull(&stage)).start().await.unwrap();
        stage.kill();
        match job.wait().await {
            BackupOutcome::Vanished(evidence) => match evidence.reason {
                VanishedReason::ConnectionLost(cause) => {
                    assert!(!matches!(*cause, CloseCause::Requested), "{cause}");
                }
                reason => panic!("{reason}"),
            },
            other => panic!("{other:?}"),
        }
        stage.restart();
        let connection = persistent(&stage).await;
        let domain = guest.domain.with_connection(&connection);
        let found = domain.backup_job().await.unwrap().unwrap();
        assert_eq!(found.finish().await.unwrap(), BackupOutcome::Completed);
    })
    .await;
}

#[tokio::test]
async fn backup_is_followed_while_the_daemon_is_replaced() {
    deadline(async {
        let mut stage = Stage::new(Driver::Qemu).await;
        let guest = stage.slow_guest("replaced", 16).await;
        let connection = persistent(&stage).await;
        let domain = guest.domain.with_connection(&connection);
        let path = target(&stage, "replaced.backup");
        let job = slow(domain.backup(push(&path))).await;
        stage.kill();
        stage.restart();
        // Only what changes nothing is asked again when the connection is lost over it.
        assert!(domain.is_active().await.unwrap());
        assert_eq!(job.outcome(), None);
        assert_eq!(job.wait().await, BackupOutcome::Completed);

        let job = domain.backup(pull(&stage)).start().await.unwrap();
        stage.kill();
        stage.restart();
        assert_eq!(job.finish().await.unwrap(), BackupOutcome::Completed);
        destroy(&domain).await;
        assert!(guest.reads_as(&path));
    })
    .await;
}
