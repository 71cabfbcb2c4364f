//! What an event of a domain looks like on the wire, in both styles.

use virtwire_protocol::Event;
use virtwire_protocol::remote::{self, NonnullDomain};
use virtwire_xdr::Str;

use super::{DomainEvent, Packet};

impl DomainEvent {
    /// The packet for a registration of this number, or one in the legacy style, which has none for
    /// newer kinds.
    pub(super) fn packet(&self, dom: NonnullDomain<'_>, callback: Option<i32>) -> Option<Packet> {
        self.guest_packet(dom, callback)
    }

    /// What guests and their owners do.
    fn guest_packet(&self, dom: NonnullDomain<'_>, callback: Option<i32>) -> Option<Packet> {
        match self {
            Self::Lifecycle { event, detail } => {
                both::<remote::DomainEventLifecycle, remote::DomainEventCallbackLifecycle>(
                    callback,
                    remote::DomainEventLifecycleMsg {
                        dom,
                        event: event.0,
                        detail: *detail,
                    },
                    |callback_id, msg| remote::DomainEventCallbackLifecycleMsg { callback_id, msg },
                )
            }
            Self::Reboot => both::<remote::DomainEventReboot, remote::DomainEventCallbackReboot>(
                callback,
                remote::DomainEventRebootMsg { dom },
                |callback_id, msg| remote::DomainEventCallbackRebootMsg { callback_id, msg },
            ),
            Self::RtcChange { offset } => {
                both::<remote::DomainEventRtcChange, remote::DomainEventCallbackRtcChange>(
                    callback,
                    remote::DomainEventRtcChangeMsg {
                        dom,
                        offset: *offset,
                    },
                    |callback_id, msg| remote::DomainEventCallbackRtcChangeMsg { callback_id, msg },
                )
            }
            Self::Watchdog { action } => {
                both::<remote::DomainEventWatchdog, remote::DomainEventCallbackWatchdog>(
                    callback,
                    remote::DomainEventWatchdogMsg {
                        dom,
                        action: action.0,
                    },
                    |callback_id, msg| remote::DomainEventCallbackWatchdogMsg { callback_id, msg },
                )
            }
            _ => self.power_packet(dom, callback),
        }
    }

    /// How the guest fares.
    fn power_packet(&self, dom: NonnullDomain<'_>, callback: Option<i32>) -> Option<Packet> {
        match self {
            Self::ControlError => both::<
                remote::DomainEventControlError,
                remote::DomainEventCallbackControlError,
            >(
                callback,
                remote::DomainEventControlErrorMsg { dom },
                |callback_id, msg| remote::DomainEventCallbackControlErrorMsg { callback_id, msg },
            ),
            Self::PmWakeup => {
                both::<remote::DomainEventPmwakeup, remote::DomainEventCallbackPmwakeup>(
                    callback,
                    remote::DomainEventPmwakeupMsg { dom },
                    |callback_id, msg| remote::DomainEventCallbackPmwakeupMsg {
                        callback_id,
                        reason: 0,
                        msg,
                    },
                )
            }
            Self::PmSuspend => {
                both::<remote::DomainEventPmsuspend, remote::DomainEventCallbackPmsuspend>(
                    callback,
                    remote::DomainEventPmsuspendMsg { dom },
                    |callback_id, msg| remote::DomainEventCallbackPmsuspendMsg {
                        callback_id,
                        reason: 0,
                        msg,
                    },
                )
            }
            Self::PmSuspendDisk => {
                both::<remote::DomainEventPmsuspendDisk, remote::DomainEventCallbackPmsuspendDisk>(
                    callback,
                    remote::DomainEventPmsuspendDiskMsg { dom },
                    |callback_id, msg| remote::DomainEventCallbackPmsuspendDiskMsg {
                        callback_id,
                        reason: 0,
                        msg,
                    },
                )
            }
            Self::BalloonChange { actual } => both::<
                remote::DomainEventBalloonChange,
                remote::DomainEventCallbackBalloonChange,
            >(
                callback,
                remote::DomainEventBalloonChangeMsg {
                    dom,
                    actual: *actual,
                },
                |callback_id, msg| remote::DomainEventCallbackBalloonChangeMsg { callback_id, msg },
            ),
            _ => self.device_packet(dom, callback),
        }
    }

    /// What happens to disks.
    fn device_packet(&self, dom: NonnullDomain<'_>, callback: Option<i32>) -> Option<Packet> {
        match self {
            Self::IoError {
                src_path,
                dev_alias,
                action,
            } => both::<remote::DomainEventIoError, remote::DomainEventCallbackIoError>(
                callback,
                remote::DomainEventIoErrorMsg {
                    dom,
                    src_path: text(src_path),
                    dev_alias: text(dev_alias),
                    action: action.0,
                },
                |callback_id, msg| remote::DomainEventCallbackIoErrorMsg { callback_id, msg },
            ),
            Self::IoErrorReason {
                src_path,
                dev_alias,
                action,
                reason,
            } => {
                both::<remote::DomainEventIoErrorReason, remote::DomainEventCallbackIoErrorReason>(
                    callback,
                    remote::DomainEventIoErrorReasonMsg {
                        dom,
                        src_path: text(src_path),
                        dev_alias: text(dev_alias),
                        action: action.0,
                        reason: text(reason),
                    },
                    |callback_id, msg| remote::DomainEventCallbackIoErrorReasonMsg {
                        callback_id,
                        msg,
                    },
                )
            }
            Self::BlockJob { path, kind, status } => {
                both::<remote::DomainEventBlockJob, remote::DomainEventCallbackBlockJob>(
                    callback,
                    remote::DomainEventBlockJobMsg {
                        dom,
                        path: text(path),
                        type_: kind.0,
                        status: status.0,
                    },
                    |callback_id, msg| remote::DomainEventCallbackBlockJobMsg { callback_id, msg },
                )
            }
            Self::DiskChange {
                old_src_path,
                new_src_path,
                dev_alias,
                reason,
            } => both::<remote::DomainEventDiskChange, remote::DomainEventCallbackDiskChange>(
                callback,
                remote::DomainEventDiskChangeMsg {
                    dom,
                    old_src_path: optional(old_src_path),
                    new_src_path: optional(new_src_path),
                    dev_alias: text(dev_alias),
                    reason: reason.0,
                },
                |callback_id, msg| remote::DomainEventCallbackDiskChangeMsg { callback_id, msg },
            ),
            _ => self.drive_packet(dom, callback),
        }
    }

    /// What happens to devices other than disks.
    fn drive_packet(&self, dom: NonnullDomain<'_>, callback: Option<i32>) -> Option<Packet> {
        match self {
            Self::TrayChange { dev_alias, reason } => both::<
                remote::DomainEventTrayChange,
                remote::DomainEventCallbackTrayChange,
            >(
                callback,
                remote::DomainEventTrayChangeMsg {
                    dom,
                    dev_alias: text(dev_alias),
                    reason: reason.0,
                },
                |callback_id, msg| remote::DomainEventCallbackTrayChangeMsg { callback_id, msg },
            ),
            Self::DeviceRemoved { dev_alias } => both::<
                remote::DomainEventDeviceRemoved,
                remote::DomainEventCallbackDeviceRemoved,
            >(
                callback,
                remote::DomainEventDeviceRemovedMsg {
                    dom,
                    dev_alias: text(dev_alias),
                },
                |callback_id, msg| remote::DomainEventCallbackDeviceRemovedMsg { callback_id, msg },
            ),
            Self::Graphics {
                phase,
                local,
                remote,
                auth_scheme,
                subject,
            } => both::<remote::DomainEventGraphics, remote::DomainEventCallbackGraphics>(
                callback,
                remote::DomainEventGraphicsMsg {
                    dom,
                    phase: phase.0,
                    local: local.clone(),
                    remote: remote.clone(),
                    auth_scheme: text(auth_scheme),
                    subject: subject.clone(),
                },
                |callback_id, msg| remote::DomainEventCallbackGraphicsMsg { callback_id, msg },
            ),
            _ => self.newer_device_packet(dom, callback?),
        }
    }

    /// What happens to devices, told in the newer style only.
    fn newer_device_packet(&self, dom: NonnullDomain<'_>, callback_id: i32) -> Option<Packet> {
        match self {
            Self::BlockJob2 { dst, kind, status } => {
                Packet::new::<remote::DomainEventBlockJob2>(&remote::DomainEventBlockJob2Msg {
                    callback_id,
                    dom,
                    dst: text(dst),
                    type_: kind.0,
                    status: status.0,
                })
            }
            Self::DeviceAdded { dev_alias } => {
                Packet::new::<remote::DomainEventCallbackDeviceAdded>(
                    &remote::DomainEventCallbackDeviceAddedMsg {
                        callback_id,
                        dom,
                        dev_alias: text(dev_alias),
                    },
                )
            }
            Self::DeviceRemovalFailed { dev_alias } => {
                Packet::new::<remote::DomainEventCallbackDeviceRemovalFailed>(
                    &remote::DomainEventCallbackDeviceRemovalFailedMsg {
                        callback_id,
                        dom,
                        dev_alias: text(dev_alias),
                    },
                )
            }
            Self::BlockThreshold {
                dev,
                path,
                threshold,
                excess,
            } => Packet::new::<remote::DomainEventBlockThreshold>(
                &remote::DomainEventBlockThresholdMsg {
                    callback_id,
                    dom,
                    dev: text(dev),
                    path: optional(path),
                    threshold: *threshold,
                    excess: *excess,
                },
            ),
            Self::MemoryDeviceSizeChange { alias, size } => {
                Packet::new::<remote::DomainEventMemoryDeviceSizeChange>(
                    &remote::DomainEventMemoryDeviceSizeChangeMsg {
                        callback_id,
                        dom,
                        alias: text(alias),
                        size: *size,
                    },
                )
            }
            Self::NicMacChange {
                alias,
                old_mac,
                new_mac,
            } => Packet::new::<remote::DomainEventNicMacChange>(
                &remote::DomainEventNicMacChangeMsg {
                    callback_id,
                    dom,
                    alias: text(alias),
                    old_mac: text(old_mac),
                    new_mac: text(new_mac),
                },
            ),
            Self::VcpuRemoved { vcpu } => {
                Packet::new::<remote::DomainEventVcpuRemoved>(&remote::DomainEventVcpuRemovedMsg {
                    callback_id,
                    dom,
                    vcpuid: *vcpu,
                })
            }
            _ => self.newer_guest_packet(dom, callback_id),
        }
    }

    /// The rest of what is told in the newer style only.
    fn newer_guest_packet(&self, dom: NonnullDomain<'_>, callback_id: i32) -> Option<Packet> {
        match self {
            Self::Tunable { params } => Packet::new::<remote::DomainEventCallbackTunable>(
                &remote::DomainEventCallbackTunableMsg {
                    callback_id,
                    dom,
                    params: params.clone(),
                },
            ),
            Self::AgentLifecycle { state, reason } => {
                Packet::new::<remote::DomainEventCallbackAgentLifecycle>(
                    &remote::DomainEventCallbackAgentLifecycleMsg {
                        callback_id,
                        dom,
                        state: state.0,
                        reason: reason.0,
                    },
                )
            }
            Self::MigrationIteration { iteration } => {
                Packet::new::<remote::DomainEventCallbackMigrationIteration>(
                    &remote::DomainEventCallbackMigrationIterationMsg {
                        callback_id,
                        dom,
                        iteration: *iteration,
                    },
                )
            }
            Self::JobCompleted { params } => {
                Packet::new::<remote::DomainEventCallbackJobCompleted>(
                    &remote::DomainEventCallbackJobCompletedMsg {
                        callback_id,
                        dom,
                        params: params.clone(),
                    },
                )
            }
            Self::MetadataChange { kind, ns_uri } => {
                Packet::new::<remote::DomainEventCallbackMetadataChange>(
                    &remote::DomainEventCallbackMetadataChangeMsg {
                        callback_id,
                        dom,
                        type_: kind.0,
                        nsuri: optional(ns_uri),
                    },
                )
            }
            Self::MemoryFailure {
                recipient,
                action,
                flags,
            } => Packet::new::<remote::DomainEventMemoryFailure>(
                &remote::DomainEventMemoryFailureMsg {
                    callback_id,
                    dom,
                    recipient: recipient.0,
                    action: action.0,
                    flags: flags.bits(),
                },
            ),
            Self::ChannelLifecycle {
                channel_name,
                state,
                reason,
            } => Packet::new::<remote::DomainEventCallbackChannelLifecycle>(
                &remote::DomainEventCallbackChannelLifecycleMsg {
                    callback_id,
                    dom,
                    channel_name: text(channel_name),
                    state: state.0,
                    reason: reason.0,
                },
            ),
            _ => None,
        }
    }
}

/// An event that both styles have: the newer one wraps the message of the other.
fn both<'a, L: Event, M: Event>(
    callback: Option<i32>,
    message: L::Msg<'a>,
    wrap: impl FnOnce(i32, L::Msg<'a>) -> M::Msg<'a>,
) -> Option<Packet> {
    match callback {
        Some(callback) => Packet::new::<M>(&wrap(callback, message)),
        None => Packet::new::<L>(&message),
    }
}

fn text(text: &str) -> Str<'_> {
    Str::from(text)
}

fn optional(text: &Option<String>) -> Option<Str<'_>> {
    text.as_deref().map(Str::from)
}
