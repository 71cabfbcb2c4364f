//! The open streams of a connection.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use virtwire_protocol::session::{Route, StreamBody};

use crate::stream::{Said, Stream, StreamId, StreamWork};

/// How many streams a connection may have. libvirt has no limit; here it bounds what waits to be
/// written for a client that does not read.
pub(super) const MAX_STREAMS: usize = 256;

/// The open streams of a connection.
pub(super) struct Streams {
    open: BTreeMap<StreamId, OpenStream>,
    last: u64,
    saying: mpsc::UnboundedSender<Said>,
    said: mpsc::UnboundedReceiver<Said>,
}

/// A stream that is open.
struct OpenStream {
    route: Route,
    to_stream: mpsc::UnboundedSender<StreamBody>,
    /// How many packets it has received and not consumed; each counts as a request in progress,
    /// which bounds them.
    in_hand: usize,
    /// One permit while nothing of it waits to be written.
    room: Arc<Semaphore>,
}

impl Streams {
    pub(super) fn new() -> Self {
        let (saying, said) = mpsc::unbounded_channel();
        Self {
            open: BTreeMap::new(),
            last: 0,
            saying,
            said,
        }
    }

    /// Whether there may be no more of them.
    pub(super) fn is_full(&self) -> bool {
        self.open.len() >= MAX_STREAMS
    }

    /// Opens a stream; the work on it.
    pub(super) fn open(
        &mut self,
        route: Route,
        work: StreamWork,
    ) -> impl Future<Output = ()> + Send + use<> {
        self.last += 1;
        let id = StreamId(self.last);
        let (to_stream, received) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(1));
        let stream = Stream::new(
            id,
            work.sparse,
            received,
            Arc::clone(&room),
            self.saying.clone(),
        );
        let open = OpenStream {
            route,
            to_stream,
            in_hand: 0,
            room,
        };
        self.open.insert(id, open);
        (work.work)(stream)
    }

    /// Gives a packet to its stream: the oldest of that route, as in libvirt. Says whether there is
    /// one.
    pub(super) fn give(&mut self, route: Route, body: StreamBody) -> bool {
        let mut streams = self.open.values_mut();
        let Some(stream) = streams.find(|stream| stream.route == route) else {
            return false;
        };
        let taken = stream.to_stream.send(body).is_ok();
        stream.in_hand += usize::from(taken);
        taken
    }

    /// What a stream says next.
    pub(super) async fn listen(&mut self) -> Option<Said> {
        self.said.recv().await
    }

    /// The route of a stream that is open.
    pub(super) fn route(&self, id: StreamId) -> Option<Route> {
        self.open.get(&id).map(|stream| stream.route)
    }

    /// Notes that a packet was dealt with; whether it was still in progress.
    pub(super) fn consumed(&mut self, id: StreamId) -> bool {
        let in_hand = self.open.get_mut(&id).map(|stream| &mut stream.in_hand);
        let Some(in_hand) = in_hand.filter(|in_hand| **in_hand > 0) else {
            return false;
        };
        *in_hand -= 1;
        true
    }

    /// Notes that what a stream sent was written.
    pub(super) fn written(&self, id: StreamId) {
        if let Some(stream) = self.open.get(&id) {
            stream.room.add_permits(1);
        }
    }

    /// Forgets a stream; how many packets it had in hand.
    pub(super) fn close(&mut self, id: StreamId) -> usize {
        self.open.remove(&id).map_or(0, |stream| stream.in_hand)
    }
}
