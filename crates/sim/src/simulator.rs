//! The simulated daemon: how it is made, reached, restarted and talked into failing.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use virtwire_protocol::session::KeepaliveConfig;
use virtwire_protocol::{Procedure, Release, RemoteError};

use crate::call::Call;
use crate::handlers;
use crate::refusal::Result;
use crate::router::Router;
use crate::server::{Shared, serve};

/// How much an in-process connection holds in each direction before a writer waits: what a Unix
/// socket holds on Linux.
const DUPLEX_CAPACITY: usize = 208 << 10;

/// What can be set about a simulator.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) max_client_requests: usize,
    pub(crate) keepalive: Option<KeepaliveConfig>,
    pub(crate) library_version: u64,
    pub(crate) hypervisor_version: u64,
    pub(crate) hostname: String,
}

/// A daemon that is to be.
#[derive(Debug)]
#[must_use = "nothing is simulated before `start`"]
pub struct Builder {
    settings: Settings,
    router: Router,
}

/// A simulated daemon. Clones are the same daemon; it ends, with its connections, when the last of
/// them is dropped.
#[derive(Clone)]
pub struct Simulator {
    shared: Arc<Shared>,
    epoch: Arc<watch::Sender<u64>>,
}

impl Builder {
    /// How many requests of a connection may be in progress before it is not read any more, as
    /// libvirtd's `max_client_requests`; 5 by default.
    pub fn max_client_requests(mut self, requests: usize) -> Self {
        self.settings.max_client_requests = requests.max(1);
        self
    }

    /// How the daemon asks clients for signs of life, once they have asked for that feature; by
    /// default every 5 seconds, 5 times. `None` turns it off.
    pub fn keepalive(mut self, keepalive: Option<KeepaliveConfig>) -> Self {
        self.settings.keepalive = keepalive;
        self
    }

    /// The release that the daemon passes for; 11.3.0 by default.
    pub fn library_version(mut self, release: Release) -> Self {
        self.settings.library_version = number(release);
        self
    }

    /// The name of the host.
    pub fn hostname(mut self, name: impl Into<String>) -> Self {
        self.settings.hostname = name.into();
        self
    }

    /// Has `handler` answer the procedure `P`, in the place of whatever the simulator would do.
    pub fn on<P: Procedure>(
        mut self,
        handler: impl Fn(&Call, P::Args<'static>) -> Result<P::Ret<'static>> + Send + Sync + 'static,
    ) -> Self {
        self.router.on::<P>(handler);
        self
    }

    /// Has `handler` answer the procedure `P` in its own time, in the place of whatever the
    /// simulator would do.
    pub fn on_async<P: Procedure, F>(
        mut self,
        handler: impl Fn(Call, P::Args<'static>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<P::Ret<'static>>> + Send + 'static,
    {
        self.router.on_async::<P, F>(handler);
        self
    }

    /// The daemon.
    #[must_use]
    pub fn start(self) -> Simulator {
        let (epoch, epochs) = watch::channel(0);
        Simulator {
            shared: Arc::new(Shared::new(self.settings, self.router, epochs)),
            epoch: Arc::new(epoch),
        }
    }
}

impl Simulator {
    /// A daemon with libvirtd's own defaults, and nothing in it.
    pub fn builder() -> Builder {
        Builder {
            settings: Settings {
                max_client_requests: 5,
                keepalive: Some(KeepaliveConfig::new(std::time::Duration::from_secs(5), 5)),
                library_version: number(Release::new(11, 3, 0)),
                hypervisor_version: number(Release::new(10, 0, 2)),
                hostname: String::from("simulator"),
            },
            router: handlers::routes(),
        }
    }

    /// A connection within this process, served by a task of its own.
    ///
    /// # Panics
    ///
    /// When called outside of a tokio runtime.
    #[must_use]
    pub fn connect(&self) -> DuplexStream {
        self.connect_as(false)
    }

    /// A connection within this process that may only read, as by the socket for readers.
    ///
    /// # Panics
    ///
    /// When called outside of a tokio runtime.
    #[must_use]
    pub fn connect_read_only(&self) -> DuplexStream {
        self.connect_as(true)
    }

    fn connect_as(&self, read_only: bool) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(DUPLEX_CAPACITY);
        tokio::spawn(serve(Arc::clone(&self.shared), ours, read_only));
        theirs
    }

    /// Serves one connection until it ends.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the connection.
    pub fn serve<IO>(&self, io: IO) -> impl Future<Output = ()> + Send + use<IO>
    where
        IO: AsyncRead + AsyncWrite + Send,
    {
        serve(Arc::clone(&self.shared), io, false)
    }

    /// Listens on a Unix socket that is made at `path`, until the simulator is gone.
    ///
    /// # Errors
    ///
    /// When the socket cannot be made.
    ///
    /// # Panics
    ///
    /// When called outside of a tokio runtime.
    pub fn listen_unix(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.listen_unix_as(path.as_ref(), false)
    }

    /// Listens on a Unix socket for readers only, as libvirtd's `libvirt-sock-ro`.
    ///
    /// # Errors
    ///
    /// When the socket cannot be made.
    ///
    /// # Panics
    ///
    /// When called outside of a tokio runtime.
    pub fn listen_unix_read_only(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.listen_unix_as(path.as_ref(), true)
    }

    fn listen_unix_as(&self, path: &Path, read_only: bool) -> io::Result<()> {
        let listener = UnixListener::bind(path)?;
        let (shared, end) = (Arc::clone(&self.shared), self.shared.end());
        tokio::spawn(async move {
            tokio::pin!(end);
            loop {
                tokio::select! {
                    () = &mut end => return,
                    accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                        tokio::spawn(serve(Arc::clone(&shared), stream, read_only));
                    }
                }
            }
        });
        Ok(())
    }

    /// Listens on a TCP port, until the simulator is gone; the address that it has then.
    ///
    /// # Errors
    ///
    /// When the address cannot be had.
    pub async fn listen_tcp(&self, address: SocketAddr) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (shared, end) = (Arc::clone(&self.shared), self.shared.end());
        tokio::spawn(async move {
            tokio::pin!(end);
            loop {
                tokio::select! {
                    () = &mut end => return,
                    accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                        tokio::spawn(serve(Arc::clone(&shared), stream, false));
                    }
                }
            }
        });
        Ok(address)
    }

    /// Ends every connection at once, as a daemon that is restarted does. Domains and their jobs
    /// go on; what they have to tell meanwhile nobody hears.
    pub fn restart(&self) {
        self.epoch
            .send_modify(|epoch| *epoch = epoch.wrapping_add(1));
        self.shared.hypervisor().clients.clear();
    }

    /// Has the next call of the procedure `P` fail with this error. Errors that are planned add
    /// up.
    pub fn fail_next<P: Procedure>(&self, error: RemoteError) {
        self.shared.plan((P::PROGRAM, P::NUMBER), error);
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.hypervisor().clients.len()
    }

    /// How many event registrations there are, of all connections.
    #[must_use]
    pub fn registrations(&self) -> usize {
        let hypervisor = self.shared.hypervisor();
        let clients = hypervisor.clients.values();
        clients.map(|client| client.registrations.len()).sum()
    }
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator")
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

/// A release as libvirt counts it.
fn number(release: Release) -> u64 {
    u64::from(release.major) * 1_000_000
        + u64::from(release.minor) * 1_000
        + u64::from(release.micro)
}
