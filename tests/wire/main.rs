//! The bytes on the wire: generated types against their own schema, an independent codec, and what
//! libvirt's own client and daemon say to each other.

#![cfg(test)]

mod body;
mod conversation;
mod event;
mod generated;
mod mirror;
mod oracle;
mod sample;
mod virsh;
