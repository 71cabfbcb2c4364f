//! What the commands about checkpoints take.

use std::path::PathBuf;

use clap::Args;

use super::DomainName;

#[derive(Debug, Args)]
pub(crate) struct CheckpointName {
    #[command(flatten)]
    pub(crate) target: DomainName,
    /// Name of the checkpoint
    #[arg(value_name = "CHECKPOINT", required_unless_present = "checkpointname")]
    name: Option<String>,
    /// The same as CHECKPOINT
    #[arg(long, value_name = "CHECKPOINT", conflicts_with = "name")]
    checkpointname: Option<String>,
}

impl CheckpointName {
    pub(crate) fn name(&self) -> &str {
        let name = self.name.as_deref().or(self.checkpointname.as_deref());
        name.unwrap_or_default()
    }
}

#[derive(Debug, Args)]
pub(crate) struct CheckpointCreate {
    #[command(flatten)]
    pub(crate) target: DomainName,
    /// File with the checkpoint's XML; `-` for standard input. By default a checkpoint of all disks
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The same as FILE
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    xmlfile: Option<PathBuf>,
    /// Make known again what libvirt has forgotten
    #[arg(long)]
    pub(crate) redefine: bool,
    /// Check that the bitmaps are there
    #[arg(long, requires = "redefine")]
    pub(crate) redefine_validate: bool,
    /// Freeze the guest's filesystems meanwhile
    #[arg(long)]
    pub(crate) quiesce: bool,
}

impl CheckpointCreate {
    pub(crate) fn file(&self) -> Option<&PathBuf> {
        self.file.as_ref().or(self.xmlfile.as_ref())
    }
}

/// A name, a description and disks. As with virsh, words fill what no option has given, in this
/// order.
#[derive(Debug, Args)]
pub(crate) struct Described {
    /// Name, description and disks, as far as no options give them
    #[arg(value_names = ["NAME", "DESCRIPTION", "DISKSPEC"], num_args = 0..)]
    words: Vec<String>,
    /// Name; by default the time
    #[arg(long)]
    name: Option<String>,
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    /// A disk and how it takes part, separated by commas (`,,` is a comma)
    #[arg(long)]
    diskspec: Vec<String>,
}

impl Described {
    /// Name, description and disks.
    pub(crate) fn parts(&self) -> (Option<&str>, Option<&str>, Vec<&str>) {
        let mut words = self.words.iter().map(String::as_str);
        let name = self.name.as_deref().or_else(|| words.next());
        let description = self.description.as_deref().or_else(|| words.next());
        let disks = self.diskspec.iter().map(String::as_str).chain(words);
        (name, description, disks.collect())
    }
}

#[derive(Debug, Args)]
pub(crate) struct CheckpointCreateAs {
    #[command(flatten)]
    pub(crate) target: DomainName,
    #[command(flatten)]
    pub(crate) described: Described,
    /// Print the XML and create nothing
    #[arg(long)]
    pub(crate) print_xml: bool,
    /// Freeze the guest's filesystems meanwhile
    #[arg(long)]
    pub(crate) quiesce: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CheckpointList {
    #[command(flatten)]
    pub(crate) target: DomainName,
    /// Show the parents
    #[arg(long, conflicts_with_all = ["roots", "tree"])]
    pub(crate) parent: bool,
    /// Only those without parents
    #[arg(long, conflicts_with_all = ["tree", "from"])]
    pub(crate) roots: bool,
    /// Only those without children
    #[arg(long, conflicts_with = "tree")]
    pub(crate) leaves: bool,
    /// Only those with children
    #[arg(long, conflicts_with = "tree")]
    pub(crate) no_leaves: bool,
    /// Show who comes from whom
    #[arg(long, conflicts_with = "name")]
    pub(crate) tree: bool,
    /// Only children of this checkpoint
    #[arg(long, value_name = "CHECKPOINT")]
    pub(crate) from: Option<String>,
    /// Children's children, too
    #[arg(long, requires = "from")]
    pub(crate) descendants: bool,
    /// Only names
    #[arg(long)]
    pub(crate) name: bool,
    /// Parents before children, instead of by name
    #[arg(long)]
    pub(crate) topological: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CheckpointDumpxml {
    #[command(flatten)]
    pub(crate) checkpoint: CheckpointName,
    /// With security-sensitive information
    #[arg(long)]
    pub(crate) security_info: bool,
    /// Without the domain's XML
    #[arg(long)]
    pub(crate) no_domain: bool,
    /// With the size that a backup since then would have
    #[arg(long)]
    pub(crate) size: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CheckpointDelete {
    #[command(flatten)]
    pub(crate) checkpoint: CheckpointName,
    /// The checkpoint and what comes from it
    #[arg(long)]
    pub(crate) children: bool,
    /// Only what comes from the checkpoint
    #[arg(long)]
    pub(crate) children_only: bool,
    /// Forget it and leave the bitmaps in the images
    #[arg(long)]
    pub(crate) metadata: bool,
}
