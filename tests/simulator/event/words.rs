//! The words that virsh has for what happens to domains.

use virtwire::constants::{
    ConnectDomainEventAgentLifecycleReason, ConnectDomainEventAgentLifecycleState,
    ConnectDomainEventBlockJobStatus, ConnectDomainEventDiskChangeReason, DomainBlockJobType,
    DomainEventCrashedDetailType, DomainEventDefinedDetailType, DomainEventGraphicsAddressType,
    DomainEventGraphicsPhase, DomainEventIoErrorAction, DomainEventPmSuspendedDetailType,
    DomainEventResumedDetailType, DomainEventShutdownDetailType, DomainEventStartedDetailType,
    DomainEventStoppedDetailType, DomainEventSuspendedDetailType, DomainEventTrayChangeReason,
    DomainEventType, DomainEventUndefinedDetailType, DomainEventWatchdogAction,
    DomainMemoryFailureActionType, DomainMemoryFailureFlags, DomainMemoryFailureRecipientType,
    DomainMetadataType,
};
use virtwire_protocol::event::{DomainEventKind, GraphicsAddress, GraphicsIdentity, Lifecycle};
use virtwire_protocol::remote::TypedParam;
use virtwire_xdr::IntoOwned;

type Told = Vec<(DomainEventKind, &'static str)>;

/// What virsh 9.0.0 says of each kind of event of a domain called `whatever`, but for steps in its
/// life.
pub(super) fn domain_events() -> Told {
    [of_guests(), of_disks(), of_newer_kinds(), of_jobs()].concat()
}

/// A parameter of this value.
fn param(field: &'static str, value: u64) -> TypedParam<'static> {
    TypedParam::new(field, value).unwrap().into_owned()
}

fn of_guests() -> Told {
    let address = |family, node: &str, service: &str| GraphicsAddress {
        family,
        node: node.to_owned(),
        service: service.to_owned(),
    };
    let action = DomainEventIoErrorAction::PAUSE;
    vec![
        (
            DomainEventKind::Reboot,
            "event 'reboot' for domain 'whatever'",
        ),
        (
            DomainEventKind::RtcChange { offset: -3600 },
            "event 'rtc-change' for domain 'whatever': -3600",
        ),
        (
            DomainEventKind::Watchdog {
                action: DomainEventWatchdogAction::INJECTNMI,
            },
            "event 'watchdog' for domain 'whatever': inject-nmi",
        ),
        (
            DomainEventKind::IoError {
                src_path: "/a.img".into(),
                dev_alias: "virtio-disk0".into(),
                action,
            },
            "event 'io-error' for domain 'whatever': /a.img (virtio-disk0) pause",
        ),
        (
            DomainEventKind::Graphics {
                phase: DomainEventGraphicsPhase::INITIALIZE,
                local: address(DomainEventGraphicsAddressType::IPV4, "127.0.0.1", "5900"),
                remote: address(DomainEventGraphicsAddressType::UNIX, "/run/viewer", ""),
                auth_scheme: "sasl".into(),
                subject: vec![GraphicsIdentity {
                    kind: "saslUsername".into(),
                    name: "fred".into(),
                }],
            },
            "event 'graphics' for domain 'whatever': initialize local[IPv4 127.0.0.1 5900] \
             remote[unix /run/viewer ] sasl\n\tsaslUsername=fred",
        ),
        (
            DomainEventKind::IoErrorReason {
                src_path: "/a.img".into(),
                dev_alias: "virtio-disk0".into(),
                action: DomainEventIoErrorAction::REPORT,
                reason: "enospc".into(),
            },
            "event 'io-error-reason' for domain 'whatever': /a.img (virtio-disk0) report due to \
             enospc",
        ),
        (
            DomainEventKind::ControlError,
            "event 'control-error' for domain 'whatever'",
        ),
    ]
}

fn of_disks() -> Told {
    vec![
        (
            DomainEventKind::BlockJob {
                path: "/a.img".into(),
                kind: DomainBlockJobType::PULL,
                status: ConnectDomainEventBlockJobStatus::COMPLETED,
            },
            "event 'block-job' for domain 'whatever': Block Pull for /a.img completed",
        ),
        (
            DomainEventKind::DiskChange {
                old_src_path: None,
                new_src_path: Some("/b.img".into()),
                dev_alias: "ide0-0-1".into(),
                reason: ConnectDomainEventDiskChangeReason::DROP_MISSING_ON_START,
            },
            "event 'disk-change' for domain 'whatever' disk ide0-0-1: <null> -> /b.img: dropped",
        ),
        (
            DomainEventKind::TrayChange {
                dev_alias: "ide0-0-1".into(),
                reason: DomainEventTrayChangeReason::CLOSE,
            },
            "event 'tray-change' for domain 'whatever' disk ide0-0-1: closed",
        ),
        (
            DomainEventKind::PmWakeup,
            "event 'pm-wakeup' for domain 'whatever'",
        ),
        (
            DomainEventKind::PmSuspend,
            "event 'pm-suspend' for domain 'whatever'",
        ),
        (
            DomainEventKind::BalloonChange { actual: u64::MAX },
            "event 'balloon-change' for domain 'whatever': 18446744073709551615KiB",
        ),
        (
            DomainEventKind::PmSuspendDisk,
            "event 'pm-suspend-disk' for domain 'whatever'",
        ),
        (
            DomainEventKind::DeviceRemoved {
                dev_alias: "net0".into(),
            },
            "event 'device-removed' for domain 'whatever': net0",
        ),
    ]
}

fn of_newer_kinds() -> Told {
    vec![
        (
            DomainEventKind::BlockJob2 {
                dst: "vda".into(),
                kind: DomainBlockJobType::ACTIVE_COMMIT,
                status: ConnectDomainEventBlockJobStatus::READY,
            },
            "event 'block-job-2' for domain 'whatever': Active Block Commit for vda ready",
        ),
        (
            DomainEventKind::Tunable {
                params: vec![
                    param("cputune.vcpu_quota", 5),
                    param("cputune.vcpu_period", 6),
                ],
            },
            "event 'tunable' for domain 'whatever':\n\tcputune.vcpu_quota: 5\n\
             \tcputune.vcpu_period: 6",
        ),
        (
            DomainEventKind::AgentLifecycle {
                state: ConnectDomainEventAgentLifecycleState::CONNECTED,
                reason: ConnectDomainEventAgentLifecycleReason::CHANNEL,
            },
            "event 'agent-lifecycle' for domain 'whatever': state: 'connected' \
             reason: 'channel event'",
        ),
        (
            DomainEventKind::DeviceAdded {
                dev_alias: "net1".into(),
            },
            "event 'device-added' for domain 'whatever': net1",
        ),
    ]
}

fn of_jobs() -> Told {
    vec![
        (
            DomainEventKind::MigrationIteration { iteration: 7 },
            "event 'migration-iteration' for domain 'whatever': iteration: '7'",
        ),
        (
            DomainEventKind::JobCompleted {
                params: vec![param("time_elapsed", 12)],
            },
            "event 'job-completed' for domain 'whatever':\n\ttime_elapsed: 12",
        ),
        (
            DomainEventKind::DeviceRemovalFailed {
                dev_alias: "net2".into(),
            },
            "event 'device-removal-failed' for domain 'whatever': net2",
        ),
        (
            DomainEventKind::MetadataChange {
                kind: DomainMetadataType::ELEMENT,
                ns_uri: Some("urn:x".into()),
            },
            "event 'metadata-change' for domain 'whatever': type element, uri urn:x",
        ),
        (
            DomainEventKind::BlockThreshold {
                dev: "vda[1]".into(),
                path: None,
                threshold: 100,
                excess: 1,
            },
            "event 'block-threshold' for domain 'whatever': dev: vda[1](<null>) 100 1",
        ),
        (
            DomainEventKind::MemoryFailure {
                recipient: DomainMemoryFailureRecipientType::GUEST,
                action: DomainMemoryFailureActionType::INJECT,
                flags: DomainMemoryFailureFlags::RECURSIVE,
            },
            "event 'memory-failure' for domain 'whatever':\nrecipient: guest\naction: inject\n\
             flags:\n\taction required: 0\n\trecursive: 1",
        ),
        (
            DomainEventKind::MemoryDeviceSizeChange {
                alias: "virtiomem0".into(),
                size: 4096,
            },
            "event 'memory-device-size-change' for domain 'whatever':\nalias: virtiomem0\n\
             size: 4096",
        ),
    ]
}

/// What virsh 9.0.0 calls each step in a domain's life.
pub(super) fn lives() -> Vec<(Lifecycle, &'static str)> {
    let unknown = Lifecycle::new(DomainEventType(4711), 7);
    vec![
        (
            DomainEventDefinedDetailType::UPDATED.into(),
            "Defined Updated",
        ),
        (
            DomainEventUndefinedDetailType::RENAMED.into(),
            "Undefined Renamed",
        ),
        (
            DomainEventStartedDetailType::WAKEUP.into(),
            "Started Event wakeup",
        ),
        (
            DomainEventSuspendedDetailType::POSTCOPY.into(),
            "Suspended Post-copy",
        ),
        (
            DomainEventResumedDetailType::FROM_SNAPSHOT.into(),
            "Resumed Snapshot",
        ),
        (DomainEventStoppedDetailType::SAVED.into(), "Stopped Saved"),
        (
            DomainEventShutdownDetailType::HOST.into(),
            "Shutdown Finished after host request",
        ),
        (
            DomainEventPmSuspendedDetailType::DISK.into(),
            "PMSuspended Disk",
        ),
        (
            DomainEventCrashedDetailType::CRASHLOADED.into(),
            "Crashed Crashloaded",
        ),
        (DomainEventStartedDetailType(99).into(), "Started unknown"),
        (unknown, "unknown unknown"),
    ]
}
