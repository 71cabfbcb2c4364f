//! Every way in which block-job calls are refused: code, domain and words, as libvirt has them.

use virtwire::constants::{
    DomainBlockCommitFlags as Commit, DomainBlockCopyFlags as Copy,
    DomainBlockJobAbortFlags as Abort, DomainBlockRebaseFlags as Rebase, ErrorCode, ErrorDomain,
};
use virtwire::remote::{self, TypedParam};
use virtwire_protocol::RemoteError;
use virtwire_sim::Image;
use virtwire_tests::paused_deadline;
use virtwire_xdr::Str;

use crate::guest::{Guest, SECOND, SIZE, xml};

/// Code and words; libvirt's own words for the code are left out.
#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, RemoteError>, code: ErrorCode, words: &str) {
    let error = answer.unwrap_err();
    let text = error.message.clone().unwrap();
    assert_eq!(error.code, code, "{text}");
    assert!(text.ends_with(words), "{text}");
}

impl Guest {
    async fn rebase(
        &mut self,
        base: Option<&str>,
        bandwidth: u64,
        flags: Rebase,
    ) -> Result<(), RemoteError> {
        let args = remote::DomainBlockRebaseArgs {
            dom: self.dom.clone(),
            path: Str::from("vda"),
            base: base.map(|base| Str::from(base.to_owned())),
            bandwidth,
            flags: flags.bits(),
        };
        self.call::<remote::DomainBlockRebase>(args).await
    }

    async fn commit(
        &mut self,
        top: Option<&'static str>,
        base: Option<&'static str>,
        flags: Commit,
    ) -> Result<(), RemoteError> {
        let mut args = self.commit_args(flags, 0);
        args.top = top.map(Str::from);
        args.base = base.map(Str::from);
        self.call::<remote::DomainBlockCommit>(args).await
    }
}

#[tokio::test(start_paused = true)]
async fn disks_and_images_that_are_not_there() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        let mut args = guest.pull_args(0);
        args.path = Str::from("vdz");
        let answer = guest.call::<remote::DomainBlockPull>(args).await;
        let error = answer.clone().unwrap_err();
        assert_eq!(error.domain, ErrorDomain::QEMU);
        refused(
            answer,
            ErrorCode::INVALID_ARG,
            "disk 'vdz' not found in domain",
        );
        let answer = guest.rebase(Some("/nope"), 0, Rebase::empty()).await;
        assert_eq!(answer.clone().unwrap_err().domain, ErrorDomain::STORAGE);
        let words = "could not find image '/nope' beneath '/vda-top' in chain for 'vda'";
        refused(answer, ErrorCode::INVALID_ARG, words);
        let answer = guest.rebase(Some("vda[77]"), 0, Rebase::empty()).await;
        let words = "could not find backing store index '77' in chain for 'vda'";
        refused(answer, ErrorCode::INVALID_ARG, words);
        let answer = guest.rebase(Some("vdb[2]"), 0, Rebase::empty()).await;
        let words = "requested target 'vdb' does not match target 'vda'";
        refused(answer, ErrorCode::INVALID_ARG, words);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn active_flag_in_the_wrong_place() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        let answer = guest.commit(None, None, Commit::empty()).await;
        let words = "commit of 'vda' active layer requires active flag";
        refused(answer, ErrorCode::INVALID_ARG, words);
        let answer = guest.commit(Some("/vda-mid"), None, Commit::ACTIVE).await;
        let words = "active commit requested but '/vda-mid' is not active";
        refused(answer, ErrorCode::INVALID_ARG, words);
        let answer = guest.commit(Some("/vda-base"), None, Commit::empty()).await;
        let words = "could not find base image in chain for 'vda'";
        refused(answer, ErrorCode::INVALID_ARG, words);
        let shallow = Commit::ACTIVE | Commit::SHALLOW;
        let answer = guest.commit(None, Some("/vda-base"), shallow).await;
        let words = "base '/vda-base' is not immediately below '/vda-top' in chain for '/vda-top'";
        refused(answer, ErrorCode::INVALID_ARG, words);
        let answer = guest.commit(Some("/vda-base"), None, Commit::SHALLOW).await;
        let words = "top '/vda-base' in chain for '/vda-top' has no backing file";
        refused(answer, ErrorCode::INVALID_ARG, words);
        let answer = guest.commit(Some("/vda-mid"), None, Commit::RELATIVE).await;
        let words = "can't keep relative backing relationship";
        refused(answer, ErrorCode::OPERATION_INVALID, words);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn busy_disk_is_busy_in_two_ways() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        let words = "disk 'vda' already in active block job";
        guest.pull(1).await.unwrap();
        refused(guest.pull(1).await, ErrorCode::OPERATION_UNSUPPORTED, words);
        refused(
            guest.active_commit(1).await,
            ErrorCode::OPERATION_UNSUPPORTED,
            words,
        );
        refused(guest.copy(0).await, ErrorCode::OPERATION_UNSUPPORTED, words);
        guest.abort(Abort::empty()).await.unwrap();
        guest.active_commit(1).await.unwrap();
        refused(guest.pull(1).await, ErrorCode::BLOCK_COPY_ACTIVE, words);
        refused(
            guest.active_commit(1).await,
            ErrorCode::BLOCK_COPY_ACTIVE,
            words,
        );
        refused(guest.copy(0).await, ErrorCode::BLOCK_COPY_ACTIVE, words);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn pivot_of_what_is_not_ready() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        // That it is ready is asked first, so a pull is refused in the same words.
        guest.pull(1).await.unwrap();
        let words = "block job 'pull-vda-libvirt-4-format' not ready for pivot yet";
        refused(
            guest.abort(Abort::PIVOT).await,
            ErrorCode::BLOCK_COPY_ACTIVE,
            words,
        );
        guest.abort(Abort::empty()).await.unwrap();
        guest.active_commit(1).await.unwrap();
        let words = "block job 'commit-vda-libvirt-4-format' not ready for pivot yet";
        refused(
            guest.abort(Abort::PIVOT).await,
            ErrorCode::BLOCK_COPY_ACTIVE,
            words,
        );
        // It is as it was.
        assert_eq!(guest.info().await.found, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn limits_that_do_not_fit() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        let words = "bandwidth must be less than 8796093022207";
        let most = 8_796_093_022_207;
        refused(guest.pull(most + 1).await, ErrorCode::OVERFLOW, words);
        refused(
            guest.active_commit(most + 1).await,
            ErrorCode::OVERFLOW,
            words,
        );
        let answer = guest.rebase(None, most + 1, Rebase::empty()).await;
        refused(answer, ErrorCode::OVERFLOW, words);
        refused(guest.set_speed(most + 1).await, ErrorCode::OVERFLOW, words);
        let mut args = guest.copy_args("/copy", 0);
        args.params = vec![TypedParam::new("bandwidth", u64::MAX).unwrap()];
        let answer = guest.call::<remote::DomainBlockCopy>(args).await;
        let words =
            "bandwidth must be less than '9223372036854775807' bytes/s (8796093022207 MiB/s)";
        refused(answer, ErrorCode::INVALID_ARG, words);
        guest.pull(most).await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn units_depend_on_the_call_and_its_flag() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        let in_mib = |guest: &Guest| remote::DomainGetBlockJobInfoArgs {
            flags: 0,
            ..guest.info_args()
        };
        let mut args = guest.pull_args(1_000_000);
        args.flags = 64;
        guest.ok::<remote::DomainBlockPull>(args).await;
        assert_eq!(guest.info().await.bandwidth, 1_000_000);
        let args = in_mib(&guest);
        let info = guest.ok::<remote::DomainGetBlockJobInfo>(args).await;
        assert_eq!(info.bandwidth, 1, "rounded up");
        guest.abort(Abort::empty()).await.unwrap();
        let args = guest.commit_args(Commit::ACTIVE | Commit::BANDWIDTH_BYTES, 5);
        guest.ok::<remote::DomainBlockCommit>(args).await;
        assert_eq!(guest.info().await.bandwidth, 5);
        guest.abort(Abort::empty()).await.unwrap();
        let mut args = guest.copy_args("/copy", 0);
        args.params = vec![TypedParam::new("bandwidth", 7_u64).unwrap()];
        guest.ok::<remote::DomainBlockCopy>(args).await;
        assert_eq!(guest.info().await.bandwidth, 7, "always bytes");
        guest.set_speed(0).await.unwrap();
        assert_eq!(guest.info().await.bandwidth, 0, "no limit");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn unknown_flags_are_refused_and_bits_differ_by_call() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        let mut args = guest.pull_args(0);
        args.flags = 1;
        let answer = guest.call::<remote::DomainBlockPull>(args).await;
        let words = "unsupported flags (0x1) in function qemuDomainBlockPull";
        refused(answer, ErrorCode::INVALID_ARG, words);
        let mut args = guest.commit_args(Commit::ACTIVE, 0);
        args.flags |= 64;
        let answer = guest.call::<remote::DomainBlockCommit>(args).await;
        let words = "unsupported flags (0x40) in function qemuDomainBlockCommit";
        refused(answer, ErrorCode::INVALID_ARG, words);
        let answer = guest.copy(1 << 20).await;
        let words = "unsupported flags (0x100000) in function qemuDomainBlockCopy";
        refused(answer, ErrorCode::INVALID_ARG, words);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn rebase_means_many_things() {
    paused_deadline(async {
        let mut guest = Guest::defined().await;
        let words = "use of flags requires a copy job";
        for flags in [
            Rebase::SHALLOW,
            Rebase::REUSE_EXT,
            Rebase::COPY_RAW,
            Rebase::COPY_DEV,
        ] {
            refused(
                guest.rebase(None, 0, flags).await,
                ErrorCode::INVALID_ARG,
                words,
            );
        }
        let answer = guest.rebase(None, 0, Rebase::RELATIVE).await;
        let words = "flag VIR_DOMAIN_BLOCK_REBASE_RELATIVE is valid only with non-null base";
        refused(answer, ErrorCode::INVALID_ARG, words);
        let answer = guest
            .rebase(Some("/copy"), 0, Rebase::COPY | Rebase::RELATIVE)
            .await;
        let words = "Relative backing during copy not supported yet";
        refused(answer, ErrorCode::ARGUMENT_UNSUPPORTED, words);
        // There is no way to say that the job is transient.
        let answer = guest.rebase(Some("/copy"), 0, Rebase::COPY).await;
        refused(
            answer,
            ErrorCode::OPERATION_INVALID,
            "domain is not transient",
        );
        let mut guest = Guest::new().await;
        guest
            .rebase(Some("/copy"), 0, Rebase::COPY | Rebase::COPY_RAW)
            .await
            .unwrap();
        guest.pass(SECOND * 3).await;
        assert_eq!(guest.events(), ["/vda-top COPY READY", "vda COPY READY"]);
        guest.abort(Abort::PIVOT).await.unwrap();
        assert_eq!(guest.chain(0).await, ["/copy"]);
        assert_eq!(guest.simulator.image("/copy").unwrap().format(), "raw");
        // Without a base and without COPY it is a pull.
        guest.rebase(None, 0, Rebase::empty()).await.unwrap();
        guest.pass(SECOND).await;
        assert!(guest.events().contains(&String::from("vda PULL COMPLETED")));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn copy_needs_a_transient_job_and_a_place() {
    paused_deadline(async {
        let mut guest = Guest::defined().await;
        refused(
            guest.copy(0).await,
            ErrorCode::OPERATION_INVALID,
            "domain is not transient",
        );
        let mut guest = Guest::new().await;
        let reuse = Copy::REUSE_EXT.bits();
        let words = "missing destination file for disk vda: /copy: No such file or directory";
        refused(guest.copy(reuse).await, ErrorCode::SYSTEM_ERROR, words);
        guest
            .simulator
            .put_image("/copy", Image::raw(SIZE))
            .unwrap();
        let words = "external destination file for disk vda already exists and is not a block \
                     device: /copy";
        refused(guest.copy(0).await, ErrorCode::CONFIG_UNSUPPORTED, words);
        guest.copy(reuse).await.unwrap();
        guest.abort(Abort::empty()).await.unwrap();
        let args = guest.copy_args("copy", 0);
        let answer = guest.call::<remote::DomainBlockCopy>(args).await;
        let words = "absolute path must be used as block copy target";
        refused(answer, ErrorCode::INVALID_ARG, words);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn copy_parameters_have_exact_types() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        for (params, code, words) in [
            (
                vec![TypedParam::new("bandwidth", 1_u32).unwrap()],
                ErrorCode::INVALID_ARG,
                "invalid type 'uint' for parameter 'bandwidth', expected 'ullong'",
            ),
            (
                vec![TypedParam::new("granularity", 1_u64).unwrap()],
                ErrorCode::INVALID_ARG,
                "invalid type 'ullong' for parameter 'granularity', expected 'uint'",
            ),
            (
                vec![TypedParam::new("granularity", 3_u32).unwrap()],
                ErrorCode::INVALID_ARG,
                "granularity must be power of 2",
            ),
            (
                vec![TypedParam::new("speed", 1_u64).unwrap()],
                ErrorCode::ARGUMENT_UNSUPPORTED,
                "parameter 'speed' not supported",
            ),
            (
                vec![TypedParam::new("buf-size", 1_u64).unwrap(); 2],
                ErrorCode::INVALID_ARG,
                "parameter 'buf-size' occurs multiple times",
            ),
        ] {
            let mut args = guest.copy_args("/copy", 0);
            args.params = params;
            refused(
                guest.call::<remote::DomainBlockCopy>(args).await,
                code,
                words,
            );
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn domain_that_does_not_run_has_no_jobs() {
    paused_deadline(async {
        let mut guest = Guest::defined().await;
        guest.destroy().await;
        let words = "domain is not running";
        let code = ErrorCode::OPERATION_INVALID;
        refused(guest.pull(0).await, code, words);
        refused(guest.copy(0).await, code, words);
        refused(guest.set_speed(0).await, code, words);
        refused(guest.abort(Abort::empty()).await, code, words);
        let args = guest.info_args();
        refused(
            guest.call::<remote::DomainGetBlockJobInfo>(args).await,
            code,
            words,
        );
        // Images are looked for first, and a definition does not name them.
        let words = "could not find base image in chain for 'vda'";
        refused(guest.active_commit(0).await, ErrorCode::INVALID_ARG, words);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn disk_without_job_says_so() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        let info = guest.info().await;
        assert_eq!(info, remote::DomainGetBlockJobInfoRet::default());
        let words = "disk vda does not have an active block job";
        refused(
            guest.abort(Abort::empty()).await,
            ErrorCode::INVALID_ARG,
            words,
        );
        refused(
            guest.abort(Abort::PIVOT).await,
            ErrorCode::INVALID_ARG,
            words,
        );
        refused(guest.set_speed(1).await, ErrorCode::INVALID_ARG, words);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn chains_that_bite_their_own_tail_are_not_followed_for_ever() {
    paused_deadline(async {
        let simulator = virtwire_sim::Simulator::builder()
            .image("/vda-top", Image::qcow2(SIZE).on("/vda-mid"))
            .image("/vda-mid", Image::qcow2(SIZE).on("/vda-top"))
            .start();
        let mut raw = crate::raw::Raw::open(&simulator, "qemu:///system").await;
        let args = remote::DomainCreateXmlArgs {
            xml_desc: Str::from(xml()),
            flags: 0,
        };
        let route = raw.start::<remote::DomainCreateXml>(&args).await;
        let kind = virtwire_protocol::header::MessageType::Reply;
        let error = raw.hear_error(route, kind).await;
        assert_eq!(error.code, ErrorCode::OPERATION_UNSUPPORTED);
    })
    .await;
}
