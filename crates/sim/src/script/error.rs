use std::fmt;
use std::io;

use virtwire_protocol::frame::{EncodeFrameError, FrameError};
use virtwire_protocol::generated::dispatch;
use virtwire_protocol::procedure::Visitor;
use virtwire_protocol::session::{ProtocolError, Request, Route, StreamBody, StreamPacket};
use virtwire_protocol::{Event, Procedure};
use virtwire_xdr::DecodeError;

/// Why a script cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// The client did something else.
    #[error("expected {expected}, but {heard} came")]
    Unexpected {
        /// What the script is written for.
        expected: Expected,
        /// What the client sent instead.
        heard: Heard,
    },
    /// The client closed the connection first.
    #[error("expected {expected}, but the client hung up")]
    HungUp {
        /// What the script is written for.
        expected: Expected,
    },
    /// There is no answer to give by default.
    #[error("{heard} has no default answer")]
    NoDefault {
        /// What the client wants.
        heard: Heard,
    },
    /// The client sent arguments that are none of the procedure.
    #[error("cannot decode the arguments of {procedure}")]
    Arguments {
        /// The procedure's name.
        procedure: &'static str,
        /// What is wrong with them.
        source: DecodeError,
    },
    /// The client sent bytes that are no packet.
    #[error("client sent bytes that are no packet")]
    Frame(#[from] FrameError),
    /// The client broke the protocol.
    #[error("client broke the protocol")]
    Protocol(#[from] ProtocolError),
    /// What the script says has no form on the wire.
    #[error("cannot encode what the script says")]
    Encode(#[from] EncodeFrameError),
    /// The socket cannot be had or read.
    #[error("cannot listen or read")]
    Io(#[from] io::Error),
}

/// What a script expects of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expected {
    /// A call of this procedure.
    Call(&'static str),
    /// A call of any procedure.
    AnyCall,
    /// A packet of the stream that this call opened.
    Stream(Route),
    /// So many questions for a sign of life altogether.
    Pings(usize),
    /// So many answers to such questions altogether.
    Pongs(usize),
    /// The end of the connection.
    HangUp,
}

/// What the client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a client says nothing else that a script has to deal with"
)]
pub enum Heard {
    /// A call.
    Call(Request),
    /// A packet of a stream.
    Stream(StreamPacket),
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(name) => write!(f, "a call of {name}"),
            Self::AnyCall => f.write_str("a call"),
            Self::Stream(route) => write!(f, "a packet of the stream of {}", Named(*route)),
            Self::Pings(count) => write!(f, "PING number {count}"),
            Self::Pongs(count) => write!(f, "PONG number {count}"),
            Self::HangUp => f.write_str("the end of the connection"),
        }
    }
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(request) => write!(f, "a call of {}", Named(request.route)),
            Self::Stream(packet) => {
                match &packet.body {
                    StreamBody::Data(bytes) => write!(f, "{} bytes of data", bytes.len()),
                    StreamBody::Hole(length) => write!(f, "a hole of {length} bytes"),
                    StreamBody::Finish => f.write_str("the finish"),
                    _ => f.write_str("the abort"),
                }?;
                write!(f, " of the stream of {}", Named(packet.route))
            }
        }
    }
}

/// The procedure of a route by its name, and which call of it.
struct Named(Route);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let route = &self.0;
        match dispatch::visit(route.program, route.procedure, Name) {
            Some(name) => f.write_str(name),
            None => write!(f, "procedure {} of {}", route.procedure, route.program),
        }?;
        write!(f, " (serial {})", route.serial)
    }
}

/// Finds the name of a procedure or event.
struct Name;

impl Visitor for Name {
    type Output = &'static str;

    fn procedure<P: Procedure>(self) -> &'static str {
        P::NAME
    }

    fn event<E: Event>(self) -> &'static str {
        E::NAME
    }
}
