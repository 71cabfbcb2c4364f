use virtwire_protocol::header::{MessageType, Status};
use virtwire_protocol::procedure::Procedure;
use virtwire_protocol::remote::{
    ConnectDomainEventCallbackDeregisterAny, ConnectGetHostname, ConnectGetLibVersion,
    DomainAbortJob, DomainAbortJobFlags, DomainBlockJobAbort, DomainDestroy, DomainDestroyFlags,
    DomainLookupByName, DomainLookupByNameArgs,
};
use virtwire_protocol::session::{CallFailure, CallRequest, Lane, ProtocolError, ReplyError};
use virtwire_protocol::{constants, qemu};

use crate::pair::{Pair, encoded_error, header, program_header, remote_error, request};

const VERSION: i32 = ConnectGetLibVersion::NUMBER;

#[test]
fn a_call_reaches_the_server_and_its_reply_the_caller() {
    let mut pair = Pair::new();
    let args = DomainLookupByNameArgs { name: "vm".into() };
    let request = CallRequest::new::<DomainLookupByName>(&args).unwrap();
    pair.client.call(request, 7);
    pair.drive();
    let request = &pair.requests[0];
    assert!(request.is::<DomainLookupByName>());
    assert_eq!(request.args::<DomainLookupByName>().unwrap(), args);
    pair.reply(42);
    pair.drive();
    assert_eq!(pair.values(), [(7, 42)]);
    assert_eq!(pair.client.calls_in_flight(), 0);
    assert_eq!(pair.client.pending_bytes(), 0);
}

#[test]
fn replies_come_in_any_order() {
    let mut pair = Pair::new();
    for token in 0..4 {
        pair.call::<ConnectGetLibVersion>(token);
    }
    pair.drive();
    let routes: Vec<_> = pair.requests.iter().map(|request| request.route).collect();
    for index in [2, 0, 3, 1] {
        pair.reply_to(routes[index], u32::try_from(index).unwrap() * 10);
    }
    pair.drive();
    assert_eq!(pair.values(), [(2, 20), (0, 0), (3, 30), (1, 10)]);
}

#[test]
fn serials_start_at_one_and_grow() {
    let mut pair = Pair::new();
    for token in 0..3 {
        pair.call::<ConnectGetLibVersion>(token);
    }
    pair.drive();
    let serials: Vec<_> = pair.requests.iter().map(|r| r.route.serial.get()).collect();
    assert_eq!(serials, [1, 2, 3]);
}

#[test]
fn four_calls_are_in_flight_and_the_others_wait_their_turn() {
    let mut pair = Pair::new();
    for token in 0..10 {
        pair.call::<ConnectGetLibVersion>(token);
    }
    pair.drive();
    for finished in 0..10 {
        assert_eq!(pair.requests.len(), 4.min(10 - finished));
        assert_eq!(
            pair.client.waiting_calls(),
            6_usize.saturating_sub(finished)
        );
        pair.reply(0);
        pair.drive();
    }
    let tokens: Vec<_> = pair.values().iter().map(|(token, _)| *token).collect();
    assert_eq!(tokens, (0..10).collect::<Vec<_>>());
}

#[test]
fn calls_get_their_slots_only_when_the_driver_can_write() {
    let mut pair = Pair::new();
    pair.call::<ConnectGetLibVersion>(1);
    assert_eq!(pair.client.waiting_calls(), 1);
    assert_eq!(pair.client.pending_bytes(), 28);
    assert_eq!(pair.client.poll_transmit().unwrap().len(), 28);
    assert_eq!(pair.client.waiting_calls(), 0);
    assert_eq!(pair.client.calls_in_flight(), 1);
    assert_eq!(pair.client.pending_bytes(), 0);
    assert_eq!(pair.client.poll_transmit(), None);
}

#[test]
fn an_urgent_call_is_next_but_gets_no_slot_of_its_own() {
    let mut pair = Pair::new();
    for token in 0..6 {
        pair.call::<ConnectGetLibVersion>(token);
    }
    pair.drive();
    pair.call::<DomainDestroy>(100);
    pair.call::<DomainBlockJobAbort>(101);
    pair.drive();
    assert_eq!(pair.requests.len(), 4);
    for _ in 0..2 {
        pair.reply(0);
    }
    pair.drive();
    let numbers: Vec<_> = pair.requests.iter().map(|r| r.route.procedure).collect();
    let (destroy, abort) = (DomainDestroy::NUMBER, DomainBlockJobAbort::NUMBER);
    assert_eq!(numbers, [VERSION, VERSION, destroy, abort]);
}

#[test]
fn reserved_slots_are_for_urgent_calls_only() {
    let mut pair = Pair::with(|client| client.reserved = 1, |_| {});
    for token in 0..6 {
        pair.call::<ConnectGetLibVersion>(token);
    }
    pair.drive();
    assert_eq!(pair.requests.len(), 3);
    pair.call::<DomainDestroy>(100);
    pair.call::<DomainBlockJobAbort>(101);
    pair.drive();
    assert_eq!(pair.requests.len(), 4);
    assert!(pair.requests[3].is::<DomainDestroy>());
    // The next slot is for the next urgent call, the one after that for nobody yet.
    pair.reply(0);
    pair.drive();
    assert!(pair.requests[3].is::<DomainBlockJobAbort>());
    pair.reply(0);
    pair.drive();
    assert_eq!(pair.requests.len(), 3);
    pair.reply(0);
    pair.drive();
    assert_eq!(pair.requests.len(), 3);
    assert!(pair.requests[2].is::<ConnectGetLibVersion>());
    // Slots that wait for nobody use no serials up.
    let last = pair.requests.iter().map(|request| request.route.serial);
    assert_eq!(last.max().unwrap().get(), 6);
}

#[test]
fn one_slot_is_left_whatever_is_reserved() {
    let mut pair = Pair::with(|client| client.reserved = 9, |_| {});
    for token in 0..3 {
        pair.call::<ConnectGetLibVersion>(token);
    }
    pair.drive();
    assert_eq!(pair.requests.len(), 1);
}

#[test]
fn the_owner_has_the_last_word_before_a_call_gets_its_slot() {
    let mut pair = Pair::new();
    for token in 0..3 {
        pair.call::<ConnectGetLibVersion>(token);
    }
    let mut launched = Vec::new();
    let sent = pair.client.poll_transmit_with(|token, serial| {
        launched.push((*token, serial.get()));
        *token != 1
    });
    assert_eq!(sent.unwrap().len(), 2 * 28);
    assert_eq!(launched, [(0, 1), (1, 2), (2, 2)]);
    assert_eq!(pair.client.waiting_calls(), 0);
    assert_eq!(pair.client.calls_in_flight(), 2);
    assert_eq!(pair.client.pending_bytes(), 0);
    assert!(pair.client.poll_output().is_none());
}

#[test]
fn what_ends_other_work_is_urgent() {
    let urgent = [
        request::<DomainDestroy>(),
        request::<DomainDestroyFlags>(),
        request::<DomainAbortJob>(),
        request::<DomainAbortJobFlags>(),
        request::<DomainBlockJobAbort>(),
        request::<ConnectDomainEventCallbackDeregisterAny>(),
    ];
    assert!(urgent.iter().all(|request| request.lane() == Lane::Urgent));
}

#[test]
fn the_lane_of_a_call_can_be_chosen() {
    assert_eq!(request::<DomainDestroy>().lane(), Lane::Urgent);
    assert_eq!(request::<ConnectGetLibVersion>().lane(), Lane::Ordinary);
    let request = request::<ConnectGetLibVersion>().in_lane(Lane::Urgent);
    assert_eq!(request.lane(), Lane::Urgent);
}

#[test]
fn short_packets_leave_in_one_piece() {
    let mut pair = Pair::new();
    for token in 0..4 {
        pair.call::<ConnectGetLibVersion>(token);
    }
    assert_eq!(pair.client.poll_transmit().unwrap().len(), 4 * 28);
    assert_eq!(pair.client.poll_transmit(), None);
}

#[test]
fn a_long_packet_is_not_copied() {
    let mut pair = Pair::new();
    let name = "n".repeat(100_000);
    let args = DomainLookupByNameArgs {
        name: name.as_str().into(),
    };
    let request = CallRequest::new::<DomainLookupByName>(&args).unwrap();
    pair.client.call(request, 1);
    pair.call::<ConnectGetLibVersion>(2);
    pair.drive();
    let received = pair.requests[0].args::<DomainLookupByName>().unwrap();
    assert!(received.name == *name);
    assert_eq!(pair.requests[0].route.serial.get(), 1);
    assert!(pair.requests[1].is::<ConnectGetLibVersion>());
}

#[test]
fn calls_from_an_arena_share_its_memory() {
    let mut pair = Pair::new();
    let mut arena = bytes::BytesMut::with_capacity(4096);
    for token in 0..3 {
        let request = CallRequest::new_in::<ConnectGetLibVersion>(&mut arena, &()).unwrap();
        assert!(arena.is_empty());
        pair.client.call(request, token);
    }
    pair.drive();
    assert_eq!(pair.requests.len(), 3);
}

#[test]
fn an_error_of_the_daemon_fails_one_call() {
    let mut pair = Pair::new();
    pair.call::<DomainLookupByName>(1);
    pair.call::<ConnectGetLibVersion>(2);
    pair.drive();
    let route = pair.requests.remove(0).route;
    pair.server.reply_error(route, &remote_error()).unwrap();
    pair.reply(5);
    pair.drive();
    let results = pair.results();
    let (1, Err(CallFailure::Remote(error))) = &results[0] else {
        panic!("{results:?}");
    };
    assert_eq!(error.code, constants::ErrorCode::NO_DOMAIN);
    assert_eq!(**error, remote_error());
    assert!(results[1].1.is_ok());
}

#[track_caller]
fn bad_reply(mut pair: Pair, header: virtwire_protocol::header::Header) -> ReplyError {
    pair.inject(header, &[]).unwrap();
    assert_eq!(pair.client.calls_in_flight(), 0);
    assert!(!pair.is_closed());
    match pair.results().pop() {
        Some((1, Err(CallFailure::BadReply(error)))) => error,
        other => panic!("{other:?}"),
    }
}

fn one_call() -> Pair {
    let mut pair = Pair::new();
    pair.call::<ConnectGetLibVersion>(1);
    pair.drive();
    pair
}

#[test]
fn a_reply_of_another_procedure_fails_the_call_only() {
    let procedure = ConnectGetHostname::NUMBER;
    let header = header(procedure, MessageType::Reply, 1, Status::Ok);
    assert_eq!(
        bad_reply(one_call(), header),
        ReplyError::WrongProcedure {
            expected: VERSION,
            actual: procedure,
        }
    );
}

#[test]
fn a_reply_with_a_status_of_streams_or_none_fails_the_call_only() {
    for status in [Status::Continue, Status::Unknown(17), Status::Unknown(-1)] {
        let header = header(VERSION, MessageType::Reply, 1, status);
        let error = bad_reply(one_call(), header);
        assert_eq!(error, ReplyError::UnexpectedStatus(status));
    }
}

#[test]
fn an_undecodable_error_fails_the_call_only() {
    let header = header(VERSION, MessageType::Reply, 1, Status::Error);
    let error = bad_reply(one_call(), header);
    assert!(matches!(error, ReplyError::UndecodableError(_)));
}

#[test]
fn a_reply_that_answers_no_call_is_dropped() {
    let mut pair = one_call();
    let stray = header(VERSION, MessageType::Reply, 99, Status::Ok);
    let other_program = program_header(qemu::PROGRAM, VERSION, MessageType::Reply, 1, Status::Ok);
    pair.inject(stray, &[]).unwrap();
    pair.inject(other_program, &[]).unwrap();
    assert_eq!(pair.client.stats().unmatched_replies, 2);
    assert_eq!(pair.client.calls_in_flight(), 1);
    pair.reply(3);
    pair.drive();
    assert_eq!(pair.values(), [(1, 3)]);
}

#[test]
fn a_flood_of_replies_that_answer_no_call_ends_the_connection() {
    let mut pair = one_call();
    let stray = header(VERSION, MessageType::Reply, 99, Status::Error);
    for _ in 0..64 {
        pair.inject(stray, &encoded_error()).unwrap();
    }
    let outcome = pair.inject(stray, &[]);
    assert_eq!(outcome, Err(ProtocolError::UnmatchedReplies { count: 65 }));
    assert!(pair.is_closed());
    assert_eq!(pair.results().len(), 1);
}

#[test]
fn replies_in_order_forgive_those_that_were_not() {
    let mut pair = Pair::new();
    let stray = header(VERSION, MessageType::Reply, 9999, Status::Ok);
    for token in 0..100 {
        for _ in 0..64 {
            pair.inject(stray, &[]).unwrap();
        }
        pair.call::<ConnectGetLibVersion>(token);
        pair.drive();
        pair.reply(0);
        pair.drive();
    }
    assert_eq!(pair.client.stats().unmatched_replies, 6400);
}
