//! Connecting: what the daemon can do at every step.

use std::time::Duration;

use tokio::io::BufStream;
use tokio::net::{TcpListener, UnixListener};
use tokio::time::Instant;
use virtwire::constants::ErrorCode;
use virtwire::{CloseCause, Connection, Error, ErrorKind, remote};
use virtwire_tests::peer::{Guest as _, Peer, builder};
use virtwire_tests::{deadline, paused_deadline};

use crate::ask;

/// The calls that open a connection.
const STEPS: usize = 3;

/// Connects to a daemon that answers so many calls and takes one more.
async fn connect_as_far_as(step: usize, then: impl AsyncFnOnce(Peer)) -> Error {
    let (client, mut peer) = Peer::pair();
    let daemon = async {
        for _ in 0..step {
            let request = peer.request().await.unwrap().unwrap();
            peer.respond(&request).await;
        }
        then(peer).await;
    };
    let (opened, ()) = tokio::join!(builder().connect_with_io(client), daemon);
    opened.map(drop).unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn silence_at_any_step_ends_with_the_deadline() {
    paused_deadline(async {
        for step in 0..STEPS {
            let started = Instant::now();
            let error =
                connect_as_far_as(step, async |mut peer| peer.until_hang_up().await.unwrap()).await;
            assert_eq!(error.kind(), ErrorKind::Timeout);
            assert_eq!(started.elapsed(), Duration::from_secs(30));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn deadline_is_for_all_steps_together() {
    paused_deadline(async {
        let (client, mut peer) = Peer::pair();
        let daemon = async {
            while let Some(request) = peer.request().await.unwrap() {
                tokio::time::sleep(Duration::from_secs(4)).await;
                peer.respond(&request).await;
            }
        };
        let started = Instant::now();
        let builder = builder().connect_deadline(Duration::from_secs(10));
        let (opened, ()) = tokio::join!(builder.connect_with_io(client), daemon);
        assert!(opened.unwrap_err().is_timeout());
        // The daemon sleeps on after the client is gone.
        assert_eq!(started.elapsed(), Duration::from_secs(12));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn end_of_file_at_any_step_ends_at_once() {
    paused_deadline(async {
        for step in 0..STEPS {
            let started = Instant::now();
            let error = connect_as_far_as(step, async |peer| drop(peer)).await;
            assert!(
                matches!(error.close_cause(), Some(CloseCause::EndOfFile)),
                "{error:?}"
            );
            assert_eq!(started.elapsed(), Duration::ZERO);
        }
    })
    .await;
}

#[tokio::test]
async fn refusal_at_any_step_is_told_with_its_code() {
    deadline(async {
        for step in 0..STEPS {
            let error = connect_as_far_as(step, async |mut peer| {
                let request = peer.request().await.unwrap().unwrap();
                peer.refuse(&request, ErrorCode::NO_CONNECT).await;
                peer.until_hang_up().await.unwrap();
            })
            .await;
            assert_eq!(error.kind(), ErrorKind::Remote);
            assert_eq!(error.code(), Some(ErrorCode::NO_CONNECT));
        }
    })
    .await;
}

#[tokio::test]
async fn daemon_is_asked_to_open_what_the_uri_names() {
    deadline(async {
        for (uri, read_only, name) in [
            (
                "qemu+tcp://host:1/system?mode=legacy",
                true,
                "qemu:///system",
            ),
            (
                "test+unix:///default?socket=/nowhere",
                false,
                "test:///default",
            ),
        ] {
            let (client, mut peer) = Peer::pair();
            let builder = Connection::builder().uri(uri).read_only(read_only);
            let opened = async { builder.connect_with_io(client).await.map(drop) };
            let (opened, open) = tokio::join!(opened, peer.until::<remote::ConnectOpen>());
            opened.unwrap();
            let args = open.args::<remote::ConnectOpen>().unwrap();
            assert_eq!(args.name.unwrap(), *name);
            assert_eq!(args.flags, u32::from(read_only));
        }
    })
    .await;
}

#[tokio::test]
async fn byte_stream_that_holds_bytes_back_is_flushed() {
    deadline(async {
        let (client, peer) = Peer::pair();
        let peer = tokio::spawn(peer.serve());
        let (connection, driver) = builder()
            .connect_with_io(BufStream::new(client))
            .await
            .unwrap();
        tokio::spawn(driver);
        assert_eq!(ask(&connection, 1).await.unwrap(), 1);
        connection.close().await;
        peer.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn socket_that_is_not_there_or_nobody_listens_on_is_an_error_of_connecting() {
    deadline(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let uri = format!("test+unix:///default?socket={}", path.display());
        assert_eq!(
            Connection::open(&uri).await.unwrap_err().kind(),
            ErrorKind::Connect
        );
        drop(UnixListener::bind(&path).unwrap());
        assert_eq!(
            Connection::open(&uri).await.unwrap_err().kind(),
            ErrorKind::Connect
        );

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let uri = format!("test+tcp://127.0.0.1:{port}/default");
        assert_eq!(
            Connection::open(&uri).await.unwrap_err().kind(),
            ErrorKind::Connect
        );
    })
    .await;
}

#[tokio::test]
async fn socket_that_nobody_accepts_from_ends_with_the_deadline() {
    deadline(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let _listener = UnixListener::bind(&path).unwrap();
        let uri = format!("test+unix:///default?socket={}", path.display());
        let wait = Duration::from_millis(200);
        let opened = Connection::builder()
            .uri(uri)
            .connect_deadline(wait)
            .connect()
            .await;
        assert_eq!(opened.unwrap_err().kind(), ErrorKind::Timeout);
    })
    .await;
}
