//! virsh's block-job commands on a real guest and on a simulated one: the same answers, exit
//! statuses, XML and events.

use std::fs;

use virtwire_tests::deadline;

use crate::both::Both;

#[tokio::test]
async fn pull_is_the_same_by_virsh() {
    deadline(async {
        let both = Both::new().await;
        both.guest("pull");
        both.run(
            "create DIR/pull.xml
             dumpxml pull
             domblklist pull --details
             blockpull pull vda --bandwidth 1
             blockjob pull vda --info
             dumpxml pull
             blockpull pull vda
             blockcommit pull vda --active
             blockcopy pull vda DIR/pull-x.qcow2 --transient-job
             blockjob pull vda --pivot
             snapshot-create-as pull s1 --disk-only --no-metadata
             blockjob pull vda --abort
             dumpxml pull
             blockjob pull vda --info
             blockjob pull vda --abort
             blockjob pull vda --bandwidth 5
             blockjob pull vdz --abort
             blockpull pull vda --base DIR/nope.qcow2
             blockpull pull vda --base vda[7]
             blockpull pull vda --base vdb[1]
             blockpull pull vda --keep-relative
             blockpull pull vda --base vda[3] --keep-relative
             blockpull pull vda --bandwidth 9999999999999
             blockjob pull vda --bandwidth 9999999999999
             blockpull pull vda --base DIR/pull-mid.qcow2 --wait --verbose
             dumpxml pull
             blockpull pull DIR/pull-top.qcow2 --base vda[3] --bandwidth 1
             blockjob pull DIR/pull-top.qcow2 --info
             blockjob pull DIR/pull-mid.qcow2 --info
             blockjob pull vda --bandwidth 0
             sleep
             blockjob pull vda --info
             dumpxml pull
             blockpull pull vda --wait --verbose
             dumpxml pull
             blockpull pull vda --wait --verbose --timeout 5
             destroy pull",
        )
        .await;
        both.events().await;
    })
    .await;
}

#[tokio::test]
async fn active_commit_is_the_same_by_virsh() {
    deadline(async {
        let both = Both::new().await;
        both.guest("active");
        both.run(
            "define DIR/active.xml
             blockcommit active vda --active
             blockjob active vda --info
             blockjob active vda --abort
             blockjob active vda --bandwidth 1
             blockpull active vda
             start active
             blockcommit active vda
             blockcommit active vda --top DIR/active-mid.qcow2 --active
             blockcommit active vda --top DIR/active-mid.qcow2 --base DIR/active-top.qcow2
             blockcommit active vda --top DIR/active-base.qcow2
             blockcommit active vda --active --shallow --base DIR/active-base.qcow2
             blockcommit active vda --active --base vda[9]
             blockcommit active vda --active --base vdb[1]
             blockcommit active vda --active --bandwidth 9999999999999
             blockcommit active vda --active --bandwidth 1
             blockjob active vda --info
             blockjob active vda --pivot
             blockpull active vda
             blockcommit active vda --active
             dumpxml active
             blockjob active vda --bandwidth 0
             sleep
             blockjob active vda --info
             blockjob active vda --info --raw
             dumpxml active
             dumpxml active --inactive
             blockjob active vda --abort --async
             sleep
             dumpxml active
             blockcommit active vda --active --pivot --wait --verbose --base vda[2]
             dumpxml active
             dumpxml active --inactive
             blockcommit active vda --active --keep-overlay --wait --verbose
             dumpxml active
             blockcommit active vda --active --wait --verbose
             blockjob active vda --info
             blockjob active vda --abort
             blockjob active vda --abort
             blockcommit active vda --active --wait --verbose
             blockjob active vda --pivot
             dumpxml active
             dumpxml active --inactive
             blockcommit active vda --active
             destroy active
             undefine active",
        )
        .await;
        both.events().await;
    })
    .await;
}

#[tokio::test]
async fn inner_commit_is_the_same_by_virsh() {
    deadline(async {
        let both = Both::new().await;
        both.guest("inner");
        both.guest("delete");
        both.run(
            "define DIR/inner.xml
             start inner
             blockcommit inner vda --top DIR/inner-mid.qcow2 --wait --verbose
             dumpxml inner
             dumpxml inner --inactive
             create DIR/delete.xml
             blockcommit delete vda --top vda[2] --base vda[3] --delete --wait --verbose
             dumpxml delete
             blockcommit delete vda --active --delete --pivot --wait --verbose
             dumpxml delete
             destroy delete
             destroy inner
             undefine inner",
        )
        .await;
        for part in ["mid", "top"] {
            let path = both.path(&format!("delete-{part}.qcow2"));
            assert!(!path.exists());
            let simulator = &both.simulated.simulator;
            assert_eq!(simulator.image(path.to_str().unwrap()), None);
        }
        both.events().await;
    })
    .await;
}

#[tokio::test]
async fn copy_is_the_same_by_virsh() {
    deadline(async {
        let both = Both::new().await;
        both.guest("copy");
        let backed = "<disk type='file'><driver type='qcow2'/><source file='/y.qcow2'/>\
                      <backingStore type='file'><format type='qcow2'/>\
                      <source file='/z.qcow2'/></backingStore></disk>";
        fs::write(both.path("backed.xml"), backed).unwrap();
        let empty = "<disk type='file'><driver type='qcow2'/></disk>";
        fs::write(both.path("empty.xml"), empty).unwrap();
        fs::write(both.path("other.xml"), "<other/>").unwrap();
        both.run(
            "define DIR/copy.xml
             blockcopy copy vda DIR/copy-x.qcow2
             start copy
             blockcopy copy vda DIR/copy-x.qcow2
             blockcopy copy vda relative.qcow2 --transient-job
             blockcopy copy vda DIR/copy-no --blockdev --transient-job
             blockcopy copy vda --xml DIR/backed.xml --transient-job
             blockcopy copy vda --xml DIR/empty.xml --transient-job
             blockcopy copy vda --xml DIR/other.xml --transient-job
             blockcopy copy vda DIR/copy-x.qcow2 --transient-job --bandwidth 9999999999999
             blockcopy copy vda DIR/copy-x.qcow2 --transient-job --granularity 3
             blockcopy copy vda DIR/copy-x.qcow2 --transient-job --bandwidth 1
             blockjob copy vda --info
             dumpxml copy
             blockjob copy vda --pivot
             blockjob copy vda --bandwidth 0
             sleep
             blockjob copy vda --info
             dumpxml copy
             dumpxml copy --inactive
             blockjob copy vda --pivot
             dumpxml copy
             dumpxml copy --inactive
             blockcopy copy vda DIR/copy-x.qcow2 --transient-job
             blockcopy copy vda DIR/copy-y.qcow2 --transient-job --reuse-external
             blockcopy copy vda DIR/copy-y.qcow2 --transient-job --wait --verbose --finish
             dumpxml copy
             blockcopy copy vda DIR/copy-y.qcow2 --transient-job --reuse-external --wait --pivot
             dumpxml copy
             blockcopy copy vda DIR/copy-z.raw --format raw --transient-job --wait --verbose --pivot
             dumpxml copy
             dumpxml copy --inactive
             destroy copy
             undefine copy",
        )
        .await;
        both.events().await;
    })
    .await;
}

#[tokio::test]
async fn shallow_copy_and_rebase_are_the_same_by_virsh() {
    deadline(async {
        let both = Both::new().await;
        both.guest("shallow");
        both.guest("cancel");
        both.run(
            "create DIR/shallow.xml
             blockcopy shallow vda DIR/shallow-r.raw --format raw --shallow
             blockcopy shallow vda DIR/shallow-x.qcow2 --shallow --wait --verbose --pivot
             dumpxml shallow
             blockcopy shallow vda DIR/shallow-y.qcow2 --granularity 65536 --buf-size 1048576 --synchronous-writes --wait --verbose
             blockjob shallow vda --abort
             dumpxml shallow
             destroy shallow
             create DIR/cancel.xml
             blockcopy cancel vda DIR/cancel-x.qcow2 --bandwidth 1
             blockjob cancel vda --abort
             dumpxml cancel
             blockpull cancel vda --bandwidth 1
             destroy cancel",
        )
        .await;
        both.events().await;
    })
    .await;
}
