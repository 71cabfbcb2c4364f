//! Packets that no session would make by itself.

use bytes::{Bytes, BytesMut};
use virtwire_protocol::frame::{EncodeFrameError, encode_frame};
use virtwire_protocol::header::{Header, MessageType, Serial, Status};
use virtwire_protocol::{Event, Program, keepalive};

/// The header of an event of any program and number. One of a reply or of a stream's packet comes
/// from the [`Route`](virtwire_protocol::session::Route) of its call.
#[must_use]
pub const fn event_header(program: Program, number: i32) -> Header {
    Header {
        program,
        procedure: number,
        kind: MessageType::Message,
        serial: Serial::new(1),
        status: Status::Ok,
    }
}

/// The header of the packet that asks for a sign of life.
#[must_use]
pub const fn ping_header() -> Header {
    Header {
        serial: Serial::new(0),
        ..event_header(keepalive::PROGRAM, keepalive::Ping::NUMBER)
    }
}

/// A packet as it stands on the wire, to be sent as raw bytes, whole or not.
///
/// # Errors
///
/// When it would exceed the limit of the protocol.
pub fn packet(header: &Header, payload: &[u8]) -> Result<Bytes, EncodeFrameError> {
    let mut packet = BytesMut::new();
    encode_frame(&mut packet, header, |writer| {
        writer.raw(payload);
        Ok(())
    })?;
    Ok(packet.freeze())
}
