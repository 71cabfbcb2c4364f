//! Whose turn it is at a domain.

use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::timeout;
use virtwire_protocol::RemoteError;
use virtwire_protocol::constants::{ErrorCode, ErrorDomain};

use crate::refusal::{Result, from_domain};

/// How long libvirt waits for its turn.
const PATIENCE: Duration = Duration::from_secs(30);

/// The right to work on a domain, held by one call at a time, and the right to a long job (a
/// backup, a migration), held by one at a time as well. They do not exclude each other: while a
/// long job runs, calls come and go.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turns {
    call: Turn,
    job: Turn,
}

#[derive(Debug, Clone, Default)]
struct Turn {
    mutex: Arc<Mutex<()>>,
    /// Who has it, for the words of the refusal.
    holder: Arc<StdMutex<String>>,
}

/// The right itself; it ends when this is dropped.
#[derive(Debug)]
#[must_use = "the turn ends when this is dropped"]
pub(crate) struct TurnGuard(#[expect(dead_code, reason = "held, not used")] OwnedMutexGuard<()>);

impl Turns {
    /// Waits for the turn of one call. `who` is the daemon's name of the call.
    pub(crate) async fn begin(&self, who: &str) -> Result<TurnGuard> {
        self.within(self.call.take(who), &self.call).await
    }

    /// Waits for the turn of a long job, which then may outlast the call.
    pub(crate) async fn begin_job(&self, who: &str) -> Result<TurnGuard> {
        let guard = self.within(self.job.take(who), &self.job).await?;
        drop(self.begin(who).await?);
        Ok(guard)
    }

    async fn within(
        &self,
        turn: impl Future<Output = TurnGuard>,
        awaited: &Turn,
    ) -> Result<TurnGuard> {
        let waited = timeout(PATIENCE, turn).await;
        waited.map_err(|_| awaited.refusal())
    }
}

impl Turn {
    async fn take(&self, who: &str) -> TurnGuard {
        let guard = Arc::clone(&self.mutex).lock_owned().await;
        who.clone_into(&mut self.holder.lock().unwrap_or_else(PoisonError::into_inner));
        TurnGuard(guard)
    }

    fn refusal(&self) -> RemoteError {
        let holder = self.holder.lock().unwrap_or_else(PoisonError::into_inner);
        let about = format!("cannot acquire state change lock (held by monitor={holder})");
        from_domain(ErrorDomain::NONE, ErrorCode::OPERATION_TIMEOUT, &about)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_are_waited_for_half_a_minute() {
        let turns = Turns::default();
        let held = turns
            .begin("remoteDispatchDomainBlockJobAbort")
            .await
            .unwrap();
        let error = turns
            .begin("remoteDispatchDomainSuspend")
            .await
            .unwrap_err();
        assert_eq!(error.code, ErrorCode::OPERATION_TIMEOUT);
        let text = error.message.unwrap();
        assert!(
            text.ends_with("(held by monitor=remoteDispatchDomainBlockJobAbort)"),
            "{text}"
        );
        let waiting = tokio::spawn(async move { turns.begin("x").await.map(drop) });
        tokio::time::sleep(Duration::from_secs(29)).await;
        drop(held);
        waiting.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn long_job_keeps_out_another_but_no_call() {
        let turns = Turns::default();
        let job = turns
            .begin_job("remoteDispatchDomainBackupBegin")
            .await
            .unwrap();
        drop(turns.begin("remoteDispatchDomainSuspend").await.unwrap());
        let error = turns
            .begin_job("remoteDispatchDomainBackupBegin")
            .await
            .unwrap_err();
        assert_eq!(error.code, ErrorCode::OPERATION_TIMEOUT);
        drop(job);
        drop(
            turns
                .begin_job("remoteDispatchDomainBackupBegin")
                .await
                .unwrap(),
        );
    }
}
