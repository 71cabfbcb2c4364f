//! The simulated daemon: how it is made, reached, restarted and talked into failing.

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::sync::watch;
use tracing::warn;
use virtwire_protocol::constants::DomainEventId;
use virtwire_protocol::event::{EncodeMessageError, EventId, EventKind, Message, Subject};
use virtwire_protocol::session::KeepaliveConfig;
use virtwire_protocol::{Procedure, Program, Release, RemoteError};

use crate::call::Call;
use crate::config::{self, ConfigError};
use crate::handlers;
use crate::hypervisor::Hypervisor;
use crate::hypervisor::event::Packet;
use crate::refusal::Result;
use crate::router::Router;
use crate::server::{Shared, serve};
use crate::simulated::SimulatedDomain;
use crate::socket::Listener;

/// How much an in-process connection holds in each direction before a writer waits: what a Unix
/// socket holds on Linux.
const DUPLEX_CAPACITY: usize = 208 << 10;

/// How long nobody is accepted after the kernel had no client to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What can be set about a simulator.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) max_client_requests: usize,
    pub(crate) keepalive: Option<KeepaliveConfig>,
    pub(crate) library_version: u64,
    pub(crate) hypervisor_version: u64,
    pub(crate) hostname: String,
    pub(crate) event_callbacks: bool,
    pub(crate) newest_domain_event: DomainEventId,
}

/// A daemon that is to be.
#[derive(Debug)]
#[must_use = "nothing is simulated before `start`"]
pub struct Builder {
    settings: Settings,
    router: Router,
    hypervisor: Hypervisor,
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

    /// The release that the daemon passes for; 11.3.0 by default. It does not know procedures that
    /// are newer.
    pub fn library_version(mut self, release: Release) -> Self {
        self.settings.library_version = packed(release);
        self
    }

    /// The name of the host.
    pub fn hostname(mut self, name: impl Into<String>) -> Self {
        self.settings.hostname = name.into();
        self
    }

    /// Has the daemon be one of before libvirt 1.2.3, which knows domain events in the legacy style
    /// only: of a kind there is one registration, for all domains, and events do not name it.
    pub fn without_event_callbacks(mut self) -> Self {
        self.settings.event_callbacks = false;
        self
    }

    /// Has the daemon be one that knows no kind of domain event after this one.
    pub fn newest_domain_event(mut self, newest: DomainEventId) -> Self {
        self.settings.newest_domain_event = newest;
        self
    }

    /// How many bytes of what is written into volumes are kept, all volumes together; a GiB by
    /// default. Beyond it there is no space left on the simulated host.
    pub fn storage_limit(mut self, bytes: u64) -> Self {
        self.hypervisor.pools.files.limit = bytes;
        self
    }

    pub(crate) fn hypervisor_mut(&mut self) -> &mut Hypervisor {
        &mut self.hypervisor
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

    /// Adds a domain from its XML. It runs; to have it otherwise, say so as for libvirt's test
    /// driver, in its namespace: `<test:runstate>5</test:runstate>` for one that is shut off (the
    /// numbers are those of [`DomainState`](virtwire_protocol::constants::DomainState)),
    /// `<test:transient/>`, `<test:hasmanagedsave/>`.
    ///
    /// # Errors
    ///
    /// When the XML is not that of a domain, or libvirt would refuse it.
    pub fn domain(mut self, xml: &str) -> Result<Self, ConfigError> {
        config::load_domain(&mut self.hypervisor, xml)?;
        Ok(self)
    }

    /// Adds what a configuration says: a `<node>` with domains, networks, pools and a host, in the
    /// format that libvirt's own test driver reads. Files that it names are found from the current
    /// directory.
    ///
    /// # Errors
    ///
    /// When it is malformed, a file cannot be read or libvirt would refuse an object.
    pub fn config_xml(mut self, xml: &str) -> Result<Self, ConfigError> {
        config::load(&mut self.hypervisor, xml, Path::new(""))?;
        Ok(self)
    }

    /// As [`config_xml`](Self::config_xml), from a file; those that it names are found from there.
    ///
    /// # Errors
    ///
    /// As there, and when the file cannot be read.
    pub fn config_file(mut self, path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let directory = path.parent().unwrap_or_else(|| Path::new(""));
        config::load(&mut self.hypervisor, &config::read(path)?, directory)?;
        Ok(self)
    }

    /// Adds so many domains, called `guest-0001` and so on, in every state that there is.
    ///
    /// # Errors
    ///
    /// When there are more than libvirt can list, 16,384, or one of that name is there already.
    pub fn fleet(mut self, domains: usize) -> Result<Self, ConfigError> {
        config::fleet(&mut self.hypervisor, domains)?;
        Ok(self)
    }

    /// The daemon.
    #[must_use]
    pub fn start(self) -> Simulator {
        let (epoch, epochs) = watch::channel(0);
        Simulator {
            shared: Arc::new(Shared::new(
                self.settings,
                self.router,
                self.hypervisor,
                epochs,
            )),
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
                keepalive: Some(KeepaliveConfig::new(Duration::from_secs(5), 5)),
                library_version: packed(Release::new(11, 3, 0)),
                hypervisor_version: packed(Release::new(10, 0, 2)),
                hostname: String::from("simulator"),
                event_callbacks: true,
                newest_domain_event: DomainEventId(i32::MAX),
            },
            router: handlers::routes(),
            hypervisor: Hypervisor::default(),
        }
    }

    pub(crate) fn hypervisor(&self) -> MutexGuard<'_, Hypervisor> {
        self.shared.hypervisor()
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

    /// Serves whoever connects to a socket, until the simulator is gone.
    ///
    /// ```
    /// use virtwire_sim::Simulator;
    /// use virtwire_sim::socket::Listener;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let simulator = Simulator::builder().start();
    /// let listener = Listener::bind(&"tcp:127.0.0.1:0".parse()?)?;
    /// println!("virsh --connect {} list", listener.address().uri("qemu", "/system"));
    /// simulator.listen(listener);
    /// # Ok(()) }
    /// ```
    ///
    /// # Panics
    ///
    /// When called outside of a tokio runtime.
    pub fn listen(&self, listener: Listener) {
        self.listen_as(listener, false);
    }

    /// Serves whoever connects to a socket as one who may only read, as libvirtd does at
    /// `libvirt-sock-ro`, until the simulator is gone.
    ///
    /// # Panics
    ///
    /// When called outside of a tokio runtime.
    pub fn listen_read_only(&self, listener: Listener) {
        self.listen_as(listener, true);
    }

    fn listen_as(&self, listener: Listener, read_only: bool) {
        let (shared, end) = (Arc::clone(&self.shared), self.shared.end());
        tokio::spawn(async move {
            let accept = async {
                loop {
                    match listener.accept().await {
                        Ok(socket) => {
                            tokio::spawn(serve(Arc::clone(&shared), socket, read_only));
                        }
                        // Out of descriptors, most likely: others have to go first.
                        Err(error) => {
                            warn!(%error, "a client cannot be accepted");
                            tokio::time::sleep(ACCEPT_PAUSE).await;
                        }
                    }
                }
            };
            tokio::select! {
                () = end => {}
                () = accept => {}
            }
        });
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

    /// The domain of this name, to have things happen to it.
    #[must_use]
    pub fn domain(&self, name: &str) -> Option<SimulatedDomain> {
        let uuid = self.shared.hypervisor().named(name)?.uuid;
        Some(SimulatedDomain::new(Arc::clone(&self.shared), uuid))
    }

    /// Tells everybody who asked that this happened, to whatever it may be, whether the simulator
    /// has such a thing or not. Nothing else comes of it.
    ///
    /// ```
    /// use virtwire_protocol::constants::SecretUsageType;
    /// use virtwire_protocol::event::{EventKind, SecretEventKind, Subject};
    /// use virtwire_protocol::remote::NonnullSecret;
    /// use virtwire_sim::Simulator;
    ///
    /// let simulator = Simulator::builder().start();
    /// let secret = Subject::Secret(NonnullSecret {
    ///     uuid: [7; 16],
    ///     usage_type: SecretUsageType::VOLUME.0,
    ///     usage_id: "/images/disk.qcow2".into(),
    /// });
    /// simulator.emit(&secret, &EventKind::Secret(SecretEventKind::ValueChanged))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When such things do not happen to such an object, or a value exceeds its bound.
    pub fn emit(&self, subject: &Subject<'_>, kind: &EventKind) -> Result<(), EncodeMessageError> {
        let number = (kind.id() != EventId::ConnectionClosed).then_some(0);
        Message::new(number, subject.clone(), kind.clone()).encode()?;
        self.hypervisor().tell(subject.clone(), kind.clone());
        Ok(())
    }

    /// Sends everybody who has opened a connection an event of any number and content, as a newer
    /// or a faulty daemon might. To say it to one client only, see [`script`](crate::script).
    pub fn emit_raw(&self, program: Program, procedure: i32, payload: impl Into<Bytes>) {
        let packet = Packet::new(program, procedure, payload.into());
        self.hypervisor().tell_all(&packet);
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
pub(crate) fn packed(release: Release) -> u64 {
    u64::from(release.major) * 1_000_000
        + u64::from(release.minor) * 1_000
        + u64::from(release.micro)
}
