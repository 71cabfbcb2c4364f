//! What libvirt's own client makes of every event that the simulator tells.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use virtwire::constants::{
    NetworkEventLifecycleType, NodeDeviceEventLifecycleType, SecretEventLifecycleType,
    SecretUsageType, StoragePoolEventLifecycleType,
};
use virtwire_protocol::event::{
    DomainEventKind, EventId, EventKind, MonitorEvent, NetworkEventKind, NodeDeviceEventKind,
    SecretEventKind, StoragePoolEventKind, Subject,
};
use virtwire_protocol::remote::{
    NonnullNetwork, NonnullNodeDevice, NonnullSecret, NonnullStoragePool,
};
use virtwire_sim::Simulator;
use virtwire_tests::deadline;

use super::named;
use super::words::{domain_events, lives};
use crate::domain::xml;
use crate::served::Served;

/// virsh, while it waits for events.
struct Listener {
    lines: Lines<BufReader<ChildStdout>>,
    /// Ends when it is dropped.
    _virsh: Child,
}

impl Listener {
    /// Starts virsh with this command, which asks for so many kinds of events.
    async fn new(served: &Served, command: &[&str], kinds: usize) -> Self {
        let mut virsh = Command::new("virsh")
            .env("LC_ALL", "C")
            .args(["-c", &served.uri("qemu")])
            .args(command)
            .arg("--loop")
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(virsh.stdout.take().unwrap()).lines();
        while served.simulator.registrations() < kinds {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Self {
            lines,
            _virsh: virsh,
        }
    }

    /// The next event must be told in these lines.
    async fn hears(&mut self, expected: &str) {
        for expected in expected.lines() {
            let line = self.lines.next_line().await.unwrap().unwrap();
            assert_eq!(line, expected);
        }
    }
}

#[tokio::test]
async fn every_kind_of_domain_event() {
    deadline(async {
        let served = Served::new(Simulator::builder().start());
        let mut virsh = Listener::new(&served, &["event", "--all"], 27).await;
        let mut told: Vec<EventId> = Vec::new();
        for (kind, expected) in domain_events() {
            told.push(kind.id().into());
            served
                .simulator
                .emit(&named([1; 16]).into(), &kind.into())
                .unwrap();
            virsh.hears(expected).await;
        }
        for (step, expected) in lives() {
            let kind = DomainEventKind::from(step);
            told.push(kind.id().into());
            let expected = format!("event 'lifecycle' for domain 'whatever': {expected}");
            served
                .simulator
                .emit(&named([1; 16]).into(), &kind.into())
                .unwrap();
            virsh.hears(&expected).await;
        }
        for id in EventId::known() {
            // virsh 9.0.0 knows these.
            let known = matches!(id, EventId::Domain(id) if id.0 <= 26);
            assert_eq!(told.contains(&id), known, "{id}");
        }
    })
    .await;
}

#[tokio::test]
async fn older_daemon_tells_the_older_kinds() {
    deadline(async {
        let builder = Simulator::builder().without_event_callbacks();
        let served = Served::new(builder.domain(&xml("whatever")).unwrap().start());
        let mut virsh = Listener::new(&served, &["event", "--all"], 16).await;
        for (kind, expected) in domain_events() {
            let domain = served.simulator.domain("whatever").unwrap();
            domain.emit(&kind).unwrap();
            if kind.id().0 < 16 {
                virsh.hears(expected).await;
            }
        }
        for (step, expected) in lives() {
            served
                .simulator
                .domain("whatever")
                .unwrap()
                .emit(&step.into())
                .unwrap();
            let expected = format!("event 'lifecycle' for domain 'whatever': {expected}");
            virsh.hears(&expected).await;
        }
    })
    .await;
}

/// Has virsh listen to one kind of event, and hear these.
async fn listens(command: &str, event: &str, told: &[(Subject<'static>, EventKind, String)]) {
    let served = Served::new(Simulator::builder().start());
    let mut virsh = Listener::new(&served, &[command, "--event", event], 1).await;
    for (subject, kind, expected) in told {
        served.simulator.emit(subject, kind).unwrap();
        virsh.hears(expected).await;
    }
}

/// A lifecycle event for each of these words, and one for which there is none.
fn steps(
    subject: &Subject<'static>,
    words: &[&str],
    kind: impl Fn(i32) -> EventKind,
    said: &str,
) -> Vec<(Subject<'static>, EventKind, String)> {
    let words = words.iter().chain([&"unknown"]).zip(0..);
    words
        .map(|(word, number)| (subject.clone(), kind(number), format!("{said}: {word}")))
        .collect()
}

#[tokio::test]
async fn every_kind_of_network_and_pool_event() {
    deadline(async {
        let net = Subject::from(NonnullNetwork {
            name: "default".into(),
            uuid: [1; 16],
        });
        let words = ["Defined", "Undefined", "Started", "Stopped"];
        let step = |number| {
            let event = NetworkEventLifecycleType(number);
            NetworkEventKind::Lifecycle { event, detail: 0 }.into()
        };
        let told = steps(&net, &words, step, "event 'lifecycle' for network default");
        listens("net-event", "lifecycle", &told).await;
        let pool = Subject::from(NonnullStoragePool {
            name: "images".into(),
            uuid: [1; 16],
        });
        let words = [
            "Defined",
            "Undefined",
            "Started",
            "Stopped",
            "Created",
            "Deleted",
        ];
        let step = |number| {
            let event = StoragePoolEventLifecycleType(number);
            StoragePoolEventKind::Lifecycle { event, detail: 0 }.into()
        };
        let told = steps(
            &pool,
            &words,
            step,
            "event 'lifecycle' for storage pool images",
        );
        listens("pool-event", "lifecycle", &told).await;
        let expected = String::from("event 'refresh' for storage pool images");
        let told = (pool, StoragePoolEventKind::Refresh.into(), expected);
        listens("pool-event", "refresh", &[told]).await;
    })
    .await;
}

#[tokio::test]
async fn every_kind_of_device_and_secret_event() {
    deadline(async {
        let device = Subject::from(NonnullNodeDevice {
            name: "net_eth0".into(),
        });
        let words = ["Created", "Deleted", "Defined", "Undefined"];
        let step = |number| {
            let event = NodeDeviceEventLifecycleType(number);
            NodeDeviceEventKind::Lifecycle { event, detail: 0 }.into()
        };
        let told = steps(
            &device,
            &words,
            step,
            "event 'lifecycle' for node device net_eth0",
        );
        listens("nodedev-event", "lifecycle", &told).await;
        let expected = String::from("event 'update' for node device net_eth0");
        let told = (device, NodeDeviceEventKind::Update.into(), expected);
        listens("nodedev-event", "update", &[told]).await;
        let secret = Subject::from(NonnullSecret {
            uuid: [0x11; 16],
            usage_type: SecretUsageType::NONE.0,
            usage_id: "".into(),
        });
        let of = "for secret 11111111-1111-1111-1111-111111111111";
        let step = |number| {
            let event = SecretEventLifecycleType(number);
            SecretEventKind::Lifecycle { event, detail: 0 }.into()
        };
        let said = format!("event 'lifecycle' {of}");
        let told = steps(&secret, &["Defined", "Undefined"], step, &said);
        listens("secret-event", "lifecycle", &told).await;
        let expected = format!("event 'value-changed' {of}");
        let told = (secret, SecretEventKind::ValueChanged.into(), expected);
        listens("secret-event", "value-changed", &[told]).await;
    })
    .await;
}

#[tokio::test]
async fn events_of_monitors() {
    deadline(async {
        let served = Served::new(Simulator::builder().start());
        let command = [
            "qemu-monitor-event",
            "--event",
            "^block_",
            "--regex",
            "--no-case",
        ];
        let mut virsh = Listener::new(&served, &command, 1).await;
        for (name, details, expected) in [
            ("STOP", None, ""),
            (
                "BLOCK_JOB_READY",
                Some("{}"),
                "BLOCK_JOB_READY at 1700000000.000042 for domain 'whatever': {}",
            ),
            (
                "BLOCK_IO_ERROR",
                None,
                "BLOCK_IO_ERROR at 1700000000.000042 for domain 'whatever': <null>",
            ),
        ] {
            let event = MonitorEvent {
                name: name.to_owned(),
                seconds: 1_700_000_000,
                micros: 42,
                details: details.map(str::to_owned),
            };
            served
                .simulator
                .emit(&named([1; 16]).into(), &event.into())
                .unwrap();
            if !expected.is_empty() {
                virsh.hears(&format!("event {expected}")).await;
            }
        }
    })
    .await;
}
