//! One connection: bytes in, calls to their handlers, answers and events out.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};

use bytes::{Buf, Bytes};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};
use tracing::debug;
use virtwire_protocol::RemoteError;
use virtwire_protocol::constants::{ErrorCode, ErrorDomain};
use virtwire_protocol::frame::FrameDecoder;
use virtwire_protocol::session::{
    Request, Route, ServerOutput, ServerSession, StreamBody, StreamPacket,
};

use super::Shared;
use crate::call::{Call, StreamSlot};
use crate::hypervisor::ClientId;
use crate::hypervisor::client::Notice;
use crate::refusal::Result;
use crate::stream::{Sending, Sent, Stream};

/// How much may wait to be written before nothing more is read or taken from streams: a client that
/// does not read its answers gets no further ones.
const WRITE_AHEAD: usize = 1 << 20;

/// Serves a connection until it ends, the daemon restarts or the simulator is gone. The connection
/// is there from now on, even if it is not served yet.
pub(crate) fn serve<IO>(
    shared: Arc<Shared>,
    io: IO,
    read_only: bool,
) -> impl Future<Output = ()> + Send + use<IO>
where
    IO: AsyncRead + AsyncWrite + Send,
{
    let end = shared.end_of_run();
    let (id, notices) = shared.join(read_only);
    async move {
        let peer = Peer::new(Arc::clone(&shared), id);
        tokio::select! {
            () = end => {}
            ended = peer.run(io, notices) => if let Err(error) = ended {
                debug!(%error, "a connection ended");
            }
        }
        shared.leave(id);
    }
}

/// Something that a connection's own tasks have done.
enum Done {
    /// A call was answered.
    Call(Route, Result<Bytes>, StreamSlot),
    /// The work on a stream has ended.
    Stream(Route),
}

/// A stream that is open.
struct OpenStream {
    to_stream: mpsc::Sender<StreamBody>,
    /// What came for it and is not taken yet; each counts as a request in progress.
    waiting: VecDeque<StreamBody>,
}

struct Peer {
    shared: Arc<Shared>,
    id: ClientId,
    session: ServerSession,
    decoder: FrameDecoder,
    work: FuturesUnordered<Pin<Box<dyn Future<Output = Done> + Send>>>,
    streams: HashMap<Route, OpenStream>,
    room: Arc<Notify>,
    sending: mpsc::Sender<Sent>,
    sent: mpsc::Receiver<Sent>,
}

impl Peer {
    fn new(shared: Arc<Shared>, id: ClientId) -> Self {
        // One unsent packet at a time, which is libvirt's flow control towards the client.
        let (sending, sent) = mpsc::channel(1);
        Self {
            session: ServerSession::new(shared.server_config(), now()),
            shared,
            id,
            decoder: FrameDecoder::new(),
            work: FuturesUnordered::new(),
            streams: HashMap::new(),
            room: Arc::new(Notify::new()),
            sending,
            sent,
        }
    }

    async fn run<IO>(mut self, io: IO, mut notices: mpsc::Receiver<Notice>) -> io::Result<()>
    where
        IO: AsyncRead + AsyncWrite + Send,
    {
        let (mut reader, mut writer) = tokio::io::split(io);
        let mut writing = Bytes::new();
        loop {
            self.advance()?;
            if writing.is_empty() {
                writing = self.session.poll_transmit().unwrap_or_default();
            }
            let behind = writing.len() + self.session.pending_bytes() > WRITE_AHEAD;
            let timeout = self.session.poll_timeout();
            tokio::select! {
                read = reader.read_buf(self.decoder.buffer_mut()),
                    if self.session.wants_read() && !behind =>
                {
                    if read? == 0 {
                        return Ok(());
                    }
                }
                written = writer.write(&writing), if !writing.is_empty() => {
                    match written? {
                        0 => return Err(io::ErrorKind::WriteZero.into()),
                        length => writing.advance(length),
                    }
                }
                notice = notices.recv() => match notice {
                    Some(notice) => self.notice(notice),
                    // This client is too far behind.
                    None => return Ok(()),
                },
                Some(done) = self.work.next(), if !self.work.is_empty() => {
                    // What a handler caused before it answered is told before its answer.
                    while let Ok(notice) = notices.try_recv() {
                        self.notice(notice);
                    }
                    self.done(done);
                }
                Some((route, sending)) = self.sent.recv(), if !behind => self.send(route, sending),
                () = self.room.notified() => {}
                () = sleep_until(timeout.map_or_else(far_away, Instant::from_std)),
                    if timeout.is_some() => self.session.handle_timeout(now()),
            }
        }
    }

    /// Deals with what was read, as far as the limits allow.
    fn advance(&mut self) -> io::Result<()> {
        loop {
            self.deliver();
            if let Some(cause) = self.session.close_cause() {
                return Err(io::Error::other(cause.to_string()));
            }
            if !self.session.wants_read() {
                return Ok(());
            }
            let Some(frame) = self.decoder.next_frame().map_err(io::Error::other)? else {
                return Ok(());
            };
            self.session
                .handle_frame(frame, now())
                .map_err(io::Error::other)?;
            while let Some(output) = self.session.poll_output() {
                match output {
                    ServerOutput::Request(request) => self.request(request),
                    ServerOutput::Stream(packet) => self.stream_packet(packet)?,
                    _ => {}
                }
            }
        }
    }

    fn request(&mut self, request: Request) {
        let route = request.route;
        let slot = StreamSlot::default();
        let call = Call {
            shared: Arc::clone(&self.shared),
            client: self.id,
            stream: Arc::clone(&slot),
        };
        let answer = self.shared.answer(call, request);
        self.work.push(Box::pin(
            async move { Done::Call(route, answer.await, slot) },
        ));
    }

    /// Packets for streams that are not there are dropped silently, and holes are for those only
    /// that asked for them.
    fn stream_packet(&mut self, packet: StreamPacket) -> io::Result<()> {
        let StreamPacket { route, body, .. } = packet;
        match self.streams.get_mut(&route) {
            Some(stream) => stream.waiting.push_back(body),
            None => self.session.stream_consumed(1),
        }
        Ok(())
    }

    /// Hands packets to the streams that have room for them.
    fn deliver(&mut self) {
        for stream in self.streams.values_mut() {
            while !stream.waiting.is_empty() {
                let Ok(place) = stream.to_stream.try_reserve() else {
                    break;
                };
                if let Some(body) = stream.waiting.pop_front() {
                    place.send(body);
                    self.session.stream_consumed(1);
                }
            }
        }
    }

    fn notice(&mut self, notice: Notice) {
        match notice {
            // An event that was encoded fits a packet, or is dropped as libvirt drops it.
            Notice::Event(packet) => drop(self.session.send(&packet.header, packet.payload)),
            Notice::StartKeepalive(config) => self.session.set_keepalive(Some(config), now()),
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Call(route, Ok(payload), slot) => {
                self.open_stream(route, &slot);
                let reply = self.session.reply_with(route, |w| {
                    w.raw(&payload);
                    Ok(())
                });
                if let Err(error) = reply {
                    let error =
                        RemoteError::new(ErrorCode::RPC, ErrorDomain::RPC, error.to_string());
                    self.refuse(route, &error);
                }
            }
            Done::Call(route, Err(error), _) => self.refuse(route, &error),
            Done::Stream(route) => {
                if let Some(stream) = self.streams.remove(&route) {
                    self.session.stream_consumed(stream.waiting.len());
                }
            }
        }
    }

    fn refuse(&mut self, route: Route, error: &RemoteError) {
        if self.session.reply_error(route, error).is_err() {
            // Only an error text of megabytes does not fit.
            let short = RemoteError::new(error.code, error.domain, "");
            let _ = self.session.reply_error(route, &short);
        }
    }

    fn open_stream(&mut self, route: Route, slot: &StreamSlot) {
        let work = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(work) = work else { return };
        let (to_stream, received) = mpsc::channel(1);
        let work = work(Stream {
            route,
            received,
            room: Arc::clone(&self.room),
            sending: self.sending.clone(),
        });
        let waiting = VecDeque::new();
        self.streams
            .insert(route, OpenStream { to_stream, waiting });
        self.work.push(Box::pin(async move {
            work.await;
            Done::Stream(route)
        }));
    }

    fn send(&mut self, route: Route, sending: Sending) {
        match sending {
            Sending::Data(data) => drop(self.session.stream_data(route, data)),
            Sending::Hole(length) => self.session.stream_hole(route, length),
            Sending::Confirm => self.session.stream_confirm(route),
            Sending::Error(error) => drop(self.session.stream_error(route, &error)),
        }
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// A moment that is never waited for.
fn far_away() -> Instant {
    Instant::now()
}
