//! Calls, from the arguments to the answer or to why there is none.

use std::future::Future;
use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use virtwire_protocol::header::Serial;
use virtwire_protocol::schema::ProcedureSchema;
use virtwire_protocol::session::{CallFailure, CallRequest, Delivery, Lane};
use virtwire_protocol::{Procedure, StreamDirection};

use super::Connection;
use super::answer::{Answer, answer};
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
        let request = self.encode::<P>(&args);
        let connection = self.clone();
        async move {
            let raw = connection.submit(P::NAME, request?).await?;
            Ok(Reply::new(raw))
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
        let repeatable = request.is_repeatable();
        let started = Instant::now();
        let mut attempts = Attempts::default();
        let outcome = self.within_deadline(self.attempt(request, &mut attempts));
        let cause = match outcome.await {
            Ok(Ok(body)) => {
                return Ok(RawReply {
                    body,
                    serial: attempts.serial().unwrap_or_default().get(),
                    elapsed: started.elapsed(),
                });
            }
            Ok(Err(cause)) => cause,
            Err(timeout) => timeout,
        };
        let (execution, serial) = attempts.give_up(&cause);
        let context = CallContext {
            procedure,
            serial,
            elapsed: started.elapsed(),
            execution,
            repeatable,
        };
        Err(Error::of_call(cause, context))
    }

    /// Makes a call as often as it takes and may be made.
    async fn attempt(&self, request: CallRequest, attempts: &mut Attempts) -> Result<Bytes, Cause> {
        let mut request = request;
        loop {
            let again = self.shared.reconnects.then(|| request.clone());
            let failure = match self.exchange(request, attempts).await {
                Ok(body) => return Ok(body),
                Err(failure) => failure,
            };
            request = match again {
                Some(again) if attempts.may_repeat(&again, &failure) && self.may_come_back() => {
                    again
                }
                _ => return Err(failure.into()),
            };
        }
    }

    async fn exchange(
        &self,
        request: CallRequest,
        attempts: &mut Attempts,
    ) -> Result<Bytes, CallFailure> {
        let (sender, receiver) = answer();
        let receiver = attempts.begin(receiver);
        let queue = match request.lane() {
            Lane::Urgent => &self.shared.urgent,
            _ => &self.shared.ordinary,
        };
        let command = Command {
            request,
            answer: sender,
        };
        let outcome = match queue.send(command).await {
            Ok(()) => receiver.await,
            Err(_) => None,
        };
        outcome.unwrap_or_else(|| {
            Err(CallFailure::ConnectionClosed {
                cause: self.close_cause_or_lost(),
                delivery: Delivery::NotSent,
            })
        })
    }

    fn may_come_back(&self) -> bool {
        self.close_cause().is_none()
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
#[derive(Debug, Default)]
struct Attempts {
    current: Option<Answer>,
    /// The last one that was sent on a connection that is lost.
    lost: Option<Serial>,
    sent: u32,
}

impl Attempts {
    fn begin(&mut self, answer: Answer) -> &mut Answer {
        self.current.insert(answer)
    }

    /// That of the last packet, if it was sent.
    fn serial(&self) -> Option<Serial> {
        self.current.as_ref()?.serial()
    }

    /// Whether the call may be made again after this failure: if the connection was lost, and it
    /// was not sent or does no harm when it is executed twice.
    fn may_repeat(&mut self, request: &CallRequest, failure: &CallFailure) -> bool {
        if !matches!(failure, CallFailure::ConnectionClosed { .. }) {
            return false;
        }
        let serial = self.serial();
        if serial.is_none() {
            return true;
        }
        self.sent += 1;
        if !request.is_repeatable() || self.sent == ATTEMPTS {
            return false;
        }
        self.lost = serial;
        true
    }

    /// Ends the call, which has failed, and says what has become of it.
    fn give_up(&self, cause: &Cause) -> (Execution, Option<Serial>) {
        if let Some(answer) = &self.current {
            answer.abandon();
        }
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
