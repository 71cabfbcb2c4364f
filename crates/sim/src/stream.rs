//! The daemon's end of a data stream.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};
use virtwire_protocol::RemoteError;
use virtwire_protocol::session::StreamBody;

/// Which stream of a connection. Serials do not tell them apart: a client may reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamId(pub(crate) u64);

/// Something that a stream tells its connection.
#[derive(Debug)]
pub(crate) enum Saying {
    /// A received packet was dealt with.
    Consumed,
    /// Send this.
    Data(Bytes),
    /// Send a hole.
    Hole(i64),
    /// Confirm that it was finished or aborted; it has ended.
    Confirm,
    /// It has failed.
    Error(Box<RemoteError>),
    /// It has failed at a hole of the client's.
    HoleError(Box<RemoteError>),
    /// The client sent a hole without having asked for holes.
    UnexpectedHole,
    /// Nobody works on it any more.
    Dropped,
}

/// What a stream says, and which of them.
pub(crate) type Said = (StreamId, Saying);

/// What a [`Stream`] can do next.
#[derive(Debug)]
#[non_exhaustive]
pub enum Turn {
    /// The client has sent this.
    Received(StreamBody),
    /// What was sent before is on its way: there is room for more.
    Room,
    /// The connection is gone.
    Gone,
}

/// The daemon's end of a stream.
///
/// Dropped without a [`confirm`](Self::confirm) or an [`error`](Self::error) it just falls silent.
#[derive(Debug)]
pub struct Stream {
    id: StreamId,
    sparse: bool,
    received: mpsc::UnboundedReceiver<StreamBody>,
    /// Whether the packet that was received last still has to be consumed.
    in_hand: bool,
    /// One permit while nothing of this stream waits to be written.
    room: Arc<Semaphore>,
    saying: mpsc::UnboundedSender<Said>,
}

impl Stream {
    pub(crate) fn new(
        id: StreamId,
        sparse: bool,
        received: mpsc::UnboundedReceiver<StreamBody>,
        room: Arc<Semaphore>,
        saying: mpsc::UnboundedSender<Said>,
    ) -> Self {
        Self {
            id,
            sparse,
            received,
            in_hand: false,
            room,
            saying,
        }
    }

    /// What the client sends next; `None` once the connection is gone.
    ///
    /// A packet counts against the connection's requests until the next one is asked for, and once
    /// these are used up the daemon reads no more.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn receive(&mut self) -> Option<StreamBody> {
        self.consume();
        let body = self.received.recv().await;
        self.accept(body)
    }

    /// Waits for whatever comes first: a packet from the client, or room to send.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn turn(&mut self) -> Turn {
        self.consume();
        let body = tokio::select! {
            biased;
            body = self.received.recv() => body,
            _ = self.room.acquire() => return Turn::Room,
        };
        self.accept(body).map_or(Turn::Gone, Turn::Received)
    }

    /// Sends data, once what was sent before is on its way. No data at all says that there is no
    /// more.
    pub async fn send(&mut self, data: Bytes) {
        self.wait_for_room().await;
        self.say(Saying::Data(data));
    }

    /// Sends a hole of so many bytes, once what was sent before is on its way.
    pub async fn send_hole(&mut self, length: i64) {
        self.wait_for_room().await;
        self.say(Saying::Hole(length));
    }

    /// Confirms that the stream was finished or aborted.
    pub fn confirm(self) {
        self.say(Saying::Confirm);
    }

    /// Fails the stream.
    pub fn error(self, error: RemoteError) {
        self.say(Saying::Error(Box::new(error)));
    }

    /// Fails the stream at a hole that was received: libvirt then answers the call that opened the
    /// stream a second time.
    pub fn refuse_hole(self, error: RemoteError) {
        self.say(Saying::HoleError(Box::new(error)));
    }

    fn accept(&mut self, body: Option<StreamBody>) -> Option<StreamBody> {
        let body = body?;
        self.in_hand = true;
        if matches!(body, StreamBody::Hole(_)) && !self.sparse {
            self.say(Saying::UnexpectedHole);
            return None;
        }
        Some(body)
    }

    fn consume(&mut self) {
        if std::mem::take(&mut self.in_hand) {
            self.say(Saying::Consumed);
        }
    }

    async fn wait_for_room(&self) {
        // The connection gives it back when the packet is written. It never closes the semaphore.
        if let Ok(permit) = self.room.acquire().await {
            permit.forget();
        }
    }

    fn say(&self, saying: Saying) {
        // Without a connection there is nobody to be told.
        let _ = self.saying.send((self.id, saying));
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.say(Saying::Dropped);
    }
}

/// What is to be done on a stream once its call was answered.
pub(crate) struct StreamWork {
    /// Whether the client may send holes.
    pub(crate) sparse: bool,
    /// The work.
    pub(crate) work: Work,
}

/// Work on a stream.
pub(crate) type Work = Box<dyn FnOnce(Stream) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;
