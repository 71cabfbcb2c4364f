//! What a domain says about itself.

use std::time::Duration;

use virtwire_protocol::constants::{
    DomainCrashedReason, DomainNostateReason, DomainPausedReason, DomainPmSuspendedReason,
    DomainRunningReason, DomainShutdownReason, DomainShutoffReason, DomainState,
};
use virtwire_protocol::remote;

use crate::{Domain, Error};

/// A domain's state and why it is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DomainStatus {
    /// The state.
    pub state: DomainState,
    /// The reason, whose meaning depends on the state; see [`reason_name`](Self::reason_name).
    pub reason: i32,
}

impl DomainStatus {
    pub(crate) fn from_wire(wire: &remote::DomainGetStateRet) -> Self {
        Self {
            state: DomainState(wire.state),
            reason: wire.reason,
        }
    }

    /// The reason's name among those of the state, as `BOOTED`; `None` when this version does not
    /// know it.
    #[must_use]
    pub fn reason_name(&self) -> Option<&'static str> {
        match self.state {
            DomainState::NOSTATE => DomainNostateReason(self.reason).name(),
            DomainState::RUNNING => DomainRunningReason(self.reason).name(),
            DomainState::PAUSED => DomainPausedReason(self.reason).name(),
            DomainState::SHUTDOWN => DomainShutdownReason(self.reason).name(),
            DomainState::SHUTOFF => DomainShutoffReason(self.reason).name(),
            DomainState::CRASHED => DomainCrashedReason(self.reason).name(),
            DomainState::PMSUSPENDED => DomainPmSuspendedReason(self.reason).name(),
            _ => None,
        }
    }
}

/// The basic figures of a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DomainInfo {
    /// The state.
    pub state: DomainState,
    /// The memory it may have, in KiB.
    pub max_memory_kib: u64,
    /// The memory it has, in KiB.
    pub memory_kib: u64,
    /// The number of virtual processors.
    pub vcpus: u16,
    /// The processor time used.
    pub cpu_time: Duration,
}

impl Domain {
    /// The state and its reason. The daemon answers without asking the hypervisor, so it answers
    /// even when the guest hangs.
    ///
    /// # Errors
    ///
    /// `NO_DOMAIN` when the domain is gone.
    #[doc(alias = "virDomainGetState")]
    pub async fn status(&self) -> Result<DomainStatus, Error> {
        let args = remote::DomainGetStateArgs {
            dom: self.wire(),
            flags: 0,
        };
        let reply = self.call::<remote::DomainGetState>(&args).await?;
        Ok(DomainStatus::from_wire(&reply.decode()?))
    }

    /// State, memory, processors and processor time.
    ///
    /// # Errors
    ///
    /// `NO_DOMAIN` when the domain is gone.
    #[doc(alias = "virDomainGetInfo")]
    pub async fn info(&self) -> Result<DomainInfo, Error> {
        let args = remote::DomainGetInfoArgs { dom: self.wire() };
        let reply = self.call::<remote::DomainGetInfo>(&args).await?;
        let info = reply.decode()?;
        Ok(DomainInfo {
            state: DomainState(info.state.into()),
            max_memory_kib: info.max_mem,
            memory_kib: info.memory,
            vcpus: info.nr_virt_cpu,
            cpu_time: Duration::from_nanos(info.cpu_time),
        })
    }

    /// Whether it runs, paused or not.
    ///
    /// # Errors
    ///
    /// `NO_DOMAIN` when the domain is gone.
    #[doc(alias = "virDomainIsActive")]
    pub async fn is_active(&self) -> Result<bool, Error> {
        let args = remote::DomainIsActiveArgs { dom: self.wire() };
        let reply = self.call::<remote::DomainIsActive>(&args).await?;
        Ok(reply.decode()?.active != 0)
    }

    /// Whether it has a definition that outlives a shutdown.
    ///
    /// # Errors
    ///
    /// `NO_DOMAIN` when the domain is gone.
    #[doc(alias = "virDomainIsPersistent")]
    pub async fn is_persistent(&self) -> Result<bool, Error> {
        let args = remote::DomainIsPersistentArgs { dom: self.wire() };
        let reply = self.call::<remote::DomainIsPersistent>(&args).await?;
        Ok(reply.decode()?.persistent != 0)
    }
}
