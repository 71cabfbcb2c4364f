//! The size of a disk, and the mark that its image may reach before somebody is told.

use virtwire_protocol::constants::DomainBlockResizeFlags;
use virtwire_protocol::remote;
use virtwire_xdr::Str;

use crate::{Disk, Error};

impl Disk {
    /// Gives the disk of a running domain another size, in bytes. The guest is told of it; what it
    /// does with the space is its own affair. A smaller size cuts data off without a question.
    ///
    /// # Errors
    ///
    /// `INVALID_ARG` when the domain has no such disk; `OPERATION_INVALID` when it does not run;
    /// `OPERATION_UNSUPPORTED` for an empty drive or one that the guest only reads;
    /// `INTERNAL_ERROR` with the hypervisor's words, as while a block job holds the disk.
    ///
    /// # Cancel safety
    ///
    /// As every call: dropped before the answer, the daemon may still execute it.
    #[doc(alias = "virDomainBlockResize")]
    pub async fn resize(&self, bytes: u64) -> Result<(), Error> {
        self.resize_with(bytes, DomainBlockResizeFlags::BYTES).await
    }

    /// Gives the disk the size of the block device that it is on, after that has grown. Since
    /// libvirt 10.0.0.
    ///
    /// # Errors
    ///
    /// Those of [`resize`](Self::resize); `OPERATION_UNSUPPORTED` where the disk is not raw on a
    /// block device, `INVALID_ARG` when the daemon is older.
    ///
    /// # Cancel safety
    ///
    /// As [`resize`](Self::resize).
    #[doc(alias = "VIR_DOMAIN_BLOCK_RESIZE_CAPACITY")]
    pub async fn resize_to_device(&self) -> Result<(), Error> {
        self.resize_with(0, DomainBlockResizeFlags::CAPACITY).await
    }

    async fn resize_with(&self, size: u64, flags: DomainBlockResizeFlags) -> Result<(), Error> {
        let args = remote::DomainBlockResizeArgs {
            dom: self.domain().wire(),
            disk: Str::from(self.path()),
            size,
            flags: flags.bits(),
        };
        self.call::<remote::DomainBlockResize>(&args)
            .await
            .map(drop)
    }

    /// Has the event [`BlockThreshold`](crate::event::DomainEventKind::BlockThreshold) told when
    /// the guest writes beyond this many bytes of the image's file or device, once. 0 takes the
    /// mark away.
    ///
    /// The disk may be an image of a backing chain, as `domain.disk("vda[3]")`: a commit writes
    /// there. Set it anew after each event and after a job that changed the chain.
    ///
    /// # Errors
    ///
    /// `INVALID_ARG` when the domain has no such disk or image; `OPERATION_INVALID` when it does
    /// not run.
    ///
    /// # Cancel safety
    ///
    /// As every call: dropped before the answer, the daemon may still execute it.
    #[doc(alias = "virDomainSetBlockThreshold")]
    pub async fn set_threshold(&self, bytes: u64) -> Result<(), Error> {
        let args = remote::DomainSetBlockThresholdArgs {
            dom: self.domain().wire(),
            dev: Str::from(self.path()),
            threshold: bytes,
            flags: 0,
        };
        self.call::<remote::DomainSetBlockThreshold>(&args)
            .await
            .map(drop)
    }
}
