//! What the commands that wait for events take.

use std::time::Duration;

use clap::Args;

use super::seconds;

/// Which kinds of events.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Which {
    /// Kind of events to wait for, several separated by commas
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) event: Vec<String>,
    /// Wait for events of all kinds
    #[arg(long)]
    pub(crate) all: bool,
    /// List the kinds of events
    #[arg(long)]
    pub(crate) list: bool,
}

/// How long to wait, and how to show what comes.
#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// Go on until the time is up or Ctrl-C, instead of ending with the first event
    #[arg(long = "loop")]
    pub(crate) repeat: bool,
    /// End after so many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End after so many seconds
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
    /// Show when each event came, in UTC
    #[arg(long)]
    pub(crate) timestamp: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Event {
    /// Only of this domain: name, UUID or id
    #[arg(long)]
    pub(crate) domain: Option<String>,
    #[command(flatten)]
    pub(crate) which: Which,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub(crate) struct NetEvent {
    /// Only of this network: name or UUID
    #[arg(long)]
    pub(crate) network: Option<String>,
    #[command(flatten)]
    pub(crate) which: Which,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub(crate) struct PoolEvent {
    /// Only of this storage pool: name or UUID
    #[arg(long)]
    pub(crate) pool: Option<String>,
    #[command(flatten)]
    pub(crate) which: Which,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub(crate) struct NodedevEvent {
    /// Only of this node device: name
    #[arg(long)]
    pub(crate) device: Option<String>,
    #[command(flatten)]
    pub(crate) which: Which,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub(crate) struct SecretEvent {
    /// Only of this secret: UUID
    #[arg(long)]
    pub(crate) secret: Option<String>,
    #[command(flatten)]
    pub(crate) which: Which,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub(crate) struct QemuMonitorEvent {
    /// Only of this domain: name, UUID or id
    #[arg(long)]
    pub(crate) domain: Option<String>,
    /// Only events of this name; of any by default
    #[arg(long, value_name = "NAME")]
    pub(crate) event: Option<String>,
    /// The name is a regular expression
    #[arg(long, requires = "event")]
    pub(crate) regex: bool,
    /// Upper and lower case are the same in the name
    #[arg(long, requires = "event")]
    pub(crate) no_case: bool,
    /// Spread the details over several lines
    #[arg(long)]
    pub(crate) pretty: bool,
    #[command(flatten)]
    pub(crate) wait: Wait,
}
