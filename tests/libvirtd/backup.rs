//! What becomes of a backup when its hypervisor dies, when there is no room, and while nobody looks.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;
use virtwire::{
    BackupJob, BackupOutcome, BackupServer, Connection, Domain, PullBackup, PullDisk, PushBackup,
    PushDisk, Reconnect,
};
use virtwire_lab::{Driver, image};
use virtwire_tests::deadline;

use crate::{Guest, Stage};

async fn push(domain: &Domain, path: &Path) -> BackupJob {
    let disk = PushDisk::file(path.to_str().unwrap());
    let backup = domain.backup(PushBackup::new().disk("vda", disk));
    backup.start().await.unwrap()
}

/// The guest by a connection that is opened again.
async fn lasting(stage: &Stage, guest: &Guest) -> Domain {
    let policy = Reconnect::default().first_delay(Duration::from_millis(10));
    let builder = Connection::builder().uri(stage.uri(Driver::Qemu));
    let connection = builder.reconnect(policy).connect().await.unwrap();
    guest.domain.with_connection(&connection)
}

fn kill_hypervisor(stage: &Stage) {
    for pid in stage.daemon.qemu_pids() {
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    }
}

fn has_failed_with_the_domain(outcome: &BackupOutcome) {
    match outcome {
        BackupOutcome::Failed(failure) => assert!(failure.domain_stopped, "{failure:?}"),
        BackupOutcome::Vanished(_) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn backup_fails_with_its_hypervisor() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.slow_guest("guest", 16).await;
        let job = push(&guest.domain, &stage.images_dir().join("backup")).await;
        assert_eq!(job.outcome(), None);
        kill_hypervisor(&stage);
        let outcome = job.wait().await;
        assert!(matches!(outcome, BackupOutcome::Failed(_)), "{outcome:?}");
        has_failed_with_the_domain(&outcome);
    })
    .await;
}

#[tokio::test]
async fn backup_without_room_fails_and_says_so() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("guest", 16).await;
        let job = push(&guest.domain, &small_directory(&stage).join("backup")).await;
        match job.wait().await {
            BackupOutcome::Failed(failure) => {
                assert!(!failure.domain_stopped);
                let message = failure.message.unwrap();
                assert!(message.contains("No space left on device"), "{message}");
            }
            other => panic!("{other:?}"),
        }
        assert!(guest.domain.is_active().await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn what_is_fetched_is_the_disk_at_the_moment_of_the_backup() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("guest", 16).await;
        let server = BackupServer::unix(stage.images_dir().join("nbd").to_str().unwrap());
        let scratch = stage.images_dir().join("scratch");
        let disk = PullDisk::scratch_file(scratch.to_str().unwrap()).export_name("disk");
        let backup = PullBackup::new(server).disk("vda", disk);
        let job = guest.domain.backup(backup).start().await.unwrap();
        guest.write(4).await;
        let fetched = stage.images_dir().join("fetched");
        let url = format!(
            "nbd+unix:///disk?socket={}",
            stage.images_dir().join("nbd").display()
        );
        let mut fetch = tokio::process::Command::new("qemu-img");
        fetch.args(["convert", "-O", "qcow2", &url]).arg(&fetched);
        assert!(fetch.status().await.unwrap().success());
        assert_eq!(job.finish().await.unwrap(), BackupOutcome::Completed);
        // The guest has written since, so only what was there before is as it was.
        assert!(image::compare(&guest.base, &fetched).unwrap());
        assert!(!image::compare(&guest.overlay, &fetched).unwrap());
    })
    .await;
}

/// A directory of the daemon's own mount namespace with room for little.
fn small_directory(stage: &Stage) -> PathBuf {
    let directory = stage.images_dir().join("small");
    std::fs::create_dir(&directory).unwrap();
    let pid = stage.daemon.pid().unwrap();
    let mut mount = Command::new("nsenter");
    mount.args(["--mount", "--root", "--target", &pid.to_string()]);
    mount.args(["mount", "-t", "tmpfs", "-o", "size=2m,mode=777", "none"]);
    assert!(mount.arg(&directory).status().unwrap().success());
    directory
}

/// It may also be that the daemon does not know of it any more; what it must not do is to complete
/// when it has not.
#[tokio::test]
async fn backup_that_ends_while_there_is_no_daemon_is_not_taken_for_what_it_is_not() {
    deadline(async {
        let mut stage = Stage::new(Driver::Qemu).await;
        let guest = stage.slow_guest("guest", 16).await;
        let domain = lasting(&stage, &guest).await;
        let path = stage.images_dir().join("backup");
        let job = push(&domain, &path).await;
        assert_eq!(job.outcome(), None);
        stage.kill();
        sleep(Duration::from_secs(6)).await;
        stage.restart();
        let outcome = job.wait().await;
        match outcome {
            BackupOutcome::Completed => {
                assert!(image::compare(&guest.overlay, &path).unwrap());
            }
            BackupOutcome::Vanished(_) => {}
            other => panic!("{other:?}"),
        }
    })
    .await;
}

#[tokio::test]
async fn backup_whose_hypervisor_dies_while_there_is_no_daemon_does_not_complete() {
    deadline(async {
        let mut stage = Stage::new(Driver::Qemu).await;
        let guest = stage.slow_guest("guest", 16).await;
        let domain = lasting(&stage, &guest).await;
        let job = push(&domain, &stage.images_dir().join("backup")).await;
        assert_eq!(job.outcome(), None);
        stage.kill();
        kill_hypervisor(&stage);
        stage.restart();
        has_failed_with_the_domain(&job.wait().await);
    })
    .await;
}
