//! Backups that are waited for.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use virtwire_sim::BlockJobFault;

use crate::Run;
use crate::twins::{Host, MIB};

const PUSH: &str = "<domainbackup><disks>\
    <disk name='vda' backup='yes' type='file'><target file='/backup'/></disk>\
    <disk name='vdb' backup='no'/></disks></domainbackup>";

const PULL: &str = "<domainbackup mode='pull'><server transport='unix' socket='/x.sock'/><disks>\
    <disk name='vda' backup='yes' type='file'><scratch file='/scratch'/></disk>\
    <disk name='vdb' backup='no'/></disks></domainbackup>";

fn file(xml: &str) -> (TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("backup.xml");
    fs::write(&path, xml).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

#[test]
fn a_backup_is_waited_for() {
    let host = Host::start();
    let (_directory, xml) = file(PUSH);
    let run = host.run(&format!("backup-begin guest {xml} --wait --verbose"));
    assert_eq!(run.text(), "Backup complete\n", "{run:?}");
    assert!(run.stderr.ends_with("Backup: [100 %]\n"), "{run:?}");
    assert!(host.simulator.image("/backup").is_some());
}

#[test]
fn a_backup_that_takes_too_long_is_cancelled() {
    let host = Host::with_throughput(MIB);
    let (_directory, xml) = file(PUSH);
    let run = host.run(&format!(
        "--json backup-begin guest {xml} --wait --timeout 1"
    ));
    let lines = run.stdout.lines();
    let lines: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (end, progress) = lines.split_last().unwrap();
    assert!(progress.iter().any(|line| line["end"].is_u64()), "{run:?}");
    assert_eq!(
        (&end["outcome"], &end["stopped_by"]),
        (&"cancelled".into(), &"timeout".into())
    );
    assert_eq!(run.status, 3, "{run:?}");
}

#[test]
fn a_backup_that_fails_says_so() {
    let host = Host::start();
    host.disk("vda")
        .plan(BlockJobFault::no_space_at(0.5))
        .unwrap();
    let (_directory, xml) = file(PUSH);
    let run = host.run(&format!("backup-begin guest {xml} --wait"));
    assert_eq!((run.status, run.stdout.as_str()), (4, ""), "{run:?}");
    assert!(run.stderr.contains("error: Backup failed: "), "{run:?}");
}

#[test]
fn a_backup_that_is_fetched_is_ended_by_an_interrupt() {
    let host = Host::start();
    let (_directory, xml) = file(PULL);
    let child = host
        .command(&format!("backup-begin guest {xml} --wait"))
        .spawn()
        .unwrap();
    let start = Instant::now();
    while host.virsh("backup-dumpxml guest").status != 0 {
        assert!(start.elapsed() < Duration::from_secs(30));
        thread::sleep(Duration::from_millis(20));
    }
    let killed = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(killed.unwrap().success());
    let run = Run::new(&child.wait_with_output().unwrap());
    assert_eq!(run.text(), "Backup complete\n", "{run:?}");
}

#[test]
fn the_job_of_a_domain_is_ended_as_by_virsh() {
    let host = Host::start();
    let (_directory, xml) = file(PULL);
    host.run(&format!("backup-begin guest {xml}")).text();
    assert_eq!(host.run("domjobabort guest").text(), "");
    assert_ne!(host.run("backup-dumpxml guest").status, 0);
    let run = host.run("domjobabort guest");
    assert!(
        run.status == 1 && run.stderr.contains("(OPERATION_INVALID, code 55)"),
        "{run:?}"
    );
}
