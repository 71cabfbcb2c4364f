//! Events: what the daemon tells without being asked.
//!
//! ```no_run
//! # async fn example(connection: virtwire::Connection) -> Result<(), Box<dyn std::error::Error>> {
//! use virtwire::constants::DomainEventId;
//! use virtwire::event::{DomainEventKind, EventError};
//!
//! let ids = [DomainEventId::LIFECYCLE, DomainEventId::BLOCK_JOB_2];
//! let mut events = connection.domain_events(ids).await?;
//! loop {
//!     match events.recv().await {
//!         Ok(event) => match event.kind {
//!             DomainEventKind::Lifecycle(what) => println!("{} {what:?}", event.domain.name()),
//!             other => println!("{} {other:?}", event.domain.name()),
//!         },
//!         Err(EventError::Closed(cause)) => break println!("no more: {cause}"),
//!         // Some were missed: look up the state of what matters.
//!         Err(error) => println!("{error}"),
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! # What is promised
//!
//! - A subscription is there when the call that makes it returns. Subscribe, then look up the
//!   state, then act: nothing falls in between.
//! - Events of one stream come in the order in which the daemon sent them, also those that it sends
//!   before it has confirmed all that the stream asked for. An event and the answer to the call that
//!   caused it come in any order: different threads of the daemon send them.
//! - What is lost is announced in its place: [`EventError::Lagged`], [`EventError::Gap`]. At a gap
//!   the events are registered again, and [`EventStream::refused`] says which are not any more.
//! - Several streams that want the same share one registration on the daemon, which refuses a
//!   second one. Each has a queue of its own, and none can hold up another, the answers to calls,
//!   or the connection's signs of life.
//! - Any call may be made while an event is handled.
//! - After [`EventStream::unsubscribe`] the daemon has nothing registered for the stream any more,
//!   but for one registration of each class, for an object that does not exist: libvirt can lose
//!   events when a driver's last registration goes, so it goes with the connection. That holds for
//!   streams that ended by themselves, too.
//!
//! libvirt leaves out events of objects that the connection may not see, without a word.

mod builder;
mod queue;
mod registration;
mod registry;
mod stream;
mod value;

pub use builder::Builder;
pub use queue::{CoalesceKey, Overflow};
pub use registration::MonitorFilter;
pub(crate) use registration::RegistrationKey;
#[cfg(fuzzing)]
pub use registry::fuzzing;
pub(crate) use registry::{Leaving, Registry, RegistryCall, Subscribe};
pub use stream::{EventError, EventStream};
pub use value::{
    ConnectionClosedEvent, DomainEvent, Event, FromEvent, LifecycleEvent, NetworkEvent,
    NodeDeviceEvent, QemuMonitorEvent, SecretEvent, StoragePoolEvent, UnknownEvent,
};
pub use virtwire_protocol::event::{
    DomainEventKind, EventClass, EventId, GraphicsAddress, GraphicsIdentity, Lifecycle,
    MonitorEvent, NetworkEventKind, NodeDeviceEventKind, SecretEventKind, StoragePoolEventKind,
};
