//! An async libvirt client that speaks libvirtd's own protocol, without the C library.
//!
//! ```no_run
//! use virtwire::constants::ConnectListAllDomainsFlags;
//! use virtwire::{Bandwidth, Connection, Outcome};
//!
//! # async fn example() -> Result<(), virtwire::Error> {
//! let connection = Connection::open("qemu:///system").await?;
//! for domain in connection.list_domains(ConnectListAllDomainsFlags::ACTIVE).await? {
//!     println!("{} {:?}", domain.name(), domain.status().await?.state);
//! }
//!
//! let guest = connection.lookup_domain_by_name("guest").await?;
//! let job = guest.disk("vda").pull().bandwidth(Bandwidth::mib_per_s(8)?).start().await?;
//! let mut progress = job.progress();
//! while let Some(now) = progress.next().await {
//!     println!("{:.0} %", now.percent());
//! }
//! match job.wait().await {
//!     Outcome::Completed => println!("the disk stands alone"),
//!     other => println!("the job {other}"),
//! }
//! # Ok(()) }
//! ```
//!
//! # Layout
//!
//! - [`Connection`] is the handle: open one, clone it, share it among tasks.
//! - [`Domain`], [`Disk`] and [`BlockJob`] are the typed layer.
//! - [`event`] has every event, as streams.
//! - [`Connection::call`] reaches every procedure of every program, with the types that
//!   [`remote`], [`qemu`], [`lxc`] and [`admin`] hold.
//!
//! # Connecting
//!
//! URIs are libvirt's, aliases of `libvirt.conf` included; Unix sockets and TCP are there so far,
//! without authentication or with polkit. A daemon on TCP without authentication gives whoever
//! reaches it the rights of root on its host, in the clear: keep it to the loopback interface.
//!
//! # Calls and pipelining
//!
//! Calls made at the same time travel together and are answered in any order. Four are in flight
//! at most unless the [`Builder`] says otherwise, because a daemon at its limit of five stops
//! reading; the rest wait their turn, except those that end other work.
//!
//! # Many hosts
//!
//! There is no type for a fleet: keep the connections in whatever suits you, and ask them with the
//! combinators of futures, as the example `fan_out` does. One that is not used keeps 14 KiB of the
//! heap, a file descriptor, and a timer that asks the daemon for a sign of life every five seconds.
//!
//! # Events
//!
//! [`Connection::events`] and its shorter sisters subscribe; [`event`] says what is promised.
//!
//! # Cancellation
//!
//! Any future may be dropped at any time and the connection stays usable. What was not sent is
//! not sent; what was sent may still be executed by the daemon. Where dropping loses more than
//! that, the function's section *Cancel safety* says what.
//!
//! # Errors
//!
//! Every operation returns [`Error`]: its kind says who must act, and what the daemon said is
//! there in full.

mod bandwidth;
mod connection;
mod domain;
mod error;
pub mod event;
mod network;
mod node_device;
mod reply;
mod secret;
mod storage_pool;
mod transport;
pub mod uri;
mod uuid;

pub use bandwidth::{Bandwidth, InvalidBandwidth};
pub use connection::{
    Builder, CloseCause, Connection, ConnectionState, Driver, RawReply, Reconnect,
};
pub use domain::block_job;
pub use domain::{
    Backup, BackupEvidence, BackupFailure, BackupJob, BackupMode, BackupObstacle, BackupOutcome,
    BackupPlan, BackupProgress, BackupServer, BackupStats, BackupXml, BlockCopy, BlockInfo,
    BlockJob, BlockJobInfo, Checkpoint, CheckpointDescription, CheckpointDisk, CheckpointXml,
    CommitActive, CommitBase, CommitInner, Convergence, CopyDestination, Disk, DiskDescription,
    DiskDevice, DiskEnd, DiskSnapshot, Domain, DomainInfo, DomainStatus, Evidence, JobAfterwards,
    JobFailure, JobSet, JobStart, Layer, ListedDomain, Mirror, MirrorJob, MirrorReady, NetworkHost,
    NewCheckpoint, NextStart, Obstacle, Outcome, Overlay, Plan, PlannedDisk, Progress,
    ProgressStream, Pull, PullBackup, PullDisk, PushBackup, PushDisk, Readiness, RunningBlockJob,
    SetEnd, SetNotStarted, Snapshot, Source, VanishedReason, Verdict, XmlError, disks_from_xml,
};
pub use error::{Error, ErrorKind, Execution};
#[cfg(fuzzing)]
#[doc(hidden)]
pub use event::fuzzing;
pub use network::Network;
pub use node_device::NodeDevice;
pub use reply::Reply;
pub use secret::Secret;
pub use storage_pool::StoragePool;
pub use uri::{Uri, UriError};
pub use uuid::{InvalidUuid, Uuid};

pub use virtwire_protocol::{
    Event, Procedure, Program, Release, RemoteError, admin, constants, lxc, qemu, remote, schema,
};
pub use virtwire_xdr as xdr;

/// Keeps the example of the README compiling.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
