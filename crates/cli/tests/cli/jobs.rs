//! Commits, copies and pulls of a simulated guest: what virsh does with them, every way that they
//! can end, and several disks at once.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use virtwire::RemoteError;
use virtwire::constants::{ErrorCode, ErrorDomain};
use virtwire::remote::DomainFsfreeze;
use virtwire_sim::BlockJobFault;

use crate::Run;
use crate::twins::{Host, MIB, Twins, lines};

/// A host whose jobs take seconds.
fn slow() -> Host {
    Host::with_throughput(4 * MIB)
}

/// The documents that a command has printed, one a line.
fn documents(run: &Run) -> Vec<Value> {
    let lines = run.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Starts a command and waits until it has shown some progress.
fn spawn(host: &Host, line: &str) -> Child {
    let mut child = host.command(line).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.as_mut().unwrap());
    let mut progress = String::new();
    stderr.read_line(&mut progress).unwrap();
    assert!(progress.contains(" %]"), "{progress}");
    child
}

fn finish(child: Child) -> Run {
    Run::new(&child.wait_with_output().unwrap())
}

fn interrupt(child: &Child) {
    let pid = child.id().to_string();
    let killed = Command::new("kill").args(["-INT", &pid]).status();
    assert!(killed.unwrap().success());
}

#[test]
fn commits_are_made_as_with_virsh() {
    let twins = Twins::start();
    twins.do_the_same(
        "blockcommit guest vda --active --wait --verbose
         blockjob guest vda --raw
         blockjob guest vda --raw --bytes
         blockcommit guest vda --active
         blockjob guest vda --pivot
         blockjob guest vda
         blockcommit guest vdb --top vdb[2] --wait
         blockcommit guest vdb --pivot
         blockjob guest vdb --abort",
    );
    let twins = Twins::start();
    twins.do_the_same(
        "blockcommit guest vda --active --shallow --pivot --verbose
         blockcommit guest vda --active --shallow --keep-overlay
         blockcommit guest vda --active --base /vda-base --pivot --delete
         blockcommit guest vdb --top /vdb-mid --base /vdb-base --bandwidth 2000 --wait --timeout 50
         blockcommit guest vdb --active --bandwidth 1000000 --bytes
         blockjob guest vdb --bandwidth 5
         blockjob guest vdb --abort --async
         blockcommit guest vdz --active --wait
         blockcommit guest vdb --active --base /nosuch --pivot
         blockcommit nosuch vda --active",
    );
}

#[test]
fn copies_are_made_as_with_virsh() {
    let twins = Twins::start();
    let directory = tempfile::tempdir().unwrap();
    let xml = directory.path().join("disk.xml");
    let text = "<disk type='file'><driver type='qcow2'/><source file='/three'/></disk>";
    std::fs::write(&xml, text).unwrap();
    let xml = xml.display();
    twins.do_the_same(&format!(
        "blockcopy guest vda /one --wait --verbose --transient-job
         blockjob guest vda --abort
         blockjob guest vda
         blockcopy guest vda --dest /two --format qcow2 --transient-job --pivot
         domblklist guest
         blockcopy guest vda --xml {xml} --transient-job --finish --bandwidth 500
         blockcopy guest vda --dest /four --format raw --transient-job --bytes --bandwidth 1000000 \
             --granularity 65536 --buf-size 1048576
         blockcopy guest vda --dest /five --transient-job
         blockcopy guest vdb --dest /six --format qcow2 --shallow --synchronous-writes --transient-job --timeout 50
         blockjob guest vdb --pivot
         blockcopy guest vdb --dest /seven --format qcow2 --wait
         blockcopy guest vdz --dest /eight --format qcow2 --transient-job
         blockcopy guest vda --dest /e&<> --format qcow2 --print-xml
         blockcopy guest vda --dest /dev/x --blockdev --format raw --print-xml
         blockcopy guest vda --xml {xml} --print-xml"
    ));
}

#[test]
fn pulls_are_made_as_with_virsh() {
    let twins = Twins::start();
    twins.do_the_same(
        "blockpull guest vda --base vda[3] --wait --verbose
         blockpull guest vda --wait
         blockpull guest vdb --bandwidth 1
         blockpull guest vdb
         blockjob guest vdb --pivot
         blockjob guest vdb --abort
         blockpull guest vdz
         domblklist guest",
    );
}

#[test]
fn progress_of_a_commit_is_shown_as_by_virsh() {
    let twins = Twins::start();
    let line = "blockcommit guest vda --active --pivot --verbose";
    let (ours, theirs) = (twins.ours.run(line), twins.theirs.virsh(line));
    let theirs = theirs.stderr.replace('\r', "\n");
    let last = |text: &str| lines(text).last().map(|line| (*line).to_owned());
    assert_eq!(last(&ours.stderr), last(&theirs));
}

#[test]
fn a_job_that_is_ready_goes_on() {
    let host = Host::start();
    let run = host.run("blockcopy guest vda /copy --transient-job --wait");
    assert_eq!(run.text(), "Now in mirroring phase\n");
    let run = host.run("blockcommit guest vdb --active --timeout 60");
    assert_eq!(run.text(), "Now in synchronized phase\n");
    let jobs = host.run("--json blockjobs").json();
    assert_eq!(
        (&jobs[0]["state"], &jobs[1]["state"]),
        (&"ready".into(), &"ready".into())
    );
}

#[test]
fn each_end_has_its_own_status() {
    let host = Host::start();
    let json = |line: &str| {
        let run = host.run(&format!("--json {line}"));
        let end = documents(&run).pop().unwrap();
        assert_eq!(end["event"], "end", "{run:?}");
        (run.status, end["outcome"].as_str().unwrap().to_owned(), end)
    };
    let (status, outcome, _) = json("blockcopy guest vda /a --transient-job --finish");
    assert_eq!((status, outcome.as_str()), (0, "finished"));
    let (status, outcome, end) = json("blockcopy guest vda /b --transient-job --pivot");
    assert_eq!((status, outcome.as_str()), (0, "pivoted"));
    assert_eq!(end["next_start"], "new_image");
    let (status, outcome, _) = json("blockcommit guest vdb --top vdb[2] --wait");
    assert_eq!((status, outcome.as_str()), (0, "completed"));
    host.disk("vdb")
        .plan(BlockJobFault::no_space_at(0.5))
        .unwrap();
    let (status, outcome, _) = json("blockcommit guest vdb --active --pivot");
    assert_eq!((status, outcome.as_str()), (4, "failed"));
    let error = "of a pivot".to_owned();
    host.disk("vdb")
        .plan(BlockJobFault::FailPivot { error })
        .unwrap();
    let (status, outcome, _) = json("blockcommit guest vdb --active --pivot");
    assert_eq!((status, outcome.as_str()), (4, "failed"));
    let (status, outcome, _) = json("blockcommit guest vdb --active --wait");
    assert_eq!((status, outcome.as_str()), (0, "ready"));
}

#[test]
fn interrupt_cancels_a_commit() {
    let host = slow();
    let child = spawn(&host, "blockcommit guest vda --active --pivot");
    interrupt(&child);
    let run = finish(child);
    assert_eq!(
        (run.status, run.stdout.as_str()),
        (3, "Commit aborted\n"),
        "{run:?}"
    );
    let info = host.run("blockjob guest vda");
    assert_eq!(info.text(), "No current block job for vda\n");
}

#[test]
fn timeout_cancels_a_copy() {
    let host = slow();
    let line = "blockcopy guest vda /copy --transient-job --pivot --timeout 1";
    let run = host.run(line);
    assert_eq!(
        (run.status, run.stdout.as_str()),
        (3, "Copy aborted after 1 s\n"),
        "{run:?}"
    );
    let run = host.run(&line.replace("/copy", "/other --async"));
    let text = "Copy is being aborted; not waiting for its end\n";
    assert_eq!((run.status, run.stdout.as_str()), (3, text), "{run:?}");
}

#[test]
fn job_of_a_guest_that_dies_has_vanished() {
    let host = slow();
    let child = spawn(&host, "blockcommit guest vda --active --pivot");
    host.simulator.domain("guest").unwrap().crash().unwrap();
    let run = finish(child);
    assert_eq!((run.status, run.stdout.as_str()), (5, ""), "{run:?}");
    assert!(
        run.stderr
            .contains("error: Commit vanished: the domain stopped"),
        "{run:?}"
    );
}

#[test]
fn several_disks_are_pivoted_together() {
    let host = Host::start();
    let run = host.run("blockcommit guest vda vdb --active --pivot");
    let text = "vda: Successfully pivoted\nvdb: Successfully pivoted\n";
    assert_eq!(run.text(), text);
    assert!(
        run.stderr.contains("Block commit vda: [100 %]\n"),
        "{run:?}"
    );
    assert!(
        run.stderr.contains("Block commit vdb: [100 %]\n"),
        "{run:?}"
    );
    let list = host.run("domblklist guest");
    assert!(
        list.text().contains("/vda-base") && list.text().contains("/vdb-base"),
        "{list:?}"
    );

    let run = host.run("--json blockcopy guest vda /a vdb /b --transient-job --pivot");
    assert_eq!(run.status, 0, "{run:?}");
    let ends: Vec<_> = documents(&run)
        .into_iter()
        .filter(|document| document["event"] == "end")
        .map(|end| (end["disk"].clone(), end["outcome"].clone()))
        .collect();
    let pivoted = |disk: &str| (Value::from(disk), Value::from("pivoted"));
    assert_eq!(ends, [pivoted("vda"), pivoted("vdb")]);
}

#[test]
fn one_disk_that_fails_takes_the_others_back() {
    let host = Host::start();
    host.disk("vdb")
        .plan(BlockJobFault::no_space_at(0.5))
        .unwrap();
    let run = host.run("blockcommit guest vda vdb --active --pivot");
    assert_eq!(
        (run.status, run.stdout.as_str()),
        (4, "vda: Commit aborted since another disk failed\n"),
        "{run:?}"
    );
    assert!(
        run.stderr.contains("error: vdb: Commit failed\n"),
        "{run:?}"
    );
    let list = host.run("domblklist guest");
    assert!(list.text().contains("/vda-top"), "{list:?}");

    let run = host.run("blockpull guest vda vdz");
    assert_eq!(run.status, 1, "{run:?}");
    assert!(
        run.stderr
            .contains("cannot start the job on vdz, so none goes on: "),
        "{run:?}"
    );
    let info = host.run("blockjob guest vda");
    assert_eq!(info.text(), "No current block job for vda\n");
}

#[test]
fn pulls_of_several_disks_are_apart() {
    let host = Host::start();
    host.disk("vda")
        .plan(BlockJobFault::no_space_at(0.5))
        .unwrap();
    let run = host.run("blockpull guest vda vdb --wait");
    assert_eq!(
        (run.status, run.stdout.as_str()),
        (4, "vdb: Pull complete\n"),
        "{run:?}"
    );
}

#[test]
fn a_guest_is_frozen_while_it_is_pivoted() {
    let host = Host::start();
    let refusal = RemoteError::new(ErrorCode::AGENT_UNRESPONSIVE, ErrorDomain::QEMU, "asleep");
    host.simulator.fail_next::<DomainFsfreeze>(refusal);
    let line = "blockcommit guest vda vdb --active --pivot --quiesce";
    let run = host.run(line);
    assert_eq!((run.status, run.stdout.as_str()), (1, ""), "{run:?}");
    let message = "error: nothing is pivoted: asleep (AGENT_UNRESPONSIVE, code 86)\n";
    assert!(run.stderr.ends_with(message), "{run:?}");
    let jobs = host.run("--json blockjobs").json();
    assert_eq!(
        (&jobs[0]["state"], &jobs[1]["state"]),
        (&"ready".into(), &"ready".into())
    );
    for disk in ["vda", "vdb"] {
        host.run(&format!("blockjob guest {disk} --abort")).text();
    }
    assert_eq!(host.run(line).text().lines().count(), 2);
    // It is thawed again.
    assert_eq!(
        host.run("domfsfreeze guest").text(),
        "Froze 2 filesystem(s)\n"
    );
}

#[test]
fn a_job_is_described_as_by_virsh() {
    let twins = Twins::start();
    for line in [
        "blockcommit guest vda --active --wait",
        "blockpull guest vdb --bandwidth 1 --bytes",
    ] {
        assert_eq!(
            (twins.ours.run(line).status, twins.theirs.virsh(line).status),
            (0, 0)
        );
    }
    for line in ["blockjob guest vda", "blockjob guest vdb --info --bytes"] {
        let (ours, theirs) = (twins.ours.run(line), twins.theirs.virsh(line));
        // virsh has the half of it on standard error.
        let theirs = [theirs.stderr, theirs.stdout].concat().replace('\r', "");
        assert_eq!(lines(ours.text()), lines(&theirs), "{line}");
    }
}

#[test]
fn abort_by_others_is_told() {
    let host = slow();
    let child = spawn(&host, "blockcopy guest vda /copy --transient-job --wait");
    thread::sleep(Duration::from_millis(100));
    host.run("blockjob guest vda --abort").text();
    let run = finish(child);
    assert_eq!(
        (run.status, run.stdout.as_str()),
        (3, "Copy aborted by somebody else\n"),
        "{run:?}"
    );
}
