//! One cell: a misdeed in a phase, and that its verdict holds.

use std::future::Future;
use std::sync::Arc;

use tokio::runtime::Builder;
use tokio::time::{Instant, sleep};
use virtwire::event::{DomainEvent, EventError};
use virtwire::{CloseCause, Connection, Error, ErrorKind, Execution, Outcome, VanishedReason};
use virtwire_tests::question::ask;
use virtwire_tests::server::Server;
use virtwire_tests::{paused_deadline, task};

use crate::misdeed::{Misdeed, Verdict, say_job_is_completed};
use crate::phase::{INTERVAL, Phase, Scene, Waiter};

/// Runs a test in a runtime of its own, on the paused clock.
pub(crate) fn alone(test: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(paused_deadline(test));
}

/// Runs a cell.
pub(crate) fn check(phase: Phase, misdeed: Misdeed) {
    alone(async {
        let mut scene = phase.enter(misdeed.plan()).await;
        let before = Instant::now();
        misdeed.commit(&mut scene.daemon).await;
        match misdeed.verdict() {
            Verdict::Fatal(expected) => {
                scene.ends_by(expected).await;
                assert_eq!(before.elapsed().as_millis(), 0, "nobody waits for anything");
            }
            Verdict::Silence => {
                scene.ends_by_silence().await;
                let patience = match phase {
                    Phase::Connect | Phase::Auth | Phase::Open => 30 * INTERVAL,
                    _ => 3 * INTERVAL,
                };
                assert!(before.elapsed() <= patience);
            }
            Verdict::CallFails => scene.goes_on(phase, true).await,
            Verdict::Harmless => scene.goes_on(phase, false).await,
        }
        task::none_left().await;
    });
}

impl Scene {
    /// Everybody is told the same cause, which is one of these.
    async fn ends_by(mut self, expected: fn(&CloseCause) -> bool) {
        match self.connection.take() {
            None => {
                let error = self.connecting().await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Closed);
                assert!(expected(error.close_cause().unwrap()), "{error:?}");
            }
            Some(connection) => {
                let cause = connection.closed().await;
                assert!(expected(&cause), "{cause:?}");
                self.everybody_is_told(&cause).await;
                let late = ask(&connection, 1).await.unwrap_err();
                is_told(&late, &cause, Execution::NotSent);
            }
        }
        self.client_has_hung_up().await;
    }

    /// The daemon says nothing; it is given up in time.
    async fn ends_by_silence(mut self) {
        match self.connection.take() {
            None => assert!(self.connecting().await.unwrap_err().is_timeout()),
            Some(connection) => {
                let cause = connection.closed().await;
                assert!(
                    matches!(*cause, CloseCause::KeepaliveTimeout(_)),
                    "{cause:?}"
                );
                self.everybody_is_told(&cause).await;
            }
        }
        self.client_has_hung_up().await;
    }

    async fn everybody_is_told(&mut self, cause: &Arc<CloseCause>) {
        for waiter in self.waiters.drain(..) {
            match waiter {
                Waiter::Connecting(_) => unreachable!("the connection was open"),
                Waiter::Call(_, call) => {
                    let error = call.await.unwrap().unwrap_err();
                    is_told(&error, cause, Execution::MaybeExecuted);
                }
                Waiter::Unsent(call) => {
                    is_told(&call.await.unwrap().unwrap_err(), cause, Execution::NotSent);
                }
                Waiter::Subscribing(subscribing) => {
                    let error = subscribing.await.unwrap().unwrap_err();
                    let told = error.close_cause().unwrap();
                    assert!(std::ptr::eq(told, &raw const **cause));
                }
                Waiter::Events(events) => have_ended(&events.await.unwrap(), cause),
                Waiter::Starting(start) => {
                    let error = start.await.unwrap().unwrap_err();
                    is_told(&error, cause, Execution::MaybeExecuted);
                }
                Waiter::Job(job) => match job.await.unwrap() {
                    Outcome::Vanished(evidence) => {
                        let lost = VanishedReason::ConnectionLost(Arc::clone(cause));
                        assert_eq!(evidence.reason, lost);
                    }
                    outcome => panic!("the job has {outcome}"),
                },
                Waiter::Closing(closing) => closing.await.unwrap(),
                Waiter::Closed(closed) => assert!(Arc::ptr_eq(&closed.await.unwrap(), cause)),
            }
        }
    }

    /// Nothing happens, but that the call fails which was answered wrongly; the connection goes
    /// on, with all its places free, and is closed in the end.
    async fn goes_on(mut self, phase: Phase, wronged: bool) {
        if self.connection.is_none() && wronged {
            let error = self.connecting().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{error:?}");
            return self.client_has_hung_up().await;
        }
        self.daemon.pay().await;
        say_job_is_completed(&mut self.daemon).await;
        let mut server = Server::new(self.daemon.take_peer());
        if self.connection.is_none() {
            let opened = server.during(self.connecting()).await;
            self.connection = Some(opened.unwrap());
        }
        let connection = self.connection.take().unwrap();
        let (mut closed, mut events) = (None, None);
        let registrations = phase.registrations(wronged);
        let mut wronged = wronged;
        for waiter in self.waiters.drain(..) {
            match waiter {
                Waiter::Connecting(_) => unreachable!("the connection is open"),
                Waiter::Call(number, call) => {
                    let answer = server.during(call).await.unwrap();
                    match std::mem::take(&mut wronged) {
                        true => was_wronged(&answer.unwrap_err()),
                        false => assert_eq!(answer.unwrap(), number),
                    }
                }
                Waiter::Unsent(call) => {
                    let answer = server.during(call).await.unwrap();
                    assert!(answer.is_ok() || connection.close_cause().is_some());
                }
                Waiter::Subscribing(subscribing) => {
                    let subscribed = server.during(subscribing).await.unwrap();
                    match std::mem::take(&mut wronged) {
                        true => was_wronged(&subscribed.unwrap_err()),
                        false => drop(subscribed.unwrap()),
                    }
                }
                Waiter::Events(task) => events = Some(task),
                Waiter::Starting(start) => {
                    let start = server.during(start).await.unwrap();
                    match std::mem::take(&mut wronged) {
                        true => was_wronged(&start.unwrap_err()),
                        false => drop(start.unwrap()),
                    }
                }
                Waiter::Job(job) => {
                    let outcome = server.during(job).await.unwrap();
                    assert_eq!(outcome, Outcome::Completed);
                }
                Waiter::Closing(closing) => server.during(closing).await.unwrap(),
                Waiter::Closed(task) => closed = Some(task),
            }
        }
        if connection.close_cause().is_none() {
            // What is over is cleared away: registrations are given up.
            server.during(sleep(INTERVAL)).await;
            assert_eq!(server.given_up(), registrations);
            server.every_place_is_free(&connection).await;
            server.during(connection.clone().close()).await;
        }
        let cause = connection.closed().await;
        assert!(matches!(*cause, CloseCause::Requested), "{cause:?}");
        if let Some(closed) = closed {
            assert!(Arc::ptr_eq(&closed.await.unwrap(), &cause));
        }
        if let Some(events) = events {
            have_ended(&events.await.unwrap(), &cause);
        }
        server.into_peer().until_hang_up().await.unwrap();
    }

    async fn connecting(&mut self) -> Result<Connection, Error> {
        match self.waiters.pop() {
            Some(Waiter::Connecting(connecting)) => connecting.await.unwrap(),
            _ => panic!("nobody is connecting"),
        }
    }

    /// The daemon, if it is still there, finds that the client has gone.
    async fn client_has_hung_up(&mut self) {
        if !self.daemon.is_gone() {
            self.daemon.peer().until_hang_up().await.unwrap();
        }
    }
}

/// The error is one of a wrong answer to a call that was sent.
#[track_caller]
fn was_wronged(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error:?}");
    assert_ne!(error.execution(), Some(Execution::NotSent));
}

/// Nothing came of events but their end, by this very cause.
#[track_caller]
fn have_ended(item: &Result<DomainEvent, EventError>, cause: &Arc<CloseCause>) {
    match item {
        Err(EventError::Closed(told)) => assert!(Arc::ptr_eq(told, cause)),
        other => panic!("{other:?}"),
    }
}

/// The error is due to this very cause.
#[track_caller]
fn is_told(error: &Error, cause: &Arc<CloseCause>, execution: Execution) {
    assert_eq!(error.kind(), ErrorKind::Closed, "{error:?}");
    assert!(std::ptr::eq(
        error.close_cause().unwrap(),
        &raw const **cause
    ));
    assert_eq!(error.execution(), Some(execution), "{error:?}");
}
