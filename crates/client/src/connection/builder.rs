use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use virtwire_protocol::session::{ClientConfig, KeepaliveConfig};

use super::driver::Commands;
use super::handshake::{self, Opening};
use super::{Connection, Control, Driver, Shared};
use crate::Error;
use crate::error::Cause;
use crate::transport::{self, Transport};
use crate::uri::{Endpoint, Environment, Uri};

/// How many calls may wait for a place among those in flight before their senders wait too.
const QUEUE_LENGTH: usize = 64;

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
    max_in_flight: usize,
    connect_deadline: Duration,
    call_deadline: Option<Duration>,
    keepalive: Option<KeepaliveConfig>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            uri: None,
            read_only: false,
            max_in_flight: ClientConfig::default().max_in_flight,
            connect_deadline: Duration::from_secs(30),
            call_deadline: None,
            keepalive: Some(KeepaliveConfig::new(Duration::from_secs(5), 6)),
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

    /// How many calls may be in flight, at least one; four by default.
    ///
    /// A daemon whose `max_client_requests` (five by default) is reached stops reading from the
    /// connection, keepalive included, so stay below it.
    pub fn max_in_flight(mut self, calls: usize) -> Self {
        self.max_in_flight = calls.max(1);
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
        let opening = self.opening(uri.as_ref());
        let name = endpoint.to_string();
        let connect = async {
            match transport::connect(&endpoint).await? {
                Transport::Unix(stream) => self.drive(stream, name, &opening).await,
                Transport::Tcp(stream) => self.drive(stream, name, &opening).await,
            }
        };
        within(self.connect_deadline, connect).await
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
        let connect = self.shake_hands(io, "a given byte stream".to_owned(), &opening);
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

    async fn drive<IO>(&self, io: IO, name: String, opening: &Opening) -> Result<Connection, Error>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (connection, driver) = self.shake_hands(io, name, opening).await?;
        tokio::spawn(driver);
        Ok(connection)
    }

    async fn shake_hands<IO>(
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
            opened = handshake::open(&connection, opening) => opened?,
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
        let (closing, closed) = watch::channel(None);
        let commands = Commands {
            ordinary: ordinary_commands,
            urgent: urgent_commands,
            control: control_commands,
        };
        let mut config = ClientConfig::default();
        config.max_in_flight = self.max_in_flight;
        let shared = Shared {
            ordinary,
            urgent,
            control,
            closed,
            arena: Mutex::new(BytesMut::new()),
            last_subscription: AtomicU64::new(1),
            endpoint,
        };
        let connection = Connection {
            shared: Arc::new(shared),
            deadline: None,
        };
        (connection, Driver::new(io, config, commands, closing))
    }
}

async fn within<T>(
    deadline: Duration,
    connect: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout(deadline, connect)
        .await
        .unwrap_or_else(|_| Err(Cause::ConnectTimeout(deadline).into()))
}
