//! `call` against a daemon, and its questions that need none.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::{Run, TEST, TestDriver, program, run};

#[test]
fn procedures_are_called_with_json() {
    let test = TestDriver::start();
    let call = |name: &str, arguments: &str| test.run(&["--json", "call", name, arguments]).json();
    let found = call(
        "DOMAIN_LOOKUP_BY_NAME",
        &json!({ "name": TEST }).to_string(),
    );
    let dom = &found["dom"];
    assert_eq!((&dom["name"], &dom["id"]), (&json!("test"), &json!(1)));

    let info = call("remote:16", &json!({ "dom": dom }).to_string());
    assert_eq!(
        (&info["maxMem"], &info["nrVirtCpu"]),
        (&json!(8_388_608), &json!(2))
    );

    let params = json!({ "dom": dom, "nparams": 1 }).to_string();
    let params = call("domain-get-scheduler-parameters", &params);
    let weight = json!({ "type": "uint", "value": 50 });
    assert_eq!(
        params["params"][0],
        json!({ "field": "weight", "value": weight })
    );

    let mut set = json!({ "dom": dom, "params": params["params"] });
    set["params"][0]["value"]["value"] = json!(70);
    let none = call("DOMAIN_SET_SCHEDULER_PARAMETERS", &set.to_string());
    assert_eq!(none, Value::Null);

    let shown = test.run(&["call", "NODE_GET_INFO"]);
    assert!(shown.text().contains("\"model\": \"i686\""), "{shown:?}");
}

#[test]
fn arguments_come_from_standard_input_too() {
    let test = TestDriver::start();
    let uri = test.daemon.uri(virtwire_lab::Driver::Test);
    let mut child = program(&["-c", &uri, "--json", "call", "DOMAIN_LOOKUP_BY_NAME", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"{\"name\":\"test\"}")
        .unwrap();
    let run = Run::new(&child.wait_with_output().unwrap());
    assert_eq!(run.json()["dom"]["name"], TEST);
}

#[test]
fn errors_of_the_daemon_are_told() {
    let test = TestDriver::start();
    let run = test.run(&["call", "DOMAIN_LOOKUP_BY_NAME", "{\"name\":\"nosuch\"}"]);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("(NO_DOMAIN, code 42)"), "{run:?}");
}

#[test]
fn every_procedure_is_listed() {
    let listed = run(&["--json", "call", "--list"]).json();
    let listed = listed.as_array().unwrap();
    let table = run(&["call", "--list"]);
    assert_eq!(table.text().lines().count(), listed.len() + 2);
    let pull = listed
        .iter()
        .find(|call| call["name"] == "DOMAIN_BLOCK_PULL")
        .unwrap();
    assert_eq!(
        pull,
        &json!({
            "program": "remote", "program_number": 0x2000_8086, "program_version": 1,
            "number": 240, "name": "DOMAIN_BLOCK_PULL", "kind": "call", "priority": "low",
            "stream": null, "since": "0.9.4",
        })
    );
    for (program, stream) in [("qemu", Value::Null), ("admin", Value::Null)] {
        assert!(
            listed
                .iter()
                .any(|call| call["program"] == program && call["stream"] == stream)
        );
    }
}

#[test]
fn layouts_are_described() {
    let text = run(&["call", "--describe", "DOMAIN_BLOCK_REBASE"]);
    for part in [
        "266 of program 0x20008086 version 1",
        "arguments: remote_domain_block_rebase_args",
        "uuid: UUID",
        "base: optional string",
        "bandwidth: unsigned hyper",
        "reply: none",
        "as JSON: {\"dom\":{\"name\":\"\",",
    ] {
        assert!(text.text().contains(part), "{part}: {text:?}");
    }
    let event = run(&["--json", "call", "--describe", "DOMAIN_EVENT_BLOCK_JOB_2"]).json();
    assert_eq!(
        (&event["kind"], &event["template"]),
        (&json!("event"), &Value::Null)
    );
    let value = run(&["call", "--describe", "DOMAIN_SET_SCHEDULER_PARAMETERS"]);
    assert!(
        value.text().contains("ullong (4): unsigned hyper"),
        "{value:?}"
    );
}

#[test]
fn what_cannot_be_called_is_wrong_usage() {
    for (arguments, part) in [
        (["NO_SUCH_THING", "{}"].as_slice(), "no procedure"),
        (&["DOMAIN_GET_INFO"], "its form is {\"dom\""),
        (&["DOMAIN_GET_INFO", "{}"], "dom is missing"),
        (&["DOMAIN_GET_INFO", "{"], "not JSON"),
        (&["CONNECT_GET_URI", "{\"x\":1}"], "takes no arguments"),
        (&["DOMAIN_EVENT_LIFECYCLE"], "is an event"),
        (&["STORAGE_VOL_UPLOAD", "{}"], "data stream"),
    ] {
        let run = run(&[["call"].as_slice(), arguments].concat());
        assert_eq!(run.status, 2, "{run:?}");
        assert!(run.stderr.contains(part), "{part}: {run:?}");
    }
}
