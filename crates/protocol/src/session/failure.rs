//! How calls, streams and connections end when they do not end well.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use virtwire_xdr::DecodeError;

use crate::frame::{EncodeFrameError, FrameError};
use crate::header::{MessageType, Serial, Status};
use crate::procedure::Program;
use crate::remote_error::RemoteError;

/// Why a call did not succeed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CallFailure {
    /// The daemon says why.
    #[error(transparent)]
    Remote(Box<RemoteError>),
    /// The reply is unusable; the connection is not.
    #[error(transparent)]
    BadReply(#[from] ReplyError),
    /// The connection ended first.
    #[error("connection closed, {delivery}")]
    ConnectionClosed {
        /// What ended it.
        #[source]
        cause: Arc<CloseCause>,
        /// Whether the daemon may have seen the call.
        delivery: Delivery,
    },
}

/// How far a call got before the connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Delivery {
    /// Not a byte of it was given to the driver, so the daemon cannot have acted on it.
    NotSent,
    /// It was sent or about to be; whether the daemon acted on it is unknown.
    MaybeExecuted,
}

impl std::fmt::Display for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotSent => "call was not sent",
            Self::MaybeExecuted => "call may have been executed",
        })
    }
}

/// What is wrong with a reply. It fails the one call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// The reply names another procedure than the call.
    #[error("reply is from procedure {actual}, called was {expected}")]
    WrongProcedure {
        /// The procedure that was called.
        expected: i32,
        /// The procedure that the reply names.
        actual: i32,
    },
    /// The status is none that a reply can have.
    #[error("reply has status {0:?}")]
    UnexpectedStatus(Status),
    /// The reply is an error that cannot be decoded.
    #[error("error reply cannot be decoded")]
    UndecodableError(#[source] DecodeError),
}

/// What the daemon did that no daemon may do. It ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The peer sent a packet that only the other side sends.
    #[error("peer sent a packet of type {0:?}")]
    UnexpectedMessageType(MessageType),
    /// File descriptors were announced on a connection that carries none.
    #[error("peer announced {count} file descriptors on a connection without them")]
    UnexpectedFds {
        /// How many.
        count: u32,
    },
    /// An event is from a program that is not spoken on this connection.
    #[error("event from unknown program {0}")]
    UnknownProgram(Program),
    /// Too many replies in a row answer no call.
    #[error("{count} replies in a row answer no call")]
    UnmatchedReplies {
        /// How many.
        count: u32,
    },
    /// A stream was confirmed that nobody finished or aborted.
    #[error("stream {0} was confirmed, but neither finished nor aborted")]
    UnexpectedStreamEnd(Serial),
    /// A stream packet has a status that the protocol does not know.
    #[error("packet of stream {serial} has status {status:?}")]
    UnknownStreamStatus {
        /// The stream.
        serial: Serial,
        /// The status.
        status: Status,
    },
}

/// What ended a connection. Everybody who waits on it is told the same.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloseCause {
    /// This side closed it.
    #[error("closed by this side")]
    Requested,
    /// The peer closed it.
    #[error("closed by the peer")]
    EndOfFile,
    /// Reading or writing failed.
    #[error("reading or writing failed")]
    Io(#[from] io::Error),
    /// The peer sent bytes that are no packet.
    #[error("peer sent bytes that are no packet")]
    Frame(#[from] FrameError),
    /// The peer broke the protocol.
    #[error("peer broke the protocol")]
    Protocol(#[from] ProtocolError),
    /// The peer gave no sign of life.
    #[error("no sign of life from the peer for {0:?}")]
    KeepaliveTimeout(Duration),
}

/// How a data stream ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamEnd {
    /// The daemon confirmed the finish: everything sent was stored.
    Finished,
    /// The daemon confirmed the abort.
    Aborted,
}

/// Why a data stream failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StreamFailure {
    /// The daemon says why.
    #[error(transparent)]
    Remote(Box<RemoteError>),
    /// The daemon failed the stream with an error that cannot be decoded.
    #[error("stream error cannot be decoded")]
    UndecodableError(#[source] DecodeError),
    /// More data arrived than may wait for its consumer; the stream was aborted.
    #[error("more than {limit} bytes wait for the consumer of the stream")]
    Overflow {
        /// The limit.
        limit: usize,
    },
    /// A hole makes no sense; the stream was aborted.
    #[error("peer sent a hole that makes no sense")]
    BadHole,
    /// The connection ended first. Nothing is known of data that was sent.
    #[error("connection closed before the stream ended")]
    ConnectionClosed {
        /// What ended it.
        #[source]
        cause: Arc<CloseCause>,
    },
}

/// Why a command on a data stream was refused. The stream is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamCommandError {
    /// The stream has ended, or is ending.
    #[error("stream is not open")]
    NotOpen,
    /// The stream does not go this way.
    #[error("stream carries no data to the daemon")]
    NotWritable,
    /// An empty packet or hole has no meaning: the end of an upload is its finish.
    #[error("nothing to send")]
    Empty,
    /// The data does not fit into a packet.
    #[error(transparent)]
    Packet(#[from] EncodeFrameError),
}
