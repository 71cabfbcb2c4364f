//! What the calls that start jobs ask for.

use virtwire::ErrorKind;
use virtwire::remote::{self, TypedParam, TypedParamValue};
use virtwire::xdr::Str;
use virtwire_tests::paused_deadline;

use super::host::Host;

#[tokio::test(start_paused = true)]
async fn pull_is_never_the_call_that_copies() {
    paused_deadline(async {
        const RELATIVE: u32 = 16;
        const BYTES: u32 = 64;
        let host = Host::connected().await;
        let disk = host.disk().await;
        for (pull, flags) in [
            (disk.pull().base("/base"), BYTES),
            (disk.pull().base("vda[2]").keep_relative(), BYTES | RELATIVE),
        ] {
            drop(pull.start().await.unwrap());
            let rebase = host.taken::<remote::DomainBlockRebase>().remove(0);
            assert!(rebase.base.is_some());
            assert_eq!(rebase.flags, flags);
        }
        drop(disk.pull().keep_relative().start().await.unwrap());
        assert!(host.taken::<remote::DomainBlockRebase>().is_empty());
        let pull = host.taken::<remote::DomainBlockPull>().remove(0);
        assert_eq!(pull.flags, BYTES);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn only_a_commit_of_the_active_image_is_said_to_be_one() {
    paused_deadline(async {
        const SHALLOW: u32 = 1;
        const DELETE: u32 = 2;
        const ACTIVE: u32 = 4;
        const RELATIVE: u32 = 8;
        const BYTES: u32 = 16;
        let host = Host::connected().await;
        let disk = host.disk().await;
        let commit = disk.commit_active().shallow().delete().keep_relative();
        drop(commit.start().await.unwrap());
        let args = host.taken::<remote::DomainBlockCommit>().remove(0);
        assert_eq!(args.flags, BYTES | ACTIVE | SHALLOW | DELETE | RELATIVE);
        assert_eq!((args.top, args.base), (None, None));

        let commit = disk
            .commit_inner("vda[1]", "vda[2]")
            .delete()
            .keep_relative();
        drop(commit.start().await.unwrap());
        let args = host.taken::<remote::DomainBlockCommit>().remove(0);
        assert_eq!(args.flags, BYTES | DELETE | RELATIVE);
        assert_eq!(args.top.unwrap(), "vda[1]");
        assert_eq!(args.base.unwrap(), "vda[2]");

        for top in ["vda", "/top"] {
            disk.commit_inner(top, "/base").start().await.unwrap_err();
        }
        assert!(host.taken::<remote::DomainBlockCommit>().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn copy_has_the_flags_that_were_asked_for() {
    paused_deadline(async {
        let host = Host::connected().await;
        let disk = host.disk().await;
        let copies = [
            (disk.copy("/new"), 0),
            (disk.copy("/new").shallow(), 1),
            (disk.copy("/new").transient_job(), 4),
            (disk.copy("/new").synchronous_writes(), 8),
        ];
        for (copy, flags) in copies {
            drop(copy.start().await.unwrap());
            let args = host.taken::<remote::DomainBlockCopy>().remove(0);
            assert_eq!(args.flags, flags);
        }
        // An image that is there already has to have a stated format.
        let copy = disk.copy("/new").reuse_external();
        copy.start().await.unwrap_err();
        assert!(host.taken::<remote::DomainBlockCopy>().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn copy_has_the_figures_that_were_asked_for() {
    paused_deadline(async {
        let host = Host::connected().await;
        let disk = host.disk().await;
        let copy = disk.copy("/new").granularity(65_536).buffer_size(1 << 33);
        drop(copy.start().await.unwrap());
        let args = host.taken::<remote::DomainBlockCopy>().remove(0);
        let param = |name, value| TypedParam {
            field: Str::from(name),
            value,
        };
        let expected = [
            param("granularity", TypedParamValue::Uint(65_536)),
            param("buf-size", TypedParamValue::Ullong(1 << 33)),
        ];
        assert_eq!(args.params, expected);

        for granularity in [0, 3, u32::MAX] {
            let copy = disk.copy("/new").granularity(granularity);
            let refused = copy.start().await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        }
        assert!(host.taken::<remote::DomainBlockCopy>().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn disk_named_by_its_path_is_asked_about_by_its_target() {
    paused_deadline(async {
        let host = Host::connected().await;
        let disk = host.disk_named("/top").await;
        let job = disk.pull().start().await.unwrap();
        assert_eq!(job.disk().path(), "vda");
        let pull = host.taken::<remote::DomainBlockPull>().remove(0);
        assert_eq!(pull.path, "vda");
        let asked = host.taken::<remote::DomainGetBlockJobInfo>();
        assert!(asked.iter().all(|args| args.path == "vda"));
    })
    .await;
}
