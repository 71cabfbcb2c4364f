//! Subscriptions that come and go while events flow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinSet;
use virtwire::constants::{DomainEventId, ErrorCode, NetworkEventId, StoragePoolEventId};
use virtwire::{Connection, Domain, Error, remote};
use virtwire_lab::Driver;
use virtwire_tests::deadline;
use virtwire_xdr::Str;

use super::define;
use crate::Stage;

/// How many subscriptions there are in all.
const MANY: usize = 10_000;
/// How many come and go at once.
const AT_ONCE: usize = 8;
/// The UUID of what is registered for and does not exist.
const NOBODY: [u8; 16] = [0; 16];

/// What somebody subscribes to the `round`th time.
async fn subscribe(connection: &Connection, domain: &Domain, round: usize) {
    let builder = connection.events();
    let builder = match round % 4 {
        0 => builder.event(DomainEventId::LIFECYCLE),
        1 => builder.event(DomainEventId::LIFECYCLE).domain(domain),
        2 => builder
            .event(DomainEventId::LIFECYCLE)
            .event(NetworkEventId::LIFECYCLE),
        _ => builder
            .events([DomainEventId::REBOOT, DomainEventId::TUNABLE])
            .event(StoragePoolEventId::REFRESH),
    };
    if round % 7 == 6 {
        // Nobody waits for it to be agreed to.
        let mut subscribing = Box::pin(builder.subscribe());
        let _ = virtwire_tests::poll::polled(round % 3, &mut subscribing).await;
        return;
    }
    let stream = builder.subscribe().await.unwrap();
    match round % 3 {
        0 => stream.unsubscribe().await.unwrap(),
        1 => drop(stream),
        _ => {
            let mut stream = stream;
            stream.try_recv();
            drop(stream);
        }
    }
}

/// Suspends and resumes until it is told to stop; how often.
async fn make_events(domain: Domain, stop: Arc<AtomicBool>) -> usize {
    let mut times = 0;
    while !stop.load(Ordering::Relaxed) {
        domain.suspend().await.unwrap();
        domain.resume().await.unwrap();
        times += 1;
    }
    times
}

#[tokio::test]
async fn nothing_is_left_of_many_subscriptions() {
    deadline(async {
        let stage = Stage::new(Driver::Test).await;
        let connection = Connection::open(&stage.uri(Driver::Test)).await.unwrap();
        let domain = define(&stage, "one").await.with_connection(&connection);
        let test = stage
            .connection
            .lookup_domain_by_name("test")
            .await
            .unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let events = tokio::spawn(make_events(test, Arc::clone(&stop)));
        let mut storm = JoinSet::new();
        for first in 0..AT_ONCE {
            let (connection, domain) = (connection.clone(), domain.clone());
            storm.spawn(async move {
                for round in (first..MANY).step_by(AT_ONCE) {
                    subscribe(&connection, &domain, round).await;
                }
            });
        }
        storm.join_all().await;
        stop.store(true, Ordering::Relaxed);
        assert!(events.await.unwrap() > 100);
        // What is given up in the background is given up before what is asked for now.
        let last = connection.events().event(DomainEventId::CONTROL_ERROR);
        last.subscribe().await.unwrap().unsubscribe().await.unwrap();
        nothing_is_registered(&connection, &domain).await;
    })
    .await;
}

/// The daemon refuses what is registered already: for each class what is held for nobody, and
/// nothing else.
async fn nothing_is_registered(connection: &Connection, domain: &Domain) {
    let dom = |name, uuid| remote::NonnullDomain {
        name: Str::from(name),
        uuid,
        id: -1,
    };
    let one = dom(domain.name(), *domain.uuid().as_bytes());
    for event_id in 0..=26 {
        for dom in [None, Some(one.clone()), Some(dom("", NOBODY))] {
            let is_held = event_id == 0 && dom.as_ref().is_some_and(|dom| dom.uuid == NOBODY);
            let args = remote::ConnectDomainEventCallbackRegisterAnyArgs { event_id, dom };
            type Register = remote::ConnectDomainEventCallbackRegisterAny;
            let asked = connection.call::<Register>(args).await;
            check(asked, is_held, &format!("domain event {event_id}"));
        }
    }
    let nobody = remote::NonnullStoragePool {
        name: "".into(),
        uuid: NOBODY,
    };
    for event_id in 0..=1 {
        for pool in [None, Some(nobody.clone())] {
            let is_held = event_id == 0 && pool.is_some();
            let args = remote::ConnectStoragePoolEventRegisterAnyArgs { event_id, pool };
            type Register = remote::ConnectStoragePoolEventRegisterAny;
            let asked = connection.call::<Register>(args).await;
            check(asked, is_held, &format!("storage pool event {event_id}"));
        }
    }
    let nobody = remote::NonnullNetwork {
        name: "".into(),
        uuid: NOBODY,
    };
    for net in [None, Some(nobody)] {
        let is_held = net.is_some();
        let args = remote::ConnectNetworkEventRegisterAnyArgs { event_id: 0, net };
        type Register = remote::ConnectNetworkEventRegisterAny;
        let asked = connection.call::<Register>(args).await;
        check(asked, is_held, "network event");
    }
}

/// Checks that only what is held is refused.
fn check<T>(asked: Result<T, Error>, is_held: bool, what: &str) {
    match asked {
        Ok(_) => assert!(!is_held, "{what} of nobody was given up"),
        Err(error) if is_held => assert_eq!(error.code(), Some(ErrorCode::INVALID_ARG), "{error}"),
        Err(error) => panic!("{what}: {error}"),
    }
}
