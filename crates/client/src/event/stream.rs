//! A subscriber's end of a subscription.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tokio::sync::mpsc;
use virtwire_protocol::RemoteError;
use virtwire_protocol::event::EventId;
use virtwire_protocol::session::CloseCause;
use virtwire_xdr::DecodeError;

use super::queue::{End, Item, Receiver};
use super::value::{Event, FromEvent, UnknownEvent};
use crate::connection::Control;
use crate::{Connection, Error};

/// Events, as they come.
///
/// Each item is an event or what there is instead: see [`EventError`]. The stream ends behind the
/// first error that [is an end](EventError::is_end).
///
/// Events wait in a queue of the stream's own. Whoever reads slowly or not at all loses events
/// and is told so; nobody else notices. Any call may be made while an event is handled, on the
/// same connection as well. A stream keeps its connection open, as every handle does.
///
/// Dropping a stream ends its registrations on the daemon in the background, unless other streams
/// share them; [`unsubscribe`](Self::unsubscribe) waits for that.
pub struct EventStream<T> {
    subscription: Subscription,
    over: bool,
    items: PhantomData<fn() -> T>,
}

/// What stands in a stream in place of an event.
///
/// Between two events there is at most one [`Lagged`](Self::Lagged) and one [`Gap`](Self::Gap), in
/// this order: the count is of events that were dropped before the connection was lost or behind
/// that.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// The queue was full: so many events were dropped here, or, where some came before the
    /// daemon had confirmed the subscription, at most so many. Look up the state of what you
    /// follow.
    #[error("{0} events were dropped since they were not read in time")]
    Lagged(u64),
    /// The connection was lost and opened again here, and nobody knows what happened meanwhile.
    /// The events are registered anew, but for those that
    /// [`refused`](EventStream::refused) names from now on. Look up the state of what you follow.
    #[error("the connection was lost for a while, and events with it")]
    Gap,
    /// An event that this version does not know. Only in streams of one type; in a stream of
    /// [`Event`] it is [`Event::Unknown`].
    #[error("an event of a newer daemon: number {} of program {}", .0.procedure, .0.program)]
    Unknown(UnknownEvent),
    /// An event that is not encoded as it ought to be.
    #[error("cannot decode event number {} of program {}", .event.procedure, .event.program)]
    Malformed {
        /// The event.
        event: UnknownEvent,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// The queue was full, and [`Overflow::End`](super::Overflow::End) was chosen for this case.
    /// Nothing follows.
    #[error("events were not read in time")]
    Overflowed,
    /// The daemon refused to register the events again after the connection was lost. Nothing
    /// follows.
    #[error("the daemon refused to register the events again: {0}")]
    Refused(#[source] Arc<RemoteError>),
    /// The events could not be registered again after the connection was lost, since the daemon's
    /// answer makes no sense. Nothing follows.
    #[error("the events could not be registered again: {0}")]
    Failed(#[source] Arc<Error>),
    /// The connection is closed. Nothing follows.
    #[error("connection is closed: {0}")]
    Closed(Arc<CloseCause>),
}

impl EventError {
    /// Whether nothing follows.
    #[must_use]
    pub fn is_end(&self) -> bool {
        matches!(
            self,
            Self::Overflowed | Self::Refused(_) | Self::Failed(_) | Self::Closed(_)
        )
    }

    /// Whether events are missing here.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        matches!(self, Self::Lagged(_) | Self::Gap | Self::Malformed { .. })
    }
}

/// A place among the subscribers. Dropping it gives up the registrations that nobody else uses.
pub(super) struct Subscription {
    pub(super) id: u64,
    pub(super) connection: Connection,
    pub(super) queue: Receiver,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.connection.control(Control::Unsubscribe(self.id, None));
    }
}

impl<T> EventStream<T> {
    pub(super) fn new(subscription: Subscription) -> Self {
        Self {
            subscription,
            over: false,
            items: PhantomData,
        }
    }

    /// The events that the daemon does not have, with what it says of each: those that
    /// [`skip_unsupported`](super::Builder::skip_unsupported) passed over. They may become more
    /// when the connection is opened again, in front of the [`Gap`](EventError::Gap).
    pub fn refused(&self) -> impl ExactSizeIterator<Item = (EventId, Arc<RemoteError>)> + use<T> {
        self.subscription.queue.refused().into_iter()
    }

    /// Ends the subscription and waits until the daemon has confirmed that; what waits in the
    /// queue is thrown away.
    ///
    /// # Errors
    ///
    /// Kind `Timeout`, when the connection's handle has a deadline. A connection that is closed
    /// is no error here.
    ///
    /// # Cancel safety
    ///
    /// The subscription ends also when the future is dropped.
    pub async fn unsubscribe(self) -> Result<(), Error> {
        let (leaving, mut left) = mpsc::channel(1);
        let connection = self.subscription.connection.clone();
        connection.control(Control::Unsubscribe(self.subscription.id, Some(leaving)));
        if connection.is_heard() {
            // Nothing is ever sent: it ends when the registry has dropped its side.
            connection.within_deadline(left.recv()).await?;
        }
        Ok(())
    }
}

impl<T: FromEvent> EventStream<T> {
    /// The next event, or what there is instead. After the end it says again how it ended.
    ///
    /// # Errors
    ///
    /// See [`EventError`].
    ///
    /// # Cancel safety
    ///
    /// Safe: no event is lost by dropping the future.
    pub async fn recv(&mut self) -> Result<T, EventError> {
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// The next event, or what there is instead, if it is there now. The end is told once.
    pub fn try_recv(&mut self) -> Option<Result<T, EventError>> {
        if self.over {
            return None;
        }
        let popped = self.subscription.queue.try_pop()?;
        let item = self.item(popped);
        self.over = matches!(&item, Err(error) if error.is_end());
        Some(item)
    }

    fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Result<T, EventError>> {
        let popped = ready!(self.subscription.queue.poll_pop(context));
        Poll::Ready(self.item(popped))
    }

    fn item(&self, popped: Result<Item, End>) -> Result<T, EventError> {
        let connection = &self.subscription.connection;
        let packet = match popped {
            Ok(Item::Event(packet)) => packet,
            Ok(Item::Lagged(missed)) => return Err(EventError::Lagged(missed)),
            Ok(Item::Gap) => return Err(EventError::Gap),
            Err(End::Overflowed) => return Err(EventError::Overflowed),
            Err(End::Refused(error)) => return Err(EventError::Refused(error)),
            Err(End::Failed(error)) => return Err(EventError::Failed(error)),
            Err(End::Closed) => return Err(EventError::Closed(connection.close_cause_or_lost())),
        };
        match Event::decode(connection, &packet) {
            Ok(event) => {
                T::from_event(event).ok_or_else(|| EventError::Unknown(UnknownEvent::of(packet)))
            }
            Err(source) => {
                let event = UnknownEvent::of(packet);
                Err(EventError::Malformed { event, source })
            }
        }
    }
}

impl<T: FromEvent> Stream for EventStream<T> {
    type Item = Result<T, EventError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        let item = ready!(self.poll_recv(context));
        self.over = matches!(&item, Err(error) if error.is_end());
        Poll::Ready(Some(item))
    }
}

impl<T> fmt::Debug for EventStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream")
            .field("id", &self.subscription.id)
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}
