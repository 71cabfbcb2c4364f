//! Jobs that are found running, listed, dropped, and followed through the loss of a connection.

use std::time::Duration;

use virtwire::constants::{DomainBlockJobType, DomainDestroyFlags};
use virtwire::{
    Bandwidth, BlockJob, Connection, JobAfterwards, Outcome, Readiness, Reconnect, Verdict,
};
use virtwire_lab::Driver;
use virtwire_tests::deadline;

use super::images::{active, chain};
use crate::Stage;

fn mib(count: u64) -> Bandwidth {
    Bandwidth::mib_per_s(count).unwrap()
}

#[tokio::test]
async fn job_of_another_client_is_taken_over() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("attach", 16).await;
        assert!(BlockJob::attach(&guest.disk()).await.unwrap().is_none());
        let first = guest.disk().pull().bandwidth(mib(4)).start().await.unwrap();

        let other = Connection::open(&stage.uri(Driver::Qemu)).await.unwrap();
        let disk = guest.domain.with_connection(&other).disk("vda");
        let found = BlockJob::attach(&disk).await.unwrap().unwrap();
        assert_eq!(found.kind(), DomainBlockJobType::PULL);
        assert!(!found.is_ready());
        found.set_speed(Bandwidth::UNLIMITED).await.unwrap();
        assert_eq!(found.wait().await, Outcome::Completed);
        assert_eq!(first.wait().await, Outcome::Completed);
        assert!(BlockJob::attach(&disk).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn mirror_that_was_ready_before_is_ready_at_once() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("ready", 4).await;
        let job = guest.disk().commit_active().start().await.unwrap();
        assert_eq!(job.wait_ready().await, Readiness::Ready);
        drop(job);
        let found = BlockJob::attach(&guest.disk()).await.unwrap().unwrap();
        assert!(found.is_ready());
        assert!(found.pivot().await.unwrap().is_pivoted());
        assert_eq!(active(&guest).await, guest.base.to_str().unwrap());
    })
    .await;
}

#[tokio::test]
async fn jobs_of_a_domain_are_listed() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("listed", 8).await;
        assert!(guest.domain.block_jobs().await.unwrap().is_empty());
        let pull = guest.disk().pull().bandwidth(mib(2)).start().await.unwrap();
        let jobs = guest.domain.block_jobs().await.unwrap();
        assert_eq!(jobs.len(), 1);
        assert_eq!(jobs[0].disk.path(), "vda");
        assert_eq!(jobs[0].info.kind, DomainBlockJobType::PULL);
        assert_eq!(jobs[0].info.bandwidth, mib(2));
        assert!(!jobs[0].info.ready);
        assert_eq!(pull.cancel().await.unwrap(), Outcome::Cancelled);

        let commit = guest.disk().commit_active().start().await.unwrap();
        assert_eq!(commit.wait_ready().await, Readiness::Ready);
        let jobs = guest.domain.block_jobs().await.unwrap();
        assert!(jobs[0].info.ready && jobs[0].info.is_mirror());
        assert!(jobs[0].description.mirror.is_some());
        assert_eq!(commit.cancel().await.unwrap(), Outcome::Cancelled);
    })
    .await;
}

#[tokio::test]
async fn dropped_job_goes_on_unless_it_is_to_be_cancelled() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("dropped", 32).await;
        let disk = guest.disk();
        let job = disk.pull().bandwidth(mib(1)).start().await.unwrap();
        drop(job);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let job = BlockJob::attach(&disk).await.unwrap().unwrap();
        let kept = job.clone().cancel_on_drop();
        drop(kept);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(job.info().await.unwrap().is_some(), "a handle is left");
        drop(job);
        while disk.job_info().await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(chain(&guest).await, [guest.base.to_str().unwrap()]);
    })
    .await;
}

#[tokio::test]
async fn job_is_followed_through_a_restart_of_the_daemon() {
    deadline(async {
        let mut stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("restart", 16).await;
        let builder = Connection::builder().uri(stage.uri(Driver::Qemu));
        let connection = builder
            .reconnect(Reconnect::default())
            .connect()
            .await
            .unwrap();
        let domain = guest.domain.with_connection(&connection);
        let pull = domain.disk("vda").pull().bandwidth(mib(4));
        let job = pull.start().await.unwrap();
        let commit_guest = stage.guest("restart2", 4).await;
        let commit_domain = commit_guest.domain.with_connection(&connection);
        let commit = commit_domain.disk("vda").commit_active();
        let commit = commit.start().await.unwrap();
        assert_eq!(commit.wait_ready().await, Readiness::Ready);

        stage.kill();
        stage.restart();
        assert!(commit.pivot().await.unwrap().is_pivoted());
        assert_eq!(job.wait().await, Outcome::Completed);
    })
    .await;
}

#[tokio::test]
async fn evidence_is_completed_over_another_connection() {
    deadline(async {
        let mut stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("again", 16).await;
        let job = guest.disk().pull().bandwidth(mib(4)).start().await.unwrap();
        stage.kill();
        let Outcome::Vanished(evidence) = job.wait().await else {
            panic!("nobody announced anything");
        };
        assert_eq!(evidence.job, JobAfterwards::Unknown);
        assert_eq!(evidence.resolve(), Verdict::Unknown);

        stage.restart();
        let connection = Connection::open(&stage.uri(Driver::Qemu)).await.unwrap();
        let disk = guest.domain.with_connection(&connection).disk("vda");
        let evidence = evidence.look_again(&disk).await;
        assert_eq!(evidence.resolve(), Verdict::Running, "{evidence:?}");
        let found = BlockJob::attach(&disk).await.unwrap().unwrap();
        assert_eq!(found.wait().await, Outcome::Completed);
        let evidence = evidence.look_again(&disk).await;
        assert_eq!(evidence.resolve(), Verdict::Completed, "{evidence:?}");
        let domain = disk.domain();
        domain.destroy(DomainDestroyFlags::empty()).await.unwrap();
        assert_eq!(evidence.look_again(&disk).await.resolve(), Verdict::Unknown);
    })
    .await;
}
