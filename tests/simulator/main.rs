//! The simulated daemon, driven by our own client and by libvirt's.

mod connection;
mod virsh;
