//! The client's side of a connection.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use virtwire_xdr::{Decode, DecodeError, Reader};

use crate::frame::{Frame, Redacted, patch_serial};
use crate::generated::{admin, lxc, qemu, remote};
use crate::header::{Header, MessageType, Serial, Status};
use crate::procedure::{Event, Procedure, Program};
use crate::remote_error::RemoteError;

use super::calls::{CallId, Calls, InFlight};
use super::failure::{
    CallFailure, CloseCause, Delivery, ProtocolError, ReplyError, StreamCommandError, StreamEnd,
    StreamFailure,
};
use super::keepalive::{Keepalive, KeepaliveConfig, is_keepalive};
use super::outbox::Outbox;
use super::request::{CallRequest, Lane};
use super::streams::{StreamId, StreamItem, StreamNews, Streams};

/// The programs whose events a client understands.
const PROGRAMS: [Program; 4] = [remote::PROGRAM, qemu::PROGRAM, lxc::PROGRAM, admin::PROGRAM];

/// Stream packets are moved to the outbox in lots of about this many bytes.
const LOT: usize = 256 << 10;

/// How a client behaves on its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientConfig {
    /// How many calls may be in flight, at least 1. Others wait. The default is one less than the
    /// daemon's [`max_client_requests`](Self::max_client_requests).
    pub max_in_flight: usize,
    /// How many of these places only [urgent](super::Lane::Urgent) calls may take; none by default.
    /// One place is left for the others in any case.
    pub reserved: usize,
    /// How many bytes of a stream may wait for their consumer before the stream is aborted.
    pub max_stream_buffer: usize,
    /// How many replies in a row may answer no call. A daemon in order can send a few, so they are
    /// dropped, but a flood of them ends the connection.
    pub max_unmatched_replies: u32,
    /// How many calls of a connection may be in progress at the daemon, by its setting of this
    /// name; 5 by default.
    ///
    /// While there are so many it does not read, so it sees no keepalive. Its silence then means
    /// nothing, and this side neither pings nor counts. The daemon counts on and hangs up.
    pub max_client_requests: usize,
    /// The pings of this side; none by default.
    pub keepalive: Option<KeepaliveConfig>,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            max_in_flight: 4,
            reserved: 0,
            max_stream_buffer: 8 << 20,
            max_unmatched_replies: 64,
            max_client_requests: 5,
            keepalive: None,
        }
    }
}

impl ClientConfig {
    /// How many calls may be in flight when one of this lane is to be sent.
    #[must_use]
    pub fn places(&self, lane: Lane) -> usize {
        let all = self.max_in_flight.max(1);
        match lane {
            Lane::Urgent => all,
            Lane::Ordinary => all.saturating_sub(self.reserved).max(1),
        }
    }
}

/// What the session has for its owner.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output<T> {
    /// A call has ended. Every call that was not cancelled ends exactly once.
    CallFinished {
        /// The call.
        id: CallId,
        /// What its owner attached to it.
        token: T,
        /// How it ended.
        result: Result<Reply, CallFailure>,
    },
    /// The daemon sent an event. Its number may be unknown: newer daemons have more of them, so
    /// what is not understood is to be ignored.
    Event(EventPacket),
    /// Something to read with [`ClientSession::stream_read`]; said when there was nothing before.
    StreamReadable(StreamId),
    /// A stream has ended. Every stream that was opened ends exactly once.
    StreamClosed {
        /// The stream.
        id: StreamId,
        /// How it ended.
        outcome: Result<StreamEnd, StreamFailure>,
        /// What was not read, in order.
        unread: VecDeque<StreamItem>,
    },
}

/// A successful reply.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// What the procedure returned, encoded.
    pub payload: Bytes,
    /// The stream that it opened.
    pub stream: Option<StreamId>,
}

/// An event as it is on the wire; [`event::Message`](crate::event::Message) has its meaning.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventPacket {
    /// The program.
    pub program: Program,
    /// The number of the event within the program.
    pub procedure: i32,
    /// What it carries, encoded.
    pub payload: Bytes,
}

impl Reply {
    /// What the procedure `P` returned. Bytes after it are tolerated: a newer daemon may say more.
    ///
    /// # Errors
    ///
    /// When the payload is no such value.
    pub fn ret<P: Procedure>(&self) -> Result<P::Ret<'_>, DecodeError> {
        P::Ret::decode(&mut Reader::new(&self.payload))
    }
}

impl EventPacket {
    /// Whether this is the event `E`.
    #[must_use]
    pub fn is<E: Event>(&self) -> bool {
        (self.program, self.procedure) == (E::PROGRAM, E::NUMBER)
    }

    /// What the event `E` carries. Bytes after it are tolerated: a newer daemon may say more.
    ///
    /// # Errors
    ///
    /// When the payload is no such message.
    pub fn message<E: Event>(&self) -> Result<E::Msg<'_>, DecodeError> {
        E::Msg::decode(&mut Reader::new(&self.payload))
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("payload", &Redacted(&self.payload))
            .field("stream", &self.stream)
            .finish()
    }
}

impl fmt::Debug for EventPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventPacket")
            .field("program", &self.program)
            .field("procedure", &self.procedure)
            .field("payload", &Redacted(&self.payload))
            .finish()
    }
}

/// Counts of what was received and not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ClientStats {
    /// Replies to calls that were cancelled.
    pub late_replies: u64,
    /// Replies that answer no call.
    pub unmatched_replies: u64,
    /// Events with a status that no event has.
    pub bad_events: u64,
    /// Packets of streams that have ended, or that never were.
    pub stray_stream_packets: u64,
}

/// The client's side of a connection, without the connection.
///
/// See the [module](super) for what is called when. `T` is what the owner attaches to each call and
/// gets back with its result: the sending half of a channel, as a rule.
#[derive(Debug)]
pub struct ClientSession<T> {
    config: ClientConfig,
    last_serial: Serial,
    calls: Calls<T>,
    streams: Streams,
    keepalive: Keepalive,
    outbox: Outbox,
    outputs: VecDeque<Output<T>>,
    unmatched: u32,
    stats: ClientStats,
    closed: Option<Arc<CloseCause>>,
}

/// Commands and questions.
impl<T> ClientSession<T> {
    /// A session on a fresh connection.
    #[must_use]
    pub fn new(config: ClientConfig, now: Instant) -> Self {
        Self {
            config,
            last_serial: Serial::default(),
            calls: Calls::new(),
            streams: Streams::new(config.max_stream_buffer),
            keepalive: Keepalive::new(config.keepalive, now),
            outbox: Outbox::new(),
            outputs: VecDeque::new(),
            unmatched: 0,
            stats: ClientStats::default(),
            closed: None,
        }
    }

    /// Makes a call. It waits inside the session until a slot is free.
    pub fn call(&mut self, request: CallRequest, token: T) -> CallId {
        let id = self.calls.next_id();
        if let Some(cause) = &self.closed {
            let result = Err(CallFailure::ConnectionClosed {
                cause: Arc::clone(cause),
                delivery: Delivery::NotSent,
            });
            self.outputs
                .push_back(Output::CallFinished { id, token, result });
        } else {
            self.calls.enqueue(id, request, token);
        }
        id
    }

    /// Gives a call up and its token back; `None` when it has ended already.
    ///
    /// A call that was not sent is forgotten. One that was sent keeps its slot, since the daemon
    /// still works on it; its reply is swallowed, and a stream that it opened aborted.
    pub fn cancel(&mut self, id: CallId) -> Option<T> {
        self.calls.cancel(id)
    }

    /// Drops the calls that wait for a slot and that `keep` does not want any more, and says how
    /// many they were. For owners whose tokens know whether anybody still waits.
    pub fn retain_waiting(&mut self, keep: impl FnMut(&T) -> bool) -> usize {
        self.calls.retain_waiting(keep)
    }

    /// Starts, changes or stops the pings of this side.
    pub fn set_keepalive(&mut self, keepalive: Option<KeepaliveConfig>, now: Instant) {
        self.keepalive.configure(keepalive, now);
    }

    /// Ends the session. Every call and every stream ends with this cause, unless something else
    /// ended it before.
    pub fn close(&mut self, cause: CloseCause) {
        if self.closed.is_some() {
            return;
        }
        let cause = Arc::new(cause);
        self.closed = Some(Arc::clone(&cause));
        self.outbox.clear();
        self.keepalive.stop();
        let calls = self.calls.drain();
        let sent = calls.sent.into_iter().map(|c| (c, Delivery::MaybeExecuted));
        let waiting = calls.waiting.into_iter().map(|c| (c, Delivery::NotSent));
        for ((id, token), delivery) in sent.chain(waiting) {
            let cause = Arc::clone(&cause);
            let result = Err(CallFailure::ConnectionClosed { cause, delivery });
            self.outputs
                .push_back(Output::CallFinished { id, token, result });
        }
        for (serial, news) in self.streams.drain(&cause) {
            self.tell(serial, Some(news));
        }
    }

    /// What ended the session, if it has ended.
    #[must_use]
    pub fn close_cause(&self) -> Option<&Arc<CloseCause>> {
        self.closed.as_ref()
    }

    /// How many calls wait for a slot.
    #[must_use]
    pub fn waiting_calls(&self) -> usize {
        self.calls.waiting()
    }

    /// How many calls of one lane wait for a slot.
    #[must_use]
    pub fn waiting_calls_in(&self, lane: Lane) -> usize {
        self.calls.waiting_in(lane)
    }

    /// How many calls may be in flight when one of this lane is to be sent.
    #[must_use]
    pub fn places(&self, lane: Lane) -> usize {
        self.config.places(lane)
    }

    /// How many calls hold a slot: sent and not answered, cancelled ones included.
    #[must_use]
    pub fn calls_in_flight(&self) -> usize {
        self.calls.in_flight()
    }

    /// How many streams the session keeps track of.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// How many bytes wait inside the session, calls without a slot included. An owner that takes
    /// no new commands while this is high gives back-pressure to its callers.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.outbox.len()
            + self.keepalive.pending()
            + self.calls.waiting_bytes()
            + self.streams.outgoing_bytes()
    }

    /// Counts of what was received and not passed on.
    #[must_use]
    pub fn stats(&self) -> ClientStats {
        self.stats
    }
}

/// Data streams.
impl<T> ClientSession<T> {
    /// Takes what a stream has brought; `None` until the next [`Output::StreamReadable`].
    pub fn stream_read(&mut self, id: StreamId) -> Option<StreamItem> {
        self.streams.read(id.0)
    }

    /// Queues data for the daemon, cut into packets. That it was sent means nothing until the
    /// stream was finished and the daemon confirmed it.
    ///
    /// # Errors
    ///
    /// When the stream is not open, carries no data to the daemon, or there is no data.
    pub fn stream_send(&mut self, id: StreamId, data: Bytes) -> Result<(), StreamCommandError> {
        self.streams.send(id.0, data)
    }

    /// Queues a hole. Only streams that were opened as sparse may have any: a daemon closes the
    /// connection over a hole in another.
    ///
    /// # Errors
    ///
    /// When the stream is not open, carries no data to the daemon, or the hole is empty or beyond
    /// 63 bits.
    pub fn stream_send_hole(&mut self, id: StreamId, len: u64) -> Result<(), StreamCommandError> {
        self.streams.send_hole(id.0, len)
    }

    /// Finishes a stream after what was queued on it. The verdict comes as
    /// [`Output::StreamClosed`].
    ///
    /// # Errors
    ///
    /// When the stream is not open.
    pub fn stream_finish(&mut self, id: StreamId) -> Result<(), StreamCommandError> {
        self.streams.finish(id.0)
    }

    /// Aborts a stream and drops what was not sent and not read. The confirmation comes as
    /// [`Output::StreamClosed`].
    ///
    /// # Errors
    ///
    /// When the stream is not open. One that was finished has its verdict on the way.
    pub fn stream_abort(&mut self, id: StreamId) -> Result<(), StreamCommandError> {
        self.streams.abort(id.0)
    }

    /// How many bytes of a stream's packets wait to be sent.
    #[must_use]
    pub fn stream_unsent(&self, id: StreamId) -> usize {
        self.streams.unsent(id.0)
    }
}

/// What the driver calls.
impl<T> ClientSession<T> {
    /// Notes that bytes have arrived, be they a whole packet or not: a large packet on a slow line
    /// is a sign of life too.
    pub fn handle_bytes(&mut self, now: Instant) {
        self.keepalive.heard(now);
    }

    /// Takes a packet from the daemon.
    ///
    /// # Errors
    ///
    /// When the daemon broke the protocol. The session has then ended with this as its cause.
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

    /// Acts on the time, once [`poll_timeout`](Self::poll_timeout) has come. Memory that is not
    /// needed now is given back too.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.closed.is_some() || !self.may_be_heard() {
            return;
        }
        self.outbox.release();
        if let Err(silence) = self.keepalive.expire(now) {
            self.close(CloseCause::KeepaliveTimeout(silence));
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called; asked again after every other
    /// call.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.closed.is_some() || !self.may_be_heard() {
            return None;
        }
        self.keepalive.deadline()
    }

    /// Takes the next piece of what is to be written. Pieces are whole and in order; a packet may
    /// span two of them.
    ///
    /// Waiting calls get their slots here, so a driver that cannot write and does not ask leaves
    /// them where they can still be cancelled.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.poll_transmit_with(|_, _| true)
    }

    /// As [`poll_transmit`](Self::poll_transmit). `launch` is told of each call that is about to
    /// get its slot, with its serial, and says whether it is still wanted: if not, it is forgotten
    /// and was not sent.
    pub fn poll_transmit_with(
        &mut self,
        mut launch: impl FnMut(&mut T, Serial) -> bool,
    ) -> Option<Bytes> {
        if self.closed.is_some() {
            return None;
        }
        if self.outbox.len() == 0 {
            self.keepalive.transmit(&mut self.outbox);
            self.launch_calls(&mut launch);
            self.streams.transmit(&mut self.outbox, LOT);
        }
        self.outbox.take()
    }

    /// Takes the next thing that the session has for its owner.
    pub fn poll_output(&mut self) -> Option<Output<T>> {
        self.outputs.pop_front()
    }
}

impl<T> ClientSession<T> {
    fn launch_calls(&mut self, launch: &mut impl FnMut(&mut T, Serial) -> bool) {
        loop {
            let in_flight = self.calls.in_flight();
            let [urgent, ordinary] = [Lane::Urgent, Lane::Ordinary].map(|lane| {
                in_flight < self.config.places(lane) && self.calls.waiting_in(lane) > 0
            });
            if !urgent && !ordinary {
                return;
            }
            let serial = self.next_serial();
            let Some((mut packet, call)) = self.calls.launch(serial, ordinary, launch) else {
                return;
            };
            if call.stream.is_stream() {
                let route = (call.program, call.procedure);
                self.streams.opening(serial, route, call.stream);
            }
            patch_serial(&mut packet, serial);
            self.outbox.put_packet(packet);
        }
    }

    /// Whether the daemon has a place for another request, without which it does not read.
    fn may_be_heard(&self) -> bool {
        self.calls.in_flight() < self.config.max_client_requests
    }

    /// The next serial that no call and no stream holds.
    fn next_serial(&mut self) -> Serial {
        loop {
            self.last_serial = self.last_serial.next();
            if !self.calls.holds(self.last_serial) && !self.streams.holds(self.last_serial) {
                return self.last_serial;
            }
        }
    }

    fn dispatch(&mut self, frame: Frame) -> Result<(), ProtocolError> {
        if is_keepalive(&frame.header) {
            self.keepalive.packet(frame.header.procedure);
            return Ok(());
        }
        match frame.header.kind {
            MessageType::Reply => self.reply(frame),
            MessageType::Message => self.event(frame),
            MessageType::Stream | MessageType::StreamHole => self.stream_packet(&frame),
            // The carrier bytes of the descriptors would be taken for the next packet.
            MessageType::ReplyWithFds => Err(ProtocolError::UnexpectedFds { count: frame.fds }),
            kind @ (MessageType::Call | MessageType::CallWithFds) => {
                Err(ProtocolError::UnexpectedMessageType(kind))
            }
        }
    }

    fn reply(&mut self, frame: Frame) -> Result<(), ProtocolError> {
        let header = frame.header;
        let Some(call) = self.calls.land(&header) else {
            return self.unmatched_reply(&frame);
        };
        self.unmatched = 0;
        let result = read_reply(&call, frame);
        let news = self.settle_stream(header.serial, &call, result.is_ok());
        let stream = (result.is_ok() && call.stream.is_stream()).then_some(StreamId(header.serial));
        match call.token {
            Some(token) => self.outputs.push_back(Output::CallFinished {
                id: call.id,
                token,
                result: result.map(|payload| Reply { payload, stream }),
            }),
            None => self.stats.late_replies += 1,
        }
        self.tell(header.serial, news);
        Ok(())
    }

    /// Tells the stream of a call how the call went.
    fn settle_stream(
        &mut self,
        serial: Serial,
        call: &InFlight<T>,
        succeeded: bool,
    ) -> Option<StreamNews> {
        if !call.stream.is_stream() {
            return None;
        }
        match (succeeded, call.token.is_some()) {
            (true, true) => return self.streams.opened(serial),
            (true, false) => self.streams.discard(serial),
            (false, _) => self.streams.refused(serial),
        }
        None
    }

    /// A daemon answers a hole that it cannot store by a reply with the serial of the stream, so
    /// not every such reply is the fault of the daemon.
    fn unmatched_reply(&mut self, frame: &Frame) -> Result<(), ProtocolError> {
        let header = &frame.header;
        if header.status == Status::Error && self.streams.matches(header) {
            let news = self.streams.failed(header.serial, &frame.payload);
            self.tell(header.serial, news);
            return Ok(());
        }
        self.stats.unmatched_replies += 1;
        self.unmatched += 1;
        if self.unmatched > self.config.max_unmatched_replies {
            return Err(ProtocolError::UnmatchedReplies {
                count: self.unmatched,
            });
        }
        Ok(())
    }

    fn event(&mut self, frame: Frame) -> Result<(), ProtocolError> {
        let Header {
            program,
            procedure,
            status,
            ..
        } = frame.header;
        if !PROGRAMS.contains(&program) {
            return Err(ProtocolError::UnknownProgram(program));
        }
        if status == Status::Ok {
            self.outputs.push_back(Output::Event(EventPacket {
                program,
                procedure,
                payload: frame.payload,
            }));
        } else {
            self.stats.bad_events += 1;
        }
        Ok(())
    }

    fn stream_packet(&mut self, frame: &Frame) -> Result<(), ProtocolError> {
        if !self.streams.matches(&frame.header) {
            self.stats.stray_stream_packets += 1;
            return Ok(());
        }
        let news = self.streams.packet(frame)?;
        self.tell(frame.header.serial, news);
        Ok(())
    }

    fn tell(&mut self, serial: Serial, news: Option<StreamNews>) {
        let id = StreamId(serial);
        self.outputs.extend(news.map(|news| match news {
            StreamNews::Readable => Output::StreamReadable(id),
            StreamNews::Closed { outcome, unread } => Output::StreamClosed {
                id,
                outcome,
                unread,
            },
        }));
    }
}

fn read_reply<T>(call: &InFlight<T>, frame: Frame) -> Result<Bytes, CallFailure> {
    if frame.header.procedure != call.procedure {
        return Err(CallFailure::BadReply(ReplyError::WrongProcedure {
            expected: call.procedure,
            actual: frame.header.procedure,
        }));
    }
    match frame.header.status {
        Status::Ok => Ok(frame.payload),
        Status::Error => Err(match RemoteError::decode(&frame.payload) {
            Ok(error) => CallFailure::Remote(Box::new(error)),
            Err(error) => CallFailure::BadReply(ReplyError::UndecodableError(error)),
        }),
        status => Err(CallFailure::BadReply(ReplyError::UnexpectedStatus(status))),
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    #[test]
    fn serials_wrap_and_leave_out_those_that_are_alive() {
        let config = ClientConfig {
            max_in_flight: 3,
            ..ClientConfig::default()
        };
        let mut session = ClientSession::new(config, Instant::now());
        let call = |session: &mut ClientSession<()>| {
            let request = CallRequest::new::<remote::ConnectGetLibVersion>(&());
            session.call(request.unwrap(), ());
            let packet = BytesMut::from(session.poll_transmit().unwrap());
            u32::from_be_bytes(*packet[20..].first_chunk().unwrap())
        };
        assert_eq!(call(&mut session), 1);
        session.last_serial = Serial::new(u32::MAX - 1);
        assert_eq!(call(&mut session), u32::MAX);
        assert_eq!(call(&mut session), 2);
    }
}
