//! What the peer says.

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use virtwire_protocol::header::Header;
use virtwire_protocol::session::Route;
use virtwire_protocol::{Event, Procedure, RemoteError};

use super::hear::is_hang_up;
use super::{Call, Peer, ScriptError, ping_header};

impl<IO: AsyncRead + AsyncWrite + Unpin> Peer<IO> {
    /// Answers a call.
    ///
    /// # Errors
    ///
    /// When the answer has no form on the wire.
    pub async fn reply<P: Procedure>(
        &mut self,
        call: &Call<P>,
        ret: &P::Ret<'_>,
    ) -> Result<(), ScriptError> {
        self.reply_to::<P>(call.route, ret).await
    }

    /// Answers any call as if it were one of `P`.
    ///
    /// # Errors
    ///
    /// When the answer has no form on the wire.
    pub async fn reply_to<P: Procedure>(
        &mut self,
        route: Route,
        ret: &P::Ret<'_>,
    ) -> Result<(), ScriptError> {
        self.session.reply::<P>(route, ret)?;
        self.flush().await
    }

    /// Expects a call of `P` and answers it.
    ///
    /// # Errors
    ///
    /// When the client does something else, or the answer has no form on the wire.
    pub async fn answer<P: Procedure>(&mut self, ret: &P::Ret<'_>) -> Result<(), ScriptError> {
        let call = self.expect::<P>().await?;
        self.reply(&call, ret).await
    }

    /// Answers a call by an error.
    ///
    /// # Errors
    ///
    /// When the error has no form on the wire.
    pub async fn error(&mut self, route: Route, error: &RemoteError) -> Result<(), ScriptError> {
        self.session.reply_error(route, error)?;
        self.flush().await
    }

    /// Sends an event.
    ///
    /// # Errors
    ///
    /// When the message has no form on the wire.
    pub async fn event<E: Event>(&mut self, message: &E::Msg<'_>) -> Result<(), ScriptError> {
        self.session.event::<E>(message)?;
        self.flush().await
    }

    /// Sends data on the stream that a call has opened. No data at all says that there is no more.
    ///
    /// # Errors
    ///
    /// When it does not fit into a packet.
    pub async fn stream_data(&mut self, route: Route, data: &[u8]) -> Result<(), ScriptError> {
        self.session
            .stream_data(route, Bytes::copy_from_slice(data))?;
        self.flush().await
    }

    /// Sends a hole on a stream, of a length that makes sense or not.
    ///
    /// # Errors
    ///
    /// As every method that writes.
    pub async fn stream_hole(&mut self, route: Route, length: i64) -> Result<(), ScriptError> {
        self.session.stream_hole(route, length);
        self.flush().await
    }

    /// Confirms that a stream was finished or aborted.
    ///
    /// # Errors
    ///
    /// As every method that writes.
    pub async fn stream_confirm(&mut self, route: Route) -> Result<(), ScriptError> {
        self.session.stream_confirm(route);
        self.flush().await
    }

    /// Fails a stream.
    ///
    /// # Errors
    ///
    /// When the error has no form on the wire.
    pub async fn stream_error(
        &mut self,
        route: Route,
        error: &RemoteError,
    ) -> Result<(), ScriptError> {
        self.session.stream_error(route, error)?;
        self.flush().await
    }

    /// Asks for a sign of life.
    ///
    /// # Errors
    ///
    /// As every method that writes.
    pub async fn ping(&mut self) -> Result<(), ScriptError> {
        self.send(&ping_header(), b"").await
    }

    /// Sends any packet.
    ///
    /// # Errors
    ///
    /// When it would exceed the limit of the protocol.
    pub async fn send(&mut self, header: &Header, payload: &[u8]) -> Result<(), ScriptError> {
        self.session.send(header, Bytes::copy_from_slice(payload))?;
        self.flush().await
    }

    /// Sends any bytes.
    ///
    /// # Errors
    ///
    /// When the byte stream fails in another way than by the client's going.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> Result<(), ScriptError> {
        self.flush().await?;
        self.unwritten = Bytes::copy_from_slice(bytes);
        self.flush().await
    }

    /// Writes what is there to be written.
    pub(super) async fn flush(&mut self) -> Result<(), ScriptError> {
        loop {
            while self.unwritten.has_remaining() && !self.deaf {
                match self.io.write(&self.unwritten).await {
                    Ok(written) if written > 0 => {
                        self.unwritten.advance(written);
                        self.sent += written as u64;
                    }
                    Err(error) if !is_hang_up(&error) => return Err(error.into()),
                    _ => self.deaf = true,
                }
            }
            match self.session.poll_transmit() {
                Some(bytes) => self.unwritten = bytes,
                None => break,
            }
        }
        if self.deaf {
            self.unwritten.clear();
            return Ok(());
        }
        match self.io.flush().await {
            Err(error) if !is_hang_up(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }
}
