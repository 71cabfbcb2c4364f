//! Whether a connection can be used.

use std::sync::Arc;

use virtwire_protocol::session::CloseCause;

/// Whether a connection can be used, and if not, why.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ConnectionState {
    /// Calls are sent.
    Open,
    /// The connection was lost for this reason and is being
    /// [opened again](crate::Builder::reconnect). Calls wait meanwhile.
    Lost(Arc<CloseCause>),
    /// The connection has ended for this reason, and every call fails.
    Closed(Arc<CloseCause>),
}

impl ConnectionState {
    /// Whether the connection has ended and will not come back.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }

    /// Why the connection has ended; `None` while it is open or may open again.
    #[must_use]
    pub fn close_cause(&self) -> Option<&Arc<CloseCause>> {
        match self {
            Self::Closed(cause) => Some(cause),
            _ => None,
        }
    }
}
