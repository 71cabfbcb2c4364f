//! A daemon made of a script: it says what a test wants it to say, right or wrong.

mod guest;

pub use guest::{callback_id, domain};

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;
use virtwire::constants::{ErrorCode, ErrorDomain};
use virtwire::{Builder, Connection, Event, Procedure, RemoteError, remote};
use virtwire_protocol::frame::{FrameDecoder, PREFIX_LEN};
use virtwire_protocol::header::{Header, MessageType, Serial, Status};
use virtwire_protocol::keepalive;
use virtwire_protocol::session::{Request, ServerConfig, ServerOutput, ServerSession};

/// How much either side can write before the other reads.
const PIPE: usize = 64 << 10;

/// The daemon's end of a connection.
///
/// It takes any number of calls at once and answers none by itself, keepalive excepted: what it
/// says is what the test has it say.
#[derive(Debug)]
pub struct Peer<IO = DuplexStream> {
    io: IO,
    decoder: FrameDecoder,
    session: ServerSession,
    requests: VecDeque<Request>,
    seen: Seen,
    sent: usize,
    mute: bool,
}

/// What the client has sent so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Seen {
    /// Calls.
    pub calls: usize,
    /// Questions for a sign of life.
    pub pings: usize,
    /// Answers to such questions.
    pub pongs: usize,
}

/// The settings that scripts assume: a URI that nothing else decides, and no keepalive.
pub fn builder() -> Builder {
    Connection::builder()
        .uri("test:///default")
        .keepalive(Duration::ZERO, 0)
}

/// A connection that is open, and the daemon it goes to.
///
/// # Panics
///
/// When it cannot be opened.
pub async fn connected() -> (Connection, Peer) {
    connected_with(builder()).await
}

/// As [`connected`], with other settings.
///
/// # Panics
///
/// When it cannot be opened.
pub async fn connected_with(builder: Builder) -> (Connection, Peer) {
    let (client, daemon) = duplex(PIPE);
    let mut peer = Peer::new(daemon);
    let (opened, ()) = tokio::join!(builder.connect_with_io(client), peer.shake_hands());
    let (connection, driver) = opened.expect("the connection opens");
    tokio::spawn(driver);
    (connection, peer)
}

impl Peer {
    /// A daemon, and the byte stream that leads to it.
    #[must_use]
    pub fn pair() -> (DuplexStream, Self) {
        let (client, daemon) = duplex(PIPE);
        (client, Self::new(daemon))
    }
}

/// What the peer hears.
impl<IO: AsyncRead + AsyncWrite + Unpin> Peer<IO> {
    /// The daemon at this end.
    pub fn new(io: IO) -> Self {
        let mut config = ServerConfig::default();
        config.max_requests = usize::MAX;
        Self {
            io,
            decoder: FrameDecoder::new(),
            session: ServerSession::new(config, Instant::now().into_std()),
            requests: VecDeque::new(),
            seen: Seen::default(),
            sent: 0,
            mute: false,
        }
    }

    /// What the client has sent so far and this side has read.
    pub fn seen(&self) -> Seen {
        self.seen
    }

    /// How many bytes this side has sent.
    pub fn bytes_sent(&self) -> usize {
        self.sent
    }

    /// Answers no questions for a sign of life any more.
    pub fn mute(&mut self) {
        self.mute = true;
    }

    /// The next call; `None` when the client has closed the connection.
    pub async fn request(&mut self) -> Option<Request> {
        while self.requests.is_empty() {
            if !self.hear().await {
                return None;
            }
        }
        self.requests.pop_front()
    }

    /// The next call, which must be one of `P`.
    ///
    /// # Panics
    ///
    /// When it is not.
    pub async fn expect<P: Procedure>(&mut self) -> Request {
        let request = self.request().await.expect("the client makes a call");
        assert!(request.is::<P>(), "{request:?} is no call of {}", P::NAME);
        request
    }

    /// Reads until the client has closed the connection.
    pub async fn hang_up(&mut self) {
        while self.hear().await {}
    }

    /// Reads until the client has answered so many questions for a sign of life.
    ///
    /// # Panics
    ///
    /// When the client closes the connection first.
    pub async fn expect_pongs(&mut self, count: usize) {
        while self.seen.pongs < count {
            assert!(self.hear().await, "the client is there to answer");
        }
    }

    /// Reads once; whether there was anything.
    async fn hear(&mut self) -> bool {
        match self.io.read_buf(self.decoder.buffer_mut()).await {
            Ok(0) | Err(_) => return false,
            Ok(_) => {}
        }
        let now = Instant::now().into_std();
        while let Some(frame) = self.decoder.next_frame().expect("the client sends packets") {
            let header = frame.header;
            if header.program == keepalive::PROGRAM {
                self.seen.pings += usize::from(header.procedure == keepalive::Ping::NUMBER);
                self.seen.pongs += usize::from(header.procedure == keepalive::Pong::NUMBER);
                if self.mute {
                    continue;
                }
            }
            self.session
                .handle_frame(frame, now)
                .expect("the client keeps to the protocol");
        }
        while let Some(output) = self.session.poll_output() {
            if let ServerOutput::Request(request) = output {
                self.seen.calls += 1;
                self.requests.push_back(request);
            }
        }
        self.flush().await.is_ok()
    }
}

/// What the peer says. A client that does not listen any more is not minded.
impl<IO: AsyncRead + AsyncWrite + Unpin> Peer<IO> {
    /// Answers the calls that open a connection.
    pub async fn shake_hands(&mut self) {
        self.until::<remote::ConnectOpen>().await;
    }

    /// Answers a call.
    ///
    /// # Panics
    ///
    /// When the answer has no form on the wire.
    pub async fn reply<P: Procedure>(&mut self, request: &Request, ret: &P::Ret<'_>) {
        self.session
            .reply::<P>(request.route, ret)
            .expect("the reply can be encoded");
        let _ = self.flush().await;
    }

    /// Waits for a call of `P` and answers it.
    ///
    /// # Panics
    ///
    /// When the next call is another.
    pub async fn answer<P: Procedure>(&mut self, ret: &P::Ret<'_>) {
        let request = self.expect::<P>().await;
        self.reply::<P>(&request, ret).await;
    }

    /// Answers a call by an error.
    ///
    /// # Panics
    ///
    /// Never: the error is short.
    pub async fn refuse(&mut self, request: &Request, code: ErrorCode) {
        let error = RemoteError::new(code, ErrorDomain::TEST, "the script says so");
        self.session
            .reply_error(request.route, &error)
            .expect("the error is short");
        let _ = self.flush().await;
    }

    /// Sends an event.
    ///
    /// # Panics
    ///
    /// When the message has no form on the wire.
    pub async fn event<E: Event>(&mut self, message: &E::Msg<'_>) {
        self.session
            .event::<E>(message)
            .expect("the event can be encoded");
        let _ = self.flush().await;
    }

    /// Asks for a sign of life.
    pub async fn ping(&mut self) {
        self.send(ping(), b"").await;
    }

    /// Sends any packet.
    ///
    /// # Panics
    ///
    /// When it is longer than any packet may be.
    pub async fn send(&mut self, header: Header, payload: &[u8]) {
        let payload = Bytes::copy_from_slice(payload);
        self.session
            .send(&header, payload)
            .expect("the packet fits the protocol");
        let _ = self.flush().await;
    }

    /// Sends any bytes.
    pub async fn send_raw(&mut self, bytes: &[u8]) {
        let _ = self.io.write_all(bytes).await;
    }

    async fn flush(&mut self) -> io::Result<()> {
        while let Some(bytes) = self.session.poll_transmit() {
            self.io.write_all(&bytes).await?;
            self.sent += bytes.len();
        }
        Ok(())
    }
}

/// The header of a reply to the request, with any status.
#[must_use]
pub fn reply_header(request: &Request, status: Status) -> Header {
    request.route.header(MessageType::Reply, status)
}

/// The packet that asks for a sign of life.
#[must_use]
pub fn ping() -> Header {
    message(keepalive::PROGRAM, keepalive::Ping::NUMBER)
}

/// The header of an event, of any program and number.
#[must_use]
pub fn message(program: virtwire::Program, procedure: i32) -> Header {
    Header {
        program,
        procedure,
        kind: MessageType::Message,
        serial: Serial::new(1),
        status: Status::Ok,
    }
}

/// A packet as it stands on the wire.
///
/// # Panics
///
/// When the payload is longer than 4 GiB.
#[must_use]
pub fn packet(header: &Header, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(PREFIX_LEN + payload.len()).expect("the payload is short");
    [&length.to_be_bytes(), header.encode().as_slice(), payload].concat()
}
