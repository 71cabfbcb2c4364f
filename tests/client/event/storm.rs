//! Many subscriptions, and many events.

use std::time::Duration;

use tokio::task::{JoinHandle, yield_now};
use tokio::time::sleep;
use virtwire::constants::{
    DomainEventId as Id, DomainEventResumedDetailType as Resumed, NetworkEventId,
};
use virtwire::event::{DomainEvent, DomainEventKind, EventError, EventId, EventStream, Lifecycle};
use virtwire::{Connection, remote};
use virtwire_sim::Simulator;
use virtwire_tests::paused_deadline;
use virtwire_tests::peer::Guest as _;

use super::{Daemon, number, starts};
use crate::ask;
use crate::memory::measured;

const XML: &str = "<domain type='kvm'><name>guest</name><memory unit='MiB'>64</memory>\
    <vcpu>1</vcpu><os><type>hvm</type></os></domain>";

/// How many subscriptions come and go.
const SUBSCRIPTIONS: usize = 10_000;

/// How many tasks make them.
const TASKS: usize = 8;

/// How many events there are.
const EVENTS: i32 = 100_000;

async fn open(simulator: &Simulator) -> Connection {
    let builder = Connection::builder().uri("qemu:///system");
    let opened = builder.connect_with_io(simulator.connect()).await;
    let (connection, driver) = opened.unwrap();
    tokio::spawn(driver);
    connection
}

/// Tells events of the guest all the time.
fn emit(simulator: &Simulator) -> JoinHandle<()> {
    let guest = simulator.domain("guest").unwrap();
    tokio::spawn(async move {
        loop {
            let event = Lifecycle::Resumed(Resumed::UNPAUSED);
            guest.emit(&DomainEventKind::from(event)).unwrap();
            guest.emit(&DomainEventKind::Reboot).unwrap();
            yield_now().await;
        }
    })
}

/// Subscribes and leaves so many times, in every way that there is.
async fn come_and_go(connection: Connection, times: usize) {
    let guest = connection.lookup_domain_by_name("guest").await.unwrap();
    for turn in 0..times {
        match turn % 5 {
            0 => drop(connection.domain_events([Id::LIFECYCLE]).await.unwrap()),
            1 => {
                let events = connection
                    .domain_events([Id::LIFECYCLE, Id::REBOOT])
                    .await
                    .unwrap();
                events.unsubscribe().await.unwrap();
            }
            2 => {
                let mut events = guest.lifecycle_events().await.unwrap();
                let event = events.recv().await.unwrap();
                assert_eq!(event.lifecycle, Lifecycle::Resumed(Resumed::UNPAUSED));
            }
            3 => {
                let hasty = Duration::from_nanos(1);
                let events = connection.domain_events([Id::REBOOT]);
                drop(tokio::time::timeout(hasty, events).await);
            }
            _ => {
                let ids: [EventId; 2] = [Id::REBOOT.into(), NetworkEventId::LIFECYCLE.into()];
                let events = connection.events().events(ids).subscribe().await.unwrap();
                drop(events.unsubscribe());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_subscriptions_leave_no_registration_behind() {
    paused_deadline(async {
        let simulator = Simulator::builder().domain(XML).unwrap().start();
        let connection = open(&simulator).await;
        let emitting = emit(&simulator);
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| tokio::spawn(come_and_go(connection.clone(), SUBSCRIPTIONS / TASKS)))
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        emitting.abort();
        sleep(Duration::from_secs(60)).await;
        // One is held for domains, and one for networks.
        assert_eq!(simulator.registrations(), 2);
        let mut events = connection.domain_events([Id::REBOOT]).await.unwrap();
        assert_eq!(simulator.registrations(), 3);
        let guest = simulator.domain("guest").unwrap();
        guest.emit(&DomainEventKind::Reboot).unwrap();
        assert_eq!(events.recv().await.unwrap().kind, DomainEventKind::Reboot);
        drop((connection, events));
        sleep(Duration::from_secs(1)).await;
        assert_eq!((simulator.registrations(), simulator.connections()), (0, 0));
    })
    .await;
}

/// What a subscriber has seen: events, and how many it was told to have missed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Tally {
    seen: u64,
    missed: u64,
}

/// Reads until the connection is closed; others run so many times between two events.
async fn read(mut events: EventStream<DomainEvent>, pause: usize) -> Tally {
    let mut tally = Tally::default();
    loop {
        match events.recv().await {
            Err(EventError::Lagged(missed)) => tally.missed += missed,
            Err(EventError::Closed(_)) => return tally,
            event => {
                // Whatever is missing was told in its place.
                let number = u64::try_from(number(event)).unwrap();
                assert_eq!(number, tally.seen + tally.missed);
                tally.seen += 1;
            }
        }
        for _ in 0..pause {
            yield_now().await;
        }
    }
}

#[test]
fn subscriber_that_reads_gets_all_of_a_hundred_thousand_whatever_others_do() {
    let memory = measured(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let mut streams = Vec::new();
        for _ in 0..3 {
            let subscribing = connection.domain_events([Id::LIFECYCLE]);
            streams.push(daemon.during(subscribing).await.unwrap());
        }
        let [unread, slow, fast] = streams.try_into().unwrap();
        let slow = tokio::spawn(read(slow, 10));
        let fast = tokio::spawn(read(fast, 0));
        for batch in 0..EVENTS / 1000 {
            // A call is answered behind every thousand.
            let call = async {
                let events = starts(0, batch * 1000..(batch + 1) * 1000);
                daemon.peer.send_raw(&events).await.unwrap();
                daemon.peer.until::<remote::ConnectSupportsFeature>().await;
            };
            let (answer, ()) = tokio::join!(ask(&connection, batch), call);
            assert_eq!(answer.unwrap(), batch);
        }
        daemon.peer.close().await;
        let all = u64::try_from(EVENTS).unwrap();
        assert_eq!(
            fast.await.unwrap(),
            Tally {
                seen: all,
                missed: 0
            }
        );
        let slow = slow.await.unwrap();
        assert_eq!(slow.seen + slow.missed, all);
        assert!(slow.missed > 0, "{slow:?}");
        assert_eq!(
            read(unread, 0).await,
            Tally {
                seen: 256,
                missed: all - 256
            }
        );
    });
    assert!(memory.bytes_max < 2 << 20, "{memory:?}");
}
