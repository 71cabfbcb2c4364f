//! libvirt's remote protocol without I/O: messages, frames, sessions.
//!
//! ```
//! use std::time::Instant;
//! use virtwire_protocol::frame::FrameDecoder;
//! use virtwire_protocol::remote;
//! use virtwire_protocol::session::{
//!     CallRequest, ClientConfig, ClientSession, Output, ServerConfig, ServerOutput, ServerSession,
//! };
//!
//! // A program with a socket and a clock has these from there; here, both ends share memory.
//! let now = Instant::now();
//! let mut client = ClientSession::new(ClientConfig::default(), now);
//! let mut server = ServerSession::new(ServerConfig::default(), now);
//! let (mut to_client, mut to_server) = (FrameDecoder::new(), FrameDecoder::new());
//!
//! let request = CallRequest::new::<remote::ConnectGetLibVersion>(&())?;
//! client.call(request, "my call");
//!
//! // The client writes, the daemon reads and answers …
//! while let Some(bytes) = client.poll_transmit() {
//!     to_server.buffer_mut().extend_from_slice(&bytes);
//! }
//! while let Some(frame) = to_server.next_frame()? {
//!     server.handle_frame(frame, now)?;
//! }
//! while let Some(ServerOutput::Request(request)) = server.poll_output() {
//!     let ret = remote::ConnectGetLibVersionRet { lib_ver: 9_000_000 };
//!     server.reply::<remote::ConnectGetLibVersion>(request.route, &ret)?;
//! }
//!
//! // … and the same the other way round.
//! while let Some(bytes) = server.poll_transmit() {
//!     to_client.buffer_mut().extend_from_slice(&bytes);
//! }
//! while let Some(frame) = to_client.next_frame()? {
//!     client.handle_frame(frame, now)?;
//! }
//! let Some(Output::CallFinished { token, result, .. }) = client.poll_output() else {
//!     panic!("the call has been answered");
//! };
//! let version = result?.ret::<remote::ConnectGetLibVersion>()?.lib_ver;
//! assert_eq!((token, version), ("my call", 9_000_000));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Layout
//!
//! | module | what it has |
//! |---|---|
//! | [`remote`], [`qemu`], [`lxc`], [`admin`] | every message, procedure and event of these programs |
//! | [`keepalive`], [`net`] | what all connections share: signs of life, headers, errors, holes |
//! | [`constants`] | the public flags, enumerations and parameter names |
//! | [`generated::schema`], [`schema`] | the layout of every message as data |
//! | [`generated::dispatch`] | from a procedure's number to its type |
//! | [`procedure`] | the traits that bind a procedure to its number, arguments and reply |
//! | [`header`], [`frame`] | packets on a byte stream |
//! | [`remote_error`], [`typed_param`] | the two structures that need a hand-written side |
//! | [`event`] | what the daemon tells without being asked, with one type for every kind of it |
//! | [`session`] | both sides of a connection as state machines |
//!
//! The daemon's side exists for simulated daemons and tests.

pub mod event;
pub mod frame;
pub mod header;
pub mod procedure;
pub mod remote_error;
pub mod schema;
pub mod session;
pub mod typed_param;

#[rustfmt::skip]
#[expect(
    clippy::exhaustive_structs,
    reason = "the protocol fixes the fields of every message for ever, and users build them"
)]
#[expect(
    clippy::too_many_lines,
    reason = "tables of several hundred numbers are one `match` each"
)]
pub mod generated;

pub use generated::{admin, constants, keepalive, lxc, net, qemu, remote};
pub use procedure::{Event, Priority, Procedure, Program, Release, StreamDirection};
pub use remote_error::RemoteError;
