//! Which message of the protocol tells of which kind of event, and which of its fields is which.
//!
//! A row reads
//!
//! ```text
//! ID Kind { fields } = Message { fields of the message: fields of the kind }
//! ```
//!
//! Both ways are made from it: the fields of the message are a pattern to decode, and an
//! expression to encode. Those of a kind in both styles are the legacy message's, which the other
//! message wraps.

use virtwire_xdr::DecodeError;

use super::message::{packet, read};
use super::value::Value;
use super::{
    DomainEventKind, EncodeMessageError, EventId, EventRoute, Message, NetworkEventKind,
    NodeDeviceEventKind, SecretEventKind, StoragePoolEventKind, Style,
};
use crate::constants::{
    DomainEventId, NetworkEventId, NodeDeviceEventId, SecretEventId, StoragePoolEventId,
};
use crate::session::EventPacket;
use crate::{Event, remote};

/// The fields of a message that make a field of the kind: one of the same name unless others are
/// given.
macro_rules! parts {
    ($field:ident) => {
        $field
    };
    ($field:ident $parts:tt) => {
        $parts
    };
}

macro_rules! table {
    (
        $class:ident: $kinds:ident, $ids:ident, $object:ident: $subject:ident;
        both {$(
            $both_id:ident $both_kind:ident {
                $($both_field:ident $(($both_member:tt: $both_parts:tt))?),*
            } = $legacy:ident, $wrapping:ident { $($both_wire:tt)* }
        )*}
        callback {$(
            $id:ident $kind:ident { $($field:ident),* } = $event:ident { $($wire:tt)* }
        )*}
    ) => {
        impl $kinds {
            /// Every kind there is.
            pub(super) const IDS: &'static [$ids] =
                &[$($ids::$both_id,)* $($ids::$id,)*];

            /// The kind, as one registers for it.
            #[must_use]
            pub const fn id(&self) -> $ids {
                match self {
                    $(Self::$both_kind { .. } => $ids::$both_id,)*
                    $(Self::$kind { .. } => $ids::$id,)*
                }
            }

            pub(super) fn route(procedure: i32) -> Option<EventRoute> {
                let (id, style) = match procedure {
                    $(
                        <remote::$legacy as Event>::NUMBER => ($ids::$both_id, Style::Legacy),
                        <remote::$wrapping as Event>::NUMBER => ($ids::$both_id, Style::Callback),
                    )*
                    $(<remote::$event as Event>::NUMBER => ($ids::$id, Style::Callback),)*
                    _ => return None,
                };
                Some(EventRoute::new(EventId::$class(id), style))
            }

            pub(super) fn decode(
                procedure: i32,
                payload: &[u8],
            ) -> Result<Option<Message<'_>>, DecodeError> {
                let (callback_id, subject, kind) = match procedure {
                    $(
                        <remote::$legacy as Event>::NUMBER
                        | <remote::$wrapping as Event>::NUMBER => {
                            type Legacy<'a> = <remote::$legacy as Event>::Msg<'a>;
                            let (callback_id, message) =
                                if procedure == <remote::$legacy as Event>::NUMBER {
                                    (None, read::<remote::$legacy>(payload)?)
                                } else {
                                    let message = read::<remote::$wrapping>(payload)?;
                                    (Some(message.callback_id), message.msg)
                                };
                            let Legacy { $object, $($both_wire)* } = message;
                            $(
                                let $both_field = Value::from_wire(
                                    parts!($both_field $($both_parts)?)
                                );
                            )*
                            let kind = Self::$both_kind { $($($both_member:)? $both_field),* };
                            (callback_id, $object, kind)
                        }
                    )*
                    $(
                        <remote::$event as Event>::NUMBER => {
                            type Msg<'a> = <remote::$event as Event>::Msg<'a>;
                            let Msg { callback_id, $object, $($wire)* } =
                                read::<remote::$event>(payload)?;
                            $(let $field = Value::from_wire($field);)*
                            (Some(callback_id), $object, Self::$kind { $($field),* })
                        }
                    )*
                    _ => return Ok(None),
                };
                Ok(Some(Message::new(callback_id, subject, kind)))
            }

            pub(super) fn encode(
                &self,
                $object: remote::$subject<'_>,
                callback: Option<i32>,
            ) -> Result<EventPacket, EncodeMessageError> {
                match self {
                    $(
                        Self::$both_kind { $($($both_member:)? $both_field),* } => {
                            type Legacy<'a> = <remote::$legacy as Event>::Msg<'a>;
                            type Wrapping<'a> = <remote::$wrapping as Event>::Msg<'a>;
                            $(
                                let parts!($both_field $($both_parts)?) =
                                    Value::to_wire($both_field);
                            )*
                            let msg = Legacy { $object, $($both_wire)* };
                            let Some(callback_id) = callback else {
                                return packet::<remote::$legacy>(&msg);
                            };
                            // Some have a reason as well, of which libvirt has none so far.
                            let mut message = Wrapping::default();
                            message.callback_id = callback_id;
                            message.msg = msg;
                            packet::<remote::$wrapping>(&message)
                        }
                    )*
                    $(
                        Self::$kind { $($field),* } => {
                            type Msg<'a> = <remote::$event as Event>::Msg<'a>;
                            let Some(callback_id) = callback else {
                                let id = EventId::$class($ids::$id);
                                return Err(EncodeMessageError::NeedsCallback(id));
                            };
                            $(let $field = Value::to_wire($field);)*
                            packet::<remote::$event>(&Msg { callback_id, $object, $($wire)* })
                        }
                    )*
                }
            }
        }
    };
}

table! {
    Domain: DomainEventKind, DomainEventId, dom: NonnullDomain;
    both {
        LIFECYCLE Lifecycle { lifecycle (0: (event, detail)) }
            = DomainEventLifecycle, DomainEventCallbackLifecycle { event, detail }
        REBOOT Reboot {} = DomainEventReboot, DomainEventCallbackReboot {}
        RTC_CHANGE RtcChange { offset }
            = DomainEventRtcChange, DomainEventCallbackRtcChange { offset }
        WATCHDOG Watchdog { action }
            = DomainEventWatchdog, DomainEventCallbackWatchdog { action }
        IO_ERROR IoError { src_path, dev_alias, action }
            = DomainEventIoError, DomainEventCallbackIoError { src_path, dev_alias, action }
        GRAPHICS Graphics { phase, local, remote, auth_scheme, subject }
            = DomainEventGraphics, DomainEventCallbackGraphics {
                phase, local, remote, auth_scheme, subject
            }
        IO_ERROR_REASON IoErrorReason { src_path, dev_alias, action, reason }
            = DomainEventIoErrorReason, DomainEventCallbackIoErrorReason {
                src_path, dev_alias, action, reason
            }
        CONTROL_ERROR ControlError {}
            = DomainEventControlError, DomainEventCallbackControlError {}
        BLOCK_JOB BlockJob { path, kind, status }
            = DomainEventBlockJob, DomainEventCallbackBlockJob { path, type_: kind, status }
        DISK_CHANGE DiskChange { old_src_path, new_src_path, dev_alias, reason }
            = DomainEventDiskChange, DomainEventCallbackDiskChange {
                old_src_path, new_src_path, dev_alias, reason
            }
        TRAY_CHANGE TrayChange { dev_alias, reason }
            = DomainEventTrayChange, DomainEventCallbackTrayChange { dev_alias, reason }
        PMWAKEUP PmWakeup {} = DomainEventPmwakeup, DomainEventCallbackPmwakeup {}
        PMSUSPEND PmSuspend {} = DomainEventPmsuspend, DomainEventCallbackPmsuspend {}
        BALLOON_CHANGE BalloonChange { actual }
            = DomainEventBalloonChange, DomainEventCallbackBalloonChange { actual }
        PMSUSPEND_DISK PmSuspendDisk {}
            = DomainEventPmsuspendDisk, DomainEventCallbackPmsuspendDisk {}
        DEVICE_REMOVED DeviceRemoved { dev_alias }
            = DomainEventDeviceRemoved, DomainEventCallbackDeviceRemoved { dev_alias }
    }
    callback {
        BLOCK_JOB_2 BlockJob2 { dst, kind, status }
            = DomainEventBlockJob2 { dst, type_: kind, status }
        TUNABLE Tunable { params } = DomainEventCallbackTunable { params }
        AGENT_LIFECYCLE AgentLifecycle { state, reason }
            = DomainEventCallbackAgentLifecycle { state, reason }
        DEVICE_ADDED DeviceAdded { dev_alias } = DomainEventCallbackDeviceAdded { dev_alias }
        MIGRATION_ITERATION MigrationIteration { iteration }
            = DomainEventCallbackMigrationIteration { iteration }
        JOB_COMPLETED JobCompleted { params } = DomainEventCallbackJobCompleted { params }
        DEVICE_REMOVAL_FAILED DeviceRemovalFailed { dev_alias }
            = DomainEventCallbackDeviceRemovalFailed { dev_alias }
        METADATA_CHANGE MetadataChange { kind, ns_uri }
            = DomainEventCallbackMetadataChange { type_: kind, nsuri: ns_uri }
        BLOCK_THRESHOLD BlockThreshold { dev, path, threshold, excess }
            = DomainEventBlockThreshold { dev, path, threshold, excess }
        MEMORY_FAILURE MemoryFailure { recipient, action, flags }
            = DomainEventMemoryFailure { recipient, action, flags }
        MEMORY_DEVICE_SIZE_CHANGE MemoryDeviceSizeChange { alias, size }
            = DomainEventMemoryDeviceSizeChange { alias, size }
        NIC_MAC_CHANGE NicMacChange { alias, old_mac, new_mac }
            = DomainEventNicMacChange { alias, old_mac, new_mac }
        VCPU_REMOVED VcpuRemoved { vcpu } = DomainEventVcpuRemoved { vcpuid: vcpu }
        CHANNEL_LIFECYCLE ChannelLifecycle { channel_name, state, reason }
            = DomainEventCallbackChannelLifecycle { channel_name, state, reason }
    }
}

table! {
    Network: NetworkEventKind, NetworkEventId, net: NonnullNetwork;
    both {}
    callback {
        LIFECYCLE Lifecycle { event, detail } = NetworkEventLifecycle { event, detail }
        METADATA_CHANGE MetadataChange { kind, ns_uri }
            = NetworkEventCallbackMetadataChange { type_: kind, nsuri: ns_uri }
    }
}

table! {
    StoragePool: StoragePoolEventKind, StoragePoolEventId, pool: NonnullStoragePool;
    both {}
    callback {
        LIFECYCLE Lifecycle { event, detail } = StoragePoolEventLifecycle { event, detail }
        REFRESH Refresh {} = StoragePoolEventRefresh {}
    }
}

table! {
    NodeDevice: NodeDeviceEventKind, NodeDeviceEventId, dev: NonnullNodeDevice;
    both {}
    callback {
        LIFECYCLE Lifecycle { event, detail } = NodeDeviceEventLifecycle { event, detail }
        UPDATE Update {} = NodeDeviceEventUpdate {}
    }
}

table! {
    Secret: SecretEventKind, SecretEventId, secret: NonnullSecret;
    both {}
    callback {
        LIFECYCLE Lifecycle { event, detail } = SecretEventLifecycle { event, detail }
        VALUE_CHANGED ValueChanged {} = SecretEventValueChanged {}
    }
}
