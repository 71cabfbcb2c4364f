//! Byte streams on which things go wrong, at a certain byte or packet and in either direction.
//!
//! A [`Plan`] says what goes wrong on a connection. [`Faulty`] puts a plan between a client and any
//! byte stream, in memory and on tokio's paused clock as well; [`Relay`] puts it between any client,
//! virsh too, and a daemon that is a process of its own. Both can [record](Record) a connection
//! without faults, to strike at each of its bytes and packets in turn afterwards:
//!
//! ```
//! use tokio::io::{AsyncReadExt, duplex};
//! use virtwire_sim::fault::{At, Fault, Faulty, Plan};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let (client, mut daemon) = duplex(1024);
//! let plan = Plan::default().to_client(Fault::End(At::Byte(3)));
//! let mut client = Faulty::new(client, plan);
//! tokio::io::AsyncWriteExt::write_all(&mut daemon, b"packet").await?;
//! let mut received = Vec::new();
//! client.read_to_end(&mut received).await?;
//! assert_eq!(received, b"pac");
//! # Ok(()) }
//! ```

mod faulty;
mod line;
mod record;
mod relay;
mod splitter;

pub use faulty::Faulty;
pub use record::{Record, Recorder, Trace};
pub use relay::Relay;

use std::time::Duration;

/// Where in one direction of a connection something goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a byte stream has bytes and packets"
)]
pub enum At {
    /// After so many bytes.
    Byte(u64),
    /// After so many packets.
    Packet(u64),
}

/// Something that goes wrong with the bytes of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The bytes come one by one.
    OneByOne,
    /// What comes before the place and what comes after it are never delivered together.
    Split(At),
    /// What comes after the place comes so much later.
    Delay(At, Duration),
    /// Nothing passes after the place, and nothing is said about it.
    Stall(At),
    /// A bit is inverted: this one, counted from the place on.
    Flip(At, u64),
    /// The connection ends, in both directions.
    End(At),
    /// This direction ends; the other does not. What is still sent this way is lost without a word.
    HalfClose(At),
    /// The connection breaks, in both directions.
    Reset(At),
    /// The packet of this number does not arrive.
    Lose(u64),
    /// The packet of this number arrives twice.
    Duplicate(u64),
    /// The packet of this number arrives after so many of those that follow it.
    HoldBack {
        /// The packet, counted from zero as sent.
        packet: u64,
        /// How many overtake it.
        behind: u64,
    },
}

/// What goes wrong on one connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "a plan does nothing by itself"]
pub struct Plan {
    to_client: Vec<Fault>,
    to_daemon: Vec<Fault>,
}

impl Plan {
    /// Adds a fault on the way from the daemon to the client.
    pub fn to_client(mut self, fault: Fault) -> Self {
        self.to_client.push(fault);
        self
    }

    /// Adds a fault on the way from the client to the daemon.
    pub fn to_daemon(mut self, fault: Fault) -> Self {
        self.to_daemon.push(fault);
        self
    }
}

/// How a connection ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    End,
    Reset,
}
