use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OnceCell, mpsc, watch};
use virtwire_protocol::session::{ClientConfig, KeepaliveConfig};

use super::frontend::{Commands, Frontend};
use super::handshake::{self, Opening};
use super::reconnect::{self, Reconnect};
use super::{Connection, ConnectionState, Control, Driver, Shared};
use crate::Error;
use crate::error::Cause;
use crate::transport;
use crate::uri::{Endpoint, Environment, Uri};

/// How many calls may wait for a place among those in flight before their senders wait too.
const QUEUE_LENGTH: usize = 64;

/// How many places among those in flight are kept for calls that end other work.
const RESERVED: usize = 1;

/// The endpoint of a connection over the caller's own byte stream.
const GIVEN: &str = "a given byte stream";

/// Settings of a connection that is not open yet.
///
/// ```no_run
/// # async fn example() -> Result<(), virtwire::Error> {
/// use std::time::Duration;
/// use virtwire::Connection;
///
/// let connection = Connection::builder()
///     .uri("qemu:///system")
///     .read_only(true)
///     .connect_deadline(Duration::from_secs(5))
///     .connect()
///     .await?;
/// # drop(connection); Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it connects"]
pub struct Builder {
    uri: Option<String>,
    read_only: bool,
    max_in_flight: Option<usize>,
    max_client_requests: usize,
    connect_deadline: Duration,
    call_deadline: Option<Duration>,
    keepalive: Option<KeepaliveConfig>,
    reconnect: Option<Reconnect>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            uri: None,
            read_only: false,
            max_in_flight: None,
            max_client_requests: ClientConfig::default().max_client_requests,
            connect_deadline: Duration::from_secs(30),
            call_deadline: None,
            keepalive: Some(KeepaliveConfig::new(Duration::from_secs(5), 6)),
            reconnect: None,
        }
    }
}

impl Builder {
    /// The libvirt URI to connect to, or an alias of one in `libvirt.conf`. Without it
    /// `LIBVIRT_DEFAULT_URI` decides, then `uri_default` in `libvirt.conf`, and then the daemon of
    /// the system.
    pub fn uri(mut self, uri: impl Into<String>) -> Self {
        self.uri = Some(uri.into());
        self
    }

    /// Asks for a connection on which the daemon refuses every change.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// How many calls may be in flight, at least one; one less than
    /// [`max_client_requests`](Self::max_client_requests) by default, so four. If there is more
    /// than one place, the last is kept for calls that end other work and so free the places that
    /// it holds: destroying a domain, aborting a job or a block job, giving up events.
    ///
    /// The others wait in the order they came, behind urgent ones however many these are. A call that was cancelled, or whose deadline has
    /// passed, keeps its place until the daemon has answered it, since the daemon still counts it.
    pub fn max_in_flight(mut self, calls: usize) -> Self {
        self.max_in_flight = Some(calls.max(1));
        self
    }

    /// The setting of this name in the daemon's configuration, if it is not the default of five.
    ///
    /// A daemon that has so many calls of a connection in progress stops reading from it, keepalive
    /// included: it then takes the client for dead and hangs up, after half a minute by default.
    /// So let fewer be [in flight](Self::max_in_flight). If there are as many all the same, this
    /// side expects no sign of life.
    pub fn max_client_requests(mut self, calls: usize) -> Self {
        self.max_client_requests = calls.max(1);
        self
    }

    /// How long connecting may take altogether, authentication and opening included; 30 seconds
    /// by default.
    pub fn connect_deadline(mut self, deadline: Duration) -> Self {
        self.connect_deadline = deadline;
        self
    }

    /// How long every call may take, unless [`Connection::with_deadline`] says otherwise. By
    /// default calls last as long as the daemon is alive, which keepalive watches over.
    pub fn call_deadline(mut self, deadline: impl Into<Option<Duration>>) -> Self {
        self.call_deadline = deadline.into();
        self
    }

    /// How long the daemon may be silent before it is asked for a sign of life, and how often it
    /// is asked in vain before the connection counts as lost; every five seconds and six times by
    /// default. An interval of zero turns it off; the daemon's own questions are answered always.
    pub fn keepalive(mut self, interval: Duration, count: u32) -> Self {
        self.keepalive = (!interval.is_zero()).then(|| KeepaliveConfig::new(interval, count));
        self
    }

    /// Has a connection that is lost opened again, as often as it takes. Without this a lost
    /// connection is closed for good.
    ///
    /// While it is away, calls wait, each as long as its deadline allows. Of those that were in
    /// flight when it was lost, the ones that [only read](crate::Procedure::REPEATABLE) are made
    /// again, twice at most. The others have failed with kind `Closed`: they [may have been
    /// executed](crate::Execution::MaybeExecuted) and are never repeated. Every stream of events
    /// goes on behind a [`Gap`](crate::event::EventError::Gap), and its events are registered
    /// again before any call is made. [`Connection::state`] tells where things stand.
    ///
    /// Not for [`connect_with_io`](Self::connect_with_io), whose byte stream there is but once.
    pub fn reconnect(mut self, policy: impl Into<Option<Reconnect>>) -> Self {
        self.reconnect = policy.into();
        self
    }

    /// Connects, authenticates and opens the hypervisor connection. A task of the current tokio
    /// runtime drives the connection from then on.
    ///
    /// # Errors
    ///
    /// See [`Connection::open`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what was opened.
    pub async fn connect(self) -> Result<Connection, Error> {
        let environment = Environment::current()
            .with_config_file()
            .map_err(Cause::Uri)?;
        let uri = self.resolve(&environment)?;
        let endpoint = match &uri {
            Some(uri) => uri.endpoint(self.read_only, &environment),
            None => Endpoint::default_for(self.read_only, &environment),
        }
        .map_err(Cause::Uri)?;
        let name = endpoint.to_string();
        let opening = self.opening(uri.as_ref());
        match endpoint {
            Endpoint::Unix(address) => {
                let address = Arc::new(address);
                let connector = move || {
                    let address = Arc::clone(&address);
                    async move { transport::connect_unix(&address).await }
                };
                self.establish(name, opening, connector).await
            }
            Endpoint::Tcp { host, port } => {
                let host = Arc::<str>::from(host);
                let connector = move || {
                    let host = Arc::clone(&host);
                    async move { transport::connect_tcp(&host, port).await }
                };
                self.establish(name, opening, connector).await
            }
            Endpoint::Tls { .. } => Err(Cause::Unsupported("the transport TLS").into()),
            Endpoint::Ssh { .. } => Err(Cause::Unsupported("the transport SSH").into()),
            _ => Err(Cause::Unsupported("this transport").into()),
        }
    }

    /// Connects over byte streams of the caller's making: one for each time that the connection
    /// is opened, which is once unless [`reconnect`](Self::reconnect) was asked for. A task of the
    /// current tokio runtime drives the connection.
    ///
    /// # Errors
    ///
    /// See [`Connection::open`]; kind `Connect` when the connector fails.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what was opened.
    pub async fn connect_over<C, F, IO>(self, connector: C) -> Result<Connection, Error>
    where
        C: FnMut() -> F + Send + 'static,
        F: Future<Output = io::Result<IO>> + Send + 'static,
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let environment = Environment::current()
            .with_config_file()
            .map_err(Cause::Uri)?;
        let opening = self.opening(self.resolve(&environment)?.as_ref());
        self.establish(GIVEN.to_owned(), opening, connector).await
    }

    /// Opens a connection over any byte stream that leads to a libvirt daemon. The driver is for
    /// the caller to poll; the connection makes no progress unless it is.
    ///
    /// # Errors
    ///
    /// See [`Connection::open`]; there is no kind `Connect`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the byte stream.
    pub async fn connect_with_io<IO>(self, io: IO) -> Result<(Connection, Driver<IO>), Error>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let environment = Environment::current()
            .with_config_file()
            .map_err(Cause::Uri)?;
        let opening = self.opening(self.resolve(&environment)?.as_ref());
        let connect = self.shake_hands(io, GIVEN.to_owned(), &opening);
        within(self.connect_deadline, connect).await
    }

    fn resolve(&self, environment: &Environment) -> Result<Option<Uri>, Error> {
        Uri::resolve(self.uri.as_deref(), environment).map_err(|error| Cause::Uri(error).into())
    }

    fn opening(&self, uri: Option<&Uri>) -> Opening {
        Opening {
            name: uri.map(Uri::server_name).unwrap_or_default(),
            read_only: self.read_only,
            preference: uri.and_then(Uri::authentication).cloned(),
        }
    }

    async fn establish<C, F, IO>(
        self,
        endpoint: String,
        opening: Opening,
        connector: C,
    ) -> Result<Connection, Error>
    where
        C: FnMut() -> F + Send + 'static,
        F: Future<Output = io::Result<IO>> + Send + 'static,
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let reconnect = self.reconnect;
        let mut opener = Opener {
            settings: self,
            endpoint,
            opening,
            connector,
        };
        let (connection, driver) = opener.open().await?;
        match reconnect {
            None => drop(tokio::spawn(driver)),
            Some(policy) => drop(tokio::spawn(reconnect::supervise(driver, opener, policy))),
        }
        Ok(connection)
    }

    pub(super) async fn shake_hands<IO>(
        &self,
        io: IO,
        endpoint: String,
        opening: &Opening,
    ) -> Result<(Connection, Driver<IO>), Error>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let (connection, mut driver) = self.assemble(io, endpoint);
        let keepalive = tokio::select! {
            biased;
            opened = handshake::open(&connection, opening) => {
                opened.map_err(Error::while_opening)?
            }
            cause = &mut driver => return Err(Cause::Closed(cause).into()),
        };
        if keepalive {
            driver.start_keepalive(self.keepalive);
        }
        Ok((connection.with_deadline(self.call_deadline), driver))
    }

    fn assemble<IO>(&self, io: IO, endpoint: String) -> (Connection, Driver<IO>)
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let (ordinary, ordinary_commands) = mpsc::channel(QUEUE_LENGTH);
        let (urgent, urgent_commands) = mpsc::channel(QUEUE_LENGTH);
        let (control, control_commands) = mpsc::unbounded_channel::<Control>();
        let (changes, state) = watch::channel(ConnectionState::Open);
        let commands = Commands {
            ordinary: ordinary_commands,
            urgent: urgent_commands,
            control: control_commands,
        };
        let one_less = self.max_client_requests.saturating_sub(1).max(1);
        let mut config = ClientConfig::default();
        config.max_client_requests = self.max_client_requests;
        config.max_in_flight = self.max_in_flight.unwrap_or(one_less);
        config.reserved = RESERVED;
        let shared = Shared {
            ordinary,
            urgent,
            control,
            state,
            reconnects: self.reconnect.is_some(),
            arena: Mutex::new(BytesMut::new()),
            last_subscription: AtomicU64::new(1),
            event_style: OnceCell::new(),
            release: OnceCell::new(),
            endpoint,
        };
        let connection = Connection {
            shared: Arc::new(shared),
            deadline: None,
        };
        let frontend = Frontend::new(commands, changes);
        (connection, Driver::new(io, config, frontend))
    }
}

/// Opens a connection as often as it takes.
pub(super) struct Opener<C> {
    settings: Builder,
    endpoint: String,
    opening: Opening,
    connector: C,
}

impl<C, F, IO> Opener<C>
where
    C: FnMut() -> F + Send,
    F: Future<Output = io::Result<IO>> + Send,
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    /// Connects, authenticates and opens, within the deadline.
    pub(super) async fn open(&mut self) -> Result<(Connection, Driver<IO>), Error> {
        let connect = async {
            let io = (self.connector)().await.map_err(|source| Cause::Connect {
                endpoint: self.endpoint.clone(),
                source,
            })?;
            let endpoint = self.endpoint.clone();
            self.settings.shake_hands(io, endpoint, &self.opening).await
        };
        within(self.settings.connect_deadline, connect).await
    }
}

async fn within<T>(
    deadline: Duration,
    connect: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    // What connecting has to remember is much, and would lie in every future that awaits it.
    tokio::time::timeout(deadline, Box::pin(connect))
        .await
        .unwrap_or_else(|_| Err(Cause::ConnectTimeout(deadline).into()))
}
