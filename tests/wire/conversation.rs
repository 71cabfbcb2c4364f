//! What a client and a daemon said, packet by packet: each must decode and encode to the same
//! bytes.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use virtwire_protocol::frame::{Frame, FrameDecoder};
use virtwire_protocol::generated::schema::PROCEDURES;
use virtwire_protocol::header::{Header, MessageType, Serial, Status};
use virtwire_protocol::procedure::Procedure;
use virtwire_protocol::schema::ProcedureSchema;
use virtwire_protocol::{keepalive, net, remote};
use virtwire_xdr::{Decode, Encode, Reader};

use crate::body::{Body, decode, encode};
use virtwire_tests::relay::Recording;

/// How many packets of which procedure were seen.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    procedures: BTreeMap<(u32, i32), usize>,
    kinds: BTreeMap<Kind, usize>,
}

/// What a packet was, as far as its payload goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Call,
    Reply,
    ErrorReply,
    Event,
    Keepalive,
    StreamData,
    StreamHole,
    StreamEnd,
    StreamError,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Towards {
    Daemon,
    Client,
}

impl Tally {
    /// Checks every packet of both directions.
    pub(crate) fn check(&mut self, recording: &Recording) {
        self.check_stream(Towards::Daemon, &recording.to_daemon);
        self.check_stream(Towards::Client, &recording.to_client);
    }

    /// The names of the procedures and events that were seen.
    pub(crate) fn names(&self) -> Vec<String> {
        let name = |(program, number): &(u32, i32)| {
            let is_it = |p: &&ProcedureSchema| (p.id.number, p.number) == (*program, *number);
            let procedure = PROCEDURES.iter().find(is_it).unwrap();
            format!("{}.{}", procedure.program, procedure.name)
        };
        self.procedures.keys().map(name).collect()
    }

    /// How many packets of this kind were seen.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.kinds.get(&kind).copied().unwrap_or(0)
    }

    fn check_stream(&mut self, towards: Towards, mut bytes: &[u8]) {
        let mut decoder = FrameDecoder::new();
        decoder.buffer_mut().extend_from_slice(bytes);
        while let Some(frame) = decoder.next_frame().unwrap() {
            let length = u32::from_be_bytes(*bytes.first_chunk().unwrap());
            let (packet, rest) = bytes.split_at(length.try_into().unwrap());
            bytes = rest;
            let (kind, payload) = check_payload(towards, &frame);
            assert_eq!(
                put_together(&frame, &payload),
                packet,
                "{kind:?} {:?}",
                frame.header
            );
            *self.kinds.entry(kind).or_default() += 1;
            if kind != Kind::Keepalive {
                let header = frame.header;
                let key = (header.program.number, header.procedure);
                *self.procedures.entry(key).or_default() += 1;
            }
        }
        assert!(bytes.is_empty(), "{} bytes of no packet", bytes.len());
    }
}

/// What the payload is, and what its decoded form encodes to.
fn check_payload(towards: Towards, frame: &Frame) -> (Kind, BytesMut) {
    use MessageType::{Call, CallWithFds, Message, Reply, ReplyWithFds, Stream, StreamHole};
    let header = &frame.header;
    if header.program == keepalive::PROGRAM {
        assert_eq!((header.kind, header.status), (Message, Status::Ok));
        assert!(frame.payload.is_empty());
        return (Kind::Keepalive, BytesMut::new());
    }
    match (towards, header.kind, header.status) {
        (Towards::Daemon, Call | CallWithFds, Status::Ok) => {
            (Kind::Call, by_number(frame, Body::Args))
        }
        (Towards::Client, Reply | ReplyWithFds, Status::Ok) => {
            (Kind::Reply, by_number(frame, Body::Ret))
        }
        (Towards::Client, Message, Status::Ok) => (Kind::Event, by_number(frame, Body::Ret)),
        (Towards::Client, Reply, Status::Error) => {
            (Kind::ErrorReply, by_type::<net::MessageError<'_>>(frame))
        }
        (Towards::Client, Stream, Status::Error) => {
            (Kind::StreamError, by_type::<net::MessageError<'_>>(frame))
        }
        (Towards::Daemon, Stream, Status::Error) => (Kind::StreamError, by_type::<()>(frame)),
        (_, Stream, Status::Ok) => (Kind::StreamEnd, by_type::<()>(frame)),
        (_, Stream, Status::Continue) => (Kind::StreamData, frame.payload.as_ref().into()),
        (_, StreamHole, Status::Continue) => (Kind::StreamHole, by_type::<net::StreamHole>(frame)),
        _ => panic!("unexpected packet towards the {towards:?}: {header:?}"),
    }
}

fn by_number(frame: &Frame, body: Body) -> BytesMut {
    let header = &frame.header;
    let Some(decoded) = decode(header.program, header.procedure, body, &frame.payload) else {
        panic!("no procedure of this number: {header:?}");
    };
    let decoded = decoded.unwrap_or_else(|error| panic!("{header:?} {body:?}: {error}"));
    let again = decoded.again.unwrap();
    assert_eq!(decoded.owned.unwrap(), again);
    again
}

fn by_type<'f, T: Decode<'f> + Encode>(frame: &'f Frame) -> BytesMut {
    let mut reader = Reader::new(&frame.payload);
    let value = T::decode(&mut reader).unwrap();
    reader.finish().unwrap();
    encode(&value).unwrap()
}

/// The whole packet from its parts.
fn put_together(frame: &Frame, payload: &[u8]) -> BytesMut {
    let mut body = BytesMut::new();
    body.put_slice(&frame.header.encode());
    if frame.header.kind.has_fds() {
        body.put_u32(frame.fds);
    }
    body.put_slice(payload);
    let mut packet = BytesMut::new();
    packet.put_u32((body.len() + 4).try_into().unwrap());
    packet.put_slice(&body);
    packet
}

// The check itself has to notice what it is for.

fn said_by_the_daemon(header: Header, payload: &[u8]) -> Recording {
    let frame = Frame::new(header, Bytes::copy_from_slice(payload));
    Recording::new(Vec::new(), put_together(&frame, payload).to_vec())
}

fn reply(procedure: i32) -> Header {
    Header {
        program: remote::PROGRAM,
        procedure,
        kind: MessageType::Reply,
        serial: Serial::new(1),
        status: Status::Ok,
    }
}

#[test]
fn a_packet_that_survives_is_counted() {
    let mut tally = Tally::default();
    let number = remote::ConnectGetHostname::NUMBER;
    tally.check(&said_by_the_daemon(reply(number), b"\0\0\0\x03abc\0"));
    assert_eq!(tally.names(), ["remote.CONNECT_GET_HOSTNAME"]);
    assert_eq!(tally.count(Kind::Reply), 1);
}

#[test]
#[should_panic(expected = "left == right")]
fn a_byte_that_is_lost_is_noticed() {
    let number = remote::ConnectGetHostname::NUMBER;
    Tally::default().check(&said_by_the_daemon(reply(number), b"\0\0\0\x03abc\x01"));
}

#[test]
#[should_panic(expected = "no procedure of this number")]
fn a_procedure_without_a_type_is_noticed() {
    Tally::default().check(&said_by_the_daemon(reply(9999), b""));
}

#[test]
#[should_panic(expected = "unexpected packet")]
fn a_packet_from_the_wrong_side_is_noticed() {
    let recording = said_by_the_daemon(reply(1), b"");
    Tally::default().check(&Recording::new(recording.to_client, Vec::new()));
}
