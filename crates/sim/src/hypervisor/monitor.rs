//! The way to the process that runs a domain, and what happens while that does not answer.

use tokio::sync::watch;
use virtwire_protocol::remote::NonnullDomain;

use super::image::system_error;
use crate::call::Call;
use crate::refusal::Result;

/// The way to the process that runs a domain.
#[derive(Debug, Default)]
pub(crate) struct Monitor {
    frozen: watch::Sender<bool>,
}

impl Monitor {
    /// Whether the process does not answer.
    pub(crate) fn is_frozen(&self) -> bool {
        *self.frozen.borrow()
    }

    /// Has the process not answer any more, or answer again.
    pub(crate) fn set_frozen(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }
}

impl Call {
    /// Asks the process that runs the domain: waits until it answers, which a frozen one does not.
    /// To be called while it is one's [`turn`](Self::turn). A domain that does not run is not
    /// waited for.
    pub(crate) async fn monitor(&self, dom: &NonnullDomain<'_>) -> Result<()> {
        let frozen = {
            let hypervisor = self.hypervisor();
            let live = hypervisor.domain(dom)?.live.as_ref();
            live.map(|live| live.disks.monitor.frozen.subscribe())
        };
        let Some(mut frozen) = frozen else {
            return Ok(());
        };
        let answered = frozen.wait_for(|frozen| !frozen).await;
        answered.map(drop).map_err(|_| {
            // ECONNRESET
            system_error(
                104,
                "Unable to read from monitor",
                "Connection reset by peer",
            )
        })
    }
}
