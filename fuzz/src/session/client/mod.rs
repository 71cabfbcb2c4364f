//! A client's session, and a daemon that does anything at all.

mod action;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes};
use virtwire_protocol::frame::{Frame, FrameDecoder, MAX_STREAM_CHUNK, PREFIX_LEN};
use virtwire_protocol::header::{Header, MessageType, Serial, Status};
use virtwire_protocol::procedure::{Event, Procedure, Program};
use virtwire_protocol::session::{
    CallFailure, CallId, CallRequest, ClientConfig, ClientSession, CloseCause, Delivery,
    KeepaliveConfig, Output, StreamId, StreamItem,
};
use virtwire_protocol::{admin, keepalive, remote};

use self::action::ZEROES;
pub use self::action::{Action, Call, Fault, Input};
use crate::budget::within;

/// The length of the hole packet's payload.
const HOLE_LEN: usize = 12;

/// What a stream item costs beyond its bytes, by the session's own count.
const ITEM_COST: usize = 64;

type Token = usize;

/// Every call and stream ends exactly once, nothing is left behind, and what is kept is bounded.
pub fn check(input: &Input<'_>) {
    let wanted: usize = input.actions.iter().map(Action::bytes).sum();
    within((256 << 10) + 8 * wanted, || {
        let mut model = Model::new(input);
        for action in &input.actions {
            model.apply(action);
            model.check();
        }
        model.end();
    });
}

/// What has to be true, kept beside the session.
struct Model {
    session: ClientSession<Token>,
    config: ClientConfig,
    decoder: FrameDecoder,
    /// What the client has written and the daemon has not looked at.
    written: FrameDecoder,
    now: Instant,
    ids: Vec<CallId>,
    /// Tokens that came back, by result or by cancelling.
    returned: BTreeSet<Token>,
    /// The calls that the daemon has seen.
    sent: Vec<Header>,
    /// Streams that the owner was told of, and whether they have ended.
    streams: BTreeMap<StreamId, bool>,
    /// Bytes that the owner asked to send, and that the session may send of its own accord.
    asked: usize,
    transmitted: usize,
}

impl Model {
    fn new(input: &Input<'_>) -> Self {
        let now = Instant::now();
        let mut config = ClientConfig::default();
        config.max_in_flight = input.max_in_flight.into();
        config.max_stream_buffer = input.max_stream_buffer.into();
        config.max_unmatched_replies = input.max_unmatched_replies.into();
        config.keepalive = input.keepalive.map(pings);
        Self {
            session: ClientSession::new(config, now),
            config,
            decoder: FrameDecoder::new(),
            written: FrameDecoder::new(),
            now,
            ids: Vec::new(),
            returned: BTreeSet::new(),
            sent: Vec::new(),
            streams: BTreeMap::new(),
            asked: 0,
            transmitted: 0,
        }
    }

    fn apply(&mut self, action: &Action<'_>) {
        match *action {
            Action::Call(call) => self.call(call),
            Action::Cancel(index) => {
                let id = pick(&self.ids, index);
                let token = id.and_then(|id| self.session.cancel(id));
                self.give_back(token);
            }
            Action::Retain(divisor) => self.retain(divisor.max(1).into()),
            Action::Transmit(pieces) => self.transmit(pieces),
            Action::Wait(milliseconds) => self.wait(milliseconds),
            Action::Keepalive(keepalive) => {
                self.session.set_keepalive(keepalive.map(pings), self.now);
            }
            Action::Close => self.session.close(CloseCause::EndOfFile),
            Action::Bytes(bytes) => self.receive_bytes(bytes.bytes()),
            Action::Answer { .. } | Action::Stream { .. } | Action::Packet { .. } => {
                if let Some((header, payload)) = self.packet(action) {
                    self.receive(Frame::new(header, Bytes::copy_from_slice(payload)));
                }
            }
            _ => self.apply_to_stream(action),
        }
    }

    fn call(&mut self, call: Call) {
        let request = match call {
            Call::Plain => request::<remote::ConnectGetLibVersion>(),
            Call::Urgent => request::<remote::DomainDestroy>(),
            Call::OtherProgram => request::<admin::ConnectGetLibVersion>(),
            Call::Download => request::<remote::StorageVolDownload>(),
            Call::Upload => request::<remote::StorageVolUpload>(),
            Call::Console => request::<remote::DomainOpenConsole>(),
        };
        self.asked += request.packet_len();
        let token = self.ids.len();
        self.ids.push(self.session.call(request, token));
    }

    /// A token that came back did so for the first time.
    fn give_back(&mut self, token: Option<Token>) {
        if let Some(token) = token {
            assert!(self.returned.insert(token), "call {token} ended twice");
        }
    }

    fn retain(&mut self, divisor: usize) {
        let mut dropped = Vec::new();
        let count = self.session.retain_waiting(|token| {
            let kept = token % divisor == 0;
            dropped.extend((!kept).then_some(*token));
            kept
        });
        assert_eq!(dropped.len(), count);
        dropped
            .into_iter()
            .for_each(|token| self.give_back(Some(token)));
    }

    /// Takes pieces, and has the daemon look at the packets in them.
    fn transmit(&mut self, pieces: u8) {
        for _ in 0..pieces {
            let Some(piece) = self.session.poll_transmit() else {
                break;
            };
            assert!(!piece.is_empty());
            self.transmitted += piece.len();
            self.written.buffer_mut().put_slice(&piece);
        }
        while let Some(frame) = self.written.next_frame().expect("a client sends packets") {
            assert_ne!(frame.header.kind, MessageType::Reply);
            if frame.header.kind == MessageType::Call {
                assert_ne!(frame.header.serial, Serial::new(0));
                self.sent.push(frame.header);
            }
        }
    }

    /// Lets time pass. A session that is asked in time has nothing more to do at that time.
    fn wait(&mut self, milliseconds: u16) {
        self.now += Duration::from_millis(milliseconds.into());
        let due = self.session.poll_timeout();
        if due.is_some_and(|due| due <= self.now) {
            self.asked += PREFIX_LEN;
            self.session.handle_timeout(self.now);
            let next = self.session.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now), "a busy loop");
        }
    }

    fn receive_bytes(&mut self, bytes: &[u8]) {
        self.decoder.buffer_mut().put_slice(bytes);
        self.session.handle_bytes(self.now);
        loop {
            match self.decoder.next_frame() {
                Ok(Some(frame)) => self.receive(frame),
                Ok(None) => return,
                Err(error) => return self.session.close(CloseCause::Frame(error)),
            }
        }
    }

    fn receive(&mut self, frame: Frame) {
        // One packet makes the session send a PONG or an abort, no more.
        self.asked += PREFIX_LEN;
        let refused = self.session.handle_frame(frame, self.now).is_err();
        assert!(!refused || self.session.close_cause().is_some());
    }

    /// The packet that a daemon sends here; `None` when there is no call to send it for.
    fn packet<'a>(&self, action: &Action<'a>) -> Option<(Header, &'a [u8])> {
        Some(match *action {
            Action::Answer {
                call,
                fault,
                payload,
            } => (fault.apply(pick(&self.sent, call)?), payload.bytes()),
            Action::Stream {
                call,
                hole,
                status,
                payload,
            } => {
                let kinds = [MessageType::Stream, MessageType::StreamHole];
                let header = Header {
                    kind: kinds[usize::from(hole)],
                    status: Status::from(i32::from(status % 3)),
                    ..pick(&self.sent, call)?
                };
                (header, payload.bytes())
            }
            Action::Packet {
                program,
                procedure,
                kind,
                serial,
                status,
                payload,
            } => {
                let header = Header {
                    program: any_program(program),
                    procedure: procedure.into(),
                    kind: MessageType::try_from(i32::from(kind % 7)).ok()?,
                    serial: Serial::new(serial.into()),
                    status: Status::from(i32::from(status)),
                };
                (header, payload.bytes())
            }
            _ => return None,
        })
    }

    fn apply_to_stream(&mut self, action: &Action<'_>) {
        let streams: Vec<_> = self.streams.keys().copied().collect();
        let stream = |index| pick(&streams, index);
        let session = &mut self.session;
        match *action {
            Action::Send(index, length) => {
                let length = length as usize % ZEROES.len();
                let data = Bytes::from_static(&ZEROES[..length]);
                let sent = stream(index).map(|id| session.stream_send(id, data));
                if sent.is_some_and(|sent| sent.is_ok()) {
                    self.asked += length + length.div_ceil(MAX_STREAM_CHUNK) * PREFIX_LEN;
                }
            }
            Action::SendHole(index, length) => {
                let sent = stream(index).map(|id| session.stream_send_hole(id, length));
                if sent.is_some_and(|sent| sent.is_ok()) {
                    self.asked += PREFIX_LEN + HOLE_LEN;
                }
            }
            Action::Finish(index) => {
                self.asked += PREFIX_LEN;
                let _ = stream(index).map(|id| session.stream_finish(id));
            }
            Action::Abort(index) => {
                self.asked += PREFIX_LEN;
                let _ = stream(index).map(|id| session.stream_abort(id));
            }
            Action::Read(index) => {
                let _ = stream(index).map(|id| session.stream_read(id));
            }
            _ => unreachable!("{action:?} is not for streams"),
        }
    }

    /// Looks at all that the session says, and at its numbers.
    fn check(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::CallFinished { id, token, result } => {
                    assert_eq!(self.ids.get(token).copied().unwrap_or(id), id);
                    self.give_back(Some(token));
                    if let Some(id) = result.ok().and_then(|reply| reply.stream) {
                        let ended = self.streams.insert(id, false).unwrap_or(true);
                        assert!(ended, "{id:?} was given twice");
                    }
                }
                Output::StreamClosed { id, unread, .. } => {
                    let ended = self.streams.insert(id, true);
                    assert_eq!(ended, Some(false), "{id:?} ended twice or never began");
                    let held = unread.iter().map(cost).sum::<usize>();
                    assert!(held <= self.config.max_stream_buffer);
                }
                Output::StreamReadable(id) => assert_eq!(self.streams.get(&id), Some(&false)),
                Output::Event(event) => assert_ne!(event.program, keepalive::PROGRAM),
                other => panic!("{other:?}"),
            }
        }
        let session = &self.session;
        assert!(session.calls_in_flight() <= self.config.max_in_flight.max(1));
        assert!(session.pending_bytes() + self.transmitted <= self.asked);
        let open = self.streams.values().filter(|ended| !**ended).count();
        assert!(session.close_cause().is_some() || session.streams() >= open);
    }

    /// Once the connection is gone, nothing is left of it.
    fn end(&mut self) {
        self.session.close(CloseCause::Requested);
        self.check();
        assert_eq!(self.returned.len(), self.ids.len(), "calls never ended");
        assert!(self.streams.values().all(|ended| *ended));
        let session = &mut self.session;
        assert_eq!((session.calls_in_flight(), session.waiting_calls()), (0, 0));
        assert_eq!((session.pending_bytes(), session.streams()), (0, 0));
        assert_eq!(
            (session.poll_transmit(), session.poll_timeout()),
            (None, None)
        );
        session.call(request::<remote::ConnectGetLibVersion>(), Token::MAX);
        let Some(Output::CallFinished { result, .. }) = session.poll_output() else {
            panic!("a call on a closed session ends at once");
        };
        let delivery = match result {
            Err(CallFailure::ConnectionClosed { delivery, .. }) => delivery,
            other => panic!("{other:?}"),
        };
        assert_eq!(delivery, Delivery::NotSent);
    }
}

fn request<P>() -> CallRequest
where
    P: Procedure,
    for<'a> P::Args<'a>: Default,
{
    CallRequest::new::<P>(&Default::default()).expect("nothing is too long")
}

fn pings((interval, count): (u16, u8)) -> KeepaliveConfig {
    KeepaliveConfig::new(Duration::from_millis(u64::from(interval) + 1), count.into())
}

fn any_program(index: u8) -> Program {
    let programs = [
        remote::PROGRAM,
        admin::PROGRAM,
        keepalive::Ping::PROGRAM,
        Program::new(index.into(), 1),
    ];
    programs[usize::from(index) % programs.len()]
}

fn pick<T: Copy>(from: &[T], index: u8) -> Option<T> {
    from.get(usize::from(index).checked_rem(from.len())?)
        .copied()
}

fn cost(item: &StreamItem) -> usize {
    match item {
        StreamItem::Data(bytes) => ITEM_COST + bytes.len(),
        _ => ITEM_COST,
    }
}
