//! What the commands about block jobs take.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};

use super::{DiskName, DomainName, seconds};

/// The disks of one domain that a command works on.
#[derive(Debug, Args)]
pub(crate) struct DiskNames {
    #[command(flatten)]
    pub(crate) target: DomainName,
    /// Target of a disk (vda), or the path of its source; several are worked on at once
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<String>,
}

/// How fast a job may go.
#[derive(Debug, Args)]
pub(crate) struct Limit {
    /// Limit in MiB/s; 0 for none
    #[arg(long, value_name = "N")]
    pub(crate) bandwidth: Option<u64>,
    /// The limit is in bytes/s
    #[arg(long, requires = "bandwidth")]
    pub(crate) bytes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Blockpull {
    #[command(flatten)]
    pub(crate) disks: DiskNames,
    #[command(flatten)]
    pub(crate) limit: Limit,
    /// Keep this image of the chain, and what is behind it, as the backing image
    #[arg(long, value_name = "PATH")]
    pub(crate) base: Option<String>,
    /// Keep the reference to the base relative
    #[arg(long, requires = "base")]
    pub(crate) keep_relative: bool,
    /// Wait until the job is over; Ctrl-C cancels it
    #[arg(long)]
    pub(crate) wait: bool,
    /// Show figures with the progress
    #[arg(long, requires = "wait")]
    pub(crate) verbose: bool,
    /// Cancel the job after so many seconds
    #[arg(long, value_name = "S", requires = "wait", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
    /// Do not wait until a cancelled job is over
    #[arg(long = "async", requires = "wait")]
    pub(crate) asynchronous: bool,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("waiting").multiple(true).args(["wait", "timeout", "pivot", "keep_overlay"])))]
pub(crate) struct Blockcommit {
    #[command(flatten)]
    pub(crate) disks: DiskNames,
    #[command(flatten)]
    pub(crate) limit: Limit,
    /// Image to commit into; the last of the chain by default
    #[arg(long, value_name = "PATH")]
    pub(crate) base: Option<String>,
    /// Commit into the image behind the top
    #[arg(long, conflicts_with = "base")]
    pub(crate) shallow: bool,
    /// Image to commit from; with --active, the one that the guest writes to
    #[arg(long, value_name = "PATH")]
    pub(crate) top: Option<String>,
    /// Commit the image that the guest writes to; the disk is switched over by a pivot
    #[arg(long)]
    pub(crate) active: bool,
    /// Delete the images that were committed
    #[arg(long)]
    pub(crate) delete: bool,
    /// Wait until the job is over, or with --active until it keeps up with the guest; Ctrl-C cancels
    /// it
    #[arg(long)]
    pub(crate) wait: bool,
    /// Show figures with the progress
    #[arg(long, requires = "waiting")]
    pub(crate) verbose: bool,
    /// Wait, and cancel the job after so many seconds
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
    /// With --active, which it implies: wait, then switch the disk over to the base
    #[arg(long)]
    pub(crate) pivot: bool,
    /// With --pivot: freeze the guest's filesystems around it, by the guest's agent
    #[arg(long, requires = "pivot")]
    pub(crate) quiesce: bool,
    /// With --active, which it implies: wait, then end the job and stay on the top
    #[arg(long, conflicts_with = "pivot")]
    pub(crate) keep_overlay: bool,
    /// Do not wait until a cancelled job is over
    #[arg(long = "async", requires = "waiting")]
    pub(crate) asynchronous: bool,
    /// Keep references between images relative
    #[arg(long)]
    pub(crate) keep_relative: bool,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("waiting").multiple(true).args(["wait", "timeout", "pivot", "finish"])))]
pub(crate) struct Blockcopy {
    #[command(flatten)]
    pub(crate) target: DomainName,
    /// Target of the disk (vda), or the path of its source, and where its copy goes; several such
    /// pairs are copied at once
    #[arg(value_names = ["PATH", "DEST"], num_args = 1.., required = true)]
    pub(crate) words: Vec<String>,
    /// Where the copy goes: a path on the host
    #[arg(long, value_name = "PATH", conflicts_with = "xml")]
    pub(crate) dest: Option<String>,
    /// File with the XML of a <disk> that says where the copy goes; `-` for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["format", "raw", "blockdev"])]
    pub(crate) xml: Option<PathBuf>,
    /// Format of the copy; by default that of the disk
    #[arg(long, conflicts_with = "raw")]
    pub(crate) format: Option<String>,
    /// The same as --format raw
    #[arg(long)]
    pub(crate) raw: bool,
    /// The destination is a block device
    #[arg(long)]
    pub(crate) blockdev: bool,
    #[command(flatten)]
    pub(crate) limit: Limit,
    /// Copy the first image only, and share the rest of the chain
    #[arg(long)]
    pub(crate) shallow: bool,
    /// Use an image that exists, as it is
    #[arg(long)]
    pub(crate) reuse_external: bool,
    /// Power of two, in bytes: copy in pieces of this size
    #[arg(long, value_name = "N")]
    pub(crate) granularity: Option<u32>,
    /// How many bytes may be under way
    #[arg(long, value_name = "N")]
    pub(crate) buf_size: Option<u64>,
    /// Allow the job although it does not outlive the domain
    #[arg(long)]
    pub(crate) transient_job: bool,
    /// Have each write of the guest wait until it is in the copy as well
    #[arg(long)]
    pub(crate) synchronous_writes: bool,
    /// Print the XML of the destination and start nothing
    #[arg(long)]
    pub(crate) print_xml: bool,
    /// Wait until the copy keeps up with the guest; Ctrl-C cancels the job
    #[arg(long)]
    pub(crate) wait: bool,
    /// Show figures with the progress
    #[arg(long, requires = "waiting")]
    pub(crate) verbose: bool,
    /// Wait, and cancel the job after so many seconds
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
    /// Wait, then switch the disk over to the copy
    #[arg(long)]
    pub(crate) pivot: bool,
    /// With --pivot: freeze the guest's filesystems around it, by the guest's agent
    #[arg(long, requires = "pivot")]
    pub(crate) quiesce: bool,
    /// Wait, then end the job and keep the copy as it is
    #[arg(long, conflicts_with = "pivot")]
    pub(crate) finish: bool,
    /// Do not wait until a cancelled job is over
    #[arg(long = "async", requires = "waiting")]
    pub(crate) asynchronous: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Blockjob {
    #[command(flatten)]
    pub(crate) disk: DiskName,
    /// Show the job (the default)
    #[arg(long, conflicts_with_all = ["abort", "pivot", "asynchronous", "bandwidth"])]
    pub(crate) info: bool,
    /// Cancel the job
    #[arg(long)]
    pub(crate) abort: bool,
    /// Cancel or pivot, and do not wait until the job is over
    #[arg(long = "async")]
    pub(crate) asynchronous: bool,
    /// End a copy or active commit by switching the disk over
    #[arg(long)]
    pub(crate) pivot: bool,
    /// New limit in MiB/s; 0 for none
    #[arg(long, value_name = "N", conflicts_with_all = ["abort", "pivot", "asynchronous"])]
    pub(crate) bandwidth: Option<u64>,
    /// Bandwidth in bytes/s
    #[arg(long, conflicts_with_all = ["abort", "pivot", "asynchronous"])]
    pub(crate) bytes: bool,
    /// Show the job's figures as they are
    #[arg(long, conflicts_with_all = ["abort", "pivot", "asynchronous", "bandwidth"])]
    pub(crate) raw: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Blockjobs {
    /// Only of this domain: name, UUID or id
    #[arg(long)]
    pub(crate) domain: Option<String>,
    /// Show them again with every change, until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
    /// How often running jobs are asked for their progress, in seconds
    #[arg(long, value_name = "S", default_value = "1", requires = "watch", value_parser = seconds)]
    pub(crate) interval: Duration,
    /// End after so many seconds
    #[arg(long, value_name = "S", requires = "watch", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
}
