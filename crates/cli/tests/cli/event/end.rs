//! How a wait for events ends, and what is said then.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use virtwire::event::DomainEventKind as Kind;
use virtwire::remote::NonnullDomain;
use virtwire_protocol::event::Message;

use super::{Listening, Pair, Simulated, words};
use crate::{Run, program, run};

/// Has the guest's clock set until the programs hear of it.
fn ticking(simulated: &Simulated) -> impl Fn() {
    let domain = simulated.simulator.domain("guest").unwrap();
    move || domain.emit(&Kind::RtcChange { offset: 1 }).unwrap()
}

fn listen(simulated: &Simulated, arguments: &str) -> Listening {
    Listening::ours(&simulated.uri(), arguments)
}

fn documents(run: &Run) -> Vec<Value> {
    let lines = run.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn without_loop_one_event_is_enough() {
    let simulated = Simulated::start();
    let pair = Pair::start(&simulated.uri(), "event --event rtc-change");
    for listening in [pair.virsh, pair.ours] {
        listening.wait_until_registered("rtc-change", ticking(&simulated));
        let run = listening.finish();
        assert_eq!(
            (run.status, run.stdout.trim_end()),
            (0, "events received: 1"),
            "{run:?}"
        );
    }
}

#[test]
fn time_that_is_up_is_a_success_if_something_came() {
    let simulated = Simulated::start();
    let pair = Pair::start(&simulated.uri(), "event --all --loop --timeout 1");
    for listening in [pair.virsh, pair.ours] {
        let run = listening.finish();
        let said = (run.status, run.stdout.trim_end());
        assert_eq!(
            said,
            (1, "event loop timed out\nevents received: 0"),
            "{run:?}"
        );
    }
    let pair = Pair::start(
        &simulated.uri(),
        "event --event rtc-change --loop --timeout 2",
    );
    pair.wait_until_registered("rtc-change", ticking(&simulated));
    for listening in [pair.virsh, pair.ours] {
        let run = listening.finish();
        assert_eq!(run.status, 0, "{run:?}");
        assert!(
            run.stdout
                .contains("event loop timed out\nevents received: "),
            "{run:?}"
        );
    }
}

#[test]
fn interrupt_ends_the_wait_and_the_registrations() {
    let simulated = Simulated::start();
    let pair = Pair::start(&simulated.uri(), "event --event rtc-change --loop");
    pair.wait_until_registered("rtc-change", ticking(&simulated));
    assert_eq!(simulated.simulator.connections(), 2);
    for listening in [pair.virsh, pair.ours] {
        listening.interrupt();
        let run = listening.finish();
        assert_eq!(run.status, 0, "{run:?}");
        let end = "event loop interrupted\nevents received: ";
        assert!(run.stdout.contains(end), "{run:?}");
        assert_eq!(run.stderr, "", "{run:?}");
    }
    assert_eq!(simulated.simulator.registrations(), 0);
}

#[test]
fn interrupt_before_anything_came_is_a_failure() {
    let simulated = Simulated::start();
    let ours = listen(&simulated, "event --event rtc-change --loop");
    // Registered, though nothing happens.
    while simulated.simulator.registrations() < 2 {
        std::thread::sleep(Duration::from_millis(10));
    }
    ours.interrupt();
    let run = ours.finish();
    let end = "event loop interrupted\nevents received: 0\n";
    assert_eq!((run.status, run.stdout.as_str()), (1, end), "{run:?}");
}

#[test]
fn count_is_the_number_of_events() {
    let simulated = Simulated::start();
    let ours = listen(&simulated, "event --event rtc-change --count 3");
    ours.wait_until_registered("rtc-change", ticking(&simulated));
    let tick = ticking(&simulated);
    (0..9).for_each(|_| tick());
    let run = ours.finish();
    assert_eq!(run.status, 0, "{run:?}");
    let line = "event 'rtc-change' for domain 'guest': 1\n";
    assert_eq!(run.stdout, format!("{line}{line}events received: 3\n"));

    let ours = listen(
        &simulated,
        "event --event rtc-change --loop --count 9 --timeout 2",
    );
    ours.wait_until_registered("rtc-change", ticking(&simulated));
    let run = ours.finish();
    assert_eq!(run.status, 1, "fewer came than were asked for: {run:?}");
}

#[test]
fn timestamps_are_virshs() {
    let simulated = Simulated::start();
    let pair = Pair::start(
        &simulated.uri(),
        "event --event rtc-change --timestamp --loop",
    );
    pair.wait_until_registered("rtc-change", ticking(&simulated));
    ticking(&simulated)();
    let digits_aside = |line: String| -> String {
        line.chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect()
    };
    let (ours, theirs) = (pair.ours.line(), pair.virsh.line());
    // The same minute, unless one has just begun.
    assert!(ours[..16] == theirs[..16] || ours[17..19] < *"05" || theirs[17..19] < *"05");
    let expected = "0000-00-00 00:00:00.000+0000: event 'rtc-change' for domain 'guest': 0";
    assert_eq!(digits_aside(ours), expected);
    assert_eq!(digits_aside(theirs), expected);
}

#[test]
fn kinds_are_listed_without_a_daemon() {
    let list = |command: &str| {
        let nowhere = "test:///default?socket=/nonexistent/sock";
        run(&["-c", nowhere, command, "--list"])
    };
    assert_eq!(list("net-event").text(), "lifecycle\nmetadata-change\n");
    assert_eq!(list("pool-event").text(), "lifecycle\nrefresh\n");
    assert_eq!(list("nodedev-event").text(), "lifecycle\nupdate\n");
    assert_eq!(list("secret-event").text(), "lifecycle\nvalue-changed\n");
    let simulated = Simulated::start();
    let virsh = Listening::virsh(&simulated.uri(), "event --list").finish();
    let ours = list("event");
    // virsh has an empty line behind them, and knows none of later releases.
    assert!(ours.text().starts_with(virsh.stdout.trim_end()), "{ours:?}");
    let json = run(&["--json", "secret-event", "--list"]).json();
    assert_eq!(json, json!(["lifecycle", "value-changed"]));
}

#[test]
fn kinds_that_there_are_not_are_wrong_usage() {
    let run = run(&[
        "-c",
        "test:///nonexistent",
        "event",
        "--event",
        "reboot,bored",
    ]);
    assert_eq!(run.status, 2, "{run:?}");
    assert!(run.stderr.contains("unknown event type bored"), "{run:?}");
}

#[test]
fn objects_that_there_are_not_are_errors() {
    let simulated = Simulated::start();
    for arguments in [
        "event --all --domain nosuch",
        "net-event --event lifecycle --network nosuch",
        "net-event --event lifecycle --network 11111111-2222-3333-4444-555555555556",
        "pool-event --all --pool nosuch",
        "qemu-monitor-event --domain nosuch",
    ] {
        let uri = simulated.uri();
        let run = run(&[&["-c", &uri], words(arguments).as_slice()].concat());
        assert_eq!((run.status, run.stdout.as_str()), (1, ""), "{run:?}");
        assert!(run.stderr.starts_with("error: failed to get "), "{run:?}");
    }
    assert_eq!(simulated.simulator.registrations(), 0);
}

#[test]
fn every_event_is_an_object_on_a_line() {
    let simulated = Simulated::start();
    let ours = listen(&simulated, "--json event --all --loop --count 2");
    ours.wait_until_registered("rtc-change", ticking(&simulated));
    let domain = simulated.simulator.domain("guest").unwrap();
    domain.emit(&Kind::VcpuRemoved { vcpu: 7 }).unwrap();
    let run = ours.finish();
    assert_eq!(run.status, 0, "{run:?}");
    let mut documents = documents(&run);
    let end = documents.pop().unwrap();
    assert_eq!(
        end,
        json!({ "event": "end", "received": 2, "stopped_by": null })
    );
    let mut event = documents.pop().unwrap();
    let time = event["time"].take();
    let time = time.as_str().unwrap();
    assert!(
        time.ends_with('Z') && time.len() == "2026-01-01T00:00:00.000000Z".len(),
        "{time}"
    );
    let uuid = "11111111-2222-3333-4444-555555555555";
    let guest = json!({ "id": 1, "name": "guest", "uuid": uuid });
    let expected = json!({
        "event": "vcpu-removed",
        "time": null,
        "domain": guest,
        "vcpu": 7,
    });
    assert_eq!(event, expected);
}

#[test]
fn lost_connection_is_an_error() {
    let simulated = Simulated::start();
    for json in ["", "--json "] {
        let ours = listen(
            &simulated,
            &format!("{json}event --event rtc-change --loop"),
        );
        ours.wait_until_registered("rtc-change", ticking(&simulated));
        simulated.simulator.restart();
        let run = ours.finish();
        assert_eq!(run.status, 1, "{run:?}");
        if json.is_empty() {
            assert!(
                run.stderr.starts_with("error: connection is closed: "),
                "{run:?}"
            );
        } else {
            let error: Value = serde_json::from_str(&run.stderr).unwrap();
            assert_eq!(error["error"]["kind"], "closed");
        }
    }
}

#[test]
fn reader_that_goes_away_ends_the_wait_quietly() {
    let simulated = Simulated::start();
    let uri = simulated.uri();
    let arguments = ["-c", &uri, "event", "--event", "rtc-change", "--loop"];
    let mut child = program(&arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let tick = ticking(&simulated);
    let status = loop {
        tick();
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (status.code(), output.stderr.as_slice()),
        (Some(141), [].as_slice())
    );
}

/// Has more happen than fits into pipe and queue while nobody reads; what was said of it then.
fn flood(arguments: &str) -> Run {
    const EVENTS: u64 = 20_000;
    let simulated = Simulated::start();
    let uri = simulated.uri();
    let mut command = program(&[&["-c", &uri], words(arguments).as_slice()].concat());
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while simulated.simulator.registrations() < 2 {
        std::thread::sleep(Duration::from_millis(10));
    }
    let domain = simulated.simulator.domain("guest").unwrap();
    for number in 0..EVENTS {
        let offset = i64::try_from(number).unwrap();
        domain.emit(&Kind::RtcChange { offset }).unwrap();
        // The daemon cuts off who does not take what it sends.
        if number % 500 == 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    std::thread::sleep(Duration::from_millis(500));
    assert!(
        child.try_wait().unwrap().is_none(),
        "it waits for its reader"
    );
    Run::new(&child.wait_with_output().unwrap())
}

#[test]
fn slow_reader_is_told_what_it_missed() {
    let run = flood("--json event --event rtc-change --loop --timeout 3");
    assert_eq!(run.status, 0, "{}", run.stderr);
    let documents = documents(&run);
    let missed: Vec<u64> = documents
        .iter()
        .filter(|document| document["event"] == "lagged")
        .map(|document| document["missed"].as_u64().unwrap())
        .collect();
    let received = documents
        .iter()
        .filter(|document| document["event"] == "rtc-change");
    let received = u64::try_from(received.count()).unwrap();
    assert!(!missed.is_empty(), "{received} received");
    assert_eq!(received + missed.iter().sum::<u64>(), 20_000);
    assert_eq!(documents.last().unwrap()["received"], received);
}

#[test]
fn unknown_and_malformed_events_do_no_harm() {
    let simulated = Simulated::start();
    let ours = listen(&simulated, "--json event --event rtc-change --loop");
    ours.wait_until_registered("rtc-change", ticking(&simulated));
    let dom = NonnullDomain {
        name: "guest".into(),
        uuid: [7; 16],
        id: 1,
    };
    for number in 0..3 {
        let kind = Kind::RtcChange { offset: 1 };
        let packet = Message::new(Some(number), dom.clone(), kind)
            .encode()
            .unwrap();
        let (program, end) = (packet.program, packet.payload.len() - 4);
        let cut = packet.payload.slice(..end);
        simulated.simulator.emit_raw(program, packet.procedure, cut);
        simulated.simulator.emit_raw(program, 9999, packet.payload);
    }
    ticking(&simulated)();
    let lines = ours.until("rtc-change");
    let document: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(document["event"], "malformed", "{document}");
    assert!(
        document["hex"].as_str().unwrap().contains("6775657374"),
        "{document}"
    );
    ours.interrupt();
    assert_eq!(ours.finish().status, 0);
}
