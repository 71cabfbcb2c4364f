//! Where the answer to a call is put, and where both sides see how far the call has come.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use virtwire_protocol::header::Serial;
use virtwire_protocol::session::CallFailure;

/// How a call went: what the procedure returns, or why not.
pub(super) type Outcome = Result<Bytes, CallFailure>;

/// The driver's side of a call. Dropped, it tells the caller that there will be no answer.
#[derive(Debug)]
pub(super) struct AnswerSender(Arc<Mutex<State>>);

/// The caller's side of a call: the future of its outcome, `None` when nobody was there to take
/// it or it was given up. Dropped, it tells the driver that nobody waits any more.
#[derive(Debug)]
pub(super) struct Answer(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// What ties the packet to the call, once it has got its place among those that are sent.
    serial: Option<Serial>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The caller, who is to be woken.
    Awaited(Option<Waker>),
    Abandoned,
    Answered(Outcome),
    /// There was none, or it was taken.
    Over,
}

/// Both sides of a call.
pub(super) fn answer() -> (AnswerSender, Answer) {
    let state = Arc::new(Mutex::new(State {
        serial: None,
        stage: Stage::Awaited(None),
    }));
    (AnswerSender(Arc::clone(&state)), Answer(state))
}

impl AnswerSender {
    /// Whether somebody still waits.
    pub(super) fn is_wanted(&self) -> bool {
        !matches!(lock(&self.0).stage, Stage::Abandoned)
    }

    /// Notes that the call is sent from now on, unless nobody waits any more. Of the two, this
    /// and [`Answer::abandon`], one comes first and the other sees it: so it is always known
    /// whether a call that was given up has been sent.
    pub(super) fn launch(&self, serial: Serial) -> bool {
        let mut state = lock(&self.0);
        let wanted = !matches!(state.stage, Stage::Abandoned);
        if wanted {
            state.serial = Some(serial);
        }
        wanted
    }

    /// Gives the outcome to the caller, if there is one.
    pub(super) fn send(self, outcome: Outcome) {
        end(&self.0, Stage::Answered(outcome));
    }
}

impl Drop for AnswerSender {
    fn drop(&mut self) {
        end(&self.0, Stage::Over);
    }
}

impl Answer {
    /// The serial of the packet, if the call was sent.
    pub(super) fn serial(&self) -> Option<Serial> {
        lock(&self.0).serial
    }

    /// Waits no more. A call that was not sent will not be.
    pub(super) fn abandon(&self) {
        let mut state = lock(&self.0);
        if matches!(state.stage, Stage::Awaited(_)) {
            state.stage = Stage::Abandoned;
        }
    }
}

impl Future for Answer {
    type Output = Option<Outcome>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Outcome>> {
        let mut state = lock(&self.0);
        match &mut state.stage {
            Stage::Awaited(Some(waker)) => waker.clone_from(context.waker()),
            Stage::Awaited(waker) => *waker = Some(context.waker().clone()),
            stage => {
                return Poll::Ready(match std::mem::replace(stage, Stage::Over) {
                    Stage::Answered(outcome) => Some(outcome),
                    _ => None,
                });
            }
        }
        Poll::Pending
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// Ends a call that is awaited. What comes later changes nothing.
fn end(state: &Mutex<State>, last: Stage) {
    let waker = {
        let mut state = lock(state);
        match &mut state.stage {
            Stage::Awaited(waker) => {
                let waker = waker.take();
                state.stage = last;
                waker
            }
            _ => None,
        }
    };
    // Woken without the lock, which it will want.
    if let Some(waker) = waker {
        waker.wake();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn poll(answer: &mut Answer, counter: &Arc<Counter>) -> Poll<Option<Outcome>> {
        let waker = Waker::from(Arc::clone(counter));
        Pin::new(answer).poll(&mut Context::from_waker(&waker))
    }

    fn body(poll: Poll<Option<Outcome>>) -> Bytes {
        let Poll::Ready(Some(Ok(body))) = poll else {
            panic!("{poll:?}");
        };
        body
    }

    #[test]
    fn answer_wakes_who_polled_last() {
        let (sender, mut answer) = answer();
        let counters = [Arc::default(), Arc::default()];
        for counter in &counters {
            assert!(poll(&mut answer, counter).is_pending());
        }
        assert!(sender.launch(Serial::new(7)));
        assert_eq!(answer.serial(), Some(Serial::new(7)));
        sender.send(Ok(Bytes::from_static(b"body")));
        let woken = counters.each_ref().map(|c| c.0.load(Ordering::Relaxed));
        assert_eq!(woken, [0, 1]);
        assert_eq!(body(poll(&mut answer, &counters[0])), "body");
    }

    #[test]
    fn what_was_given_up_is_not_sent() {
        let (sender, answer) = answer();
        assert!(sender.is_wanted());
        drop(answer);
        assert!(!sender.is_wanted());
        assert!(!sender.launch(Serial::new(1)));
    }

    #[test]
    fn what_was_sent_is_known_when_it_is_given_up() {
        let (sender, answer) = answer();
        assert!(sender.launch(Serial::new(1)));
        answer.abandon();
        assert_eq!(answer.serial(), Some(Serial::new(1)));
        assert!(!sender.is_wanted());
        sender.send(Ok(Bytes::new()));
    }

    #[test]
    fn answer_that_has_come_is_not_given_up() {
        let (sender, mut answer) = answer();
        sender.send(Ok(Bytes::from_static(b"in time")));
        answer.abandon();
        assert_eq!(body(poll(&mut answer, &Arc::default())), "in time");
    }

    #[test]
    fn driver_that_is_gone_is_noticed() {
        let (sender, mut answer) = answer();
        let counter = Arc::default();
        assert!(poll(&mut answer, &counter).is_pending());
        drop(sender);
        assert_eq!(counter.0.load(Ordering::Relaxed), 1);
        assert!(matches!(poll(&mut answer, &counter), Poll::Ready(None)));
    }
}
