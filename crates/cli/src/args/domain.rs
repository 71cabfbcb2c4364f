//! What the commands about whole domains take.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

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
