//! What the commands about backups take.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::{DomainName, seconds};

#[derive(Debug, Args)]
pub(crate) struct BackupBegin {
    #[command(flatten)]
    pub(crate) target: DomainName,
    /// Files with the XML of the backup (by default all disks are copied) and of a checkpoint to
    /// create with it, as far as no options give them
    #[arg(value_names = ["BACKUP_XML", "CHECKPOINT_XML"], num_args = 0..=2)]
    words: Vec<PathBuf>,
    /// File with the XML of the backup
    #[arg(long, value_name = "FILE")]
    backupxml: Option<PathBuf>,
    /// File with the XML of a checkpoint to create with it
    #[arg(long, value_name = "FILE")]
    checkpointxml: Option<PathBuf>,
    /// Write into images that exist
    #[arg(long)]
    pub(crate) reuse_external: bool,
    /// Wait until the backup is over; Ctrl-C cancels it, or ends it in pull mode
    #[arg(long)]
    pub(crate) wait: bool,
    /// Show figures with the progress
    #[arg(long, requires = "wait")]
    pub(crate) verbose: bool,
    /// Cancel the backup, or end it in pull mode, after so many seconds
    #[arg(long, value_name = "S", requires = "wait", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
}

impl BackupBegin {
    /// The files of backup and checkpoint. As with virsh, words fill what no option has given.
    pub(crate) fn files(&self) -> (Option<&Path>, Option<&Path>) {
        let mut words = self.words.iter().map(PathBuf::as_path);
        let backup = self.backupxml.as_deref().or_else(|| words.next());
        let checkpoint = self.checkpointxml.as_deref().or_else(|| words.next());
        (backup, checkpoint)
    }
}
