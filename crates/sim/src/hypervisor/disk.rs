//! The disks of a running domain.

use crate::refusal::Result;
use crate::xml::Element;

/// The disks of a running domain, with their backing chains and what is being done to them.
#[derive(Debug, Default)]
pub(crate) struct Disks {}

impl Disks {
    /// The disks that a domain starts with.
    pub(crate) fn open(_config: &Element) -> Result<Self> {
        Ok(Self::default())
    }

    /// Writes what only a running domain has into its XML: backing chains, indexes, mirrors.
    pub(crate) fn describe(&self, _config: &mut Element) {}
}
