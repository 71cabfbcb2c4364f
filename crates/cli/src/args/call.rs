//! What `call` takes.

use clap::{ArgGroup, Args};

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
