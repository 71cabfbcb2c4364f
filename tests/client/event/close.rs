//! The end of the connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::sleep;
use virtwire::constants::DomainEventId as Id;
use virtwire::event::{DomainEvent, Event, EventError, EventStream};
use virtwire::{CloseCause, Connection, remote};
use virtwire_protocol::frame::FrameError;
use virtwire_protocol::header::{Header, MessageType};
use virtwire_protocol::session::ProtocolError;
use virtwire_tests::paused_deadline;
use virtwire_tests::peer::{Guest as _, Peer, builder, event_header};
use virtwire_tests::server::Server;

use super::{Daemon, number, start, starts};

/// The end must have been told as this very cause.
#[track_caller]
fn is_told<T: std::fmt::Debug>(item: Result<T, EventError>, cause: &Arc<CloseCause>) {
    match item {
        Err(EventError::Closed(told)) => assert!(Arc::ptr_eq(&told, cause), "{told:?}"),
        other => panic!("{other:?}"),
    }
}

/// Reads what was queued, and then the end, as often as it is asked for.
async fn ends(mut events: EventStream<DomainEvent>, cause: &Arc<CloseCause>) {
    for expected in 0..3 {
        assert_eq!(number(events.recv().await), expected);
    }
    for _ in 0..3 {
        is_told(events.recv().await, cause);
    }
    is_told(events.try_recv().unwrap(), cause);
    assert!(events.try_recv().is_none());
    is_told(events.recv().await, cause);
}

/// As [`ends`], for a stream of the crate `futures`.
async fn ends_once(mut events: EventStream<Event>, cause: &Arc<CloseCause>) {
    for _ in 0..3 {
        assert!(events.next().await.unwrap().is_ok());
    }
    is_told(events.next().await.unwrap(), cause);
    assert!(events.next().await.is_none());
    assert!(events.next().await.is_none());
}

/// Ends a connection with streams that are full, one that is empty and waited for, and one that
/// the daemon has not agreed to. Each is told the same cause.
async fn everybody_is_told(
    end: impl AsyncFnOnce(&Connection, Daemon),
    expected: fn(&CloseCause) -> bool,
) {
    let builder = builder().keepalive(Duration::from_secs(1), 2);
    let (connection, mut daemon) = Daemon::connected_with(builder).await;
    let events = daemon
        .during(connection.domain_events([Id::LIFECYCLE]))
        .await
        .unwrap();
    let stream = connection.events().event(Id::LIFECYCLE).subscribe();
    let stream = daemon.during(stream).await.unwrap();
    let mut empty = daemon
        .during(connection.domain_events([Id::REBOOT]))
        .await
        .unwrap();
    let waiting = tokio::spawn(async move { (empty.recv().await, empty) });
    daemon.peer.send_raw(&starts(0, 0..3)).await.unwrap();
    let subscribing = {
        let connection = connection.clone();
        tokio::spawn(async move { connection.domain_events([Id::WATCHDOG]).await })
    };
    assert!(
        daemon
            .hear()
            .await
            .is::<remote::ConnectDomainEventCallbackRegisterAny>()
    );

    end(&connection, daemon).await;
    let cause = connection.closed().await;
    assert!(expected(&cause), "{cause:?}");
    ends(events, &cause).await;
    ends_once(stream, &cause).await;
    let (told, mut empty) = waiting.await.unwrap();
    is_told(told, &cause);
    is_told(empty.recv().await, &cause);
    let again = connection.domain_events([Id::LIFECYCLE]).await;
    for error in [subscribing.await.unwrap().unwrap_err(), again.unwrap_err()] {
        assert!(
            std::ptr::eq(error.close_cause().unwrap(), Arc::as_ptr(&cause)),
            "{error:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn by_end_of_file() {
    paused_deadline(everybody_is_told(
        async |_, daemon| daemon.peer.close().await,
        |cause| matches!(cause, CloseCause::EndOfFile),
    ))
    .await;
}

#[tokio::test(start_paused = true)]
async fn by_reset() {
    paused_deadline(everybody_is_told(
        async |_, daemon| daemon.peer.reset(),
        |cause| {
            let reset = io::ErrorKind::ConnectionReset;
            matches!(cause, CloseCause::Io(error) if error.kind() == reset)
        },
    ))
    .await;
}

#[tokio::test(start_paused = true)]
async fn by_a_packet_that_no_daemon_may_send() {
    paused_deadline(everybody_is_told(
        async |_, mut daemon| {
            let kind = MessageType::Call;
            let header = Header {
                kind,
                ..event_header(remote::PROGRAM, 1)
            };
            daemon.peer.send(&header, b"").await.unwrap();
        },
        |cause| {
            let call = ProtocolError::UnexpectedMessageType(MessageType::Call);
            matches!(cause, CloseCause::Protocol(error) if *error == call)
        },
    ))
    .await;
}

#[tokio::test(start_paused = true)]
async fn by_what_is_no_packet() {
    paused_deadline(everybody_is_told(
        async |_, mut daemon| {
            daemon
                .peer
                .send_raw(b"HTTP/1.1 400 Bad Request")
                .await
                .unwrap()
        },
        |cause| matches!(cause, CloseCause::Frame(FrameError::TooLong { .. })),
    ))
    .await;
}

#[tokio::test(start_paused = true)]
async fn by_silence() {
    paused_deadline(everybody_is_told(
        async |connection, daemon| {
            let hang = tokio::spawn(daemon.peer.hang());
            connection.closed().await;
            hang.abort();
        },
        |cause| matches!(cause, CloseCause::KeepaliveTimeout(_)),
    ))
    .await;
}

#[tokio::test(start_paused = true)]
async fn by_the_user() {
    paused_deadline(everybody_is_told(
        async |connection, daemon| {
            // The daemon owes an answer for ever.
            let mut server = Server::new(daemon.peer);
            server.during(connection.clone().close()).await;
        },
        |cause| matches!(cause, CloseCause::Requested),
    ))
    .await;
}

#[tokio::test(start_paused = true)]
async fn by_a_driver_that_is_dropped() {
    paused_deadline(async {
        let (client, mut peer) = Peer::pair();
        let opening = Box::pin(builder().connect_with_io(client));
        let (opened, shaken) = tokio::join!(opening, peer.shake_hands());
        shaken.unwrap();
        let (connection, driver) = opened.unwrap();
        let driver = tokio::spawn(driver);
        let mut daemon = Daemon::new(peer);
        let events = daemon
            .during(connection.domain_events([Id::LIFECYCLE]))
            .await
            .unwrap();
        daemon.peer.send_raw(&starts(0, 0..3)).await.unwrap();
        daemon.rest().await;
        driver.abort();
        let cause = connection.closed().await;
        assert!(matches!(*cause, CloseCause::Requested));
        ends(events, &cause).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_the_daemon_told_before_it_confirmed_the_end_is_delivered() {
    paused_deadline(async {
        let (connection, mut daemon, events) = Daemon::subscribed().await;
        let closing = tokio::spawn(connection.clone().close());
        let close = daemon.peer.expect::<remote::ConnectClose>().await.unwrap();
        daemon.peer.send_raw(&starts(0, 0..3)).await.unwrap();
        daemon.peer.respond(&close).await;
        closing.await.unwrap();
        ends(events, &connection.closed().await).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn queue_that_overflows_at_the_end_says_so_and_then_how_it_ended() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let builder = connection.events().event(Id::LIFECYCLE).queue_length(2);
        let subscribing = builder.subscribe_as();
        let mut events: EventStream<DomainEvent> = daemon.during(subscribing).await.unwrap();
        daemon.peer.send_raw(&starts(0, 0..1000)).await.unwrap();
        daemon.tell(&start(0, 1000)).await;
        daemon.peer.close().await;
        let cause = connection.closed().await;
        sleep(Duration::from_secs(1)).await;
        assert!(matches!(events.recv().await, Err(EventError::Lagged(999))));
        assert_eq!(number(events.recv().await), 999);
        assert_eq!(number(events.recv().await), 1000);
        is_told(events.recv().await, &cause);
    })
    .await;
}
