//! A daemon that grants registrations and keeps a record of them.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::time::sleep;
use virtwire::constants::{
    DomainEventId, ErrorCode, NetworkEventId, NodeDeviceEventId, SecretEventId, StoragePoolEventId,
};
use virtwire::event::{DomainEvent, EventClass, EventId, EventStream};
use virtwire::{Builder, Connection, qemu, remote};
use virtwire_protocol::event::Message;
use virtwire_protocol::header::Status;
use virtwire_protocol::session::Request;
use virtwire_tests::peer::{
    Guest as _, Peer, builder, connected_with, domain, event_header, network, node_device,
    reply_header, secret, storage_pool,
};

/// As `VIR_DRV_FEATURE_REMOTE_EVENT_CALLBACK` of libvirt.
const FEATURE_EVENT_CALLBACK: i32 = 14;

/// A daemon with one running guest.
pub(super) struct Daemon {
    pub(super) peer: Peer,
    /// Whether it has no callback IDs for events of domains.
    legacy: bool,
    /// What it has not.
    refused: BTreeSet<EventId>,
    /// The next callback ID of each class. All count from 0, so that they collide.
    next: BTreeMap<EventClass, i32>,
    /// What is registered.
    granted: Vec<Grant>,
    /// What was asked, in words.
    log: Vec<String>,
}

/// A registration.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Grant {
    event: EventId,
    /// What was asked for, in words.
    wish: String,
    /// `None` where there are no callback IDs.
    callback: Option<i32>,
}

/// What a client wants.
#[derive(Debug)]
enum Wish {
    AskStyle,
    Register {
        event: EventId,
        of: Option<String>,
        legacy: bool,
    },
    Deregister(EventClass, i32),
    DeregisterLegacy(EventId),
}

impl Daemon {
    /// A connection that is open, and the daemon it goes to.
    pub(super) async fn connected() -> (Connection, Self) {
        Self::connected_with(builder()).await
    }

    /// As [`connected`](Self::connected), and a stream of the events of domains that start and stop.
    pub(super) async fn subscribed() -> (Connection, Self, EventStream<DomainEvent>) {
        let (connection, mut daemon) = Self::connected().await;
        let subscribing = connection.domain_events([DomainEventId::LIFECYCLE]);
        let events = daemon.during(subscribing).await.unwrap();
        (connection, daemon, events)
    }

    pub(super) async fn connected_with(builder: Builder) -> (Connection, Self) {
        let (connection, peer) = connected_with(builder).await;
        (connection, Self::new(peer))
    }

    pub(super) fn new(peer: Peer) -> Self {
        Self {
            peer,
            legacy: false,
            refused: BTreeSet::new(),
            next: BTreeMap::new(),
            granted: Vec::new(),
            log: Vec::new(),
        }
    }

    /// It is too old for callback IDs of events of domains.
    pub(super) fn be_legacy(&mut self) {
        self.legacy = true;
    }

    /// It refuses events of this ID.
    pub(super) fn refuse(&mut self, event: impl Into<EventId>) {
        self.refused.insert(event.into());
    }

    /// Answers while the work is done.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            let request = tokio::select! {
                biased;
                done = &mut work => return done,
                request = self.peer.request() => request.unwrap(),
            };
            match request {
                Some(request) => self.answer(&request).await,
                None => return work.await,
            }
        }
    }

    /// Answers until the client has come to rest.
    pub(super) async fn rest(&mut self) {
        self.during(sleep(Duration::from_secs(1))).await;
    }

    /// The next call, which is not answered yet.
    pub(super) async fn hear(&mut self) -> Request {
        self.peer.request().await.unwrap().unwrap()
    }

    /// The next call is that for the style of events, which is answered.
    pub(super) async fn tell_style(&mut self) {
        let question = self.hear().await;
        assert!(question.is::<remote::ConnectSupportsFeature>());
        self.answer(&question).await;
    }

    /// What was asked since the last time, in words: `+` for a registration, `-` for its end, `?`
    /// for the question about the style.
    pub(super) fn log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    /// What is registered, in words.
    pub(super) fn registered(&self) -> Vec<&str> {
        self.granted
            .iter()
            .map(|grant| grant.wish.as_str())
            .collect()
    }

    /// What is registered beside what is held for nobody as long as the connection lasts.
    pub(super) fn wanted(&self) -> Vec<&str> {
        let registered = self.registered().into_iter();
        registered
            .filter(|wish| !wish.ends_with("of nobody"))
            .collect()
    }

    /// The callback ID of a registration.
    pub(super) fn callback(&self, wish: &str) -> i32 {
        let grant = self.granted.iter().find(|grant| grant.wish == wish);
        grant
            .and_then(|grant| grant.callback)
            .expect("it is registered")
    }

    /// Tells an event.
    pub(super) async fn tell(&mut self, message: &Message<'_>) {
        let packet = message.encode().unwrap();
        let header = event_header(packet.program, packet.procedure);
        self.peer.send(&header, &packet.payload).await.unwrap();
    }

    /// Answers a call.
    pub(super) async fn answer(&mut self, request: &Request) {
        match wish(request) {
            Some(Wish::AskStyle) => {
                self.log.push("?".to_owned());
                let supported = i32::from(!self.legacy);
                self.reply(request, &supported.to_be_bytes()).await;
            }
            None => self.peer.respond(request).await,
            Some(Wish::Register { event, of, legacy }) => {
                self.register(request, event, of.as_deref(), legacy).await;
            }
            Some(Wish::Deregister(class, id)) => {
                let is = |grant: &Grant| grant.event.class() == class && grant.callback == Some(id);
                self.deregister(request, is).await;
            }
            Some(Wish::DeregisterLegacy(event)) => {
                let is = |grant: &Grant| grant.event == event && grant.callback.is_none();
                self.deregister(request, is).await;
            }
        }
    }

    async fn register(
        &mut self,
        request: &Request,
        event: EventId,
        of: Option<&str>,
        legacy: bool,
    ) {
        let wish = match of {
            Some(object) => format!("{event} of {object}"),
            None => event.to_string(),
        };
        self.log.push(format!("+{wish}"));
        let tracked = self.granted.iter().any(|grant| grant.wish == wish);
        if tracked || self.refused.contains(&event) {
            return self.peer.refuse(request, ErrorCode::INVALID_ARG).await;
        }
        let mut grant = Grant {
            event,
            wish,
            callback: None,
        };
        if legacy {
            self.granted.push(grant);
            return self.reply(request, b"").await;
        }
        let next = self.next.entry(event.class()).or_default();
        let callback = *next;
        *next += 1;
        grant.callback = Some(callback);
        self.granted.push(grant);
        self.reply(request, &callback.to_be_bytes()).await;
    }

    async fn deregister(&mut self, request: &Request, is: impl Fn(&Grant) -> bool) {
        let position = self.granted.iter().position(is);
        let grant = self.granted.remove(position.expect("it is registered"));
        self.log.push(format!("-{}", grant.wish));
        self.reply(request, b"").await;
    }

    async fn reply(&mut self, request: &Request, body: &[u8]) {
        let header = reply_header(request, Status::Ok);
        self.peer.send(&header, body).await.unwrap();
    }
}

/// What a call wants, if it is about events.
fn wish(request: &Request) -> Option<Wish> {
    macro_rules! class {
        ($class:ident($Id:ident): $register:ident($object:ident: $name:expr), $deregister:ident) => {
            if request.is::<remote::$register>() {
                let args = request.args::<remote::$register>().unwrap();
                return Some(Wish::Register {
                    event: EventId::$class($Id(args.event_id)),
                    of: args.$object.map($name),
                    legacy: false,
                });
            }
            if request.is::<remote::$deregister>() {
                let args = request.args::<remote::$deregister>().unwrap();
                return Some(Wish::Deregister(EventClass::$class, args.callback_id));
            }
        };
    }
    class!(Domain(DomainEventId): ConnectDomainEventCallbackRegisterAny(dom: |dom| named(dom.uuid)),
        ConnectDomainEventCallbackDeregisterAny);
    class!(Network(NetworkEventId): ConnectNetworkEventRegisterAny(net: |net| named(net.uuid)),
        ConnectNetworkEventDeregisterAny);
    class!(StoragePool(StoragePoolEventId): ConnectStoragePoolEventRegisterAny(pool: |pool| named(pool.uuid)),
        ConnectStoragePoolEventDeregisterAny);
    class!(NodeDevice(NodeDeviceEventId): ConnectNodeDeviceEventRegisterAny(dev: |dev| named_device(&dev)),
        ConnectNodeDeviceEventDeregisterAny);
    class!(Secret(SecretEventId): ConnectSecretEventRegisterAny(secret: |secret| named(secret.uuid)),
        ConnectSecretEventDeregisterAny);
    if request.is::<remote::ConnectSupportsFeature>() {
        let args = request.args::<remote::ConnectSupportsFeature>().unwrap();
        return (args.feature == FEATURE_EVENT_CALLBACK).then_some(Wish::AskStyle);
    }
    monitor_wish(request).or_else(|| legacy_wish(request))
}

fn monitor_wish(request: &Request) -> Option<Wish> {
    type Register = qemu::ConnectDomainMonitorEventRegister;
    type Deregister = qemu::ConnectDomainMonitorEventDeregister;
    if request.is::<Register>() {
        let args = request.args::<Register>().unwrap();
        let name = args.event.map(|name| format!("{name:?}/{}", args.flags));
        let of = args.dom.map(|dom| named(dom.uuid));
        let of = match (name, of) {
            (Some(name), Some(of)) => Some(format!("{of} {name}")),
            (name, of) => name.or(of),
        };
        let event = EventId::QemuMonitor;
        return Some(Wish::Register {
            event,
            of,
            legacy: false,
        });
    }
    if request.is::<Deregister>() {
        let args = request.args::<Deregister>().unwrap();
        return Some(Wish::Deregister(EventClass::QemuMonitor, args.callback_id));
    }
    None
}

/// Those without callback IDs.
fn legacy_wish(request: &Request) -> Option<Wish> {
    type Register = remote::ConnectDomainEventRegisterAny;
    type Deregister = remote::ConnectDomainEventDeregisterAny;
    let register = |event| {
        Some(Wish::Register {
            event,
            of: None,
            legacy: true,
        })
    };
    let domain = |id| EventId::Domain(DomainEventId(id));
    if request.is::<Register>() {
        return register(domain(request.args::<Register>().unwrap().event_id));
    }
    if request.is::<Deregister>() {
        let event = domain(request.args::<Deregister>().unwrap().event_id);
        return Some(Wish::DeregisterLegacy(event));
    }
    if request.is::<remote::ConnectRegisterCloseCallback>() {
        return register(EventId::ConnectionClosed);
    }
    if request.is::<remote::ConnectUnregisterCloseCallback>() {
        return Some(Wish::DeregisterLegacy(EventId::ConnectionClosed));
    }
    None
}

/// An object by its UUID, as the client registers for it; nobody has none.
fn named(uuid: [u8; 16]) -> String {
    let objects = [
        ([0; 16], "nobody"),
        (domain().uuid, "guest"),
        (network().uuid, "net"),
        (storage_pool().uuid, "pool"),
        (secret().uuid, "secret"),
    ];
    match objects.iter().find(|(known, _)| *known == uuid) {
        Some((_, name)) => (*name).to_owned(),
        None => format!("{uuid:?}"),
    }
}

/// As [`named`]; no device has a slash in its name.
fn named_device(device: &remote::NonnullNodeDevice<'_>) -> String {
    match device.name.to_string_lossy() {
        name if name == "/" => "nobody".to_owned(),
        name if node_device().name == *name => "device".to_owned(),
        name => name.into_owned(),
    }
}
