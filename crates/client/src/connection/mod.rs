//! The connection to a daemon: the handle, the task that drives the socket, and what they say to
//! each other.

mod builder;
mod command;
mod driver;
mod handshake;
mod reconnect;
mod support;

pub use builder::Builder;
pub(crate) use command::Control;
pub use command::RawReply;
pub use driver::Driver;
pub use reconnect::Reconnect;
pub use virtwire_protocol::session::CloseCause;

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::{OnceCell, mpsc, oneshot, watch};
use tokio::time::Instant;
use virtwire_protocol::event::Style;
use virtwire_protocol::schema::ProcedureSchema;
use virtwire_protocol::session::{CallFailure, CallRequest, Delivery, Lane};
use virtwire_protocol::{Procedure, Release, StreamDirection, remote};

use self::command::Command;
use crate::error::{CallContext, Cause, Execution};
use crate::{Error, Reply};

/// Packets are encoded into a shared buffer of this size, which is used again once the packets
/// in it were sent.
const ARENA_SIZE: usize = 4 << 10;

/// Nearly every packet is shorter than this.
const USUAL_PACKET: usize = 512;

/// How long [`Connection::close`] waits for the daemon before it just closes the socket.
const CLOSE_DEADLINE: Duration = Duration::from_secs(5);

/// A connection to a libvirt daemon.
///
/// A connection is a cheap handle: clone it and use it from as many tasks as you like. Calls are
/// pipelined and their answers matched in whatever order they come; as many are in flight as the
/// builder allows (four by default), the rest wait their turn.
///
/// When the last handle is dropped, domains and jobs included, the socket is closed.
///
/// # Cancel safety
///
/// Dropping the future of any call leaves the connection usable. A call that was not sent yet is
/// not sent; one that was may still be executed by the daemon, whose answer is thrown away.
#[derive(Clone)]
#[doc(alias = "virConnect")]
pub struct Connection {
    shared: Arc<Shared>,
    deadline: Option<Duration>,
}

struct Shared {
    ordinary: mpsc::Sender<Command>,
    urgent: mpsc::Sender<Command>,
    control: mpsc::UnboundedSender<Control>,
    closed: watch::Receiver<Option<Arc<CloseCause>>>,
    arena: Mutex<BytesMut>,
    last_subscription: AtomicU64,
    event_style: OnceCell<Style>,
    release: OnceCell<Release>,
    endpoint: String,
}

impl Connection {
    /// Connects to the daemon that a libvirt URI names, with the default settings.
    ///
    /// # Errors
    ///
    /// Kind `Connect` when the daemon cannot be reached, `Closed` when it hangs up on us, `Auth`
    /// when it does not let us in, `Timeout` when it does not answer within 30 seconds,
    /// `InvalidInput` for a URI that makes no sense, `Remote` when the daemon has no such
    /// hypervisor.
    #[doc(alias = "virConnectOpen")]
    pub async fn open(uri: &str) -> Result<Self, Error> {
        Self::builder().uri(uri).connect().await
    }

    /// Settings for a connection.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The same connection, with every call made through the new handle limited to `deadline`.
    /// `None` lifts the limit: calls then last as long as the daemon is alive.
    ///
    /// A call whose deadline passes fails with kind `Timeout`; the daemon may still execute it.
    #[must_use]
    pub fn with_deadline(&self, deadline: impl Into<Option<Duration>>) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            deadline: deadline.into(),
        }
    }

    /// Calls a procedure of any program.
    ///
    /// The arguments may borrow what the caller has: they are encoded before this function
    /// returns. The reply owns the received frame and lends the decoded form.
    ///
    /// # Errors
    ///
    /// What the daemon answers (kind `Remote`), or why there is no answer. Kind `Unsupported` for
    /// a procedure that opens a data stream.
    ///
    /// # Cancel safety
    ///
    /// See [`Connection`].
    #[expect(
        clippy::needless_pass_by_value,
        reason = "calls read better without a borrow"
    )]
    pub fn call<P: Procedure>(
        &self,
        args: P::Args<'_>,
    ) -> impl Future<Output = Result<Reply<P>, Error>> + Send + use<P> {
        let request = self.encode::<P>(&args);
        let connection = self.clone();
        async move {
            let raw = connection.submit(P::NAME, request?).await?;
            Ok(Reply::new(raw))
        }
    }

    /// Calls a procedure that is known only at run time, with arguments that are XDR already.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    ///
    /// # Cancel safety
    ///
    /// See [`Connection`].
    pub async fn call_raw(
        &self,
        procedure: &'static ProcedureSchema,
        args: &[u8],
    ) -> Result<RawReply, Error> {
        let request = CallRequest::from_schema(procedure, |writer| {
            writer.raw(args);
            Ok(())
        })
        .map_err(|error| not_sent(procedure.name, Cause::Encode(error)))?;
        self.submit(procedure.name, request).await
    }

    /// Ends the connection: waits for the calls in flight, tells the daemon, closes the socket.
    /// A daemon that does not answer is given five seconds. Other handles find the connection
    /// closed.
    ///
    /// # Cancel safety
    ///
    /// Once polled, dropping the future does not keep the connection from being closed. Only the
    /// five seconds are no longer counted: keepalive alone then gives up a daemon that is silent.
    #[doc(alias = "virConnectClose")]
    pub async fn close(self) {
        self.control(Control::Close);
        if tokio::time::timeout(CLOSE_DEADLINE, self.closed())
            .await
            .is_err()
        {
            self.control(Control::Abort);
            self.closed().await;
        }
    }

    /// Waits until the connection is closed, by whatever, and says why.
    pub async fn closed(&self) -> Arc<CloseCause> {
        let mut closed = self.shared.closed.clone();
        let _ = closed.wait_for(Option::is_some).await;
        self.close_cause_or_lost()
    }

    /// Why the connection is closed; `None` while it is open.
    #[must_use]
    pub fn close_cause(&self) -> Option<Arc<CloseCause>> {
        self.shared.closed.borrow().clone()
    }

    /// Where the connection goes, for messages to people.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.shared.endpoint
    }

    /// The URI of the hypervisor connection, as the daemon names it.
    ///
    /// # Errors
    ///
    /// Those of any call.
    #[doc(alias = "virConnectGetURI")]
    pub async fn uri(&self) -> Result<String, Error> {
        let reply = self.call::<remote::ConnectGetUri>(()).await?;
        Ok(reply.decode()?.uri.to_string_lossy().into_owned())
    }

    /// The name of the host.
    ///
    /// # Errors
    ///
    /// Those of any call.
    #[doc(alias = "virConnectGetHostname")]
    pub async fn hostname(&self) -> Result<String, Error> {
        let reply = self.call::<remote::ConnectGetHostname>(()).await?;
        Ok(reply.decode()?.hostname.to_string_lossy().into_owned())
    }

    /// The name of the hypervisor driver, as `QEMU`.
    ///
    /// # Errors
    ///
    /// Those of any call.
    #[doc(alias = "virConnectGetType")]
    pub async fn hypervisor(&self) -> Result<String, Error> {
        let reply = self.call::<remote::ConnectGetType>(()).await?;
        Ok(reply.decode()?.type_.to_string_lossy().into_owned())
    }

    /// The release of the hypervisor.
    ///
    /// # Errors
    ///
    /// Those of any call.
    #[doc(alias = "virConnectGetVersion")]
    pub async fn hypervisor_version(&self) -> Result<Release, Error> {
        let reply = self.call::<remote::ConnectGetVersion>(()).await?;
        release(reply.decode()?.hv_ver)
    }

    /// The release of libvirt that the daemon runs.
    ///
    /// # Errors
    ///
    /// Those of any call.
    #[doc(alias = "virConnectGetLibVersion")]
    pub async fn library_version(&self) -> Result<Release, Error> {
        let reply = self.call::<remote::ConnectGetLibVersion>(()).await?;
        release(reply.decode()?.lib_ver)
    }

    fn encode<P: Procedure>(&self, args: &P::Args<'_>) -> Result<CallRequest, Error> {
        let mut arena = self
            .shared
            .arena
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if arena.capacity() < USUAL_PACKET {
            arena.reserve(ARENA_SIZE);
        }
        CallRequest::new_in::<P>(&mut arena, args)
            .map_err(|error| not_sent(P::NAME, Cause::Encode(error)))
    }

    async fn submit(
        &self,
        procedure: &'static str,
        request: CallRequest,
    ) -> Result<RawReply, Error> {
        if request.stream() != StreamDirection::None {
            let cause = Cause::Unsupported("a procedure that opens a data stream");
            return Err(not_sent(procedure, cause));
        }
        let repeatable = request.is_repeatable();
        let started = Instant::now();
        let answer = match self.within_deadline(self.exchange(request)).await {
            Ok(answer) => answer,
            Err(timeout) => Err((timeout, Execution::MaybeExecuted)),
        };
        let elapsed = started.elapsed();
        answer
            .map(|body| RawReply { body, elapsed })
            .map_err(|(cause, execution)| {
                Error::of_call(
                    cause,
                    CallContext {
                        procedure,
                        elapsed,
                        execution,
                        repeatable,
                    },
                )
            })
    }

    /// Waits for `work` no longer than this handle's deadline.
    pub(crate) async fn within_deadline<T>(
        &self,
        work: impl Future<Output = T>,
    ) -> Result<T, Cause> {
        match self.deadline {
            None => Ok(work.await),
            Some(deadline) => tokio::time::timeout(deadline, work)
                .await
                .map_err(|_| Cause::Timeout(deadline)),
        }
    }

    async fn exchange(&self, request: CallRequest) -> Result<Bytes, (Cause, Execution)> {
        let (answer, answered) = oneshot::channel();
        let queue = match request.lane() {
            Lane::Urgent => &self.shared.urgent,
            _ => &self.shared.ordinary,
        };
        if queue.send(Command { request, answer }).await.is_err() {
            return Err((
                Cause::Closed(self.close_cause_or_lost()),
                Execution::NotSent,
            ));
        }
        match answered.await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(failure)) => {
                let execution = execution_of(&failure);
                Err((Cause::from(failure), execution))
            }
            Err(_) => Err((
                Cause::Closed(self.close_cause_or_lost()),
                Execution::NotSent,
            )),
        }
    }

    pub(crate) fn control(&self, control: Control) {
        // A driver that is gone has released everything already.
        let _ = self.shared.control.send(control);
    }

    /// How the daemon tells events of domains. It is asked once.
    pub(crate) async fn event_style(&self) -> Result<Style, Error> {
        let ask = async {
            let callbacks = handshake::supports(self, handshake::FEATURE_EVENT_CALLBACK).await?;
            Ok(if callbacks {
                Style::Callback
            } else {
                Style::Legacy
            })
        };
        let style = self.shared.event_style.get_or_try_init(|| ask);
        // Somebody else may be asking, with more patience.
        self.within_deadline(Box::pin(style)).await?.copied()
    }

    pub(crate) fn next_subscription_id(&self) -> u64 {
        self.shared
            .last_subscription
            .fetch_add(1, Ordering::Relaxed)
    }

    /// Why the connection is closed. A driver that was dropped by its owner says nothing.
    pub(crate) fn close_cause_or_lost(&self) -> Arc<CloseCause> {
        self.close_cause()
            .unwrap_or_else(|| Arc::new(CloseCause::Requested))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("endpoint", &self.shared.endpoint)
            .field("deadline", &self.deadline)
            .field("closed", &self.close_cause())
            .finish_non_exhaustive()
    }
}

/// libvirt packs a release as 1,000,000 × major + 1,000 × minor + micro.
fn release(packed: u64) -> Result<Release, Error> {
    let part = |value: u64| {
        u32::try_from(value)
            .map_err(|_| Error::new(Cause::BadReply("a release number is out of range")))
    };
    Ok(Release::new(
        part(packed / 1_000_000)?,
        part(packed / 1_000 % 1_000)?,
        part(packed % 1_000)?,
    ))
}

/// The failure of a call before it left this process.
fn not_sent(procedure: &'static str, cause: Cause) -> Error {
    Error::of_call(
        cause,
        CallContext {
            procedure,
            elapsed: Duration::ZERO,
            execution: Execution::NotSent,
            repeatable: false,
        },
    )
}

fn execution_of(failure: &CallFailure) -> Execution {
    match failure {
        CallFailure::Remote(_) => Execution::Rejected,
        CallFailure::ConnectionClosed {
            delivery: Delivery::NotSent,
            ..
        } => Execution::NotSent,
        _ => Execution::MaybeExecuted,
    }
}
