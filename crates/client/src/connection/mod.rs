//! The connection to a daemon: the handle, the task that drives the socket, and what they say to
//! each other.

mod answer;
mod builder;
mod call;
mod command;
mod driver;
mod frontend;
mod handshake;
mod reconnect;
mod state;
mod support;

pub use builder::Builder;
pub use call::RawReply;
pub(crate) use command::Control;
pub use driver::Driver;
pub use reconnect::Reconnect;
pub use state::ConnectionState;
pub use virtwire_protocol::session::CloseCause;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::{OnceCell, mpsc, watch};
use virtwire_protocol::event::Style;
use virtwire_protocol::{Release, remote};

use self::call::not_sent;
use self::command::Command;
use crate::Error;
use crate::error::Cause;

/// How long [`Connection::close`] waits for the daemon before it just closes the socket.
const CLOSE_DEADLINE: Duration = Duration::from_secs(5);

/// A connection to a libvirt daemon.
///
/// A connection is a cheap handle: clone it and use it from as many tasks as you like. Calls are
/// pipelined and their answers matched in whatever order they come; as many are in flight as the
/// builder allows (four by default, of which [one is kept](Builder::max_in_flight) for what ends
/// other work), the rest wait their turn.
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
    state: watch::Receiver<ConnectionState>,
    /// Whether a connection that is lost is opened again.
    reconnects: bool,
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
    /// A call whose deadline passes fails with kind `Timeout`. If it still waited for its turn, it is
    /// not sent any more, and [`Error::execution`] says `NotSent`. Otherwise the daemon may still
    /// execute it, and does so for all we know: there is no way to take it back. It keeps its place
    /// among the calls in flight until the daemon has answered, and the answer is thrown away.
    #[must_use]
    pub fn with_deadline(&self, deadline: impl Into<Option<Duration>>) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            deadline: deadline.into(),
        }
    }

    /// Ends the connection: waits for the calls in flight, tells the daemon, closes the socket.
    /// A daemon that does not answer is given five seconds. Calls that wait for their turn are not
    /// sent any more, and other handles find the connection closed.
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
        let mut state = self.shared.state.clone();
        let _ = state.wait_for(ConnectionState::is_closed).await;
        self.close_cause_or_lost()
    }

    /// Why the connection is closed; `None` while it is open or may open again.
    #[must_use]
    pub fn close_cause(&self) -> Option<Arc<CloseCause>> {
        self.shared.state.borrow().close_cause().cloned()
    }

    /// Whether the connection can be used now, and every change of that from now on. Who looks
    /// late sees the latest state alone.
    ///
    /// ```no_run
    /// # async fn example(connection: virtwire::Connection) {
    /// use virtwire::ConnectionState;
    ///
    /// let mut state = connection.state();
    /// while state.changed().await.is_ok() {
    ///     match &*state.borrow_and_update() {
    ///         ConnectionState::Lost(cause) => println!("lost: {cause}"),
    ///         ConnectionState::Closed(cause) => println!("closed: {cause}"),
    ///         _ => println!("open again"),
    ///     }
    /// }
    /// # }
    /// ```
    #[must_use]
    #[doc(alias = "virConnectIsAlive")]
    #[doc(alias = "virConnectRegisterCloseCallback")]
    pub fn state(&self) -> watch::Receiver<ConnectionState> {
        self.shared.state.clone()
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
        release(reply.decode()?.hv_ver).map_err(|cause| reply.useless(cause))
    }

    /// The release of libvirt that the daemon runs.
    ///
    /// # Errors
    ///
    /// Those of any call.
    #[doc(alias = "virConnectGetLibVersion")]
    pub async fn library_version(&self) -> Result<Release, Error> {
        let reply = self.call::<remote::ConnectGetLibVersion>(()).await?;
        release(reply.decode()?.lib_ver).map_err(|cause| reply.useless(cause))
    }

    pub(crate) fn control(&self, control: Control) {
        // A driver that is gone has released everything already.
        let _ = self.shared.control.send(control);
    }

    /// Whether somebody looks at what was given to [`control`](Self::control). To be asked
    /// afterwards: that queue too is emptied but once, when it has been closed.
    pub(crate) fn is_heard(&self) -> bool {
        !self.shared.control.is_closed()
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
fn release(packed: u64) -> Result<Release, Cause> {
    let part = |value: u64| {
        u32::try_from(value).map_err(|_| Cause::BadReply("a release number is out of range"))
    };
    Ok(Release::new(
        part(packed / 1_000_000)?,
        part(packed / 1_000 % 1_000)?,
        part(packed % 1_000)?,
    ))
}
