//! The example programs do what they say.

use virtwire::constants::{DomainCheckpointListFlags, DomainDestroyFlags};
use virtwire::{CopyDestination, Outcome};
use virtwire_lab::Driver;
use virtwire_tests::deadline;

use super::images::{active, chain, define};
use crate::Stage;

#[path = "../../crates/client/examples/incremental_backup.rs"]
#[expect(dead_code, reason = "nobody calls the example's main")]
mod incremental_backup;
#[path = "../../crates/client/examples/migrate_storage.rs"]
#[expect(dead_code, reason = "nobody calls the example's main")]
mod migrate_storage;
#[path = "../../crates/client/examples/snapshot_commit.rs"]
#[expect(dead_code, reason = "nobody calls the example's main")]
mod snapshot_commit;

#[tokio::test]
async fn storage_is_migrated() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("move", 8).await;
        define(&stage, &guest).await;
        let to = stage.images_dir().join("moved.qcow2");
        let to = to.to_str().unwrap();
        let destination = CopyDestination::file(to).format("qcow2");
        let old = migrate_storage::migrate(&guest.disk(), destination.clone()).await;
        assert_eq!(old.unwrap(), guest.overlay.to_str().unwrap());
        assert_eq!(active(&guest).await, to);

        // What cannot be done is said before anything is.
        let copy = guest
            .disk()
            .copy(stage.images_dir().join("third").to_str().unwrap());
        let job = copy.transient_job().start().await.unwrap();
        let error = migrate_storage::migrate(&guest.disk(), destination).await;
        assert!(error.unwrap_err().to_string().contains("runs on the disk"));
        assert_eq!(job.cancel().await.unwrap(), Outcome::Cancelled);
    })
    .await;
}

#[tokio::test]
async fn snapshots_are_committed_back_on_every_disk() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest_with_disks("cycled", 4, &["vdb"]).await;
        define(&stage, &guest).await;
        let mut seen = Vec::new();
        let work = |image: &str| seen.push(image.to_owned());
        let directory = stage.images_dir();
        snapshot_commit::cycle(&guest.domain, &directory, work)
            .await
            .unwrap();
        assert_eq!(seen.len(), 2);
        assert_eq!(active(&guest).await, guest.overlay.to_str().unwrap());
        assert_eq!(chain(&guest).await, [guest.base.to_str().unwrap()]);
    })
    .await;
}

#[tokio::test]
async fn backups_are_incremental() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("saved", 4).await;
        define(&stage, &guest).await;
        let directory = stage.images_dir();
        let first = incremental_backup::backup(&guest.domain, &directory).await;
        assert_eq!(first.unwrap(), "backup-1");
        let second = incremental_backup::backup(&guest.domain, &directory).await;
        assert_eq!(second.unwrap(), "backup-2");
        let flags = DomainCheckpointListFlags::TOPOLOGICAL;
        let checkpoints = guest.domain.checkpoints(flags).await.unwrap();
        let names: Vec<_> = checkpoints
            .iter()
            .map(|checkpoint| checkpoint.name())
            .collect();
        assert_eq!(names, ["backup-1", "backup-2"]);

        guest
            .domain
            .destroy(DomainDestroyFlags::empty())
            .await
            .unwrap();
        let error = incremental_backup::backup(&guest.domain, &directory).await;
        assert!(error.unwrap_err().to_string().contains("not run"));
    })
    .await;
}
