//! A client's and a daemon's session that both behave, and a network between them.

mod action;
mod tape;

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use virtwire_protocol::constants::{ErrorCode, ErrorDomain};
use virtwire_protocol::frame::{FrameDecoder, MAX_STREAM_CHUNK};
use virtwire_protocol::generated::schema::PROCEDURES;
use virtwire_protocol::procedure::Procedure;
use virtwire_protocol::session::{
    CallFailure, CallId, CallRequest, ClientConfig, ClientSession, Output, Reply, Request, Route,
    ServerConfig, ServerOutput, ServerSession, StreamBody, StreamEnd, StreamFailure, StreamId,
    StreamItem, StreamPacket,
};
use virtwire_protocol::{RemoteError, remote};

pub use self::action::{Action, Call, Input};
use self::tape::{Segment, Tape};

/// The most bytes that one action sends on a stream: more than fit into a packet.
const MAX_DATA: usize = MAX_STREAM_CHUNK + 100;

type Token = u32;

/// Every call gets the answer that was meant for it, and every stream the bytes that were sent.
pub fn check(input: &Input) {
    let mut model = Model::new();
    for action in &input.actions {
        model.apply(*action);
        model.check();
    }
    model.settle();
    model.assert_over();
}

/// What has to be true, kept beside the sessions.
struct Model {
    client: ClientSession<Token>,
    server: ServerSession,
    /// What is on its way.
    to_daemon: BytesMut,
    to_client: BytesMut,
    daemon_reads: FrameDecoder,
    client_reads: FrameDecoder,
    now: Instant,
    calls: Vec<(CallId, Progress)>,
    /// The calls that the daemon works on.
    requests: Vec<(Token, Request)>,
    streams: BTreeMap<Token, Stream>,
    /// Events that were sent and have not come.
    events: VecDeque<i32>,
}

/// How far a call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Made,
    Answered(bool),
    Ended,
    Cancelled,
}

/// A stream, as both ends know it.
struct Stream {
    /// Where the daemon sends; `None` once it has forgotten the stream.
    route: Option<Route>,
    /// By what the client calls it, from the answer until the end.
    id: Option<StreamId>,
    down: Tape,
    up: Tape,
    /// Whether the daemon has said that it has no more.
    eof: bool,
    failed: bool,
    aborted: bool,
}

impl Model {
    fn new() -> Self {
        let now = Instant::now();
        let mut config = ClientConfig::default();
        // Nothing is ever too much here; what happens then is for the target `client_session`.
        config.max_stream_buffer = usize::MAX;
        Self {
            client: ClientSession::new(config, now),
            server: ServerSession::new(ServerConfig::default(), now),
            to_daemon: BytesMut::new(),
            to_client: BytesMut::new(),
            daemon_reads: FrameDecoder::new(),
            client_reads: FrameDecoder::new(),
            now,
            calls: Vec::new(),
            requests: Vec::new(),
            streams: BTreeMap::new(),
            events: VecDeque::new(),
        }
    }

    fn apply(&mut self, action: Action) {
        match action {
            Action::Call(call) => self.call(call),
            Action::Cancel(index) => self.cancel(index),
            Action::ToDaemon(bytes) => self.carry_to_daemon(bytes.into()),
            Action::ToClient(bytes) => self.carry_to_client(bytes.into()),
            Action::Answer(index, well) => {
                let count = self.requests.len();
                if let Some(index) = usize::from(index).checked_rem(count) {
                    let (token, request) = self.requests.remove(index);
                    self.answer(token, &request, well);
                }
            }
            Action::Event => {
                let number = i32::try_from(self.events.len()).expect("few events");
                let msg = remote::DomainEventCallbackLifecycleMsg {
                    callback_id: number,
                    ..Default::default()
                };
                let sent = self
                    .server
                    .event::<remote::DomainEventCallbackLifecycle>(&msg);
                assert_eq!(sent, Ok(()));
                self.events.push_back(number);
            }
            Action::Data(index, _) | Action::Hole(index, _) | Action::Eof(index) => {
                self.daemon_sends(index, action);
            }
            Action::Fail(index) => self.daemon_fails(index),
            _ => self.client_sends(action),
        }
    }

    fn call(&mut self, call: Call) {
        let token = Token::try_from(self.calls.len()).expect("few calls");
        let request = match call {
            Call::Plain => request::<remote::ConnectGetLibVersion>(token),
            Call::Urgent => request::<remote::DomainDestroy>(token),
            Call::Download => request::<remote::StorageVolDownload>(token),
            Call::Upload => request::<remote::StorageVolUpload>(token),
            Call::Console => request::<remote::DomainOpenConsole>(token),
        };
        let id = self.client.call(request, token);
        self.calls.push((id, Progress::Made));
    }

    fn cancel(&mut self, index: u8) {
        let Some(index) = usize::from(index).checked_rem(self.calls.len()) else {
            return;
        };
        let (id, progress) = self.calls[index];
        let token = self.client.cancel(id);
        let alive = matches!(progress, Progress::Made | Progress::Answered(_));
        assert_eq!(token.is_some(), alive, "{progress:?}");
        if let Some(token) = token {
            assert_eq!(token as usize, index);
            self.calls[index].1 = Progress::Cancelled;
        }
    }

    fn carry_to_daemon(&mut self, bytes: usize) {
        while self.to_daemon.len() < bytes {
            let Some(piece) = self.client.poll_transmit() else {
                break;
            };
            self.to_daemon.put_slice(&piece);
        }
        let carried = self.to_daemon.split_to(bytes.min(self.to_daemon.len()));
        self.daemon_reads.buffer_mut().put_slice(&carried);
        while self.server.wants_read() {
            let frame = self
                .daemon_reads
                .next_frame()
                .expect("a client sends packets");
            let Some(frame) = frame else {
                break;
            };
            let taken = self.server.handle_frame(frame, self.now);
            assert_eq!(taken, Ok(()));
            while let Some(output) = self.server.poll_output() {
                match output {
                    ServerOutput::Request(request) => self.requested(request),
                    ServerOutput::Stream(packet) => self.daemon_hears(packet),
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    fn requested(&mut self, request: Request) {
        let token = request.payload.as_ref().get_u32();
        let number = request.route.procedure;
        let is_it = |p: &&virtwire_protocol::schema::ProcedureSchema| {
            (p.id, p.number) == (request.route.program, number)
        };
        let schema = PROCEDURES
            .iter()
            .find(is_it)
            .expect("only those are called");
        if schema.stream.is_stream() {
            let stream = Stream {
                route: Some(request.route),
                id: None,
                down: Tape::new(token),
                up: Tape::new(token),
                eof: false,
                failed: false,
                aborted: false,
            };
            assert!(self.streams.insert(token, stream).is_none());
        }
        self.requests.push((token, request));
    }

    fn answer(&mut self, token: Token, request: &Request, well: bool) {
        let route = request.route;
        let sent = if well {
            self.server.reply_with(route, |writer| {
                writer.u32(!token);
                Ok(())
            })
        } else {
            self.server.reply_error(route, &refusal(token))
        };
        assert_eq!(sent, Ok(()));
        if !well {
            self.streams.remove(&token);
        }
        let (_, progress) = &mut self.calls[token as usize];
        assert!(!matches!(progress, Progress::Answered(_) | Progress::Ended));
        if *progress == Progress::Made {
            *progress = Progress::Answered(well);
        }
    }

    fn carry_to_client(&mut self, bytes: usize) {
        while self.to_client.len() < bytes {
            let Some(piece) = self.server.poll_transmit() else {
                break;
            };
            self.to_client.put_slice(&piece);
        }
        let carried = self.to_client.split_to(bytes.min(self.to_client.len()));
        self.client_reads.buffer_mut().put_slice(&carried);
        while let Some(frame) = self
            .client_reads
            .next_frame()
            .expect("a daemon sends packets")
        {
            let taken = self.client.handle_frame(frame, self.now);
            assert_eq!(taken, Ok(()));
            self.check();
        }
    }

    /// The daemon's end of a stream that it has not forgotten.
    fn served(&mut self, index: u8) -> Option<(&mut Stream, Route)> {
        let served = self.streams.values_mut().filter(|s| s.route.is_some());
        let mut served: Vec<_> = served.collect();
        let index = usize::from(index).checked_rem(served.len())?;
        let stream = served.swap_remove(index);
        let route = stream.route?;
        Some((stream, route))
    }

    fn daemon_sends(&mut self, index: u8, action: Action) {
        let Some((stream, route)) = self.served(index) else {
            return;
        };
        if stream.eof {
            return;
        }
        match action {
            Action::Data(_, length) if length > 0 => {
                let data = stream.down.record(length as usize % MAX_STREAM_CHUNK + 1);
                assert_eq!(self.server.stream_data(route, data), Ok(()));
            }
            Action::Hole(_, length) if length > 0 => {
                stream.down.push(Segment::Hole(length.into()));
                self.server.stream_hole(route, length.into());
            }
            Action::Eof(_) => {
                stream.eof = true;
                assert_eq!(self.server.stream_data(route, Bytes::new()), Ok(()));
            }
            _ => {}
        }
    }

    fn daemon_fails(&mut self, index: u8) {
        let Some((stream, route)) = self.served(index) else {
            return;
        };
        stream.route = None;
        stream.failed = true;
        let sent = self.server.stream_error(route, &refusal(0));
        assert_eq!(sent, Ok(()));
    }

    fn daemon_hears(&mut self, packet: StreamPacket) {
        self.server.stream_consumed(1);
        let mut streams = self.streams.values_mut();
        let Some(stream) = streams.find(|s| s.route == Some(packet.route)) else {
            // As a daemon does with what comes for a stream that it has failed.
            return;
        };
        match packet.body {
            StreamBody::Data(data) => stream.up.play(StreamItem::Data(data)),
            StreamBody::Hole(length) => {
                let length = length.try_into().expect("a client sends no other");
                stream.up.play(StreamItem::Hole(length));
            }
            StreamBody::Finish => {
                assert!(stream.up.is_over(), "the finish came before the data");
                stream.route = None;
                self.server.stream_confirm(packet.route);
            }
            StreamBody::Abort => {
                stream.route = None;
                self.server.stream_confirm(packet.route);
            }
            other => panic!("{other:?}"),
        }
    }

    fn client_sends(&mut self, action: Action) {
        let (Action::Send(index, _)
        | Action::SendHole(index, _)
        | Action::Finish(index)
        | Action::Abort(index)
        | Action::Read(index)) = action
        else {
            unreachable!("{action:?} is not the client's");
        };
        let open = self.streams.values_mut().filter(|s| s.id.is_some());
        let mut open: Vec<_> = open.collect();
        let Some(index) = usize::from(index).checked_rem(open.len()) else {
            return;
        };
        let stream = open.swap_remove(index);
        let Some(id) = stream.id else {
            return;
        };
        match action {
            Action::Send(_, length) => {
                // What is refused must not be on the tape.
                let mut tape = stream.up.clone();
                let data = tape.record(length as usize % MAX_DATA + 1);
                if self.client.stream_send(id, data).is_ok() {
                    stream.up = tape;
                }
            }
            Action::SendHole(_, length) => {
                if self.client.stream_send_hole(id, length.into()).is_ok() {
                    stream.up.push(Segment::Hole(length.into()));
                }
            }
            Action::Finish(_) => drop(self.client.stream_finish(id)),
            Action::Abort(_) => stream.aborted |= self.client.stream_abort(id).is_ok(),
            _ => {
                if let Some(item) = self.client.stream_read(id) {
                    stream.down.play(item);
                }
            }
        }
    }

    /// Looks at all that the client's session says.
    fn check(&mut self) {
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::CallFinished { id, token, result } => self.ended(id, token, result),
                Output::Event(event) => {
                    let msg = event.message::<remote::DomainEventCallbackLifecycle>();
                    let number = msg.expect("as it was sent").callback_id;
                    assert_eq!(self.events.pop_front(), Some(number));
                }
                Output::StreamReadable(id) => {
                    assert!(self.streams.values().any(|stream| stream.id == Some(id)));
                }
                Output::StreamClosed {
                    id,
                    outcome,
                    unread,
                } => {
                    let mut streams = self.streams.values_mut();
                    let stream = streams.find(|stream| stream.id == Some(id));
                    stream.expect("streams end once").end(outcome, unread);
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(self.client.calls_in_flight() <= 4);
        assert!(self.server.requests_in_progress() <= 5);
    }

    fn ended(&mut self, id: CallId, token: Token, result: Result<Reply, CallFailure>) {
        let call = &mut self.calls[token as usize];
        let meant = std::mem::replace(&mut call.1, Progress::Ended);
        assert_eq!(call.0, id);
        match result {
            Ok(reply) => {
                assert_eq!(meant, Progress::Answered(true));
                assert_eq!(reply.payload, (!token).to_be_bytes().as_slice());
                if let Some(stream) = self.streams.get_mut(&token) {
                    stream.id = reply.stream;
                }
            }
            Err(CallFailure::Remote(error)) => {
                assert_eq!(meant, Progress::Answered(false));
                assert_eq!(*error, refusal(token));
            }
            Err(other) => panic!("{other:?}"),
        }
    }

    /// Lets both sides finish what they are at, and then the client end every stream.
    fn settle(&mut self) {
        self.carry_all();
        while let Some((token, request)) = self.requests.pop() {
            self.answer(token, &request, true);
            self.carry_all();
        }
        let ids: Vec<_> = self
            .streams
            .values()
            .filter_map(|stream| stream.id)
            .collect();
        for id in ids {
            // One that was finished or aborted before has its end on the way.
            let _ = self.client.stream_finish(id);
        }
        self.carry_all();
    }

    fn carry_all(&mut self) {
        loop {
            self.carry_to_daemon(usize::MAX);
            self.carry_to_client(usize::MAX);
            self.check();
            let daemon_idle = self.server.pending_bytes() == 0;
            if daemon_idle && (self.client.pending_bytes() == 0 || !self.requests.is_empty()) {
                return;
            }
        }
    }

    fn assert_over(&self) {
        assert!(self.client.close_cause().is_none());
        let ended = |progress| matches!(progress, Progress::Ended | Progress::Cancelled);
        assert!(self.calls.iter().all(|(_, progress)| ended(*progress)));
        assert!(self.streams.values().all(|stream| stream.id.is_none()));
        assert_eq!(
            (self.client.calls_in_flight(), self.client.waiting_calls()),
            (0, 0)
        );
        assert_eq!((self.client.pending_bytes(), self.client.streams()), (0, 0));
        assert_eq!(self.server.requests_in_progress(), 0);
        assert!(self.events.is_empty());
    }
}

impl Stream {
    fn end(&mut self, outcome: Result<StreamEnd, StreamFailure>, unread: VecDeque<StreamItem>) {
        self.id = None;
        unread.into_iter().for_each(|item| self.down.play(item));
        match outcome {
            Ok(StreamEnd::Finished) => {
                assert!(!self.aborted && self.route.is_none());
                assert!(self.up.is_over() && self.down.is_over());
            }
            Ok(StreamEnd::Aborted) => assert!(self.aborted),
            Err(StreamFailure::Remote(error)) => {
                assert!(self.failed);
                assert_eq!(*error, refusal(0));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A call whose arguments are its token.
fn request<P: Procedure>(token: Token) -> CallRequest {
    let is_it = |p: &&virtwire_protocol::schema::ProcedureSchema| {
        (p.id, p.number) == (P::PROGRAM, P::NUMBER)
    };
    let schema = PROCEDURES
        .iter()
        .find(is_it)
        .expect("every procedure has a schema");
    let request = CallRequest::from_schema(schema, |writer| {
        writer.u32(token);
        Ok(())
    });
    request.expect("nothing is too long")
}

fn refusal(token: Token) -> RemoteError {
    RemoteError::new(
        ErrorCode::NO_DOMAIN,
        ErrorDomain::RPC,
        format!("no {token}"),
    )
}
