//! More events than some can take.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use virtwire::constants::{DomainCreateFlags, DomainEventId};
use virtwire::event::{EventError, EventStream, Lifecycle, LifecycleEvent};
use virtwire::{Connection, Domain};
use virtwire_lab::Driver;
use virtwire_tests::deadline;

use super::define;
use crate::Stage;

/// How many domains are suspended and resumed, each by a connection of its own.
const DOMAINS: usize = 4;
/// The name of the domain whose event is the last.
const LAST: &str = "last";
/// How long half of the calls may take amid all that, on a machine that has no time to spare. The
/// events that nobody reads would take seconds.
const ATTENTIVE: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fast_reader_misses_nothing_for_the_sake_of_slow_ones() {
    deadline(async {
        let stage = Stage::new(Driver::Test).await;
        let mut domains = Vec::new();
        for number in 0..DOMAINS {
            let domain = define(&stage, &format!("domain{number}")).await;
            let connection = Connection::open(&stage.uri(Driver::Test)).await.unwrap();
            let domain = domain.create(DomainCreateFlags::empty()).await.unwrap();
            domains.push(domain.with_connection(&connection));
        }
        let connection = Connection::open(&stage.uri(Driver::Test)).await.unwrap();
        let subscribe = async || {
            let events = connection.events().event(DomainEventId::LIFECYCLE);
            events.subscribe_as::<LifecycleEvent>().await.unwrap()
        };
        let (fast, slow, mut idle) = (subscribe().await, subscribe().await, subscribe().await);
        let fast = tokio::spawn(read_at_once(fast));
        let slow = tokio::spawn(read(slow, Duration::from_millis(1)));
        let done = Arc::new(AtomicBool::new(false));
        let calls = tokio::spawn(call(connection.clone(), Arc::clone(&done)));

        let each = Stage::FLOOD / DOMAINS / 2;
        let mut flood = JoinSet::new();
        for domain in domains {
            flood.spawn(suspend_and_resume(domain, each));
        }
        flood.join_all().await;
        define(&stage, LAST).await;
        done.store(true, Ordering::Relaxed);
        let latencies = calls.await.unwrap();
        let median = latencies[latencies.len() / 2];
        assert!(median < ATTENTIVE, "{median:?} of {}", latencies.len());

        let sent = each * DOMAINS * 2;
        assert_eq!(fast.await.unwrap(), sent);
        let (received, missed) = slow.await.unwrap();
        assert!(missed > 0);
        assert_eq!(received + missed, sent);
        // All that it has is what it had room for, behind the notice of what it had not.
        let first = idle.try_recv().unwrap();
        assert!(matches!(first, Err(EventError::Lagged(_))), "{first:?}");
        let (received, missed_later) = read(idle, Duration::ZERO).await;
        assert_eq!((received, missed_later), (255, 0));
    })
    .await;
}

async fn suspend_and_resume(domain: Domain, times: usize) {
    for _ in 0..times {
        domain.suspend().await.unwrap();
        domain.resume().await.unwrap();
    }
}

/// Calls now and then, until it is told that it is done; how long the answers took, in order of
/// that.
async fn call(connection: Connection, done: Arc<AtomicBool>) -> Vec<Duration> {
    let mut latencies = Vec::new();
    while !done.load(Ordering::Relaxed) {
        let asked = Instant::now();
        connection.hostname().await.unwrap();
        latencies.push(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    latencies.sort_unstable();
    latencies
}

/// Reads up to the last event; how many came before it. Each domain must be suspended and resumed
/// in turn, and none be missed.
async fn read_at_once(mut events: EventStream<LifecycleEvent>) -> usize {
    let mut received = 0;
    let mut suspended = [false; DOMAINS];
    loop {
        let event = events.recv().await.unwrap();
        let Some(number) = event.domain.name().strip_prefix("domain") else {
            return received;
        };
        let suspended = &mut suspended[number.parse::<usize>().unwrap()];
        let was = std::mem::replace(suspended, !*suspended);
        match event.lifecycle {
            Lifecycle::Suspended(_) => assert!(!was, "event {received}"),
            Lifecycle::Resumed(_) => assert!(was, "event {received}"),
            other => panic!("{other:?}"),
        }
        received += 1;
    }
}

/// Reads up to the last event, and rests after each; how many came before it and how many were
/// missed.
async fn read(mut events: EventStream<LifecycleEvent>, rest: Duration) -> (usize, usize) {
    let (mut received, mut missed) = (0, 0);
    loop {
        match events.recv().await {
            Ok(event) if event.domain.name() == LAST => return (received, missed),
            Ok(_) => received += 1,
            Err(EventError::Lagged(count)) => missed += usize::try_from(count).unwrap(),
            Err(error) => panic!("{error}"),
        }
        if !rest.is_zero() {
            tokio::time::sleep(rest).await;
        }
    }
}
