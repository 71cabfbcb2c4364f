//! What the commands about disks take.

use clap::Args;

use super::{DomainName, bytes, kibibytes};

#[derive(Debug, Args)]
pub(crate) struct DiskName {
    #[command(flatten)]
    pub(crate) target: DomainName,
    /// Target of the disk (vda), or the path of its source
    #[arg(value_name = "PATH")]
    pub(crate) path: String,
}

#[derive(Debug, Args)]
pub(crate) struct Domblklist {
    #[command(flatten)]
    pub(crate) target: DomainName,
    /// The definition, not the running configuration
    #[arg(long)]
    pub(crate) inactive: bool,
    /// Also show types and devices
    #[arg(long)]
    pub(crate) details: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Domblkinfo {
    #[command(flatten)]
    pub(crate) target: DomainName,
    /// Target of the disk (vda), or the path of its source
    #[arg(value_name = "PATH", required_unless_present_any = ["all", "device"])]
    pub(crate) path: Option<String>,
    /// The same as PATH
    #[arg(long, value_name = "PATH", conflicts_with = "path")]
    pub(crate) device: Option<String>,
    /// Sizes with units that fit
    #[arg(long)]
    pub(crate) human: bool,
    /// All disks, in a table
    #[arg(long, conflicts_with_all = ["path", "device"])]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Blockresize {
    #[command(flatten)]
    pub(crate) disk: DiskName,
    /// New size, in KiB unless a unit follows: B, KiB or K, MiB or M, …; KB, MB, … for powers of 1000
    #[arg(value_parser = kibibytes)]
    pub(crate) size: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Domblkthreshold {
    #[command(flatten)]
    pub(crate) target: DomainName,
    /// Target of the disk (vda), or an image of its chain (`vda[1]`)
    pub(crate) dev: String,
    /// How far writes may reach before the event block-threshold comes, in bytes unless a unit
    /// follows; 0 for never
    #[arg(value_parser = bytes)]
    pub(crate) threshold: u64,
}
