//! Random schedules: whatever happens in whatever order, every call and every stream ends exactly
//! once and the tables are empty in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::Index;
use virtwire_protocol::header::{Header, MessageType, Status};
use virtwire_protocol::procedure::Procedure;
use virtwire_protocol::remote::{
    self, ConnectGetLibVersion, DomainDestroy, DomainOpenConsole, StorageVolDownload,
};
use virtwire_protocol::session::{
    CallId, CloseCause, KeepaliveConfig, Output, Route, StreamBody, StreamId,
};
use virtwire_protocol::{keepalive, procedure::Event};

use crate::pair::{Pair, Token, encoded_error, program_header, remote_error};

#[derive(Debug, Clone)]
enum Step {
    Call,
    UrgentCall,
    OpenDownload,
    OpenConsole,
    Cancel(Index),
    Drive,
    Reply(Index),
    ReplyError(Index),
    ReplyToThePast(Index),
    Event,
    Ping,
    StreamData(Index, usize),
    StreamHole(Index, i64),
    StreamError(Index),
    Send(Index, usize),
    Finish(Index),
    Abort(Index),
    Read(Index),
    Wait(u64),
    Garbage(Header, Vec<u8>),
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<Index>;
    prop_oneof![
        8 => Just(Step::Call),
        2 => Just(Step::UrgentCall),
        2 => Just(Step::OpenDownload),
        2 => Just(Step::OpenConsole),
        4 => index().prop_map(Step::Cancel),
        8 => Just(Step::Drive),
        8 => index().prop_map(Step::Reply),
        2 => index().prop_map(Step::ReplyError),
        2 => index().prop_map(Step::ReplyToThePast),
        2 => Just(Step::Event),
        2 => Just(Step::Ping),
        4 => (index(), 0_usize..400).prop_map(|(i, len)| Step::StreamData(i, len)),
        2 => (index(), -1_i64..9).prop_map(|(i, len)| Step::StreamHole(i, len)),
        1 => index().prop_map(Step::StreamError),
        3 => (index(), 0_usize..400).prop_map(|(i, len)| Step::Send(i, len)),
        2 => index().prop_map(Step::Finish),
        2 => index().prop_map(Step::Abort),
        3 => index().prop_map(Step::Read),
        1 => (0_u64..8).prop_map(Step::Wait),
        1 => garbage(),
        1 => Just(Step::Close),
    ]
}

/// Packets that are close enough to right ones to reach every branch.
fn garbage() -> impl Strategy<Value = Step> {
    let kinds = vec![
        MessageType::Call,
        MessageType::Reply,
        MessageType::Message,
        MessageType::Stream,
        MessageType::StreamHole,
        MessageType::ReplyWithFds,
    ];
    let programs = vec![
        remote::PROGRAM,
        remote::PROGRAM,
        keepalive::PROGRAM,
        virtwire_protocol::procedure::Program::new(7, 7),
    ];
    let procedures = vec![
        ConnectGetLibVersion::NUMBER,
        StorageVolDownload::NUMBER,
        DomainOpenConsole::NUMBER,
        keepalive::Pong::NUMBER,
        -1,
    ];
    (
        prop::sample::select(programs),
        prop::sample::select(procedures),
        prop::sample::select(kinds),
        0_u32..12,
        -1_i32..4,
        prop::collection::vec(any::<u8>(), 0..60),
    )
        .prop_map(|(program, procedure, kind, serial, status, payload)| {
            let status = Status::from(status);
            let header = program_header(program, procedure, kind, serial, status);
            Step::Garbage(header, payload)
        })
}

/// What has to be true, kept beside the sessions.
struct Model {
    pair: Pair,
    next_token: Token,
    ids: Vec<CallId>,
    started: BTreeSet<Token>,
    /// Tokens that came back, by result or by cancelling.
    returned: BTreeSet<Token>,
    /// Routes of calls that the server has answered.
    past: Vec<Route>,
    /// Streams that the client was told of, and whether they have ended.
    streams: BTreeMap<StreamId, bool>,
    /// Routes of streams that the server serves.
    served: Vec<Route>,
}

impl Model {
    fn new() -> Self {
        let pair = Pair::with(
            |client| {
                client.max_stream_buffer = 1500;
                client.max_unmatched_replies = 3;
                client.keepalive = Some(KeepaliveConfig::new(Duration::from_secs(5), 1));
            },
            |_| {},
        );
        Self {
            pair,
            next_token: 0,
            ids: Vec::new(),
            started: BTreeSet::new(),
            returned: BTreeSet::new(),
            past: Vec::new(),
            streams: BTreeMap::new(),
            served: Vec::new(),
        }
    }

    fn call<P>(&mut self)
    where
        P: Procedure,
        for<'a> P::Args<'a>: Default,
    {
        let token = self.next_token;
        self.next_token += 1;
        self.started.insert(token);
        self.ids.push(self.pair.call::<P>(token));
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Call => self.call::<ConnectGetLibVersion>(),
            Step::UrgentCall => self.call::<DomainDestroy>(),
            Step::OpenDownload => self.call::<StorageVolDownload>(),
            Step::OpenConsole => self.call::<DomainOpenConsole>(),
            Step::Cancel(index) => {
                if let Some(&id) = pick(&self.ids, index) {
                    let token = self.pair.client.cancel(id);
                    assert!(token.is_none_or(|token| self.returned.insert(token)));
                }
            }
            Step::Drive => self.drive(),
            Step::Reply(index) => self.reply_to_any(index, true),
            Step::ReplyError(index) => self.reply_to_any(index, false),
            Step::ReplyToThePast(index) => {
                if let Some(&route) = pick(&self.past, index) {
                    self.pair.reply_to(route, 0);
                }
            }
            Step::Event => self.message(remote::PROGRAM, 318),
            Step::Ping => self.message(keepalive::PROGRAM, keepalive::Ping::NUMBER),
            Step::Wait(seconds) => self.pair.advance(Duration::from_secs(seconds)),
            Step::Garbage(header, payload) => {
                let _ = self.pair.inject(header, &payload);
            }
            Step::Close => self.pair.client.close(CloseCause::EndOfFile),
            stream_step => self.apply_stream(stream_step),
        }
        self.check();
    }

    fn apply_stream(&mut self, step: Step) {
        let served = |index| pick(&self.served, index).copied();
        let streams: Vec<_> = self.streams.keys().copied().collect();
        let stream = |index| pick(&streams, index).copied();
        let (client, server) = (&mut self.pair.client, &mut self.pair.server);
        match step {
            Step::StreamData(index, len) => {
                if let Some(route) = served(index) {
                    let data = Bytes::from(vec![1; len]);
                    server.stream_data(route, data).unwrap();
                }
            }
            Step::StreamHole(index, len) => {
                if let Some(route) = served(index) {
                    server.stream_hole(route, len);
                }
            }
            Step::StreamError(index) => {
                if let Some(route) = served(index) {
                    server.stream_error(route, &remote_error()).unwrap();
                    self.served.retain(|other| *other != route);
                }
            }
            Step::Send(index, len) => {
                let data = Bytes::from(vec![1; len]);
                let _ = stream(index).map(|id| client.stream_send(id, data));
            }
            Step::Finish(index) => {
                let _ = stream(index).map(|id| client.stream_finish(id));
            }
            Step::Abort(index) => {
                let _ = stream(index).map(|id| client.stream_abort(id));
            }
            Step::Read(index) => {
                let _ = stream(index).map(|id| client.stream_read(id));
            }
            other => unreachable!("{other:?}"),
        }
    }

    fn message(&mut self, program: virtwire_protocol::procedure::Program, procedure: i32) {
        let header = program_header(program, procedure, MessageType::Message, 1, Status::Ok);
        self.pair.server.send(&header, Bytes::new()).unwrap();
    }

    fn reply_to_any(&mut self, index: Index, well: bool) {
        if !self.pair.requests.is_empty() {
            self.reply(index.index(self.pair.requests.len()), well);
        }
    }

    fn reply(&mut self, index: usize, well: bool) {
        let route = self.pair.requests.remove(index).route;
        self.past.push(route);
        if well {
            self.pair.reply_to(route, 0);
            if [StorageVolDownload::NUMBER, DomainOpenConsole::NUMBER].contains(&route.procedure) {
                self.served.push(route);
            }
        } else {
            let error = remote_error();
            self.pair.server.reply_error(route, &error).unwrap();
        }
    }

    /// Carries packets, and lets the server answer what streams ask for.
    fn drive(&mut self) {
        loop {
            self.pair.drive();
            if self.pair.stream_packets.is_empty() {
                return;
            }
            for packet in std::mem::take(&mut self.pair.stream_packets) {
                self.pair.server.stream_consumed(1);
                let route = packet.route;
                let ends = matches!(packet.body, StreamBody::Finish | StreamBody::Abort);
                if ends && self.served.contains(&route) {
                    self.served.retain(|other| *other != route);
                    self.pair.server.stream_confirm(route);
                }
            }
        }
    }

    fn check(&mut self) {
        for output in self.pair.take() {
            match output {
                Output::CallFinished { token, result, .. } => {
                    assert!(self.started.contains(&token));
                    assert!(self.returned.insert(token), "call {token} ended twice");
                    let stream = result.ok().and_then(|reply| reply.stream);
                    self.streams.extend(stream.map(|id| (id, false)));
                }
                Output::StreamClosed { id, .. } => {
                    let ended = self.streams.insert(id, true);
                    assert_eq!(ended, Some(false), "{id:?} ended twice or never began");
                }
                Output::StreamReadable(id) => assert_eq!(self.streams.get(&id), Some(&false)),
                Output::Event(_) => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(self.pair.client.calls_in_flight() <= 4);
    }

    /// Answers every call that is left, and then ends every stream.
    fn settle(&mut self) {
        self.drive();
        while !self.pair.requests.is_empty() {
            self.reply(0, false);
            self.drive();
        }
        self.check();
        let streams: Vec<_> = self.streams.keys().copied().collect();
        for id in streams {
            let _ = self.pair.client.stream_abort(id);
        }
        self.drive();
        self.check();
    }

    fn assert_over(&self) {
        assert_eq!(self.returned, self.started);
        assert!(self.streams.values().all(|ended| *ended));
        let client = &self.pair.client;
        assert_eq!(client.calls_in_flight(), 0);
        assert_eq!(client.waiting_calls(), 0);
        assert_eq!(client.pending_bytes(), 0);
        assert_eq!(client.streams(), 0);
    }
}

fn pick<T>(from: &[T], index: Index) -> Option<&T> {
    (!from.is_empty()).then(|| index.get(from))
}

fn without_faults(step: &Step) -> bool {
    !matches!(
        step,
        Step::Garbage(..) | Step::Close | Step::Wait(_) | Step::ReplyToThePast(_)
    )
}

fn config() -> ProptestConfig {
    ProptestConfig {
        // What was found once becomes a test with a name, not a file of seeds.
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn with_a_daemon_in_order_everything_ends_while_the_connection_lives(
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut model = Model::new();
        for step in steps.into_iter().filter(without_faults) {
            model.apply(step);
        }
        model.settle();
        prop_assert!(!model.pair.is_closed());
        model.assert_over();
    }

    #[test]
    fn with_any_daemon_everything_ends_when_the_connection_does(
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut model = Model::new();
        for step in steps {
            model.apply(step);
        }
        model.pair.client.close(CloseCause::Requested);
        model.check();
        model.assert_over();
        model.call::<ConnectGetLibVersion>();
        model.check();
        model.assert_over();
    }
}

#[test]
fn a_refused_hole_leaves_nothing_behind() {
    let mut model = Model::new();
    model.apply(Step::OpenDownload);
    model.apply(Step::Drive);
    model.reply(0, true);
    model.apply(Step::Drive);
    let number = StorageVolDownload::NUMBER;
    let header = program_header(
        remote::PROGRAM,
        number,
        MessageType::Reply,
        1,
        Status::Error,
    );
    model.apply(Step::Garbage(header, encoded_error()));
    assert!(!model.pair.is_closed());
    model.assert_over();
}
