//! Block jobs of a QEMU guest: each way that a pull can end has its own exit status.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, Stdio};

use serde_json::Value;
use virtwire_lab::guest::{self, Disk};
use virtwire_lab::{Daemon, Driver, image};

use crate::{Run, program, run_on, virsh};

/// Enough to be far from done when a throttled job is looked at.
const SIZE: u64 = 32 << 20;

/// A running guest with one disk on a base full of data.
pub(crate) struct Guest {
    pub(crate) daemon: Daemon,
}

impl Guest {
    pub(crate) fn start() -> Self {
        let daemon = Daemon::start().unwrap();
        let (base, top) = (
            daemon.images_dir().join("base"),
            daemon.images_dir().join("top"),
        );
        image::create_base(&base, SIZE, 1).unwrap();
        image::create_overlay(&top, &base).unwrap();
        let xml = guest::xml("guest", guest::domain_type(), &[Disk::new("vda", &top)]);
        let file = daemon.images_dir().join("guest.xml");
        std::fs::write(&file, xml).unwrap();
        run_on(&daemon, Driver::Qemu, &["create", file.to_str().unwrap()]).text();
        Self { daemon }
    }

    fn run(&self, arguments: &[&str]) -> Run {
        run_on(&self.daemon, Driver::Qemu, arguments)
    }

    /// Starts a command and waits until it has shown some progress.
    fn spawn(&self, arguments: &[&str]) -> (Child, BufReader<ChildStderr>) {
        let uri = self.daemon.uri(Driver::Qemu);
        let mut child = program(&[["-c", uri.as_str()].as_slice(), arguments].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        assert!(line.starts_with("Block Pull: ["), "{line}");
        (child, stderr)
    }

    fn layers(&self) -> usize {
        let document = self.run(&["--json", "domblklist", "guest"]).json();
        let disk = &document["disks"][0];
        assert_eq!(disk["backing_known"], true);
        disk["backing"].as_array().unwrap().len()
    }
}

fn finish(child: Child, mut stderr: impl Read) -> Run {
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    Run {
        stderr: rest,
        ..Run::new(&child.wait_with_output().unwrap())
    }
}

fn interrupt(child: &Child) {
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn completed_pull_says_so() {
    let guest = Guest::start();
    assert_eq!(guest.layers(), 1);
    let run = guest.run(&["blockpull", "guest", "vda", "--wait", "--verbose"]);
    assert_eq!(run.text(), "Pull complete\n");
    assert!(run.stderr.ends_with("Block Pull: [100 %]\n"), "{run:?}");
    assert_eq!(guest.layers(), 0);
}

#[test]
fn progress_is_one_object_per_line() {
    let guest = Guest::start();
    let run = guest.run(&[
        "--json",
        "blockpull",
        "guest",
        "vda",
        "--bandwidth",
        "20",
        "--wait",
    ]);
    let lines: Vec<Value> = run
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (end, progress) = lines.split_last().unwrap();
    assert!(!progress.is_empty());
    assert!(
        progress
            .iter()
            .all(|line| line["event"] == "progress" && line["disk"] == "vda")
    );
    assert!(progress.iter().any(|line| line["bandwidth"] == 20 << 20));
    assert_eq!(
        (&end["event"], &end["outcome"]),
        (&"end".into(), &"completed".into())
    );
    assert_eq!(
        (&end["name"], &end["disk"]),
        (&"guest".into(), &"vda".into())
    );
}

#[test]
fn interrupt_cancels_the_job() {
    let guest = Guest::start();
    let (child, stderr) = guest.spawn(&["blockpull", "guest", "vda", "--bandwidth", "1", "--wait"]);
    interrupt(&child);
    let run = finish(child, stderr);
    assert_eq!(
        (run.status, run.stdout.as_str()),
        (3, "Pull aborted\n"),
        "{run:?}"
    );
    assert_eq!(guest.layers(), 1);
    let info = guest.run(&["blockjob", "guest", "vda"]);
    assert_eq!(info.text(), "No current block job for vda\n");
}

#[test]
fn timeout_cancels_the_job() {
    let guest = Guest::start();
    let line = [
        "blockpull",
        "guest",
        "vda",
        "--bandwidth",
        "1",
        "--wait",
        "--timeout",
        "1",
    ];
    let run = guest.run(&line);
    assert_eq!(
        (run.status, run.stdout.as_str()),
        (3, "Pull aborted after 1 s\n"),
        "{run:?}"
    );
    assert_eq!(guest.layers(), 1);
}

#[test]
fn foreign_abort_is_told() {
    let guest = Guest::start();
    let (child, stderr) = guest.spawn(&["blockpull", "guest", "vda", "--bandwidth", "1", "--wait"]);
    assert_eq!(
        virsh(
            &guest.daemon,
            Driver::Qemu,
            &["blockjob", "guest", "vda", "--abort"]
        )
        .status,
        0
    );
    let run = finish(child, stderr);
    assert_eq!(
        (run.status, run.stdout.as_str()),
        (3, "Pull aborted by somebody else\n"),
        "{run:?}"
    );
}

#[test]
fn pull_of_a_destroyed_guest_has_vanished() {
    let guest = Guest::start();
    let (child, stderr) = guest.spawn(&["blockpull", "guest", "vda", "--bandwidth", "1", "--wait"]);
    guest.run(&["destroy", "guest"]).text();
    let run = finish(child, stderr);
    assert_eq!((run.status, run.stdout.as_str()), (5, ""), "{run:?}");
    assert!(
        run.stderr
            .contains("error: Pull vanished: the domain stopped"),
        "{run:?}"
    );
}

#[test]
fn pull_of_a_lost_daemon_has_vanished() {
    let mut guest = Guest::start();
    let (child, stderr) = guest.spawn(&["blockpull", "guest", "vda", "--bandwidth", "1", "--wait"]);
    guest.daemon.kill().unwrap();
    let run = finish(child, stderr);
    assert_eq!((run.status, run.stdout.as_str()), (5, ""), "{run:?}");
    assert!(
        run.stderr
            .contains("error: Pull vanished: the connection was lost"),
        "{run:?}"
    );
}

#[test]
fn pull_that_cannot_start_is_an_error() {
    let guest = Guest::start();
    let run = guest.run(&["blockpull", "guest", "vdz", "--wait"]);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("(INVALID_ARG, code 8)"), "{run:?}");
    let run = guest.run(&["blockpull", "guest", "vda", "--bandwidth", "99999999999999"]);
    assert_eq!(run.status, 2, "{run:?}");
}

#[test]
fn job_is_shown_limited_and_ended_as_with_virsh() {
    let guest = Guest::start();
    let line = [
        "blockpull",
        "guest",
        "vda",
        "--bandwidth",
        "524288",
        "--bytes",
    ];
    assert_eq!(guest.run(&line).text(), "Block Pull started\n");
    let busy = guest.run(&line);
    assert!(
        busy.status == 1 && busy.stderr.contains("(OPERATION_UNSUPPORTED, code 84)"),
        "{busy:?}"
    );

    let summary = guest.run(&["blockjob", "guest", "vda"]);
    let limit = "    Bandwidth limit: 524288 bytes/s (512.000 KiB/s)\n";
    assert!(summary.text().starts_with("Block Pull: ["), "{summary:?}");
    assert!(summary.text().ends_with(limit), "{summary:?}");

    assert_eq!(
        guest
            .run(&["blockjob", "guest", "vda", "--bandwidth", "2"])
            .text(),
        ""
    );
    // The figures grow between the two questions, so the first two lines have to do.
    let head = |run: &Run| {
        run.stdout
            .lines()
            .take(2)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    for line in [
        ["blockjob", "guest", "vda", "--raw"].as_slice(),
        &["blockjob", "guest", "vda", "--raw", "--bytes"],
    ] {
        let theirs = virsh(&guest.daemon, Driver::Qemu, line);
        assert_eq!(head(&guest.run(line)), head(&theirs));
    }
    let document = guest.run(&["--json", "blockjob", "guest", "vda"]).json();
    assert_eq!(document["job"]["type"], "pull");
    assert_eq!(document["job"]["bandwidth"], 2 << 20);

    let pivot = guest.run(&["blockjob", "guest", "vda", "--pivot"]);
    assert!(
        pivot.status == 1 && pivot.stderr.contains("code 83"),
        "{pivot:?}"
    );
    assert_eq!(
        guest.run(&["blockjob", "guest", "vda", "--abort"]).text(),
        ""
    );
    let document = guest.run(&["--json", "blockjob", "guest", "vda"]).json();
    assert_eq!(document["job"], Value::Null);
    assert_eq!(guest.layers(), 1);
}
