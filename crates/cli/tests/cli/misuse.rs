//! Wrong usage, unreachable daemons, readers that go away.

use std::io::Read;
use std::process::Stdio;

use crate::{program, run};

#[test]
fn wrong_usage_has_a_status_of_its_own() {
    for arguments in [
        ["nosuchcommand"].as_slice(),
        &[],
        &["domstate"],
        &["list", "--table", "--name"],
        &["blockpull", "guest", "vda", "--verbose"],
    ] {
        assert_eq!(run(arguments).status, 2, "{arguments:?}");
    }
    assert_eq!(run(&["--version"]).status, 0);
    assert!(run(&["help", "blockpull"]).text().contains("--bandwidth"));
}

#[test]
fn unreachable_daemons_are_errors() {
    let run_at = |uri: &str| run(&["-c", uri, "list"]);
    let missing = run_at("qemu:///system?socket=/nonexistent/sock");
    assert_eq!(missing.status, 1);
    assert!(missing.stderr.contains("/nonexistent/sock"), "{missing:?}");
    assert_eq!(missing.stderr.lines().count(), 1, "{missing:?}");
    for uri in [
        "no uri",
        "qemu://system",
        "qemu+carrier-pigeon:///system",
        "qemu+ssh://h/system",
    ] {
        let run = run_at(uri);
        assert_eq!(run.status, 1, "{run:?}");
        assert!(run.stderr.starts_with("error: "), "{run:?}");
    }
    let file = run(&["-c", "test:///default", "define", "/nonexistent.xml"]);
    assert_eq!(file.status, 1);
}

#[test]
fn reader_that_goes_away_ends_the_command_quietly() {
    let mut child = program(&["call", "--list"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert_eq!(
        (child.wait().unwrap().code(), stderr.as_str()),
        (Some(141), "")
    );
}
