//! `blockjobs`: the jobs of all domains.

use std::io::{BufRead, BufReader};
use std::process::Command;

use serde_json::Value;

use crate::Run;
use crate::twins::{Host, MIB};

#[test]
fn jobs_of_all_domains_are_listed() {
    let host = Host::start();
    let none = host.run("blockjobs");
    assert_eq!(none.text().lines().count(), 2, "{none:?}");
    host.run("blockpull guest vda --bandwidth 1").text();
    let list = host.run("blockjobs");
    let row = list.text().lines().nth(2).unwrap();
    for word in ["guest", "vda", "Block Pull", "1.0 MiB/s", "running"] {
        assert!(row.contains(word), "{row}");
    }
    let jobs = host.run("--json blockjobs --domain guest").json();
    let [job] = jobs.as_array().unwrap().as_slice() else {
        panic!("{jobs}");
    };
    assert_eq!(
        (&job["name"], &job["disk"]),
        (&"guest".into(), &"vda".into())
    );
    assert_eq!(job["job"]["type"], "pull");
    assert_eq!(job["job"]["bandwidth"], MIB);
    assert_eq!(job["state"], "running");
    assert_eq!(host.run("blockjobs --domain nosuch").status, 1);
}

#[test]
fn jobs_are_watched_from_beginning_to_end() {
    let host = Host::start();
    let mut child = host
        .command("--json blockjobs --watch --timeout 60")
        .spawn()
        .unwrap();
    host.run("blockpull guest vda --bandwidth 4").text();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    let first = next();
    assert_eq!(
        (&first["disk"], &first["state"]),
        (&"vda".into(), &"running".into())
    );
    // A speed takes two figures that are some time apart.
    let later = std::iter::repeat_with(&mut next).find(|line| line["rate"].is_u64());
    let current = |line: &Value| line["job"]["current"].as_u64();
    assert!(current(&later.unwrap()) > current(&first));
    host.run("blockjob guest vda --abort").text();
    let last = loop {
        let line = next();
        if line["state"] != "running" {
            break line;
        }
    };
    assert_eq!(last["state"], "cancelled");
    let pid = child.id().to_string();
    let killed = Command::new("kill").args(["-INT", &pid]).status();
    assert!(killed.unwrap().success());
    let end = next();
    assert_eq!(
        (&end["event"], &end["stopped_by"]),
        (&"end".into(), &"interrupt".into())
    );
    assert!(child.wait().unwrap().success());
}

#[test]
fn tables_are_repeated_where_no_terminal_is() {
    let host = Host::start();
    host.run("blockpull guest vdb --bandwidth 1").text();
    let output = host
        .command("blockjobs --watch --timeout 3")
        .output()
        .unwrap();
    let run = Run::new(&output);
    let tables = run.text().split("\n\n").count();
    assert!((2..=5).contains(&tables), "{run:?}");
    assert!(!run.stdout.contains('\x1b'));
}
