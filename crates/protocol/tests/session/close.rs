use std::io;
use std::sync::Arc;

use virtwire_protocol::header::{MessageType, Status};
use virtwire_protocol::procedure::Procedure;
use virtwire_protocol::remote::{ConnectGetLibVersion, StorageVolDownload};
use virtwire_protocol::session::{
    CallFailure, CloseCause, Delivery, Output, ProtocolError, StreamFailure,
};

use crate::pair::{Pair, header};

#[test]
fn everybody_learns_the_same_cause_and_how_far_the_call_got() {
    let mut pair = Pair::new();
    let cancelled = pair.call::<ConnectGetLibVersion>(0);
    for token in 1..7 {
        pair.call::<ConnectGetLibVersion>(token);
    }
    pair.drive();
    pair.client.cancel(cancelled);
    let reset = io::Error::from(io::ErrorKind::ConnectionReset);
    pair.client.close(CloseCause::Io(reset));
    let session_cause = Arc::clone(pair.client.close_cause().unwrap());
    assert!(matches!(*session_cause, CloseCause::Io(_)));
    let ends: Vec<_> = pair
        .results()
        .into_iter()
        .map(|(token, result)| match result {
            Err(CallFailure::ConnectionClosed { cause, delivery }) => {
                assert!(Arc::ptr_eq(&cause, &session_cause));
                (token, delivery)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let (sent, waiting) = (Delivery::MaybeExecuted, Delivery::NotSent);
    let expected = [
        (1, sent),
        (2, sent),
        (3, sent),
        (4, waiting),
        (5, waiting),
        (6, waiting),
    ];
    assert_eq!(ends, expected);
    assert_eq!(pair.client.calls_in_flight(), 0);
    assert_eq!(pair.client.waiting_calls(), 0);
    assert_eq!(pair.client.pending_bytes(), 0);
}

#[test]
fn the_first_cause_counts_and_nothing_ends_twice() {
    let mut pair = Pair::new();
    pair.call::<ConnectGetLibVersion>(1);
    pair.drive();
    pair.client.close(CloseCause::EndOfFile);
    pair.client.close(CloseCause::Requested);
    pair.reply(0);
    pair.drive();
    assert!(matches!(
        **pair.client.close_cause().unwrap(),
        CloseCause::EndOfFile
    ));
    assert_eq!(pair.results().len(), 1);
}

#[test]
fn a_closed_session_sends_nothing_and_fails_calls_at_once() {
    let mut pair = Pair::new();
    pair.call::<ConnectGetLibVersion>(1);
    pair.client.close(CloseCause::Requested);
    assert_eq!(pair.client.poll_transmit(), None);
    assert_eq!(pair.client.poll_timeout(), None);
    pair.take();
    pair.call::<ConnectGetLibVersion>(2);
    let results = pair.results();
    let [(2, Err(CallFailure::ConnectionClosed { delivery, .. }))] = results.as_slice() else {
        panic!("{results:?}");
    };
    assert_eq!(*delivery, Delivery::NotSent);
    assert_eq!(pair.client.poll_transmit(), None);
}

#[test]
fn a_broken_protocol_closes_the_session_by_itself() {
    let mut pair = Pair::new();
    pair.call::<ConnectGetLibVersion>(1);
    pair.drive();
    let call = header(1, MessageType::Call, 1, Status::Ok);
    assert!(pair.inject(call, &[]).is_err());
    let cause = pair.client.close_cause().unwrap();
    let CloseCause::Protocol(error) = **cause else {
        panic!("{cause:?}");
    };
    let expected = ProtocolError::UnexpectedMessageType(MessageType::Call);
    assert_eq!(error, expected);
    assert_eq!(pair.results().len(), 1);
    assert!(pair.inject(call, &[]).is_ok());
}

#[test]
fn streams_end_once_and_those_that_were_never_open_do_not() {
    let mut pair = Pair::new();
    pair.call::<StorageVolDownload>(1);
    pair.call::<StorageVolDownload>(2);
    pair.call::<StorageVolDownload>(3);
    pair.drive();
    pair.reply(0);
    pair.reply(0);
    pair.drive();
    let opened: Vec<_> = pair
        .results()
        .into_iter()
        .map(|(_, result)| result.unwrap().stream.unwrap())
        .collect();
    pair.client.stream_finish(opened[1]).unwrap();
    pair.client.close(CloseCause::EndOfFile);
    let outputs = pair.take();
    assert!(matches!(&outputs[0], Output::CallFinished { token: 3, .. }));
    for (id, output) in opened.iter().zip(&outputs[1..]) {
        let Output::StreamClosed {
            id: closed,
            outcome: Err(StreamFailure::ConnectionClosed { .. }),
            ..
        } = output
        else {
            panic!("{output:?}");
        };
        assert_eq!(closed, id);
    }
    assert_eq!(outputs.len(), 3);
    assert_eq!(pair.client.streams(), 0);
    assert_eq!(StorageVolDownload::NUMBER, 209);
}
