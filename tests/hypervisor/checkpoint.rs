//! Checkpoints of a running guest.

use virtwire::constants::{
    DomainCheckpointCreateFlags, DomainCheckpointDeleteFlags, DomainCheckpointListFlags,
    DomainCheckpointXmlFlags, DomainDestroyFlags, ErrorCode,
};
use virtwire::{Checkpoint, CheckpointXml, Domain, NewCheckpoint};
use virtwire_lab::Driver;
use virtwire_tests::deadline;

use crate::Stage;

async fn names(domain: &Domain, flags: DomainCheckpointListFlags) -> Vec<String> {
    let mut listed = names_of(&domain.checkpoints(flags).await.unwrap());
    listed.sort();
    listed
}

fn names_of(checkpoints: &[Checkpoint]) -> Vec<String> {
    let names = checkpoints
        .iter()
        .map(|checkpoint| checkpoint.name().to_owned());
    names.collect()
}

#[tokio::test]
async fn checkpoints_follow_each_other_and_know_what_was_written_since() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("guest", 8).await;
        let domain = &guest.domain;
        let first = NewCheckpoint::named("one").description("a <first> & \"only\"");
        let one = domain.create_checkpoint(first).await.unwrap();
        guest.write(1).await;
        let two = NewCheckpoint::named("two").disk("vda");
        let two = domain.create_checkpoint(two).await.unwrap();
        guest.write(2).await;
        let three = domain.create_checkpoint(NewCheckpoint::named("three"));
        let three = three.await.unwrap();

        type Flags = DomainCheckpointListFlags;
        assert_eq!(names(domain, Flags::empty()).await, ["one", "three", "two"]);
        assert_eq!(names(domain, Flags::ROOTS).await, ["one"]);
        assert_eq!(names(domain, Flags::LEAVES).await, ["three"]);
        let sorted = domain.checkpoints(Flags::TOPOLOGICAL).await.unwrap();
        assert_eq!(names_of(&sorted), ["one", "two", "three"]);
        let children = one.children(Flags::empty()).await.unwrap();
        assert_eq!(names_of(&children), ["two"]);
        let descendants = one.children(Flags::DESCENDANTS).await.unwrap();
        assert_eq!(descendants.len(), 2);
        assert_eq!(one.parent().await.unwrap(), None);
        assert_eq!(three.parent().await.unwrap(), Some(two.clone()));

        let described = one.description().await.unwrap();
        assert_eq!(
            described.description.as_deref(),
            Some("a <first> & \"only\"")
        );
        assert!(described.covers("vda") && described.created.is_some());
        let size = async |checkpoint: &Checkpoint| checkpoint.sizes().await.unwrap()[0].size;
        assert_eq!(size(&three).await, Some(0));
        assert_eq!(size(&two).await, Some(2 << 20));

        two.delete(DomainCheckpointDeleteFlags::empty())
            .await
            .unwrap();
        assert_eq!(three.parent().await.unwrap(), Some(one.clone()));
        let error = two.parent().await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::NO_DOMAIN_CHECKPOINT));
        one.delete(DomainCheckpointDeleteFlags::CHILDREN)
            .await
            .unwrap();
        assert!(names(domain, Flags::empty()).await.is_empty());
        let error = domain.lookup_checkpoint("one").await.unwrap_err();
        assert!(error.is_not_found(), "{error}");
    })
    .await;
}

#[tokio::test]
async fn forgotten_checkpoint_is_described_anew() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("guest", 8).await;
        let domain = &guest.domain;
        let one = domain.create_checkpoint(NewCheckpoint::named("one")).await;
        let one = one.unwrap();
        let xml = one.xml(DomainCheckpointXmlFlags::empty()).await.unwrap();
        one.delete(DomainCheckpointDeleteFlags::METADATA_ONLY)
            .await
            .unwrap();
        assert!(one.description().await.is_err());
        guest.write(1).await;
        let redefine = DomainCheckpointCreateFlags::REDEFINE;
        let again = domain.create_checkpoint_with(CheckpointXml::new(xml), redefine);
        let again = again.await.unwrap();
        assert_eq!(again, one);
        assert_eq!(again.sizes().await.unwrap()[0].size, Some(1 << 20));
    })
    .await;
}

#[tokio::test]
async fn checkpoints_that_cannot_be_are_refused() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("guest", 8).await;
        let domain = &guest.domain;
        let refused = async |checkpoint: CheckpointXml| {
            let error = domain.create_checkpoint(checkpoint).await.unwrap_err();
            error.code().unwrap()
        };
        let nobody = NewCheckpoint::named("one").disk("vdz");
        assert_eq!(refused(nobody.into()).await, ErrorCode::CONFIG_UNSUPPORTED);
        let slash = NewCheckpoint::named("a/b");
        assert_eq!(refused(slash.into()).await, ErrorCode::XML_INVALID_SCHEMA);
        let other = CheckpointXml::new("<domain/>");
        assert_eq!(refused(other).await, ErrorCode::XML_ERROR);
        let one = NewCheckpoint::named("one");
        domain.create_checkpoint(one.clone()).await.unwrap();
        assert_eq!(refused(one.into()).await, ErrorCode::OPERATION_FAILED);
        let flags = DomainDestroyFlags::empty();
        domain.destroy(flags).await.unwrap();
        let gone = NewCheckpoint::named("two");
        assert_eq!(refused(gone.into()).await, ErrorCode::NO_DOMAIN);
    })
    .await;
}
