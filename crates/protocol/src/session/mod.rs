//! Both sides of a connection as state machines: packets and the time go in, bytes and results
//! come out. Nothing here reads a socket or a clock, starts a task or waits.
//!
//! # The contract
//!
//! A driver owns one session and one [`FrameDecoder`](crate::frame::FrameDecoder), and repeats:
//!
//! 1. **in**: append what the socket has to the decoder's buffer; give every whole packet to
//!    [`handle_frame`](ClientSession::handle_frame); when the time that
//!    [`poll_timeout`](ClientSession::poll_timeout) named has come, call
//!    [`handle_timeout`](ClientSession::handle_timeout);
//! 2. **results**: take from [`poll_output`](ClientSession::poll_output) until there are none. The
//!    queue of results is not bounded by itself; draining it after every packet is what bounds it;
//! 3. **commands**: [`call`](ClientSession::call), [`cancel`](ClientSession::cancel),
//!    `stream_…`, for as long as [`pending_bytes`](ClientSession::pending_bytes) is not too high;
//! 4. **out**: take from [`poll_transmit`](ClientSession::poll_transmit) and write. A driver that
//!    has enough unwritten bytes stops taking, but never stops reading: a daemon whose replies
//!    nobody reads stops reading too.
//!
//! When the socket ends, [`close`](ClientSession::close) says so to everybody who waits. After an
//! error of `handle_frame`, or a timeout without a sign of life, the session has closed itself;
//! what is left is to drain the results.
//!
//! # What the client's side promises
//!
//! - Every call that was not cancelled ends exactly once; every opened stream too.
//! - Replies are matched by program and serial, in any order. Serials skip 0 and are never reused
//!   while a call or stream holds them.
//! - At most [`max_in_flight`](ClientConfig::max_in_flight) calls are in progress at the daemon.
//!   That is the total: an [`Urgent`](Lane::Urgent) call goes to the front of the queue but gets no
//!   slot beyond it, because a daemon at its limit stops reading, keepalive included.
//! - A PING is answered before anything that is not on its way yet, by at most one PONG at a time.
//! - What the daemon may not do ends the connection ([`ProtocolError`]); what concerns one call or
//!   stream ends only that ([`ReplyError`], [`StreamFailure`]); what newer daemons may do is passed
//!   on or ignored.

mod calls;
mod client;
mod failure;
mod keepalive;
mod outbox;
mod request;
mod server;
mod streams;

pub use calls::CallId;
pub use client::{ClientConfig, ClientSession, ClientStats, EventPacket, Output, Reply};
pub use failure::{
    CallFailure, CloseCause, Delivery, ProtocolError, ReplyError, StreamCommandError, StreamEnd,
    StreamFailure,
};
pub use keepalive::KeepaliveConfig;
pub use request::{CallRequest, Lane};
pub use server::{
    Request, Route, ServerConfig, ServerOutput, ServerSession, StreamBody, StreamPacket,
};
pub use streams::{StreamId, StreamItem};
