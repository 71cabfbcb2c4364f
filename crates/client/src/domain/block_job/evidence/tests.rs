use virtwire_protocol::constants::{DomainBlockJobType, DomainState};

use super::*;
use crate::{Bandwidth, disks_from_xml};

/// A disk with this chain; a `+` in front stands for a mirror to what follows.
fn disk(chain: &[&str], mirror: Option<&str>) -> DiskDescription {
    let mut inner = String::from("<backingStore/>");
    for path in chain.iter().skip(1).rev() {
        inner = format!("<backingStore type='file'><source file='{path}'/>{inner}</backingStore>");
    }
    let mirror = mirror.map_or_else(String::new, |to| {
        format!("<mirror type='file' job='copy' ready='yes'><source file='{to}'/></mirror>")
    });
    let xml = format!(
        "<domain id='1'><devices><disk type='file'><source file='{}'/>{inner}{mirror}\
         <target dev='vda'/></disk></devices></domain>",
        chain[0]
    );
    disks_from_xml(&xml).unwrap().remove(0)
}

fn file(path: &str) -> Source {
    Source::File {
        path: path.to_owned(),
    }
}

/// The evidence of a domain that runs on, without a job.
fn evidence(kind: DomainBlockJobType, before: &[&str], now: &[&str]) -> Evidence {
    Evidence {
        reason: VanishedReason::NoEvent,
        kind,
        last_info: None,
        pivot_asked: false,
        cancel_asked: false,
        before: Some(disk(before, None)),
        destination: None,
        after: None,
        defined: None,
        domain: Some(DomainStatus {
            state: DomainState::RUNNING,
            reason: 1,
        }),
        domain_id: Some(1),
        same_run: true,
        disk: Some(disk(now, None)),
        definition: None,
        job: JobAfterwards::None,
    }
}

fn running(kind: DomainBlockJobType) -> JobAfterwards {
    JobAfterwards::Running(BlockJobInfo {
        kind,
        bandwidth: Bandwidth::UNLIMITED,
        current: 1,
        end: 2,
        ready: false,
    })
}

#[test]
fn shorter_chain_is_a_completed_pull_or_inner_commit() {
    for kind in [DomainBlockJobType::PULL, DomainBlockJobType::COMMIT] {
        let flat = evidence(kind, &["/top", "/mid", "/base"], &["/top"]);
        assert_eq!(flat.resolve(), Verdict::Completed);
        let partial = evidence(kind, &["/top", "/mid", "/base"], &["/top", "/base"]);
        assert_eq!(partial.resolve(), Verdict::Completed);
        let same = evidence(kind, &["/top", "/base"], &["/top", "/base"]);
        assert_eq!(same.resolve(), Verdict::NotDone);
    }
}

#[test]
fn chain_says_nothing_of_a_backup_nor_of_kinds_that_are_not_known() {
    for kind in [DomainBlockJobType::BACKUP, DomainBlockJobType(77)] {
        for now in [&["/top", "/base"][..], &["/top"]] {
            let mut other = evidence(kind, &["/top", "/base"], now);
            assert_eq!(other.resolve(), Verdict::Unknown, "{kind:?} {now:?}");
            other.job = running(kind);
            assert_eq!(other.resolve(), Verdict::Running);
        }
    }
}

#[test]
fn chain_that_something_else_has_changed_proves_nothing() {
    for now in [
        &["/snap", "/top", "/base"][..],
        &["/top", "/other"],
        &["/base"],
    ] {
        let changed = evidence(DomainBlockJobType::PULL, &["/top", "/base"], now);
        assert_eq!(changed.resolve(), Verdict::Unknown, "{now:?}");
    }
}

#[test]
fn chain_that_another_job_has_made_shorter_proves_nothing() {
    let before = ["/top", "/mid", "/base"];
    let mut pull = evidence(DomainBlockJobType::PULL, &before, &["/top", "/base"]);
    pull.after = Some(vec![Some(file("/top"))]);
    assert_eq!(pull.resolve(), Verdict::Unknown);
    pull.disk = Some(disk(&["/top"], None));
    assert_eq!(pull.resolve(), Verdict::Completed);
}

#[test]
fn shorter_chain_of_other_images_proves_nothing() {
    let before = ["/top", "/mid", "/base"];
    let pull = evidence(DomainBlockJobType::PULL, &before, &["/top", "/other"]);
    assert_eq!(pull.resolve(), Verdict::Unknown);
}

#[test]
fn pull_without_anything_to_pull_leaves_no_trace() {
    let nothing = evidence(DomainBlockJobType::PULL, &["/top"], &["/top"]);
    assert_eq!(nothing.resolve(), Verdict::Unknown);
}

#[test]
fn chain_that_libvirt_has_not_looked_at_proves_nothing() {
    let mut inactive = evidence(DomainBlockJobType::PULL, &["/top", "/base"], &["/top"]);
    inactive.disk.as_mut().unwrap().backing_known = false;
    assert_eq!(inactive.resolve(), Verdict::Unknown);
}

#[test]
fn mirror_is_pivoted_when_the_destination_is_in_place_of_the_image() {
    let mut copy = evidence(DomainBlockJobType::COPY, &["/old", "/base"], &["/new"]);
    assert_eq!(copy.resolve(), Verdict::Unknown, "where to is not known");
    copy.destination = Some(file("/new"));
    assert_eq!(copy.resolve(), Verdict::Pivoted);
    // Somebody has taken a snapshot since.
    copy.disk = Some(disk(&["/snap", "/new"], None));
    assert_eq!(copy.resolve(), Verdict::Pivoted);

    let mut commit = evidence(
        DomainBlockJobType::ACTIVE_COMMIT,
        &["/top", "/base"],
        &["/base"],
    );
    commit.destination = Some(file("/base"));
    assert_eq!(commit.resolve(), Verdict::Pivoted);
    commit.disk = Some(disk(&["/top", "/base"], None));
    assert_eq!(commit.resolve(), Verdict::NotDone);
}

#[test]
fn images_of_a_kind_that_is_not_known_are_not_told_apart() {
    let other = || Source::Other {
        kind: "newer".to_owned(),
    };
    let mut copy = evidence(DomainBlockJobType::COPY, &["/old"], &["/new"]);
    copy.before.as_mut().unwrap().source = Some(other());
    copy.disk.as_mut().unwrap().source = Some(other());
    copy.destination = Some(file("/new"));
    assert_eq!(copy.resolve(), Verdict::Unknown);
}

#[test]
fn mirror_that_is_still_there_is_not_done_with() {
    let mut copy = evidence(DomainBlockJobType::COPY, &["/old"], &["/old"]);
    copy.destination = Some(file("/new"));
    copy.disk = Some(disk(&["/old"], Some("/new")));
    assert_eq!(copy.resolve(), Verdict::Unknown);
    copy.job = running(DomainBlockJobType::COPY);
    assert_eq!(copy.resolve(), Verdict::Running);
    // Somebody else's, of which the XML may not show the mirror yet.
    copy.disk = Some(disk(&["/old"], None));
    copy.job = running(DomainBlockJobType::PULL);
    assert_eq!(copy.resolve(), Verdict::Unknown);
}

#[test]
fn definition_tells_of_a_pivot_only_if_it_named_the_old_image_before() {
    let mut copy = evidence(DomainBlockJobType::COPY, &["/old"], &["/new"]);
    copy.destination = Some(file("/new"));
    copy.definition = Some(disk(&["/new"], None));
    copy.same_run = false;
    for (defined, verdict) in [
        (None, Verdict::Unknown),
        (Some(file("/new")), Verdict::Unknown),
        (Some(file("/old")), Verdict::Pivoted),
    ] {
        copy.defined = defined;
        assert_eq!(copy.resolve(), verdict);
    }
    // A transient domain that was started anew, from whatever XML.
    copy.definition = None;
    assert_eq!(copy.resolve(), Verdict::Unknown);
}

#[test]
fn guest_that_died_after_a_pivot_was_asked_for_leaves_it_open() {
    let mut copy = evidence(DomainBlockJobType::COPY, &["/old"], &["/old"]);
    copy.destination = Some(file("/new"));
    copy.same_run = false;
    assert_eq!(copy.resolve(), Verdict::NotDone);
    copy.pivot_asked = true;
    assert_eq!(copy.resolve(), Verdict::Unknown);
}

#[test]
fn what_was_asked_for_decides_what_is_believed() {
    let kind = DomainBlockJobType::ACTIVE_COMMIT;
    let mut pivoted = evidence(kind, &["/top", "/base"], &["/base"]);
    pivoted.destination = Some(file("/base"));
    assert_eq!(pivoted.resolve(), Verdict::Pivoted);
    // A daemon that was killed while it cancelled takes that for a pivot.
    pivoted.cancel_asked = true;
    assert_eq!(pivoted.resolve(), Verdict::Unknown);

    let mut unchanged = evidence(DomainBlockJobType::COPY, &["/old"], &["/old"]);
    unchanged.destination = Some(file("/new"));
    unchanged.cancel_asked = true;
    assert_eq!(unchanged.resolve(), Verdict::NotDone);
    // And the other way round.
    unchanged.pivot_asked = true;
    assert_eq!(unchanged.resolve(), Verdict::Unknown);
    unchanged.pivot_asked = false;
    unchanged.reason = VanishedReason::Contradicted;
    assert_eq!(unchanged.resolve(), Verdict::Unknown);
}

#[test]
fn job_that_runs_or_cannot_be_asked_about_is_not_called_undone() {
    let mut pull = evidence(
        DomainBlockJobType::PULL,
        &["/top", "/base"],
        &["/top", "/base"],
    );
    pull.job = running(DomainBlockJobType::PULL);
    assert_eq!(pull.resolve(), Verdict::Running);
    pull.job = running(DomainBlockJobType::COMMIT);
    assert_eq!(pull.resolve(), Verdict::Unknown);
    pull.job = JobAfterwards::Unknown;
    assert_eq!(pull.resolve(), Verdict::Unknown);
    // The next run's job is not this one.
    pull.job = running(DomainBlockJobType::PULL);
    pull.same_run = false;
    assert_eq!(pull.resolve(), Verdict::Unknown);
}

#[test]
fn without_xml_nothing_follows() {
    let mut pull = evidence(DomainBlockJobType::PULL, &["/top", "/base"], &["/top"]);
    pull.disk = None;
    assert_eq!(pull.resolve(), Verdict::Unknown);
    pull.disk = Some(disk(&["/top"], None));
    pull.before = None;
    assert_eq!(pull.resolve(), Verdict::Unknown);
}
