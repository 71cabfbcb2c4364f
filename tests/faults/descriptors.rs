//! That no file descriptor is left, whatever the daemon does, on real sockets.

use std::net::Ipv4Addr;
use std::time::Duration;

use virtwire::{Connection, remote};
use virtwire_sim::script::Peer;
use virtwire_sim::socket::{Address, Listener, Socket};
use virtwire_tests::alone::{alone, open_descriptors};
use virtwire_tests::question::asker;
use virtwire_tests::{deadline, task};

/// What the daemon does, with a call unanswered.
#[derive(Debug, Clone, Copy)]
enum Misdeed {
    Nothing,
    Close,
    HalfClose,
    Reset,
    Truncate,
    Garbage,
    Silence,
}

const MISDEEDS: [Misdeed; 7] = [
    Misdeed::Nothing,
    Misdeed::Close,
    Misdeed::HalfClose,
    Misdeed::Reset,
    Misdeed::Truncate,
    Misdeed::Garbage,
    Misdeed::Silence,
];

#[test]
fn none_is_left_whatever_the_daemon_does() {
    alone("descriptors::none_is_left_whatever_the_daemon_does", || {
        deadline(count())
    });
}

async fn count() {
    let directory = tempfile::tempdir().unwrap();
    let unix = Address::Unix(directory.path().join("socket"));
    let tcp = Address::Tcp((Ipv4Addr::LOCALHOST, 0).into());
    for address in [unix, tcp] {
        let listener = Listener::bind(&address).unwrap();
        // The first connection has the runtime open what it keeps.
        connect(&listener, Misdeed::Nothing).await;
        let before = open_descriptors();
        for misdeed in MISDEEDS {
            connect(&listener, misdeed).await;
            connect_half(&listener, misdeed).await;
            assert_eq!(open_descriptors(), before, "{misdeed:?} at {address}");
        }
    }
}

/// Opens a connection, on which then this happens, and waits until it is over.
async fn connect(listener: &Listener, misdeed: Misdeed) {
    let uri = listener.address().uri("test", "/default");
    let builder = Connection::builder()
        .uri(uri)
        .keepalive(Duration::from_millis(20), 1);
    let open = async {
        let mut peer = Peer::accept(listener).await.unwrap();
        peer.shake_hands().await.unwrap();
        peer
    };
    let (connection, mut peer) = tokio::join!(builder.connect(), open);
    let connection = connection.unwrap();
    let call = asker(&connection, 1);
    peer.expect::<remote::ConnectSupportsFeature>()
        .await
        .unwrap();
    let kept = commit(peer, misdeed).await;
    if let Misdeed::Nothing = misdeed {
        call.abort();
        let _ = call.await;
    } else {
        assert!(call.await.unwrap().unwrap_err().is_closed());
    }
    drop((connection, kept));
    task::none_left().await;
}

/// The same before the connection is open.
async fn connect_half(listener: &Listener, misdeed: Misdeed) {
    let uri = listener.address().uri("test", "/default");
    let connect = Connection::builder()
        .uri(uri)
        .connect_deadline(Duration::from_millis(50))
        .connect();
    let hinder = async {
        let mut peer = Peer::accept(listener).await.unwrap();
        peer.expect::<remote::AuthList>().await.unwrap();
        commit(peer, misdeed).await
    };
    let (connected, kept) = tokio::join!(connect, hinder);
    connected.unwrap_err();
    drop(kept);
    task::none_left().await;
}

/// Has the peer do it. What it keeps of the connection is given back.
async fn commit(mut peer: Peer<Socket>, misdeed: Misdeed) -> Option<Peer<Socket>> {
    match misdeed {
        Misdeed::Nothing | Misdeed::Silence => {}
        Misdeed::Close => {
            peer.close().await;
            return None;
        }
        Misdeed::HalfClose => peer.half_close().await,
        Misdeed::Reset => {
            peer.reset();
            return None;
        }
        Misdeed::Truncate => {
            peer.send_raw(&[0, 0, 1, 0, 0x20]).await.unwrap();
            peer.close().await;
            return None;
        }
        Misdeed::Garbage => peer.send_raw(b"HTTP/1.1 400 Bad Request").await.unwrap(),
    }
    Some(peer)
}
