//! What handles ask of the driver.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use virtwire_protocol::session::{CallFailure, CallRequest};

use crate::event::{Leaving, Subscribe};

/// A call, and where its answer goes.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) request: CallRequest,
    pub(crate) answer: oneshot::Sender<Result<Bytes, CallFailure>>,
}

/// What need not wait for a place among the calls in flight.
#[derive(Debug)]
pub(crate) enum Control {
    /// Events are wanted.
    Subscribe(Subscribe),
    /// A subscriber has gone; somebody may wait until the daemon has confirmed that.
    Unsubscribe(u64, Option<Leaving>),
    /// Finish what is in flight, tell the daemon, end.
    Close,
    /// End at once.
    Abort,
}

/// The answer to a call, not decoded.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RawReply {
    /// The XDR of what the procedure returns.
    pub body: Bytes,
    /// The time from the call to its answer.
    pub elapsed: Duration,
}
