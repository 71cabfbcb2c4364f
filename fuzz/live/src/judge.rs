//! What a daemon may send on one connection, and what it must not.

use std::collections::BTreeMap;

use virtwire_protocol::constants::ErrorCode;
use virtwire_protocol::frame::Frame;
use virtwire_protocol::generated::dispatch::visit;
use virtwire_protocol::generated::schema::PROCEDURES;
use virtwire_protocol::header::{MessageType, Status};
use virtwire_protocol::procedure::{Event, Procedure, Visitor};
use virtwire_protocol::schema::{ProcedureKind, ProcedureSchema, StructSchema};
use virtwire_protocol::{RemoteError, StreamDirection, keepalive, remote};
use virtwire_xdr::{Decode as _, Reader};

use crate::script::{Callable, Packet};

/// libvirt's own confession that a call failed without saying why.
const NO_CAUSE: &str = "did not set virError";

/// What a packet means.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// A call has succeeded.
    Success(u32, Callable),
    /// A call has failed.
    Failure(u32, Callable, ErrorCode),
    /// The daemon wants to know whether we are alive.
    Ping,
    /// The daemon says that it is alive.
    Pong,
    /// Something happened; this is the layout of what.
    Event(Option<&'static StructSchema>),
    /// Nothing that matters.
    Nothing,
    /// Nothing that a daemon may send.
    Violation(String),
}

/// Keeps in mind what was sent, and judges what comes.
#[derive(Debug, Default)]
pub struct Judge {
    pending: BTreeMap<u32, Callable>,
    streams: BTreeMap<u32, Stream>,
    excused: bool,
}

#[derive(Debug)]
struct Stream {
    callable: Callable,
    ending: bool,
}

impl Judge {
    /// Notes a call.
    pub fn called(&mut self, serial: u32, callable: Callable) {
        self.pending.insert(serial, callable);
        if opens_stream(callable) {
            let ending = false;
            self.streams.insert(serial, Stream { callable, ending });
        }
    }

    /// Notes a packet on a stream.
    pub fn streamed(&mut self, serial: u32, packet: &Packet) {
        if let Some(stream) = self.streams.get_mut(&serial) {
            stream.ending |= matches!(packet, Packet::Finish | Packet::Abort);
        }
        // A daemon hangs up on a hole where there can be none.
        self.excused |= matches!(packet, Packet::Hole(_));
    }

    /// The procedure whose stream this is.
    #[must_use]
    pub fn stream(&self, serial: u32) -> Option<Callable> {
        self.streams.get(&serial).map(|stream| stream.callable)
    }

    /// Notes that something was sent after which anything may come, or the end.
    pub fn excuse(&mut self) {
        self.excused = true;
    }

    /// Whether the daemon may hang up.
    #[must_use]
    pub fn is_excused(&self) -> bool {
        self.excused
    }

    /// The calls that have no answer yet.
    #[must_use]
    pub fn pending(&self) -> &BTreeMap<u32, Callable> {
        &self.pending
    }

    /// Judges a packet.
    pub fn judge(&mut self, frame: &Frame) -> Verdict {
        match frame.header.kind {
            MessageType::Reply | MessageType::ReplyWithFds => self.reply(frame),
            MessageType::Message => message(frame),
            MessageType::Stream | MessageType::StreamHole => self.packet(frame),
            other => violation(format!("a daemon sent a packet of type {other:?}")),
        }
    }

    fn reply(&mut self, frame: &Frame) -> Verdict {
        let header = &frame.header;
        let serial = header.serial.get();
        let Some(callable) = self.pending.remove(&serial) else {
            // A hole that cannot be written is answered as a call would be.
            let known = self.streams.contains_key(&serial);
            return if known || self.excused {
                Verdict::Nothing
            } else {
                violation("an answer to nothing")
            };
        };
        let name = callable.0.name;
        if header.program != callable.0.id || header.procedure != callable.0.number {
            return violation(format!("the answer to {name} is of another procedure"));
        }
        match header.status {
            Status::Ok => match decode(callable.0, &frame.payload) {
                Some(Ok(())) => Verdict::Success(serial, callable),
                Some(Err(error)) => {
                    violation(format!("the answer to {name} is no answer: {error}"))
                }
                None => violation(format!("{name} is not known")),
            },
            Status::Error => match RemoteError::decode(&frame.payload) {
                Ok(error) => failure(serial, callable, &error),
                Err(_) => violation(format!("the error of {name} is none")),
            },
            _ => violation(format!("the answer to {name} is neither good nor bad")),
        }
    }

    fn packet(&mut self, frame: &Frame) -> Verdict {
        let header = &frame.header;
        let Some(stream) = self.streams.get(&header.serial.get()) else {
            return if self.excused {
                Verdict::Nothing
            } else {
                violation("a stream packet without a stream")
            };
        };
        let name = stream.callable.0.name;
        if header.program != stream.callable.0.id || header.procedure != stream.callable.0.number {
            return violation(format!(
                "a packet on the stream of {name} is of another procedure"
            ));
        }
        let is_upload = stream.callable.0.stream == StreamDirection::Upload;
        match header.status {
            Status::Continue if is_upload => violation(format!("data on the upload of {name}")),
            Status::Continue => Verdict::Nothing,
            Status::Ok if !stream.ending && !self.excused => violation(format!(
                "the stream of {name} ends well before it was finished"
            )),
            Status::Ok => Verdict::Nothing,
            Status::Error if RemoteError::decode(&frame.payload).is_ok() => Verdict::Nothing,
            Status::Error => violation(format!("the error on the stream of {name} is none")),
            _ => violation(format!("a stream packet of {name} has no status")),
        }
    }
}

fn failure(serial: u32, callable: Callable, error: &RemoteError) -> Verdict {
    let name = callable.0.name;
    if error.code.0 <= 0 {
        return violation(format!("{name} failed without an error code"));
    }
    let message = error.message.as_deref().unwrap_or_default();
    if message.contains(NO_CAUSE) {
        return violation(format!("{name} failed without a cause"));
    }
    Verdict::Failure(serial, callable, error.code)
}

fn message(frame: &Frame) -> Verdict {
    let header = &frame.header;
    if header.program == keepalive::PROGRAM {
        return match header.procedure {
            number if number == keepalive::Ping::NUMBER => Verdict::Ping,
            number if number == keepalive::Pong::NUMBER => Verdict::Pong,
            _ => violation("an unknown keepalive packet"),
        };
    }
    let known = PROCEDURES.iter().find(|schema| {
        schema.kind == ProcedureKind::Event
            && (schema.id, schema.number) == (header.program, header.procedure)
    });
    match known.map(|schema| (schema, decode(schema, &frame.payload))) {
        Some((schema, Some(Ok(())))) => Verdict::Event(schema.ret),
        Some((schema, Some(Err(error)))) => {
            violation(format!("the event {} is none: {error}", schema.name))
        }
        _ => violation("an event that is not known"),
    }
}

fn violation(text: impl Into<String>) -> Verdict {
    Verdict::Violation(text.into())
}

/// Whether packets of the caller may follow. One procedure does it without saying so.
#[must_use]
pub fn opens_stream(callable: Callable) -> bool {
    callable.0.stream.is_stream() || callable.is::<remote::DomainMigratePrepareTunnel3Params>()
}

/// Decodes what a daemon sent as the type it should have, to its last byte.
fn decode(schema: &ProcedureSchema, payload: &[u8]) -> Option<Result<(), String>> {
    visit(schema.id, schema.number, Whole(payload))
}

struct Whole<'p>(&'p [u8]);

impl Visitor for Whole<'_> {
    type Output = Result<(), String>;

    fn procedure<P: Procedure>(self) -> Self::Output {
        let mut reader = Reader::new(self.0);
        P::Ret::decode(&mut reader).map_err(|error| error.to_string())?;
        end(reader)
    }

    fn event<E: Event>(self) -> Self::Output {
        let mut reader = Reader::new(self.0);
        E::Msg::decode(&mut reader).map_err(|error| error.to_string())?;
        end(reader)
    }
}

fn end(reader: Reader<'_>) -> Result<(), String> {
    reader.finish().map_err(|_| "bytes follow it".to_owned())
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use virtwire_protocol::constants::ErrorDomain;
    use virtwire_protocol::header::{Header, Serial};
    use virtwire_xdr::{Encode, Writer};

    use super::*;

    type Called = remote::ConnectGetLibVersion;

    fn frame<P: Procedure>(
        kind: MessageType,
        serial: u32,
        status: Status,
        payload: Bytes,
    ) -> Frame {
        let header = Header {
            program: P::PROGRAM,
            procedure: P::NUMBER,
            kind,
            serial: Serial::new(serial),
            status,
        };
        Frame::new(header, payload)
    }

    fn encoded(value: &impl Encode) -> Bytes {
        let mut buffer = BytesMut::new();
        value.encode(&mut Writer::new(&mut buffer)).unwrap();
        buffer.freeze()
    }

    fn version() -> Bytes {
        encoded(&remote::ConnectGetLibVersionRet { lib_ver: 9_000_000 })
    }

    /// What is made of this answer to a call with the serial 7.
    fn answer<P: Procedure>(serial: u32, status: Status, payload: Bytes) -> Verdict {
        let mut judge = Judge::default();
        judge.called(7, Callable::of::<Called>());
        judge.judge(&frame::<P>(MessageType::Reply, serial, status, payload))
    }

    fn is_violation(verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Violation(_))
    }

    fn error(code: i32, message: &str) -> Bytes {
        let error = RemoteError::new(ErrorCode(code), ErrorDomain::NONE, message);
        let mut buffer = BytesMut::new();
        error.encode(&mut Writer::new(&mut buffer)).unwrap();
        buffer.freeze()
    }

    #[test]
    fn a_good_answer_is_one() {
        let callable = Callable::of::<Called>();
        let verdict = answer::<Called>(7, Status::Ok, version());
        assert_eq!(verdict, Verdict::Success(7, callable));
        let verdict = answer::<Called>(7, Status::Error, error(38, "no"));
        assert_eq!(verdict, Verdict::Failure(7, callable, ErrorCode(38)));
    }

    #[test]
    fn every_wrong_answer_is_noticed() {
        let long = Bytes::from([&version()[..], b"more"].concat());
        for verdict in [
            answer::<Called>(8, Status::Ok, version()),
            answer::<remote::ConnectGetVersion>(7, Status::Ok, version()),
            answer::<Called>(7, Status::Continue, version()),
            answer::<Called>(7, Status::Unknown(9), version()),
            answer::<Called>(7, Status::Ok, version().slice(..4)),
            answer::<Called>(7, Status::Ok, long),
            answer::<Called>(7, Status::Error, Bytes::new()),
            answer::<Called>(7, Status::Error, error(0, "nothing")),
            answer::<Called>(7, Status::Error, error(39, "it did not set virError")),
        ] {
            assert!(is_violation(&verdict), "{verdict:?}");
        }
    }

    #[test]
    fn a_second_answer_is_one_to_nothing_unless_anything_may_come() {
        let reply = frame::<Called>(MessageType::Reply, 7, Status::Ok, version());
        let mut judge = Judge::default();
        judge.called(7, Callable::of::<Called>());
        judge.judge(&reply);
        assert!(is_violation(&judge.judge(&reply)));
        judge.excuse();
        assert_eq!(judge.judge(&reply), Verdict::Nothing);
    }

    #[test]
    fn streams_are_followed() {
        type Upload = remote::StorageVolUpload;
        let packet = |status| frame::<Upload>(MessageType::Stream, 9, status, Bytes::new());
        let mut judge = Judge::default();
        assert!(is_violation(&judge.judge(&packet(Status::Ok))));
        judge.called(9, Callable::of::<Upload>());
        assert!(is_violation(&judge.judge(&packet(Status::Continue))));
        assert!(is_violation(&judge.judge(&packet(Status::Ok))));
        assert!(is_violation(&judge.judge(&packet(Status::Error))));
        judge.streamed(9, &Packet::Finish);
        assert_eq!(judge.judge(&packet(Status::Ok)), Verdict::Nothing);
        assert!(!judge.is_excused());
        judge.streamed(9, &Packet::Hole(1));
        assert!(judge.is_excused());
    }

    #[test]
    fn events_have_to_be_known_and_whole() {
        let mut judge = Judge::default();
        let event = |number, payload| {
            let mut frame = frame::<Called>(MessageType::Message, 1, Status::Ok, payload);
            frame.header.procedure = number;
            frame
        };
        let number = remote::ConnectEventConnectionClosed::NUMBER;
        let reason = Bytes::from_static(&[0, 0, 0, 1]);
        let verdict = judge.judge(&event(number, reason.clone()));
        assert!(matches!(verdict, Verdict::Event(Some(_))), "{verdict:?}");
        assert!(is_violation(
            &judge.judge(&event(number, reason.slice(..2)))
        ));
        assert!(is_violation(
            &judge.judge(&event(Called::NUMBER, version()))
        ));
    }

    #[test]
    fn signs_of_life_are_told_apart() {
        let mut judge = Judge::default();
        let mut frame = frame::<Called>(MessageType::Message, 0, Status::Ok, Bytes::new());
        frame.header.program = keepalive::PROGRAM;
        frame.header.procedure = keepalive::Ping::NUMBER;
        assert_eq!(judge.judge(&frame), Verdict::Ping);
        frame.header.procedure = keepalive::Pong::NUMBER;
        assert_eq!(judge.judge(&frame), Verdict::Pong);
    }
}
