//! What handles ask of the driver.

use virtwire_protocol::session::CallRequest;

use super::answer::AnswerSender;
use crate::event::{Leaving, Subscribe};

/// A call, and where its answer goes.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) request: CallRequest,
    pub(super) answer: AnswerSender,
}

/// What need not wait for a place among the calls in flight.
#[derive(Debug)]
pub(crate) enum Control {
    /// Events are wanted. Boxed, since the queue of a connection has room for thirty of these.
    Subscribe(Box<Subscribe>),
    /// A subscriber has gone; somebody may wait until the daemon has confirmed that.
    Unsubscribe(u64, Option<Leaving>),
    /// Finish what is in flight, tell the daemon, end.
    Close,
    /// End at once.
    Abort,
}
