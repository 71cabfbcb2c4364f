//! Unix sockets.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

use crate::uri::UnixAddress;

/// The length of `sun_path`: libvirt pads abstract names to it.
const SUN_PATH: usize = 108;

/// The room for one read, which is zeroed first: little while replies are short, more as they
/// prove longer.
const ROOM: std::ops::RangeInclusive<usize> = 4 << 10..=256 << 10;

/// Connects to a local daemon.
pub(crate) async fn connect(address: &UnixAddress) -> io::Result<UnixSocket> {
    let stream = match address {
        UnixAddress::Path(path) => tokio::net::UnixStream::connect(path).await?.into_std()?,
        UnixAddress::Abstract(name) => connect_abstract(name).await?,
    };
    UnixSocket::new(stream)
}

async fn connect_abstract(name: &str) -> io::Result<UnixStream> {
    // One byte of `sun_path` is the zero that marks the name as abstract.
    let mut padded = name.as_bytes().to_vec();
    padded.resize(padded.len().max(SUN_PATH - 1), 0);
    let address = SocketAddr::from_abstract_name(padded)?;
    // Connecting waits for room in the backlog, so not on the runtime's own thread.
    let stream = tokio::task::spawn_blocking(move || UnixStream::connect_addr(&address))
        .await
        .map_err(io::Error::other)??;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// A socket that wakes its task when there is something to read, and for writing only while a
/// write waits.
///
/// The kernel announces a local socket as writable whenever the peer has taken bytes out of it,
/// which is once a call; a socket that listens to that is woken twice for every reply.
#[derive(Debug)]
pub(crate) struct UnixSocket {
    readable: AsyncFd<UnixStream>,
    /// A duplicate, registered for as long as a write waits.
    writable: Option<AsyncFd<UnixStream>>,
    room: usize,
}

impl UnixSocket {
    fn new(stream: UnixStream) -> io::Result<Self> {
        let readable = register(stream, Interest::READABLE)?;
        Ok(Self {
            readable,
            writable: None,
            room: *ROOM.start(),
        })
    }

    fn poll_write_with(
        &mut self,
        context: &mut Context<'_>,
        write: impl Fn(&UnixStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if self.writable.is_none() {
            match write(self.readable.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let duplicate = self.readable.get_ref().try_clone()?;
                    let waiting = register(duplicate, Interest::WRITABLE)?;
                    self.writable = Some(waiting);
                }
                done => return Poll::Ready(done),
            }
        }
        let Some(writable) = &self.writable else {
            return Poll::Pending;
        };
        loop {
            let mut guard = ready!(writable.poll_write_ready(context))?;
            if let Ok(done) = guard.try_io(|socket| write(socket.get_ref())) {
                self.writable = None;
                return Poll::Ready(done);
            }
        }
    }
}

/// Tells the runtime what to wake us for.
#[expect(
    deprecated,
    reason = "its successor is unsafe for the sake of types that change their descriptor; a \
              standard stream keeps its own for as long as it lives"
)]
fn register(stream: UnixStream, interest: Interest) -> io::Result<AsyncFd<UnixStream>> {
    AsyncFd::with_interest(stream, interest)
}

impl AsyncRead for UnixSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            let mut guard = ready!(this.readable.poll_read_ready(context))?;
            let room = buffer.remaining().min(this.room);
            let unfilled = buffer.initialize_unfilled_to(room);
            let Ok(read) = guard.try_io(|socket| socket.get_ref().read(unfilled)) else {
                continue;
            };
            let count = read?;
            // Fewer bytes than there is room for: there are no more, and the next announces itself.
            if (1..room).contains(&count) {
                guard.clear_ready();
            }
            buffer.advance(count);
            // Down by halves only: the last piece of a long reply is short.
            this.room = (2 * count)
                .max(this.room / 2)
                .clamp(*ROOM.start(), *ROOM.end());
            return Poll::Ready(Ok(()));
        }
    }
}

impl AsyncWrite for UnixSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(context, |mut socket| socket.write(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(context, |mut socket| socket.write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.readable.get_ref().shutdown(Shutdown::Write))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn pair() -> (UnixSocket, tokio::net::UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let theirs = tokio::net::UnixStream::from_std(theirs).unwrap();
        (UnixSocket::new(ours).unwrap(), theirs)
    }

    #[tokio::test]
    async fn more_than_fits_into_the_kernel_goes_through_both_ways() {
        let (ours, theirs) = pair();
        let data: Vec<u8> = (0..4 << 20).map(|i: u32| i.to_le_bytes()[1]).collect();
        let (mut our_reader, mut our_writer) = tokio::io::split(ours);
        let (mut their_reader, mut their_writer) = tokio::io::split(theirs);
        let (mut sent, mut received) = (Vec::new(), Vec::new());
        let (a, b, c, d) = tokio::join!(
            async {
                our_writer.write_all(&data).await?;
                our_writer.shutdown().await
            },
            async {
                their_writer.write_all(&data).await?;
                their_writer.shutdown().await
            },
            our_reader.read_to_end(&mut received),
            their_reader.read_to_end(&mut sent),
        );
        for done in [a, b, c.map(drop), d.map(drop)] {
            done.unwrap();
        }
        assert!(sent == data && received == data);
    }

    #[tokio::test]
    async fn end_of_file_is_seen_after_the_last_bytes() {
        let (mut ours, mut theirs) = pair();
        theirs.write_all(b"last").await.unwrap();
        drop(theirs);
        let mut received = Vec::new();
        ours.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"last");
        assert!(ours.write_all(b"too late").await.is_err());
    }
}
