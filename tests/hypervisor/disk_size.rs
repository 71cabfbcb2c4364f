//! Sizes of disks, the marks that their images may reach, and the filesystems on them.

use virtwire::constants::{DomainEventId, DomainXmlFlags, ErrorCode};
use virtwire::event::DomainEventKind;
use virtwire_lab::Driver;
use virtwire_tests::deadline;

use crate::Stage;

#[tokio::test]
async fn disk_gets_another_size() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("guest", 4).await;
        let disk = guest.disk();
        disk.resize((9 << 20) - 1).await.unwrap();
        assert_eq!(disk.info().await.unwrap().capacity, 9 << 20);
        let error = disk.resize_to_device().await.unwrap_err();
        let codes = [ErrorCode::OPERATION_UNSUPPORTED, ErrorCode::INVALID_ARG];
        assert!(codes.contains(&error.code().unwrap()), "{error}");
        let nobody = guest.domain.disk("vdz").resize(1 << 20).await;
        assert_eq!(nobody.unwrap_err().code(), Some(ErrorCode::INVALID_ARG));
        assert!(!guest.domain.is_persistent().await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn mark_is_told_of_when_it_is_passed() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("guest", 8).await;
        let marked = [DomainEventId::BLOCK_THRESHOLD];
        let mut events = guest.domain.events(marked).await.unwrap();
        let disks = guest.domain.disks(DomainXmlFlags::empty()).await.unwrap();
        let top = format!("vda[{}]", disks[0].index.unwrap());
        let by_index = guest.domain.disk(&top);
        by_index.set_threshold(3 << 20).await.unwrap();
        guest.write(4).await;
        let event = events.recv().await.unwrap();
        match event.kind {
            DomainEventKind::BlockThreshold { dev, threshold, .. } => {
                assert_eq!((dev, threshold), (top, 3 << 20));
            }
            other => panic!("{other:?}"),
        }
        let nobody = guest.domain.disk("vda[99]").set_threshold(1).await;
        assert_eq!(nobody.unwrap_err().code(), Some(ErrorCode::INVALID_ARG));
    })
    .await;
}

#[tokio::test]
async fn guest_without_an_agent_cannot_be_frozen() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("guest", 4).await;
        let error = guest.domain.fs_freeze(["/"]).await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::ARGUMENT_UNSUPPORTED));
        let error = guest.domain.fs_thaw([] as [&str; 0]).await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::ARGUMENT_UNSUPPORTED));
    })
    .await;
}
