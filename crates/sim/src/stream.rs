//! The daemon's end of a data stream.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};
use virtwire_protocol::RemoteError;
use virtwire_protocol::session::{Route, StreamBody};

/// What the streams of a connection send, and for which of them.
pub(crate) type Sent = (Route, Sending);

/// Something that a stream sends.
#[derive(Debug)]
pub(crate) enum Sending {
    Data(Bytes),
    Hole(i64),
    Confirm,
    Error(Box<RemoteError>),
}

/// The daemon's end of a stream.
///
/// Dropped without a [`confirm`](Self::confirm) or an [`error`](Self::error) it just falls silent.
#[derive(Debug)]
pub struct Stream {
    pub(crate) route: Route,
    pub(crate) received: mpsc::Receiver<StreamBody>,
    /// Told whenever there is room for another received packet.
    pub(crate) room: Arc<Notify>,
    pub(crate) sending: mpsc::Sender<Sent>,
}

impl Stream {
    /// What the client sends next; `None` once the connection is gone.
    ///
    /// What is not asked for counts against the connection's requests, and once these are used up
    /// the daemon reads no more.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn receive(&mut self) -> Option<StreamBody> {
        let body = self.received.recv().await;
        self.room.notify_one();
        body
    }

    /// Sends data, once what was sent before is on its way. No data at all says that there is no
    /// more.
    pub async fn send(&mut self, data: Bytes) {
        self.put(Sending::Data(data)).await;
    }

    /// Sends a hole of so many bytes.
    pub async fn send_hole(&mut self, length: i64) {
        self.put(Sending::Hole(length)).await;
    }

    /// Confirms that the stream was finished or aborted.
    pub async fn confirm(self) {
        self.put(Sending::Confirm).await;
    }

    /// Fails the stream.
    pub async fn error(self, error: RemoteError) {
        self.put(Sending::Error(Box::new(error))).await;
    }

    async fn put(&self, sending: Sending) {
        // Without a connection there is nobody to be told.
        let _ = self.sending.send((self.route, sending)).await;
    }
}

/// What is to be done on a stream once its call was answered.
pub(crate) type StreamWork =
    Box<dyn FnOnce(Stream) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;
