use bytes::Bytes;
use virtwire_protocol::frame::MAX_STREAM_CHUNK;
use virtwire_protocol::header::{MessageType, Status};
use virtwire_protocol::procedure::Procedure;
use virtwire_protocol::remote::{
    ConnectGetLibVersion, DomainOpenConsole, StorageVolDownload, StorageVolUpload,
};
use virtwire_protocol::session::{
    Output, ProtocolError, Route, StreamBody, StreamCommandError, StreamEnd, StreamFailure,
    StreamId, StreamItem,
};

use crate::pair::{Pair, header, remote_error};

/// A pair with one open stream.
fn open<P>() -> (Pair, StreamId, Route)
where
    P: Procedure,
    for<'a> P::Args<'a>: Default,
{
    open_on::<P>(Pair::new())
}

fn open_on<P>(mut pair: Pair) -> (Pair, StreamId, Route)
where
    P: Procedure,
    for<'a> P::Args<'a>: Default,
{
    pair.call::<P>(1);
    pair.drive();
    let route = pair.requests[0].route;
    pair.reply(0);
    pair.drive();
    let (1, Ok(reply)) = pair.results().remove(0) else {
        panic!("the call was answered");
    };
    (pair, reply.stream.unwrap(), route)
}

fn data(text: &'static str) -> StreamItem {
    StreamItem::Data(Bytes::from_static(text.as_bytes()))
}

fn send(pair: &mut Pair, route: Route, text: &'static str) {
    let bytes = Bytes::from_static(text.as_bytes());
    pair.server.stream_data(route, bytes).unwrap();
}

fn read_all(pair: &mut Pair, id: StreamId) -> Vec<StreamItem> {
    std::iter::from_fn(|| pair.client.stream_read(id)).collect()
}

#[track_caller]
fn closed(pair: &mut Pair) -> Result<StreamEnd, StreamFailure> {
    match pair.take().pop() {
        Some(Output::StreamClosed { outcome, .. }) => outcome,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_download_brings_data_then_its_end_then_a_verdict() {
    let (mut pair, id, route) = open::<StorageVolDownload>();
    send(&mut pair, route, "one");
    send(&mut pair, route, "two");
    pair.drive();
    let outputs = pair.take();
    assert!(matches!(outputs.as_slice(), [Output::StreamReadable(readable)] if *readable == id));
    assert_eq!(read_all(&mut pair, id), [data("one"), data("two")]);
    send(&mut pair, route, "");
    pair.drive();
    assert!(matches!(
        pair.take().as_slice(),
        [Output::StreamReadable(_)]
    ));
    assert_eq!(read_all(&mut pair, id), [StreamItem::Eof]);
    pair.client.stream_finish(id).unwrap();
    pair.drive();
    assert_eq!(pair.stream_bodies(), [StreamBody::Finish]);
    pair.server.stream_confirm(route);
    pair.drive();
    assert_eq!(closed(&mut pair).unwrap(), StreamEnd::Finished);
    assert_eq!(pair.client.streams(), 0);
}

#[test]
fn data_that_overtakes_the_reply_waits_for_it() {
    let mut pair = Pair::new();
    pair.call::<StorageVolDownload>(1);
    pair.drive();
    let route = pair.requests[0].route;
    send(&mut pair, route, "early");
    pair.drive();
    assert!(pair.take().is_empty());
    pair.reply(0);
    pair.drive();
    let outputs = pair.take();
    let [Output::CallFinished { .. }, Output::StreamReadable(id)] = outputs.as_slice() else {
        panic!("{outputs:?}");
    };
    assert_eq!(read_all(&mut pair, *id), [data("early")]);
}

#[test]
fn a_call_that_fails_opens_no_stream() {
    let mut pair = Pair::new();
    pair.call::<StorageVolDownload>(1);
    pair.drive();
    let route = pair.requests.remove(0).route;
    send(&mut pair, route, "never seen");
    pair.server.reply_error(route, &remote_error()).unwrap();
    send(&mut pair, route, "neither");
    pair.drive();
    assert!(pair.results()[0].1.is_err());
    assert_eq!(pair.client.streams(), 0);
    assert_eq!(pair.client.stats().stray_stream_packets, 1);
}

#[test]
fn the_slot_of_a_call_is_free_while_its_stream_lives() {
    let (mut pair, ..) = open::<StorageVolDownload>();
    assert_eq!(pair.client.calls_in_flight(), 0);
    assert_eq!(pair.client.streams(), 1);
    pair.call::<ConnectGetLibVersion>(2);
    pair.drive();
    pair.reply(7);
    pair.drive();
    assert_eq!(pair.values(), [(2, 7)]);
}

#[test]
fn an_upload_is_cut_into_packets_and_ends_with_its_finish() {
    let (mut pair, id, route) = open::<StorageVolUpload>();
    let bytes = Bytes::from(vec![5; 2 * MAX_STREAM_CHUNK + 1]);
    pair.client.stream_send(id, bytes).unwrap();
    pair.client.stream_finish(id).unwrap();
    assert_eq!(
        pair.client.stream_unsent(id),
        4 * 28 + 2 * MAX_STREAM_CHUNK + 1
    );
    pair.drive();
    assert_eq!(pair.client.stream_unsent(id), 0);
    let lengths: Vec<_> = pair
        .stream_bodies()
        .into_iter()
        .map(|body| match body {
            StreamBody::Data(bytes) => bytes.len(),
            StreamBody::Finish => 0,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(lengths, [MAX_STREAM_CHUNK, MAX_STREAM_CHUNK, 1, 0]);
    pair.server.stream_confirm(route);
    pair.drive();
    assert_eq!(closed(&mut pair).unwrap(), StreamEnd::Finished);
}

#[test]
fn a_console_goes_both_ways() {
    let (mut pair, id, route) = open::<DomainOpenConsole>();
    let typed = Bytes::from_static(b"ls\n");
    pair.client.stream_send(id, typed.clone()).unwrap();
    send(&mut pair, route, "bin");
    pair.drive();
    assert_eq!(pair.stream_bodies(), [StreamBody::Data(typed)]);
    assert_eq!(read_all(&mut pair, id), [data("bin")]);
}

#[test]
fn commands_that_make_no_sense_are_refused() {
    let (mut pair, id, _) = open::<StorageVolDownload>();
    let refused = pair.client.stream_send(id, Bytes::from_static(b"x"));
    assert_eq!(refused, Err(StreamCommandError::NotWritable));
    let (mut pair, id, _) = open::<StorageVolUpload>();
    let refused = pair.client.stream_send(id, Bytes::new());
    assert_eq!(refused, Err(StreamCommandError::Empty));
    for len in [0, u64::MAX] {
        let refused = pair.client.stream_send_hole(id, len);
        assert_eq!(refused, Err(StreamCommandError::Empty));
    }
    pair.client.stream_finish(id).unwrap();
    let not_open = Err(StreamCommandError::NotOpen);
    assert_eq!(pair.client.stream_finish(id), not_open);
    assert_eq!(pair.client.stream_abort(id), not_open);
    let refused = pair.client.stream_send(id, Bytes::from_static(b"x"));
    assert_eq!(refused, not_open);
}

#[test]
fn an_error_ends_the_stream_and_answers_a_finish_that_crosses_it() {
    let (mut pair, id, route) = open::<StorageVolUpload>();
    let bytes = Bytes::from_static(b"too much");
    pair.client.stream_send(id, bytes).unwrap();
    pair.client.stream_finish(id).unwrap();
    pair.client_to_server();
    pair.server.stream_error(route, &remote_error()).unwrap();
    pair.drive();
    let Err(StreamFailure::Remote(error)) = closed(&mut pair) else {
        panic!("the daemon's error was lost");
    };
    assert_eq!(*error, remote_error());
    assert_eq!(pair.client.streams(), 0);
    let not_open = Err(StreamCommandError::NotOpen);
    assert_eq!(pair.client.stream_finish(id), not_open);
    pair.server.stream_confirm(route);
    pair.drive();
    assert_eq!(pair.client.stats().stray_stream_packets, 1);
    assert!(!pair.is_closed());
}

#[test]
fn what_was_not_sent_when_the_stream_failed_is_not_sent_any_more() {
    let (mut pair, id, route) = open::<StorageVolUpload>();
    pair.client
        .stream_send(id, Bytes::from_static(b"useless"))
        .unwrap();
    pair.server.stream_error(route, &remote_error()).unwrap();
    pair.server_to_client();
    assert_eq!(pair.client.pending_bytes(), 0);
    pair.drive();
    assert_eq!(pair.stream_bodies(), []);
}

#[test]
fn an_undecodable_error_ends_the_stream_all_the_same() {
    let (mut pair, _, route) = open::<StorageVolUpload>();
    let error = route.header(MessageType::Stream, Status::Error);
    pair.inject(error, b"?").unwrap();
    let outcome = closed(&mut pair);
    assert!(matches!(outcome, Err(StreamFailure::UndecodableError(_))));
}

#[test]
fn an_abort_replaces_what_was_not_sent_and_drops_what_was_not_read() {
    let (mut pair, id, route) = open::<DomainOpenConsole>();
    send(&mut pair, route, "unread");
    pair.drive();
    pair.client
        .stream_send(id, Bytes::from_static(b"unsent"))
        .unwrap();
    pair.client.stream_abort(id).unwrap();
    pair.take();
    send(&mut pair, route, "queued before the daemon saw the abort");
    pair.drive();
    assert_eq!(pair.stream_bodies(), [StreamBody::Abort]);
    assert!(pair.take().is_empty());
    assert_eq!(pair.client.stream_read(id), None);
    pair.server.stream_confirm(route);
    pair.drive();
    assert_eq!(closed(&mut pair).unwrap(), StreamEnd::Aborted);
    assert_eq!(pair.client.streams(), 0);
}

#[test]
fn an_abort_that_crosses_an_error_ends_once() {
    let (mut pair, id, route) = open::<StorageVolDownload>();
    pair.client.stream_abort(id).unwrap();
    pair.client_to_server();
    pair.server.stream_error(route, &remote_error()).unwrap();
    pair.drive();
    assert!(matches!(closed(&mut pair), Err(StreamFailure::Remote(_))));
    assert_eq!(pair.client.streams(), 0);
}

#[test]
fn a_confirmation_of_nothing_ends_the_connection() {
    let (mut pair, _, route) = open::<StorageVolDownload>();
    let confirm = route.header(MessageType::Stream, Status::Ok);
    let error = ProtocolError::UnexpectedStreamEnd(route.serial);
    assert_eq!(pair.inject(confirm, &[]), Err(error));
    assert!(pair.is_closed());
}

#[test]
fn a_confirmation_before_the_reply_ends_the_connection() {
    let mut pair = Pair::new();
    pair.call::<StorageVolDownload>(1);
    pair.drive();
    let number = StorageVolDownload::NUMBER;
    let confirm = header(number, MessageType::Stream, 1, Status::Ok);
    assert!(pair.inject(confirm, &[]).is_err());
    assert_eq!(pair.results().len(), 1);
}

#[test]
fn an_unknown_status_on_a_live_stream_ends_the_connection() {
    let (mut pair, _, route) = open::<StorageVolDownload>();
    let status = Status::Unknown(3);
    let serial = route.serial;
    let outcome = pair.inject(route.header(MessageType::Stream, status), &[]);
    let error = ProtocolError::UnknownStreamStatus { serial, status };
    assert_eq!(outcome, Err(error));
}

#[test]
fn a_slow_consumer_costs_its_own_stream_and_nothing_else() {
    let pair = Pair::with(|client| client.max_stream_buffer = 1000, |_| {});
    let (mut pair, id, route) = open_on::<StorageVolDownload>(pair);
    for _ in 0..50 {
        send(&mut pair, route, "thirty-six bytes each, plus overhead");
    }
    pair.drive();
    let outputs = pair.take();
    let [
        Output::StreamReadable(_),
        Output::StreamClosed {
            outcome: Err(StreamFailure::Overflow { limit: 1000 }),
            unread,
            ..
        },
    ] = outputs.as_slice()
    else {
        panic!("{outputs:?}");
    };
    assert_eq!(unread.len(), 10);
    assert_eq!(pair.client.stream_read(id), None);
    assert_eq!(pair.stream_bodies(), [StreamBody::Abort]);
    assert_eq!(pair.client.streams(), 1);
    pair.server.stream_confirm(route);
    pair.drive();
    assert_eq!(pair.client.streams(), 0);
    assert!(pair.take().is_empty());
    assert!(!pair.is_closed());
}

#[test]
fn a_stream_that_overflows_before_it_is_open_is_aborted_when_it_opens() {
    let mut pair = Pair::with(|client| client.max_stream_buffer = 100, |_| {});
    pair.call::<StorageVolDownload>(1);
    pair.drive();
    let route = pair.requests[0].route;
    for _ in 0..10 {
        send(&mut pair, route, "more than fits");
    }
    pair.drive();
    assert_eq!(pair.stream_bodies(), []);
    pair.reply(0);
    pair.drive();
    assert_eq!(pair.take().len(), 2);
    assert_eq!(pair.stream_bodies(), [StreamBody::Abort]);
}

#[test]
fn reading_makes_room() {
    let pair = Pair::with(|client| client.max_stream_buffer = 200, |_| {});
    let (mut pair, id, route) = open_on::<StorageVolDownload>(pair);
    for _ in 0..1000 {
        send(&mut pair, route, "fits");
        pair.drive();
        assert_eq!(read_all(&mut pair, id), [data("fits")]);
    }
    assert_eq!(pair.client.streams(), 1);
}

#[test]
fn the_end_of_the_data_comes_once() {
    let (mut pair, id, route) = open::<StorageVolDownload>();
    for text in ["", "", "after the end", ""] {
        send(&mut pair, route, text);
    }
    pair.drive();
    assert_eq!(read_all(&mut pair, id), [StreamItem::Eof]);
    assert!(!pair.is_closed());
}

#[test]
fn holes_go_both_ways_and_neighbours_are_joined() {
    let (mut pair, id, route) = open::<StorageVolDownload>();
    send(&mut pair, route, "a");
    pair.server.stream_hole(route, 4096);
    pair.server.stream_hole(route, 4096);
    send(&mut pair, route, "b");
    pair.drive();
    let items = read_all(&mut pair, id);
    assert_eq!(items, [data("a"), StreamItem::Hole(8192), data("b")]);

    let (mut pair, id, _) = open::<StorageVolUpload>();
    pair.client.stream_send_hole(id, 1 << 40).unwrap();
    pair.drive();
    assert_eq!(pair.stream_bodies(), [StreamBody::Hole(1 << 40)]);
}

#[test]
fn a_hole_that_makes_no_sense_costs_its_own_stream() {
    let (mut pair, _, route) = open::<StorageVolDownload>();
    pair.server.stream_hole(route, -1);
    pair.drive();
    assert!(matches!(closed(&mut pair), Err(StreamFailure::BadHole)));
    assert_eq!(pair.stream_bodies(), [StreamBody::Abort]);

    let (mut pair, _, route) = open::<StorageVolDownload>();
    let hole = route.header(MessageType::StreamHole, Status::Continue);
    pair.inject(hole, &[0; 11]).unwrap();
    assert!(matches!(closed(&mut pair), Err(StreamFailure::BadHole)));
}

#[test]
fn a_hole_that_the_daemon_refuses_by_a_reply_fails_the_stream() {
    let (mut pair, id, route) = open::<StorageVolUpload>();
    pair.client.stream_send_hole(id, 1).unwrap();
    pair.drive();
    pair.server.reply_error(route, &remote_error()).unwrap();
    pair.drive();
    assert!(matches!(closed(&mut pair), Err(StreamFailure::Remote(_))));
    assert_eq!(pair.client.stats().unmatched_replies, 0);
    assert!(!pair.is_closed());
}

#[test]
fn a_stream_that_fails_before_its_reply_ends_after_it() {
    let mut pair = Pair::new();
    pair.call::<StorageVolDownload>(1);
    pair.drive();
    let route = pair.requests[0].route;
    pair.server.stream_error(route, &remote_error()).unwrap();
    pair.reply(0);
    pair.drive();
    let outputs = pair.take();
    assert!(matches!(
        outputs.as_slice(),
        [
            Output::CallFinished { result: Ok(_), .. },
            Output::StreamClosed {
                outcome: Err(StreamFailure::Remote(_)),
                ..
            }
        ]
    ));
    assert_eq!(pair.client.streams(), 0);
}
