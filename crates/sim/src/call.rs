//! What a handler knows of the call that it answers.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::hypervisor::{ClientId, Hypervisor};
use crate::server::Shared;
use crate::stream::{Stream, StreamWork};

/// A call: who makes it, and the daemon that it is made to.
#[derive(Clone)]
pub struct Call {
    pub(crate) shared: Arc<Shared>,
    pub(crate) client: ClientId,
    pub(crate) stream: StreamSlot,
}

/// Where a handler leaves the work on a stream, for the connection to do once it has replied.
pub(crate) type StreamSlot = Arc<Mutex<Option<StreamWork>>>;

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

impl Call {
    /// The state of the daemon. Never held across an await: the compiler sees to it, since a
    /// handler's future is `Send`.
    pub(crate) fn hypervisor(&self) -> MutexGuard<'_, Hypervisor> {
        self.shared.hypervisor()
    }

    /// Whether the connection may only read.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        let hypervisor = self.hypervisor();
        hypervisor
            .clients
            .get(&self.client)
            .is_none_or(|client| client.read_only)
    }

    /// Opens the stream of this call. `work` starts once the call was answered, and not at all when
    /// that answer is an error.
    pub fn open_stream<F>(&self, work: impl FnOnce(Stream) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let work: StreamWork = Box::new(move |stream| Box::pin(work(stream)));
        *self.stream.lock().unwrap_or_else(PoisonError::into_inner) = Some(work);
    }
}
