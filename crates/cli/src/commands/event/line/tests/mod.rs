//! The lines of events, in words that virsh 9.0.0 and 11.3.0 print.

mod domain;

use virtwire::constants::{
    NetworkEventLifecycleType, NetworkMetadataType, NodeDeviceEventLifecycleType,
    SecretEventLifecycleType, StoragePoolEventLifecycleType,
};
use virtwire::event::DomainEventKind as Kind;

use super::*;

#[test]
fn other_objects_have_no_quotes() {
    let detail = 0;
    let networks = ["Defined", "Undefined", "Started", "Stopped", "unknown"];
    for (number, word) in (0..).zip(networks) {
        let event = NetworkEventLifecycleType(number);
        assert_eq!(
            network("net", &NetworkEventKind::Lifecycle { event, detail }),
            format!("event 'lifecycle' for network net: {word}")
        );
    }
    let pools = "Defined|Undefined|Started|Stopped|Created|Deleted|unknown";
    for (number, word) in (0..).zip(pools.split('|')) {
        let event = StoragePoolEventLifecycleType(number);
        assert_eq!(
            storage_pool("p", &StoragePoolEventKind::Lifecycle { event, detail }),
            format!("event 'lifecycle' for storage pool p: {word}")
        );
    }
    assert_eq!(
        storage_pool("p", &StoragePoolEventKind::Refresh),
        "event 'refresh' for storage pool p"
    );
    let devices = ["Created", "Deleted", "Defined", "Undefined", "unknown"];
    for (number, word) in (0..).zip(devices) {
        let event = NodeDeviceEventLifecycleType(number);
        assert_eq!(
            node_device("d", &NodeDeviceEventKind::Lifecycle { event, detail }),
            format!("event 'lifecycle' for node device d: {word}")
        );
    }
    assert_eq!(
        node_device("d", &NodeDeviceEventKind::Update),
        "event 'update' for node device d"
    );
    for (number, word) in (0..).zip(["Defined", "Undefined", "unknown"]) {
        let event = SecretEventLifecycleType(number);
        assert_eq!(
            secret("u", &SecretEventKind::Lifecycle { event, detail }),
            format!("event 'lifecycle' for secret u: {word}")
        );
    }
    assert_eq!(
        secret("u", &SecretEventKind::ValueChanged),
        "event 'value-changed' for secret u"
    );
}

#[test]
fn monitor_events_have_a_time_and_details() {
    let event = |details: Option<&str>| MonitorEvent {
        name: "STOP".to_owned(),
        seconds: 1_700_000_000,
        micros: 42,
        details: details.map(str::to_owned),
    };
    let line =
        |details, timestamp, pretty| monitor("vm", &event(details), Form { timestamp, pretty });
    assert_eq!(
        line(None, false, false),
        "event STOP at 1700000000.000042 for domain 'vm': <null>"
    );
    assert_eq!(
        line(Some("{\"a\":[1]}"), true, false),
        "event STOP for domain 'vm': {\"a\":[1]}"
    );
    assert_eq!(
        line(Some("{\"a\":[1]}"), true, true),
        "event STOP for domain 'vm': {\n  \"a\": [\n    1\n  ]\n}"
    );
    assert_eq!(
        line(Some("{no\n"), true, true),
        "event STOP for domain 'vm': {no\\n"
    );
}

#[test]
fn names_cannot_forge_lines_or_steer_a_terminal() {
    let text = super::domain::text("vm\nevent 'reboot'\u{1b}[2J", &Kind::Reboot);
    assert_eq!(
        text,
        "event 'reboot' for domain 'vm\\nevent 'reboot'\\u{1b}[2J'"
    );
    let kind = Kind::DeviceAdded {
        dev_alias: "a\r\nb".to_owned(),
    };
    assert_eq!(
        super::domain::text("vm", &kind),
        "event 'device-added' for domain 'vm': a\\r\\nb"
    );
    assert_eq!(
        storage_pool("a\nb", &StoragePoolEventKind::Refresh),
        "event 'refresh' for storage pool a\\nb"
    );
}

#[test]
fn metadata_of_networks_has_a_type_and_perhaps_a_namespace() {
    let types = ["description", "title", "element", "unsupported value"];
    for (number, word) in (0..).zip(types) {
        let kind = NetworkMetadataType(number);
        let line = |ns_uri| network("net", &NetworkEventKind::MetadataChange { kind, ns_uri });
        let head = format!("event 'metadata-change' for network net: type {word}, uri");
        assert_eq!(line(Some("urn:x".to_owned())), format!("{head} urn:x"));
        assert_eq!(line(None), format!("{head} <null>"));
    }
}
