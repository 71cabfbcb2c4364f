//! What becomes of the calls of a connection that is lost and opened again.

use std::time::Duration;

use virtwire::constants::ErrorCode;
use virtwire::{ConnectionState, Error, ErrorKind, Execution, remote};
use virtwire_protocol::Procedure;
use virtwire_protocol::header::Status;
use virtwire_tests::paused_deadline;
use virtwire_tests::peer::{Guest as _, Peer, builder, reply_header};

use crate::reconnect::{Daemons, connected, connected_with, policy};
use crate::{PLACES, ask, asker};

type Ask = remote::ConnectSupportsFeature;
type Lookup = remote::DomainLookupByName;
type Suspend = remote::DomainSuspend;

/// The next daemon, from which a call of `P` is expected.
async fn again<P: Procedure>(daemons: &mut Daemons) -> Peer {
    let mut peer = daemons.next().await;
    peer.expect::<P>().await.unwrap();
    peer
}

#[tokio::test(start_paused = true)]
async fn what_only_reads_is_made_again() {
    paused_deadline(async {
        const { assert!(Lookup::REPEATABLE) };
        let (connection, mut peer, mut daemons) = connected().await;
        let lookup = connection.lookup_domain_by_name("guest");
        let daemon = async {
            peer.expect::<Lookup>().await.unwrap();
            peer.close().await;
            let mut peer = daemons.next().await;
            peer.until::<Lookup>().await;
            peer
        };
        let (domain, peer) = tokio::join!(lookup, daemon);
        assert_eq!(domain.unwrap().name(), "guest");
        assert_eq!(peer.seen().calls, 3 + 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_answered_is_not_asked_again() {
    paused_deadline(async {
        let (connection, mut peer, _daemons) = connected().await;
        let lookup = connection.lookup_domain_by_name("guest");
        let daemon = async {
            let request = peer.expect::<Lookup>().await.unwrap();
            peer.refuse(&request, ErrorCode::NO_DOMAIN).await;
        };
        let (error, ()) = tokio::join!(lookup, daemon);
        let error = error.unwrap_err();
        assert!(error.is_not_found());
        assert_eq!(error.execution(), Some(Execution::Rejected));

        let lookup = connection.lookup_domain_by_name("guest");
        let daemon = async {
            let request = peer.expect::<Lookup>().await.unwrap();
            let header = reply_header(&request, Status::Continue);
            peer.send(&header, b"").await.unwrap();
        };
        let (error, ()) = tokio::join!(lookup, daemon);
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert_eq!(error.execution(), Some(Execution::MaybeExecuted));
        assert_eq!(peer.seen().calls, 3 + 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_changes_something_is_never_repeated() {
    paused_deadline(async {
        const { assert!(!Suspend::REPEATABLE) };
        let (connection, mut peer, mut daemons) = connected().await;
        let lookup = connection.lookup_domain_by_name("guest");
        let (domain, _) = tokio::join!(lookup, peer.until::<Lookup>());
        let domain = domain.unwrap();
        let lost = async {
            let call = peer.expect::<Suspend>().await.unwrap();
            peer.close().await;
            call.route.serial.get()
        };
        let (error, serial) = tokio::join!(domain.suspend(), lost);
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed);
        assert_eq!(error.execution(), Some(Execution::MaybeExecuted));
        assert_eq!(error.serial(), Some(serial));
        assert!(!error.is_retryable());
        let mut peer = daemons.next().await;
        let (answer, _) = tokio::join!(ask(&connection, 1), peer.until::<Ask>());
        assert_eq!(answer.unwrap(), 1);
        assert_eq!(peer.seen().calls, 3 + 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_is_sent_afterwards() {
    paused_deadline(async {
        let (connection, mut peer, mut daemons) = connected().await;
        // None of these may be repeated.
        const { assert!(!Ask::REPEATABLE) };
        let askers: Vec<_> = (0..100).map(|n| asker(&connection, n)).collect();
        for _ in 0..PLACES {
            peer.expect::<Ask>().await.unwrap();
        }
        peer.close().await;
        let peer = daemons.next().await;
        let serving = tokio::spawn(peer.serve());
        for (n, asker) in (0..).zip(askers) {
            let answer = asker.await.unwrap();
            if n < i32::try_from(PLACES).unwrap() {
                let error = answer.unwrap_err();
                assert_eq!(error.execution(), Some(Execution::MaybeExecuted));
            } else {
                assert_eq!(answer.unwrap(), n);
            }
        }
        drop(connection);
        assert_eq!(serving.await.unwrap().seen().calls, 3 + 100 - PLACES);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn call_that_the_daemon_may_die_of_is_made_three_times() {
    paused_deadline(async {
        let (connection, mut peer, mut daemons) = connected().await;
        let lookup = tokio::spawn({
            let connection = connection.clone();
            async move { connection.lookup_domain_by_name("guest").await }
        });
        peer.expect::<Lookup>().await.unwrap();
        for _ in 0..2 {
            peer.close().await;
            peer = again::<Lookup>(&mut daemons).await;
        }
        peer.close().await;
        let error = lookup.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed);
        assert_eq!(error.execution(), Some(Execution::MaybeExecuted));
        // Others are served.
        let mut peer = daemons.next().await;
        let (answer, _) = tokio::join!(ask(&connection, 1), peer.until::<Ask>());
        assert_eq!(answer.unwrap(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn deadline_covers_all_attempts_and_knows_of_the_first() {
    paused_deadline(async {
        let patient = builder().reconnect(policy().first_delay(Duration::from_secs(60)));
        let (connection, mut peer, _daemons) = connected_with(patient).await;
        let hasty = connection.with_deadline(Duration::from_secs(10));
        let lost = async {
            let call = peer.expect::<Lookup>().await.unwrap();
            peer.close().await;
            call.route.serial.get()
        };
        let (error, serial) = tokio::join!(hasty.lookup_domain_by_name("guest"), lost);
        let error: Error = error.unwrap_err();
        assert!(error.is_timeout());
        // It waited for the connection when the deadline passed, but had been sent before.
        assert_eq!(error.execution(), Some(Execution::MaybeExecuted));
        assert_eq!(error.serial(), Some(serial));
        assert_eq!(error.elapsed(), Some(Duration::from_secs(10)));
        assert!(error.is_retryable());

        let error = hasty.lookup_domain_by_name("guest").await.unwrap_err();
        assert!(error.is_timeout());
        assert_eq!(error.execution(), Some(Execution::NotSent));
        assert_eq!(error.serial(), None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn waiting_calls_fail_when_it_gives_up() {
    paused_deadline(async {
        let brief = policy().give_up_after(Duration::from_millis(500));
        let (connection, mut peer, _daemons) = connected_with(builder().reconnect(brief)).await;
        let sent = asker(&connection, 1);
        let lookup = connection.lookup_domain_by_name("guest");
        let lost = async {
            for _ in 0..2 {
                peer.request().await.unwrap().unwrap();
            }
            peer.close().await;
        };
        let (looked_up, ()) = tokio::join!(lookup, lost);
        // Its second attempt was not sent, the first was.
        let error = looked_up.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed);
        assert_eq!(error.execution(), Some(Execution::MaybeExecuted));
        let error = sent.await.unwrap().unwrap_err();
        assert_eq!(error.execution(), Some(Execution::MaybeExecuted));
        let error = ask(&connection, 2).await.unwrap_err();
        assert_eq!(error.execution(), Some(Execution::NotSent));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn state_tells_where_things_stand() {
    paused_deadline(async {
        let (connection, peer, mut daemons) = connected().await;
        let mut state = connection.state();
        assert!(matches!(*state.borrow(), ConnectionState::Open));
        peer.close().await;
        state.changed().await.unwrap();
        let lost = state.borrow_and_update().clone();
        assert!(matches!(&lost, ConnectionState::Lost(_)), "{lost:?}");
        assert!(!lost.is_closed() && lost.close_cause().is_none());
        let peer = daemons.next().await;
        state.changed().await.unwrap();
        assert!(matches!(*state.borrow_and_update(), ConnectionState::Open));
        drop(connection);
        state.changed().await.unwrap();
        assert!(state.borrow_and_update().is_closed());
        assert!(state.changed().await.is_err(), "nothing comes after it");
        drop(peer);
    })
    .await;
}
