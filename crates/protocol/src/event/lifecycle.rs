//! A domain's life.

use crate::constants::{
    DomainEventCrashedDetailType, DomainEventDefinedDetailType, DomainEventPmSuspendedDetailType,
    DomainEventResumedDetailType, DomainEventShutdownDetailType, DomainEventStartedDetailType,
    DomainEventStoppedDetailType, DomainEventSuspendedDetailType, DomainEventType,
    DomainEventUndefinedDetailType,
};

/// A step in a domain's life, and how it came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Lifecycle {
    /// It has a definition, or another one.
    Defined(DomainEventDefinedDetailType),
    /// It has no definition any more.
    Undefined(DomainEventUndefinedDetailType),
    /// It runs.
    Started(DomainEventStartedDetailType),
    /// It is paused.
    Suspended(DomainEventSuspendedDetailType),
    /// It goes on.
    Resumed(DomainEventResumedDetailType),
    /// It does not run any more.
    Stopped(DomainEventStoppedDetailType),
    /// Its guest has shut down; the process that runs it is still there.
    Shutdown(DomainEventShutdownDetailType),
    /// Its guest has gone to sleep.
    PmSuspended(DomainEventPmSuspendedDetailType),
    /// Its guest, or the process that runs it, has crashed.
    Crashed(DomainEventCrashedDetailType),
    /// A step that this version has no name for. [`Lifecycle::new`] makes it of no other.
    Other {
        /// What happened.
        event: DomainEventType,
        /// How, in numbers of a type that belongs to the event.
        detail: i32,
    },
}

macro_rules! steps {
    ($($step:ident = $event:ident($detail:ident)),*) => {
        impl Lifecycle {
            /// The step with these numbers.
            #[must_use]
            pub const fn new(event: DomainEventType, detail: i32) -> Self {
                match event {
                    $(DomainEventType::$event => Self::$step($detail(detail)),)*
                    _ => Self::Other { event, detail },
                }
            }

            /// What happened.
            #[must_use]
            pub const fn event(self) -> DomainEventType {
                match self {
                    $(Self::$step(_) => DomainEventType::$event,)*
                    Self::Other { event, .. } => event,
                }
            }

            /// How, in numbers of a type that belongs to the event.
            #[must_use]
            pub const fn detail(self) -> i32 {
                match self {
                    $(Self::$step(detail) => detail.0,)*
                    Self::Other { detail, .. } => detail,
                }
            }

            /// How, by the name that libvirt has for it, such as `BOOTED`.
            #[must_use]
            pub const fn detail_name(self) -> Option<&'static str> {
                match self {
                    $(Self::$step(detail) => detail.name(),)*
                    Self::Other { .. } => None,
                }
            }
        }

        $(impl From<$detail> for Lifecycle {
            fn from(detail: $detail) -> Self {
                Self::$step(detail)
            }
        })*
    };
}

steps! {
    Defined = DEFINED(DomainEventDefinedDetailType),
    Undefined = UNDEFINED(DomainEventUndefinedDetailType),
    Started = STARTED(DomainEventStartedDetailType),
    Suspended = SUSPENDED(DomainEventSuspendedDetailType),
    Resumed = RESUMED(DomainEventResumedDetailType),
    Stopped = STOPPED(DomainEventStoppedDetailType),
    Shutdown = SHUTDOWN(DomainEventShutdownDetailType),
    PmSuspended = PMSUSPENDED(DomainEventPmSuspendedDetailType),
    Crashed = CRASHED(DomainEventCrashedDetailType)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_numbers_is_kept() {
        for event in -1..12 {
            for detail in [-1, 0, 1, 9, i32::MAX] {
                let step = Lifecycle::new(DomainEventType(event), detail);
                assert_eq!((step.event().0, step.detail()), (event, detail));
                let other = matches!(step, Lifecycle::Other { .. });
                assert_eq!(other, DomainEventType(event).name().is_none(), "{step:?}");
            }
        }
    }

    #[test]
    fn details_have_the_names_of_their_own_type() {
        let name = |event, detail| Lifecycle::new(event, detail).detail_name();
        assert_eq!(name(DomainEventType::STARTED, 0), Some("BOOTED"));
        assert_eq!(name(DomainEventType::STOPPED, 0), Some("SHUTDOWN"));
        assert_eq!(name(DomainEventType::STARTED, 77), None);
        assert_eq!(name(DomainEventType(77), 0), None);
    }
}
