use std::time::Duration;

use virtwire_protocol::header::{Header, MessageType, Status};
use virtwire_protocol::keepalive::{PROGRAM, Ping, Pong};
use virtwire_protocol::procedure::Event;
use virtwire_protocol::remote::ConnectGetLibVersion;
use virtwire_protocol::session::{CallFailure, CloseCause, KeepaliveConfig};

use crate::pair::{Pair, many, program_header};

const SECOND: Duration = Duration::from_secs(1);

fn packet(procedure: i32) -> Header {
    program_header(PROGRAM, procedure, MessageType::Message, 0, Status::Ok)
}

fn pair(interval: u32, count: u32) -> Pair {
    let keepalive = KeepaliveConfig::new(interval * SECOND, count);
    Pair::with(|client| client.keepalive = Some(keepalive), |_| {})
}

#[test]
fn a_ping_is_answered_though_every_slot_is_taken() {
    let mut pair = Pair::new();
    for token in 0..8 {
        pair.call::<ConnectGetLibVersion>(token);
    }
    pair.drive();
    pair.server_frames.clear();
    pair.inject(packet(Ping::NUMBER), &[]).unwrap();
    pair.drive();
    assert_eq!(pair.server_frames, [packet(Pong::NUMBER)]);
}

#[test]
fn a_ping_is_answered_before_what_waits() {
    let mut pair = Pair::new();
    pair.call::<ConnectGetLibVersion>(1);
    pair.inject(packet(Ping::NUMBER), &[]).unwrap();
    pair.drive();
    assert_eq!(pair.server_frames[0], packet(Pong::NUMBER));
    assert_eq!(pair.server_frames.len(), 2);
}

#[test]
fn a_flood_of_pings_is_answered_once() {
    let mut pair = Pair::new();
    for _ in 0..many(100_000) {
        pair.inject(packet(Ping::NUMBER), &[]).unwrap();
    }
    assert_eq!(pair.client.pending_bytes(), 28);
    pair.drive();
    assert_eq!(pair.server_frames, [packet(Pong::NUMBER)]);
    pair.inject(packet(Ping::NUMBER), &[]).unwrap();
    pair.drive();
    assert_eq!(pair.server_frames.len(), 2);
}

#[test]
fn pongs_and_unknown_keepalive_packets_need_no_answer() {
    let mut pair = Pair::new();
    for procedure in [Pong::NUMBER, 0, 3, -1] {
        pair.inject(packet(procedure), &[]).unwrap();
    }
    assert_eq!(pair.client.poll_transmit(), None);
    assert!(pair.take().is_empty());
}

#[test]
fn without_a_configuration_there_is_no_deadline() {
    let mut pair = Pair::new();
    assert_eq!(pair.client.poll_timeout(), None);
    pair.client.handle_timeout(pair.now + 1000 * SECOND);
    assert!(!pair.is_closed());
    assert_eq!(pair.client.poll_transmit(), None);
}

#[test]
fn silence_is_met_by_pings_and_then_by_closing() {
    let mut pair = pair(5, 2);
    pair.call::<ConnectGetLibVersion>(1);
    pair.client_to_server();
    pair.server_frames.clear();
    for pings in 1..=2 {
        assert_eq!(pair.client.poll_timeout(), Some(pair.now + 5 * SECOND));
        pair.advance(4 * SECOND);
        assert_eq!(pair.client.poll_transmit(), None);
        pair.advance(SECOND);
        pair.client_to_server();
        assert_eq!(pair.server_frames, vec![packet(Ping::NUMBER); pings]);
    }
    pair.advance(5 * SECOND);
    let results = pair.results();
    let [(1, Err(CallFailure::ConnectionClosed { cause, .. }))] = results.as_slice() else {
        panic!("{results:?}");
    };
    let CloseCause::KeepaliveTimeout(silence) = **cause else {
        panic!("{cause:?}");
    };
    assert_eq!(silence, 15 * SECOND);
}

#[test]
fn a_count_of_zero_closes_after_one_interval() {
    let mut pair = pair(5, 0);
    pair.advance(5 * SECOND);
    assert!(pair.is_closed());
}

#[test]
fn an_answered_ping_starts_the_count_anew() {
    let mut pair = pair(5, 1);
    for _ in 0..20 {
        pair.advance(5 * SECOND);
        assert!(!pair.is_closed());
        pair.drive();
    }
    assert_eq!(pair.server_frames.len(), 20);
}

#[test]
fn any_packet_and_any_byte_is_a_sign_of_life() {
    let mut pair = pair(5, 0);
    pair.advance(4 * SECOND);
    let event = program_header(
        virtwire_protocol::remote::PROGRAM,
        318,
        MessageType::Message,
        1,
        Status::Ok,
    );
    pair.inject(event, &[]).unwrap();
    pair.advance(4 * SECOND);
    pair.client.handle_bytes(pair.now);
    pair.advance(4 * SECOND);
    assert!(!pair.is_closed());
    pair.advance(SECOND);
    assert!(pair.is_closed());
}

#[test]
fn silence_means_nothing_while_the_daemon_cannot_read() {
    let keepalive = KeepaliveConfig::new(SECOND, 0);
    let mut pair = Pair::with(
        |client| {
            client.max_in_flight = 5;
            client.keepalive = Some(keepalive);
        },
        |_| {},
    );
    for token in 0..5 {
        pair.call::<ConnectGetLibVersion>(token);
    }
    pair.drive();
    assert_eq!(pair.client.poll_timeout(), None);
    pair.now += 3600 * SECOND;
    pair.client.handle_timeout(pair.now);
    assert!(!pair.is_closed());
    // An answer makes room and is a sign of life, from which the count begins anew.
    pair.reply(0);
    pair.drive();
    assert_eq!(pair.client.poll_timeout(), Some(pair.now + SECOND));
    pair.advance(SECOND);
    assert!(pair.is_closed());
}

#[test]
fn keepalive_can_start_later_and_stop() {
    let mut pair = Pair::new();
    pair.advance(100 * SECOND);
    let config = KeepaliveConfig::new(SECOND, 1);
    pair.client.set_keepalive(Some(config), pair.now);
    assert_eq!(pair.client.poll_timeout(), Some(pair.now + SECOND));
    pair.advance(SECOND);
    pair.client.set_keepalive(None, pair.now);
    assert_eq!(pair.client.poll_timeout(), None);
    assert_eq!(pair.client.poll_transmit(), None);
}

#[test]
fn the_daemon_pings_too() {
    let keepalive = KeepaliveConfig::new(5 * SECOND, 1);
    let mut pair = Pair::with(|_| {}, |server| server.keepalive = Some(keepalive));
    for _ in 0..20 {
        pair.advance(5 * SECOND);
        pair.drive();
    }
    assert!(pair.server.close_cause().is_none());
    assert_eq!(pair.server_frames, [packet(Pong::NUMBER); 20]);
    pair.advance(5 * SECOND);
    pair.advance(5 * SECOND);
    assert!(pair.server.close_cause().is_some());
}
