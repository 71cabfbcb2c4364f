//! What can happen to a domain.

use super::Lifecycle;
use crate::constants::{
    ConnectDomainEventAgentLifecycleReason, ConnectDomainEventAgentLifecycleState,
    ConnectDomainEventBlockJobStatus, ConnectDomainEventChannelLifecycleReason,
    ConnectDomainEventChannelLifecycleState, ConnectDomainEventDiskChangeReason,
    DomainBlockJobType, DomainEventGraphicsAddressType, DomainEventGraphicsPhase,
    DomainEventIoErrorAction, DomainEventTrayChangeReason, DomainEventWatchdogAction,
    DomainMemoryFailureActionType, DomainMemoryFailureFlags, DomainMemoryFailureRecipientType,
    DomainMetadataType,
};
use crate::remote::TypedParam;

/// Something that happened to a domain, as libvirt tells it.
///
/// Kinds that came after [`DeviceRemoved`](Self::DeviceRemoved) reach only clients that registered
/// in the style with callback numbers.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum DomainEventKind {
    /// It was defined, started, suspended, stopped, …
    Lifecycle(Lifecycle),
    /// The guest rebooted.
    Reboot,
    /// The guest set its clock.
    RtcChange {
        /// Seconds from UTC.
        offset: i64,
    },
    /// The watchdog fired.
    Watchdog {
        /// What was done about it.
        action: DomainEventWatchdogAction,
    },
    /// Reading or writing a disk failed.
    IoError {
        /// The image.
        src_path: String,
        /// The disk.
        dev_alias: String,
        /// What was done about it.
        action: DomainEventIoErrorAction,
    },
    /// A viewer came or went.
    Graphics {
        /// Which of the two, or in between.
        phase: DomainEventGraphicsPhase,
        /// The hypervisor's end.
        local: GraphicsAddress,
        /// The viewer's end.
        remote: GraphicsAddress,
        /// How the viewer proved who he is.
        auth_scheme: String,
        /// Who he is.
        subject: Vec<GraphicsIdentity>,
    },
    /// As [`IoError`](Self::IoError), and why.
    IoErrorReason {
        /// The image.
        src_path: String,
        /// The disk.
        dev_alias: String,
        /// What was done about it.
        action: DomainEventIoErrorAction,
        /// Why, such as `enospc`.
        reason: String,
    },
    /// The hypervisor cannot be controlled any more.
    ControlError,
    /// A block job came so far, or ended; the disk is named by its image.
    BlockJob {
        /// The image.
        path: String,
        /// The kind of job.
        kind: DomainBlockJobType,
        /// What became of it.
        status: ConnectDomainEventBlockJobStatus,
    },
    /// Another image is in a disk.
    DiskChange {
        /// The image before.
        old_src_path: Option<String>,
        /// The image now.
        new_src_path: Option<String>,
        /// The disk.
        dev_alias: String,
        /// Why.
        reason: ConnectDomainEventDiskChangeReason,
    },
    /// A tray was opened or closed.
    TrayChange {
        /// The drive.
        dev_alias: String,
        /// Which of the two.
        reason: DomainEventTrayChangeReason,
    },
    /// The guest woke up.
    PmWakeup,
    /// The guest went to sleep.
    PmSuspend,
    /// The guest's balloon has another size.
    BalloonChange {
        /// What the guest has now, in KiB.
        actual: u64,
    },
    /// The guest went to sleep on its disk.
    PmSuspendDisk,
    /// A device was unplugged.
    DeviceRemoved {
        /// The device.
        dev_alias: String,
    },
    /// A block job came so far, or ended; the disk is named by its target.
    BlockJob2 {
        /// The target.
        dst: String,
        /// The kind of job.
        kind: DomainBlockJobType,
        /// What became of it.
        status: ConnectDomainEventBlockJobStatus,
    },
    /// Some setting was changed.
    Tunable {
        /// The settings.
        params: Vec<TypedParam<'static>>,
    },
    /// The agent in the guest came or went.
    AgentLifecycle {
        /// Which of the two.
        state: ConnectDomainEventAgentLifecycleState,
        /// Why.
        reason: ConnectDomainEventAgentLifecycleReason,
    },
    /// A device was plugged in.
    DeviceAdded {
        /// The device.
        dev_alias: String,
    },
    /// A migration begins another round.
    MigrationIteration {
        /// Which.
        iteration: i32,
    },
    /// A job of the domain ended.
    JobCompleted {
        /// What there is to tell of it.
        params: Vec<TypedParam<'static>>,
    },
    /// A device could not be unplugged.
    DeviceRemovalFailed {
        /// The device.
        dev_alias: String,
    },
    /// The title, the description or other metadata changed.
    MetadataChange {
        /// Which of them.
        kind: DomainMetadataType,
        /// The namespace of other metadata.
        ns_uri: Option<String>,
    },
    /// As much was written to a disk as somebody wished to be told of.
    BlockThreshold {
        /// The target.
        dev: String,
        /// The image.
        path: Option<String>,
        /// The threshold in bytes.
        threshold: u64,
        /// How far it was passed, in bytes.
        excess: u64,
    },
    /// Memory of the host failed.
    MemoryFailure {
        /// Whose memory.
        recipient: DomainMemoryFailureRecipientType,
        /// What was done about it.
        action: DomainMemoryFailureActionType,
        /// More of it.
        flags: DomainMemoryFailureFlags,
    },
    /// A memory device has another size.
    MemoryDeviceSizeChange {
        /// The device.
        alias: String,
        /// Its size now, in KiB.
        size: u64,
    },
    /// The guest gave an interface another address.
    NicMacChange {
        /// The interface.
        alias: String,
        /// The address before.
        old_mac: String,
        /// The address now.
        new_mac: String,
    },
    /// A virtual processor was unplugged.
    VcpuRemoved {
        /// Which.
        vcpu: u32,
    },
    /// A channel to the guest was connected or disconnected.
    ChannelLifecycle {
        /// The channel.
        channel_name: String,
        /// Which of the two.
        state: ConnectDomainEventChannelLifecycleState,
        /// Why.
        reason: ConnectDomainEventChannelLifecycleReason,
    },
}

/// An end of a viewer's connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "the protocol has these fields")]
pub struct GraphicsAddress {
    /// The kind of address.
    pub family: DomainEventGraphicsAddressType,
    /// The host, or the path of a socket.
    pub node: String,
    /// The port.
    pub service: String,
}

/// One of the names that a viewer goes by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "the protocol has these fields")]
pub struct GraphicsIdentity {
    /// What kind of name it is, such as `x509dname`.
    pub kind: String,
    /// The name.
    pub name: String,
}

impl From<Lifecycle> for DomainEventKind {
    fn from(lifecycle: Lifecycle) -> Self {
        Self::Lifecycle(lifecycle)
    }
}
