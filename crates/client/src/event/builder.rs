//! Asking for events.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;
use virtwire_protocol::constants::DomainEventId;
use virtwire_protocol::event::{EventClass, EventId, Style};

use super::queue::{self, Overflow};
use super::registration::{MonitorFilter, ObjectKey, RegistrationKey, has_legacy_style};
use super::registry::Subscribe;
use super::stream::{EventStream, Subscription};
use super::value::{DomainEvent, Event, FromEvent, LifecycleEvent};
use crate::connection::Control;
use crate::error::{CallContext, Cause, Execution};
use crate::{Connection, Domain, Error, Network, NodeDevice, Secret, StoragePool};

/// How many events may wait for a subscriber, unless it wishes otherwise.
const QUEUE_LENGTH: usize = 256;

/// A subscription that is not made yet.
///
/// ```no_run
/// # async fn example(connection: virtwire::Connection) -> Result<(), Box<dyn std::error::Error>> {
/// use virtwire::constants::{DomainEventId, NetworkEventId};
/// use virtwire::event::{EventError, Overflow};
///
/// let mut events = connection
///     .events()
///     .event(DomainEventId::LIFECYCLE)
///     .event(NetworkEventId::LIFECYCLE)
///     .queue_length(1000)
///     .overflow(Overflow::DropOldest)
///     .subscribe()
///     .await?;
/// // Whatever happens from here on is seen.
/// loop {
///     match events.recv().await {
///         Ok(event) => println!("{event:?}"),
///         Err(EventError::Lagged(missed)) => println!("{missed} events were missed"),
///         Err(error) if error.is_end() => return Err(error.into()),
///         Err(error) => println!("{error}"),
///     }
/// }
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it subscribes"]
pub struct Builder {
    connection: Connection,
    events: Vec<(EventId, Option<MonitorFilter>)>,
    object: Option<ObjectKey>,
    queue_length: usize,
    overflow: Overflow,
    skip_unsupported: bool,
    unknown: bool,
}

impl Builder {
    fn new(connection: &Connection) -> Self {
        Self {
            connection: connection.clone(),
            events: Vec::new(),
            object: None,
            queue_length: QUEUE_LENGTH,
            overflow: Overflow::default(),
            skip_unsupported: false,
            unknown: false,
        }
    }

    /// Asks for events of this ID as well. An ID that this version does not know may be asked
    /// for; its events come as [`Event::Unknown`].
    pub fn event(self, event: impl Into<EventId>) -> Self {
        self.add(event.into(), None)
    }

    /// Asks for events of these IDs as well.
    pub fn events(self, events: impl IntoIterator<Item = impl Into<EventId>>) -> Self {
        events.into_iter().fold(self, Self::event)
    }

    /// Asks for events that QEMU tells libvirt, chosen by their names. Libvirt makes no promises
    /// about these.
    #[doc(alias = "virConnectDomainQemuMonitorEventRegister")]
    pub fn qemu_monitor(self, filter: MonitorFilter) -> Self {
        self.add(EventId::QemuMonitor, Some(filter))
    }

    /// Only events of this domain. The daemon sends no others.
    pub fn domain(self, domain: &Domain) -> Self {
        self.about(ObjectKey::Domain(domain.uuid()))
    }

    /// Only events of this network. The daemon sends no others.
    pub fn network(self, network: &Network) -> Self {
        self.about(ObjectKey::Network(network.uuid()))
    }

    /// Only events of this storage pool. The daemon sends no others.
    pub fn storage_pool(self, pool: &StoragePool) -> Self {
        self.about(ObjectKey::StoragePool(pool.uuid()))
    }

    /// Only events of this device. The daemon sends no others.
    pub fn node_device(self, device: &NodeDevice) -> Self {
        self.about(ObjectKey::NodeDevice(Arc::from(device.name())))
    }

    /// Only events of this secret. The daemon sends no others.
    pub fn secret(self, secret: &Secret) -> Self {
        self.about(ObjectKey::Secret(secret.uuid()))
    }

    /// How many events may wait, at least one; 256 by default. An event takes about a hundred
    /// bytes beside its own length, which is at most 64 KiB.
    pub fn queue_length(mut self, events: usize) -> Self {
        self.queue_length = events;
        self
    }

    /// What becomes of events that there is no room for.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Does without the events that the daemon refuses, which [`EventStream::refused`] then
    /// names, as long as one is left.
    pub fn skip_unsupported(mut self) -> Self {
        self.skip_unsupported = true;
        self
    }

    /// Subscribes, and returns when the daemon has agreed: whatever happens from then on is seen.
    ///
    /// # Errors
    ///
    /// What the daemon answers (kind `Remote`): `INTERNAL_ERROR` for an event it does not know,
    /// `NO_SUPPORT` for objects it does not have. Kind `InvalidInput` when no event was asked for,
    /// or events of other objects than the one that was chosen; `Unsupported` for an event that
    /// an old daemon has no way to tell.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes back what was asked for.
    #[doc(alias = "virConnectDomainEventRegisterAny")]
    #[doc(alias = "virConnectNetworkEventRegisterAny")]
    #[doc(alias = "virConnectStoragePoolEventRegisterAny")]
    #[doc(alias = "virConnectNodeDeviceEventRegisterAny")]
    #[doc(alias = "virConnectSecretEventRegisterAny")]
    pub async fn subscribe(self) -> Result<EventStream<Event>, Error> {
        self.subscribe_as().await
    }

    /// As [`subscribe`](Self::subscribe), for items of one type.
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe); kind `InvalidInput` also when events are asked for that
    /// are no such items.
    ///
    /// # Cancel safety
    ///
    /// As [`subscribe`](Self::subscribe).
    pub async fn subscribe_as<T: FromEvent>(self) -> Result<EventStream<T>, Error> {
        self.check::<T>()?;
        let style = self.style().await?;
        let started = Instant::now();
        let mut registrations = Vec::new();
        let keys = self.keys(style)?;
        let procedure = keys.first().map_or("", RegistrationKey::procedure);
        for key in keys {
            let request = key.register().map_err(Cause::Encode)?;
            registrations.push((key, request));
        }
        let (sender, queue) = queue::queue(self.queue_length, self.overflow);
        let (ready, registered) = oneshot::channel();
        let connection = &self.connection;
        let subscription = Subscription {
            id: connection.next_subscription_id(),
            connection: connection.clone(),
            queue,
        };
        let object = self.object.clone();
        connection.control(Control::Subscribe(Box::new(Subscribe {
            id: subscription.id,
            registrations,
            asked: self.events.len(),
            queue: sender,
            only: object.filter(|_| style == Style::Legacy),
            tolerant: self.skip_unsupported,
            unknown: self.unknown,
            ready,
        })));
        let begun = async {
            // Where nobody looks any more, nobody will answer.
            if connection.is_heard() {
                return registered.await.ok();
            }
            None
        };
        let (procedure, cause, execution) = match connection.within_deadline(begun).await {
            Ok(Some(Ok(()))) => return Ok(EventStream::new(subscription)),
            Ok(Some(Err((key, failure)))) => {
                let execution = Execution::of(&failure);
                (key.procedure(), Cause::from(failure), execution)
            }
            Ok(None) => {
                let cause = Cause::Closed(connection.close_cause_or_lost());
                (procedure, cause, Execution::MaybeExecuted)
            }
            Err(timeout) => (procedure, timeout, Execution::MaybeExecuted),
        };
        let context = CallContext {
            procedure,
            serial: None,
            elapsed: started.elapsed(),
            execution,
            // What may have been registered is given up.
            repeatable: true,
        };
        Err(Error::of_call(cause, context))
    }

    fn add(mut self, event: EventId, filter: Option<MonitorFilter>) -> Self {
        let every = || (event == EventId::QemuMonitor).then(MonitorFilter::all);
        let filter = filter.or_else(every);
        if !self.events.contains(&(event, filter.clone())) {
            self.events.push((event, filter));
        }
        self
    }

    fn about(mut self, object: ObjectKey) -> Self {
        self.object = Some(object);
        self
    }

    fn check<T: FromEvent>(&self) -> Result<(), Error> {
        let refuse = |limit, given: String| {
            let what = "a subscription";
            Err(Cause::InvalidInput { what, limit, given }.into())
        };
        if self.events.is_empty() {
            return refuse("at least one event", "none".to_owned());
        }
        for (event, _) in &self.events {
            if !T::accepts(*event) {
                return refuse("events of the type of its items", event.to_string());
            }
            let object = self.object.as_ref();
            if object.is_some_and(|object| !object.suits(event.class())) {
                return refuse("events of the object that was chosen", event.to_string());
            }
        }
        Ok(())
    }

    /// How the daemon tells events of domains. It need not be asked for the sake of others.
    async fn style(&self) -> Result<Style, Error> {
        let about_domains = |(event, _): &(EventId, _)| event.class() == EventClass::Domain;
        if self.events.iter().any(about_domains) {
            self.connection.event_style().await
        } else {
            Ok(Style::Callback)
        }
    }

    /// What to register for, anchors included.
    fn keys(&self, style: Style) -> Result<Vec<RegistrationKey>, Error> {
        let mut keys = Vec::with_capacity(self.events.len() + 1);
        let mut anchors = HashSet::new();
        for (event, filter) in &self.events {
            let legacy = event.class() == EventClass::Domain && style == Style::Legacy;
            // One that may be refused is asked for: what the daemon says to that is to be told.
            if legacy && !has_legacy_style(*event) && !self.skip_unsupported {
                return Err(Cause::Unsupported("this event by a daemon of this age").into());
            }
            let mut key = RegistrationKey::new(*event, self.object.clone());
            if legacy {
                key = RegistrationKey::legacy(*event);
            }
            anchors.extend(RegistrationKey::anchor(event.class(), key.style));
            key.filter.clone_from(filter);
            keys.push(key);
        }
        let missing = anchors.into_iter().filter(|anchor| !keys.contains(anchor));
        let missing: Vec<_> = missing.collect();
        keys.extend(missing);
        Ok(keys)
    }
}

impl Connection {
    /// Asks for events, as the builder is told.
    pub fn events(&self) -> Builder {
        Builder::new(self)
    }

    /// Events of all domains, of these IDs.
    ///
    /// # Errors
    ///
    /// As [`event::Builder::subscribe`](Builder::subscribe).
    ///
    /// # Cancel safety
    ///
    /// As [`event::Builder::subscribe`](Builder::subscribe).
    #[doc(alias = "virConnectDomainEventRegisterAny")]
    pub async fn domain_events(
        &self,
        events: impl IntoIterator<Item = DomainEventId>,
    ) -> Result<EventStream<DomainEvent>, Error> {
        self.events().events(events).subscribe_as().await
    }

    /// Everything that this version knows and the daemon has to tell, and what this version does
    /// not know but somebody has asked the daemon for. For tools; a program asks for what it
    /// needs.
    ///
    /// # Errors
    ///
    /// As [`event::Builder::subscribe`](Builder::subscribe).
    ///
    /// # Cancel safety
    ///
    /// As [`event::Builder::subscribe`](Builder::subscribe).
    pub async fn all_events(&self) -> Result<EventStream<Event>, Error> {
        self.events().all().subscribe().await
    }
}

impl Builder {
    /// Asks for everything that this version knows, as far as the daemon has it, and for what this
    /// version does not know but somebody has asked the daemon for.
    pub fn all(mut self) -> Self {
        self = self.events(EventId::known());
        self.unknown = true;
        self.skip_unsupported()
    }
}

impl Domain {
    /// What happens in this domain's life. The daemon sends no events of others.
    ///
    /// ```no_run
    /// # async fn example(guest: virtwire::Domain) -> Result<(), Box<dyn std::error::Error>> {
    /// use virtwire::event::Lifecycle;
    ///
    /// let mut events = guest.lifecycle_events().await?;
    /// while let Ok(event) = events.recv().await {
    ///     if let Lifecycle::Stopped(detail) = event.lifecycle {
    ///         println!("{} stopped: {detail:?}", event.domain.name());
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`event::Builder::subscribe`](Builder::subscribe).
    ///
    /// # Cancel safety
    ///
    /// As [`event::Builder::subscribe`](Builder::subscribe).
    pub async fn lifecycle_events(&self) -> Result<EventStream<LifecycleEvent>, Error> {
        let builder = self.connection().events().domain(self);
        builder.event(DomainEventId::LIFECYCLE).subscribe_as().await
    }

    /// Events of this domain, of these IDs. The daemon sends no events of others.
    ///
    /// # Errors
    ///
    /// As [`event::Builder::subscribe`](Builder::subscribe).
    ///
    /// # Cancel safety
    ///
    /// As [`event::Builder::subscribe`](Builder::subscribe).
    pub async fn events(
        &self,
        events: impl IntoIterator<Item = DomainEventId>,
    ) -> Result<EventStream<DomainEvent>, Error> {
        let builder = self.connection().events().domain(self);
        builder.events(events).subscribe_as().await
    }
}

#[cfg(test)]
mod tests;
