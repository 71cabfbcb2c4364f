//! Jobs on several disks as one.

use std::time::Duration;

use virtwire::constants::{DomainBlockJobAbortFlags, DomainXmlFlags, ErrorCode};
use virtwire::{Bandwidth, BlockJob, Disk, JobSet, JobStart, NextStart, Outcome};
use virtwire_lab::Driver;
use virtwire_tests::deadline;

use crate::{Guest, Stage};

fn disks(guest: &Guest) -> [Disk; 2] {
    ["vda", "vdb"].map(|target| guest.domain.disk(target))
}

/// The path of each disk's active image in the live XML.
async fn actives(guest: &Guest) -> Vec<String> {
    let disks = guest.domain.disks(DomainXmlFlags::empty()).await.unwrap();
    let path =
        |disk: &virtwire::DiskDescription| disk.source.as_ref().unwrap().path().unwrap().to_owned();
    disks.iter().map(path).collect()
}

#[tokio::test]
async fn all_disks_are_committed_and_pivoted_together() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest_with_disks("all", 8, &["vdb"]).await;
        // Both stand on the same base, so only copies can run on both.
        let copies = disks(&guest).map(|disk| {
            let name = format!("all-{}-copy.qcow2", disk.path());
            let path = stage.images_dir().join(name);
            disk.copy(path.to_str().unwrap())
        });
        let set = JobSet::start(copies).await.unwrap();
        assert_eq!(set.jobs().len(), 2);
        set.wait_ready().await.unwrap();
        let end = set.pivot().await.unwrap();
        assert!(end.is_success());
        for disk in end.disks() {
            let outcome = disk.end.as_ref().unwrap();
            assert_eq!(*outcome, Outcome::Pivoted(NextStart::NoDefinition));
        }
        assert_eq!(end.pivoted().count(), 2);
        assert!(end.thaw_error().is_none());
        let actives = actives(&guest).await;
        assert!(
            actives.iter().all(|path| path.ends_with("-copy.qcow2")),
            "{actives:?}"
        );
        assert!(set.wait().await.is_success());
    })
    .await;
}

#[tokio::test]
async fn job_that_cannot_be_started_has_the_others_cancelled() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest_with_disks("start", 8, &["vdb"]).await;
        let before = actives(&guest).await;
        let path = stage.images_dir().join("start-copy.qcow2");
        let copy = guest.disk().copy(path.to_str().unwrap());
        let jobs = [
            JobStart::from(copy),
            JobStart::from(guest.domain.disk("vdz").commit_active()),
        ];
        let error = JobSet::start(jobs).await.unwrap_err();
        assert_eq!(error.disk, "vdz");
        assert_eq!(error.error.code(), Some(ErrorCode::INVALID_ARG));
        let [cancelled] = &error.cancelled[..] else {
            panic!("{error:?}");
        };
        assert_eq!(*cancelled.end.as_ref().unwrap(), Outcome::Cancelled);
        assert_eq!(actives(&guest).await, before);
        assert!(guest.domain.block_jobs().await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn set_says_which_disks_were_pivoted_when_one_fails() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest_with_disks("half", 8, &["vdb", "vdc"]).await;
        let before = actives(&guest).await;
        let mut jobs = Vec::new();
        for target in ["vda", "vdb", "vdc"] {
            let to = stage.images_dir().join(format!("half-copy-{target}.qcow2"));
            let disk = guest.domain.disk(target);
            let job = disk.copy(to.to_str().unwrap()).start().await.unwrap();
            jobs.push(job);
        }
        let set = JobSet::of(jobs);
        set.wait_ready().await.unwrap();
        // Somebody else cancels the second once the set has begun.
        let disk = guest.domain.disk("vdb");
        disk.abort_job(DomainBlockJobAbortFlags::empty())
            .await
            .unwrap();
        let end = set.pivot().await.unwrap();
        assert!(!end.is_success());
        let outcomes: Vec<_> = end
            .disks()
            .iter()
            .map(|disk| disk.end.as_ref().unwrap())
            .collect();
        assert_eq!(*outcomes[1], Outcome::Cancelled);
        let now = actives(&guest).await;
        for (position, outcome) in outcomes.iter().enumerate() {
            assert_eq!(
                outcome.is_pivoted(),
                now[position] != before[position],
                "{position}"
            );
        }
        assert!(guest.domain.block_jobs().await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn set_that_is_not_ready_in_time_is_cancelled() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest_with_disks("slow", 16, &["vdb"]).await;
        let before = actives(&guest).await;
        let slow = Bandwidth::mib_per_s(1).unwrap();
        let copies = disks(&guest).map(|disk| {
            let to = stage
                .images_dir()
                .join(format!("slow-copy-{}.qcow2", disk.path()));
            disk.copy(to.to_str().unwrap()).bandwidth(slow)
        });
        let set = JobSet::start(copies).await.unwrap();
        let end = set.pivot_within(Duration::from_millis(300)).await.unwrap();
        assert!(
            end.disks()
                .iter()
                .all(|disk| matches!(disk.end, Ok(Outcome::Cancelled)))
        );
        assert_eq!(end.pivoted().count(), 0);
        assert_eq!(actives(&guest).await, before);
    })
    .await;
}

#[tokio::test]
async fn set_is_pivoted_whether_or_not_anybody_waits() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest_with_disks("left", 4, &["vdb"]).await;
        let before = actives(&guest).await;
        let copies = disks(&guest).map(|disk| {
            let to = stage
                .images_dir()
                .join(format!("left-copy-{}.qcow2", disk.path()));
            disk.copy(to.to_str().unwrap())
        });
        let set = JobSet::start(copies).await.unwrap();
        set.wait_ready().await.unwrap();
        let pivot = virtwire_tests::poll::polled(1, set.pivot()).await;
        assert!(pivot.is_none(), "it takes the daemon's answer");
        let end = set.wait().await;
        assert!(end.is_success(), "{end:?}");
        let now = actives(&guest).await;
        assert!(now.iter().zip(&before).all(|(now, before)| now != before));
        assert!(BlockJob::attach(&guest.disk()).await.unwrap().is_none());
    })
    .await;
}
