//! The client on real daemons.

#![cfg(test)]

mod block_pull;
mod connection;
mod domain;
