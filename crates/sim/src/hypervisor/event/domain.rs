//! What can happen to a domain.

use virtwire_protocol::constants::{
    ConnectDomainEventAgentLifecycleReason, ConnectDomainEventAgentLifecycleState,
    ConnectDomainEventBlockJobStatus, ConnectDomainEventChannelLifecycleReason,
    ConnectDomainEventChannelLifecycleState, ConnectDomainEventDiskChangeReason,
    DomainBlockJobType, DomainEventGraphicsPhase, DomainEventId, DomainEventIoErrorAction,
    DomainEventTrayChangeReason, DomainEventType, DomainEventWatchdogAction,
    DomainMemoryFailureActionType, DomainMemoryFailureFlags, DomainMemoryFailureRecipientType,
    DomainMetadataType,
};
use virtwire_protocol::remote::{
    DomainEventGraphicsAddress, DomainEventGraphicsIdentity, TypedParam,
};

/// Something that happened to a domain, as libvirt tells it.
///
/// Kinds that came after [`DeviceRemoved`](Self::DeviceRemoved) reach only clients that registered
/// in the style with callback numbers.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum DomainEvent {
    /// It was defined, started, suspended, stopped, …
    Lifecycle {
        /// What happened.
        event: DomainEventType,
        /// How, in numbers of a type of its own for each event.
        detail: i32,
    },
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
        local: DomainEventGraphicsAddress<'static>,
        /// The viewer's end.
        remote: DomainEventGraphicsAddress<'static>,
        /// How the viewer proved who he is.
        auth_scheme: String,
        /// Who he is.
        subject: Vec<DomainEventGraphicsIdentity<'static>>,
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

impl DomainEvent {
    /// Something in a domain's life.
    pub(crate) fn lifecycle(event: DomainEventType, detail: i32) -> Self {
        Self::Lifecycle { event, detail }
    }

    /// The kind, as clients register for it.
    #[must_use]
    pub fn id(&self) -> DomainEventId {
        match self {
            Self::Lifecycle { .. } => DomainEventId::LIFECYCLE,
            Self::Reboot => DomainEventId::REBOOT,
            Self::RtcChange { .. } => DomainEventId::RTC_CHANGE,
            Self::Watchdog { .. } => DomainEventId::WATCHDOG,
            Self::IoError { .. } => DomainEventId::IO_ERROR,
            Self::Graphics { .. } => DomainEventId::GRAPHICS,
            Self::IoErrorReason { .. } => DomainEventId::IO_ERROR_REASON,
            Self::ControlError => DomainEventId::CONTROL_ERROR,
            Self::BlockJob { .. } => DomainEventId::BLOCK_JOB,
            Self::DiskChange { .. } => DomainEventId::DISK_CHANGE,
            Self::TrayChange { .. } => DomainEventId::TRAY_CHANGE,
            Self::PmWakeup => DomainEventId::PMWAKEUP,
            Self::PmSuspend => DomainEventId::PMSUSPEND,
            Self::BalloonChange { .. } => DomainEventId::BALLOON_CHANGE,
            Self::PmSuspendDisk => DomainEventId::PMSUSPEND_DISK,
            Self::DeviceRemoved { .. } => DomainEventId::DEVICE_REMOVED,
            Self::BlockJob2 { .. } => DomainEventId::BLOCK_JOB_2,
            Self::Tunable { .. } => DomainEventId::TUNABLE,
            Self::AgentLifecycle { .. } => DomainEventId::AGENT_LIFECYCLE,
            Self::DeviceAdded { .. } => DomainEventId::DEVICE_ADDED,
            Self::MigrationIteration { .. } => DomainEventId::MIGRATION_ITERATION,
            Self::JobCompleted { .. } => DomainEventId::JOB_COMPLETED,
            Self::DeviceRemovalFailed { .. } => DomainEventId::DEVICE_REMOVAL_FAILED,
            Self::MetadataChange { .. } => DomainEventId::METADATA_CHANGE,
            Self::BlockThreshold { .. } => DomainEventId::BLOCK_THRESHOLD,
            Self::MemoryFailure { .. } => DomainEventId::MEMORY_FAILURE,
            Self::MemoryDeviceSizeChange { .. } => DomainEventId::MEMORY_DEVICE_SIZE_CHANGE,
            Self::NicMacChange { .. } => DomainEventId::NIC_MAC_CHANGE,
            Self::VcpuRemoved { .. } => DomainEventId::VCPU_REMOVED,
            Self::ChannelLifecycle { .. } => DomainEventId::CHANNEL_LIFECYCLE,
        }
    }
}
