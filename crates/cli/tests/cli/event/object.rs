//! Events of other things than domains, from the simulated daemon to both programs.

use virtwire::constants::{
    NetworkEventLifecycleType, NodeDeviceEventLifecycleType, SecretEventLifecycleType,
    SecretUsageType, StoragePoolEventLifecycleType,
};
use virtwire::event::{
    MonitorEvent, NetworkEventKind, NodeDeviceEventKind, SecretEventKind, StoragePoolEventKind,
};
use virtwire::remote::{
    NonnullDomain, NonnullNetwork, NonnullNodeDevice, NonnullSecret, NonnullStoragePool,
};
use virtwire_protocol::event::{EventKind, Subject};

use super::{Pair, Simulated};

/// The object of the events that are compared, of one before and of one behind them.
const OBJECT: u8 = 1;
const FIRST: u8 = 2;
const LAST: u8 = 3;

/// Objects differ by a number, which is all over their UUIDs and part of their names.
fn uuid(number: u8) -> [u8; 16] {
    [number; 16]
}

fn name(number: u8) -> String {
    format!("{number:02x}{number:02x}-name")
}

/// Has both programs listen while each of these kinds of events happens to an object.
fn compare(arguments: &str, subject: impl Fn(u8) -> Subject<'static>, kinds: &[EventKind]) {
    let simulated = Simulated::start();
    let pair = Pair::start(&simulated.uri(), arguments);
    let emit = |subject: &Subject<'_>, kind: &EventKind| {
        simulated.simulator.emit(subject, kind).unwrap();
    };
    let mark = |number| emit(&subject(number), &kinds[0]);
    pair.wait_until_registered("event ", || mark(OBJECT));
    mark(FIRST);
    for kind in kinds {
        emit(&subject(OBJECT), kind);
    }
    mark(LAST);
    let lines = pair.same("0202-", "0303-");
    assert_eq!(lines.len(), kinds.len() + 1, "{lines:#?}");
}

#[test]
fn networks() {
    let subject = |number| {
        let (name, uuid) = (name(number).into(), uuid(number));
        Subject::Network(NonnullNetwork { name, uuid })
    };
    let lifecycle = |number| {
        let event = NetworkEventLifecycleType(number);
        NetworkEventKind::Lifecycle { event, detail: 0 }.into()
    };
    let kinds: Vec<EventKind> = (-1..6).map(lifecycle).collect();
    compare("net-event --event lifecycle --loop", subject, &kinds);
}

fn pool(number: u8) -> Subject<'static> {
    let (name, uuid) = (name(number).into(), uuid(number));
    Subject::StoragePool(NonnullStoragePool { name, uuid })
}

#[test]
fn storage_pools() {
    let lifecycle = |number| {
        let event = StoragePoolEventLifecycleType(number);
        StoragePoolEventKind::Lifecycle { event, detail: 0 }.into()
    };
    let kinds: Vec<EventKind> = (-1..8).map(lifecycle).collect();
    compare("pool-event --event lifecycle --loop", pool, &kinds);
    let refresh = [StoragePoolEventKind::Refresh.into()];
    compare("pool-event --event refresh --loop", pool, &refresh);
}

fn device(number: u8) -> Subject<'static> {
    let name = name(number).into();
    Subject::NodeDevice(NonnullNodeDevice { name })
}

#[test]
fn node_devices() {
    let lifecycle = |number| {
        let event = NodeDeviceEventLifecycleType(number);
        NodeDeviceEventKind::Lifecycle { event, detail: 0 }.into()
    };
    let kinds: Vec<EventKind> = (-1..6).map(lifecycle).collect();
    compare("nodedev-event --event lifecycle --loop", device, &kinds);
    let update = [NodeDeviceEventKind::Update.into()];
    compare("nodedev-event --event update --loop", device, &update);
}

#[test]
fn qemu_monitors() {
    let subject = |number| {
        let (name, uuid, id) = (name(number).into(), uuid(number), 1);
        Subject::Domain(NonnullDomain { name, uuid, id })
    };
    let event = |details: Option<&str>, seconds, micros| {
        let (name, details) = ("STOP".to_owned(), details.map(str::to_owned));
        MonitorEvent {
            name,
            seconds,
            micros,
            details,
        }
        .into()
    };
    let kinds: [EventKind; 5] = [
        event(None, 0, 0),
        event(Some(""), 1_700_000_000, 999_999),
        event(Some("{\"a\":{\"b\":[1,2]}}"), i64::MAX, 7),
        event(Some("{no"), i64::MIN, u32::MAX),
        event(Some("[]"), -1, 1),
    ];
    compare("qemu-monitor-event --loop", subject, &kinds);
    compare(
        "qemu-monitor-event --event st.P --regex --no-case --loop",
        subject,
        &kinds,
    );
}

fn secret(number: u8) -> Subject<'static> {
    Subject::Secret(NonnullSecret {
        uuid: uuid(number),
        usage_type: SecretUsageType::VOLUME.0,
        usage_id: "/x.img".into(),
    })
}

#[test]
fn secrets() {
    let lifecycle = |number| {
        let event = SecretEventLifecycleType(number);
        SecretEventKind::Lifecycle { event, detail: 0 }.into()
    };
    let kinds: Vec<EventKind> = (-1..4).map(lifecycle).collect();
    compare("secret-event --event lifecycle --loop", secret, &kinds);
    let changed = [SecretEventKind::ValueChanged.into()];
    compare(
        "secret-event --event value-changed --loop",
        secret,
        &changed,
    );
}
