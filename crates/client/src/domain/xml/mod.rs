//! The disk part of a domain's XML.
//!
//! Only what block jobs need is read; everything else is skipped. The XML comes from the daemon, so
//! it is bounded in size ([`MAX_XML_BYTES`]) and depth, read without recursion, and read leniently:
//! values that this crate does not know are kept as text.

mod chain;
mod disk;
mod element;
mod reader;
#[cfg(test)]
mod tests;

use thiserror::Error;

pub use self::disk::{
    DiskDescription, DiskDevice, Layer, Mirror, MirrorJob, MirrorReady, NetworkHost, Source,
};
pub(crate) use self::reader::Described;

pub(crate) use self::element::Element;

/// The longest XML that is looked at: 16 MiB, twice what libvirt allows a domain.
pub(crate) const MAX_XML_BYTES: usize = 16 << 20;

/// An XML that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum XmlError {
    /// The text is longer than the 16 MiB that are read.
    #[error("the XML has {length} bytes, more than the {MAX_XML_BYTES} that are read")]
    TooLong {
        /// The length in bytes.
        length: usize,
    },
    /// Elements are nested too deeply.
    #[error("the XML nests elements more than {limit} deep")]
    TooDeep {
        /// The depth that is read.
        limit: usize,
    },
    /// The text is not well-formed XML.
    #[error("the XML is not well-formed at byte {offset}: {problem}")]
    Malformed {
        /// Where reading stopped.
        offset: u64,
        /// What the XML parser found.
        problem: String,
    },
    /// The outermost element is not `<domain>`.
    #[error("expected the XML of a domain, found <{root}>")]
    NotADomain {
        /// The outermost element's name; empty when there is none.
        root: String,
    },
    /// The outermost element is not that of a backup, a checkpoint or a snapshot, as it ought to.
    #[error("expected <{expected}>, found <{root}>")]
    UnexpectedRoot {
        /// The name that was expected.
        expected: &'static str,
        /// The outermost element's name; empty when there is none.
        root: String,
    },
}

/// Reads the disks of a domain's XML, in their order.
///
/// # Errors
///
/// When `xml` is not the well-formed XML of a domain, or exceeds 16 MiB or 1,024 levels.
pub fn disks_from_xml(xml: &str) -> Result<Vec<DiskDescription>, XmlError> {
    reader::domain(xml).map(|found| found.disks)
}

/// Reads what there is to read of a domain's XML.
pub(crate) fn described(xml: &str) -> Result<Described, XmlError> {
    reader::domain(xml)
}

/// Reads a `<disk>` that stands alone, such as the destination of a copy.
pub(crate) fn disk_from_xml(xml: &str) -> Result<Option<DiskDescription>, XmlError> {
    reader::disk(xml)
}
