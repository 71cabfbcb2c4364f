use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use virtwire_protocol::RemoteError;
use virtwire_protocol::constants::{ErrorCode, ErrorDomain};
use virtwire_protocol::frame::EncodeFrameError;
use virtwire_protocol::header::Serial;
use virtwire_protocol::session::{CallFailure, CloseCause, Delivery, ReplyError};
use virtwire_xdr::DecodeError;

/// Why an operation failed.
///
/// [`kind`](Self::kind) says who must act, [`remote`](Self::remote) gives libvirt's own domain,
/// code and message, and [`execution`](Self::execution) says whether the daemon may have done
/// the work all the same.
pub struct Error(Box<Inner>);

/// Who must act on an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The daemon could not be reached: look at the URI, the socket and the daemon.
    Connect,
    /// The daemon did not let us in: look at its authentication settings and at ours.
    Auth,
    /// The daemon refused or failed the call; [`Error::remote`] says why.
    Remote,
    /// The daemon sent something that the protocol does not allow.
    Protocol,
    /// The connection ended; [`Error::close_cause`] says why.
    Closed,
    /// The deadline passed first.
    Timeout,
    /// The arguments cannot be sent as they are; nothing was sent.
    InvalidInput,
    /// This version of the library or of the daemon does not offer it.
    Unsupported,
}

/// Whether the daemon executed a call that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Execution {
    /// The call never left this process.
    NotSent,
    /// The call was sent and no answer came that could be understood: it may have been executed, or
    /// may still be.
    MaybeExecuted,
    /// The daemon answered that it failed.
    Rejected,
    /// The daemon answered that it succeeded; the answer was of no use to us.
    Executed,
}

impl Execution {
    /// What became of a call that ended so.
    pub(crate) fn of(failure: &CallFailure) -> Self {
        match failure {
            CallFailure::Remote(_) => Self::Rejected,
            CallFailure::ConnectionClosed {
                delivery: Delivery::NotSent,
                ..
            } => Self::NotSent,
            _ => Self::MaybeExecuted,
        }
    }
}

#[derive(Debug)]
struct Inner {
    cause: Cause,
    call: Option<CallContext>,
    object: Option<String>,
}

/// The call that failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallContext {
    pub(crate) procedure: &'static str,
    /// Of the packet, if one was sent.
    pub(crate) serial: Option<Serial>,
    pub(crate) elapsed: Duration,
    pub(crate) execution: Execution,
    /// Whether it may be made again even if it was executed.
    pub(crate) repeatable: bool,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Cause {
    #[error("{0}")]
    Remote(#[source] Box<RemoteError>),
    #[error("cannot connect to {endpoint}")]
    Connect { endpoint: String, source: io::Error },
    #[error(transparent)]
    Uri(#[from] crate::uri::UriError),
    #[error("the daemon offers authentication by {offered}, this client by {wanted}")]
    AuthMismatch {
        offered: String,
        wanted: &'static str,
    },
    #[error("authentication was refused: {0}")]
    AuthRefused(Box<RemoteError>),
    #[error("connection is closed: {0}")]
    Closed(Arc<CloseCause>),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("the daemon was not reached and open within {0:?}")]
    ConnectTimeout(Duration),
    #[error("cannot encode the arguments")]
    Encode(#[source] EncodeFrameError),
    #[error("cannot decode the reply")]
    Decode(#[source] DecodeError),
    #[error("reply breaks the protocol: {0}")]
    BadReply(&'static str),
    #[error("reply breaks the protocol")]
    Reply(#[source] ReplyError),
    #[error("{what} takes {limit}, {given} was given")]
    InvalidInput {
        what: &'static str,
        limit: &'static str,
        given: String,
    },
    #[error(transparent)]
    Bandwidth(#[from] crate::InvalidBandwidth),
    #[error(transparent)]
    Uuid(#[from] crate::InvalidUuid),
    #[error("{0} is not supported yet")]
    Unsupported(&'static str),
    #[error("cannot read the XML of the domain")]
    Xml(#[source] crate::domain::XmlError),
}

impl Error {
    pub(crate) fn new(cause: impl Into<Cause>) -> Self {
        Self(Box::new(Inner {
            cause: cause.into(),
            call: None,
            object: None,
        }))
    }

    pub(crate) fn of_call(cause: Cause, call: CallContext) -> Self {
        Self(Box::new(Inner {
            cause,
            call: Some(call),
            object: None,
        }))
    }

    /// The same error, with the name of what the call was about.
    pub(crate) fn about(mut self, object: Option<String>) -> Self {
        self.0.object = object;
        self
    }

    /// The same error, of a call that was to open a connection: whatever it did has gone with the
    /// connection.
    pub(crate) fn while_opening(mut self) -> Self {
        if let Some(call) = &mut self.0.call {
            call.repeatable = true;
        }
        self
    }

    /// The same error, of a call that was to let us in: what the daemon refused is that.
    pub(crate) fn of_authentication(self) -> Self {
        let mut inner = *self.0;
        inner.cause = match inner.cause {
            Cause::Remote(remote) => Cause::AuthRefused(remote),
            other => other,
        };
        Self(Box::new(inner))
    }

    /// Who must act.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match &self.0.cause {
            Cause::Remote(_) => ErrorKind::Remote,
            Cause::Connect { .. } => ErrorKind::Connect,
            Cause::AuthMismatch { .. } | Cause::AuthRefused(_) => ErrorKind::Auth,
            Cause::Closed(_) => ErrorKind::Closed,
            Cause::Timeout(_) | Cause::ConnectTimeout(_) => ErrorKind::Timeout,
            Cause::Decode(_) | Cause::BadReply(_) | Cause::Reply(_) | Cause::Xml(_) => {
                ErrorKind::Protocol
            }
            Cause::Uri(_)
            | Cause::Encode(_)
            | Cause::InvalidInput { .. }
            | Cause::Bandwidth(_)
            | Cause::Uuid(_) => ErrorKind::InvalidInput,
            Cause::Unsupported(_) => ErrorKind::Unsupported,
        }
    }

    /// What the daemon said, when the error came from it.
    #[must_use]
    pub fn remote(&self) -> Option<&RemoteError> {
        match &self.0.cause {
            Cause::Remote(error) | Cause::AuthRefused(error) => Some(error),
            _ => None,
        }
    }

    /// The daemon's error code, when the error came from it.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        self.remote().map(|remote| remote.code)
    }

    /// Whether the daemon's error has this code.
    #[must_use]
    pub fn has_code(&self, code: ErrorCode) -> bool {
        self.code() == Some(code)
    }

    /// The procedure that failed, by libvirt's name, as `DOMAIN_GET_INFO`.
    #[must_use]
    pub fn procedure(&self) -> Option<&'static str> {
        self.0.call.map(|call| call.procedure)
    }

    /// What the call was about: the name of the domain, or `disk of domain`. `None` for calls that
    /// were not made by the handle of an object.
    #[must_use]
    pub fn object(&self) -> Option<&str> {
        self.0.object.as_deref()
    }

    /// The serial of the packet that carried the call, by which it is found in a record of what was
    /// sent or in the daemon's log; `None` when it was not sent.
    #[must_use]
    pub fn serial(&self) -> Option<u32> {
        self.0.call?.serial.map(Serial::get)
    }

    /// How long the call took to fail.
    #[must_use]
    pub fn elapsed(&self) -> Option<Duration> {
        self.0.call.map(|call| call.elapsed)
    }

    /// Whether the daemon executed the call; `None` when no call was made.
    #[must_use]
    pub fn execution(&self) -> Option<Execution> {
        self.0.call.map(|call| call.execution)
    }

    /// Why the connection ended, when that is what went wrong.
    #[must_use]
    pub fn close_cause(&self) -> Option<&CloseCause> {
        match &self.0.cause {
            Cause::Closed(cause) => Some(cause),
            _ => None,
        }
    }

    /// Whether the connection ended. Later calls fail too, unless it
    /// [reconnects](crate::Builder::reconnect) and [is only lost](crate::ConnectionState::Lost).
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.kind() == ErrorKind::Closed
    }

    /// Whether the deadline passed.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.kind() == ErrorKind::Timeout
    }

    /// Whether the object that the call named does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.code().is_some_and(|code| {
            matches!(
                code,
                ErrorCode::NO_DOMAIN
                    | ErrorCode::NO_NETWORK
                    | ErrorCode::NO_STORAGE_POOL
                    | ErrorCode::NO_STORAGE_VOL
                    | ErrorCode::NO_NODE_DEVICE
                    | ErrorCode::NO_INTERFACE
                    | ErrorCode::NO_NWFILTER
                    | ErrorCode::NO_SECRET
                    | ErrorCode::NO_DOMAIN_SNAPSHOT
                    | ErrorCode::NO_DOMAIN_METADATA
                    | ErrorCode::NO_NWFILTER_BINDING
                    | ErrorCode::NO_DOMAIN_CHECKPOINT
                    | ErrorCode::NO_DOMAIN_BACKUP
                    | ErrorCode::NO_NETWORK_PORT
                    | ErrorCode::NO_NETWORK_METADATA
            )
        })
    }

    /// Whether the daemon does not know the procedure, or its driver does not implement it.
    ///
    /// An old daemon answers an unknown procedure with code `RPC` of domain `RPC`, as it does
    /// other faults of a request; a request that this library encoded has no other fault of that
    /// kind once the connection is open.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        self.kind() == ErrorKind::Unsupported
            || self.remote().is_some_and(|remote| {
                remote.code == ErrorCode::NO_SUPPORT
                    || (remote.code == ErrorCode::RPC && remote.domain == ErrorDomain::RPC)
            })
    }

    /// Whether the daemon does not know who we are, or does not let us do that.
    ///
    /// That is kind `Auth`, and later on the codes `AUTH_FAILED`, `AUTH_CANCELLED`,
    /// `AUTH_UNAVAILABLE` and `ACCESS_DENIED`. A change over a read-only connection is not among
    /// them (`OPERATION_DENIED`): that is refused whoever asks.
    #[must_use]
    pub fn is_auth(&self) -> bool {
        self.kind() == ErrorKind::Auth
            || self.code().is_some_and(|code| {
                matches!(
                    code,
                    ErrorCode::AUTH_FAILED
                        | ErrorCode::AUTH_CANCELLED
                        | ErrorCode::AUTH_UNAVAILABLE
                        | ErrorCode::ACCESS_DENIED
                )
            })
    }

    /// Whether the daemon refused because somebody else holds what the call needs: it waited for
    /// its turn at the domain in vain, half a minute by default, or a lock manager has given the
    /// disk to another. It has given up the call; a later one may succeed.
    ///
    /// That is the code `RESOURCE_BUSY`, and `OPERATION_TIMEOUT` of the domain `NONE`, which is
    /// that of the locks: elsewhere the code says that something has begun and is not over, as
    /// the removal of a processor. Not among them are `BLOCK_COPY_ACTIVE`, which lasts until
    /// somebody ends the copy; `OPERATION_UNSUPPORTED`, which a disk with a job of another kind
    /// shares with what will never work; and the guest agent's `AGENT_…`, after which nobody
    /// knows what the guest has done.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.remote().is_some_and(|remote| match remote.code {
            ErrorCode::RESOURCE_BUSY => true,
            ErrorCode::OPERATION_TIMEOUT => remote.domain == ErrorDomain::NONE,
            _ => false,
        })
    }

    /// Whether doing the same again, after a while, may help and does no harm.
    ///
    /// It may help when the daemon was not reached, when the connection was lost, when the
    /// deadline passed, or when the daemon [was busy](Self::is_busy). It does no harm when nothing
    /// was executed, or what may have been executed only reads
    /// ([`Procedure::REPEATABLE`](crate::Procedure::REPEATABLE)). So what changes something and
    /// [may have been executed](Execution::MaybeExecuted) is never retryable, nor is anything on a
    /// connection that this side has closed.
    ///
    /// A lost connection stays lost unless it [reconnects](crate::Builder::reconnect): the same
    /// call is then one for another connection.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        let harmless = match self.0.call {
            None => true,
            Some(call) => match call.execution {
                Execution::NotSent => true,
                Execution::MaybeExecuted => call.repeatable,
                Execution::Rejected => return self.is_busy(),
                Execution::Executed => false,
            },
        };
        harmless
            && match &self.0.cause {
                Cause::Connect { .. } | Cause::ConnectTimeout(_) | Cause::Timeout(_) => true,
                Cause::Closed(cause) => !matches!(**cause, CloseCause::Requested),
                _ => false,
            }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0.call, &self.0.object) {
            (Some(call), Some(object)) => write!(f, "{} ({object}): ", call.procedure)?,
            (Some(call), None) => write!(f, "{}: ", call.procedure)?,
            _ => {}
        }
        self.0.cause.fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind())
            .field("cause", &self.0.cause)
            .field("call", &self.0.call)
            .field("object", &self.0.object)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.0.cause)
    }
}

impl From<Cause> for Error {
    fn from(cause: Cause) -> Self {
        Self::new(cause)
    }
}

impl From<CallFailure> for Cause {
    fn from(failure: CallFailure) -> Self {
        match failure {
            CallFailure::Remote(error) => Self::Remote(error),
            CallFailure::BadReply(error) => Self::Reply(error),
            CallFailure::ConnectionClosed { cause, .. } => Self::Closed(cause),
            _ => Self::BadReply("it cannot be used"),
        }
    }
}

impl From<crate::InvalidBandwidth> for Error {
    fn from(error: crate::InvalidBandwidth) -> Self {
        Self::new(error)
    }
}

impl From<crate::InvalidUuid> for Error {
    fn from(error: crate::InvalidUuid) -> Self {
        Self::new(error)
    }
}

#[cfg(test)]
mod tests;
