//! The packet header: six words that every packet has after its length.

use std::fmt;

use bytes::{Buf, BufMut};

use crate::procedure::Program;

/// The length of a header on the wire, in bytes.
pub const HEADER_LEN: usize = 24;

/// What a packet is about: its program, procedure, kind, serial and status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "virNetMessageHeader has had these six words since 2011; a seventh breaks every peer"
)]
pub struct Header {
    /// The program and its version.
    pub program: Program,
    /// The number of the procedure or event within the program. Signed: a daemon echoes what it
    /// was sent, and the field is an `int`.
    pub procedure: i32,
    /// What the packet is.
    pub kind: MessageType,
    /// Which call the packet belongs to. Events and keepalive packets belong to none.
    pub serial: Serial,
    /// How it went.
    pub status: Status,
}

/// The number that ties packets to the call they belong to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Serial(u32);

/// What a packet is (`virNetMessageType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(i32)]
pub enum MessageType {
    /// A request of the client.
    Call = 0,
    /// The answer to a call.
    Reply = 1,
    /// An event, or a keepalive packet.
    Message = 2,
    /// A part of a data stream.
    Stream = 3,
    /// A call that file descriptors follow.
    CallWithFds = 4,
    /// An answer that file descriptors follow.
    ReplyWithFds = 5,
    /// A hole in a sparse data stream.
    StreamHole = 6,
}

/// How it went (`virNetMessageStatus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// Well; on a stream: the end of it.
    Ok,
    /// Not well; the payload says why.
    Error,
    /// More follows; streams only.
    Continue,
    /// A number that the protocol does not know. It makes one reply unusable and not the
    /// connection, so it is a value and not an error.
    Unknown(i32),
}

/// A header that makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The packet is of a type that the protocol does not know.
    #[error("unknown message type {0}")]
    UnknownMessageType(i32),
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    ///
    /// When the message type is unknown.
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, HeaderError> {
        let mut words = bytes.as_slice();
        Ok(Self {
            program: Program::new(words.get_u32(), words.get_u32()),
            procedure: words.get_i32(),
            kind: MessageType::try_from(words.get_i32())?,
            serial: Serial::new(words.get_u32()),
            status: Status::from(words.get_i32()),
        })
    }

    /// The header as it stands on the wire.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let mut words = bytes.as_mut_slice();
        words.put_u32(self.program.number);
        words.put_u32(self.program.version);
        words.put_i32(self.procedure);
        words.put_i32(self.kind as i32);
        words.put_u32(self.serial.get());
        words.put_i32(self.status.into());
        bytes
    }
}

impl Serial {
    /// The serial of this number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The serial after this one. Zero is left out: keepalive packets carry it.
    #[must_use]
    pub const fn next(self) -> Self {
        match self.0.wrapping_add(1) {
            0 => Self(1),
            number => Self(number),
        }
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({})", self.0)
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl MessageType {
    /// Whether a word with the number of file descriptors stands before the payload.
    #[must_use]
    pub const fn has_fds(self) -> bool {
        matches!(self, Self::CallWithFds | Self::ReplyWithFds)
    }
}

impl TryFrom<i32> for MessageType {
    type Error = HeaderError;

    fn try_from(number: i32) -> Result<Self, HeaderError> {
        Ok(match number {
            0 => Self::Call,
            1 => Self::Reply,
            2 => Self::Message,
            3 => Self::Stream,
            4 => Self::CallWithFds,
            5 => Self::ReplyWithFds,
            6 => Self::StreamHole,
            _ => return Err(HeaderError::UnknownMessageType(number)),
        })
    }
}

impl From<i32> for Status {
    fn from(number: i32) -> Self {
        match number {
            0 => Self::Ok,
            1 => Self::Error,
            2 => Self::Continue,
            _ => Self::Unknown(number),
        }
    }
}

impl From<Status> for i32 {
    fn from(status: Status) -> Self {
        match status {
            Status::Ok => 0,
            Status::Error => 1,
            Status::Continue => 2,
            Status::Unknown(number) => number,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_six_words_in_network_order() {
        let header = Header {
            program: Program::new(0x2000_8086, 1),
            procedure: -2,
            kind: MessageType::StreamHole,
            serial: Serial::new(7),
            status: Status::Continue,
        };
        let bytes = header.encode();
        assert_eq!(
            bytes,
            *b"\x20\0\x80\x86\0\0\0\x01\xff\xff\xff\xfe\0\0\0\x06\0\0\0\x07\0\0\0\x02"
        );
        assert_eq!(Header::decode(&bytes), Ok(header));
    }

    #[test]
    fn every_type_and_status_survives() {
        for number in 0..7 {
            assert_eq!(MessageType::try_from(number).unwrap() as i32, number);
        }
        for number in [0, 1, 2, 3, -1, i32::MAX] {
            assert_eq!(i32::from(Status::from(number)), number);
        }
        assert_eq!(
            MessageType::try_from(7),
            Err(HeaderError::UnknownMessageType(7))
        );
    }

    #[test]
    fn serials_wrap_and_leave_out_zero() {
        assert_eq!(Serial::default().next().get(), 1);
        assert_eq!(Serial::new(u32::MAX).next().get(), 1);
    }
}
