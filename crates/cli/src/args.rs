//! The command line: virsh's words and flags.

mod backup;
mod block_job;
mod call;
mod checkpoint;
mod disk;
mod domain;
mod event;
mod filesystem;
mod operand;
mod size;
mod snapshot;

use std::time::Duration;

use clap::{Parser, Subcommand};

pub(crate) use self::backup::BackupBegin;
pub(crate) use self::block_job::{
    Blockcommit, Blockcopy, Blockjob, Blockjobs, Blockpull, DiskNames, Limit,
};
pub(crate) use self::call::Call;
pub(crate) use self::checkpoint::{
    CheckpointCreate, CheckpointCreateAs, CheckpointDelete, CheckpointDumpxml, CheckpointList,
    CheckpointName, Described,
};
pub(crate) use self::disk::{Blockresize, DiskName, Domblkinfo, Domblklist, Domblkthreshold};
pub(crate) use self::domain::{
    Create, Define, Destroy, DomainName, Domstate, Dumpxml, List, Shutdown, ShutdownMode, Start,
    Undefine,
};
pub(crate) use self::event::{
    Event, NetEvent, NodedevEvent, PoolEvent, QemuMonitorEvent, SecretEvent, Wait, Which,
};
pub(crate) use self::filesystem::Mountpoints;
pub(crate) use self::operand::in_place;
use self::size::{bytes, kibibytes};
pub(crate) use self::snapshot::SnapshotCreateAs;

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
Exit status: 0 success, 1 error, 2 wrong usage; of a job that was waited for: \
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
    /// Show the sizes of a disk
    Domblkinfo(Domblkinfo),
    /// Have an event come when a disk is filled so far
    Domblkthreshold(Domblkthreshold),
    /// Give a disk another size
    Blockresize(Blockresize),
    /// Populate a disk from its backing image
    Blockpull(Blockpull),
    /// Move an image's data into one behind it
    Blockcommit(Blockcommit),
    /// Copy a disk, and switch it over to the copy
    Blockcopy(Blockcopy),
    /// Query, limit or end the block job of a disk
    Blockjob(Blockjob),
    /// List the block jobs of all domains
    Blockjobs(Blockjobs),
    /// Begin a backup of a running domain's disks
    #[command(name = "backup-begin")]
    BackupBegin(BackupBegin),
    /// Show the XML of the backup that is going on
    #[command(name = "backup-dumpxml")]
    BackupDumpxml(DomainName),
    /// End the job of a whole domain, such as a backup
    Domjobabort(DomainName),
    /// Create a checkpoint from an XML file
    #[command(name = "checkpoint-create")]
    CheckpointCreate(CheckpointCreate),
    /// Create a checkpoint
    #[command(name = "checkpoint-create-as")]
    CheckpointCreateAs(CheckpointCreateAs),
    /// List a domain's checkpoints
    #[command(name = "checkpoint-list")]
    CheckpointList(CheckpointList),
    /// Show a checkpoint's basic figures
    #[command(name = "checkpoint-info")]
    CheckpointInfo(CheckpointName),
    /// Show a checkpoint's XML
    #[command(name = "checkpoint-dumpxml")]
    CheckpointDumpxml(CheckpointDumpxml),
    /// Show the checkpoint that one comes from
    #[command(name = "checkpoint-parent")]
    CheckpointParent(CheckpointName),
    /// Delete a checkpoint
    #[command(name = "checkpoint-delete")]
    CheckpointDelete(CheckpointDelete),
    /// Take a snapshot
    #[command(name = "snapshot-create-as")]
    SnapshotCreateAs(SnapshotCreateAs),
    /// Freeze a guest's filesystems
    Domfsfreeze(Mountpoints),
    /// Let a guest's filesystems be written to again
    Domfsthaw(Mountpoints),
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

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => Err("must be a whole number of seconds".to_owned()),
    }
}

#[cfg(test)]
mod tests;
