//! What `snapshot-create-as` takes.

use clap::Args;

use super::{Described, DomainName};

#[derive(Debug, Args)]
pub(crate) struct SnapshotCreateAs {
    #[command(flatten)]
    pub(crate) target: DomainName,
    #[command(flatten)]
    pub(crate) described: Described,
    /// Print the XML and create nothing
    #[arg(long)]
    pub(crate) print_xml: bool,
    /// Have libvirt forget the snapshot; the disks are on new images all the same
    #[arg(long)]
    pub(crate) no_metadata: bool,
    /// Stop the domain afterwards
    #[arg(long)]
    pub(crate) halt: bool,
    /// The disks, not what is in memory
    #[arg(long)]
    pub(crate) disk_only: bool,
    /// Use images that exist
    #[arg(long)]
    pub(crate) reuse_external: bool,
    /// Freeze the guest's filesystems meanwhile
    #[arg(long)]
    pub(crate) quiesce: bool,
    /// All disks or none
    #[arg(long)]
    pub(crate) atomic: bool,
    /// Let the guest run meanwhile
    #[arg(long)]
    pub(crate) live: bool,
    /// Check the XML against the schema
    #[arg(long)]
    pub(crate) validate: bool,
    /// Where the memory goes: [file=]PATH[,snapshot=TYPE]
    #[arg(long)]
    pub(crate) memspec: Option<String>,
}
