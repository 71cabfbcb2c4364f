//! Calls, from the arguments to the answer or to why there is none.

use std::future::Future;
use std::pin::Pin;
use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::Instant;
use virtwire_protocol::header::Serial;
use virtwire_protocol::schema::ProcedureSchema;
use virtwire_protocol::session::{CallFailure, CallRequest, Delivery, Lane};
use virtwire_protocol::{Procedure, StreamDirection};

use super::Connection;
use super::answer::{Answer, Outcome, answer};
use super::command::Command;
use crate::error::{CallContext, Cause, Execution};
use crate::{Error, Reply};

/// Packets are encoded into a shared buffer of this size, which is used again once the packets
/// in it were sent.
const ARENA_SIZE: usize = 2 << 10;

/// Nearly every packet is shorter than this.
const USUAL_PACKET: usize = 128;

/// How often a call is sent at most. One that was under way each time that the connection was lost
/// may well be what the daemon dies of.
const ATTEMPTS: u32 = 3;

/// The answer to a call, not decoded.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RawReply {
    /// The XDR of what the procedure returns.
    pub body: Bytes,
    /// The serial of the packet that carried the call; see [`Error::serial`].
    pub serial: u32,
    /// The time from the call to its answer.
    pub elapsed: Duration,
}

impl Connection {
    /// Calls a procedure of any program.
    ///
    /// The arguments may borrow what the caller has: they are encoded before this function
    /// returns. The reply owns the received frame and lends the decoded form.
    ///
    /// # Errors
    ///
    /// What the daemon answers (kind `Remote`), or why there is no answer. Kind `Unsupported` for
    /// a procedure that opens a data stream.
    ///
    /// # Cancel safety
    ///
    /// See [`Connection`].
    #[expect(
        clippy::needless_pass_by_value,
        reason = "calls read better without a borrow"
    )]
    pub fn call<P: Procedure>(
        &self,
        args: P::Args<'_>,
    ) -> impl Future<Output = Result<Reply<P>, Error>> + Send + use<P> {
        self.call_about::<P, _>(&args, || None)
    }

    /// As [`call`](Self::call), with the name of what it is about, for errors.
    pub(crate) fn call_about<P: Procedure, N: FnOnce() -> Option<String>>(
        &self,
        args: &P::Args<'_>,
        object: N,
    ) -> impl Future<Output = Result<Reply<P>, Error>> + use<P, N> {
        let request = self.encode::<P>(args);
        let connection = self.clone();
        async move {
            match connection.submit(P::NAME, request?).await {
                Ok(raw) => Ok(Reply::new(raw)),
                Err(error) => Err(error.about(object())),
            }
        }
    }

    /// Calls a procedure that is known only at run time, with arguments that are XDR already.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    ///
    /// # Cancel safety
    ///
    /// See [`Connection`].
    pub async fn call_raw(
        &self,
        procedure: &'static ProcedureSchema,
        args: &[u8],
    ) -> Result<RawReply, Error> {
        let request = CallRequest::from_schema(procedure, |writer| {
            writer.raw(args);
            Ok(())
        })
        .map_err(|error| not_sent(procedure.name, Cause::Encode(error)))?;
        self.submit(procedure.name, request).await
    }

    fn encode<P: Procedure>(&self, args: &P::Args<'_>) -> Result<CallRequest, Error> {
        let mut arena = self
            .shared
            .arena
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if arena.capacity() < USUAL_PACKET {
            arena.reserve(ARENA_SIZE);
        }
        CallRequest::new_in::<P>(&mut arena, args)
            .map_err(|error| not_sent(P::NAME, Cause::Encode(error)))
    }

    /// Makes a call and waits for its answer, no longer than this handle's deadline.
    pub(super) async fn submit(
        &self,
        procedure: &'static str,
        request: CallRequest,
    ) -> Result<RawReply, Error> {
        if request.stream() != StreamDirection::None {
            let cause = Cause::Unsupported("a procedure that opens a data stream");
            return Err(not_sent(procedure, cause));
        }
        let started = Instant::now();
        let mut attempts = Attempts::new(request);
        let outcome = self.within_deadline(self.attempt(&mut attempts)).await;
        let elapsed = started.elapsed();
        let cause = match outcome {
            Ok(Ok(body)) => {
                let serial = attempts.serial().unwrap_or_default().get();
                return Ok(RawReply {
                    body,
                    serial,
                    elapsed,
                });
            }
            Ok(Err(failure)) => failure.into(),
            Err(timeout) => timeout,
        };
        let (execution, serial) = attempts.give_up(&cause);
        let context = CallContext {
            procedure,
            serial,
            elapsed,
            execution,
            repeatable: attempts.repeatable,
        };
        Err(Error::of_call(cause, context))
    }

    /// Makes a call as often as it takes and may be made.
    async fn attempt(&self, attempts: &mut Attempts) -> Result<Bytes, CallFailure> {
        loop {
            if let Some(queueing) = self.enqueue(attempts) {
                queueing.await;
            }
            // What comes into a queue after it was emptied for good, nobody will ever look at.
            if self.shared.ordinary.is_closed() {
                attempts.abandon();
            }
            let failure = match attempts.answer().await {
                Some(Ok(body)) => return Ok(body),
                Some(Err(failure)) => failure,
                None => CallFailure::ConnectionClosed {
                    cause: self.close_cause_or_lost(),
                    delivery: Delivery::NotSent,
                },
            };
            if !attempts.may_repeat(&failure) || self.close_cause().is_some() {
                return Err(failure);
            }
        }
    }

    /// Puts a call into its queue, or before a full one, where it is to wait: that is rare, and
    /// what has to be remembered meanwhile too much to lie in the future of every call.
    fn enqueue(
        &self,
        attempts: &mut Attempts,
    ) -> Option<Pin<Box<dyn Future<Output = ()> + Send + '_>>> {
        let command = attempts.begin(self.shared.reconnects)?;
        let queue = match command.request.lane() {
            Lane::Urgent => &self.shared.urgent,
            _ => &self.shared.ordinary,
        };
        match queue.try_send(command) {
            Err(TrySendError::Full(command)) => {
                // A queue that is closed drops the call, which the answer tells.
                Some(Box::pin(async move { drop(queue.send(command).await) }))
            }
            _ => None,
        }
    }

    /// Waits for `work` no longer than this handle's deadline.
    pub(crate) async fn within_deadline<T>(
        &self,
        work: impl Future<Output = T>,
    ) -> Result<T, Cause> {
        match self.deadline {
            None => Ok(work.await),
            Some(deadline) => tokio::time::timeout(deadline, work)
                .await
                .map_err(|_| Cause::Timeout(deadline)),
        }
    }
}

/// What is known of a call at any moment, also at that when nobody waits for it any more.
#[derive(Debug)]
struct Attempts {
    repeatable: bool,
    /// What the next attempt sends, if there may be one.
    next: Option<CallRequest>,
    current: Option<Answer>,
    /// The last attempt that was sent on a connection that is lost.
    lost: Option<Serial>,
    sent: u32,
}

impl Attempts {
    fn new(request: CallRequest) -> Self {
        Self {
            repeatable: request.is_repeatable(),
            next: Some(request),
            current: None,
            lost: None,
            sent: 0,
        }
    }

    /// What is to be sent now; there can be `more` after it.
    fn begin(&mut self, more: bool) -> Option<Command> {
        let request = self.next.take()?;
        if more {
            self.next = Some(request.clone());
        }
        let (sender, receiver) = answer();
        self.current = Some(receiver);
        Some(Command {
            request,
            answer: sender,
        })
    }

    /// The answer to what was sent last.
    async fn answer(&mut self) -> Option<Outcome> {
        self.current.as_mut()?.await
    }

    /// Waits no more for the answer to what was sent last, unless it has come.
    fn abandon(&self) {
        if let Some(answer) = &self.current {
            answer.abandon();
        }
    }

    /// That of the last packet, if it was sent.
    fn serial(&self) -> Option<Serial> {
        self.current.as_ref()?.serial()
    }

    /// Whether the call may be made again after this failure: if the connection was lost, and it
    /// was not sent or does no harm when it is executed twice.
    fn may_repeat(&mut self, failure: &CallFailure) -> bool {
        let is_lost = matches!(failure, CallFailure::ConnectionClosed { .. });
        if !is_lost || self.next.is_none() {
            return false;
        }
        let serial = self.serial();
        if serial.is_none() {
            return true;
        }
        self.sent += 1;
        if !self.repeatable || self.sent == ATTEMPTS {
            return false;
        }
        self.lost = serial;
        true
    }

    /// Ends the call, which has failed, and says what has become of it.
    fn give_up(&self, cause: &Cause) -> (Execution, Option<Serial>) {
        self.abandon();
        let serial = self.serial().or(self.lost);
        let execution = match cause {
            Cause::Remote(_) => Execution::Rejected,
            _ if serial.is_none() => Execution::NotSent,
            _ => Execution::MaybeExecuted,
        };
        (execution, serial)
    }
}

/// The failure of a call before it left this process.
pub(super) fn not_sent(procedure: &'static str, cause: Cause) -> Error {
    Error::of_call(
        cause,
        CallContext {
            procedure,
            serial: None,
            elapsed: Duration::ZERO,
            execution: Execution::NotSent,
            repeatable: false,
        },
    )
}
