use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;
use virtwire_protocol::frame::FrameDecoder;
use virtwire_protocol::session::{ServerConfig, ServerSession};

use super::{Heard, Pipe, ScriptError};
use crate::socket::{Listener, Socket};

/// The daemon's end of one connection, under the command of a script.
///
/// The methods come in two kinds. Those that hear wait for the client and fail when it does
/// something else than the script expects. Those that say wait until the client's end of the
/// connection has taken the bytes; what is said to a client that has gone is lost, as it is in
/// life, and the next expectation finds out.
///
/// # Cancel safety
///
/// Dropping the future of a method that hears loses nothing. What a method was saying when its
/// future was dropped is finished by the next method.
pub struct Peer<IO = Pipe> {
    pub(super) io: IO,
    pub(super) decoder: FrameDecoder,
    pub(super) session: ServerSession,
    /// What the client has sent and no expectation has taken.
    pub(super) heard: VecDeque<Heard>,
    /// What is being written.
    pub(super) unwritten: Bytes,
    pub(super) seen: Seen,
    pub(super) sent: u64,
    pub(super) mute: bool,
    /// Whether the client takes nothing any more.
    pub(super) deaf: bool,
}

/// What the client has sent so far and the peer has read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Seen {
    /// Calls.
    pub calls: usize,
    /// Packets of streams.
    pub stream_packets: usize,
    /// Questions for a sign of life.
    pub pings: usize,
    /// Answers to such questions.
    pub pongs: usize,
}

impl Peer {
    /// The client's end of a connection in memory, and the peer at the other end.
    #[must_use]
    pub fn pair() -> (Pipe, Self) {
        let (client, daemon) = Pipe::pair();
        (client, Self::new(daemon))
    }

    /// Breaks the connection, so that the client finds it reset.
    pub fn reset(self) {
        self.io.reset();
    }
}

impl Peer<Socket> {
    /// Waits for a client of a real socket.
    ///
    /// ```
    /// use virtwire::{Connection, remote};
    /// use virtwire_sim::script::Peer;
    /// use virtwire_sim::socket::Listener;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let listener = Listener::bind(&"tcp:127.0.0.1:0".parse()?)?;
    /// let uri = listener.address().uri("test", "/default");
    /// // Any client will do: `virsh --connect URI hostname`, for one.
    /// let client = tokio::spawn(async move { Connection::open(&uri).await?.hostname().await });
    ///
    /// let mut peer = Peer::accept(&listener).await?;
    /// peer.shake_hands().await?;
    /// let ret = remote::ConnectGetHostnameRet { hostname: "host".into() };
    /// peer.answer::<remote::ConnectGetHostname>(&ret).await?;
    /// assert_eq!(client.await??, "host");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When the kernel has no client to give.
    pub async fn accept(listener: &Listener) -> Result<Self, ScriptError> {
        Ok(Self::new(listener.accept().await?))
    }

    /// Breaks the connection as [`Socket::reset`] does.
    pub fn reset(self) {
        self.io.reset();
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Peer<IO> {
    /// The peer at this end of a byte stream.
    pub fn new(io: IO) -> Self {
        let mut config = ServerConfig::default();
        // A script takes what it likes, and stops reading when it likes.
        config.max_requests = usize::MAX;
        Self {
            io,
            decoder: FrameDecoder::new(),
            session: ServerSession::new(config, Instant::now().into_std()),
            heard: VecDeque::new(),
            unwritten: Bytes::new(),
            seen: Seen::default(),
            sent: 0,
            mute: false,
            deaf: false,
        }
    }

    /// What the client has sent so far and this side has read.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.seen
    }

    /// How many bytes this side has sent.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.sent
    }

    /// Answers no questions for a sign of life any more.
    pub fn mute(&mut self) {
        self.mute = true;
    }

    /// Hangs: neither reads nor says anything any more and keeps the connection, as a daemon does
    /// that was stopped. Never ends; whoever has enough drops the future.
    pub async fn hang(self) -> Infallible {
        std::future::pending().await
    }

    /// Hangs up. The client finds the end of the byte stream once it has read what was said.
    pub async fn close(mut self) {
        // A client that has hung up first does not mind.
        let _ = self.flush().await;
        let _ = self.io.shutdown().await;
    }

    /// Says nothing any more, which the client finds as the end of the byte stream, and still
    /// hears what the client says.
    pub async fn half_close(&mut self) {
        let _ = self.flush().await;
        let _ = self.io.shutdown().await;
        self.deaf = true;
    }
}

impl<IO> fmt::Debug for Peer<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("heard", &self.heard)
            .field("seen", &self.seen)
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}
