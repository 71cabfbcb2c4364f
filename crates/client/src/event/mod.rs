//! Events: what the daemon tells without being asked.

mod registry;

#[cfg(fuzzing)]
pub use registry::fuzzing;
pub(crate) use registry::{Registry, RegistryCall};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, oneshot};
use virtwire_protocol::constants::DomainEventId;
use virtwire_protocol::remote;
use virtwire_protocol::session::{CallFailure, CallRequest, CloseCause, EventPacket};

use crate::connection::Control;
use crate::error::Cause;
use crate::{Connection, Domain, Error, Uuid};

/// How many events may wait for a subscriber before it is told that it lagged.
const QUEUE_LENGTH: usize = 256;

/// The kinds of domain events that a subscription can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum DomainEventKind {
    /// The domain started, stopped, was suspended, …
    Lifecycle,
    /// A block job changed its state; names the disk by its target.
    BlockJob2,
}

impl DomainEventKind {
    fn id(self) -> i32 {
        match self {
            Self::Lifecycle => DomainEventId::LIFECYCLE.0,
            Self::BlockJob2 => DomainEventId::BLOCK_JOB_2.0,
        }
    }
}

/// What a registration on the daemon is for. The daemon refuses a second one for the same thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RegistrationKey {
    event: i32,
    /// `None` for the events of every domain.
    domain: Option<Uuid>,
}

impl RegistrationKey {
    /// Held from the first subscription until the connection closes, for an event that hardly ever
    /// comes.
    ///
    /// A daemon whose last registration is given up while an event is being queued keeps that
    /// event in a queue without a timer, and then delivers nothing to anybody until all
    /// registrations are given up again (libvirt's `object_event.c`: the timer is looked at
    /// without the lock). With this one there is no last registration to give up.
    const ANCHOR: Self = Self {
        event: DomainEventId::CONTROL_ERROR.0,
        domain: None,
    };
}

/// What a subscription yields.
#[derive(Debug)]
pub(crate) enum Notice {
    /// An event.
    Event(EventPacket),
    /// The subscriber was too slow: events were dropped here.
    Lagged,
    /// The connection is closed; nothing follows.
    Closed(Arc<CloseCause>),
}

/// What the driver needs to serve a subscription.
#[derive(Debug)]
pub(crate) struct Subscribe {
    pub(crate) id: u64,
    pub(crate) registrations: Vec<(RegistrationKey, CallRequest)>,
    pub(crate) queue: mpsc::Sender<EventPacket>,
    pub(crate) lagged: Arc<AtomicBool>,
    pub(crate) ready: oneshot::Sender<Result<(), CallFailure>>,
}

/// A queue of events. Dropping it gives up the registrations that nobody else uses.
#[derive(Debug)]
pub(crate) struct Subscription {
    id: u64,
    connection: Connection,
    queue: mpsc::Receiver<EventPacket>,
    lagged: Arc<AtomicBool>,
}

impl Subscription {
    /// The next notice.
    ///
    /// # Cancel safety
    ///
    /// Safe: no event is lost by dropping the future.
    pub(crate) async fn recv(&mut self) -> Notice {
        if let Some(lagged) = self.gap() {
            return lagged;
        }
        match self.queue.recv().await {
            Some(event) => Notice::Event(event),
            None => Notice::Closed(self.connection.close_cause_or_lost()),
        }
    }

    /// The next notice, if there is one now.
    pub(crate) fn try_recv(&mut self) -> Option<Notice> {
        self.gap()
            .or_else(|| self.queue.try_recv().ok().map(Notice::Event))
    }

    /// The events before the gap come first.
    fn gap(&self) -> Option<Notice> {
        if !self.queue.is_empty() {
            return None;
        }
        self.lagged
            .swap(false, Ordering::Relaxed)
            .then_some(Notice::Lagged)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.connection.control(Control::Unsubscribe(self.id));
    }
}

impl Connection {
    /// Asks for events of one domain and returns when the daemon has agreed, so that whatever
    /// happens from then on is seen.
    pub(crate) async fn subscribe_domain(
        &self,
        domain: &Domain,
        kinds: &[DomainEventKind],
    ) -> Result<Subscription, Error> {
        let keys = kinds.iter().map(|kind| RegistrationKey {
            event: kind.id(),
            domain: Some(domain.uuid()),
        });
        let mut registrations = Vec::with_capacity(kinds.len() + 1);
        for key in keys.chain([RegistrationKey::ANCHOR]) {
            let args = remote::ConnectDomainEventCallbackRegisterAnyArgs {
                event_id: key.event,
                dom: key.domain.map(|_| domain.wire()),
            };
            let request = CallRequest::new::<remote::ConnectDomainEventCallbackRegisterAny>(&args)
                .map_err(Cause::Encode)?;
            registrations.push((key, request));
        }
        let (sender, queue) = mpsc::channel(QUEUE_LENGTH);
        let (ready, registered) = oneshot::channel();
        let subscription = Subscription {
            id: self.next_subscription_id(),
            connection: self.clone(),
            queue,
            lagged: Arc::default(),
        };
        self.control(Control::Subscribe(Subscribe {
            id: subscription.id,
            registrations,
            queue: sender,
            lagged: Arc::clone(&subscription.lagged),
            ready,
        }));
        match self.within_deadline(registered).await? {
            Ok(Ok(())) => Ok(subscription),
            Ok(Err(failure)) => Err(Cause::from(failure).into()),
            Err(_) => Err(Cause::Closed(self.close_cause_or_lost()).into()),
        }
    }
}
