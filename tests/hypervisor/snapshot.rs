//! External snapshots of a running guest, and what else is done to its disks.

use virtwire::constants::{
    DomainSnapshotCreateFlags, DomainSnapshotDeleteFlags, DomainSnapshotListFlags,
    DomainSnapshotXmlFlags, DomainXmlFlags, ErrorCode,
};
use virtwire::{DiskDescription, Outcome, Overlay, Snapshot, Source};
use virtwire_lab::Driver;
use virtwire_tests::deadline;

use crate::{Guest, Stage};

/// The disk's image and those that it stands on.
async fn chain(guest: &Guest) -> Vec<String> {
    let disks = guest.domain.disks(DomainXmlFlags::empty()).await.unwrap();
    let disk: &DiskDescription = &disks[0];
    let layers = disk.backing.iter().map(|layer| &layer.source);
    let sources = std::iter::once(&disk.source).chain(layers);
    let path = |source: &Option<Source>| source.as_ref().unwrap().path().unwrap().to_owned();
    sources.map(path).collect()
}

#[tokio::test]
async fn guest_goes_on_in_the_overlay() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("guest", 4).await;
        let path = stage.images_dir().join("first & only");
        let paths = [&path, &guest.overlay, &guest.base];
        let [path, overlay, base] = paths.map(|path| path.to_str().unwrap());
        let first = guest.domain.disk_snapshot().name("one").atomic();
        let first = first
            .description("before")
            .disk("vda", Overlay::file(path).format("qcow2"));
        let one = first.create().await.unwrap();
        assert_eq!(one.name(), "one");
        assert_eq!(chain(&guest).await, [path, overlay, base]);

        let second = guest.domain.disk_snapshot().name("two");
        let two = second.create().await.unwrap();
        let generated = "first & only.two";
        assert!(chain(&guest).await[0].ends_with(generated));
        let xml = two.xml(DomainSnapshotXmlFlags::empty()).await.unwrap();
        assert!(xml.contains("first &amp; only.two"), "{xml}");

        type Flags = DomainSnapshotListFlags;
        let list = async |flags| {
            let listed: Vec<Snapshot> = guest.domain.snapshots(flags).await.unwrap();
            listed.len()
        };
        assert_eq!(list(Flags::empty()).await, 2);
        assert_eq!(list(Flags::ROOTS | Flags::EXTERNAL).await, 1);
        assert_eq!(list(Flags::INTERNAL).await, 0);
        assert_eq!(two.parent().await.unwrap(), Some(one.clone()));
        assert_eq!(one.parent().await.unwrap(), None);
        let children = one.children(Flags::empty()).await.unwrap();
        assert_eq!(children.as_slice(), std::slice::from_ref(&two));
        assert!(two.is_current().await.unwrap());

        let forget = DomainSnapshotDeleteFlags::METADATA_ONLY;
        two.delete(forget).await.unwrap();
        let children = forget | DomainSnapshotDeleteFlags::CHILDREN;
        one.delete(children).await.unwrap();
        let error = guest.domain.lookup_snapshot("one").await.unwrap_err();
        assert!(error.is_not_found(), "{error}");
        assert!(one.parent().await.unwrap_err().is_not_found());
        assert_eq!(chain(&guest).await.len(), 4);
    })
    .await;
}

#[tokio::test]
async fn snapshot_without_a_record_is_its_images_alone() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("guest", 4).await;
        let prepared = stage.guest("prepared", 4).await;
        let path = prepared.overlay.to_str().unwrap();
        // Prepared by somebody: an image of the same size that nobody uses any more.
        let flags = virtwire::constants::DomainDestroyFlags::empty();
        prepared.domain.destroy(flags).await.unwrap();
        prepared.rebase(&prepared.overlay, &guest.overlay);
        let snapshot = guest.domain.disk_snapshot().no_metadata().reuse_external();
        let snapshot = snapshot.disk("vda", Overlay::file(path).format("qcow2"));
        let snapshot = snapshot.create().await.unwrap();
        assert_eq!(chain(&guest).await[0], path);
        let error = snapshot.xml(DomainSnapshotXmlFlags::empty()).await;
        assert!(error.unwrap_err().is_not_found());
        let all = DomainSnapshotListFlags::empty();
        assert!(guest.domain.snapshots(all).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn overlay_is_committed_and_the_guest_goes_on_in_its_image() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("guest", 8).await;
        let before = chain(&guest).await;
        for round in 0..2 {
            let path = stage.images_dir().join(format!("overlay{round}"));
            let path = path.to_str().unwrap();
            let overlay = Overlay::file(path).format("qcow2");
            let snapshot = guest.domain.disk_snapshot().no_metadata().atomic();
            snapshot.disk("vda", overlay).create().await.unwrap();
            assert_eq!(chain(&guest).await[0], path);
            guest.write(2).await;
            let commit = guest.disk().commit_active().shallow();
            let job = commit.start().await.unwrap();
            let outcome = job.pivot().await.unwrap();
            assert!(matches!(outcome, Outcome::Pivoted(_)), "{outcome:?}");
            assert_eq!(chain(&guest).await, before);
        }
    })
    .await;
}

#[tokio::test]
async fn snapshots_that_cannot_be_are_refused() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("guest", 4).await;
        let before = chain(&guest).await;
        let snapshot = || guest.domain.disk_snapshot();
        let refused = async |snapshot: virtwire::DiskSnapshot| {
            let error = snapshot.create().await.unwrap_err();
            error.code().unwrap()
        };
        assert_eq!(
            refused(snapshot().exclude("vda")).await,
            ErrorCode::CONFIG_UNSUPPORTED
        );
        assert_eq!(
            refused(snapshot().disk("vdz", Overlay::generated())).await,
            ErrorCode::CONFIG_UNSUPPORTED
        );
        let there = Overlay::file(guest.base.to_str().unwrap());
        assert_eq!(
            refused(snapshot().disk("vda", there)).await,
            ErrorCode::CONFIG_UNSUPPORTED
        );
        assert_eq!(
            refused(snapshot().quiesce()).await,
            ErrorCode::ARGUMENT_UNSUPPORTED
        );
        let raw = guest
            .domain
            .create_snapshot("<domain/>", DomainSnapshotCreateFlags::DISK_ONLY);
        let error = raw.await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::XML_ERROR));
        assert_eq!(chain(&guest).await, before);
    })
    .await;
}
