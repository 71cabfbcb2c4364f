//! virsh's names for kinds of events, in the order of their numbers.

use virtwire::constants::{
    DomainEventId, NetworkEventId, NodeDeviceEventId, SecretEventId, StoragePoolEventId,
};
use virtwire::event::{EventClass, EventId};

const DOMAIN: &[&str] = &[
    "lifecycle",
    "reboot",
    "rtc-change",
    "watchdog",
    "io-error",
    "graphics",
    "io-error-reason",
    "control-error",
    "block-job",
    "disk-change",
    "tray-change",
    "pm-wakeup",
    "pm-suspend",
    "balloon-change",
    "pm-suspend-disk",
    "device-removed",
    "block-job-2",
    "tunable",
    "agent-lifecycle",
    "device-added",
    "migration-iteration",
    "job-completed",
    "device-removal-failed",
    "metadata-change",
    "block-threshold",
    "memory-failure",
    "memory-device-size-change",
    "nic-mac-change",
    "vcpu-removed",
    "channel-lifecycle",
];
const NETWORK: &[&str] = &["lifecycle", "metadata-change"];
const STORAGE_POOL: &[&str] = &["lifecycle", "refresh"];
const NODE_DEVICE: &[&str] = &["lifecycle", "update"];
const SECRET: &[&str] = &["lifecycle", "value-changed"];
const QEMU_MONITOR: &[&str] = &["qemu-monitor"];
const CONNECTION: &[&str] = &["connection-closed"];

/// The names of all kinds of a class.
pub(super) fn all(class: EventClass) -> &'static [&'static str] {
    match class {
        EventClass::Domain => DOMAIN,
        EventClass::Network => NETWORK,
        EventClass::StoragePool => STORAGE_POOL,
        EventClass::NodeDevice => NODE_DEVICE,
        EventClass::Secret => SECRET,
        EventClass::QemuMonitor => QEMU_MONITOR,
        EventClass::Connection => CONNECTION,
    }
}

/// The kinds of a class.
pub(super) fn ids(class: EventClass) -> impl Iterator<Item = EventId> {
    (0..)
        .zip(all(class))
        .map(move |(number, _)| id(class, number))
}

/// The name of a kind, if it has one here.
pub(super) fn name(id: EventId) -> Option<&'static str> {
    let index = usize::try_from(id.number()).ok()?;
    all(id.class()).get(index).copied()
}

fn id(class: EventClass, number: i32) -> EventId {
    match class {
        EventClass::Domain => DomainEventId(number).into(),
        EventClass::Network => NetworkEventId(number).into(),
        EventClass::StoragePool => StoragePoolEventId(number).into(),
        EventClass::NodeDevice => NodeDeviceEventId(number).into(),
        EventClass::Secret => SecretEventId(number).into(),
        EventClass::QemuMonitor => EventId::QemuMonitor,
        EventClass::Connection => EventId::ConnectionClosed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_kind_has_libvirts_name() {
        for id in EventId::known() {
            let name = name(id).unwrap();
            assert!(ids(id.class()).any(|other| other == id), "{id}");
            // libvirt writes some of its constants without the dash that virsh has.
            if let Some(constant) = id.name() {
                assert_eq!(
                    name.replace('-', ""),
                    constant.to_lowercase().replace('_', "")
                );
            }
        }
        assert_eq!(name(DomainEventId(30).into()), None);
        assert_eq!(name(DomainEventId(-1).into()), None);
    }

    #[test]
    fn every_name_is_of_a_known_kind() {
        let known: Vec<EventId> = EventId::known().collect();
        for class in known.iter().map(|id| id.class()) {
            assert!(ids(class).all(|id| known.contains(&id)), "{class}");
        }
    }
}
