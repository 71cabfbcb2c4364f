//! A daemon that knows events without callback IDs only.

use virtwire::constants::{
    ConnectDomainEventBlockJobStatus as Status, DomainBlockJobType, DomainEventId,
    DomainEventType as Type,
};
use virtwire::event::{DomainEvent, DomainEventKind, EventStream};
use virtwire::{Connection, ErrorKind, Outcome, remote};
use virtwire_lab::Driver;
use virtwire_tests::aged::Aged;
use virtwire_tests::deadline;

use super::by;
use crate::Stage;

/// `VIR_DRV_FEATURE_REMOTE_EVENT_CALLBACK`.
const CALLBACKS: i32 = 14;

/// The stage's daemon, aged, and a connection to it.
async fn aged(stage: &Stage) -> (Aged, Connection) {
    let aged = Aged::without(CALLBACKS, stage.socket());
    let connection = Connection::open(&by(stage, Driver::Qemu, &aged.socket())).await;
    (aged, connection.unwrap())
}

async fn step(events: &mut EventStream<DomainEvent>) -> (String, Type) {
    let event = events.recv().await.unwrap();
    let DomainEventKind::Lifecycle(lifecycle) = event.kind else {
        panic!("{event:?}");
    };
    (event.domain.name().to_owned(), lifecycle.event())
}

#[tokio::test]
async fn events_come_without_numbers_of_callbacks() {
    deadline(async {
        let stage = Box::pin(Stage::new(Driver::Qemu)).await;
        let (_aged, connection) = Box::pin(aged(&stage)).await;
        let (one, two) = (stage.guest("one", 1).await, stage.guest("two", 1).await);
        let ids = [DomainEventId::LIFECYCLE, DomainEventId::BLOCK_JOB];
        let mut all = connection.domain_events(ids).await.unwrap();
        let only = one.domain.with_connection(&connection);
        let mut only = only.events(ids).await.unwrap();
        two.domain.suspend().await.unwrap();
        one.domain.suspend().await.unwrap();
        one.domain.resume().await.unwrap();
        for wanted in [("two", Type::SUSPENDED), ("one", Type::SUSPENDED)] {
            let wanted = (wanted.0.to_owned(), wanted.1);
            assert_eq!(step(&mut all).await, wanted);
        }
        assert_eq!(step(&mut all).await.1, Type::RESUMED);
        // What is about others is left out on our side.
        assert_eq!(step(&mut only).await.1, Type::SUSPENDED);
        assert_eq!(step(&mut only).await.1, Type::RESUMED);

        let job = one.disk().pull().start().await.unwrap();
        assert_eq!(job.wait().await, Outcome::Completed);
        for events in [&mut all, &mut only] {
            let event = events.recv().await.unwrap();
            let DomainEventKind::BlockJob { path, kind, status } = event.kind else {
                panic!("{event:?}");
            };
            assert_eq!(path, one.overlay.to_str().unwrap());
            assert_eq!(
                (kind, status),
                (DomainBlockJobType::PULL, Status::COMPLETED)
            );
            assert!(events.try_recv().is_none());
        }
    })
    .await;
}

#[tokio::test]
async fn newer_events_are_not_to_be_had_and_nothing_is_left_of_others() {
    deadline(async {
        let stage = Box::pin(Stage::new(Driver::Qemu)).await;
        let (_aged, connection) = Box::pin(aged(&stage)).await;
        let newer = connection.domain_events([DomainEventId::BLOCK_JOB_2]).await;
        assert_eq!(newer.unwrap_err().kind(), ErrorKind::Unsupported);
        for _ in 0..20 {
            let ids = [DomainEventId::LIFECYCLE, DomainEventId::REBOOT];
            let events = connection.domain_events(ids).await.unwrap();
            let shared = connection.domain_events([ids[1]]).await.unwrap();
            drop(events);
            shared.unsubscribe().await.unwrap();
        }
        // What is registered already would be refused.
        let args = remote::ConnectDomainEventRegisterAnyArgs {
            event_id: DomainEventId::REBOOT.0,
        };
        let asked = connection.call::<remote::ConnectDomainEventRegisterAny>(args);
        asked.await.unwrap();
        let mut events = connection
            .domain_events([DomainEventId::LIFECYCLE])
            .await
            .unwrap();
        let guest = stage.guest("one", 1).await;
        assert_eq!(step(&mut events).await.0, "one");
        drop(guest);
    })
    .await;
}
