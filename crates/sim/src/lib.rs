//! A simulated libvirt daemon, a scripted peer and faulty transports: what a program that talks to
//! libvirt needs for tests without a hypervisor.

mod access;
mod call;
pub mod fault;
mod handlers;
mod hypervisor;
mod refusal;
mod router;
pub mod script;
mod server;
mod simulator;
pub mod socket;
mod stream;
mod xml;

pub use call::Call;
pub use refusal::Result;
pub use simulator::{Builder, Simulator};
pub use stream::Stream;
