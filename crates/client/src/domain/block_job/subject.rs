//! What a job is about, as it is known before the job starts.

use virtwire_protocol::constants::{DomainBlockJobType, DomainXmlFlags};

use super::info::is_mirror;
use crate::domain::xml::{self, Described};
use crate::error::Cause;
use crate::{Disk, DiskDescription, Domain, Error, Source};

/// A disk and what is to be done to it.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    /// The disk, named by its target, which is what the events use.
    pub(super) disk: Disk,
    pub(super) kind: DomainBlockJobType,
    /// The disk before the job; `None` when the XML has no such disk.
    pub(super) before: Option<DiskDescription>,
    /// The ID of the domain, which tells this run from the next.
    pub(super) instance: Option<u32>,
    /// The active image after a pivot.
    pub(super) destination: Option<Source>,
    /// The image that the definition names before the job, as far as that is of interest.
    pub(super) defined: Option<Source>,
    /// The images that a pull or an inner commit leaves, the active one first.
    pub(super) after: Option<Vec<Option<Source>>>,
}

impl Subject {
    /// Reads what the XML says of the disk. A disk that is not in it keeps its name: the daemon's
    /// refusal says more than ours could.
    pub(super) async fn read(disk: &Disk, kind: DomainBlockJobType) -> Result<Self, Error> {
        let described = described(disk.domain(), DomainXmlFlags::empty()).await?;
        Ok(Self::found(disk, kind, described))
    }

    pub(super) fn found(disk: &Disk, kind: DomainBlockJobType, described: Described) -> Self {
        let before = find(described.disks, disk.path());
        let target = before.as_ref().map(|before| before.target.as_str());
        Self {
            disk: disk.domain().disk(target.unwrap_or_else(|| disk.path())),
            kind,
            instance: described.id,
            destination: before.as_ref().and_then(mirrored_to),
            defined: None,
            after: None,
            before,
        }
    }

    /// Notes which image the definition names, if the job is going to change that.
    pub(super) async fn read_definition(&mut self) {
        if !is_mirror(self.kind) {
            return;
        }
        let described = described(self.disk.domain(), DomainXmlFlags::INACTIVE).await;
        let disk = described
            .ok()
            .and_then(|of| find(of.disks, self.disk.path()));
        self.defined = disk.and_then(|disk| disk.source);
    }
}

/// Where a mirror that is under way leads.
fn mirrored_to(disk: &DiskDescription) -> Option<Source> {
    disk.mirror.as_ref()?.source.clone()
}

/// The disk of that target, or else of that active image.
pub(super) fn find(disks: Vec<DiskDescription>, path: &str) -> Option<DiskDescription> {
    let by_target = disks.iter().position(|disk| disk.target == path);
    let position =
        by_target.or_else(|| disks.iter().position(|disk| disk.position(path) == Some(0)));
    disks.into_iter().nth(position?)
}

/// What there is to read of a domain's XML.
pub(super) async fn described(domain: &Domain, flags: DomainXmlFlags) -> Result<Described, Error> {
    let xml = domain.xml(flags).await?;
    xml::described(&xml).map_err(|error| Cause::Xml(error).into())
}
