//! Copies and commits of the active image: they stay until they are pivoted or cancelled.

use std::time::Duration;

use virtwire::constants::{
    DomainBlockJobAbortFlags, DomainBlockJobType, DomainDefineFlags, DomainDestroyFlags,
    DomainXmlFlags, ErrorCode,
};
use virtwire::{
    Bandwidth, BlockJob, CopyDestination, ErrorKind, MirrorReady, NextStart, Obstacle, Outcome,
    Readiness, VanishedReason, Verdict,
};
use virtwire_lab::Driver;
use virtwire_tests::deadline;

use super::images::{active, chain, define, snapshot, vda};
use crate::{Guest, Stage};

fn slow() -> Bandwidth {
    Bandwidth::mib_per_s(4).unwrap()
}

/// Where a copy of the guest's disk goes.
fn copy_path(stage: &Stage, name: &str) -> String {
    let path = stage.images_dir().join(format!("{name}-copy.qcow2"));
    path.to_str().unwrap().to_owned()
}

async fn copy(stage: &Stage, guest: &Guest, name: &str) -> (String, BlockJob) {
    let path = copy_path(stage, name);
    let job = guest.disk().copy(path.as_str()).start().await.unwrap();
    (path, job)
}

async fn pivoted(job: &BlockJob) -> NextStart {
    match job.pivot().await.unwrap() {
        Outcome::Pivoted(next) => next,
        other => panic!("not pivoted: {other}"),
    }
}

#[tokio::test]
async fn active_commit_is_pivoted_to_the_base() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("commit", 16).await;
        let job = guest.disk().commit_active().start().await.unwrap();
        assert_eq!(job.kind(), DomainBlockJobType::ACTIVE_COMMIT);
        assert_eq!(job.wait_ready().await, Readiness::Ready);
        assert!(job.is_ready() && job.info().await.unwrap().unwrap().ready);
        assert_eq!(pivoted(&job).await, NextStart::NoDefinition);
        assert!(!job.is_ready());
        assert_eq!(active(&guest).await, guest.base.to_str().unwrap());
        assert!(chain(&guest).await.is_empty());
        // Asked again, it says the same.
        assert!(job.pivot().await.unwrap().is_pivoted());
        assert!(job.cancel().await.unwrap().is_pivoted());
    })
    .await;
}

#[tokio::test]
async fn copy_is_pivoted_to_the_destination() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("copy", 16).await;
        let (path, job) = copy(&stage, &guest, "copy").await;
        assert_eq!(pivoted(&job).await, NextStart::NoDefinition);
        assert_eq!(active(&guest).await, path);
        assert!(chain(&guest).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn shallow_copy_stands_on_the_same_base() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("shallow", 16).await;
        let path = copy_path(&stage, "shallow");
        let to = CopyDestination::file(&path).format("qcow2");
        let copy = guest.disk().copy(to).shallow();
        let plan = copy.plan().await.unwrap();
        assert!(plan.is_clear(), "{:?}", plan.obstacles);
        let job = copy.start().await.unwrap();
        assert_eq!(pivoted(&job).await, NextStart::NoDefinition);
        assert_eq!(active(&guest).await, path);
        assert_eq!(chain(&guest).await, [guest.base.to_str().unwrap()]);
        let described = vda(&guest.domain).await;
        let images: Vec<_> = described.chain().map(|source| source.cloned()).collect();
        assert_eq!(plan.after, images, "it was planned so");
    })
    .await;
}

#[tokio::test]
async fn cancelled_mirror_leaves_the_disk_as_it_was() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("cancelled", 16).await;
        let old = guest.overlay.to_str().unwrap();
        for ready in [false, true] {
            let commit = guest.disk().commit_active();
            let job = commit.start().await.unwrap();
            if ready {
                assert_eq!(job.wait_ready().await, Readiness::Ready);
            }
            assert_eq!(job.cancel().await.unwrap(), Outcome::Cancelled);
            assert_eq!(active(&guest).await, old);

            let name = format!("cancelled{ready}");
            let copy = guest.disk().copy(copy_path(&stage, &name));
            let job = copy.bandwidth(slow()).start().await.unwrap();
            if ready {
                job.set_speed(Bandwidth::UNLIMITED).await.unwrap();
                assert_eq!(job.wait_ready().await, Readiness::Ready);
            }
            assert_eq!(job.cancel().await.unwrap(), Outcome::Cancelled);
            assert_eq!(active(&guest).await, old);
            assert_eq!(chain(&guest).await, [guest.base.to_str().unwrap()]);
        }
    })
    .await;
}

#[tokio::test]
async fn pivot_waits_until_the_copy_is_ready() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("early", 16).await;
        let path = copy_path(&stage, "early");
        let copy = guest.disk().copy(path.as_str()).bandwidth(slow());
        let job = copy.start().await.unwrap();
        // The daemon refuses what is not ready with a code of its own.
        let flags = DomainBlockJobAbortFlags::PIVOT | DomainBlockJobAbortFlags::ASYNC;
        let refused = guest.disk().abort_job(flags).await.unwrap_err();
        assert_eq!(refused.code(), Some(ErrorCode::BLOCK_COPY_ACTIVE));
        let late = job.pivot_within(Duration::from_millis(100)).await;
        assert_eq!(late.unwrap_err().kind(), ErrorKind::Timeout);
        assert!(job.outcome().is_none());
        assert_eq!(pivoted(&job).await, NextStart::NoDefinition);
        assert_eq!(active(&guest).await, path);
    })
    .await;
}

#[tokio::test]
async fn pivot_twice_and_a_cancel_beside_it_agree() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        for round in 0..4 {
            let guest = stage.guest(&format!("both{round}"), 2).await;
            let (path, job) = copy(&stage, &guest, &format!("both{round}")).await;
            assert_eq!(job.wait_ready().await, Readiness::Ready);
            let (one, two, cancelled) = tokio::join!(job.pivot(), job.pivot(), job.cancel());
            let outcome = one.unwrap();
            assert_eq!(two.unwrap(), outcome);
            assert_eq!(cancelled.unwrap(), outcome);
            let now = active(&guest).await;
            match outcome {
                Outcome::Pivoted(_) => assert_eq!(now, path),
                Outcome::Cancelled => assert_eq!(now, guest.overlay.to_str().unwrap()),
                other => panic!("{other}"),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn pull_cannot_be_pivoted_and_nothing_is_asked() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("nopivot", 8).await;
        let job = guest.disk().pull().bandwidth(slow()).start().await.unwrap();
        let error = job.pivot().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert_eq!(error.procedure(), None);
        assert_eq!(job.cancel().await.unwrap(), Outcome::Cancelled);
        assert_eq!(job.wait_ready().await, Readiness::Over(Outcome::Cancelled));
    })
    .await;
}

#[tokio::test]
async fn definition_follows_the_pivot() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("defined", 4).await;
        define(&stage, &guest).await;
        let path = copy_path(&stage, "defined");
        let copy = guest.disk().copy(path.as_str());
        let plan = copy.plan().await.unwrap();
        assert_eq!(plan.obstacles, [Obstacle::DomainPersistent]);
        let refused = copy.clone().start().await.unwrap_err();
        assert_eq!(
            refused.code(),
            Some(ErrorCode::OPERATION_INVALID),
            "{refused}"
        );

        let copy = copy.transient_job();
        assert!(copy.plan().await.unwrap().is_clear());
        let job = copy.start().await.unwrap();
        assert_eq!(pivoted(&job).await, NextStart::NewImage);
        let inactive = guest.domain.disks(DomainXmlFlags::INACTIVE).await.unwrap();
        assert_eq!(inactive[0].source.as_ref().unwrap().path(), Some(&*path));
    })
    .await;
}

#[tokio::test]
async fn definition_that_names_another_image_is_told_of() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("other", 4).await;
        let xml = guest.domain.xml(DomainXmlFlags::INACTIVE).await.unwrap();
        let overlay = guest.overlay.to_str().unwrap();
        let elsewhere = xml.replace(overlay, "/var/lib/other.qcow2");
        let flags = DomainDefineFlags::empty();
        let defined = stage.connection.define_domain(&elsewhere, flags).await;
        defined.unwrap();
        let path = copy_path(&stage, "other");
        let copy = guest.disk().copy(path.as_str()).transient_job();
        let job = copy.start().await.unwrap();
        let NextStart::OtherImage(Some(source)) = pivoted(&job).await else {
            panic!("the definition names another image");
        };
        assert_eq!(source.path(), Some("/var/lib/other.qcow2"));
        assert_eq!(active(&guest).await, path);
    })
    .await;
}

#[tokio::test]
async fn domain_destroyed_before_the_pivot_is_not_pivoted() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("gone", 4).await;
        define(&stage, &guest).await;
        let commit = guest.disk().commit_active();
        let job = commit.start().await.unwrap();
        assert_eq!(job.wait_ready().await, Readiness::Ready);
        let destroyed = guest.domain.destroy(DomainDestroyFlags::empty()).await;
        destroyed.unwrap();
        let Outcome::Vanished(evidence) = job.pivot().await.unwrap() else {
            panic!("nobody announced anything");
        };
        let stopped = matches!(evidence.reason, VanishedReason::DomainStopped { .. });
        assert!(stopped, "{evidence:?}");
        assert!(!evidence.same_run);
        // The request may have come before the guest was gone, for all the handle knows.
        let verdict = evidence.resolve();
        assert!(
            matches!(verdict, Verdict::NotDone | Verdict::Unknown),
            "{verdict}"
        );
        let now = evidence.disk.unwrap().source;
        assert_eq!(now.unwrap().path(), Some(guest.overlay.to_str().unwrap()));
    })
    .await;
}

#[tokio::test]
async fn mirror_state_is_in_the_xml_and_convergence_in_the_progress() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("progress", 16).await;
        let path = copy_path(&stage, "progress");
        let copy = guest.disk().copy(path.as_str()).bandwidth(slow());
        // Otherwise QEMU copies all of it in the first moment, and then waits.
        let copy = copy.buffer_size(1 << 20);
        let job = copy.start().await.unwrap();
        let mirror = vda(&guest.domain).await.mirror.unwrap();
        assert_eq!(mirror.ready, MirrorReady::No);
        assert_eq!(mirror.source.unwrap().path(), Some(&*path));
        let mut progress = job.progress_every(Duration::from_millis(100));
        let mut rated = None;
        while let Some(now) = progress.next().await {
            if now.ready {
                break;
            }
            assert_eq!(now.bandwidth, slow());
            if now.rate.is_some_and(|rate| rate > 0) {
                rated = Some(now);
            }
        }
        let rated = rated.expect("a copy of seconds has a rate");
        assert!(rated.eta.is_some(), "{rated:?}");
        assert_eq!(rated.convergence, Some(virtwire::Convergence::Converging));
        assert_eq!(job.wait_ready().await, Readiness::Ready);
        assert_eq!(
            vda(&guest.domain).await.mirror.unwrap().ready,
            MirrorReady::Yes
        );
        assert_eq!(job.cancel().await.unwrap(), Outcome::Cancelled);
    })
    .await;
}

#[tokio::test]
async fn snapshot_is_committed_back() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("cycle", 4).await;
        define(&stage, &guest).await;
        let top = snapshot(&stage, &guest, "cycle-top").await;
        assert_eq!(active(&guest).await, top);
        let commit = guest.disk().commit_active().shallow();
        let plan = commit.plan().await.unwrap();
        assert!(plan.is_clear(), "{:?}", plan.obstacles);
        let job = commit.start().await.unwrap();
        assert_eq!(pivoted(&job).await, NextStart::NewImage);
        assert_eq!(active(&guest).await, guest.overlay.to_str().unwrap());
        assert_eq!(chain(&guest).await, [guest.base.to_str().unwrap()]);
        let described = vda(&guest.domain).await;
        let images: Vec<_> = described.chain().map(|source| source.cloned()).collect();
        assert_eq!(plan.after, images, "it was planned so");
    })
    .await;
}

#[tokio::test]
async fn copy_that_cannot_be_is_refused_before_anything_is_asked() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("refused", 2).await;
        let path = copy_path(&stage, "refused");
        let disk = guest.disk();
        let reused = disk.copy(path.as_str()).reuse_external();
        let obstacles = reused.plan().await.unwrap().obstacles;
        assert_eq!(obstacles, [Obstacle::FormatUnknown]);
        let raw = CopyDestination::file(&path).format("raw");
        let obstacles = disk.copy(raw).shallow().plan().await.unwrap().obstacles;
        assert_eq!(obstacles, [Obstacle::RawCannotBeShallow]);
        let existing = CopyDestination::file(&path).format("qcow2");
        let synchronous = disk.copy(existing).reuse_external().synchronous_writes();
        assert!(synchronous.plan().await.unwrap().is_clear());
        let lossy = synchronous.shallow();
        let obstacles = lossy.plan().await.unwrap().obstacles;
        assert_eq!(obstacles, [Obstacle::SynchronousOverBacking]);
        for copy in [
            reused,
            lossy,
            disk.copy(path.as_str()).granularity(1000),
            disk.copy(CopyDestination::xml("<domain/>")),
        ] {
            let error = copy.start().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            assert_eq!(error.procedure(), None);
        }
        let copy = disk.copy(CopyDestination::file(&path).format("qcow2"));
        let copy = copy
            .granularity(65536)
            .buffer_size(1 << 20)
            .bandwidth(slow());
        let job = copy.synchronous_writes().start().await.unwrap();
        assert_eq!(job.info().await.unwrap().unwrap().bandwidth, slow());
        assert_eq!(job.cancel().await.unwrap(), Outcome::Cancelled);
    })
    .await;
}
