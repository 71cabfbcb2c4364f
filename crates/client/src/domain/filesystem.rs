//! The filesystems inside a guest, by way of its agent.

use virtwire_protocol::remote;
use virtwire_xdr::Str;

use crate::{Domain, Error};

impl Domain {
    /// Has the guest's agent write out and freeze filesystems: those mounted at `mountpoints`, or
    /// all of them when there are none. Gives their number.
    ///
    /// Whatever the guest writes waits until [`fs_thaw`](Self::fs_thaw), so keep the time short.
    /// The agent refuses everything but the thaw meanwhile.
    ///
    /// # Errors
    ///
    /// `AGENT_UNRESPONSIVE` when the agent is not there or does not answer, after which the
    /// filesystems may be frozen all the same; `ARGUMENT_UNSUPPORTED` when the domain has no agent;
    /// `OPERATION_INVALID` when it does not run.
    ///
    /// # Cancel safety
    ///
    /// Dropped before the answer, the filesystems may be frozen: thaw them.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(guest: virtwire::Domain) -> Result<(), virtwire::Error> {
    /// let frozen = guest.fs_freeze([] as [&str; 0]).await?;
    /// // … the short step …
    /// let thawed = guest.fs_thaw([] as [&str; 0]).await?;
    /// assert_eq!(frozen, thawed);
    /// # Ok(()) }
    /// ```
    #[doc(alias = "virDomainFSFreeze")]
    pub async fn fs_freeze<M: AsRef<str>>(
        &self,
        mountpoints: impl IntoIterator<Item = M>,
    ) -> Result<u32, Error> {
        let mountpoints: Vec<M> = mountpoints.into_iter().collect();
        let args = remote::DomainFsfreezeArgs {
            dom: self.wire(),
            mountpoints: strings(&mountpoints),
            flags: 0,
        };
        let reply = self.call::<remote::DomainFsfreeze>(&args).await?;
        Ok(u32::try_from(reply.decode()?.filesystems).unwrap_or(0))
    }

    /// Has the guest's agent thaw filesystems that were frozen: those mounted at `mountpoints`, or
    /// all of them when there are none. Gives their number.
    ///
    /// # Errors
    ///
    /// Those of [`fs_freeze`](Self::fs_freeze). With QEMU also `ARGUMENT_UNSUPPORTED` when any mount
    /// point is named: it thaws all or nothing.
    ///
    /// # Cancel safety
    ///
    /// As every call: dropped before the answer, the daemon may still execute it. It may be called
    /// again.
    #[doc(alias = "virDomainFSThaw")]
    pub async fn fs_thaw<M: AsRef<str>>(
        &self,
        mountpoints: impl IntoIterator<Item = M>,
    ) -> Result<u32, Error> {
        let mountpoints: Vec<M> = mountpoints.into_iter().collect();
        let args = remote::DomainFsthawArgs {
            dom: self.wire(),
            mountpoints: strings(&mountpoints),
            flags: 0,
        };
        let reply = self.call::<remote::DomainFsthaw>(&args).await?;
        Ok(u32::try_from(reply.decode()?.filesystems).unwrap_or(0))
    }
}

fn strings<M: AsRef<str>>(mountpoints: &[M]) -> Vec<Str<'_>> {
    let names = mountpoints.iter().map(AsRef::as_ref);
    names.map(Str::from).collect()
}
