//! The one place that touches the socket.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, Sleep};
use virtwire_protocol::frame::FrameDecoder;
use virtwire_protocol::header::Serial;
use virtwire_protocol::remote;
use virtwire_protocol::session::{
    CallFailure, CallRequest, ClientConfig, ClientSession, CloseCause, KeepaliveConfig, Lane,
    Output, Reply,
};

use super::answer::AnswerSender;
use super::command::Command;
use super::frontend::{Ending, Frontend, Stop};
use crate::event::{RegistrationKey, RegistryCall};

/// How often the driver goes round in one poll before it lets other tasks run.
const ROUNDS: usize = 32;

/// How many events the driver hands out in one poll before it lets those who read them run, or
/// the quickest of them could not keep its queue from filling.
const EVENTS_PER_POLL: usize = 64;

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
    frontend: Frontend,
    /// Calls wait until every registration that was lost is made again.
    resuming: bool,
    /// How many events were handed out in this poll.
    events: usize,
    /// Whether there may be whole packets that were read and not looked at.
    frames_left: bool,
    outgoing: VecDeque<Bytes>,
    /// Whether bytes were written that the byte stream may still hold back.
    unflushed: bool,
    timer: Pin<Box<Sleep>>,
}

/// Who waits for a call to end.
#[derive(Debug)]
enum Waiter {
    Caller(AnswerSender),
    Register(RegistrationKey),
    Deregister(RegistrationKey),
    Close,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Driver<IO> {
    pub(super) fn new(io: IO, config: ClientConfig, frontend: Frontend) -> Self {
        let now = Instant::now();
        Self {
            io,
            decoder: FrameDecoder::new(),
            session: ClientSession::new(config, now.into_std()),
            frontend,
            resuming: false,
            events: 0,
            frames_left: false,
            outgoing: VecDeque::new(),
            unflushed: false,
            timer: Box::pin(tokio::time::sleep_until(now)),
        }
    }

    /// Begins to watch over the daemon's life.
    pub(super) fn start_keepalive(&mut self, keepalive: Option<KeepaliveConfig>) {
        self.session
            .set_keepalive(keepalive, Instant::now().into_std());
    }

    fn poll_rounds(&mut self, context: &mut Context<'_>) -> Poll<Arc<CloseCause>> {
        self.events = 0;
        for _ in 0..ROUNDS {
            if self.events >= EVENTS_PER_POLL {
                break;
            }
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
        // Others first, the future that the runtime blocks on included: woken at once, this task
        // would run dozens of times before that one.
        let _ = pin!(tokio::task::yield_now()).poll(context);
        Poll::Pending
    }

    fn poll_control(&mut self, context: &mut Context<'_>) -> bool {
        let Poll::Ready(control) = self.frontend.commands.control.poll_recv(context) else {
            return false;
        };
        match self.frontend.take_control(control) {
            ControlFlow::Continue(()) => {}
            ControlFlow::Break(Stop::Orderly) => self.frontend.ending.begin(),
            ControlFlow::Break(Stop::AtOnce) => self.session.close(CloseCause::Requested),
        }
        true
    }

    /// Takes calls only while there is a place for them, so that those beyond wait in the channel
    /// in the order they came, and their senders with them.
    fn poll_commands(&mut self, context: &mut Context<'_>) -> bool {
        let mut progress = false;
        self.session.retain_waiting(Waiter::is_wanted);
        self.resuming = self.resuming && self.frontend.registry.is_registering();
        if self.resuming || !self.frontend.is_wanted() {
            return false;
        }
        // Ordinary calls that wait in the session, as registrations do, are no reason to wait.
        while self.session.waiting_calls_in(Lane::Urgent) < self.session.places(Lane::Urgent) {
            let Poll::Ready(Some(command)) = self.frontend.commands.urgent.poll_recv(context)
            else {
                break;
            };
            self.make_call(command);
            progress = true;
        }
        while self.session.waiting_calls() + self.session.calls_in_flight()
            < self.session.places(Lane::Ordinary)
        {
            let Poll::Ready(Some(command)) = self.frontend.commands.ordinary.poll_recv(context)
            else {
                break;
            };
            self.make_call(command);
            progress = true;
        }
        progress
    }

    fn make_call(&mut self, Command { request, answer }: Command) {
        // Nobody waits for a call that was dropped in the queue.
        if answer.is_wanted() {
            self.session.call(request, Waiter::Caller(answer));
        }
    }

    /// The calls that the driver makes itself.
    fn make_own_calls(&mut self) {
        while let Some(call) = self.frontend.registry.next_call() {
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
        if self.frontend.ending == Ending::Draining && idle {
            self.frontend.ending = Ending::Told;
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
            let Some(piece) = self.session.poll_transmit_with(Waiter::launch) else {
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
            self.events = 0;
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
        if self.frames_left {
            self.take_frames();
            return true;
        }
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
        self.frames_left = false;
        loop {
            if self.events >= EVENTS_PER_POLL {
                self.frames_left = true;
                return;
            }
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

    /// The timer is set again when it fires, not whenever a packet puts the deadline off; so it
    /// also says when to give back what busier times have left behind.
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
        self.decoder.release();
        true
    }
}

impl<IO> Driver<IO> {
    fn take_outputs(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::CallFinished { token, result, .. } => self.finish_call(token, result),
                Output::Event(event) => {
                    self.events += 1;
                    self.frontend.registry.deliver(event);
                }
                // Calls that open streams are refused before they are sent.
                _ => {}
            }
        }
    }

    fn finish_call(&mut self, waiter: Waiter, result: Result<Reply, CallFailure>) {
        match waiter {
            Waiter::Caller(answer) => answer.send(result.map(|reply| reply.payload)),
            // The registry is told of the connection's end by other means.
            Waiter::Register(_) if is_closed(&result) => {}
            Waiter::Register(key) => {
                let answer = result.and_then(|reply| key.callback_id(&reply.payload));
                self.frontend.registry.registered(key, answer);
            }
            Waiter::Deregister(key) => self.frontend.registry.deregistered(key),
            Waiter::Close => self.session.close(CloseCause::Requested),
        }
    }

    /// Releases everybody who waits, all with the same cause.
    fn finish(&mut self, cause: &Arc<CloseCause>) {
        self.take_outputs();
        self.frontend.finish(cause);
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Driver<IO> {
    /// Drives until the connection is lost, and releases those whose calls were in flight.
    pub(super) async fn lost(&mut self) -> Arc<CloseCause> {
        let cause = poll_fn(|context| self.poll_rounds(context)).await;
        self.take_outputs();
        cause
    }

    /// Closes the byte stream and keeps what faces the handles.
    pub(super) fn release(mut self) -> Frontend {
        let mut frontend = std::mem::replace(&mut self.frontend, Frontend::nobody());
        frontend.registry.lost();
        frontend
    }

    /// Serves those handles from now on, and takes up their subscriptions before anything else.
    pub(super) fn adopt(&mut self, mut frontend: Frontend) {
        frontend.resume();
        self.resuming = true;
        self.frontend = frontend;
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
        if self.frontend.is_closed() {
            return;
        }
        self.session.close(CloseCause::Requested);
        if let Some(cause) = self.session.close_cause().map(Arc::clone) {
            self.finish(&cause);
        }
    }
}

impl Waiter {
    fn is_wanted(&self) -> bool {
        match self {
            Self::Caller(answer) => answer.is_wanted(),
            _ => true,
        }
    }

    /// Notes that the call is sent from now on, unless nobody waits for it any more.
    fn launch(&mut self, serial: Serial) -> bool {
        match self {
            Self::Caller(answer) => answer.launch(serial),
            _ => true,
        }
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

fn is_closed<T>(result: &Result<T, CallFailure>) -> bool {
    matches!(result, Err(CallFailure::ConnectionClosed { .. }))
}
