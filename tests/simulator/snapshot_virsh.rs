//! virsh's snapshot commands and what it says of disks, on a real guest and on a simulated one.

use virtwire_tests::deadline;

use crate::both::Both;

#[tokio::test]
async fn snapshots_are_the_same_by_virsh() {
    deadline(async {
        let both = Both::new().await;
        both.guest("snap");
        both.run(
            "define DIR/snap.xml
             start snap
             snapshot-create-as snap one --disk-only
             dumpxml snap
             dumpxml snap --inactive
             snapshot-list snap
             snapshot-info snap one
             snapshot-dumpxml snap one
             snapshot-create-as snap two --disk-only --diskspec vda,file=DIR/two.qcow2 --atomic
             snapshot-dumpxml snap two
             snapshot-list snap --tree
             snapshot-list snap --disk-only --external --parent
             snapshot-list snap --roots
             snapshot-list snap --leaves
             snapshot-list snap --no-leaves
             snapshot-list snap --internal
             snapshot-list snap --inactive
             snapshot-list snap --from one
             snapshot-parent snap two
             snapshot-parent snap one
             snapshot-current snap --name
             snapshot-create-as snap two --disk-only
             snapshot-create-as snap three --disk-only --diskspec vda,file=DIR/two.qcow2
             snapshot-create-as snap three --disk-only --diskspec vdz
             snapshot-create-as snap three --disk-only --quiesce
             snapshot-create-as snap three --disk-only --reuse-external --diskspec vda,file=DIR/no.qcow2
             snapshot-create-as snap three --disk-only --diskspec vda,snapshot=no
             snapshot-create-as snap a/b --disk-only
             snapshot-create-as snap .a --disk-only
             snapshot-create-as snap live --live --disk-only
             snapshot-create-as snap three --disk-only --no-metadata
             dumpxml snap
             dumpxml snap --inactive
             snapshot-revert snap one
             snapshot-delete snap nope --metadata
             snapshot-delete snap two --metadata
             snapshot-list snap
             snapshot-current snap --name
             blockcommit snap vda --active --shallow --pivot --wait --verbose
             dumpxml snap
             dumpxml snap --inactive
             snapshot-delete snap one --metadata --children
             snapshot-list snap
             snapshot-current snap --name
             destroy snap
             snapshot-create-as snap off --disk-only
             snapshot-list snap
             dumpxml snap
             undefine snap
             undefine snap --snapshots-metadata",
        )
        .await;
        both.events().await;
    })
    .await;
}

#[tokio::test]
async fn sizes_and_thresholds_are_the_same_by_virsh() {
    deadline(async {
        let both = Both::new().await;
        both.guest("size");
        both.run(
            "define DIR/size.xml
             blockresize size vda 600M
             domblkthreshold size vda 1G
             domblkinfo size vdz
             start size
             domblklist size --details
             domblkthreshold size vda 1G
             domblkthreshold size vda[2] 1000
             domblkthreshold size vda[9] 1000
             domblkthreshold size vdq 1000
             domblkinfo size vdz
             blockresize size vda 600M
             blockresize size vdz 600M
             blockpull size vda --wait
             destroy size
             undefine size",
        )
        .await;
        both.events().await;
    })
    .await;
}

#[tokio::test]
async fn disks_are_plugged_the_same_by_virsh() {
    deadline(async {
        let both = Both::new().await;
        both.guest("plug");
        both.guest("more");
        both.run(
            "define DIR/plug.xml
             attach-disk plug DIR/more-top.qcow2 vdb --subdriver qcow2 --live
             start plug
             attach-disk plug DIR/more-top.qcow2 vda --subdriver qcow2 --live
             attach-disk plug DIR/more-top.qcow2 vdb --subdriver qcow2 --live
             dumpxml plug
             dumpxml plug --inactive
             blockpull plug vdb --wait --verbose
             dumpxml plug
             attach-disk plug DIR/plug-x.qcow2 vdc --subdriver qcow2 --config
             dumpxml plug --inactive
             detach-disk plug vdc --config
             detach-disk plug vdq --live
             destroy plug
             undefine plug",
        )
        .await;
        both.events().await;
    })
    .await;
}
