//! The command line: virsh's words and flags.

mod event;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::event::{
    Event, NetEvent, NodedevEvent, PoolEvent, QemuMonitorEvent, SecretEvent, Wait, Which,
};

/// Exit status of a block job that was cancelled.
pub(crate) const CANCELLED: u8 = 3;
/// Exit status of a block job that failed.
pub(crate) const JOB_FAILED: u8 = 4;
/// Exit status of a block job whose end nobody announced.
pub(crate) const VANISHED: u8 = 5;

/// Manages libvirt guests with virsh's words, and calls any procedure of libvirt's protocol.
#[derive(Debug, Parser)]
#[command(name = "virtwire", version, after_help = EXIT_STATUS)]
pub(crate) struct Arguments {
    /// Hypervisor connection URI; by default $LIBVIRT_DEFAULT_URI, else the daemon's choice
    #[arg(short, long, value_name = "URI", global = true)]
    pub(crate) connect: Option<String>,

    /// Connect read-only
    #[arg(short, long, global = true)]
    pub(crate) readonly: bool,

    /// Print only what was asked for: no remarks, headings or progress
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,

    /// Print JSON, also for errors
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_STATUS: &str = "\
Exit status: 0 success, 1 error, 2 wrong usage; of a block job that was waited for: \
3 cancelled, 4 failed, 5 gone without saying how it ended.";

#[derive(Debug, Subcommand)]
#[command(rename_all = "lower")]
pub(crate) enum Command {
    /// Show the versions of virtwire, the daemon and the hypervisor
    Version,
    /// Show the hypervisor's URI
    Uri,
    /// List domains
    List(List),
    /// Show a domain's state
    Domstate(Domstate),
    /// Show a domain's basic figures
    Dominfo(DomainName),
    /// Show a domain's XML
    Dumpxml(Dumpxml),
    /// Define a persistent domain from an XML file, without starting it
    Define(Define),
    /// Remove a domain's definition
    Undefine(Undefine),
    /// Start a defined domain
    Start(Start),
    /// Create a transient domain from an XML file
    Create(Create),
    /// Ask a domain to shut down
    Shutdown(Shutdown),
    /// Stop a domain at once
    Destroy(Destroy),
    /// Pause a domain
    Suspend(DomainName),
    /// Let a paused domain run again
    Resume(DomainName),
    /// List a domain's disks
    Domblklist(Domblklist),
    /// Populate a disk from its backing image
    Blockpull(Blockpull),
    /// Query, limit or end the block job of a disk
    Blockjob(Blockjob),
    /// Wait for events of domains
    Event(Event),
    /// Wait for events of networks
    #[command(name = "net-event")]
    NetEvent(NetEvent),
    /// Wait for events of storage pools
    #[command(name = "pool-event")]
    PoolEvent(PoolEvent),
    /// Wait for events of node devices
    #[command(name = "nodedev-event")]
    NodedevEvent(NodedevEvent),
    /// Wait for events of secrets
    #[command(name = "secret-event")]
    SecretEvent(SecretEvent),
    /// Wait for events of QEMU's monitor
    #[command(name = "qemu-monitor-event")]
    QemuMonitorEvent(QemuMonitorEvent),
    /// Call any procedure of any program, with JSON arguments
    Call(Call),
}

#[derive(Debug, Args)]
pub(crate) struct DomainName {
    /// Name, UUID or id of the domain
    #[arg(value_name = "DOMAIN")]
    pub(crate) domain: String,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Inactive domains
    #[arg(long)]
    pub(crate) inactive: bool,
    /// Active and inactive domains
    #[arg(long)]
    pub(crate) all: bool,
    /// Only UUIDs
    #[arg(long)]
    pub(crate) uuid: bool,
    /// Only names
    #[arg(long)]
    pub(crate) name: bool,
    /// Only ids
    #[arg(long)]
    pub(crate) id: bool,
    /// A table (the default)
    #[arg(long, conflicts_with_all = ["uuid", "name", "id"])]
    pub(crate) table: bool,
    /// Mark inactive domains that have a managed save image
    #[arg(long)]
    pub(crate) managed_save: bool,
    /// Show titles
    #[arg(long)]
    pub(crate) title: bool,
    #[command(flatten)]
    pub(crate) filters: Filters,
}

/// The filters of `list`: those of one group add up, groups narrow each other.
#[derive(Debug, Args)]
#[command(next_help_heading = "Filters")]
pub(crate) struct Filters {
    /// Transient domains
    #[arg(long)]
    pub(crate) transient: bool,
    /// Persistent domains
    #[arg(long)]
    pub(crate) persistent: bool,
    /// Domains with a snapshot
    #[arg(long)]
    pub(crate) with_snapshot: bool,
    /// Domains without a snapshot
    #[arg(long)]
    pub(crate) without_snapshot: bool,
    /// Domains with a checkpoint
    #[arg(long)]
    pub(crate) with_checkpoint: bool,
    /// Domains without a checkpoint
    #[arg(long)]
    pub(crate) without_checkpoint: bool,
    /// Running domains
    #[arg(long)]
    pub(crate) state_running: bool,
    /// Paused domains
    #[arg(long)]
    pub(crate) state_paused: bool,
    /// Domains that are shut off
    #[arg(long)]
    pub(crate) state_shutoff: bool,
    /// Domains in other states
    #[arg(long)]
    pub(crate) state_other: bool,
    /// Domains that start with the host
    #[arg(long)]
    pub(crate) autostart: bool,
    /// Domains that do not start with the host
    #[arg(long)]
    pub(crate) no_autostart: bool,
    /// Domains with a managed save image
    #[arg(long)]
    pub(crate) with_managed_save: bool,
    /// Domains without a managed save image
    #[arg(long)]
    pub(crate) without_managed_save: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Domstate {
    #[command(flatten)]
    pub(crate) target: DomainName,
    /// Also show the reason
    #[arg(long)]
    pub(crate) reason: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Dumpxml {
    #[command(flatten)]
    pub(crate) target: DomainName,
    /// The definition, not the running configuration
    #[arg(long)]
    pub(crate) inactive: bool,
    /// With security-sensitive information
    #[arg(long)]
    pub(crate) security_info: bool,
    /// With the guest CPU as the host provides it
    #[arg(long)]
    pub(crate) update_cpu: bool,
    /// Fit for migration
    #[arg(long)]
    pub(crate) migratable: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Define {
    /// File with the domain's XML; `-` for standard input
    pub(crate) file: PathBuf,
    /// Check the XML against the schema
    #[arg(long)]
    pub(crate) validate: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Undefine {
    #[command(flatten)]
    pub(crate) target: DomainName,
    /// Remove the managed save image
    #[arg(long)]
    pub(crate) managed_save: bool,
    /// Remove the metadata of all snapshots
    #[arg(long)]
    pub(crate) snapshots_metadata: bool,
    /// Remove the metadata of all checkpoints
    #[arg(long)]
    pub(crate) checkpoints_metadata: bool,
    /// Remove the NVRAM file
    #[arg(long, conflicts_with = "keep_nvram")]
    pub(crate) nvram: bool,
    /// Keep the NVRAM file
    #[arg(long)]
    pub(crate) keep_nvram: bool,
    /// Remove the TPM's state
    #[arg(long, conflicts_with = "keep_tpm")]
    pub(crate) tpm: bool,
    /// Keep the TPM's state
    #[arg(long)]
    pub(crate) keep_tpm: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Start {
    /// Name or UUID of the domain
    #[arg(value_name = "DOMAIN")]
    pub(crate) domain: String,
    /// Leave the domain paused
    #[arg(long)]
    pub(crate) paused: bool,
    /// Have the domain stopped when this connection ends, which is when this command does
    #[arg(long)]
    pub(crate) autodestroy: bool,
    /// Read a managed save image past the host's cache
    #[arg(long)]
    pub(crate) bypass_cache: bool,
    /// Boot afresh and drop a managed save image
    #[arg(long)]
    pub(crate) force_boot: bool,
    /// Set the NVRAM back to its template
    #[arg(long)]
    pub(crate) reset_nvram: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// File with the domain's XML; `-` for standard input
    pub(crate) file: PathBuf,
    /// Leave the domain paused
    #[arg(long)]
    pub(crate) paused: bool,
    /// Have the domain stopped when this connection ends, which is when this command does
    #[arg(long)]
    pub(crate) autodestroy: bool,
    /// Check the XML against the schema
    #[arg(long)]
    pub(crate) validate: bool,
    /// Set the NVRAM back to its template
    #[arg(long)]
    pub(crate) reset_nvram: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Shutdown {
    #[command(flatten)]
    pub(crate) target: DomainName,
    /// How to ask, several separated by commas; the hypervisor chooses by default
    #[arg(long, value_delimiter = ',')]
    pub(crate) mode: Vec<ShutdownMode>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShutdownMode {
    Acpi,
    Agent,
    Initctl,
    Signal,
    Paravirt,
}

#[derive(Debug, Args)]
pub(crate) struct Destroy {
    #[command(flatten)]
    pub(crate) target: DomainName,
    /// Give up rather than kill a hypervisor process that does not end
    #[arg(long)]
    pub(crate) graceful: bool,
    /// Remove the domain's logs
    #[arg(long)]
    pub(crate) remove_logs: bool,
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
pub(crate) struct DiskName {
    #[command(flatten)]
    pub(crate) target: DomainName,
    /// Target of the disk (vda), or the path of its source
    #[arg(value_name = "PATH")]
    pub(crate) path: String,
}

#[derive(Debug, Args)]
pub(crate) struct Blockpull {
    #[command(flatten)]
    pub(crate) disk: DiskName,
    /// Limit in MiB/s; 0 for none
    #[arg(long, value_name = "N")]
    pub(crate) bandwidth: Option<u64>,
    /// The limit is in bytes/s
    #[arg(long, requires = "bandwidth")]
    pub(crate) bytes: bool,
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
#[command(group(ArgGroup::new("what").required(true).args(["procedure", "list", "describe"])))]
pub(crate) struct Call {
    /// Procedure: DOMAIN_GET_INFO, qemu:DOMAIN_MONITOR_COMMAND or remote:16
    pub(crate) procedure: Option<String>,
    /// Arguments as a JSON object; `-` for standard input
    #[arg(value_name = "JSON", requires = "procedure")]
    pub(crate) arguments: Option<String>,
    /// List all procedures
    #[arg(long)]
    pub(crate) list: bool,
    /// Show the layout of a procedure's arguments and reply
    #[arg(long, value_name = "PROCEDURE")]
    pub(crate) describe: Option<String>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => Err("must be a whole number of seconds".to_owned()),
    }
}

#[cfg(test)]
mod tests;
