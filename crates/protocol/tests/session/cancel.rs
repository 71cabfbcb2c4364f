use virtwire_protocol::header::{MessageType, Status};
use virtwire_protocol::procedure::Procedure;
use virtwire_protocol::remote::{ConnectGetLibVersion, DomainDestroy, StorageVolDownload};
use virtwire_protocol::session::StreamBody;

use crate::pair::{Pair, encoded_error, header, many};

#[test]
fn a_call_cancelled_before_it_was_sent_is_forgotten() {
    let mut pair = Pair::new();
    let ids: Vec<_> = (0..3)
        .map(|n| pair.call::<ConnectGetLibVersion>(n))
        .collect();
    assert_eq!(pair.client.cancel(ids[1]), Some(1));
    assert_eq!(pair.client.cancel(ids[1]), None);
    pair.drive();
    assert_eq!(pair.requests.len(), 2);
    pair.reply(0);
    pair.reply(2);
    pair.drive();
    assert_eq!(pair.values(), [(0, 0), (2, 2)]);
}

#[test]
fn a_cancelled_call_keeps_its_slot_until_the_daemon_answers() {
    let mut pair = Pair::new();
    let ids: Vec<_> = (0..5)
        .map(|n| pair.call::<ConnectGetLibVersion>(n))
        .collect();
    pair.drive();
    assert_eq!(pair.client.cancel(ids[0]), Some(0));
    assert_eq!(pair.client.cancel(ids[0]), None);
    pair.drive();
    assert_eq!(pair.client.calls_in_flight(), 4);
    assert_eq!(pair.client.waiting_calls(), 1);
    pair.reply(9);
    pair.drive();
    assert_eq!(pair.client.stats().late_replies, 1);
    assert_eq!(pair.client.waiting_calls(), 0);
    assert_eq!(pair.requests.len(), 4);
    assert!(pair.results().is_empty());
}

#[test]
fn a_finished_call_cannot_be_cancelled() {
    let mut pair = Pair::new();
    let id = pair.call::<ConnectGetLibVersion>(1);
    pair.drive();
    pair.reply(0);
    pair.drive();
    assert_eq!(pair.client.cancel(id), None);
    assert_eq!(pair.values(), [(1, 0)]);
}

#[test]
fn ten_thousand_cancelled_calls_leave_nothing_behind() {
    let mut pair = Pair::new();
    for token in 0..many(10_000) {
        let id = pair.call::<ConnectGetLibVersion>(token);
        if token % 3 == 0 {
            pair.drive();
        }
        assert_eq!(pair.client.cancel(id), Some(token));
        if !pair.requests.is_empty() {
            pair.reply(0);
        }
        pair.drive();
    }
    assert_eq!(pair.client.calls_in_flight(), 0);
    assert_eq!(pair.client.waiting_calls(), 0);
    assert_eq!(pair.client.pending_bytes(), 0);
    assert!(pair.take().is_empty());
}

#[test]
fn calls_that_nobody_waits_for_leave_the_queue() {
    let mut pair = Pair::new();
    for token in 0..8 {
        pair.call::<ConnectGetLibVersion>(token);
    }
    pair.call::<DomainDestroy>(8);
    assert_eq!(pair.client.retain_waiting(|token| token % 2 == 0), 4);
    assert_eq!(pair.client.waiting_calls(), 5);
    pair.drive();
    assert_eq!(pair.requests.len(), 4);
    assert!(pair.requests[0].is::<DomainDestroy>());
    for _ in 0..5 {
        pair.reply(0);
        pair.drive();
    }
    let tokens: Vec<_> = pair.values().iter().map(|(token, _)| *token).collect();
    assert_eq!(tokens, [8, 0, 2, 4, 6]);
    assert_eq!(pair.client.pending_bytes(), 0);
}

#[test]
fn a_stream_that_opens_after_its_call_was_cancelled_is_aborted() {
    let mut pair = Pair::new();
    let id = pair.call::<StorageVolDownload>(1);
    pair.drive();
    pair.client.cancel(id);
    let route = pair.requests[0].route;
    pair.server.stream_data(route, "early"[..].into()).unwrap();
    pair.reply(0);
    pair.server.stream_data(route, "late"[..].into()).unwrap();
    pair.drive();
    assert_eq!(pair.stream_bodies(), [StreamBody::Abort]);
    pair.server.stream_confirm(route);
    pair.drive();
    assert_eq!(pair.client.streams(), 0);
    assert!(pair.take().is_empty());
}

#[test]
fn a_stream_that_died_before_its_cancelled_call_returned_is_not_aborted() {
    let mut pair = Pair::new();
    let id = pair.call::<StorageVolDownload>(1);
    pair.drive();
    pair.client.cancel(id);
    let number = StorageVolDownload::NUMBER;
    let error = header(number, MessageType::Stream, 1, Status::Error);
    pair.inject(error, &encoded_error()).unwrap();
    pair.reply(0);
    pair.drive();
    assert_eq!(pair.stream_bodies(), []);
    assert_eq!(pair.client.streams(), 0);
    assert!(pair.take().is_empty());
}

#[test]
fn a_cancelled_call_that_fails_opens_no_stream() {
    let mut pair = Pair::new();
    let id = pair.call::<StorageVolDownload>(1);
    pair.drive();
    pair.client.cancel(id);
    let number = StorageVolDownload::NUMBER;
    let error = header(number, MessageType::Reply, 1, Status::Error);
    pair.inject(error, &encoded_error()).unwrap();
    pair.drive();
    assert_eq!(pair.client.streams(), 0);
    assert_eq!(pair.stream_bodies(), []);
}
