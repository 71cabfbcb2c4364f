//! Both ends of a connection in one place.

use std::time::{Duration, Instant};

use bytes::Bytes;
use virtwire_protocol::frame::{Frame, FrameDecoder};
use virtwire_protocol::header::{Header, MessageType, Serial, Status};
use virtwire_protocol::procedure::{Procedure, Program};
use virtwire_protocol::session::{
    CallFailure, CallId, CallRequest, ClientConfig, ClientSession, Output, ProtocolError, Reply,
    Request, Route, ServerConfig, ServerOutput, ServerSession, StreamBody, StreamPacket,
};
use virtwire_protocol::{RemoteError, constants, remote};

/// What a test attaches to a call.
pub(crate) type Token = u32;

pub(crate) struct Pair {
    pub(crate) client: ClientSession<Token>,
    pub(crate) server: ServerSession,
    pub(crate) now: Instant,
    /// What the client session has said so far and the test has not taken.
    pub(crate) outputs: Vec<Output<Token>>,
    pub(crate) requests: Vec<Request>,
    pub(crate) stream_packets: Vec<StreamPacket>,
    /// Frames that have reached the server.
    pub(crate) server_frames: Vec<Header>,
    to_client: FrameDecoder,
    to_server: FrameDecoder,
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self::with(|_| {}, |_| {})
    }

    pub(crate) fn with(
        client: impl FnOnce(&mut ClientConfig),
        server: impl FnOnce(&mut ServerConfig),
    ) -> Self {
        let now = Instant::now();
        let (mut client_config, mut server_config) = Default::default();
        client(&mut client_config);
        server(&mut server_config);
        Self {
            client: ClientSession::new(client_config, now),
            server: ServerSession::new(server_config, now),
            now,
            outputs: Vec::new(),
            requests: Vec::new(),
            stream_packets: Vec::new(),
            server_frames: Vec::new(),
            to_client: FrameDecoder::new(),
            to_server: FrameDecoder::new(),
        }
    }

    /// Calls a procedure with arguments of no importance.
    pub(crate) fn call<P>(&mut self, token: Token) -> CallId
    where
        P: Procedure,
        for<'a> P::Args<'a>: Default,
    {
        self.client.call(request::<P>(), token)
    }

    /// Carries packets until nothing moves any more.
    pub(crate) fn drive(&mut self) {
        while self.client_to_server() | self.server_to_client() {}
    }

    /// Carries what the client has to say.
    pub(crate) fn client_to_server(&mut self) -> bool {
        let mut moved = false;
        while let Some(bytes) = self.client.poll_transmit() {
            assert!(!bytes.is_empty());
            self.to_server.buffer_mut().extend_from_slice(&bytes);
        }
        while self.server.wants_read() {
            let Some(frame) = self.to_server.next_frame().unwrap() else {
                break;
            };
            moved = true;
            self.server_frames.push(frame.header);
            self.server.handle_frame(frame, self.now).unwrap();
            while let Some(output) = self.server.poll_output() {
                match output {
                    ServerOutput::Request(request) => self.requests.push(request),
                    ServerOutput::Stream(packet) => self.stream_packets.push(packet),
                    other => panic!("{other:?}"),
                }
            }
        }
        moved
    }

    /// Carries what the server has to say. A client that has closed takes no more of it.
    pub(crate) fn server_to_client(&mut self) -> bool {
        let mut moved = false;
        while let Some(bytes) = self.server.poll_transmit() {
            self.to_client.buffer_mut().extend_from_slice(&bytes);
        }
        while let Some(frame) = self.to_client.next_frame().unwrap() {
            moved = true;
            let outcome = self.client.handle_frame(frame, self.now);
            assert_eq!(outcome.is_err(), outcome.is_err() && self.is_closed());
        }
        self.collect();
        moved
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.close_cause().is_some()
    }

    /// Lets the time pass, and both sides notice.
    pub(crate) fn advance(&mut self, by: Duration) {
        self.now += by;
        if self.client.poll_timeout().is_some_and(|at| at <= self.now) {
            self.client.handle_timeout(self.now);
        }
        if self.server.poll_timeout().is_some_and(|at| at <= self.now) {
            self.server.handle_timeout(self.now);
        }
        self.collect();
    }

    /// Gives the client a packet that no server in order sends.
    pub(crate) fn inject(&mut self, header: Header, payload: &[u8]) -> Result<(), ProtocolError> {
        let frame = Frame::new(header, Bytes::copy_from_slice(payload));
        let outcome = self.client.handle_frame(frame, self.now);
        self.collect();
        outcome
    }

    /// Answers the oldest request with a number.
    pub(crate) fn reply(&mut self, value: u32) {
        let route = self.requests.remove(0).route;
        self.reply_to(route, value);
    }

    pub(crate) fn reply_to(&mut self, route: Route, value: u32) {
        self.server
            .reply_with(route, |w| {
                w.u32(value);
                Ok(())
            })
            .unwrap();
    }

    /// Takes what the client session has said.
    pub(crate) fn take(&mut self) -> Vec<Output<Token>> {
        self.collect();
        std::mem::take(&mut self.outputs)
    }

    /// Takes what the client session has said, which must be results of calls.
    pub(crate) fn results(&mut self) -> Vec<(Token, Result<Reply, CallFailure>)> {
        let result = |output| match output {
            Output::CallFinished { token, result, .. } => (token, result),
            other => panic!("{other:?}"),
        };
        self.take().into_iter().map(result).collect()
    }

    /// Takes the results of calls that must have succeeded with a number each.
    pub(crate) fn values(&mut self) -> Vec<(Token, u32)> {
        let value = |payload: &[u8]| u32::from_be_bytes(payload.try_into().unwrap());
        let results = self.results().into_iter();
        results
            .map(|(token, result)| (token, value(&result.unwrap().payload)))
            .collect()
    }

    /// Takes the stream packets that have reached the server.
    pub(crate) fn stream_bodies(&mut self) -> Vec<StreamBody> {
        let packets = std::mem::take(&mut self.stream_packets);
        self.server.stream_consumed(packets.len());
        packets.into_iter().map(|packet| packet.body).collect()
    }

    fn collect(&mut self) {
        self.outputs
            .extend(std::iter::from_fn(|| self.client.poll_output()));
    }
}

/// How often to do what has to leave nothing behind; Miri is a thousand times as slow.
pub(crate) const fn many(times: u32) -> u32 {
    if cfg!(miri) { times / 1000 } else { times }
}

/// A call with arguments of no importance.
pub(crate) fn request<P>() -> CallRequest
where
    P: Procedure,
    for<'a> P::Args<'a>: Default,
{
    CallRequest::new::<P>(&Default::default()).unwrap()
}

/// A header of the program `remote`.
pub(crate) fn header(procedure: i32, kind: MessageType, serial: u32, status: Status) -> Header {
    program_header(remote::PROGRAM, procedure, kind, serial, status)
}

pub(crate) fn program_header(
    program: Program,
    procedure: i32,
    kind: MessageType,
    serial: u32,
    status: Status,
) -> Header {
    Header {
        program,
        procedure,
        kind,
        serial: Serial::new(serial),
        status,
    }
}

/// An error as a daemon would send it.
pub(crate) fn remote_error() -> RemoteError {
    RemoteError::new(
        constants::ErrorCode::NO_DOMAIN,
        constants::ErrorDomain::QEMU,
        "no domain with that name",
    )
}

/// That error as the payload of a packet.
pub(crate) fn encoded_error() -> Vec<u8> {
    let mut bytes = bytes::BytesMut::new();
    remote_error()
        .encode(&mut virtwire_xdr::Writer::new(&mut bytes))
        .unwrap();
    bytes.to_vec()
}
