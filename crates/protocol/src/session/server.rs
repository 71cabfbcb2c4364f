//! The daemon's side of a connection, for simulated daemons and tests.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use virtwire_xdr::{Decode, DecodeError, Encode, EncodeError, Reader, Writer};

use crate::frame::{EncodeFrameError, Frame, Redacted, encode_frame};
use crate::generated::constants::{ErrorCode, ErrorDomain};
use crate::header::{Header, MessageType, Serial, Status};
use crate::procedure::{Event, Procedure, Program};
use crate::remote_error::RemoteError;

use super::failure::{CloseCause, ProtocolError};
use super::keepalive::{Keepalive, KeepaliveConfig, is_keepalive};
use super::outbox::Outbox;
use super::streams::hole_payload;

/// The serial that libvirt puts into every event.
const EVENT_SERIAL: Serial = Serial::new(1);

/// How a server behaves on one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerConfig {
    /// How many requests may be in progress before reading must stop (`max_client_requests`).
    pub max_requests: usize,
    /// The pings of this side; none by default. A libvirt daemon starts them once the client has
    /// asked for the keepalive feature.
    pub keepalive: Option<KeepaliveConfig>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            max_requests: 5,
            keepalive: None,
        }
    }
}

/// What ties the packets of a call together: reply and stream packets echo it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Route {
    /// The program.
    pub program: Program,
    /// The number of the procedure within the program.
    pub procedure: i32,
    /// The serial that the client chose.
    pub serial: Serial,
}

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerOutput {
    /// A call. It is in progress until it was replied to.
    Request(Request),
    /// A packet of a stream. It is in progress until
    /// [`stream_consumed`](ServerSession::stream_consumed).
    Stream(StreamPacket),
}

/// A call as received.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// What the reply has to echo.
    pub route: Route,
    /// The arguments, encoded.
    pub payload: Bytes,
}

/// A stream packet as received.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamPacket {
    /// The call that opened the stream.
    pub route: Route,
    /// What the client says.
    pub body: StreamBody,
}

/// What a client says on a stream.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamBody {
    /// Bytes.
    Data(Bytes),
    /// A hole, of a length that is still to be checked.
    Hole(i64),
    /// The client has sent everything and wants to know whether it was stored.
    Finish,
    /// The client wants no more of it.
    Abort,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("route", &self.route)
            .field("payload", &Redacted(&self.payload))
            .finish()
    }
}

impl fmt::Debug for StreamBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(bytes) => f.debug_tuple("Data").field(&Redacted(bytes)).finish(),
            Self::Hole(length) => f.debug_tuple("Hole").field(length).finish(),
            Self::Finish => f.write_str("Finish"),
            Self::Abort => f.write_str("Abort"),
        }
    }
}

impl Request {
    /// Whether this is a call of the procedure `P`.
    #[must_use]
    pub fn is<P: Procedure>(&self) -> bool {
        (self.route.program, self.route.procedure) == (P::PROGRAM, P::NUMBER)
    }

    /// The arguments, as those of the procedure `P`. Bytes after them are tolerated, as libvirt
    /// does.
    ///
    /// # Errors
    ///
    /// When the payload is no such arguments.
    pub fn args<P: Procedure>(&self) -> Result<P::Args<'_>, DecodeError> {
        P::Args::decode(&mut Reader::new(&self.payload))
    }
}

/// The daemon's side of a connection, without the connection.
///
/// The counterpart of [`ClientSession`](super::ClientSession), driven in the same way.
#[derive(Debug)]
pub struct ServerSession {
    config: ServerConfig,
    in_progress: usize,
    keepalive: Keepalive,
    /// Where packets are put together before they go to the outbox.
    scratch: BytesMut,
    outbox: Outbox,
    outputs: VecDeque<ServerOutput>,
    closed: Option<Arc<CloseCause>>,
}

/// What the server says.
impl ServerSession {
    /// A session on a fresh connection.
    #[must_use]
    pub fn new(config: ServerConfig, now: Instant) -> Self {
        Self {
            config,
            in_progress: 0,
            keepalive: Keepalive::new(config.keepalive, now),
            scratch: BytesMut::new(),
            outbox: Outbox::new(),
            outputs: VecDeque::new(),
            closed: None,
        }
    }

    /// Answers a call of the procedure `P`.
    ///
    /// # Errors
    ///
    /// When a value exceeds its bound or the packet the limit of the protocol.
    pub fn reply<P: Procedure>(
        &mut self,
        route: Route,
        ret: &P::Ret<'_>,
    ) -> Result<(), EncodeFrameError> {
        self.reply_with(route, |w| ret.encode(w))
    }

    /// Answers a call; `ret` writes what it returns.
    ///
    /// # Errors
    ///
    /// As [`reply`](Self::reply).
    pub fn reply_with(
        &mut self,
        route: Route,
        ret: impl FnOnce(&mut Writer<'_>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeFrameError> {
        self.send_with(&route.header(MessageType::Reply, Status::Ok), ret)?;
        self.done(1);
        Ok(())
    }

    /// Answers a call by an error.
    ///
    /// # Errors
    ///
    /// As [`reply`](Self::reply).
    pub fn reply_error(
        &mut self,
        route: Route,
        error: &RemoteError,
    ) -> Result<(), EncodeFrameError> {
        let header = route.header(MessageType::Reply, Status::Error);
        self.send_with(&header, |w| error.encode(w))?;
        self.done(1);
        Ok(())
    }

    /// Sends an event.
    ///
    /// # Errors
    ///
    /// As [`reply`](Self::reply).
    pub fn event<E: Event>(&mut self, message: &E::Msg<'_>) -> Result<(), EncodeFrameError> {
        let route = Route::new(E::PROGRAM, E::NUMBER, EVENT_SERIAL);
        let header = route.header(MessageType::Message, Status::Ok);
        self.send_with(&header, |w| message.encode(w))
    }

    /// Sends data on a stream. No data at all says that there is no more.
    ///
    /// # Errors
    ///
    /// When the packet would exceed the limit of the protocol.
    pub fn stream_data(&mut self, route: Route, data: Bytes) -> Result<(), EncodeFrameError> {
        self.send(&route.header(MessageType::Stream, Status::Continue), data)
    }

    /// Sends a hole on a stream.
    pub fn stream_hole(&mut self, route: Route, length: i64) {
        let header = route.header(MessageType::StreamHole, Status::Continue);
        // A payload of two fields is never too long.
        let _ = self.send(&header, hole_payload(length));
    }

    /// Confirms that a stream was finished or aborted.
    pub fn stream_confirm(&mut self, route: Route) {
        // A packet without payload is never too long.
        let _ = self.send(&route.header(MessageType::Stream, Status::Ok), Bytes::new());
    }

    /// Fails a stream.
    ///
    /// # Errors
    ///
    /// As [`reply`](Self::reply).
    pub fn stream_error(
        &mut self,
        route: Route,
        error: &RemoteError,
    ) -> Result<(), EncodeFrameError> {
        let header = route.header(MessageType::Stream, Status::Error);
        self.send_with(&header, |w| error.encode(w))
    }

    /// Sends any packet, right or wrong: for scripts of misbehaving daemons.
    ///
    /// # Errors
    ///
    /// When the packet would exceed the limit of the protocol.
    pub fn send(&mut self, header: &Header, payload: Bytes) -> Result<(), EncodeFrameError> {
        if self.closed.is_some() {
            return Ok(());
        }
        self.outbox.put_frame(header, payload)
    }

    /// Notes that stream packets were dealt with, so that reading can go on. A hole that was
    /// refused by [`reply_error`](Self::reply_error), as libvirt does it, has been dealt with.
    pub fn stream_consumed(&mut self, packets: usize) {
        self.done(packets);
    }

    /// Starts, changes or stops the pings of this side.
    pub fn set_keepalive(&mut self, keepalive: Option<KeepaliveConfig>, now: Instant) {
        self.keepalive.configure(keepalive, now);
    }

    /// Ends the session, unless something else ended it before.
    pub fn close(&mut self, cause: CloseCause) {
        if self.closed.is_none() {
            self.closed = Some(Arc::new(cause));
            self.outbox.clear();
            self.keepalive.stop();
        }
    }

    /// What ended the session, if it has ended.
    #[must_use]
    pub fn close_cause(&self) -> Option<&Arc<CloseCause>> {
        self.closed.as_ref()
    }

    /// Whether the connection may be read. Not so while as many requests are in progress as may
    /// be: then not even keepalive packets are seen, which is libvirt's behaviour too.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        self.closed.is_none() && self.in_progress < self.config.max_requests.max(1)
    }

    /// How many requests are in progress.
    #[must_use]
    pub fn requests_in_progress(&self) -> usize {
        self.in_progress
    }

    /// How many bytes wait inside the session.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.outbox.len() + self.keepalive.pending()
    }
}

/// What the driver calls.
impl ServerSession {
    /// Takes a packet from the client.
    ///
    /// # Errors
    ///
    /// When the client broke the protocol. The session has then ended with this as its cause.
    pub fn handle_frame(&mut self, frame: Frame, now: Instant) -> Result<(), ProtocolError> {
        if self.closed.is_some() {
            return Ok(());
        }
        self.keepalive.heard(now);
        let outcome = self.dispatch(frame);
        if let Err(error) = outcome {
            self.close(CloseCause::Protocol(error));
        }
        outcome
    }

    /// Acts on the time, once [`poll_timeout`](Self::poll_timeout) has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.closed.is_some() {
            return;
        }
        if let Err(silence) = self.keepalive.expire(now) {
            self.close(CloseCause::KeepaliveTimeout(silence));
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called; asked again after every other
    /// call.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.closed {
            Some(_) => None,
            None => self.keepalive.deadline(),
        }
    }

    /// Takes the next piece of what is to be written. Pieces are whole and in order; a packet may
    /// span two of them.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        if self.closed.is_some() {
            return None;
        }
        self.keepalive.transmit(&mut self.outbox);
        self.outbox.take()
    }

    /// Takes the next thing that the client wants.
    pub fn poll_output(&mut self) -> Option<ServerOutput> {
        self.outputs.pop_front()
    }
}

impl ServerSession {
    fn dispatch(&mut self, frame: Frame) -> Result<(), ProtocolError> {
        let header = frame.header;
        if is_keepalive(&header) {
            self.keepalive.packet(header.procedure);
            return Ok(());
        }
        match header.kind {
            MessageType::Call => self.request(frame),
            MessageType::Stream | MessageType::StreamHole => {
                let route = Route::of(&header);
                let body = StreamBody::read(frame)?;
                self.in_progress += 1;
                self.outputs
                    .push_back(ServerOutput::Stream(StreamPacket { route, body }));
            }
            MessageType::CallWithFds => {
                return Err(ProtocolError::UnexpectedFds { count: frame.fds });
            }
            kind => return Err(ProtocolError::UnexpectedMessageType(kind)),
        }
        Ok(())
    }

    fn request(&mut self, frame: Frame) {
        let route = Route::of(&frame.header);
        self.in_progress += 1;
        if frame.header.status == Status::Ok {
            let payload = frame.payload;
            self.outputs
                .push_back(ServerOutput::Request(Request { route, payload }));
            return;
        }
        let message = format!("call has status {:?}", frame.header.status);
        let error = RemoteError::new(ErrorCode::RPC, ErrorDomain::RPC, message);
        // Neither text nor packet is anywhere near its bound.
        let _ = self.reply_error(route, &error);
    }

    fn send_with(
        &mut self,
        header: &Header,
        payload: impl FnOnce(&mut Writer<'_>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeFrameError> {
        encode_frame(&mut self.scratch, header, payload)?;
        let packet = self.scratch.split();
        if self.closed.is_none() {
            self.outbox.put_packet(packet);
        }
        Ok(())
    }

    fn done(&mut self, requests: usize) {
        self.in_progress = self.in_progress.saturating_sub(requests);
    }
}

impl Route {
    /// The route of a call, or of an event with any serial.
    #[must_use]
    pub const fn new(program: Program, procedure: i32, serial: Serial) -> Self {
        Self {
            program,
            procedure,
            serial,
        }
    }

    /// The route that a packet names.
    #[must_use]
    pub const fn of(header: &Header) -> Self {
        Self::new(header.program, header.procedure, header.serial)
    }

    /// The header of a packet on this route.
    #[must_use]
    pub const fn header(self, kind: MessageType, status: Status) -> Header {
        Header {
            program: self.program,
            procedure: self.procedure,
            kind,
            serial: self.serial,
            status,
        }
    }
}

impl StreamBody {
    fn read(frame: Frame) -> Result<Self, ProtocolError> {
        let Header { serial, status, .. } = frame.header;
        match (status, frame.header.kind) {
            (Status::Continue, MessageType::StreamHole) => {
                // A hole without a length is as wrong as one of no length.
                Ok(Self::Hole(
                    frame.payload.as_ref().try_get_i64().unwrap_or(0),
                ))
            }
            (Status::Continue, _) => Ok(Self::Data(frame.payload)),
            (Status::Ok, _) => Ok(Self::Finish),
            (Status::Error, _) => Ok(Self::Abort),
            _ => Err(ProtocolError::UnknownStreamStatus { serial, status }),
        }
    }
}
