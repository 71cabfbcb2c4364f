//! Futures that are dropped before they are done.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use virtwire::constants::DomainDestroyFlags;
use virtwire::{Connection, Domain, remote};
use virtwire_protocol::session::Request;
use virtwire_tests::paused_deadline;
use virtwire_tests::peer::{Peer, builder, connected};
use virtwire_tests::poll::polled;

use crate::memory::measured;
use crate::{ask, start_pull};

type Ask = remote::ConnectSupportsFeature;

/// The number that is asked with.
fn number(request: &Request) -> i32 {
    request.args::<Ask>().unwrap().feature
}

/// Takes all four slots by calls that nobody waits for any more.
async fn occupy(connection: &Connection, peer: &mut Peer) -> Vec<Request> {
    let mut taken = Vec::new();
    for n in 0..4 {
        tokio::select! {
            answer = ask(connection, n) => panic!("{answer:?}"),
            request = peer.expect::<Ask>() => taken.push(request),
        }
    }
    taken
}

async fn guest(connection: &Connection, peer: &mut Peer) -> Domain {
    let lookup = connection.lookup_domain_by_name("guest");
    tokio::join!(lookup, peer.until::<remote::DomainLookupByName>())
        .0
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn call_dropped_at_any_poll_leaves_the_connection_usable() {
    paused_deadline(async {
        let (connection, peer) = connected().await;
        tokio::spawn(peer.serve());
        for polls in 0.. {
            let answered = polled(polls, ask(&connection, 1)).await.is_some();
            assert_eq!(ask(&connection, 2).await.unwrap(), 2);
            if answered {
                return;
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn connecting_dropped_at_any_poll_closes_the_byte_stream() {
    paused_deadline(async {
        for polls in 0.. {
            let (client, peer) = Peer::pair();
            let peer = tokio::spawn(peer.serve());
            let connect = Box::pin(builder().connect_with_io(client));
            let opened = polled(polls, connect).await.is_some();
            assert!(peer.await.unwrap().seen().calls <= 3);
            if opened {
                return;
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn job_dropped_at_any_poll_of_its_start_leaves_no_registration() {
    paused_deadline(async {
        type Register = remote::ConnectDomainEventCallbackRegisterAny;
        type Deregister = remote::ConnectDomainEventCallbackDeregisterAny;
        let (connection, mut peer) = connected().await;
        let served = tokio::spawn(async move {
            let mut counts = [0, 0];
            while let Some(request) = peer.request().await {
                counts[0] += usize::from(request.is::<Register>());
                counts[1] += usize::from(request.is::<Deregister>());
                peer.respond(&request).await;
            }
            counts
        });
        for polls in 0.. {
            let job = polled(polls, start_pull(&connection)).await;
            // Handles and their tasks are gone when everything has come to rest.
            sleep(Duration::from_secs(1)).await;
            assert_eq!(ask(&connection, 1).await.unwrap(), 1);
            if job.is_some() {
                break;
            }
        }
        sleep(Duration::from_secs(1)).await;
        drop(connection);
        let [registered, deregistered] = served.await.unwrap();
        assert!(registered >= 3);
        // One is held for as long as the connection lasts: a daemon may lose events when the last
        // registration goes.
        assert_eq!(deregistered, registered - 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn call_dropped_while_it_waits_is_not_sent() {
    paused_deadline(async {
        let (connection, mut peer) = connected().await;
        let taken = occupy(&connection, &mut peer).await;
        for n in 0..100 {
            assert!(polled(1, ask(&connection, n)).await.is_none());
        }
        let wanted = ask(&connection, 1000);
        let answers = async {
            peer.echo(&taken[0]).await;
            let next = peer.expect::<Ask>().await;
            assert_eq!(number(&next), 1000);
            peer.echo(&next).await;
        };
        assert_eq!(tokio::join!(wanted, answers).0.unwrap(), 1000);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn destroy_dropped_while_it_waits_is_not_sent() {
    paused_deadline(async {
        let (connection, mut peer) = connected().await;
        let guest = guest(&connection, &mut peer).await;
        let taken = occupy(&connection, &mut peer).await;
        for _ in 0..10 {
            let destroy = guest.destroy(DomainDestroyFlags::empty());
            assert!(timeout(Duration::from_secs(1), destroy).await.is_err());
        }
        for request in &taken {
            peer.echo(request).await;
        }
        let (answer, next) = tokio::join!(ask(&connection, 7), peer.until::<Ask>());
        assert_eq!(answer.unwrap(), 7);
        assert_eq!(number(&next), 7);
        // The lookup, the four, the one.
        assert_eq!(peer.seen().calls, 3 + 1 + 4 + 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn call_dropped_when_it_was_sent_keeps_its_slot_until_it_is_answered() {
    paused_deadline(async {
        let (connection, mut peer) = connected().await;
        let taken = occupy(&connection, &mut peer).await;
        let mut fifth = Box::pin(ask(&connection, 5));
        let waiting = timeout(Duration::from_secs(60), async {
            tokio::join!(&mut fifth, peer.request())
        });
        assert!(waiting.await.is_err());
        peer.echo(&taken[3]).await;
        let (answer, _) = tokio::join!(fifth, peer.until::<Ask>());
        assert_eq!(answer.unwrap(), 5);
    })
    .await;
}

/// Drops `count` calls that were sent to a peer that answers them, at its own pace.
async fn drop_answered_calls(count: usize) {
    let (connection, peer) = connected().await;
    let peer = tokio::spawn(peer.serve());
    for _ in 0..count {
        let mut call = pin!(ask(&connection, 1));
        assert!(polled(1, call.as_mut()).await.is_none());
        // The driver sends it before it is dropped.
        tokio::task::yield_now().await;
    }
    assert_eq!(ask(&connection, 2).await.unwrap(), 2);
    drop(connection);
    assert_eq!(peer.await.unwrap().seen().calls, 3 + count + 1);
}

/// Drops `count` calls while the peer answers none.
async fn drop_waiting_calls(count: usize) {
    let (connection, mut peer) = connected().await;
    let taken = occupy(&connection, &mut peer).await;
    for _ in 0..count {
        assert!(polled(1, ask(&connection, 1)).await.is_none());
    }
    for request in &taken {
        peer.echo(request).await;
    }
    let (answer, _) = tokio::join!(ask(&connection, 2), peer.until::<Ask>());
    assert_eq!(answer.unwrap(), 2);
}

#[test]
fn ten_thousand_dropped_calls_leave_nothing_behind() {
    let few = measured(drop_answered_calls(100)).bytes_max;
    let many = measured(drop_answered_calls(10_000)).bytes_max;
    assert!(
        many < few + (64 << 10),
        "{few} bytes for a hundred, {many} for ten thousand"
    );

    let few = measured(drop_waiting_calls(100)).bytes_max;
    let many = measured(drop_waiting_calls(10_000)).bytes_max;
    assert!(
        many < few + (64 << 10),
        "{few} bytes for a hundred, {many} for ten thousand"
    );
}
