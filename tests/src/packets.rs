//! Packets on their way between a client and a daemon.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use virtwire_protocol::Procedure;
use virtwire_protocol::frame::{Frame, FrameDecoder, encode_frame};
use virtwire_protocol::header::MessageType;

/// One way through a relay, packet by packet.
#[derive(Debug)]
pub struct Way {
    from: OwnedReadHalf,
    into: OwnedWriteHalf,
    decoder: FrameDecoder,
}

impl Way {
    /// The way from the first to the second, and the way back.
    #[must_use]
    pub fn between(client: UnixStream, daemon: UnixStream) -> (Self, Self) {
        let (from_client, into_client) = client.into_split();
        let (from_daemon, into_daemon) = daemon.into_split();
        let way = |from, into| Self {
            from,
            into,
            decoder: FrameDecoder::new(),
        };
        (way(from_client, into_daemon), way(from_daemon, into_client))
    }

    /// The next packet that comes; `None` at the end, which is passed on.
    ///
    /// # Errors
    ///
    /// When a side fails, or says what is no packet.
    pub async fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.decoder.next_frame().map_err(io::Error::other)? {
                return Ok(Some(frame));
            }
            if self.from.read_buf(self.decoder.buffer_mut()).await? == 0 {
                self.into.shutdown().await?;
                return Ok(None);
            }
        }
    }

    /// Passes a packet on.
    ///
    /// # Errors
    ///
    /// When the other side takes it no more.
    pub async fn pass(&mut self, frame: &Frame) -> io::Result<()> {
        let mut packet = BytesMut::new();
        let encoded = encode_frame(&mut packet, &frame.header, |w| {
            w.raw(&frame.payload);
            Ok(())
        });
        encoded.map_err(io::Error::other)?;
        self.into.write_all(&packet).await
    }

    /// Passes on all that comes.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next) and [`pass`](Self::pass).
    pub async fn pass_all(&mut self) -> io::Result<()> {
        while let Some(frame) = self.next().await? {
            self.pass(&frame).await?;
        }
        Ok(())
    }
}

/// Whether the packet is one of this procedure, and of this kind.
#[must_use]
pub fn is<P: Procedure>(frame: &Frame, kind: MessageType) -> bool {
    let header = &frame.header;
    (header.program, header.procedure, header.kind) == (P::PROGRAM, P::NUMBER, kind)
}
