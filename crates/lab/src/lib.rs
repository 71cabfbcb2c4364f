//! Private libvirtd instances for tests, benchmarks, fuzzing and the demo.
//!
//! ```no_run
//! use virtwire_lab::{Daemon, Driver, guest, image};
//!
//! let daemon = Daemon::start()?;
//! let base = daemon.images_dir().join("base.qcow2");
//! let top = daemon.images_dir().join("top.qcow2");
//! image::create_base(&base, 64 << 20, 1)?;
//! image::create_overlay(&top, &base)?;
//! let xml = guest::xml("demo", guest::domain_type(), &[guest::Disk::new("vda", &top)]);
//! println!("define {xml} at {}", daemon.uri(Driver::Qemu));
//! # Ok::<(), virtwire_lab::Error>(())
//! ```
//!
//! # Layout
//!
//! | module | what it holds |
//! |---|---|
//! | [`daemon`] | [`Daemon`]: one private libvirtd with all its state and guests, gone on drop |
//! | [`cage`] | [`CagedDaemon`]: one that may be broken, since it can reach nothing else |
//! | [`install`] | [`Installation`]: the programs a lab needs, found or installed from the distribution |
//! | [`image`] | qcow2 images through qemu-img |
//! | [`chain`] | [`Chain`]: images on images, each with data of its own |
//! | [`guest`] | domain XML of a tiny guest |
//! | [`monitor`] | [`Monitor`]: has a guest write to its disks |
//!
//! # What is promised
//!
//! Nothing of the system's libvirt is touched: not its sockets, state, configuration or guests.
//! When the process that started a [`Daemon`] ends for any reason, SIGKILL included, the daemon,
//! its guests, its mounts and its directory go with it. See [`daemon`] for how.
//!
//! Everything here blocks, needs root and prints nothing.

pub mod cage;
pub mod chain;
mod command;
pub mod daemon;
mod error;
pub mod guest;
pub mod image;
pub mod install;
pub mod monitor;
mod noise;
mod process;

pub use cage::CagedDaemon;
pub use chain::Chain;
pub use daemon::{Builder, Daemon, Driver, LogLevel, Rootfs};
pub use error::Error;
pub use install::{Installation, Policy, Suite};
pub use monitor::Monitor;
