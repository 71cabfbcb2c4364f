//! Snapshots of simulated guests, and thresholds and sizes of their disks.

use virtwire::constants::{
    DomainBlockCommitFlags as Commit, DomainBlockJobAbortFlags as Abort, DomainXmlFlags, ErrorCode,
};
use virtwire::remote;
use virtwire_protocol::RemoteError;
use virtwire_sim::Image;
use virtwire_tests::paused_deadline;
use virtwire_xdr::Str;

use crate::guest::{Guest, MIB, SECOND, SIZE, TOP};

const INACTIVE: u32 = DomainXmlFlags::INACTIVE.bits();

/// DISK_ONLY, ATOMIC and NO_METADATA.
const USUAL: u32 = 16 | 128 | 4;

impl Guest {
    async fn snapshot(&mut self, xml: &str, flags: u32) -> Result<String, RemoteError> {
        let args = remote::DomainSnapshotCreateXmlArgs {
            dom: self.dom.clone(),
            xml_desc: Str::from(xml.to_owned()),
            flags,
        };
        let ret = self.call::<remote::DomainSnapshotCreateXml>(args).await?;
        Ok(ret.snap.name.to_string_lossy().into_owned())
    }

    async fn snapshots(&mut self) -> Vec<String> {
        let args = remote::DomainListAllSnapshotsArgs {
            dom: self.dom.clone(),
            need_results: 1,
            flags: 0,
        };
        let ret = self.ok::<remote::DomainListAllSnapshots>(args).await;
        let names = ret.snapshots.iter().map(|snap| snap.name.to_string_lossy());
        names.map(String::from).collect()
    }

    async fn threshold(&mut self, device: &str, bytes: u64) -> Result<(), RemoteError> {
        let args = remote::DomainSetBlockThresholdArgs {
            dom: self.dom.clone(),
            dev: Str::from(device.to_owned()),
            threshold: bytes,
            flags: 0,
        };
        self.call::<remote::DomainSetBlockThreshold>(args).await
    }

    async fn sizes(&mut self) -> remote::DomainGetBlockInfoRet {
        let args = remote::DomainGetBlockInfoArgs {
            dom: self.dom.clone(),
            path: Str::from("vda"),
            flags: 0,
        };
        self.ok::<remote::DomainGetBlockInfo>(args).await
    }
}

fn named(name: &str) -> String {
    format!("<domainsnapshot><name>{name}</name></domainsnapshot>")
}

#[tokio::test(start_paused = true)]
async fn snapshot_and_commit_come_back_to_where_they_began() {
    paused_deadline(async {
        let mut guest = Guest::defined().await;
        guest.snapshot(&named("new"), USUAL).await.unwrap();
        let longer = ["/vda-top.new", "/vda-top", "/vda-mid", "/vda-base"];
        assert_eq!(guest.chain(0).await, longer);
        assert_eq!(guest.chain(INACTIVE).await, longer[..2]);
        assert!(guest.snapshots().await.is_empty(), "no metadata was wanted");
        assert_eq!(
            guest.simulator.image("/vda-top.new").unwrap().backing(),
            Some("/vda-top")
        );

        guest.disk().write(8 * MIB).unwrap();
        let args = guest.commit_args(Commit::ACTIVE | Commit::SHALLOW | Commit::DELETE, 0);
        guest.ok::<remote::DomainBlockCommit>(args).await;
        guest.pass(SECOND).await;
        assert_eq!(guest.figures().await, (8 * MIB, 8 * MIB));
        guest.abort(Abort::PIVOT).await.unwrap();
        assert_eq!(guest.chain(0).await, longer[1..]);
        assert_eq!(guest.chain(INACTIVE).await, longer[1..2]);
        assert_eq!(
            guest.simulator.image("/vda-top").unwrap().data(),
            TOP + 8 * MIB
        );
        assert_eq!(guest.simulator.image("/vda-top.new"), None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn snapshots_stand_on_each_other() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        for name in ["one", "two"] {
            guest.snapshot(&named(name), 16).await.unwrap();
        }
        assert_eq!(guest.snapshots().await, ["one", "two"]);
        let snap = remote::NonnullDomainSnapshot {
            name: Str::from("two"),
            dom: guest.dom.clone(),
        };
        let args = remote::DomainSnapshotGetParentArgs {
            snap: snap.clone(),
            flags: 0,
        };
        let parent = guest.ok::<remote::DomainSnapshotGetParent>(args).await;
        assert_eq!(parent.snap.name, "one");
        let args = remote::DomainSnapshotGetXmlDescArgs {
            snap: snap.clone(),
            flags: 0,
        };
        let xml = guest.ok::<remote::DomainSnapshotGetXmlDesc>(args).await.xml;
        let xml = xml.to_string_lossy();
        assert!(xml.contains("<state>disk-snapshot</state>"), "{xml}");
        assert!(xml.contains("<source file='/vda-top.two'/>"), "{xml}");
        let args = remote::DomainSnapshotDeleteArgs { snap, flags: 2 };
        guest.ok::<remote::DomainSnapshotDelete>(args).await;
        assert_eq!(guest.snapshots().await, ["one"]);
        assert_eq!(guest.chain(0).await.len(), 5, "only the metadata is gone");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn snapshots_that_cannot_be_are_refused_and_change_nothing() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        let before = guest.chain(0).await;
        guest.snapshot(&named("there"), 16).await.unwrap();
        let disks = |disks: &str| {
            format!("<domainsnapshot><name>x</name><disks>{disks}</disks></domainsnapshot>")
        };
        let refusals = [
            (named("there"), 16, ErrorCode::OPERATION_FAILED),
            (named("a/b"), 16, ErrorCode::XML_DETAIL),
            (named(".a"), 16, ErrorCode::XML_DETAIL),
            (
                disks("<disk name='vdz'/>"),
                16,
                ErrorCode::CONFIG_UNSUPPORTED,
            ),
            (
                disks("<disk name='vda'><source file='/vdb-mid'/></disk>"),
                16,
                ErrorCode::CONFIG_UNSUPPORTED,
            ),
            (
                disks("<disk name='vda'><source file='/none'/></disk>"),
                16 | 32,
                ErrorCode::SYSTEM_ERROR,
            ),
            (
                disks("<disk name='vda' snapshot='no'/><disk name='vdb' snapshot='no'/>"),
                16,
                ErrorCode::CONFIG_UNSUPPORTED,
            ),
            (named("x"), 16 | 64, ErrorCode::ARGUMENT_UNSUPPORTED),
            (named("x"), 64, ErrorCode::INVALID_ARG),
            (named("x"), 16 | 256, ErrorCode::OPERATION_UNSUPPORTED),
        ];
        for (xml, flags, code) in refusals {
            let error = guest.snapshot(&xml, flags).await.unwrap_err();
            assert_eq!(error.code, code, "{xml}: {error}");
        }
        assert_eq!(guest.snapshots().await, ["there"]);
        assert_eq!(guest.chain(0).await[1..], before);
        assert_eq!(guest.simulator.image("/vdb-top.x"), None);
        guest.pull(1).await.unwrap();
        let error = guest.snapshot(&named("x"), 16).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::OPERATION_UNSUPPORTED);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn reused_image_and_left_out_disk() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        let image = Image::qcow2(SIZE).on("/vda-top");
        guest.simulator.put_image("/mine", image).unwrap();
        let xml = "<domainsnapshot><disks><disk name='vdb' snapshot='no'/>\
                   <disk name='vda'><source file='/mine'/></disk></disks></domainsnapshot>";
        guest.snapshot(xml, USUAL | 32).await.unwrap();
        assert_eq!(guest.chain(0).await[0], "/mine");
        let live = guest.xml(0).await;
        assert!(
            live.contains("<source file='/vdb-top' index='1'/>"),
            "{live}"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn thresholds_are_told_of_when_they_are_passed() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        guest.threshold("vda", TOP + 10 * MIB).await.unwrap();
        guest.threshold("vdb[1]", TOP + MIB).await.unwrap();
        guest.disk().set_guest_writes(MIB).unwrap();
        guest.pass(SECOND * 9).await;
        assert!(guest.events().is_empty());
        guest.pass(SECOND * 2).await;
        let bytes = TOP + 10 * MIB;
        let told = [
            format!("threshold vda {bytes} Some(\"/vda-top\")"),
            format!("threshold vda[4] {bytes} Some(\"/vda-top\")"),
        ];
        assert_eq!(guest.events(), told);
        guest.domain().disk("vdb").write(2 * MIB).unwrap();
        guest.pass(SECOND * 100).await;
        let bytes = TOP + MIB;
        let told = [format!("threshold vdb[1] {bytes} Some(\"/vdb-top\")")];
        assert_eq!(guest.events(), told, "each is told of once");
        let error = guest.threshold("vda[9]", 1).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::INVALID_ARG);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn commit_passes_the_threshold_of_its_base() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        guest.threshold("vda[6]", 600 * MIB).await.unwrap();
        guest.active_commit(32).await.unwrap();
        guest.pass(SECOND * 2).await;
        assert!(guest.events().is_empty());
        guest.pass(SECOND).await;
        let bytes = 600 * MIB;
        let told = [format!("threshold vda[6] {bytes} Some(\"/vda-base\")")];
        assert_eq!(guest.events(), told);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sizes_follow_what_is_written_and_resized() {
    paused_deadline(async {
        let mut guest = Guest::defined().await;
        let before = guest.sizes().await;
        assert_eq!(before.capacity, SIZE);
        guest.disk().set_guest_writes(MIB).unwrap();
        guest.pass(SECOND * 10).await;
        let now = guest.sizes().await;
        assert_eq!(now.allocation, before.allocation + 10 * MIB);
        let args = remote::DomainBlockResizeArgs {
            dom: guest.dom.clone(),
            disk: Str::from("vda"),
            size: 2 * SIZE / 1024,
            flags: 0,
        };
        guest.ok::<remote::DomainBlockResize>(args).await;
        assert_eq!(guest.sizes().await.capacity, 2 * SIZE);
        guest.destroy().await;
        let after = guest.sizes().await;
        assert_eq!(
            (after.capacity, after.allocation),
            (2 * SIZE, now.allocation)
        );
    })
    .await;
}
