//! The daemon's part in a cell: what it owes, and how it goes wrong.

use virtwire_protocol::session::Request;
use virtwire_tests::peer::{Guest as _, Peer};

/// A daemon in the middle of a phase.
pub(crate) struct Daemon {
    /// `None` once it has gone.
    peer: Option<Peer>,
    /// The calls that it has not answered, oldest first.
    pub(crate) owed: Vec<Request>,
    /// A call that it has answered or owes an answer to, for replies that nobody expects.
    pub(crate) some_call: Request,
}

impl Daemon {
    pub(crate) fn new(peer: Peer, owed: Vec<Request>, some_call: Request) -> Self {
        Self {
            peer: Some(peer),
            owed,
            some_call,
        }
    }

    pub(crate) fn peer(&mut self) -> &mut Peer {
        self.peer.as_mut().expect("the daemon is there")
    }

    /// The daemon's end, to go away with.
    pub(crate) fn take_peer(&mut self) -> Peer {
        self.peer.take().expect("the daemon is there")
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.peer.is_none()
    }

    /// The call that a wrong answer is for: the oldest that is owed one, if any.
    pub(crate) fn wronged(&self) -> Request {
        self.owed.first().unwrap_or(&self.some_call).clone()
    }

    /// Answers what it owes.
    pub(crate) async fn pay(&mut self) {
        for request in std::mem::take(&mut self.owed) {
            self.peer().respond(&request).await;
        }
    }
}
