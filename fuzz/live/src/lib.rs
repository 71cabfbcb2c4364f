//! Fuzzing of a live libvirtd, which is private, caged and thrown away.
//!
//! Calls with arbitrary arguments are made from the protocol's own description, in orders that
//! occur in life and in orders that do not, on several connections at once. What a daemon must
//! never do, whatever it is sent, is found: to end, to hang, or to send what the protocol does not
//! allow. A finding is made as small as it can be, and written down so that it can be had again.
//!
//! # Safety
//!
//! Only a [`CagedDaemon`](virtwire_lab::CagedDaemon) can be fuzzed: [`campaign::run`] takes one,
//! and nothing here takes a socket or a URI. The lab makes none unless the kernel confirms that it
//! can reach nothing but itself. Besides, [`reach`] lists what is not even called.
//!
//! ```compile_fail,E0308
//! # use std::time::Duration;
//! use virtwire_fuzz_live::campaign::{Options, run};
//! use virtwire_lab::{Daemon, Driver};
//!
//! let options = Options::new(Driver::Test, Duration::from_secs(1), 1);
//! // A daemon that is private and not caged is the wrong type.
//! let _ = run(&options, Daemon::start().unwrap(), &mut |_| {});
//! ```
//!
//! # Layout
//!
//! | module | what it holds |
//! |---|---|
//! | [`campaign`] | a whole run, from the first daemon to the last finding |
//! | [`plan`] | what to send next |
//! | [`reach`] | what is never called, and why |
//! | [`generate`], [`xml`] | arguments and documents: good, odd and bad |
//! | [`vocabulary`], [`walk`] | what was learned from the daemon's answers |
//! | [`script`] | what is sent, as data |
//! | [`stage`], [`wire`] | sending it, and hearing what comes |
//! | [`judge`], [`evidence`], [`finding`] | what must not be, and how it is told from what may |
//! | [`minimise`], [`reproducer`] | making a finding small, and having it again |
//! | [`summary`] | what was done |
//! | [`random`] | decisions that are the same again |

pub mod campaign;
pub mod evidence;
pub mod finding;
pub mod generate;
pub mod judge;
pub mod minimise;
pub mod plan;
pub mod random;
pub mod reach;
pub mod reproducer;
pub mod script;
pub mod stage;
pub mod summary;
pub mod vocabulary;
pub mod walk;
pub mod wire;
pub mod xml;
