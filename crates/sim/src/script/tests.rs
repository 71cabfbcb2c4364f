//! The peer on a client session that the test drives by hand.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use virtwire_protocol::frame::{Frame, FrameDecoder};
use virtwire_protocol::header::{MessageType, Serial, Status};
use virtwire_protocol::session::{CallRequest, ClientConfig, ClientSession, Route, StreamBody};
use virtwire_protocol::{Procedure, RemoteError, remote};

use super::*;

/// A client that makes calls and looks at the packets that come.
struct Client {
    io: Pipe,
    session: ClientSession<()>,
    decoder: FrameDecoder,
}

impl Client {
    fn pair() -> (Self, Peer) {
        let (io, peer) = Peer::pair();
        let mut config = ClientConfig::default();
        config.max_in_flight = 64;
        let client = Self {
            io,
            session: ClientSession::new(config, std::time::Instant::now()),
            decoder: FrameDecoder::new(),
        };
        (client, peer)
    }

    async fn call<P: Procedure>(&mut self, args: &P::Args<'_>) {
        self.session.call(CallRequest::new::<P>(args).unwrap(), ());
        while let Some(bytes) = self.session.poll_transmit() {
            self.io.write_all(&bytes).await.unwrap();
        }
    }

    async fn frame(&mut self) -> Frame {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return frame;
            }
            let count = self.io.read_buf(self.decoder.buffer_mut()).await.unwrap();
            assert_ne!(count, 0, "the peer has hung up");
        }
    }

    async fn lookup(&mut self, name: &str) {
        let args = remote::DomainLookupByNameArgs { name: name.into() };
        self.call::<remote::DomainLookupByName>(&args).await;
    }
}

type Hostname = remote::ConnectGetHostname;
type Lookup = remote::DomainLookupByName;

#[tokio::test]
async fn expected_call_comes_with_its_arguments() {
    let (mut client, mut peer) = Client::pair();
    client.lookup("guest").await;
    let call = peer.expect::<Lookup>().await.unwrap();
    assert_eq!(call.args.name, *"guest");
    assert!(call.is::<Lookup>());
}

#[tokio::test]
async fn calls_are_answered_in_any_order() {
    let (mut client, mut peer) = Client::pair();
    client.call::<Hostname>(&()).await;
    client.lookup("guest").await;
    let hostname = peer.expect::<Hostname>().await.unwrap();
    let lookup = peer.expect::<Lookup>().await.unwrap();
    let refusal = RemoteError::new(
        virtwire_protocol::constants::ErrorCode::NO_DOMAIN,
        virtwire_protocol::constants::ErrorDomain::QEMU,
        "no such guest",
    );
    peer.error(lookup.route, &refusal).await.unwrap();
    let ret = remote::ConnectGetHostnameRet {
        hostname: "host".into(),
    };
    peer.reply(&hostname, &ret).await.unwrap();
    let (first, second) = (client.frame().await, client.frame().await);
    assert_eq!(first.header.serial, Serial::new(2));
    assert_eq!(first.header.status, Status::Error);
    assert_eq!(second.header.serial, Serial::new(1));
    assert_eq!(second.header.kind, MessageType::Reply);
}

#[tokio::test]
async fn call_is_found_behind_others_which_stay() {
    let (mut client, mut peer) = Client::pair();
    client.call::<Hostname>(&()).await;
    client.lookup("guest").await;
    client.call::<Hostname>(&()).await;
    assert_eq!(peer.find::<Lookup>().await.unwrap().args.name, *"guest");
    let first = peer.expect::<Hostname>().await.unwrap();
    let second = peer.expect::<Hostname>().await.unwrap();
    assert!(first.route.serial < second.route.serial);
}

#[tokio::test]
async fn error_says_what_was_expected_and_what_came() {
    let (mut client, mut peer) = Client::pair();
    client.lookup("guest").await;
    let error = peer.expect::<Hostname>().await.unwrap_err();
    let text = "expected a call of CONNECT_GET_HOSTNAME, \
                but a call of DOMAIN_LOOKUP_BY_NAME (serial 1) came";
    assert_eq!(error.to_string(), text);
    drop(client);
    let error = peer.expect::<Hostname>().await.unwrap_err();
    let text = "expected a call of CONNECT_GET_HOSTNAME, but the client hung up";
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn procedure_without_a_name_is_told_by_its_number() {
    let (mut client, mut peer) = Client::pair();
    let route = Route::new(remote::PROGRAM, 99_999, Serial::new(3));
    let header = route.header(MessageType::Call, Status::Ok);
    let bytes = packet(&header, b"").unwrap();
    client.io.write_all(&bytes).await.unwrap();
    let error = peer.expect_hang_up().await.unwrap_err();
    let text = "expected the end of the connection, \
                but a call of procedure 99999 of 0x20008086 version 1 (serial 3) came";
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn wrong_arguments_and_wrong_packets_are_errors() {
    let (mut client, mut peer) = Client::pair();
    let route = Route::new(Lookup::PROGRAM, Lookup::NUMBER, Serial::new(1));
    let call = packet(&route.header(MessageType::Call, Status::Ok), &[0xff; 4]).unwrap();
    client.io.write_all(&call).await.unwrap();
    let error = peer.expect::<Lookup>().await.unwrap_err();
    assert!(matches!(error, ScriptError::Arguments { .. }), "{error}");
    let event = packet(&event_header(remote::PROGRAM, 1), b"").unwrap();
    client.io.write_all(&event).await.unwrap();
    let error = peer.next().await.unwrap_err();
    assert!(matches!(error, ScriptError::Protocol(_)), "{error}");
    client.io.write_all(b"HTTP/1.1").await.unwrap();
    let error = peer.next().await.unwrap_err();
    assert!(matches!(error, ScriptError::Frame(_)), "{error}");
}

#[tokio::test]
async fn stream_packets_go_both_ways() {
    let (mut client, mut peer) = Client::pair();
    let route = Route::new(
        remote::StorageVolUpload::PROGRAM,
        remote::StorageVolUpload::NUMBER,
        Serial::new(1),
    );
    for (kind, status, payload) in [
        (MessageType::Stream, Status::Continue, &b"data"[..]),
        (MessageType::Stream, Status::Ok, b""),
    ] {
        let bytes = packet(&route.header(kind, status), payload).unwrap();
        client.io.write_all(&bytes).await.unwrap();
    }
    let data = StreamBody::Data(b"data".as_slice().into());
    assert_eq!(peer.expect_stream(route).await.unwrap(), data);
    assert_eq!(peer.expect_stream(route).await.unwrap(), StreamBody::Finish);
    assert_eq!(peer.seen().stream_packets, 2);
    peer.stream_data(route, b"back").await.unwrap();
    peer.stream_hole(route, -1).await.unwrap();
    peer.stream_confirm(route).await.unwrap();
    assert_eq!(client.frame().await.payload, "back");
    assert_eq!(client.frame().await.header.kind, MessageType::StreamHole);
    assert_eq!(client.frame().await.header.status, Status::Ok);
}

#[tokio::test]
async fn default_answers_open_a_connection_and_no_more() {
    let (mut client, mut peer) = Client::pair();
    client.call::<remote::AuthList>(&()).await;
    for feature in [10, 14] {
        let args = remote::ConnectSupportsFeatureArgs { feature };
        client.call::<remote::ConnectSupportsFeature>(&args).await;
    }
    let args = remote::ConnectOpenArgs {
        name: None,
        flags: 0,
    };
    client.call::<remote::ConnectOpen>(&args).await;
    peer.shake_hands().await.unwrap();
    let answers: Vec<_> = [
        client.frame().await,
        client.frame().await,
        client.frame().await,
        client.frame().await,
    ]
    .into_iter()
    .map(|frame| frame.payload)
    .collect();
    assert_eq!(answers[0].as_ref(), [0, 0, 0, 1, 0, 0, 0, 0]);
    assert_eq!(answers[1].as_ref(), [0, 0, 0, 1]);
    assert_eq!(answers[2].as_ref(), [0, 0, 0, 0]);
    assert!(answers[3].is_empty());
    client.call::<Hostname>(&()).await;
    let error = peer.skip_to::<Lookup>().await.unwrap_err();
    let text = "a call of CONNECT_GET_HOSTNAME (serial 5) has no default answer";
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn client_finds_close_half_close_and_reset_as_what_they_are() {
    let (mut client, peer) = Client::pair();
    peer.close().await;
    assert_eq!(client.io.read(&mut [0]).await.unwrap(), 0);

    let (mut client, mut peer) = Client::pair();
    peer.half_close().await;
    assert_eq!(client.io.read(&mut [0]).await.unwrap(), 0);
    client.call::<Hostname>(&()).await;
    peer.expect::<Hostname>().await.unwrap();

    let (mut client, mut peer) = Client::pair();
    peer.send_raw(b"x").await.unwrap();
    peer.reset();
    assert_eq!(client.io.read(&mut [0]).await.unwrap(), 1);
    let error = client.io.read(&mut [0]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test(start_paused = true)]
async fn peer_that_hangs_neither_says_anything_nor_goes() {
    let (mut client, peer) = Client::pair();
    let ping = packet(&ping_header(), b"").unwrap();
    client.io.write_all(&ping).await.unwrap();
    let minute = std::time::Duration::from_secs(60);
    tokio::select! {
        never = peer.hang() => match never {},
        read = client.io.read_u8() => panic!("{read:?}"),
        () = tokio::time::sleep(minute) => {}
    }
}

#[tokio::test]
async fn what_is_said_to_a_client_that_has_gone_is_lost() {
    let (client, mut peer) = Client::pair();
    drop(client);
    peer.ping().await.unwrap();
    peer.send_raw(&vec![0; 1 << 20]).await.unwrap();
    peer.expect_hang_up().await.unwrap();
}

#[tokio::test]
async fn pings_are_answered_unless_the_peer_is_mute() {
    let (mut client, mut peer) = Client::pair();
    let ping = packet(&ping_header(), b"").unwrap();
    client.io.write_all(&ping).await.unwrap();
    peer.expect_pings(1).await.unwrap();
    assert_eq!(client.frame().await.header.serial, Serial::new(0));
    peer.mute();
    client.io.write_all(&ping).await.unwrap();
    peer.expect_pings(2).await.unwrap();
    peer.close().await;
    assert_eq!(client.io.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn what_was_being_said_is_finished_later() {
    let (mut client, mut peer) = Client::pair();
    let event = event_header(remote::PROGRAM, 1);
    let long = vec![7; 256 << 10];
    {
        let saying = std::pin::pin!(peer.send(&event, &long));
        // The client takes nothing, so this cannot end.
        tokio::select! {
            biased;
            _ = saying => panic!("the pipe is not that large"),
            () = tokio::task::yield_now() => {}
        }
    }
    let (frame, _) = tokio::join!(client.frame(), peer.ping());
    assert!(frame.payload == long);
    assert_eq!(client.frame().await.header, ping_header());
}
