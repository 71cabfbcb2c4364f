//! Events of a real daemon: what virsh does is told to both programs.

use std::fs;

use virtwire_lab::{Daemon, Driver};

use super::Pair;
use crate::block_job::Guest;
use crate::{TestDriver, virsh};

/// What happens on a real daemon while both programs listen.
struct Story<'a> {
    daemon: &'a Daemon,
    driver: Driver,
    /// What both are asked to listen to.
    arguments: &'a str,
    /// What is done again and again until both hear of it, and what they hear then.
    waiting: (&'a str, &'a str),
    /// What begins what is compared, and its line.
    first: (&'a str, &'a str),
    /// What is done then.
    deeds: &'a str,
    /// What ends it, and its line.
    last: (&'a str, &'a str),
}

impl Story<'_> {
    /// Has it happen; the lines of both.
    #[track_caller]
    fn tell(&self) -> Vec<String> {
        let pair = Pair::start(&self.daemon.uri(self.driver), self.arguments);
        // virsh takes a whole script for one argument.
        let act = |script: &str| virsh(self.daemon, self.driver, &[script]);
        let (deed, line) = self.waiting;
        pair.wait_until_registered(line, || {
            act(deed);
        });
        for script in [self.first.0, self.deeds, self.last.0] {
            let run = act(script);
            assert_eq!(run.stderr, "", "{script}");
        }
        pair.same(self.first.1, self.last.1)
    }
}

/// Files that define things of these names; the directory they are in.
fn files(daemon: &Daemon, names: &[&str], xml: impl Fn(&str) -> String) -> String {
    let directory = daemon.images_dir();
    for name in names {
        fs::write(directory.join(name), xml(name)).unwrap();
    }
    directory.to_str().unwrap().to_owned()
}

fn domain(name: &str) -> String {
    format!(
        "<domain type='test'><name>{name}</name><memory>1024</memory>\
         <os><type>hvm</type></os></domain>"
    )
}

#[track_caller]
fn assert_kinds(lines: &[String], kinds: &[&str]) {
    for kind in kinds {
        let part = format!("event '{kind}' ");
        assert!(
            lines.iter().any(|line| line.starts_with(&part)),
            "{kind}: {lines:#?}"
        );
    }
}

#[test]
fn lives_of_domains() {
    let test = TestDriver::start();
    let directory = files(&test.daemon, &["one", "two", "three"], domain);
    let lines = Story {
        daemon: &test.daemon,
        driver: Driver::Test,
        arguments: "event --all --loop",
        waiting: (
            "desc test waiting",
            "event 'metadata-change' for domain 'test'",
        ),
        first: (&format!("define {directory}/one"), "domain 'one'"),
        deeds: &format!(
            "suspend test; resume test; desc test other; desc test --title title; \
             metadata test urn:x --key k --set <app/>; \
             shutdown test; start test; destroy test; start test; \
             managedsave test; start test; save test {directory}/saved; \
             restore {directory}/saved; snapshot-create-as test s1; suspend test; \
             snapshot-revert test s1; snapshot-revert test s1 --paused; \
             create {directory}/two; destroy two; undefine one"
        ),
        last: (&format!("define {directory}/three"), "domain 'three'"),
    }
    .tell();
    assert_kinds(&lines, &["lifecycle", "metadata-change"]);
    assert!(lines.len() > 20, "{lines:#?}");
}

#[test]
fn events_of_one_domain() {
    let test = TestDriver::start();
    let directory = files(&test.daemon, &["one"], domain);
    let lines = Story {
        daemon: &test.daemon,
        driver: Driver::Test,
        arguments: "event --domain test --event lifecycle --loop",
        waiting: ("suspend test; resume test", "domain 'test': Resumed"),
        first: ("destroy test", "Stopped Destroyed"),
        deeds: &format!(
            "create {directory}/one; suspend one; start test; destroy one; suspend test"
        ),
        last: ("shutdown test", "Stopped Shutdown"),
    }
    .tell();
    assert!(
        lines.iter().all(|line| line.contains("domain 'test'")),
        "{lines:#?}"
    );
}

#[test]
fn networks() {
    let test = TestDriver::start();
    let xml = |name: &str| format!("<network><name>{name}</name></network>");
    let directory = files(&test.daemon, &["one", "two", "three"], xml);
    let default = test.virsh(&["net-dumpxml", "default"]);
    files(&test.daemon, &["default"], |_| default.text().to_owned());
    let deeds = format!(
        "net-start one; net-destroy one; net-create {directory}/two; net-destroy two; \
         net-define {directory}/default; net-start default; net-destroy default"
    );
    let mut story = Story {
        daemon: &test.daemon,
        driver: Driver::Test,
        arguments: "net-event --event lifecycle --loop",
        waiting: (
            "net-destroy default; net-start default",
            "network default: Started",
        ),
        first: (
            &format!("net-define {directory}/one; net-destroy default"),
            "network one: Defined",
        ),
        deeds: &deeds,
        last: (
            &format!("net-define {directory}/three"),
            "network three: Defined",
        ),
    };
    assert_eq!(story.tell().len(), 9);
    test.virsh(&["net-undefine three"]).text();
    story.arguments = "net-event --network default --event lifecycle --loop";
    let (deed, line) = (
        "net-destroy default; net-undefine default",
        "network default: Undefined",
    );
    story.first = (deed, line);
    story.last = ("net-undefine default", "network default: Undefined");
    assert_eq!(story.tell().len(), 4);
}

#[test]
fn storage_pools() {
    let test = TestDriver::start();
    let directory = files(&test.daemon, &["one", "two", "three"], |name| {
        format!("<pool type='dir'><name>{name}</name><target><path>/{name}</path></target></pool>")
    });
    let lines = Story {
        daemon: &test.daemon,
        driver: Driver::Test,
        arguments: "pool-event --event lifecycle --loop",
        waiting: (
            "pool-destroy default-pool; pool-start default-pool",
            "storage pool default-pool: Started",
        ),
        first: (
            &format!("pool-define {directory}/one"),
            "storage pool one: Defined",
        ),
        deeds: &format!(
            "pool-build one; pool-start one; pool-refresh one; pool-destroy one; \
             pool-delete one; pool-undefine one; pool-create {directory}/two"
        ),
        last: (
            &format!("pool-define {directory}/three"),
            "storage pool three: Defined",
        ),
    }
    .tell();
    assert_eq!(lines.len(), 7, "{lines:#?}");

    test.virsh(&["pool-start", "three"]).text();
    let lines = Story {
        daemon: &test.daemon,
        driver: Driver::Test,
        arguments: "pool-event --event refresh --loop",
        waiting: ("pool-refresh default-pool", "refresh"),
        first: ("pool-refresh two", "storage pool two"),
        deeds: "pool-refresh default-pool; pool-destroy default-pool; pool-refresh two",
        last: ("pool-refresh three", "storage pool three"),
    }
    .tell();
    assert_eq!(lines.len(), 3, "{lines:#?}");
}

#[test]
fn node_devices() {
    let test = TestDriver::start();
    let directory = files(&test.daemon, &["port"], |_| {
        "<device><parent>scsi_host1</parent><capability type='scsi_host'>\
         <capability type='fc_host'><wwnn>2000000012341234</wwnn><wwpn>1000000012341234</wwpn>\
         </capability></capability></device>"
            .to_owned()
    });
    let cycle = format!("nodedev-create {directory}/port; nodedev-destroy scsi_host12");
    let lines = Story {
        daemon: &test.daemon,
        driver: Driver::Test,
        arguments: "nodedev-event --event lifecycle --loop",
        waiting: (&cycle, "node device scsi_host12: Deleted"),
        first: (
            "nodedev-destroy scsi_host2",
            "node device scsi_host2: Deleted",
        ),
        deeds: &cycle,
        last: (
            "nodedev-destroy scsi_host11",
            "node device scsi_host11: Deleted",
        ),
    }
    .tell();
    assert_eq!(lines.len(), 3, "{lines:#?}");
}

#[test]
fn secrets() {
    let daemon = Daemon::start().unwrap();
    let uuid = |name: &str| format!("{name}0000000-0000-0000-0000-000000000000");
    let directory = files(&daemon, &["1", "2", "3"], |name| {
        let uuid = uuid(name);
        format!("<secret><uuid>{uuid}</uuid><description>{name}</description></secret>")
    });
    let cycle = format!("secret-define {directory}/1; secret-undefine {}", uuid("1"));
    let first = format!("secret-define {directory}/2");
    let last = format!("secret-define {directory}/3");
    let (first_line, last_line) = (
        format!("{}: Defined", uuid("2")),
        format!("{}: Defined", uuid("3")),
    );
    let lines = Story {
        daemon: &daemon,
        driver: Driver::Qemu,
        arguments: "secret-event --event lifecycle --loop",
        waiting: (&cycle, "Undefined"),
        first: (&first, &first_line),
        deeds: &cycle,
        last: (&last, &last_line),
    }
    .tell();
    assert_eq!(lines.len(), 3, "{lines:#?}");
}

#[test]
fn monitor_and_jobs_of_a_guest() {
    let guest = Guest::start();
    // A guest without a system does nothing about it.
    let powerdown = ("shutdown guest --mode acpi", "event POWERDOWN ");
    let lines = Story {
        daemon: &guest.daemon,
        driver: Driver::Qemu,
        arguments: "qemu-monitor-event --domain guest --loop",
        waiting: ("suspend guest; resume guest", "event RESUME "),
        first: powerdown,
        deeds: "suspend guest; resume guest; blockpull guest vda --bandwidth 100 --wait",
        last: powerdown,
    }
    .tell();
    for name in ["STOP", "RESUME", "BLOCK_JOB_COMPLETED"] {
        let head = format!("event {name} at ");
        assert!(
            lines.iter().any(|line| line.starts_with(&head)),
            "{name}: {lines:#?}"
        );
    }

    let guest = Guest::start();
    let lines = Story {
        daemon: &guest.daemon,
        driver: Driver::Qemu,
        arguments: "event --all --loop",
        waiting: ("desc guest waiting --live", "event 'metadata-change'"),
        first: (
            "suspend guest",
            "event 'lifecycle' for domain 'guest': Suspended Paused",
        ),
        deeds: "resume guest; blockpull guest vda --wait; desc guest other --live",
        last: (
            "destroy guest",
            "event 'lifecycle' for domain 'guest': Stopped Destroyed",
        ),
    }
    .tell();
    assert_kinds(
        &lines,
        &["lifecycle", "block-job", "block-job-2", "metadata-change"],
    );
}
