//! Any event there can be.

use proptest::prelude::*;

use crate::constants::{
    ConnectCloseReason, DomainEventId as D, DomainEventType, DomainMemoryFailureFlags,
    NetworkEventId as N, NodeDeviceEventId, SecretEventId, StoragePoolEventId,
};
use crate::event::{
    DomainEventKind as K, EventId, EventKind, GraphicsAddress, GraphicsIdentity, Lifecycle,
    MonitorEvent, NetworkEventKind, NodeDeviceEventKind, SecretEventKind, StoragePoolEventKind,
    Subject,
};
use crate::remote::{
    NonnullDomain, NonnullNetwork, NonnullNodeDevice, NonnullSecret, NonnullStoragePool,
    TypedParam, TypedParamValue,
};

/// An event of this kind, and whom it is about.
pub(super) fn event(id: EventId) -> BoxedStrategy<(Subject<'static>, EventKind)> {
    match id {
        EventId::Domain(id) => (domain(), domain_kind(id).prop_map(EventKind::Domain)).boxed(),
        EventId::Network(id) => (network(), network_kind(id)).boxed(),
        EventId::StoragePool(id) => (storage_pool(), storage_pool_kind(id)).boxed(),
        EventId::NodeDevice(id) => (node_device(), node_device_kind(id)).boxed(),
        EventId::Secret(id) => (secret(), secret_kind(id)).boxed(),
        EventId::QemuMonitor => (domain(), monitor()).boxed(),
        EventId::ConnectionClosed => {
            let kind =
                any::<i32>().prop_map(|n| EventKind::ConnectionClosed(ConnectCloseReason(n)));
            (Just(Subject::Connection), kind).boxed()
        }
    }
}

fn text() -> BoxedStrategy<String> {
    prop_oneof![Just(String::new()), "\\PC{0,20}", "[a-z]{1,9}[0-9]"].boxed()
}

/// Any value of the type that is wanted.
fn some<T: Arbitrary + 'static>() -> BoxedStrategy<T> {
    any::<T>().boxed()
}

fn optional() -> BoxedStrategy<Option<String>> {
    prop::option::of(text()).boxed()
}

fn number<T: From<i32> + std::fmt::Debug + 'static>() -> BoxedStrategy<T> {
    prop_oneof![0..10_i32, any::<i32>()]
        .prop_map(T::from)
        .boxed()
}

fn domain() -> BoxedStrategy<Subject<'static>> {
    (text(), some(), some())
        .prop_map(|(name, uuid, id)| {
            NonnullDomain {
                name: name.into(),
                uuid,
                id,
            }
            .into()
        })
        .boxed()
}

fn network() -> BoxedStrategy<Subject<'static>> {
    (text(), some())
        .prop_map(|(name, uuid)| {
            NonnullNetwork {
                name: name.into(),
                uuid,
            }
            .into()
        })
        .boxed()
}

fn storage_pool() -> BoxedStrategy<Subject<'static>> {
    (text(), some())
        .prop_map(|(name, uuid)| {
            NonnullStoragePool {
                name: name.into(),
                uuid,
            }
            .into()
        })
        .boxed()
}

fn node_device() -> BoxedStrategy<Subject<'static>> {
    text()
        .prop_map(|name| NonnullNodeDevice { name: name.into() }.into())
        .boxed()
}

fn secret() -> BoxedStrategy<Subject<'static>> {
    (some(), some(), text())
        .prop_map(|(uuid, usage_type, usage_id)| {
            NonnullSecret {
                uuid,
                usage_type,
                usage_id: usage_id.into(),
            }
            .into()
        })
        .boxed()
}

fn params() -> BoxedStrategy<Vec<TypedParam<'static>>> {
    let value = prop_oneof![
        some().prop_map(TypedParamValue::Int),
        some().prop_map(TypedParamValue::Uint),
        some().prop_map(TypedParamValue::Llong),
        some().prop_map(TypedParamValue::Ullong),
        (-1e9..1e9).prop_map(TypedParamValue::Double),
        some().prop_map(TypedParamValue::Boolean),
        text().prop_map(|text| TypedParamValue::String(text.into())),
    ];
    let param = ("[a-z.]{1,20}", value);
    let param = param.prop_map(|(field, value)| TypedParam {
        field: field.into(),
        value,
    });
    prop::collection::vec(param, 0..5).boxed()
}

fn address() -> BoxedStrategy<GraphicsAddress> {
    (number(), text(), text())
        .prop_map(|(family, node, service)| GraphicsAddress {
            family,
            node,
            service,
        })
        .boxed()
}

fn graphics() -> BoxedStrategy<K> {
    let identity = (text(), text()).prop_map(|(kind, name)| GraphicsIdentity { kind, name });
    let subject = prop::collection::vec(identity, 0..5);
    (number(), address(), address(), text(), subject)
        .prop_map(|(phase, local, remote, auth_scheme, subject)| K::Graphics {
            phase,
            local,
            remote,
            auth_scheme,
            subject,
        })
        .boxed()
}

fn memory_failure_flags() -> BoxedStrategy<DomainMemoryFailureFlags> {
    some()
        .prop_map(DomainMemoryFailureFlags::from_bits_retain)
        .boxed()
}

/// A strategy for a variant with these fields.
macro_rules! any_of {
    ($($kind:ident)::+ { $($field:ident: $strategy:expr),+ }) => {
        ($($strategy,)+).prop_map(|($($field,)+)| $($kind)::+ { $($field),+ }).boxed()
    };
}

fn domain_kind(id: D) -> BoxedStrategy<K> {
    match id {
        D::LIFECYCLE => (number(), some())
            .prop_map(|(event, detail): (DomainEventType, i32)| {
                Lifecycle::new(event, detail).into()
            })
            .boxed(),
        D::REBOOT => Just(K::Reboot).boxed(),
        D::RTC_CHANGE => any_of!(K::RtcChange { offset: some() }),
        D::WATCHDOG => any_of!(K::Watchdog { action: number() }),
        D::IO_ERROR => {
            any_of!(K::IoError {
                src_path: text(),
                dev_alias: text(),
                action: number()
            })
        }
        D::GRAPHICS => graphics(),
        D::IO_ERROR_REASON => any_of!(K::IoErrorReason {
            src_path: text(),
            dev_alias: text(),
            action: number(),
            reason: text()
        }),
        D::CONTROL_ERROR => Just(K::ControlError).boxed(),
        D::BLOCK_JOB => any_of!(K::BlockJob {
            path: text(),
            kind: number(),
            status: number()
        }),
        D::DISK_CHANGE => any_of!(K::DiskChange {
            old_src_path: optional(),
            new_src_path: optional(),
            dev_alias: text(),
            reason: number()
        }),
        D::TRAY_CHANGE => any_of!(K::TrayChange {
            dev_alias: text(),
            reason: number()
        }),
        D::PMWAKEUP => Just(K::PmWakeup).boxed(),
        D::PMSUSPEND => Just(K::PmSuspend).boxed(),
        D::BALLOON_CHANGE => any_of!(K::BalloonChange { actual: some() }),
        D::PMSUSPEND_DISK => Just(K::PmSuspendDisk).boxed(),
        D::DEVICE_REMOVED => any_of!(K::DeviceRemoved { dev_alias: text() }),
        _ => newer_domain_kind(id),
    }
}

fn newer_domain_kind(id: D) -> BoxedStrategy<K> {
    match id {
        D::BLOCK_JOB_2 => any_of!(K::BlockJob2 {
            dst: text(),
            kind: number(),
            status: number()
        }),
        D::TUNABLE => any_of!(K::Tunable { params: params() }),
        D::AGENT_LIFECYCLE => any_of!(K::AgentLifecycle {
            state: number(),
            reason: number()
        }),
        D::DEVICE_ADDED => any_of!(K::DeviceAdded { dev_alias: text() }),
        D::MIGRATION_ITERATION => any_of!(K::MigrationIteration { iteration: some() }),
        D::JOB_COMPLETED => any_of!(K::JobCompleted { params: params() }),
        D::DEVICE_REMOVAL_FAILED => any_of!(K::DeviceRemovalFailed { dev_alias: text() }),
        D::METADATA_CHANGE => any_of!(K::MetadataChange {
            kind: number(),
            ns_uri: optional()
        }),
        D::BLOCK_THRESHOLD => any_of!(K::BlockThreshold {
            dev: text(),
            path: optional(),
            threshold: some(),
            excess: some()
        }),
        D::MEMORY_FAILURE => {
            any_of!(K::MemoryFailure {
                recipient: number(),
                action: number(),
                flags: memory_failure_flags()
            })
        }
        D::MEMORY_DEVICE_SIZE_CHANGE => {
            any_of!(K::MemoryDeviceSizeChange {
                alias: text(),
                size: some()
            })
        }
        D::NIC_MAC_CHANGE => {
            any_of!(K::NicMacChange {
                alias: text(),
                old_mac: text(),
                new_mac: text()
            })
        }
        D::VCPU_REMOVED => any_of!(K::VcpuRemoved { vcpu: some() }),
        D::CHANNEL_LIFECYCLE => any_of!(K::ChannelLifecycle {
            channel_name: text(),
            state: number(),
            reason: number()
        }),
        _ => panic!("no such events are made here: {id:?}"),
    }
}

fn network_kind(id: N) -> BoxedStrategy<EventKind> {
    match id {
        N::LIFECYCLE => any_of!(NetworkEventKind::Lifecycle {
            event: number(),
            detail: some()
        }),
        N::METADATA_CHANGE => {
            any_of!(NetworkEventKind::MetadataChange {
                kind: number(),
                ns_uri: optional()
            })
        }
        _ => panic!("no such events are made here: {id:?}"),
    }
    .prop_map(EventKind::Network)
    .boxed()
}

fn storage_pool_kind(id: StoragePoolEventId) -> BoxedStrategy<EventKind> {
    match id {
        StoragePoolEventId::LIFECYCLE => {
            any_of!(StoragePoolEventKind::Lifecycle {
                event: number(),
                detail: some()
            })
        }
        _ => Just(StoragePoolEventKind::Refresh).boxed(),
    }
    .prop_map(EventKind::StoragePool)
    .boxed()
}

fn node_device_kind(id: NodeDeviceEventId) -> BoxedStrategy<EventKind> {
    match id {
        NodeDeviceEventId::LIFECYCLE => {
            any_of!(NodeDeviceEventKind::Lifecycle {
                event: number(),
                detail: some()
            })
        }
        _ => Just(NodeDeviceEventKind::Update).boxed(),
    }
    .prop_map(EventKind::NodeDevice)
    .boxed()
}

fn secret_kind(id: SecretEventId) -> BoxedStrategy<EventKind> {
    match id {
        SecretEventId::LIFECYCLE => {
            any_of!(SecretEventKind::Lifecycle {
                event: number(),
                detail: some()
            })
        }
        _ => Just(SecretEventKind::ValueChanged).boxed(),
    }
    .prop_map(EventKind::Secret)
    .boxed()
}

fn monitor() -> BoxedStrategy<EventKind> {
    any_of!(MonitorEvent {
        name: text(),
        seconds: some(),
        micros: some(),
        details: optional()
    })
    .prop_map(EventKind::QemuMonitor)
    .boxed()
}
