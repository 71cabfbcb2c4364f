//! Signs of life.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use virtwire::{Builder, CloseCause, remote};
use virtwire_tests::paused_deadline;
use virtwire_tests::peer::{
    Guest as _, Peer, builder, connected, connected_with, packet, ping_header,
};

use crate::memory::measured;
use crate::{PLACES, ask, asker};

type Ask = remote::ConnectSupportsFeature;

const SECOND: Duration = Duration::from_secs(1);

fn pinging() -> Builder {
    builder().keepalive(SECOND, 2)
}

#[tokio::test(start_paused = true)]
async fn ping_is_answered_though_every_place_is_taken() {
    paused_deadline(async {
        let (connection, mut peer) = connected().await;
        let _askers: Vec<_> = (0..100).map(|n| asker(&connection, n)).collect();
        for _ in 0..PLACES {
            peer.expect::<Ask>().await.unwrap();
        }
        let asked = Instant::now();
        for count in 1..=100 {
            peer.ping().await.unwrap();
            peer.expect_pongs(count).await.unwrap();
        }
        assert_eq!(asked.elapsed(), Duration::ZERO);
        assert_eq!(peer.seen().calls, 3 + PLACES);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn unknown_keepalive_packets_are_ignored() {
    paused_deadline(async {
        let (connection, mut peer) = connected().await;
        for procedure in [0, 2, 3, -1] {
            let mut header = ping_header();
            header.procedure = procedure;
            peer.send(&header, b"anything").await.unwrap();
        }
        let (answer, _) = tokio::join!(ask(&connection, 1), peer.until::<Ask>());
        assert_eq!(answer.unwrap(), 1);
        assert_eq!(peer.seen().pongs, 0);
    })
    .await;
}

/// The peer reads nothing while it sends `count` PINGs. Returns how many of them are answered.
async fn flood(count: usize) -> usize {
    let (connection, mut peer) = connected().await;
    let pings = packet(&ping_header(), b"").repeat(1000);
    for _ in 0..count / 1000 {
        peer.send_raw(&pings).await.unwrap();
    }
    let (answer, _) = tokio::join!(ask(&connection, 1), peer.until::<Ask>());
    assert_eq!(answer.unwrap(), 1);
    peer.seen().pongs
}

#[test]
fn flood_of_pings_costs_no_memory_and_few_answers() {
    let memory = measured(async {
        let pongs = flood(200_000).await;
        // What fits into the pipe of the peer that does not read, and a little more.
        assert!((1..4000).contains(&pongs), "{pongs}");
    });
    assert!(memory.bytes_max < 1 << 20, "{memory:?}");
}

#[tokio::test(start_paused = true)]
async fn silence_closes_after_the_last_ping_was_given_its_interval() {
    paused_deadline(async {
        let (connection, mut peer) = connected_with(pinging()).await;
        let call = asker(&connection, 1);
        peer.expect::<Ask>().await.unwrap();
        peer.mute();
        let silent = Instant::now();
        peer.until_hang_up().await.unwrap();
        assert_eq!(silent.elapsed(), 3 * SECOND);
        assert_eq!(peer.seen().pings, 2);
        let error = call.await.unwrap().unwrap_err();
        let Some(CloseCause::KeepaliveTimeout(silence)) = error.close_cause() else {
            panic!("{error:?}");
        };
        assert_eq!(*silence, 3 * SECOND);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn daemon_that_takes_nothing_any_more_is_noticed_too() {
    paused_deadline(async {
        let (connection, peer) = connected_with(pinging()).await;
        let name = "x".repeat(4 << 20);
        let args = remote::DomainLookupByNameArgs {
            name: name.as_str().into(),
        };
        let stuck = Instant::now();
        let error = connection
            .call::<remote::DomainLookupByName>(args)
            .await
            .unwrap_err();
        assert!(
            matches!(error.close_cause(), Some(CloseCause::KeepaliveTimeout(_))),
            "{error:?}"
        );
        assert_eq!(stuck.elapsed(), 3 * SECOND);
        drop(peer);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn anything_that_comes_is_a_sign_of_life() {
    paused_deadline(async {
        let (connection, mut peer) = connected_with(pinging()).await;
        let reply = asker(&connection, 1);
        let request = peer.expect::<Ask>().await.unwrap();
        // One byte every two seconds, of a packet that takes long.
        let header = virtwire_tests::peer::event_header(remote::PROGRAM, 9999);
        for byte in packet(&header, b"twelve bytes") {
            sleep(2 * SECOND).await;
            peer.send_raw(&[byte]).await.unwrap();
        }
        peer.echo(&request).await;
        assert_eq!(reply.await.unwrap().unwrap(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn answers_keep_an_idle_connection_open_for_hours() {
    paused_deadline(async {
        let (connection, mut peer) = connected_with(pinging()).await;
        let until = Instant::now() + 3600 * SECOND;
        let mut answered = 0;
        while Instant::now() < until {
            // Nobody calls; the peer reads nothing but questions for a sign of life.
            assert!(timeout(SECOND + SECOND / 2, peer.request()).await.is_err());
            assert!(peer.seen().pings > answered);
            answered = peer.seen().pings;
        }
        assert!(connection.close_cause().is_none());
        drop(connection);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn daemon_without_keepalive_is_not_asked_for_signs_of_life() {
    paused_deadline(async {
        let (client, mut peer) = Peer::pair();
        let daemon = async {
            peer.until::<remote::AuthList>().await;
            let ret = remote::ConnectSupportsFeatureRet { supported: 0 };
            peer.answer::<Ask>(&ret).await.unwrap();
            peer.until::<remote::ConnectOpen>().await;
        };
        let (opened, ()) = tokio::join!(pinging().connect_with_io(client), daemon);
        let (connection, driver) = opened.unwrap();
        tokio::spawn(driver);
        assert!(timeout(3600 * SECOND, peer.request()).await.is_err());
        assert_eq!(peer.seen().pings, 0);
        assert!(connection.close_cause().is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn keepalive_that_is_turned_off_asks_nothing_and_answers_still() {
    paused_deadline(async {
        let (connection, mut peer) = connected().await;
        assert!(timeout(3600 * SECOND, peer.request()).await.is_err());
        assert_eq!(peer.seen().pings, 0);
        peer.ping().await.unwrap();
        peer.expect_pongs(1).await.unwrap();
        drop(connection);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn daemon_that_cannot_read_is_not_asked_for_signs_of_life_until_it_can() {
    paused_deadline(async {
        // As many calls as the daemon takes, and one that it has no place for.
        let overdone = pinging().max_client_requests(3).max_in_flight(5);
        let (connection, mut peer) = connected_with(overdone).await;
        let askers: Vec<_> = (0..4).map(|n| asker(&connection, n)).collect();
        let mut requests = Vec::new();
        for _ in 0..4 {
            requests.push(peer.expect::<Ask>().await.unwrap());
        }
        assert!(timeout(3600 * SECOND, peer.request()).await.is_err());
        assert_eq!(peer.seen().pings, 0);
        peer.echo(&requests[0]).await;
        // Three are as many as it takes.
        assert!(timeout(3600 * SECOND, peer.request()).await.is_err());
        assert_eq!(peer.seen().pings, 0);
        assert!(connection.close_cause().is_none());
        peer.echo(&requests[1]).await;
        peer.mute();
        let silent = Instant::now();
        peer.until_hang_up().await.unwrap();
        assert_eq!(silent.elapsed(), 3 * SECOND);
        assert_eq!(peer.seen().pings, 2);
        drop(askers);
    })
    .await;
}
