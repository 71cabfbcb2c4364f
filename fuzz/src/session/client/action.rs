//! What can happen to a client's session.

use arbitrary::Arbitrary;
use virtwire_protocol::frame::MAX_STREAM_CHUNK;
use virtwire_protocol::header::{Header, MessageType, Status};
use virtwire_protocol::keepalive;

use crate::blob::Blob;

/// What there is to upload: longer than a packet may be.
pub(super) static ZEROES: [u8; 2 * MAX_STREAM_CHUNK] = [0; 2 * MAX_STREAM_CHUNK];

/// A session's settings and what happens to it.
#[derive(Debug, Arbitrary)]
pub struct Input<'a> {
    /// Calls in flight.
    pub max_in_flight: u8,
    /// Bytes that may wait on a stream.
    pub max_stream_buffer: u16,
    /// Replies to nothing.
    pub max_unmatched_replies: u8,
    /// Interval and count of pings.
    pub keepalive: Option<(u16, u8)>,
    /// What happens, in order.
    pub actions: Vec<Action<'a>>,
}

/// Something that the owner, the daemon, the network or the clock does. Numbers that choose among
/// calls or streams wrap around.
#[derive(Debug, Clone, Arbitrary)]
pub enum Action<'a> {
    /// The owner calls.
    Call(Call),
    /// The owner gives a call up.
    Cancel(u8),
    /// The owner gives up what waits: every call whose number is no multiple of this.
    Retain(u8),
    /// The driver writes, at most this many pieces.
    Transmit(u8),
    /// The daemon answers a call, more or less.
    Answer {
        /// Which call.
        call: u8,
        /// Where it deviates from a proper answer.
        fault: Fault,
        /// What it says.
        payload: Blob<'a>,
    },
    /// The daemon sends on a stream.
    Stream {
        /// The call that opened it.
        call: u8,
        /// A hole, and not data.
        hole: bool,
        /// More follows, it is over, it failed.
        status: u8,
        /// What it says.
        payload: Blob<'a>,
    },
    /// The daemon sends a packet of its own making.
    Packet {
        /// The program.
        program: u8,
        /// The procedure.
        procedure: i16,
        /// The type.
        kind: u8,
        /// The serial.
        serial: u8,
        /// The status.
        status: i8,
        /// What it says.
        payload: Blob<'a>,
    },
    /// The daemon sends bytes that may be no packet.
    Bytes(Blob<'a>),
    /// The owner uploads.
    Send(u8, u32),
    /// The owner uploads a hole.
    SendHole(u8, u64),
    /// The owner finishes a stream.
    Finish(u8),
    /// The owner aborts a stream.
    Abort(u8),
    /// The owner reads from a stream.
    Read(u8),
    /// Milliseconds pass.
    Wait(u16),
    /// The owner changes the pings.
    Keepalive(Option<(u16, u8)>),
    /// The connection ends.
    Close,
}

/// What is called.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub enum Call {
    /// Something without a stream.
    Plain,
    /// Something that goes first.
    Urgent,
    /// Something of another program.
    OtherProgram,
    /// A stream from the daemon.
    Download,
    /// A stream to the daemon.
    Upload,
    /// A stream both ways.
    Console,
}

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum Fault {
    /// Nothing: it succeeded.
    Success,
    /// Nothing: it failed.
    Failure,
    /// The status.
    Status(i8),
    /// The procedure.
    Procedure(i8),
    /// The program.
    Program,
}

impl Action<'_> {
    /// The bytes that it brings, with what it takes to note that it happened.
    pub(super) fn bytes(&self) -> usize {
        let bytes = match self {
            Self::Answer { payload, .. }
            | Self::Stream { payload, .. }
            | Self::Packet { payload, .. }
            | Self::Bytes(payload) => payload.bytes().len(),
            Self::Send(_, length) => *length as usize % ZEROES.len(),
            _ => 0,
        };
        512 + bytes
    }
}

impl Fault {
    pub(super) fn apply(self, call: Header) -> Header {
        let mut answer = Header {
            kind: MessageType::Reply,
            status: Status::Ok,
            ..call
        };
        match self {
            Self::Success => {}
            Self::Failure => answer.status = Status::Error,
            Self::Status(status) => answer.status = Status::from(i32::from(status)),
            Self::Procedure(delta) => {
                answer.procedure = answer.procedure.wrapping_add(delta.into());
            }
            Self::Program => answer.program = keepalive::PROGRAM,
        }
        answer
    }
}
