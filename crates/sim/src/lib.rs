//! A simulated libvirt daemon, a scripted peer and faulty transports: what a program that talks to
//! libvirt needs for tests without a hypervisor.
//!
//! ```
//! use std::time::Duration;
//!
//! use virtwire::{Connection, constants::DomainCreateFlags};
//! use virtwire_sim::Simulator;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let simulator = Simulator::builder()
//!     .domain("<domain type='kvm'><name>guest</name><memory unit='GiB'>1</memory>
//!                <os><type>hvm</type></os></domain>")?
//!     .start();
//!
//! // A client that is to be tested: here within the process, elsewhere by a socket.
//! let builder = Connection::builder().uri("qemu:///system");
//! let (connection, driver) = builder.connect_with_io(simulator.connect()).await?;
//! tokio::spawn(driver);
//! let domain = connection.lookup_domain_by_name("guest").await?;
//! assert!(domain.id().is_some());
//!
//! // Something happens to the guest, and the client has to cope.
//! simulator.domain("guest").ok_or("no such domain")?.crash()?;
//! assert!(domain.suspend().await.is_err());
//! domain.create(DomainCreateFlags::empty()).await?;
//!
//! // Time is tokio's: with its clock paused, an hour is over at once.
//! tokio::time::sleep(Duration::from_secs(3600)).await;
//! domain.suspend().await?;
//! # Ok(()) }
//! ```
//!
//! # What there is
//!
//! | | |
//! |---|---|
//! | [`Simulator`] | a daemon that behaves as libvirtd does, errors, events and their order included |
//! | [`SimulatedDomain`], [`SimulatedDisk`] | what happens inside of it: guests that crash, disks that fail |
//! | [`Simulator::emit`], [`Simulator::emit_raw`] | events of any kind, and of none that there is |
//! | [`Builder::on`] | a procedure answered by the test itself, in the place of the simulator |
//! | [`script`] | a daemon that says exactly what a script has it say, right or wrong |
//! | [`fault`] | transports that split, delay, garble and break what passes |
//! | [`socket`] | the sockets that clients connect to |
//!
//! # What is simulated
//!
//! Connections with keepalive, request limits and readers' refusals; domains, persistent and
//! transient, with their statistics and metadata; their disks with backing chains, and all block
//! jobs; snapshots, checkpoints and backups; storage pools, volumes and streams; networks; and the
//! events of all of these. Events of devices of the host, of secrets and of QEMU's monitors can be
//! asked for, and come when a test says so. Whatever else is called is answered as a libvirtd answers that has no
//! such thing. There is no guest: nothing boots, and devices carry no traffic.
//!
//! A domain of the type `test` behaves as those of libvirt's test driver, any other as those of
//! its QEMU driver; clients may open either driver, and find the same domains in both.
//!
//! The `binary` feature, on by default, brings the command `virtwire-sim`. Without it this crate
//! needs no argument parser.

#![expect(
    clippy::result_large_err,
    reason = "an error is an answer like any other here, made once for a call"
)]

mod access;
mod call;
mod config;
pub mod fault;
mod handlers;
mod hypervisor;
mod refusal;
mod router;
pub mod script;
mod server;
mod simulated;
mod simulated_disk;
mod simulator;
pub mod socket;
mod stream;
mod xml;

pub use call::Call;
pub use config::ConfigError;
pub use hypervisor::block_job::BlockJobFault;
pub use hypervisor::image::Image;
pub use refusal::Result;
pub use simulated::SimulatedDomain;
pub use simulated_disk::SimulatedDisk;
pub use simulator::{Builder, Simulator};
pub use stream::{Stream, Turn};
pub use virtwire_protocol::event;
