//! virsh's words: what they print and what they do.

use std::fs;

use serde_json::{Value, json};

use crate::{Run, TEST, TestDriver};

const UUID: &str = "6695eb01-f6a4-8304-79aa-97f2502e193f";

const XML: &str = "<domain type='test'><name>second</name><memory unit='KiB'>1024</memory>\
                   <title>a second one</title><os><type>hvm</type></os></domain>";

/// What stands on the lines, without the empty ones that virsh ends with, and without a figure
/// that grows.
fn lines(run: &Run) -> Vec<&str> {
    let lines = run.stdout.lines().map(str::trim_end);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with("CPU time:"))
        .collect()
}

#[track_caller]
fn assert_as_virsh(test: &TestDriver, arguments: &[&str]) {
    let ours = test.run(arguments);
    let theirs = test.virsh(arguments);
    assert_eq!(
        ours.status, theirs.status,
        "{arguments:?}: {ours:?} {theirs:?}"
    );
    assert_eq!(lines(&ours), lines(&theirs), "{arguments:?}");
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn file(test: &TestDriver, name: &str, text: &str) -> String {
    let path = test.daemon.images_dir().join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn questions_are_answered_as_virsh_does() {
    let test = TestDriver::start();
    let xml = file(&test, "second.xml", XML);
    test.run(&["define", &xml]).text();
    for line in [
        "list",
        "list --all",
        "list --inactive",
        "list --all --title",
        "list --all --name",
        "list --all --uuid",
        "list --all --id",
        "list --all --uuid --name --id",
        "list --state-shutoff",
        "list --all --state-paused",
        "list --all --persistent --no-autostart --without-snapshot --without-managed-save",
        "list --all --transient",
        "list --all --managed-save",
        "-q list --all",
        "domstate test",
        "domstate test --reason",
        "domstate second --reason",
        "domstate 1",
        "dominfo test",
        "dominfo second",
        "domblklist test",
        "domblklist test --details",
        "domblklist second",
        "dumpxml test",
        "dumpxml test --inactive",
        "dumpxml second --security-info",
    ] {
        assert_as_virsh(&test, &words(line));
    }
    assert_as_virsh(&test, &["domstate", UUID]);
}

#[test]
fn domains_live_and_die_as_with_virsh() {
    let test = TestDriver::start();
    let state = |domain: &str| test.virsh(&["domstate", domain]).stdout.trim().to_owned();
    let said = |line: &str| test.run(&words(line)).text().to_owned();

    assert_eq!(said("suspend test"), "Domain 'test' suspended\n");
    assert_eq!(state(TEST), "paused");
    assert_eq!(said("resume test"), "Domain 'test' resumed\n");
    assert_eq!(state(TEST), "running");
    assert_eq!(said("-q destroy test"), "");
    assert_eq!(state(TEST), "shut off");
    assert_eq!(said("start test"), "Domain 'test' started\n");
    assert_eq!(state(TEST), "running");
    assert_eq!(said("shutdown test"), "Domain 'test' is being shutdown\n");
    assert_eq!(state(TEST), "shut off");

    let xml = file(&test, "second.xml", XML);
    assert_eq!(
        said(&format!("define {xml}")),
        format!("Domain 'second' defined from {xml}\n")
    );
    assert_eq!(state("second"), "shut off");
    assert_eq!(
        said("undefine second"),
        "Domain 'second' has been undefined\n"
    );
    assert_eq!(
        said(&format!("create {xml}")),
        format!("Domain 'second' created from {xml}\n")
    );
    assert_eq!(state("second"), "running");
    said("destroy second");
    assert_ne!(test.run(&["domstate", "second"]).status, 0);
}

#[test]
fn json_documents_keep_their_form() {
    let test = TestDriver::start();
    let json = |line: &str| test.run(&words(line)).json();
    let identity = json!({ "id": 1, "name": "test", "uuid": UUID });
    let with = |fields: Value| {
        let mut document = identity.clone();
        document
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        document
    };
    let running = json!({ "state": "running", "reason": "unknown" });
    assert_eq!(json("--json list"), json!([with(running.clone())]));
    assert_eq!(json("list --name --json"), json!([identity]));
    assert_eq!(json("--json list --inactive"), json!([]));
    assert_eq!(json("--json domstate test"), with(running));
    assert_eq!(json("--json suspend test"), identity);
    assert_eq!(json("--json domstate test")["reason"], "user");
    assert_eq!(json("--json uri"), json!({ "uri": "test:///default" }));
    let version = json("--json version");
    assert_eq!(
        (&version["hypervisor"], &version["hypervisor_version"]),
        (&json!("TEST"), &json!("0.0.2"))
    );
    let info = json("--json dominfo test");
    assert_eq!(
        (&info["vcpus"], &info["max_memory_kib"]),
        (&json!(2), &json!(8_388_608))
    );
    assert_eq!(info["security"]["label"], "libvirt-test");
    let disk = &json("--json domblklist test")["disks"][0];
    assert_eq!(disk["target"], "vda");
    assert_eq!(
        disk["source"],
        json!({ "type": "file", "path": "/guest/diskimage1" })
    );
    assert_eq!(disk["backing_known"], false);
    assert!(
        json("--json dumpxml test")["xml"]
            .as_str()
            .unwrap()
            .starts_with("<domain")
    );
}

#[test]
fn errors_have_message_name_and_number() {
    let test = TestDriver::start();
    let run = test.run(&["domstate", "nosuch"]);
    assert_eq!((run.status, run.stdout.as_str()), (1, ""));
    assert!(
        run.stderr
            .starts_with("error: failed to get domain 'nosuch': "),
        "{run:?}"
    );
    assert!(run.stderr.ends_with("(NO_DOMAIN, code 42)\n"), "{run:?}");
    assert_eq!(run.stderr.lines().count(), 1);

    let run = test.run(&["--json", "blockjob", TEST, "vda"]);
    let error: Value = serde_json::from_str(&run.stderr).unwrap();
    assert_eq!((run.status, run.stdout.as_str()), (1, ""));
    assert_eq!(error["error"]["code"], 3);
    assert_eq!(error["error"]["code_name"], "NO_SUPPORT");
    assert_eq!(error["error"]["kind"], "remote");
    assert_eq!(error["error"]["execution"], "rejected");
    assert_eq!(error["error"]["object"], "vda of test");
}

#[test]
fn escape_characters_of_names_stay_visible() {
    let test = TestDriver::start();
    let run = test.run(&["domstate", "no\u{1b}[31mred"]);
    assert_eq!(run.status, 1);
    assert!(!run.stderr.contains('\u{1b}'), "{run:?}");
}

#[test]
fn read_only_connections_change_nothing() {
    let test = TestDriver::start();
    let run = test.run(&["-r", "destroy", TEST]);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("OPERATION_DENIED"), "{run:?}");
    assert_eq!(test.run(&["-r", "domstate", TEST]).text(), "running\n");
}

#[test]
fn default_uri_comes_from_the_environment() {
    let test = TestDriver::start();
    let uri = test.daemon.uri(virtwire_lab::Driver::Test);
    let output = crate::program(&["uri"])
        .env("LIBVIRT_DEFAULT_URI", uri)
        .output()
        .unwrap();
    assert_eq!(Run::new(&output).text(), "test:///default\n");
}
