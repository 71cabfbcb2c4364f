//! The values of events, and what stands for them on the wire.

use virtwire_xdr::{IntoOwned, Str};

use super::{GraphicsAddress, GraphicsIdentity, Lifecycle};
use crate::constants::{
    ConnectDomainEventAgentLifecycleReason, ConnectDomainEventAgentLifecycleState,
    ConnectDomainEventBlockJobStatus, ConnectDomainEventChannelLifecycleReason,
    ConnectDomainEventChannelLifecycleState, ConnectDomainEventDiskChangeReason,
    DomainBlockJobType, DomainEventGraphicsAddressType, DomainEventGraphicsPhase,
    DomainEventIoErrorAction, DomainEventTrayChangeReason, DomainEventType,
    DomainEventWatchdogAction, DomainMemoryFailureActionType, DomainMemoryFailureFlags,
    DomainMemoryFailureRecipientType, DomainMetadataType, NetworkEventLifecycleType,
    NetworkMetadataType, NodeDeviceEventLifecycleType, SecretEventLifecycleType,
    StoragePoolEventLifecycleType,
};
use crate::remote::{DomainEventGraphicsAddress, DomainEventGraphicsIdentity, TypedParam};

/// A value that has another form on the wire, which may borrow.
pub(super) trait Value<'a> {
    /// That form.
    type Wire;

    fn from_wire(wire: Self::Wire) -> Self;
    fn to_wire(&'a self) -> Self::Wire;
}

macro_rules! as_it_is {
    ($($value:ty),*) => {$(
        impl Value<'_> for $value {
            type Wire = Self;

            fn from_wire(wire: Self) -> Self {
                wire
            }

            fn to_wire(&self) -> Self {
                *self
            }
        }
    )*};
}

as_it_is!(i32, u32, i64, u64);

macro_rules! numbers {
    ($($value:ident),*) => {$(
        impl Value<'_> for $value {
            type Wire = i32;

            fn from_wire(wire: i32) -> Self {
                Self(wire)
            }

            fn to_wire(&self) -> i32 {
                self.0
            }
        }
    )*};
}

numbers!(
    ConnectDomainEventAgentLifecycleReason,
    ConnectDomainEventAgentLifecycleState,
    ConnectDomainEventBlockJobStatus,
    ConnectDomainEventChannelLifecycleReason,
    ConnectDomainEventChannelLifecycleState,
    ConnectDomainEventDiskChangeReason,
    DomainBlockJobType,
    DomainEventGraphicsAddressType,
    DomainEventGraphicsPhase,
    DomainEventIoErrorAction,
    DomainEventTrayChangeReason,
    DomainEventWatchdogAction,
    DomainMemoryFailureActionType,
    DomainMemoryFailureRecipientType,
    DomainMetadataType,
    NetworkEventLifecycleType,
    NetworkMetadataType,
    NodeDeviceEventLifecycleType,
    SecretEventLifecycleType,
    StoragePoolEventLifecycleType
);

impl Value<'_> for DomainMemoryFailureFlags {
    type Wire = u32;

    fn from_wire(wire: u32) -> Self {
        Self::from_bits_retain(wire)
    }

    fn to_wire(&self) -> u32 {
        self.bits()
    }
}

impl Value<'_> for Lifecycle {
    type Wire = (i32, i32);

    fn from_wire((event, detail): (i32, i32)) -> Self {
        Self::new(DomainEventType(event), detail)
    }

    fn to_wire(&self) -> (i32, i32) {
        (self.event().0, self.detail())
    }
}

impl<'a> Value<'a> for String {
    type Wire = Str<'a>;

    fn from_wire(wire: Str<'a>) -> Self {
        wire.to_string_lossy().into_owned()
    }

    fn to_wire(&'a self) -> Str<'a> {
        Str::from(self)
    }
}

impl<'a, T: Value<'a>> Value<'a> for Option<T> {
    type Wire = Option<T::Wire>;

    fn from_wire(wire: Self::Wire) -> Self {
        wire.map(T::from_wire)
    }

    fn to_wire(&'a self) -> Self::Wire {
        self.as_ref().map(T::to_wire)
    }
}

impl<'a, T: Value<'a>> Value<'a> for Vec<T> {
    type Wire = Vec<T::Wire>;

    fn from_wire(wire: Self::Wire) -> Self {
        wire.into_iter().map(T::from_wire).collect()
    }

    fn to_wire(&'a self) -> Self::Wire {
        self.iter().map(T::to_wire).collect()
    }
}

impl<'a> Value<'a> for TypedParam<'static> {
    type Wire = TypedParam<'a>;

    fn from_wire(wire: TypedParam<'a>) -> Self {
        wire.into_owned()
    }

    fn to_wire(&'a self) -> TypedParam<'a> {
        self.clone()
    }
}

impl<'a> Value<'a> for GraphicsAddress {
    type Wire = DomainEventGraphicsAddress<'a>;

    fn from_wire(wire: Self::Wire) -> Self {
        Self {
            family: Value::from_wire(wire.family),
            node: Value::from_wire(wire.node),
            service: Value::from_wire(wire.service),
        }
    }

    fn to_wire(&'a self) -> Self::Wire {
        DomainEventGraphicsAddress {
            family: self.family.to_wire(),
            node: self.node.to_wire(),
            service: self.service.to_wire(),
        }
    }
}

impl<'a> Value<'a> for GraphicsIdentity {
    type Wire = DomainEventGraphicsIdentity<'a>;

    fn from_wire(wire: Self::Wire) -> Self {
        Self {
            kind: Value::from_wire(wire.type_),
            name: Value::from_wire(wire.name),
        }
    }

    fn to_wire(&'a self) -> Self::Wire {
        DomainEventGraphicsIdentity {
            type_: self.kind.to_wire(),
            name: self.name.to_wire(),
        }
    }
}
