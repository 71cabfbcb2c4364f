//! Checkpoints, backups and snapshots, as virsh does them.

use std::fs;

use serde_json::json;

use crate::twins::{Host, Twins};

#[test]
fn checkpoints_come_and_go_as_with_virsh() {
    let twins = Twins::start();
    twins.do_the_same(
        "checkpoint-list guest
         checkpoint-create-as guest one
         checkpoint-create-as guest two more --diskspec vda,checkpoint=bitmap
         checkpoint-create-as guest --name three --diskspec vda,checkpoint=bitmap,bitmap=b --diskspec vdb,checkpoint=no
         checkpoint-create-as guest three
         checkpoint-create-as guest four --diskspec vdz
         checkpoint-create-as guest --print-xml n<>& \"d\" vda,bitmap=,, vdb
         checkpoint-list guest
         checkpoint-list guest --parent
         checkpoint-list guest --name
         checkpoint-list guest --name --topological
         checkpoint-list guest --roots
         checkpoint-list guest --leaves
         checkpoint-list guest --no-leaves
         checkpoint-list guest --tree
         checkpoint-list guest --tree --from two
         checkpoint-list guest --from one
         checkpoint-list guest --from one --descendants --parent
         checkpoint-list guest --from nosuch
         checkpoint-info guest two
         checkpoint-info guest --checkpointname one
         checkpoint-info guest nosuch
         checkpoint-parent guest three
         checkpoint-parent guest one
         checkpoint-dumpxml guest three --no-domain
         checkpoint-dumpxml guest two
         checkpoint-delete guest two
         checkpoint-delete guest nosuch
         checkpoint-list guest --tree
         checkpoint-delete guest one --children-only
         checkpoint-delete guest one --metadata
         checkpoint-list guest",
    );
}

#[test]
fn checkpoints_are_objects_for_programs() {
    let host = Host::start();
    host.run("checkpoint-create-as guest one").text();
    let created = host.run("--json checkpoint-create-as guest two").json();
    assert_eq!(
        (&created["name"], &created["checkpoint"]),
        (&json!("guest"), &json!("two"))
    );
    let list = host.run("--json checkpoint-list guest").json();
    assert_eq!(list["checkpoints"][1]["checkpoint"], "two");
    assert_eq!(list["checkpoints"][1]["parent"], "one");
    assert!(list["checkpoints"][1]["created"].is_u64());
    let parent = host.run("checkpoint-parent guest one");
    assert_eq!(parent.status, 1);
    assert_eq!(parent.stderr, "error: checkpoint 'one' has no parent\n");
}

#[test]
fn backups_are_begun_as_with_virsh() {
    let twins = Twins::start();
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let backup = file(
        "backup",
        "<domainbackup mode='pull'><server transport='unix' socket='/x.sock'/><disks>\
         <disk name='vda' backup='yes' type='file'><scratch file='/scratch'/></disk>\
         <disk name='vdb' backup='no'/></disks></domainbackup>",
    );
    let checkpoint = file(
        "checkpoint",
        "<domaincheckpoint><name>one</name></domaincheckpoint>",
    );
    twins.do_the_same(&format!(
        "backup-dumpxml guest
         backup-begin guest {backup} --checkpointxml {checkpoint}
         backup-dumpxml guest
         checkpoint-list guest --name
         blockjob guest vda --abort
         backup-begin guest --reuse-external --backupxml {backup}
         checkpoint-create guest {checkpoint}"
    ));
}

#[test]
fn snapshots_are_taken_as_with_virsh() {
    let twins = Twins::start();
    twins.do_the_same(
        "snapshot-create-as guest one first --disk-only --diskspec vda,file=/a,,b --diskspec vdb,snapshot=no --atomic
         snapshot-create-as guest --name two --disk-only --no-metadata vda,snapshot=external,driver=qcow2,stype=file,file=/c vdb,file=/d --quiesce
         snapshot-create-as guest two --disk-only --diskspec vda,file=/e --reuse-external
         snapshot-create-as guest --print-xml --disk-only three text vda,stype=block,file=/dev/x vdb,driver=raw
         snapshot-create-as guest --print-xml --memspec /m,snapshot=external --name a'b
         snapshot-create-as guest x --disk-only --diskspec vdz,file=/y
         domblklist guest",
    );
    let bad = twins
        .ours
        .run("snapshot-create-as guest x --diskspec vda,size=1");
    assert_eq!(bad.status, 2);
    assert!(
        bad.stderr.contains("unable to parse diskspec: vda,size=1"),
        "{bad:?}"
    );
}
