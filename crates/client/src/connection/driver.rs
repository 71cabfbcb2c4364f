//! The one place that touches the socket.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, Sleep};
use virtwire_protocol::frame::FrameDecoder;
use virtwire_protocol::remote;
use virtwire_protocol::session::{
    CallFailure, CallRequest, ClientConfig, ClientSession, CloseCause, KeepaliveConfig, Output,
    Reply, ReplyError,
};
use virtwire_xdr::{Decode, Reader};

use super::command::{Command, Control};
use crate::event::{RegistrationKey, Registry, RegistryCall};

/// How often the driver goes round in one poll before it lets other tasks run.
const ROUNDS: usize = 32;

/// How many pieces one system call writes at most.
const WRITE_PIECES: usize = 16;

/// The future that moves bytes between the socket and the handles.
///
/// It ends when the connection does, with the cause. [`Builder::connect`](super::Builder::connect)
/// spawns it; who uses [`Builder::connect_with_io`](super::Builder::connect_with_io) has to poll
/// it. Dropping it closes the connection.
#[must_use = "nothing moves on the connection unless the driver is polled"]
pub struct Driver<IO> {
    io: IO,
    decoder: FrameDecoder,
    session: ClientSession<Waiter>,
    max_in_flight: usize,
    registry: Registry,
    outgoing: VecDeque<Bytes>,
    /// Whether bytes were written that the byte stream may still hold back.
    unflushed: bool,
    commands: Commands,
    ending: Ending,
    timer: Pin<Box<Sleep>>,
    closed: watch::Sender<Option<Arc<CloseCause>>>,
}

/// The driver's ends of the channels that the handles hold.
#[derive(Debug)]
pub(super) struct Commands {
    pub(super) ordinary: mpsc::Receiver<Command>,
    pub(super) urgent: mpsc::Receiver<Command>,
    pub(super) control: mpsc::UnboundedReceiver<Control>,
}

/// Who waits for a call to end.
#[derive(Debug)]
enum Waiter {
    Caller(oneshot::Sender<Result<Bytes, CallFailure>>),
    Register(RegistrationKey),
    Deregister(RegistrationKey),
    Close,
}

/// How far an orderly end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    No,
    /// No new calls; those in flight are waited for, since the daemon closes the socket after
    /// the next packet it sends once it was told to close.
    Draining,
    /// The daemon was told.
    Told,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Driver<IO> {
    pub(super) fn new(
        io: IO,
        config: ClientConfig,
        commands: Commands,
        closed: watch::Sender<Option<Arc<CloseCause>>>,
    ) -> Self {
        let now = Instant::now();
        Self {
            io,
            decoder: FrameDecoder::new(),
            session: ClientSession::new(config, now.into_std()),
            max_in_flight: config.max_in_flight.max(1),
            registry: Registry::default(),
            outgoing: VecDeque::new(),
            unflushed: false,
            commands,
            ending: Ending::No,
            timer: Box::pin(tokio::time::sleep_until(now)),
            closed,
        }
    }

    /// Begins to watch over the daemon's life.
    pub(super) fn start_keepalive(&mut self, keepalive: Option<KeepaliveConfig>) {
        self.session
            .set_keepalive(keepalive, Instant::now().into_std());
    }

    fn poll_rounds(&mut self, context: &mut Context<'_>) -> Poll<Arc<CloseCause>> {
        for _ in 0..ROUNDS {
            let mut progress = self.poll_control(context);
            progress |= self.poll_commands(context);
            self.make_own_calls();
            progress |= self.poll_write(context);
            progress |= self.poll_read(context);
            progress |= self.poll_timer(context);
            self.take_outputs();
            if let Some(cause) = self.session.close_cause() {
                return Poll::Ready(Arc::clone(cause));
            }
            if !progress {
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_control(&mut self, context: &mut Context<'_>) -> bool {
        let Poll::Ready(control) = self.commands.control.poll_recv(context) else {
            return false;
        };
        match control {
            Some(Control::Subscribe(subscribe)) => self.registry.subscribe(subscribe),
            Some(Control::Unsubscribe(id)) => self.registry.unsubscribe(id),
            Some(Control::Close) if self.ending == Ending::No => self.ending = Ending::Draining,
            Some(Control::Close) => {}
            // Without a handle there is nobody to work for.
            Some(Control::Abort) | None => self.session.close(CloseCause::Requested),
        }
        true
    }

    /// Takes calls only while there is a place for them, so that those beyond wait in the channel
    /// in the order they came, and their senders with them.
    fn poll_commands(&mut self, context: &mut Context<'_>) -> bool {
        let mut progress = false;
        self.session.retain_waiting(Waiter::is_wanted);
        while self.ending == Ending::No && self.session.waiting_calls() < self.max_in_flight {
            let Poll::Ready(Some(command)) = self.commands.urgent.poll_recv(context) else {
                break;
            };
            self.make_call(command);
            progress = true;
        }
        while self.ending == Ending::No
            && self.session.waiting_calls() + self.session.calls_in_flight() < self.max_in_flight
        {
            let Poll::Ready(Some(command)) = self.commands.ordinary.poll_recv(context) else {
                break;
            };
            self.make_call(command);
            progress = true;
        }
        progress
    }

    fn make_call(&mut self, Command { request, answer }: Command) {
        // Nobody waits for a call that was dropped in the queue.
        if !answer.is_closed() {
            self.session.call(request, Waiter::Caller(answer));
        }
    }

    /// The calls that the driver makes itself.
    fn make_own_calls(&mut self) {
        while let Some(call) = self.registry.next_call() {
            match call {
                RegistryCall::Register(key, request) => {
                    self.session.call(request, Waiter::Register(key));
                }
                RegistryCall::Deregister(key, request) => {
                    self.session.call(request, Waiter::Deregister(key));
                }
            }
        }
        let idle = self.session.waiting_calls() + self.session.calls_in_flight() == 0;
        if self.ending == Ending::Draining && idle {
            self.ending = Ending::Told;
            match CallRequest::new::<remote::ConnectClose>(&()) {
                Ok(request) => {
                    self.session.call(request, Waiter::Close);
                }
                Err(_) => self.session.close(CloseCause::Requested),
            }
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> bool {
        while self.outgoing.len() < WRITE_PIECES {
            let Some(piece) = self.session.poll_transmit() else {
                break;
            };
            self.outgoing.push_back(piece);
        }
        if self.outgoing.is_empty() {
            return self.poll_flush(context);
        }
        match self.poll_write_pieces(context) {
            Poll::Pending => false,
            Poll::Ready(Ok(0)) => {
                self.fail_write(context, io::ErrorKind::WriteZero.into());
                true
            }
            Poll::Ready(Ok(written)) => {
                self.advance(written);
                self.unflushed = true;
                true
            }
            Poll::Ready(Err(error)) => {
                self.fail_write(context, error);
                true
            }
        }
    }

    /// The daemon takes nothing any more. What it said before it went is still there to be read:
    /// answers, and the end of the byte stream, which says more than a failed write.
    fn fail_write(&mut self, context: &mut Context<'_>, error: io::Error) {
        for _ in 0..ROUNDS {
            if self.session.close_cause().is_some() || !self.poll_read(context) {
                break;
            }
        }
        self.session.close(CloseCause::Io(error));
    }

    /// Sockets need no flushing, but a byte stream of the caller may hold bytes back.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> bool {
        if !self.unflushed {
            return false;
        }
        match Pin::new(&mut self.io).poll_flush(context) {
            Poll::Pending => return false,
            Poll::Ready(Ok(())) => self.unflushed = false,
            Poll::Ready(Err(error)) => self.fail_write(context, error),
        }
        true
    }

    fn poll_write_pieces(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let io = Pin::new(&mut self.io);
        match self.outgoing.iter().next() {
            Some(piece) if self.outgoing.len() == 1 => io.poll_write(context, piece),
            _ => {
                let mut slices = [IoSlice::new(&[]); WRITE_PIECES];
                for (slice, piece) in slices.iter_mut().zip(&self.outgoing) {
                    *slice = IoSlice::new(piece);
                }
                io.poll_write_vectored(context, &slices)
            }
        }
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(piece) = self.outgoing.front_mut() {
            if written < piece.len() {
                piece.advance(written);
                return;
            }
            written -= piece.len();
            self.outgoing.pop_front();
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> bool {
        let read = pin!(self.io.read_buf(self.decoder.buffer_mut())).poll(context);
        match read {
            Poll::Pending => return false,
            Poll::Ready(Ok(0)) => self.session.close(CloseCause::EndOfFile),
            Poll::Ready(Ok(_)) => self.take_frames(),
            Poll::Ready(Err(error)) => self.session.close(CloseCause::Io(error)),
        }
        true
    }

    fn take_frames(&mut self) {
        let now = Instant::now().into_std();
        self.session.handle_bytes(now);
        loop {
            match self.decoder.next_frame() {
                Ok(Some(frame)) => {
                    if self.session.handle_frame(frame, now).is_err() {
                        return;
                    }
                    self.take_outputs();
                }
                Ok(None) => return,
                Err(error) => return self.session.close(CloseCause::Frame(error)),
            }
        }
    }

    /// The timer is set again when it fires, not whenever a packet puts the deadline off.
    fn poll_timer(&mut self, context: &mut Context<'_>) -> bool {
        let Some(deadline) = self.session.poll_timeout().map(Instant::from_std) else {
            return false;
        };
        if deadline < self.timer.deadline() || self.timer.is_elapsed() {
            self.timer.as_mut().reset(deadline);
        }
        if self.timer.as_mut().poll(context).is_pending() {
            return false;
        }
        self.session.handle_timeout(Instant::now().into_std());
        true
    }
}

impl<IO> Driver<IO> {
    fn take_outputs(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::CallFinished { token, result, .. } => self.finish_call(token, result),
                Output::Event(event) => self.registry.deliver(event),
                // Calls that open streams are refused before they are sent.
                _ => {}
            }
        }
    }

    fn finish_call(&mut self, waiter: Waiter, result: Result<Reply, CallFailure>) {
        match waiter {
            // An asker that has gone does not mind.
            Waiter::Caller(answer) => drop(answer.send(result.map(|reply| reply.payload))),
            Waiter::Register(key) => {
                let answer = result.and_then(|reply| callback_id(&reply));
                self.registry.registered(key, answer);
            }
            Waiter::Deregister(key) => self.registry.deregistered(key),
            Waiter::Close => self.session.close(CloseCause::Requested),
        }
    }

    /// Releases everybody who waits, all with the same cause.
    fn finish(&mut self, cause: &Arc<CloseCause>) {
        tracing::debug!(%cause, "connection is closed");
        self.closed.send_replace(Some(Arc::clone(cause)));
        self.take_outputs();
        self.registry = Registry::default();
        self.commands.close();
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Future for Driver<IO> {
    type Output = Arc<CloseCause>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Arc<CloseCause>> {
        let cause = ready!(self.poll_rounds(context));
        self.finish(&cause);
        Poll::Ready(cause)
    }
}

/// A driver that is dropped before its time, for example together with its runtime, still tells
/// everybody who waits.
impl<IO> Drop for Driver<IO> {
    fn drop(&mut self) {
        if self.closed.borrow().is_some() {
            return;
        }
        self.session.close(CloseCause::Requested);
        if let Some(cause) = self.session.close_cause().map(Arc::clone) {
            self.finish(&cause);
        }
    }
}

impl Commands {
    fn close(&mut self) {
        self.ordinary.close();
        self.urgent.close();
        self.control.close();
        while self.ordinary.try_recv().is_ok() || self.urgent.try_recv().is_ok() {}
        while self.control.try_recv().is_ok() {}
    }
}

impl Waiter {
    fn is_wanted(&self) -> bool {
        !matches!(self, Self::Caller(answer) if answer.is_closed())
    }
}

impl<IO> Unpin for Driver<IO> where IO: Unpin {}

impl<IO> fmt::Debug for Driver<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

fn callback_id(reply: &Reply) -> Result<i32, CallFailure> {
    remote::ConnectDomainEventCallbackRegisterAnyRet::decode(&mut Reader::new(&reply.payload))
        .map(|ret| ret.callback_id)
        .map_err(|error| CallFailure::BadReply(ReplyError::UndecodableError(error)))
}
