use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::line::{Line, Step};
use super::{Cut, Plan, Record, Recorder};

/// How much is read or taken for writing at once.
const LOT: usize = 16 << 10;

/// The client's end of a byte stream, with faults.
///
/// What is read from it is on its way to the client, what is written to it on its way to the
/// daemon. At an end or a reset the byte stream is dropped, so that the daemon finds it closed.
#[derive(Debug)]
pub struct Faulty<IO> {
    /// `None` after an end or a reset.
    io: Option<IO>,
    cut: Option<Cut>,
    to_client: Direction,
    to_daemon: Direction,
    /// Taken from `to_daemon` and not written yet.
    unwritten: Bytes,
    /// Who waits for something to read.
    reader: Option<Waker>,
    recorder: Option<Recorder>,
}

#[derive(Debug)]
struct Direction {
    line: Line,
    delay: Option<Pin<Box<Sleep>>>,
    /// Whether this direction alone has ended.
    closed: bool,
}

impl<IO> Faulty<IO> {
    /// The same byte stream, on which this goes wrong.
    #[must_use]
    pub fn new(io: IO, plan: Plan) -> Self {
        let Plan {
            to_client,
            to_daemon,
        } = plan;
        Self {
            io: Some(io),
            cut: None,
            to_client: Direction::new(Line::new(&to_client)),
            to_daemon: Direction::new(Line::new(&to_daemon)),
            unwritten: Bytes::new(),
            reader: None,
            recorder: None,
        }
    }

    /// Leaves the record of what has passed there when it is dropped.
    #[must_use]
    pub fn recorded_by(mut self, recorder: &Recorder) -> Self {
        self.recorder = Some(recorder.clone());
        self
    }

    fn cut(&mut self, cut: Cut) {
        self.io = None;
        self.cut = Some(cut);
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl<IO: AsyncRead + Unpin> Faulty<IO> {
    /// Reads what the daemon has sent into the line.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(io) = &mut self.io else {
            return Poll::Ready(Ok(()));
        };
        let mut bytes = [0; LOT];
        let mut buffer = ReadBuf::new(&mut bytes);
        ready!(Pin::new(io).poll_read(context, &mut buffer))?;
        match buffer.filled() {
            [] => self.to_client.line.finish(),
            filled => self.to_client.line.push(filled),
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> Faulty<IO> {
    /// Writes what may pass to the daemon.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let Some(io) = &mut self.io else {
                return Poll::Ready(Ok(()));
            };
            if self.unwritten.has_remaining() {
                let written = ready!(Pin::new(io).poll_write(context, &self.unwritten))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.unwritten.advance(written);
                continue;
            }
            if self.to_daemon.closed {
                return Poll::Ready(Ok(()));
            }
            ready!(self.to_daemon.poll_delay(context));
            match self.to_daemon.line.next(LOT) {
                Step::Read => return Poll::Ready(Ok(())),
                Step::Pass(bytes) => self.unwritten = bytes,
                Step::Wait(time) => self.to_daemon.delay = Some(Box::pin(sleep(time))),
                Step::Stall => return Poll::Pending,
                Step::HalfClose => {
                    ready!(Pin::new(io).poll_shutdown(context))?;
                    self.to_daemon.closed = true;
                }
                Step::End => self.cut(Cut::End),
                Step::Reset => self.cut(Cut::Reset),
            }
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for Faulty<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.reader = Some(context.waker().clone());
        loop {
            match this.cut {
                Some(Cut::End) => return Poll::Ready(Ok(())),
                Some(Cut::Reset) => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                None => {}
            }
            if this.to_client.closed || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            ready!(this.to_client.poll_delay(context));
            match this.to_client.line.next(buffer.remaining()) {
                Step::Read => ready!(this.poll_fill(context))?,
                Step::Pass(bytes) => {
                    buffer.put_slice(&bytes);
                    return Poll::Ready(Ok(()));
                }
                Step::Wait(time) => this.to_client.delay = Some(Box::pin(sleep(time))),
                Step::Stall => return Poll::Pending,
                Step::HalfClose => this.to_client.closed = true,
                Step::End => this.cut(Cut::End),
                Step::Reset => this.cut(Cut::Reset),
            }
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Faulty<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(context))?;
        if let Some(cut) = self.cut {
            return Poll::Ready(Err(cut.on_write().into()));
        }
        let taken = bytes.len().min(LOT);
        if !self.to_daemon.closed {
            self.to_daemon
                .line
                .push(bytes.get(..taken).unwrap_or_default());
            // The rest of the way is for later calls, should it not be free now.
            if let Poll::Ready(Err(error)) = self.poll_drain(context) {
                return Poll::Ready(Err(error));
            }
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        match &mut self.io {
            Some(io) => Pin::new(io).poll_flush(context),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        self.to_daemon.line.finish();
        self.poll_drain(context)
    }
}

impl<IO> Drop for Faulty<IO> {
    fn drop(&mut self) {
        if let Some(recorder) = &self.recorder {
            recorder.keep(Record {
                to_client: self.to_client.line.trace().clone(),
                to_daemon: self.to_daemon.line.trace().clone(),
            });
        }
    }
}

impl Direction {
    fn new(line: Line) -> Self {
        Self {
            line,
            delay: None,
            closed: false,
        }
    }

    /// Waits out a delay.
    fn poll_delay(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(delay) = &mut self.delay {
            ready!(delay.as_mut().poll(context));
            self.delay = None;
        }
        Poll::Ready(())
    }
}

impl Cut {
    fn on_write(self) -> io::ErrorKind {
        match self {
            Self::End => io::ErrorKind::BrokenPipe,
            Self::Reset => io::ErrorKind::ConnectionReset,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::{Instant, timeout};

    use super::super::{At, Fault};
    use super::*;

    fn pair(plan: Plan) -> (Faulty<DuplexStream>, DuplexStream) {
        let (client, daemon) = duplex(64);
        (Faulty::new(client, plan), daemon)
    }

    fn to_client(fault: Fault) -> Plan {
        Plan::default().to_client(fault)
    }

    fn to_daemon(fault: Fault) -> Plan {
        Plan::default().to_daemon(fault)
    }

    #[tokio::test]
    async fn without_faults_everything_passes_both_ways() {
        let recorder = Recorder::default();
        let (client, mut daemon) = pair(Plan::default());
        let mut client = client.recorded_by(&recorder);
        let long = vec![7; 100_000];
        let mut heard = Vec::new();
        let (sent, received) = tokio::join!(
            async {
                client.write_all(&long).await?;
                client.shutdown().await
            },
            daemon.read_to_end(&mut heard)
        );
        sent.unwrap();
        assert_eq!(received.unwrap(), long.len());
        daemon.write_all(b"back").await.unwrap();
        drop(daemon);
        heard.clear();
        client.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"back");
        assert_eq!(recorder.record(), None);
        drop(client);
        let record = recorder.record().unwrap();
        assert_eq!(
            (record.to_daemon.bytes, record.to_client.bytes),
            (100_000, 4)
        );
    }

    #[tokio::test]
    async fn bytes_come_one_by_one_in_either_direction() {
        let (mut client, mut daemon) = pair(to_client(Fault::OneByOne));
        daemon.write_all(b"ab").await.unwrap();
        assert_eq!(client.read(&mut [0; 9]).await.unwrap(), 1);
        let (mut client, mut daemon) = pair(to_daemon(Fault::OneByOne));
        client.write_all(b"ab").await.unwrap();
        client.flush().await.unwrap();
        assert_eq!(daemon.read(&mut [0; 9]).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn end_and_reset_on_the_way_to_the_client_close_both_ways() {
        for (fault, reset) in [(Fault::End as fn(At) -> Fault, false), (Fault::Reset, true)] {
            let (mut client, mut daemon) = pair(to_client(fault(At::Byte(1))));
            daemon.write_all(b"ab").await.unwrap();
            assert_eq!(client.read_u8().await.unwrap(), b'a');
            match client.read(&mut [0]).await {
                Ok(count) => assert!(count == 0 && !reset),
                Err(error) => assert!(reset && error.kind() == io::ErrorKind::ConnectionReset),
            }
            assert!(client.write_all(b"x").await.is_err());
            assert_eq!(daemon.read(&mut [0]).await.unwrap(), 0);
        }
    }

    #[tokio::test]
    async fn end_and_reset_on_the_way_to_the_daemon_wake_the_reader() {
        for fault in [Fault::End, Fault::Reset] {
            let (client, mut daemon) = pair(to_daemon(fault(At::Byte(1))));
            let (mut reader, mut writer) = tokio::io::split(client);
            let reading = tokio::spawn(async move { reader.read(&mut [0; 9]).await });
            tokio::task::yield_now().await;
            let _ = writer.write_all(b"ab").await;
            assert!(!matches!(reading.await.unwrap(), Ok(1..)));
            let mut heard = Vec::new();
            daemon.read_to_end(&mut heard).await.unwrap();
            assert_eq!(heard, b"a");
        }
    }

    #[tokio::test]
    async fn half_close_loses_one_direction_only() {
        let (mut client, mut daemon) = pair(to_daemon(Fault::HalfClose(At::Byte(1))));
        client.write_all(b"abc").await.unwrap();
        client.write_all(&[0; 1000]).await.unwrap();
        let mut heard = Vec::new();
        daemon.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"a");
        daemon.write_all(b"x").await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'x');

        let (mut client, mut daemon) = pair(to_client(Fault::HalfClose(At::Byte(0))));
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        client.write_all(b"x").await.unwrap();
        assert_eq!(daemon.read_u8().await.unwrap(), b'x');
    }

    #[tokio::test(start_paused = true)]
    async fn stall_lets_nothing_pass_and_delay_lets_it_pass_later() {
        let second = Duration::from_secs(1);
        let (mut client, mut daemon) = pair(to_client(Fault::Stall(At::Byte(0))));
        daemon.write_all(b"a").await.unwrap();
        assert!(timeout(1000 * second, client.read_u8()).await.is_err());

        let (mut client, mut daemon) = pair(to_daemon(Fault::Stall(At::Byte(1))));
        client.write_all(b"ab").await.unwrap();
        assert!(
            timeout(1000 * second, client.write_all(b"c"))
                .await
                .is_err()
        );
        assert_eq!(daemon.read(&mut [0; 9]).await.unwrap(), 1);

        let plan = to_client(Fault::Delay(At::Byte(0), second))
            .to_daemon(Fault::Delay(At::Byte(0), second));
        let (mut client, mut daemon) = pair(plan);
        let start = Instant::now();
        daemon.write_all(b"a").await.unwrap();
        client.read_u8().await.unwrap();
        assert_eq!(start.elapsed(), second);
        client.write_all(b"a").await.unwrap();
        let (flushed, heard) = tokio::join!(client.flush(), daemon.read_u8());
        flushed.unwrap();
        heard.unwrap();
        assert_eq!(start.elapsed(), 2 * second);
    }
}
