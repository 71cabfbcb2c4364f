//! One connection: bytes in, calls to their handlers, answers and events out.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};

use bytes::{Buf, Bytes};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tracing::debug;
use virtwire_protocol::RemoteError;
use virtwire_protocol::constants::{ErrorCode, ErrorDomain};
use virtwire_protocol::frame::{FrameDecoder, PREFIX_LEN};
use virtwire_protocol::session::{Request, Route, ServerOutput, ServerSession, StreamPacket};

use super::Shared;
use super::streams::Streams;
use super::unwritten::{Packet, Unwritten};
use crate::call::{Call, StreamSlot};
use crate::hypervisor::ClientId;
use crate::hypervisor::client::Notice;
use crate::refusal::Result;
use crate::stream::{Said, Saying, StreamId};

/// How many bytes of events may wait to be written. libvirt has no limit; here a client that does
/// not read is cut off beyond it, so that they do not fill the memory.
const MAX_EVENT_BYTES: usize = 8 << 20;

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
    /// The work on a stream has ended; the stream itself has said what there is to say.
    Stream,
}

struct Peer {
    shared: Arc<Shared>,
    id: ClientId,
    session: ServerSession,
    decoder: FrameDecoder,
    work: FuturesUnordered<Pin<Box<dyn Future<Output = Done> + Send>>>,
    streams: Streams,
    /// The piece of the session's bytes that is being written.
    writing: Bytes,
    unwritten: Unwritten,
}

impl Peer {
    fn new(shared: Arc<Shared>, id: ClientId) -> Self {
        Self {
            session: ServerSession::new(shared.server_config(), now()),
            shared,
            id,
            decoder: FrameDecoder::new(),
            work: FuturesUnordered::new(),
            streams: Streams::new(),
            writing: Bytes::new(),
            unwritten: Unwritten::default(),
        }
    }

    async fn run<IO>(mut self, io: IO, mut notices: mpsc::Receiver<Notice>) -> io::Result<()>
    where
        IO: AsyncRead + AsyncWrite + Send,
    {
        let (mut reader, mut writer) = tokio::io::split(io);
        loop {
            self.advance()?;
            if self.writing.is_empty() {
                self.writing = self.session.poll_transmit().unwrap_or_default();
            }
            let timeout = self.session.poll_timeout();
            let may_read = self.may_read();
            tokio::select! {
                read = reader.read_buf(self.decoder.buffer_mut()), if may_read => {
                    if read? == 0 {
                        return Ok(());
                    }
                }
                written = writer.write(&self.writing), if !self.writing.is_empty() => {
                    match written? {
                        0 => return Err(io::ErrorKind::WriteZero.into()),
                        length => self.written(length),
                    }
                }
                notice = notices.recv() => match notice {
                    Some(notice) => self.notice(notice)?,
                    // This client is too far behind.
                    None => return Ok(()),
                },
                Some(done) = self.work.next(), if !self.work.is_empty() => {
                    // What a handler caused before it answered is told before its answer.
                    while let Ok(notice) = notices.try_recv() {
                        self.notice(notice)?;
                    }
                    self.done(done);
                }
                Some(said) = self.streams.listen() => self.said(said)?,
                () = sleep_until(timeout.map_or_else(far_away, Instant::from_std)),
                    if timeout.is_some() => self.session.handle_timeout(now()),
            }
        }
    }

    /// Deals with what was read, as far as the limits allow.
    fn advance(&mut self) -> io::Result<()> {
        loop {
            if let Some(cause) = self.session.close_cause() {
                return Err(io::Error::other(cause.to_string()));
            }
            if !self.may_read() {
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
                    ServerOutput::Stream(packet) => self.stream_packet(packet),
                    _ => {}
                }
            }
        }
    }

    /// Packets for streams that are not there, or not yet, are dropped.
    fn stream_packet(&mut self, packet: StreamPacket) {
        let StreamPacket { route, body, .. } = packet;
        if !self.streams.give(route, body) {
            self.session.stream_consumed(1);
        }
    }

    /// A request counts until its answer is written.
    fn may_read(&self) -> bool {
        let requests = self.session.requests_in_progress() + self.unwritten.replies();
        self.session.wants_read() && requests < self.shared.settings.max_client_requests
    }

    fn request(&mut self, request: Request) {
        let route = request.route;
        let slot = StreamSlot::default();
        let call = Call {
            shared: Arc::clone(&self.shared),
            client: self.id,
            procedure: (route.program, route.procedure),
            stream: Arc::clone(&slot),
        };
        let answer = self.shared.answer(call, request);
        self.work.push(Box::pin(
            async move { Done::Call(route, answer.await, slot) },
        ));
    }

    fn notice(&mut self, notice: Notice) -> io::Result<()> {
        match notice {
            Notice::Event(packet) => {
                let length = packet.payload.len() + PREFIX_LEN;
                // An event that was encoded fits a packet, or is dropped as libvirt drops it.
                if self.session.send(&packet.header, packet.payload).is_ok() {
                    self.queued(Packet::Event(length));
                }
            }
            Notice::StartKeepalive(config) => self.session.set_keepalive(Some(config), now()),
        }
        if self.unwritten.event_bytes() > MAX_EVENT_BYTES {
            return Err(io::Error::other("the client does not read its events"));
        }
        Ok(())
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Call(route, Ok(payload), slot) => match self.open_stream(route, &slot) {
                Ok(()) => self.reply(route, &payload),
                Err(error) => self.refuse(route, &error),
            },
            Done::Call(route, Err(error), _) => self.refuse(route, &error),
            Done::Stream => {}
        }
    }

    fn reply(&mut self, route: Route, payload: &Bytes) {
        let reply = self.session.reply_with(route, |w| {
            w.raw(payload);
            Ok(())
        });
        match reply {
            Ok(()) => self.queued(Packet::Reply),
            Err(error) => {
                let error = RemoteError::new(ErrorCode::RPC, ErrorDomain::RPC, error.to_string());
                self.refuse(route, &error);
            }
        }
    }

    fn refuse(&mut self, route: Route, error: &RemoteError) {
        if self.session.reply_error(route, error).is_err() {
            // Only an error text of megabytes does not fit.
            let short = RemoteError::new(error.code, error.domain, "");
            let _ = self.session.reply_error(route, &short);
        }
        self.queued(Packet::Reply);
    }

    fn open_stream(&mut self, route: Route, slot: &StreamSlot) -> Result<()> {
        let work = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(work) = work else { return Ok(()) };
        if self.streams.is_full() {
            let what = "too many streams";
            return Err(RemoteError::new(ErrorCode::RPC, ErrorDomain::STREAMS, what));
        }
        let work = self.streams.open(route, work);
        self.work.push(Box::pin(async move {
            work.await;
            Done::Stream
        }));
        Ok(())
    }

    /// Does what a stream says. One that has ended has no more to say.
    fn said(&mut self, (id, saying): Said) -> io::Result<()> {
        let Some(route) = self.streams.route(id) else {
            return Ok(());
        };
        match saying {
            Saying::Consumed => {
                if self.streams.consumed(id) {
                    self.session.stream_consumed(1);
                }
            }
            Saying::Data(data) => {
                // What libvirt sends on a stream is far from the limit of a packet.
                let _ = self.session.stream_data(route, data);
                self.queued(Packet::Stream(id));
            }
            Saying::Hole(length) => {
                self.session.stream_hole(route, length);
                self.queued(Packet::Stream(id));
            }
            Saying::Confirm => {
                self.session.stream_confirm(route);
                self.close_stream(id);
            }
            Saying::Error(error) => {
                let _ = self.session.stream_error(route, &error);
                self.close_stream(id);
            }
            Saying::HoleError(error) => {
                if self.streams.consumed(id) {
                    self.refuse(route, &error);
                }
                self.close_stream(id);
            }
            Saying::UnexpectedHole => return Err(io::Error::other("unexpected stream hole")),
            Saying::Dropped => self.close_stream(id),
        }
        Ok(())
    }

    fn close_stream(&mut self, id: StreamId) {
        let in_hand = self.streams.close(id);
        self.session.stream_consumed(in_hand);
    }

    /// Notes that a packet was just put into the queue.
    fn queued(&mut self, packet: Packet) {
        let queued = self.writing.len() + self.session.pending_bytes();
        self.unwritten.push(queued, packet);
    }

    fn written(&mut self, length: usize) {
        self.writing.advance(length);
        self.unwritten.advance(length);
        while let Some(packet) = self.unwritten.next() {
            if let Packet::Stream(id) = packet {
                self.streams.written(id);
            }
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
