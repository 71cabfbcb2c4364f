//! What is refused without asking, and what the daemon is asked otherwise.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use virtwire_protocol::constants::{ErrorCode, ErrorDomain, NetworkEventId, SecretEventId};
use virtwire_protocol::frame::FrameDecoder;
use virtwire_protocol::remote::{self, AuthType};
use virtwire_protocol::session::{Request, ServerConfig, ServerOutput, ServerSession};
use virtwire_protocol::{RemoteError, qemu};
use virtwire_xdr::Encode as _;

use super::*;
use crate::error::ErrorKind;
use crate::event::{NetworkEvent, QemuMonitorEvent};

type RegisterDomain = remote::ConnectDomainEventCallbackRegisterAny;
type RegisterLegacy = remote::ConnectDomainEventRegisterAny;
type RegisterNetwork = remote::ConnectNetworkEventRegisterAny;
type RegisterMonitor = qemu::ConnectDomainMonitorEventRegister;

/// What a daemon was asked, in order, but for the handshake.
type Asked = Arc<Mutex<Vec<Request>>>;

/// A daemon that lets everybody in, has events with callback IDs or not, and gives every
/// registration a callback ID of its own unless it is to refuse it.
struct Daemon {
    style: Style,
    refuses: fn(&Request) -> bool,
    asked: Asked,
}

impl Daemon {
    fn new(style: Style) -> Self {
        Self {
            style,
            refuses: |_| false,
            asked: Asked::default(),
        }
    }

    /// Serves one connection, on a task.
    async fn connect(self) -> (Connection, Asked) {
        let asked = Arc::clone(&self.asked);
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        tokio::spawn(self.serve(theirs));
        let builder = Connection::builder().uri("test:///default");
        let (connection, driver) = builder.connect_with_io(ours).await.unwrap();
        tokio::spawn(driver);
        asked.lock().unwrap().clear();
        (connection, asked)
    }

    async fn serve(self, mut io: DuplexStream) {
        let mut session = ServerSession::new(ServerConfig::default(), Instant::now());
        let mut decoder = FrameDecoder::new();
        while io.read_buf(decoder.buffer_mut()).await.unwrap() > 0 {
            while let Some(frame) = decoder.next_frame().unwrap() {
                session.handle_frame(frame, Instant::now()).unwrap();
            }
            while let Some(ServerOutput::Request(request)) = session.poll_output() {
                self.answer(&mut session, request);
            }
            while let Some(packet) = session.poll_transmit() {
                io.write_all(&packet).await.unwrap();
            }
        }
    }

    fn answer(&self, session: &mut ServerSession, request: Request) {
        let route = request.route;
        let mut asked = self.asked.lock().unwrap();
        if (self.refuses)(&request) {
            let error = RemoteError::new(ErrorCode::NO_SUPPORT, ErrorDomain::RPC, "no");
            session.reply_error(route, &error).unwrap();
        } else if request.is::<remote::AuthList>() {
            let types = vec![AuthType::NONE];
            let ret = remote::AuthListRet { types };
            session.reply::<remote::AuthList>(route, &ret).unwrap();
        } else if request.is::<remote::ConnectSupportsFeature>() {
            let supported = i32::from(self.style == Style::Callback);
            let answer = session.reply_with(route, |w| supported.encode(w));
            answer.unwrap();
        } else {
            let callback = i32::try_from(asked.len()).unwrap();
            let answer = session.reply_with(route, |w| callback.encode(w));
            answer.unwrap();
        }
        asked.push(request);
    }
}

/// The registrations for events of domains, with callback IDs, by their event numbers.
fn domain_events(asked: &Asked) -> Vec<i32> {
    let asked = asked.lock().unwrap();
    let registrations = asked.iter().filter(|one| one.is::<RegisterDomain>());
    let events = registrations.map(|one| one.args::<RegisterDomain>().unwrap().event_id);
    events.collect()
}

/// The registrations for events of domains, without callback IDs, by their event numbers.
fn legacy_events(asked: &Asked) -> Vec<i32> {
    let asked = asked.lock().unwrap();
    let registrations = asked.iter().filter(|one| one.is::<RegisterLegacy>());
    let events = registrations.map(|one| one.args::<RegisterLegacy>().unwrap().event_id);
    events.collect()
}

fn guest(connection: &Connection) -> Domain {
    let wire = remote::NonnullDomain {
        name: "guest".into(),
        uuid: [7; 16],
        id: 1,
    };
    Domain::from_wire(connection, &wire)
}

fn network(connection: &Connection) -> Network {
    let wire = remote::NonnullNetwork {
        name: "network".into(),
        uuid: [7; 16],
    };
    Network::from_wire(connection, &wire)
}

async fn refused<T: FromEvent>(builder: Builder) -> ErrorKind {
    match builder.subscribe_as::<T>().await {
        Ok(_) => panic!("there is nothing to subscribe to"),
        Err(error) => error.kind(),
    }
}

#[tokio::test]
async fn no_event_is_nothing_to_subscribe_to() {
    let (connection, asked) = Daemon::new(Style::Callback).connect().await;
    let kind = refused::<Event>(connection.events()).await;
    assert_eq!(kind, ErrorKind::InvalidInput);
    let error = connection.domain_events([]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn events_about_another_kind_of_object_are_refused_here() {
    let (connection, asked) = Daemon::new(Style::Callback).connect().await;
    let (guest, network) = (guest(&connection), network(&connection));
    let events = || connection.events();
    let wrong = [
        events().event(NetworkEventId::LIFECYCLE).domain(&guest),
        events().event(DomainEventId::LIFECYCLE).network(&network),
        events().event(SecretEventId::LIFECYCLE).network(&network),
        events()
            .qemu_monitor(MonitorFilter::all())
            .network(&network),
        events().event(EventId::ConnectionClosed).domain(&guest),
        events()
            .event(DomainEventId::LIFECYCLE)
            .event(NetworkEventId::LIFECYCLE)
            .domain(&guest),
        events().all().domain(&guest),
    ];
    for builder in wrong {
        assert_eq!(refused::<Event>(builder).await, ErrorKind::InvalidInput);
    }
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn events_that_are_no_such_items_are_refused_here() {
    let (connection, asked) = Daemon::new(Style::Callback).connect().await;
    let lifecycle = || connection.events().event(DomainEventId::LIFECYCLE);
    let reboot = || connection.events().event(DomainEventId::REBOOT);
    let kinds = [
        refused::<NetworkEvent>(lifecycle()).await,
        refused::<QemuMonitorEvent>(lifecycle()).await,
        refused::<LifecycleEvent>(reboot()).await,
        refused::<DomainEvent>(lifecycle().event(NetworkEventId::LIFECYCLE)).await,
        refused::<DomainEvent>(connection.events().all()).await,
    ];
    assert!(kinds.iter().all(|kind| *kind == ErrorKind::InvalidInput));
    assert!(asked.lock().unwrap().is_empty());
    assert!(lifecycle().subscribe_as::<LifecycleEvent>().await.is_ok());
    assert!(reboot().subscribe_as::<DomainEvent>().await.is_ok());
}

#[tokio::test]
async fn an_event_is_registered_with_the_anchor_of_its_class() {
    let (connection, asked) = Daemon::new(Style::Callback).connect().await;
    let builder = connection.events().event(DomainEventId::REBOOT);
    let _events = builder.event(NetworkEventId::LIFECYCLE).subscribe().await;
    let lifecycle = DomainEventId::LIFECYCLE.0;
    assert_eq!(domain_events(&asked), [DomainEventId::REBOOT.0, lifecycle]);
    let asked = asked.lock().unwrap();
    let nobody = asked.iter().filter(|one| one.is::<RegisterNetwork>());
    let nobody = nobody.filter_map(|one| one.args::<RegisterNetwork>().unwrap().net);
    assert!(nobody.map(|net| net.uuid).eq([[0; 16]]));
}

#[tokio::test]
async fn what_is_asked_for_twice_is_registered_once() {
    let (connection, asked) = Daemon::new(Style::Callback).connect().await;
    let twice = [EventId::QemuMonitor, EventId::QemuMonitor];
    let builder = connection.events().events(twice);
    let _events = builder.qemu_monitor(MonitorFilter::all()).subscribe().await;
    let asked = asked.lock().unwrap();
    let monitors = asked.iter().filter(|one| one.is::<RegisterMonitor>());
    assert_eq!(monitors.count(), 1);
}

#[tokio::test]
async fn one_domain_is_chosen_by_the_daemon() {
    let (connection, asked) = Daemon::new(Style::Callback).connect().await;
    let _events = guest(&connection).lifecycle_events().await.unwrap();
    let asked = asked.lock().unwrap();
    let registrations = asked.iter().filter(|one| one.is::<RegisterDomain>());
    let uuids = registrations.map(|one| {
        let args = one.args::<RegisterDomain>().unwrap();
        args.dom.map(|dom| dom.uuid)
    });
    assert!(uuids.eq([Some([7; 16]), Some([0; 16])]));
}

#[tokio::test]
async fn an_old_daemon_is_asked_the_old_way() {
    let (connection, asked) = Daemon::new(Style::Legacy).connect().await;
    let events = guest(&connection).lifecycle_events().await.unwrap();
    assert_eq!(events.refused().len(), 0);
    assert_eq!(domain_events(&asked), [0; 0]);
    let anchor = DomainEventId::CONTROL_ERROR.0;
    assert_eq!(legacy_events(&asked), [DomainEventId::LIFECYCLE.0, anchor]);
}

#[tokio::test]
async fn an_old_daemon_has_no_way_to_tell_newer_events() {
    let (connection, asked) = Daemon::new(Style::Legacy).connect().await;
    for event in [DomainEventId::BLOCK_JOB_2, DomainEventId(1000)] {
        let error = connection.domain_events([event]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
    assert_eq!(legacy_events(&asked), [0; 0]);
    // Events of other objects need no domains' callback IDs.
    let builder = connection.events().event(NetworkEventId::LIFECYCLE);
    assert!(builder.subscribe().await.is_ok());
}

#[tokio::test]
async fn all_that_an_old_daemon_has_is_had() {
    let mut daemon = Daemon::new(Style::Legacy);
    daemon.refuses = |request| {
        let args = request
            .is::<RegisterLegacy>()
            .then(|| request.args::<RegisterLegacy>());
        args.is_some_and(|args| args.unwrap().event_id > DomainEventId::DEVICE_REMOVED.0)
    };
    let (connection, asked) = daemon.connect().await;
    let events = connection.all_events().await.unwrap();
    let refused: Vec<_> = events.refused().map(|(event, _)| event).collect();
    let newer = EventId::known().filter(|event| {
        event.class() == EventClass::Domain && event.number() > DomainEventId::DEVICE_REMOVED.0
    });
    assert!(newer.eq(refused));
    assert!(legacy_events(&asked).contains(&DomainEventId::LIFECYCLE.0));
}

#[tokio::test]
async fn whoever_does_without_wants_something_at_least() {
    let mut daemon = Daemon::new(Style::Callback);
    daemon.refuses = |request| request.is::<RegisterMonitor>() || request.is::<RegisterNetwork>();
    let (connection, _) = daemon.connect().await;
    let monitor = connection.events().qemu_monitor(MonitorFilter::all());
    let builder = monitor.event(NetworkEventId::LIFECYCLE).skip_unsupported();
    let error = builder.clone().subscribe().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Remote);
    assert_eq!(error.remote().unwrap().code, ErrorCode::NO_SUPPORT);
    let builder = builder.event(DomainEventId::LIFECYCLE);
    let events = builder.subscribe().await.unwrap();
    let refused: Vec<_> = events.refused().map(|(event, _)| event).collect();
    let expected = [EventId::QemuMonitor, NetworkEventId::LIFECYCLE.into()];
    assert_eq!(refused, expected);
}

#[tokio::test]
async fn unsubscribing_is_over_when_the_daemon_has_answered() {
    type Deregister = remote::ConnectDomainEventCallbackDeregisterAny;
    let (connection, asked) = Daemon::new(Style::Callback).connect().await;
    let events = connection.domain_events([DomainEventId::REBOOT]).await;
    events.unwrap().unsubscribe().await.unwrap();
    let asked = asked.lock().unwrap();
    let ended = asked.iter().filter(|one| one.is::<Deregister>());
    assert_eq!(ended.count(), 1);
}
