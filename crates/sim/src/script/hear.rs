//! What the peer hears.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::Instant;
use virtwire_protocol::frame::Frame;
use virtwire_protocol::session::{Request, Route, ServerOutput, StreamBody};
use virtwire_protocol::{Event, Procedure, keepalive};

use super::{Call, Expected, Heard, Peer, ScriptError};

impl<IO: AsyncRead + AsyncWrite + Unpin> Peer<IO> {
    /// The next thing that the client says; `None` when it has hung up.
    ///
    /// # Errors
    ///
    /// When what it sends is no packet, or none that a client may send.
    pub async fn next(&mut self) -> Result<Option<Heard>, ScriptError> {
        while self.heard.is_empty() {
            if !self.read().await? {
                return Ok(None);
            }
        }
        Ok(self.heard.pop_front())
    }

    /// The next thing that the client says, which must be a call; `None` when it has hung up.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub async fn request(&mut self) -> Result<Option<Request>, ScriptError> {
        match self.next().await? {
            Some(Heard::Call(request)) => Ok(Some(request)),
            Some(heard) => Err(unexpected(Expected::AnyCall, heard)),
            None => Ok(None),
        }
    }

    /// The next thing that the client says, which must be a call of `P`.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub async fn expect<P: Procedure>(&mut self) -> Result<Call<P>, ScriptError> {
        let expected = Expected::Call(P::NAME);
        match self.next().await? {
            Some(Heard::Call(request)) if request.is::<P>() => Call::new(request),
            Some(heard) => Err(unexpected(expected, heard)),
            None => Err(ScriptError::HungUp { expected }),
        }
    }

    /// The first call of `P`, for a client whose calls come in no certain order. What came before
    /// it is still to be expected.
    ///
    /// # Errors
    ///
    /// When the client hangs up without having made one.
    pub async fn find<P: Procedure>(&mut self) -> Result<Call<P>, ScriptError> {
        let mut looked_at = 0;
        loop {
            let mut unread = self.heard.iter().skip(looked_at);
            let found = unread.position(|heard| matches!(heard, Heard::Call(r) if r.is::<P>()));
            if let Some(offset) = found {
                if let Some(Heard::Call(request)) = self.heard.remove(looked_at + offset) {
                    return Call::new(request);
                }
            }
            looked_at = self.heard.len();
            if !self.read().await? {
                let expected = Expected::Call(P::NAME);
                return Err(ScriptError::HungUp { expected });
            }
        }
    }

    /// The next thing that the client says, which must be a packet of the stream that this call
    /// has opened.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub async fn expect_stream(&mut self, route: Route) -> Result<StreamBody, ScriptError> {
        let expected = Expected::Stream(route);
        match self.next().await? {
            Some(Heard::Stream(packet)) if packet.route == route => Ok(packet.body),
            Some(heard) => Err(unexpected(expected, heard)),
            None => Err(ScriptError::HungUp { expected }),
        }
    }

    /// Waits until the client has asked for so many signs of life since the beginning. What else
    /// comes is still to be expected.
    ///
    /// # Errors
    ///
    /// When the client hangs up first.
    pub async fn expect_pings(&mut self, count: usize) -> Result<(), ScriptError> {
        while self.seen.pings < count {
            self.read_before(Expected::Pings(count)).await?;
        }
        Ok(())
    }

    /// Waits until the client has answered so many questions for a sign of life since the
    /// beginning. What else comes is still to be expected.
    ///
    /// # Errors
    ///
    /// When the client hangs up first.
    pub async fn expect_pongs(&mut self, count: usize) -> Result<(), ScriptError> {
        while self.seen.pongs < count {
            self.read_before(Expected::Pongs(count)).await?;
        }
        Ok(())
    }

    /// Waits until the client has hung up, without another word of it.
    ///
    /// # Errors
    ///
    /// When it says something first.
    pub async fn expect_hang_up(&mut self) -> Result<(), ScriptError> {
        match self.next().await? {
            None => Ok(()),
            Some(heard) => Err(unexpected(Expected::HangUp, heard)),
        }
    }

    /// Waits until the client has hung up, whatever it says before.
    ///
    /// # Errors
    ///
    /// When what it says is no packet, or none that a client may send.
    pub async fn until_hang_up(&mut self) -> Result<(), ScriptError> {
        while self.read().await? {}
        Ok(())
    }

    async fn read_before(&mut self, expected: Expected) -> Result<(), ScriptError> {
        match self.read().await? {
            true => Ok(()),
            false => Err(ScriptError::HungUp { expected }),
        }
    }

    /// Reads once; whether the client is still there.
    async fn read(&mut self) -> Result<bool, ScriptError> {
        self.flush().await?;
        match self.io.read_buf(self.decoder.buffer_mut()).await {
            Ok(0) => return Ok(false),
            Ok(_) => {}
            Err(error) if is_hang_up(&error) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        while let Some(frame) = self.decoder.next_frame()? {
            self.take(frame)?;
        }
        // The answers to questions for a sign of life.
        self.flush().await?;
        Ok(true)
    }

    fn take(&mut self, frame: Frame) -> Result<(), ScriptError> {
        if frame.header.program == keepalive::PROGRAM {
            let number = frame.header.procedure;
            self.seen.pings += usize::from(number == keepalive::Ping::NUMBER);
            self.seen.pongs += usize::from(number == keepalive::Pong::NUMBER);
            if self.mute {
                return Ok(());
            }
        }
        self.session
            .handle_frame(frame, Instant::now().into_std())?;
        while let Some(output) = self.session.poll_output() {
            match output {
                ServerOutput::Request(request) => {
                    self.seen.calls += 1;
                    self.heard.push_back(Heard::Call(request));
                }
                ServerOutput::Stream(packet) => {
                    self.seen.stream_packets += 1;
                    self.heard.push_back(Heard::Stream(packet));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

pub(super) fn unexpected(expected: Expected, heard: Heard) -> ScriptError {
    ScriptError::Unexpected { expected, heard }
}

/// Whether an error of the byte stream is the client's way to go.
pub(super) fn is_hang_up(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected
    )
}
