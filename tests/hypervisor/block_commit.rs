//! Commits of inner images, which end by themselves.

use virtwire::constants::{DomainBlockJobType, ErrorCode};
use virtwire::{Bandwidth, CommitBase, ErrorKind, Obstacle, Outcome};
use virtwire_lab::Driver;
use virtwire_tests::deadline;

use super::images::{active, chain, snapshot, vda};
use crate::Stage;

#[tokio::test]
async fn inner_image_is_committed_into_the_base() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("inner", 8).await;
        let top = snapshot(&stage, &guest, "inner-top").await;
        let (mid, base) = (
            guest.overlay.to_str().unwrap(),
            guest.base.to_str().unwrap(),
        );
        let commit = guest.disk().commit_inner(mid, base);
        let plan = commit.plan().await.unwrap();
        assert!(plan.is_clear(), "{:?}", plan.obstacles);
        let job = commit.start().await.unwrap();
        assert_eq!(job.kind(), DomainBlockJobType::COMMIT);
        assert_eq!(job.wait().await, Outcome::Completed);
        assert_eq!(active(&guest).await, top);
        assert_eq!(chain(&guest).await, [base]);
        let described = vda(&guest.domain).await;
        let images: Vec<_> = described.chain().map(|source| source.cloned()).collect();
        assert_eq!(plan.after, images, "it was planned so");
    })
    .await;
}

#[tokio::test]
async fn images_are_named_by_index_and_bases_by_place() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        for (round, base) in [CommitBase::NextBelow, CommitBase::Lowest]
            .into_iter()
            .enumerate()
        {
            let guest = stage.guest(&format!("index{round}"), 2).await;
            let top = snapshot(&stage, &guest, &format!("index{round}-top")).await;
            let layer = vda(&guest.domain).await.backing[0].index.unwrap();
            let commit = guest.disk().commit_inner(format!("vda[{layer}]"), base);
            assert!(commit.plan().await.unwrap().is_clear());
            let job = commit.start().await.unwrap();
            assert_eq!(job.wait().await, Outcome::Completed);
            assert_eq!(active(&guest).await, top);
            assert_eq!(chain(&guest).await, [guest.base.to_str().unwrap()]);
        }
    })
    .await;
}

#[tokio::test]
async fn active_image_is_no_inner_one_and_nothing_is_asked() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("active", 2).await;
        let base = guest.base.to_str().unwrap();
        for top in ["vda", guest.overlay.to_str().unwrap()] {
            let commit = guest.disk().commit_inner(top, base);
            let obstacles = commit.plan().await.unwrap().obstacles;
            assert!(obstacles.contains(&Obstacle::TopIsActive), "{obstacles:?}");
            let error = commit.start().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            assert_eq!(error.procedure(), None);
        }
    })
    .await;
}

#[tokio::test]
async fn plans_say_what_the_daemon_would_refuse() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("plans", 8).await;
        let base = guest.base.to_str().unwrap();
        let disk = guest.disk();

        let nowhere = disk.commit_active().base("/nowhere");
        let missing = Obstacle::NotInChain {
            image: "/nowhere".to_owned(),
        };
        assert_eq!(nowhere.plan().await.unwrap().obstacles, [missing]);
        let refused = nowhere.start().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Remote, "{refused}");

        let upside_down = disk.commit_inner(base, guest.overlay.to_str().unwrap());
        assert!(!upside_down.plan().await.unwrap().is_clear());
        let nothing = disk.pull().base(base);
        assert_eq!(
            nothing.plan().await.unwrap().obstacles,
            [Obstacle::NothingToDo]
        );

        let absent = guest.domain.disk("vdz").pull().plan().await.unwrap();
        assert_eq!(absent.obstacles, [Obstacle::NoSuchDisk]);
        assert!(absent.disk.is_none());

        let limit = Bandwidth::mib_per_s(1).unwrap();
        let job = disk.pull().bandwidth(limit).start().await.unwrap();
        let busy = disk.commit_active().plan().await.unwrap();
        let [Obstacle::JobRunning(info)] = &busy.obstacles[..] else {
            panic!("{:?}", busy.obstacles);
        };
        assert_eq!(info.kind, DomainBlockJobType::PULL);
        let refused = disk.commit_active().start().await.unwrap_err();
        assert_eq!(refused.code(), Some(ErrorCode::OPERATION_UNSUPPORTED));
        assert_eq!(job.cancel().await.unwrap(), Outcome::Cancelled);
    })
    .await;
}
