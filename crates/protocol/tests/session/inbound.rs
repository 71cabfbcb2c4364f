//! What a daemon may send unasked, and what it may not.

use virtwire_protocol::frame::{Frame, FrameDecoder, encode_frame};
use virtwire_protocol::header::{Header, MessageType, Status};
use virtwire_protocol::procedure::{Procedure, Program};
use virtwire_protocol::remote::{
    ConnectGetLibVersion, DomainEventCallbackReboot, StorageVolDownload,
};
use virtwire_protocol::session::{Output, ProtocolError};
use virtwire_protocol::{admin, lxc, qemu};

use crate::pair::{Pair, header, many, program_header};

fn event_header(program: Program, procedure: i32) -> Header {
    program_header(program, procedure, MessageType::Message, 1, Status::Ok)
}

#[test]
fn an_event_is_passed_on() {
    let mut pair = Pair::new();
    pair.server
        .event::<DomainEventCallbackReboot>(&Default::default())
        .unwrap();
    pair.drive();
    let outputs = pair.take();
    let [Output::Event(event)] = outputs.as_slice() else {
        panic!("{outputs:?}");
    };
    assert!(event.is::<DomainEventCallbackReboot>());
    let message = event.message::<DomainEventCallbackReboot>().unwrap();
    assert_eq!(message, Default::default());
}

#[test]
fn an_event_never_answers_a_call_though_it_carries_its_serial() {
    let mut pair = Pair::new();
    pair.call::<ConnectGetLibVersion>(1);
    pair.drive();
    assert_eq!(pair.requests[0].route.serial.get(), 1);
    let number = ConnectGetLibVersion::NUMBER;
    pair.inject(header(number, MessageType::Message, 1, Status::Ok), &[])
        .unwrap();
    assert!(matches!(pair.take().as_slice(), [Output::Event(_)]));
    pair.reply(2);
    pair.drive();
    assert_eq!(pair.values(), [(1, 2)]);
}

#[test]
fn an_unknown_event_of_a_known_program_is_passed_on() {
    let mut pair = Pair::new();
    for program in [qemu::PROGRAM, lxc::PROGRAM, admin::PROGRAM] {
        for procedure in [0, -1, 999_999] {
            pair.inject(event_header(program, procedure), b"anything")
                .unwrap();
        }
    }
    assert_eq!(pair.take().len(), 9);
    assert!(!pair.is_closed());
}

#[test]
fn an_event_with_a_bad_status_is_dropped() {
    let mut pair = Pair::new();
    for status in [Status::Error, Status::Continue, Status::Unknown(5)] {
        pair.inject(header(318, MessageType::Message, 1, status), &[])
            .unwrap();
    }
    assert!(pair.take().is_empty());
    assert_eq!(pair.client.stats().bad_events, 3);
}

#[track_caller]
fn fatal(header: Header, expected: ProtocolError) {
    let mut pair = Pair::new();
    pair.call::<ConnectGetLibVersion>(1);
    pair.drive();
    assert_eq!(pair.inject(header, &[]), Err(expected));
    assert!(pair.is_closed());
    assert_eq!(pair.results().len(), 1);
}

#[test]
fn an_event_of_an_unknown_program_ends_the_connection() {
    for program in [Program::new(0x1234, 1), Program::new(0x2000_8086, 2)] {
        let header = event_header(program, 1);
        fatal(header, ProtocolError::UnknownProgram(program));
    }
}

#[test]
fn a_call_from_the_daemon_ends_the_connection() {
    for kind in [MessageType::Call, MessageType::CallWithFds] {
        let header = header(1, kind, 1, Status::Ok);
        fatal(header, ProtocolError::UnexpectedMessageType(kind));
    }
}

#[test]
fn file_descriptors_on_a_connection_without_them_end_it() {
    let mut pair = Pair::new();
    pair.call::<ConnectGetLibVersion>(1);
    pair.drive();
    let number = ConnectGetLibVersion::NUMBER;
    let with_fds = header(number, MessageType::ReplyWithFds, 1, Status::Ok);
    let mut decoder = FrameDecoder::new();
    encode_frame(decoder.buffer_mut(), &with_fds, |w| {
        w.u32(2);
        Ok(())
    })
    .unwrap();
    let frame = decoder.next_frame().unwrap().unwrap();
    let outcome = pair.client.handle_frame(frame, pair.now);
    assert_eq!(outcome, Err(ProtocolError::UnexpectedFds { count: 2 }));
}

#[test]
fn packets_of_unknown_streams_are_dropped() {
    let mut pair = Pair::new();
    let number = StorageVolDownload::NUMBER;
    for kind in [MessageType::Stream, MessageType::StreamHole] {
        for status in [
            Status::Ok,
            Status::Error,
            Status::Continue,
            Status::Unknown(9),
        ] {
            pair.inject(header(number, kind, 77, status), b"data")
                .unwrap();
        }
    }
    assert_eq!(pair.client.stats().stray_stream_packets, 8);
    assert!(pair.take().is_empty());
    assert!(!pair.is_closed());
}

#[test]
fn a_flood_of_what_nobody_asked_for_leaves_nothing_behind() {
    let mut pair = Pair::new();
    let stray = header(209, MessageType::Stream, 5, Status::Continue);
    for _ in 0..many(100_000) {
        let frame = Frame::new(stray, bytes::Bytes::new());
        pair.client.handle_frame(frame, pair.now).unwrap();
    }
    assert!(pair.take().is_empty());
    assert_eq!(pair.client.pending_bytes(), 0);
    assert_eq!(pair.client.streams(), 0);
}
