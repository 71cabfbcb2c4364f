use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tokio::sync::watch;

use super::BackupStats;
use super::monitor::BackupState;
use crate::domain::pace::Quickened;

/// The progress of a backup, as [`BackupJob::progress`](super::BackupJob::progress) gives it.
///
/// An item each time that the daemon was asked; the stream ends with the backup. A reader that
/// falls behind sees the latest figures, not the older ones.
pub struct BackupProgress {
    next: NextItem,
    /// Keeps the pace at which the daemon is asked.
    _pace: Quickened,
}

type NextItem =
    Pin<Box<dyn Future<Output = (watch::Receiver<BackupState>, Option<BackupStats>)> + Send>>;

impl BackupProgress {
    pub(super) fn new(mut state: watch::Receiver<BackupState>, pace: Quickened) -> Self {
        state.mark_changed();
        Self {
            next: next_item(state),
            _pace: pace,
        }
    }

    /// The next item; `None` when the backup is over.
    ///
    /// # Cancel safety
    ///
    /// Safe: no item is lost by dropping the future.
    pub async fn next(&mut self) -> Option<BackupStats> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

fn next_item(mut state: watch::Receiver<BackupState>) -> NextItem {
    Box::pin(async move {
        loop {
            if state.changed().await.is_err() {
                return (state, None);
            }
            let now = state.borrow_and_update().clone();
            if now.outcome.is_some() {
                return (state, None);
            }
            if let Some(stats) = now.stats {
                return (state, Some(stats));
            }
        }
    })
}

impl Stream for BackupProgress {
    type Item = BackupStats;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<BackupStats>> {
        let (mut state, item) = ready!(self.next.as_mut().poll(context));
        if item.is_none() {
            // Polled again, the stream is still at its end.
            state.mark_changed();
        }
        self.next = next_item(state);
        Poll::Ready(item)
    }
}

impl fmt::Debug for BackupProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackupProgress").finish_non_exhaustive()
    }
}
