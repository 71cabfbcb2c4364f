//! Which event goes to whom, and those that go to nobody.

use virtwire::constants::{
    DomainEventId as Id, NetworkEventId, NetworkEventLifecycleType, NodeDeviceEventId,
    SecretEventId, StoragePoolEventId,
};
use virtwire::event::{
    DomainEventKind, Event, EventId, EventStream, MonitorEvent, MonitorFilter, NetworkEventKind,
    NodeDeviceEventKind, SecretEventKind, StoragePoolEventKind,
};
use virtwire::{Connection, Event as _, Program, admin, lxc, qemu, remote};
use virtwire_protocol::event::Message;
use virtwire_tests::paused_deadline;
use virtwire_tests::peer::{
    domain, event_header, network, node_device, packet, secret, storage_pool,
};

use super::{Daemon, number, start};
use crate::memory::measured;

type Lifecycle = remote::DomainEventCallbackLifecycle;

/// A stream for one event of each class, in the order of [`messages`].
async fn streams(connection: &Connection, daemon: &mut Daemon) -> Vec<EventStream<Event>> {
    let ids: [EventId; 5] = [
        Id::REBOOT.into(),
        NetworkEventId::METADATA_CHANGE.into(),
        StoragePoolEventId::REFRESH.into(),
        NodeDeviceEventId::UPDATE.into(),
        SecretEventId::VALUE_CHANGED.into(),
    ];
    let mut builders: Vec<_> = ids
        .iter()
        .map(|id| connection.events().event(*id))
        .collect();
    builders.push(connection.events().qemu_monitor(MonitorFilter::all()));
    let mut streams = Vec::new();
    for builder in builders {
        streams.push(daemon.during(builder.subscribe()).await.unwrap());
    }
    streams
}

/// An event of each class, all for registrations of the same number.
fn messages(callback: i32) -> [Message<'static>; 6] {
    let metadata = NetworkEventKind::MetadataChange {
        kind: virtwire::constants::NetworkMetadataType::TITLE,
        ns_uri: None,
    };
    let monitor = MonitorEvent {
        name: "STOP".to_owned(),
        seconds: 1,
        micros: 2,
        details: None,
    };
    let id = Some(callback);
    [
        Message::new(id, domain(), DomainEventKind::Reboot),
        Message::new(id, network(), metadata),
        Message::new(id, storage_pool(), StoragePoolEventKind::Refresh),
        Message::new(id, node_device(), NodeDeviceEventKind::Update),
        Message::new(id, secret(), SecretEventKind::ValueChanged),
        Message::new(id, domain(), monitor),
    ]
}

#[tokio::test(start_paused = true)]
async fn callback_ids_of_two_classes_may_be_the_same() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let mut streams = streams(&connection, &mut daemon).await;
        // The first registration of each class has the ID 0.
        let messages = messages(0);
        for message in &messages {
            daemon.tell(message).await;
        }
        for (events, message) in streams.iter_mut().zip(&messages) {
            assert_eq!(events.recv().await.unwrap().id(), Some(message.kind.id()));
        }
        daemon.rest().await;
        assert!(streams.iter_mut().all(|events| events.try_recv().is_none()));
        // One that goes takes no other of the same number along.
        for _ in 0..streams.len() {
            streams.remove(0);
            daemon.rest().await;
            for message in &messages {
                daemon.tell(message).await;
            }
            daemon.rest().await;
            for events in &mut streams {
                assert!(events.try_recv().unwrap().is_ok());
                assert!(events.try_recv().is_none());
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn events_of_registrations_that_there_are_not_go_to_nobody() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let mut streams = streams(&connection, &mut daemon).await;
        for callback in [2, 4711, -1, i32::MAX, i32::MIN] {
            for message in messages(callback) {
                daemon.tell(&message).await;
            }
        }
        daemon.during(connection.hostname()).await.unwrap();
        assert!(streams.iter_mut().all(|events| events.try_recv().is_none()));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn event_of_another_kind_than_its_registration_goes_to_nobody() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let ids = [Id::LIFECYCLE, Id::REBOOT];
        let mut both = daemon.during(connection.domain_events(ids)).await.unwrap();
        let mut one = daemon
            .during(connection.domain_events([Id::LIFECYCLE]))
            .await
            .unwrap();
        assert_eq!(daemon.callback("domain event LIFECYCLE"), 0);
        daemon
            .tell(&Message::new(Some(0), domain(), DomainEventKind::Reboot))
            .await;
        daemon.tell(&start(1, 1)).await;
        daemon.tell(&start(0, 2)).await;
        assert_eq!(number(both.recv().await), 2);
        assert_eq!(number(one.recv().await), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn event_for_what_is_held_for_nobody_goes_to_nobody() {
    paused_deadline(async {
        let (connection, mut daemon, mut events) = Daemon::subscribed().await;
        let mut networks = connection.events().event(NetworkEventId::METADATA_CHANGE);
        networks = networks.event(NetworkEventId::LIFECYCLE);
        let mut networks = daemon.during(networks.subscribe()).await.unwrap();
        // Domains have it by the ID 1, networks by the ID 2.
        daemon.tell(&start(1, 1)).await;
        let event = NetworkEventKind::Lifecycle {
            event: NetworkEventLifecycleType::STARTED,
            detail: 0,
        };
        daemon.tell(&Message::new(Some(2), network(), event)).await;
        daemon.during(connection.hostname()).await.unwrap();
        assert!(events.try_recv().is_none());
        assert!(networks.try_recv().is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn number_of_an_event_belongs_to_its_program() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let mut streams = streams(&connection, &mut daemon).await;
        let kinds = messages(0).map(|message| message.encode().unwrap());
        for program in [remote::PROGRAM, qemu::PROGRAM, lxc::PROGRAM, admin::PROGRAM] {
            for event in &kinds {
                if event.program != program {
                    let header = event_header(program, event.procedure);
                    daemon.peer.send(&header, &event.payload).await.unwrap();
                }
            }
        }
        daemon.during(connection.hostname()).await.unwrap();
        assert!(streams.iter_mut().all(|events| events.try_recv().is_none()));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn domain_gets_its_own_events_and_no_others() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let guest = daemon
            .during(connection.lookup_domain_by_name("guest"))
            .await
            .unwrap();
        let mut one = daemon.during(guest.events([Id::LIFECYCLE])).await.unwrap();
        let mut two = daemon.during(guest.lifecycle_events()).await.unwrap();
        daemon.tell(&start(0, 1)).await;
        let event = one.recv().await.unwrap();
        assert_eq!(
            (event.domain.name(), event.domain.uuid()),
            ("guest", guest.uuid())
        );
        let event = two.recv().await.unwrap();
        assert_eq!(event.lifecycle.detail(), 1);
        assert_eq!(daemon.wanted(), ["domain event LIFECYCLE of guest"]);
    })
    .await;
}

/// So many events that nobody asked for, of every kind that may be taken for somebody's.
async fn flood(daemon: &mut Daemon, count: usize) {
    let header = |program: Program, number| event_header(program, number);
    let body = |callback: i32| start(callback, 0).encode().unwrap().payload;
    let mut batch = Vec::new();
    for _ in 0..100 {
        // Of a registration that is gone, of one that never was, of a newer daemon, of another
        // program, and cut short.
        batch.extend(packet(
            &header(remote::PROGRAM, Lifecycle::NUMBER),
            &body(0),
        ));
        batch.extend(packet(
            &header(remote::PROGRAM, Lifecycle::NUMBER),
            &body(4711),
        ));
        batch.extend(packet(&header(remote::PROGRAM, 9999), &body(2)));
        batch.extend(packet(&header(qemu::PROGRAM, Lifecycle::NUMBER), &body(2)));
        batch.extend(packet(&header(remote::PROGRAM, Lifecycle::NUMBER), &[0; 3]));
    }
    for _ in 0..count / 500 {
        daemon.peer.send_raw(&batch).await.unwrap();
    }
}

#[test]
fn flood_of_events_that_nobody_asked_for_changes_nothing() {
    let memory = measured(async {
        let (connection, mut daemon, gone) = Daemon::subscribed().await;
        daemon.during(gone.unsubscribe()).await.unwrap();
        let mut events = daemon
            .during(connection.domain_events([Id::LIFECYCLE]))
            .await
            .unwrap();
        let live = daemon.callback("domain event LIFECYCLE");
        assert_eq!(live, 2);
        for round in 0..10 {
            flood(&mut daemon, 10_000).await;
            daemon.during(connection.hostname()).await.unwrap();
            assert!(events.try_recv().is_none());
            daemon.tell(&start(live, round)).await;
            assert_eq!(number(events.recv().await), round);
        }
    });
    assert!(memory.bytes_max < 2 << 20, "{memory:?}");
}
