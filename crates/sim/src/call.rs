//! What a handler knows of the call that it answers.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use virtwire_protocol::Program;
use virtwire_protocol::remote::NonnullDomain;

use crate::access;
use crate::hypervisor::client::Driver;
use crate::hypervisor::lock::TurnGuard;
use crate::hypervisor::{ClientId, Hypervisor};
use crate::refusal::Result;
use crate::server::Shared;
use crate::stream::{Stream, StreamWork};

/// A call: who makes it, and the daemon that it is made to.
#[derive(Clone)]
pub struct Call {
    pub(crate) shared: Arc<Shared>,
    pub(crate) client: ClientId,
    /// What was called: program and number.
    pub(crate) procedure: (Program, i32),
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

    /// Waits until no other call works on the domain, for 30 seconds at most, as libvirt does with
    /// whatever changes a domain or asks its hypervisor. Hold what is returned for as long as the
    /// work takes, across awaits too: what waits behind it fails with
    /// [`OPERATION_TIMEOUT`](virtwire_protocol::constants::ErrorCode::OPERATION_TIMEOUT).
    ///
    /// The domain may have gone or stopped meanwhile: look it up anew. Destroying does not wait, so
    /// that work in progress may find its domain stopped as well.
    pub(crate) async fn turn(&self, dom: &NonnullDomain<'_>) -> Result<TurnGuard> {
        let turns = self.hypervisor().domain(dom)?.turns.clone();
        turns.begin(&self.dispatcher()).await
    }

    /// As [`turn`](Self::turn), for a job of the whole domain that goes on when the call is
    /// answered: keep what is returned with the job. Calls go on meanwhile; another such job waits.
    pub(crate) async fn job_turn(&self, dom: &NonnullDomain<'_>) -> Result<TurnGuard> {
        let turns = self.hypervisor().domain(dom)?.turns.clone();
        turns.begin_job(&self.dispatcher()).await
    }

    /// What the daemon calls the function that answers this call, as its messages have it.
    fn dispatcher(&self) -> String {
        let (program, number) = self.procedure;
        let function = access::find(program, number).map(access::function_name);
        let function = function.unwrap_or_default();
        format!("remoteDispatch{}", function.trim_start_matches("vir"))
    }

    /// The driver that the connection has opened.
    pub(crate) fn driver(&self) -> Driver {
        let hypervisor = self.hypervisor();
        let client = hypervisor.clients.get(&self.client);
        let opened = client.and_then(|client| client.opened.as_ref());
        opened.map_or(Driver::Qemu, |opened| opened.driver)
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

    /// Refuses readers what the arguments of this call are for.
    pub(crate) fn check_writer(&self) -> Result<()> {
        let (program, number) = self.procedure;
        match access::find(program, number) {
            Some(schema) if self.is_read_only() => Err(access::denied(schema)),
            _ => Ok(()),
        }
    }

    /// Refuses what libvirt's test driver does not have.
    pub(crate) fn check_qemu(&self) -> Result<()> {
        let (program, number) = self.procedure;
        match access::find(program, number) {
            Some(schema) if self.driver() == Driver::Test => Err(access::unsupported(schema)),
            _ => Ok(()),
        }
    }

    /// Opens the stream of this call. `work` starts once the call was answered, and not at all when
    /// that answer is an error. A client that sends a hole on it loses its connection.
    pub fn open_stream<F>(&self, work: impl FnOnce(Stream) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.put_stream(false, work);
    }

    /// As [`open_stream`](Self::open_stream), for a stream on which the client may send holes.
    pub fn open_sparse_stream<F>(&self, work: impl FnOnce(Stream) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.put_stream(true, work);
    }

    fn put_stream<F>(&self, sparse: bool, work: impl FnOnce(Stream) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let work = StreamWork {
            sparse,
            work: Box::new(move |stream| Box::pin(work(stream))),
        };
        *self.stream.lock().unwrap_or_else(PoisonError::into_inner) = Some(work);
    }
}
