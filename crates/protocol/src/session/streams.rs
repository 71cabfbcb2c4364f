//! Data streams: the state of each, by the serial of the call that opened it.
//!
//! The protocol has no credit for stream data, so what waits for a consumer is bounded here: past
//! the limit the stream is aborted, and the connection goes on.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use virtwire_xdr::{Decode, Reader};

use crate::frame::{Frame, MAX_STREAM_CHUNK, PREFIX_LEN, Redacted};
use crate::generated::net::StreamHole;
use crate::header::{Header, MessageType, Serial, Status};
use crate::procedure::{Program, StreamDirection};
use crate::remote_error::RemoteError;

use super::calls::BySerial;
use super::failure::{CloseCause, ProtocolError, StreamCommandError, StreamEnd, StreamFailure};
use super::outbox::Outbox;

/// The payload of a packet that stands for a hole: its length and flags.
const HOLE_LEN: usize = 12;

/// What an item costs against the limit beyond its bytes, so that a flood of tiny items is bounded
/// as well.
const ITEM_COST: usize = 64;

/// Names an open data stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(super) Serial);

/// What a stream brings, in order.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamItem {
    /// Bytes.
    Data(Bytes),
    /// A hole of this many bytes that read as zero.
    Hole(u64),
    /// The daemon has no more to send. An open stream still has to be finished.
    Eof,
}

/// News of a stream.
#[derive(Debug)]
pub(super) enum StreamNews {
    Readable,
    Closed {
        outcome: Result<StreamEnd, StreamFailure>,
        unread: VecDeque<StreamItem>,
    },
}

/// All streams of a connection, and their packets that wait to be sent.
#[derive(Debug)]
pub(super) struct Streams {
    limit: usize,
    by_serial: BySerial<Stream>,
    outgoing: VecDeque<Outgoing>,
    outgoing_bytes: usize,
}

#[derive(Debug)]
struct Stream {
    program: Program,
    procedure: i32,
    direction: StreamDirection,
    phase: Phase,
    inbound: VecDeque<StreamItem>,
    /// The cost of what is in `inbound`.
    held: usize,
    eof: bool,
    /// Bytes of this stream's packets that wait to be sent.
    unsent: usize,
}

#[derive(Debug)]
enum Phase {
    /// The call was sent. Data may come before its reply; then it waits here. So does the failure
    /// of a stream that ends before it began.
    Opening { failed: Option<StreamFailure> },
    /// Both sides may send.
    Open,
    /// This side has finished and waits for the verdict.
    Finishing,
    /// This side has aborted and waits for the confirmation.
    Aborting,
    /// As `Aborting`, but the owner has been told already.
    Discarded,
}

#[derive(Debug)]
struct Outgoing {
    serial: Serial,
    body: Body,
}

enum Body {
    Data(Bytes),
    Hole(i64),
    Finish,
    Abort,
}

impl Streams {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            by_serial: BySerial::default(),
            outgoing: VecDeque::new(),
            outgoing_bytes: 0,
        }
    }

    /// Streams that hold a serial, in any phase.
    pub(super) fn len(&self) -> usize {
        self.by_serial.len()
    }

    /// Whether a stream has this serial.
    pub(super) fn holds(&self, serial: Serial) -> bool {
        self.by_serial.contains_key(&serial)
    }

    /// Bytes that wait to be sent.
    pub(super) fn outgoing_bytes(&self) -> usize {
        self.outgoing_bytes
    }

    /// Registers the stream of a call that is about to be sent (protocol.md: before, because data
    /// can overtake the reply).
    pub(super) fn opening(
        &mut self,
        serial: Serial,
        (program, procedure): (Program, i32),
        direction: StreamDirection,
    ) {
        let stream = Stream {
            program,
            procedure,
            direction,
            phase: Phase::Opening { failed: None },
            inbound: VecDeque::new(),
            held: 0,
            eof: false,
            unsent: 0,
        };
        self.by_serial.insert(serial, stream);
    }

    /// Forgets the stream of a call that failed.
    pub(super) fn refused(&mut self, serial: Serial) {
        self.by_serial.remove(&serial);
    }

    /// Opens the stream of a call that succeeded; says what has happened on it already.
    pub(super) fn opened(&mut self, serial: Serial) -> Option<StreamNews> {
        let stream = self.by_serial.get_mut(&serial)?;
        let Phase::Opening { failed } = std::mem::replace(&mut stream.phase, Phase::Open) else {
            return None;
        };
        match failed {
            Some(failure) if failure.is_ours() => self.give_up(serial, failure),
            Some(failure) => self.close(serial, Err(failure)),
            None => (!stream.inbound.is_empty()).then_some(StreamNews::Readable),
        }
    }

    /// Aborts the stream of a call that succeeded after nobody wanted it any more.
    pub(super) fn discard(&mut self, serial: Serial) {
        let Some(stream) = self.by_serial.get_mut(&serial) else {
            return;
        };
        if stream.is_forgotten() {
            // The daemon would not answer the abort.
            self.by_serial.remove(&serial);
            return;
        }
        stream.phase = Phase::Discarded;
        stream.empty();
        self.push(serial, Body::Abort);
    }

    /// Takes a packet of a stream. `Ok(None)` when nobody needs to know.
    pub(super) fn packet(&mut self, frame: &Frame) -> Result<Option<StreamNews>, ProtocolError> {
        let header = &frame.header;
        let serial = header.serial;
        let Some(stream) = self.find(header) else {
            return Ok(None);
        };
        match header.status {
            Status::Continue if !stream.accepts() => Ok(None),
            Status::Continue => match StreamItem::read(frame) {
                Some(item) => Ok(self.store(serial, item)),
                None => Ok(self.give_up(serial, StreamFailure::BadHole)),
            },
            Status::Ok => match stream.phase {
                Phase::Finishing => Ok(self.close(serial, Ok(StreamEnd::Finished))),
                Phase::Aborting => Ok(self.close(serial, Ok(StreamEnd::Aborted))),
                Phase::Discarded => {
                    self.remove(serial);
                    Ok(None)
                }
                _ => Err(ProtocolError::UnexpectedStreamEnd(serial)),
            },
            Status::Error => Ok(self.failed(serial, &frame.payload)),
            status => Err(ProtocolError::UnknownStreamStatus { serial, status }),
        }
    }

    /// Whether a packet with this header belongs to a stream.
    pub(super) fn matches(&self, header: &Header) -> bool {
        self.by_serial
            .get(&header.serial)
            .is_some_and(|stream| stream.matches(header))
    }

    /// Ends a stream because the daemon says so. The daemon has forgotten it already, so a finish
    /// or abort that is on its way will not be answered: this is the answer.
    pub(super) fn failed(&mut self, serial: Serial, payload: &[u8]) -> Option<StreamNews> {
        let failure = match RemoteError::decode(payload) {
            Ok(error) => StreamFailure::Remote(Box::new(error)),
            Err(error) => StreamFailure::UndecodableError(error),
        };
        match &mut self.by_serial.get_mut(&serial)?.phase {
            Phase::Opening { failed } => {
                failed.get_or_insert(failure);
                None
            }
            Phase::Discarded => {
                self.remove(serial);
                None
            }
            _ => self.close(serial, Err(failure)),
        }
    }

    /// Takes the next item that waits for the consumer.
    pub(super) fn read(&mut self, serial: Serial) -> Option<StreamItem> {
        let stream = self.by_serial.get_mut(&serial)?;
        if matches!(stream.phase, Phase::Opening { .. }) {
            return None;
        }
        let item = stream.inbound.pop_front()?;
        stream.held -= item.cost();
        Some(item)
    }

    /// Queues data, in chunks as libvirt makes them.
    pub(super) fn send(
        &mut self,
        serial: Serial,
        mut data: Bytes,
    ) -> Result<(), StreamCommandError> {
        self.writable(serial)?;
        if data.is_empty() {
            return Err(StreamCommandError::Empty);
        }
        while !data.is_empty() {
            let chunk = data.split_to(data.len().min(MAX_STREAM_CHUNK));
            self.push(serial, Body::Data(chunk));
        }
        Ok(())
    }

    /// Queues a hole.
    pub(super) fn send_hole(&mut self, serial: Serial, len: u64) -> Result<(), StreamCommandError> {
        self.writable(serial)?;
        match i64::try_from(len) {
            Ok(len) if len > 0 => {
                self.push(serial, Body::Hole(len));
                Ok(())
            }
            _ => Err(StreamCommandError::Empty),
        }
    }

    /// Queues the finish, after the data.
    pub(super) fn finish(&mut self, serial: Serial) -> Result<(), StreamCommandError> {
        let stream = self.open(serial)?;
        stream.phase = Phase::Finishing;
        self.push(serial, Body::Finish);
        Ok(())
    }

    /// Queues the abort, in place of data that was not sent. After a finish there is nothing to
    /// abort: its verdict is on the way.
    pub(super) fn abort(&mut self, serial: Serial) -> Result<(), StreamCommandError> {
        let stream = self.open(serial)?;
        stream.phase = Phase::Aborting;
        stream.empty();
        self.push(serial, Body::Abort);
        Ok(())
    }

    /// Bytes of one stream that wait to be sent.
    pub(super) fn unsent(&self, serial: Serial) -> usize {
        self.by_serial
            .get(&serial)
            .map_or(0, |stream| stream.unsent)
    }

    /// Moves queued packets to the outbox until that holds `budget` bytes.
    pub(super) fn transmit(&mut self, outbox: &mut Outbox, budget: usize) {
        while outbox.len() < budget {
            let Some(packet) = self.outgoing.pop_front() else {
                return;
            };
            let cost = packet.body.len();
            self.outgoing_bytes -= cost;
            let Some(stream) = self.by_serial.get_mut(&packet.serial) else {
                continue;
            };
            stream.unsent -= cost;
            packet.write(stream, outbox);
        }
    }

    /// Ends every stream that its owner knows of, by serial.
    pub(super) fn drain(&mut self, cause: &Arc<CloseCause>) -> Vec<(Serial, StreamNews)> {
        self.outgoing.clear();
        self.outgoing_bytes = 0;
        let mut streams: Vec<_> = self.by_serial.drain().collect();
        streams.sort_unstable_by_key(|(serial, _)| *serial);
        let known = streams.into_iter().filter(|(_, stream)| stream.is_known());
        let failure = || StreamFailure::ConnectionClosed {
            cause: Arc::clone(cause),
        };
        known
            .map(|(serial, stream)| (serial, stream.into_news(Err(failure()))))
            .collect()
    }

    fn find(&self, header: &Header) -> Option<&Stream> {
        self.by_serial
            .get(&header.serial)
            .filter(|stream| stream.matches(header))
    }

    fn open(&mut self, serial: Serial) -> Result<&mut Stream, StreamCommandError> {
        self.by_serial
            .get_mut(&serial)
            .filter(|stream| matches!(stream.phase, Phase::Open))
            .ok_or(StreamCommandError::NotOpen)
    }

    fn writable(&mut self, serial: Serial) -> Result<(), StreamCommandError> {
        if self.open(serial)?.direction.uploads() {
            Ok(())
        } else {
            Err(StreamCommandError::NotWritable)
        }
    }

    /// Keeps an item for the consumer, within the limit.
    fn store(&mut self, serial: Serial, item: StreamItem) -> Option<StreamNews> {
        let limit = self.limit;
        let stream = self.by_serial.get_mut(&serial)?;
        if stream.held.saturating_add(item.cost()) > limit {
            return self.give_up(serial, StreamFailure::Overflow { limit });
        }
        let first = stream.inbound.is_empty();
        stream.keep(item);
        let announced = !matches!(stream.phase, Phase::Opening { .. });
        (first && announced).then_some(StreamNews::Readable)
    }

    /// Fails a stream on this side's account: the owner learns it now, the daemon by an abort.
    fn give_up(&mut self, serial: Serial, failure: StreamFailure) -> Option<StreamNews> {
        let stream = self.by_serial.get_mut(&serial)?;
        if let Phase::Opening { failed } = &mut stream.phase {
            failed.get_or_insert(failure);
            return None;
        }
        // A finish is answered all the same; that answer then stands for the abort's.
        let answered = matches!(stream.phase, Phase::Finishing);
        stream.phase = Phase::Discarded;
        let unread = std::mem::take(&mut stream.inbound);
        stream.held = 0;
        if !answered {
            self.push(serial, Body::Abort);
        }
        Some(StreamNews::Closed {
            outcome: Err(failure),
            unread,
        })
    }

    fn close(
        &mut self,
        serial: Serial,
        outcome: Result<StreamEnd, StreamFailure>,
    ) -> Option<StreamNews> {
        Some(self.remove(serial)?.into_news(outcome))
    }

    fn remove(&mut self, serial: Serial) -> Option<Stream> {
        let stream = self.by_serial.remove(&serial)?;
        self.purge(serial);
        Some(stream)
    }

    /// Drops the packets of a stream that were not sent.
    fn purge(&mut self, serial: Serial) {
        self.outgoing.retain(|packet| {
            let kept = packet.serial != serial;
            if !kept {
                self.outgoing_bytes -= packet.body.len();
            }
            kept
        });
        if let Some(stream) = self.by_serial.get_mut(&serial) {
            stream.unsent = 0;
        }
    }

    fn push(&mut self, serial: Serial, body: Body) {
        if matches!(body, Body::Abort) {
            self.purge(serial);
        }
        let Some(stream) = self.by_serial.get_mut(&serial) else {
            return;
        };
        stream.unsent += body.len();
        self.outgoing_bytes += body.len();
        self.outgoing.push_back(Outgoing { serial, body });
    }
}

impl Stream {
    fn matches(&self, header: &Header) -> bool {
        self.program == header.program && self.procedure == header.procedure
    }

    /// Whether data is of interest still.
    fn accepts(&self) -> bool {
        let interested = match &self.phase {
            Phase::Opening { failed } => failed.is_none(),
            Phase::Open | Phase::Finishing => true,
            Phase::Aborting | Phase::Discarded => false,
        };
        interested && !self.eof
    }

    /// Whether the daemon has failed the stream before it was open.
    fn is_forgotten(&self) -> bool {
        match &self.phase {
            Phase::Opening { failed } => failed.as_ref().is_some_and(|why| !why.is_ours()),
            _ => false,
        }
    }

    /// Whether the owner knows of the stream and waits for its end.
    fn is_known(&self) -> bool {
        !matches!(self.phase, Phase::Opening { .. } | Phase::Discarded)
    }

    fn keep(&mut self, item: StreamItem) {
        if let (StreamItem::Hole(more), Some(StreamItem::Hole(hole))) =
            (&item, self.inbound.back_mut())
        {
            if let Some(sum) = hole.checked_add(*more) {
                *hole = sum;
                return;
            }
        }
        self.eof = item == StreamItem::Eof;
        self.held += item.cost();
        self.inbound.push_back(item);
    }

    fn empty(&mut self) {
        self.inbound.clear();
        self.held = 0;
    }

    fn into_news(self, outcome: Result<StreamEnd, StreamFailure>) -> StreamNews {
        StreamNews::Closed {
            outcome,
            unread: self.inbound,
        }
    }
}

impl fmt::Debug for StreamItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(bytes) => f.debug_tuple("Data").field(&Redacted(bytes)).finish(),
            Self::Hole(length) => f.debug_tuple("Hole").field(length).finish(),
            Self::Eof => f.write_str("Eof"),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Data(_) => "Data",
            Self::Hole(_) => "Hole",
            Self::Finish => "Finish",
            Self::Abort => "Abort",
        })
    }
}

impl StreamItem {
    /// What a packet with status CONTINUE brings; `None` for a hole that makes no sense.
    pub(super) fn read(frame: &Frame) -> Option<Self> {
        if frame.header.kind != MessageType::StreamHole {
            return Some(if frame.payload.is_empty() {
                Self::Eof
            } else {
                Self::Data(frame.payload.clone())
            });
        }
        let hole = StreamHole::decode(&mut Reader::new(&frame.payload)).ok()?;
        match u64::try_from(hole.length) {
            Ok(length) if length > 0 && hole.flags == 0 => Some(Self::Hole(length)),
            _ => None,
        }
    }

    fn cost(&self) -> usize {
        ITEM_COST
            + match self {
                Self::Data(bytes) => bytes.len(),
                Self::Hole(_) | Self::Eof => 0,
            }
    }
}

impl StreamFailure {
    /// Whether this side failed the stream, so that the daemon has to be told.
    fn is_ours(&self) -> bool {
        matches!(self, Self::Overflow { .. } | Self::BadHole)
    }
}

impl Outgoing {
    fn write(self, stream: &Stream, outbox: &mut Outbox) {
        let (kind, status) = match self.body {
            Body::Data(_) => (MessageType::Stream, Status::Continue),
            Body::Hole(_) => (MessageType::StreamHole, Status::Continue),
            Body::Finish => (MessageType::Stream, Status::Ok),
            Body::Abort => (MessageType::Stream, Status::Error),
        };
        let header = Header {
            program: stream.program,
            procedure: stream.procedure,
            kind,
            serial: self.serial,
            status,
        };
        // A chunk is never longer than a packet may be.
        let _ = outbox.put_frame(&header, self.body.into_payload());
    }
}

impl Body {
    fn len(&self) -> usize {
        PREFIX_LEN
            + match self {
                Self::Data(bytes) => bytes.len(),
                Self::Hole(_) => HOLE_LEN,
                Self::Finish | Self::Abort => 0,
            }
    }

    fn into_payload(self) -> Bytes {
        match self {
            Self::Data(bytes) => bytes,
            Self::Hole(length) => hole_payload(length),
            Self::Finish | Self::Abort => Bytes::new(),
        }
    }
}

/// The payload of a packet that stands for a hole.
pub(super) fn hole_payload(length: i64) -> Bytes {
    let mut payload = BytesMut::with_capacity(HOLE_LEN);
    payload.put_i64(length);
    payload.put_u32(0);
    payload.freeze()
}
