//! A byte stream with a fault at a certain byte of what is read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What goes wrong with the bytes that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// They come one by one.
    OneByOne,
    /// No read goes beyond this many bytes from the start before the next one.
    SplitAt(usize),
    /// The stream ends after so many bytes.
    EndAt(usize),
    /// The stream breaks after so many bytes.
    ResetAt(usize),
    /// Nothing comes after so many bytes.
    StallAt(usize),
    /// The byte at this position is inverted.
    FlipAt(usize),
}

/// A byte stream with a fault.
#[derive(Debug)]
pub struct Faulty<IO> {
    io: IO,
    fault: Fault,
    position: usize,
}

impl<IO> Faulty<IO> {
    /// Reads from `io` meet the fault; writes do not.
    pub const fn new(io: IO, fault: Fault) -> Self {
        Self {
            io,
            fault,
            position: 0,
        }
    }

    /// How many bytes may be read before the fault has its effect.
    fn allowance(&self) -> usize {
        match self.fault {
            Fault::OneByOne => 1,
            Fault::SplitAt(at) | Fault::FlipAt(at) if at <= self.position => usize::MAX,
            Fault::SplitAt(at)
            | Fault::EndAt(at)
            | Fault::ResetAt(at)
            | Fault::StallAt(at)
            | Fault::FlipAt(at) => at.saturating_sub(self.position),
        }
    }

    /// What a read meets where nothing is allowed any more.
    fn strike(&self) -> Poll<io::Result<()>> {
        match self.fault {
            Fault::ResetAt(_) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Fault::StallAt(_) => Poll::Pending,
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Faulty<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let flips = self.fault == Fault::FlipAt(self.position);
        let allowance = if flips { 1 } else { self.allowance() };
        if allowance == 0 {
            return self.strike();
        }
        let mut bytes = [0; 4096];
        let length = bytes.len().min(allowance).min(buffer.remaining());
        let mut part = ReadBuf::new(bytes.get_mut(..length).unwrap_or_default());
        ready!(Pin::new(&mut self.io).poll_read(context, &mut part))?;
        if flips {
            part.filled_mut().iter_mut().for_each(|byte| *byte = !*byte);
        }
        self.position += part.filled().len();
        buffer.put_slice(part.filled());
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Faulty<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
