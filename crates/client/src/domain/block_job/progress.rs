use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tokio::sync::watch;

use super::Progress;
use super::state::JobState;
use crate::domain::pace::Quickened;

/// The progress of a block job, as [`BlockJob::progress`](super::BlockJob::progress) gives it.
///
/// An item for every change of the figures; the stream ends with the job. A reader that falls
/// behind sees the latest figures, not the older ones.
pub struct ProgressStream {
    next: NextItem,
    /// Keeps the pace at which the daemon is asked.
    _pace: Quickened,
}

type NextItem = Pin<Box<dyn Future<Output = (watch::Receiver<JobState>, Option<Progress>)> + Send>>;

impl ProgressStream {
    pub(super) fn new(mut state: watch::Receiver<JobState>, pace: Quickened) -> Self {
        state.mark_changed();
        Self {
            next: next_item(state),
            _pace: pace,
        }
    }

    /// The next item; `None` when the job is over.
    ///
    /// # Cancel safety
    ///
    /// Safe: no item is lost by dropping the future.
    pub async fn next(&mut self) -> Option<Progress> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

fn next_item(mut state: watch::Receiver<JobState>) -> NextItem {
    Box::pin(async move {
        loop {
            if state.changed().await.is_err() {
                return (state, None);
            }
            let (over, progress) = {
                let now = state.borrow_and_update();
                (now.outcome.is_some(), now.progress)
            };
            if over {
                return (state, None);
            }
            if progress.is_some() {
                return (state, progress);
            }
        }
    })
}

impl Stream for ProgressStream {
    type Item = Progress;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Progress>> {
        let (mut state, item) = ready!(self.next.as_mut().poll(context));
        if item.is_none() {
            // Polled again, the stream is still at its end.
            state.mark_changed();
        }
        self.next = next_item(state);
        Poll::Ready(item)
    }
}

impl fmt::Debug for ProgressStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProgressStream").finish_non_exhaustive()
    }
}
