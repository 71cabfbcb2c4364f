use virtwire_protocol::header::{MessageType, Status};
use virtwire_protocol::keepalive;
use virtwire_protocol::procedure::Event;
use virtwire_protocol::remote::{ConnectGetLibVersion, StorageVolUpload};
use virtwire_protocol::session::{ProtocolError, ServerConfig, ServerSession};

use crate::pair::{Pair, header, program_header};
use virtwire_protocol::frame::{Frame, FrameDecoder};

#[test]
fn a_server_stops_reading_at_its_limit_and_goes_on_after_a_reply() {
    let mut pair = Pair::with(|client| client.max_in_flight = 100, |_| {});
    for token in 0..8 {
        pair.call::<ConnectGetLibVersion>(token);
    }
    pair.drive();
    assert_eq!(pair.requests.len(), 5);
    assert!(!pair.server.wants_read());
    for _ in 0..8 {
        pair.reply(0);
        pair.drive();
    }
    assert_eq!(pair.values().len(), 8);
    assert!(pair.server.wants_read());
    assert_eq!(pair.server.requests_in_progress(), 0);
}

/// The reason for the default limit of the client.
#[test]
fn the_default_of_the_client_leaves_room_for_keepalive() {
    let ping = program_header(
        keepalive::PROGRAM,
        keepalive::Ping::NUMBER,
        MessageType::Message,
        0,
        Status::Ok,
    );
    for (limit, answered) in [(4, true), (5, false)] {
        let mut pair = Pair::with(|client| client.max_in_flight = limit, |_| {});
        for token in 0..9 {
            pair.call::<ConnectGetLibVersion>(token);
        }
        pair.drive();
        pair.inject(ping, &[]).unwrap();
        pair.drive();
        let pong = pair.server_frames.last().unwrap();
        assert_eq!(pong.program == keepalive::PROGRAM, answered);
    }
}

#[test]
fn stream_packets_count_until_they_are_consumed() {
    let mut pair = Pair::new();
    pair.call::<StorageVolUpload>(1);
    pair.drive();
    pair.reply(0);
    pair.drive();
    let id = pair.results()[0].1.as_ref().unwrap().stream.unwrap();
    for _ in 0..9 {
        pair.client.stream_send(id, "chunk"[..].into()).unwrap();
    }
    pair.drive();
    assert_eq!(pair.stream_packets.len(), 5);
    assert!(!pair.server.wants_read());
    assert_eq!(pair.stream_bodies().len(), 5);
    pair.drive();
    assert_eq!(pair.stream_bodies().len(), 4);
}

fn server() -> (ServerSession, std::time::Instant) {
    let now = std::time::Instant::now();
    (ServerSession::new(ServerConfig::default(), now), now)
}

#[test]
fn a_call_with_a_status_is_refused_by_a_reply() {
    let (mut server, now) = server();
    let call = header(1, MessageType::Call, 8, Status::Error);
    let frame = Frame::new(call, bytes::Bytes::new());
    server.handle_frame(frame, now).unwrap();
    assert_eq!(server.poll_output(), None);
    assert_eq!(server.requests_in_progress(), 0);
    let mut decoder = FrameDecoder::new();
    let bytes = server.poll_transmit().unwrap();
    decoder.buffer_mut().extend_from_slice(&bytes);
    let reply = decoder.next_frame().unwrap().unwrap();
    let expected = header(1, MessageType::Reply, 8, Status::Error);
    assert_eq!(reply.header, expected);
}

#[test]
fn a_client_that_speaks_like_a_daemon_is_cut_off() {
    for kind in [MessageType::Reply, MessageType::Message] {
        let (mut server, now) = server();
        let frame = Frame::new(header(1, kind, 8, Status::Ok), bytes::Bytes::new());
        let error = ProtocolError::UnexpectedMessageType(kind);
        assert_eq!(server.handle_frame(frame, now), Err(error));
        assert!(server.close_cause().is_some());
        assert!(!server.wants_read());
        assert_eq!(server.poll_transmit(), None);
    }
}
