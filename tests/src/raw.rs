//! A client that says exactly what a test wants it to say.

#![expect(
    clippy::missing_panics_doc,
    reason = "all of it panics when the daemon does something else"
)]

use std::collections::VecDeque;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use virtwire::remote;
use virtwire_protocol::constants::{ErrorCode, ErrorDomain};
use virtwire_protocol::frame::{Frame, FrameDecoder, encode_frame};
use virtwire_protocol::header::{Header, MessageType, Serial, Status};
use virtwire_protocol::session::Route;
use virtwire_protocol::{Procedure, RemoteError};
use virtwire_sim::Simulator;
use virtwire_xdr::{Decode, Encode, Reader};

/// What bytes go over.
trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection without a client library.
pub struct Raw {
    io: Box<dyn Io>,
    decoder: FrameDecoder,
    serial: Serial,
    /// Packets of a stream that came before the answer to its call.
    early: VecDeque<Frame>,
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Raw").finish_non_exhaustive()
    }
}

impl Raw {
    /// Opens a driver of a simulated daemon.
    pub async fn open(simulator: &Simulator, uri: &str) -> Self {
        Self::over(simulator.connect(), uri).await
    }

    /// Opens a driver of the daemon that listens on this socket.
    pub async fn connect(socket: &Path, uri: &str) -> Self {
        let io = UnixStream::connect(socket).await.expect("a daemon listens");
        Self::over(io, uri).await
    }

    async fn over(io: impl Io + 'static, uri: &str) -> Self {
        let mut raw = Self {
            io: Box::new(io),
            decoder: FrameDecoder::new(),
            serial: Serial::new(1000),
            early: VecDeque::new(),
        };
        let args = remote::ConnectOpenArgs {
            name: Some(uri.to_owned().into()),
            flags: 0,
        };
        raw.call::<remote::ConnectOpen>(&args).await;
        raw
    }

    /// Sends a packet of a route.
    pub async fn say(&mut self, route: Route, kind: MessageType, status: Status, payload: &[u8]) {
        let mut packet = BytesMut::new();
        let header = route.header(kind, status);
        let encoded = encode_frame(&mut packet, &header, |w| {
            w.raw(payload);
            Ok(())
        });
        encoded.expect("the packet is within its limits");
        // Nobody reads on a connection that the daemon has closed.
        let _ = self.io.write_all(&packet).await;
    }

    /// Calls a procedure and does not wait for the answer.
    pub async fn start<P: Procedure>(&mut self, args: &P::Args<'_>) -> Route {
        self.serial = self.serial.next();
        let route = Route::new(P::PROGRAM, P::NUMBER, self.serial);
        self.start_as::<P>(route, args).await;
        route
    }

    /// As `start`, with a serial of the test's own.
    pub async fn start_as<P: Procedure>(&mut self, route: Route, args: &P::Args<'_>) {
        let mut payload = BytesMut::new();
        args.encode(&mut virtwire_xdr::Writer::new(&mut payload))
            .expect("the arguments are within their limits");
        self.say(route, MessageType::Call, Status::Ok, &payload)
            .await;
    }

    /// Calls a procedure, which must succeed; what it returns is still encoded.
    pub async fn call<P: Procedure>(&mut self, args: &P::Args<'_>) -> (Route, Bytes) {
        let route = self.start::<P>(args).await;
        let frame = loop {
            let frame = self.receive().await.expect("the daemon answers");
            // libvirtd opens the stream before it answers, and sometimes is as quick to use it.
            if frame.header.kind == MessageType::Reply || Route::of(&frame.header) != route {
                break frame;
            }
            self.early.push_back(frame);
        };
        let what = String::from_utf8_lossy(&frame.payload).into_owned();
        assert_eq!(
            frame.header,
            route.header(MessageType::Reply, Status::Ok),
            "{what}"
        );
        (route, frame.payload)
    }

    /// The next packet; none when the daemon has closed the connection.
    pub async fn next(&mut self) -> Option<Frame> {
        match self.early.pop_front() {
            Some(frame) => Some(frame),
            None => self.receive().await,
        }
    }

    async fn receive(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.next_frame().expect("a packet") {
                return Some(frame);
            }
            let read = self.io.read_buf(self.decoder.buffer_mut()).await;
            if read.is_ok_and(|length| length > 0) {
                continue;
            }
            return None;
        }
    }

    /// The next packet, which must be one of this route.
    pub async fn hear(&mut self, route: Route) -> (MessageType, Status, Bytes) {
        let frame = self.next().await.expect("the connection is open");
        let Header { kind, status, .. } = frame.header;
        assert_eq!(frame.header, route.header(kind, status));
        (kind, status, frame.payload)
    }

    /// The next packet must be an error.
    pub async fn hear_error(&mut self, route: Route, kind: MessageType) -> RemoteError {
        let (found, status, payload) = self.hear(route).await;
        assert_eq!((found, status), (kind, Status::Error));
        RemoteError::decode(&payload).expect("an error")
    }

    /// Nothing comes for a while.
    pub async fn hears_nothing(&mut self) {
        let next = tokio::time::timeout(Duration::from_secs(2), self.next()).await;
        assert!(next.is_err(), "{next:?}");
    }

    /// Sends data on a stream.
    pub async fn data(&mut self, route: Route, data: &[u8]) {
        self.say(route, MessageType::Stream, Status::Continue, data)
            .await;
    }

    /// Sends a hole on a stream.
    pub async fn hole(&mut self, route: Route, length: i64) {
        let mut payload = length.to_be_bytes().to_vec();
        payload.extend([0; 4]);
        self.say(route, MessageType::StreamHole, Status::Continue, &payload)
            .await;
    }

    /// Finishes a stream.
    pub async fn finish(&mut self, route: Route) {
        self.say(route, MessageType::Stream, Status::Ok, &[]).await;
    }

    /// Aborts a stream.
    pub async fn abort(&mut self, route: Route) {
        self.say(route, MessageType::Stream, Status::Error, &[])
            .await;
    }

    /// Finishes a stream, which must be confirmed.
    pub async fn finished(&mut self, route: Route) {
        self.finish(route).await;
        assert_eq!(
            self.hear(route).await,
            (MessageType::Stream, Status::Ok, Bytes::new())
        );
    }
}

/// Decodes what a procedure returned.
#[must_use]
pub fn decode<'a, T: Decode<'a>>(payload: &'a Bytes) -> T {
    T::decode(&mut Reader::new(payload)).expect("what the procedure returns")
}

/// What an error is.
#[must_use]
pub fn facts(error: &RemoteError) -> (ErrorCode, ErrorDomain, &str) {
    let message = error.message.as_deref().unwrap_or_default();
    (error.code, error.domain, message)
}
