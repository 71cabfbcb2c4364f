//! A daemon's session, and a client that sends anything at all.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use bytes::{BufMut, Bytes};
use virtwire_protocol::constants::{ErrorCode, ErrorDomain};
use virtwire_protocol::frame::{Frame, FrameDecoder};
use virtwire_protocol::header::MessageType;
use virtwire_protocol::session::{
    CloseCause, KeepaliveConfig, Route, ServerConfig, ServerOutput, ServerSession, StreamBody,
};
use virtwire_protocol::{RemoteError, keepalive, remote};

use crate::budget::within;
use crate::dice::Dice;

/// What a client sends, and what decides all else.
#[derive(Debug, Arbitrary)]
pub struct Input<'a> {
    /// Where reads end, and what the daemon answers when.
    pub choices: u32,
    /// The most requests in progress.
    pub max_requests: u8,
    /// The bytes of the client.
    pub stream: &'a [u8],
}

/// Each call is answered once and by its own route, the limit is kept, every packet that leaves is
/// whole, and what is kept is bounded.
pub fn check(input: &Input<'_>) {
    within((256 << 10) + 64 * input.stream.len(), || {
        let mut model = Model::new(input);
        model.serve(input.stream);
        model.settle();
        model.end();
    });
}

struct Model {
    session: ServerSession,
    max_requests: usize,
    dice: Dice,
    now: Instant,
    decoder: FrameDecoder,
    /// What the daemon has written and the client has not looked at.
    written: FrameDecoder,
    /// Calls and stream packets that wait for the daemon.
    waiting: Vec<Work>,
    /// How many replies of each route the client has still to see.
    replies: HashMap<Route, usize>,
}

enum Work {
    Answer(Route),
    Consume(Route, StreamBody),
}

impl Model {
    fn new(input: &Input<'_>) -> Self {
        let now = Instant::now();
        let mut config = ServerConfig::default();
        config.max_requests = input.max_requests.into();
        config.keepalive = Some(KeepaliveConfig::new(Duration::from_secs(1), 3));
        Self {
            session: ServerSession::new(config, now),
            max_requests: config.max_requests.max(1),
            dice: Dice::new(input.choices),
            now,
            decoder: FrameDecoder::new(),
            written: FrameDecoder::new(),
            waiting: Vec::new(),
            replies: HashMap::new(),
        }
    }

    fn serve(&mut self, mut stream: &[u8]) {
        while !stream.is_empty() && self.session.close_cause().is_none() {
            let (read, rest) = stream.split_at(self.dice.read_length().min(stream.len()));
            stream = rest;
            self.decoder.buffer_mut().put_slice(read);
            self.read();
            self.act();
            self.check();
        }
    }

    /// Takes packets for as long as the session wants any.
    fn read(&mut self) {
        while self.session.wants_read() {
            match self.decoder.next_frame() {
                Ok(Some(frame)) => self.receive(frame),
                Ok(None) => return,
                Err(error) => return self.session.close(CloseCause::Frame(error)),
            }
        }
    }

    fn receive(&mut self, frame: Frame) {
        let header = frame.header;
        let is_call = header.kind == MessageType::Call;
        let refused = self.session.handle_frame(frame, self.now).is_err();
        assert_eq!(refused, self.session.close_cause().is_some());
        let mut outputs = 0;
        while let Some(output) = self.session.poll_output() {
            outputs += 1;
            self.waiting.push(match output {
                ServerOutput::Request(request) => Work::Answer(request.route),
                ServerOutput::Stream(packet) => Work::Consume(packet.route, packet.body),
                other => panic!("{other:?}"),
            });
        }
        assert!(outputs <= 1);
        if is_call && !refused {
            // A call with a status is answered by the session itself.
            *self.replies.entry(Route::of(&header)).or_default() += 1;
        }
    }

    /// Does some of the daemon's work.
    fn act(&mut self) {
        while !self.waiting.is_empty() && self.dice.below(3) > 0 {
            let index = self.dice.roll() as usize % self.waiting.len();
            let work = self.waiting.swap_remove(index);
            self.finish(work);
        }
        if self.dice.below(16) == 0 {
            self.now += Duration::from_millis(700);
            self.session.handle_timeout(self.now);
        }
        if self.dice.below(8) == 0 {
            self.transmit();
        }
    }

    fn finish(&mut self, work: Work) {
        let error = RemoteError::new(ErrorCode::INTERNAL_ERROR, ErrorDomain::RPC, "no");
        let session = &mut self.session;
        let sent = match work {
            Work::Answer(route) if self.dice.below(2) == 0 => session.reply_error(route, &error),
            Work::Answer(route) => session.reply_with(route, |writer| {
                writer.u32(7);
                Ok(())
            }),
            Work::Consume(route, body) => {
                session.stream_consumed(1);
                match body {
                    StreamBody::Data(data) => session.stream_data(route, data),
                    StreamBody::Hole(length) => {
                        session.stream_hole(route, length);
                        Ok(())
                    }
                    StreamBody::Finish | StreamBody::Abort => {
                        session.stream_confirm(route);
                        Ok(())
                    }
                    other => panic!("{other:?}"),
                }
            }
        };
        assert!(sent.is_ok());
    }

    /// The client looks at what it gets.
    fn transmit(&mut self) {
        while let Some(piece) = self.session.poll_transmit() {
            assert!(!piece.is_empty());
            self.written.buffer_mut().put_slice(&piece);
        }
        while let Some(frame) = self.written.next_frame().expect("a daemon sends packets") {
            match frame.header.kind {
                MessageType::Reply => {
                    let due = self.replies.get_mut(&Route::of(&frame.header));
                    let due = due.expect("a reply answers a call");
                    *due = due.checked_sub(1).expect("a call is answered once");
                }
                MessageType::Stream | MessageType::StreamHole => {}
                MessageType::Message if frame.header.program == keepalive::PROGRAM => {}
                other => panic!("a daemon sends no {other:?}"),
            }
        }
    }

    fn check(&self) {
        let in_progress = self.session.requests_in_progress();
        assert!(in_progress <= self.max_requests);
        assert_eq!(in_progress, self.waiting.len());
        assert!(self.session.close_cause().is_some() || self.session.poll_timeout().is_some());
    }

    /// A daemon that does all its work has answered every call in the end.
    fn settle(&mut self) {
        while self.session.close_cause().is_none() {
            self.read();
            let Some(work) = self.waiting.pop() else {
                break;
            };
            self.finish(work);
            self.check();
        }
        self.transmit();
        if self.session.close_cause().is_none() {
            assert!(
                self.replies.values().all(|due| *due == 0),
                "{:?}",
                self.replies
            );
            assert_eq!(self.session.pending_bytes(), 0);
        }
    }

    /// A session that has ended says and takes nothing more.
    fn end(&mut self) {
        self.session.close(CloseCause::EndOfFile);
        let route = Route::new(remote::PROGRAM, 1, Default::default());
        assert_eq!(self.session.stream_data(route, Bytes::new()), Ok(()));
        assert_eq!(self.session.poll_transmit(), None);
        assert_eq!(self.session.poll_timeout(), None);
        assert_eq!(self.session.pending_bytes(), 0);
        assert!(!self.session.wants_read());
    }
}
