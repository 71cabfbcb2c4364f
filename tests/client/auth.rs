//! Authentication: what the daemon can want, and how it can answer.

use std::time::Duration;

use tokio::time::sleep;
use virtwire::constants::ErrorCode;
use virtwire::remote::AuthType;
use virtwire::{Connection, Error, ErrorKind, Execution, remote};
use virtwire_tests::paused_deadline;
use virtwire_tests::peer::{Guest as _, Peer, builder};

const POLKIT: &[AuthType] = &[AuthType::POLKIT];

/// Connects to a daemon that wants `types`; `then` is what it does after saying so.
async fn connect(
    uri: &str,
    types: &[AuthType],
    then: impl AsyncFnOnce(&mut Peer),
) -> Result<(), Error> {
    let (client, mut peer) = Peer::pair();
    let daemon = async {
        let ret = remote::AuthListRet {
            types: types.to_vec(),
        };
        peer.answer::<remote::AuthList>(&ret).await.unwrap();
        then(&mut peer).await;
        peer.serve().await;
    };
    let connect = async { builder().uri(uri).connect_with_io(client).await.map(drop) };
    tokio::join!(connect, daemon).0
}

async fn connect_to(types: &[AuthType], then: impl AsyncFnOnce(&mut Peer)) -> Result<(), Error> {
    connect("test:///default", types, then).await
}

/// The daemon asks polkit, which takes `time` and comes to `complete`.
async fn ask_polkit(peer: &mut Peer, time: Duration, complete: i32) {
    let request = peer.expect::<remote::AuthPolkit>().await.unwrap();
    sleep(time).await;
    peer.reply_to::<remote::AuthPolkit>(request.route, &remote::AuthPolkitRet { complete })
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn no_authentication_and_an_empty_list_need_none() {
    paused_deadline(async {
        connect_to(&[AuthType::NONE], async |_| {}).await.unwrap();
        connect_to(&[], async |_| {}).await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn polkit_lets_in() {
    paused_deadline(async {
        connect_to(POLKIT, async |peer| {
            ask_polkit(peer, Duration::ZERO, 1).await
        })
        .await
        .unwrap();
        let asked_for = "test:///default?auth=polkit";
        connect(asked_for, POLKIT, async |peer| {
            ask_polkit(peer, Duration::ZERO, 1).await
        })
        .await
        .unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn polkit_may_take_as_long_as_the_connect_deadline() {
    paused_deadline(async {
        let time = Duration::from_secs(29);
        connect_to(POLKIT, async |peer| ask_polkit(peer, time, 1).await)
            .await
            .unwrap();
        let time = Duration::from_secs(31);
        let late = connect_to(POLKIT, async |peer| ask_polkit(peer, time, 1).await).await;
        assert!(late.unwrap_err().is_timeout());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn refusal_of_polkit_is_told_with_its_code() {
    paused_deadline(async {
        for code in [
            ErrorCode::AUTH_FAILED,
            ErrorCode::AUTH_CANCELLED,
            ErrorCode::AUTH_UNAVAILABLE,
        ] {
            let refused = connect_to(POLKIT, async |peer| {
                let request = peer.expect::<remote::AuthPolkit>().await.unwrap();
                peer.refuse(&request, code).await;
            });
            let error = refused.await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Auth);
            assert_eq!(error.code(), Some(code));
            assert_eq!(error.procedure(), Some("AUTH_POLKIT"));
            assert_eq!(error.execution(), Some(Execution::Rejected));
            assert!(!error.is_retryable());
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn polkit_that_comes_to_nothing_breaks_the_protocol() {
    paused_deadline(async {
        let opened = connect_to(POLKIT, async |peer| {
            ask_polkit(peer, Duration::ZERO, 0).await
        });
        assert_eq!(opened.await.unwrap_err().kind(), ErrorKind::Protocol);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn daemon_that_wants_what_this_client_cannot_is_told_apart() {
    paused_deadline(async {
        for types in [
            &[AuthType::SASL][..],
            &[AuthType(99)],
            &[AuthType(-1), AuthType::SASL],
        ] {
            let error = connect_to(types, async |_| {}).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Auth, "{types:?}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn authentication_of_the_uri_must_be_what_the_daemon_wants() {
    paused_deadline(async {
        for types in [&[][..], &[AuthType::NONE], &[AuthType::SASL]] {
            let opened = connect("test:///default?auth=polkit", types, async |_| {}).await;
            assert_eq!(opened.unwrap_err().kind(), ErrorKind::Auth, "{types:?}");
        }
        let types = &[AuthType::SASL];
        let opened = connect("test:///default?auth=sasl.PLAIN", types, async |_| {}).await;
        assert_eq!(opened.unwrap_err().kind(), ErrorKind::Unsupported);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn list_beyond_its_bound_breaks_the_protocol() {
    paused_deadline(async {
        let (client, mut peer) = Peer::pair();
        let daemon = async {
            let request = peer.expect::<remote::AuthList>().await.unwrap();
            let header =
                virtwire_tests::peer::reply_header(&request, virtwire_protocol::header::Status::Ok);
            peer.send(&header, &[0xff; 64]).await.unwrap();
            peer.until_hang_up().await.unwrap();
        };
        let connect = async {
            let connected: Result<(Connection, _), Error> = builder().connect_with_io(client).await;
            connected.map(drop)
        };
        let error = tokio::join!(connect, daemon).0.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
    })
    .await;
}
