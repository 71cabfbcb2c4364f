//! What the commands about the filesystems of a guest take.

use clap::Args;

use super::DomainName;

#[derive(Debug, Args)]
pub(crate) struct Mountpoints {
    #[command(flatten)]
    pub(crate) target: DomainName,
    /// Where the filesystems are mounted in the guest; all by default
    #[arg(value_name = "MOUNTPOINT")]
    words: Vec<String>,
    /// The same as MOUNTPOINT
    #[arg(long, value_name = "MOUNTPOINT")]
    mountpoint: Vec<String>,
}

impl Mountpoints {
    pub(crate) fn all(&self) -> Vec<&str> {
        let all = self.mountpoint.iter().chain(&self.words);
        all.map(String::as_str).collect()
    }
}
