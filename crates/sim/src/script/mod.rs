//! A daemon that does exactly what a script says, right or wrong.
//!
//! A [`Peer`] is the daemon's end of one connection. It takes any number of calls at once and
//! answers none by itself, questions for a sign of life excepted: what it says, and in which order,
//! is what the script has it say. A script is an ordinary `async` block that runs beside the client
//! that is tested; an expectation that is not met is a [`ScriptError`] that says what was expected
//! and what came.
//!
//! ```
//! use virtwire::{Connection, remote};
//! use virtwire_sim::script::{Peer, ScriptError};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (io, mut peer) = Peer::pair();
//! let script = async move {
//!     peer.shake_hands().await?;
//!     // Two calls at once, answered the other way round.
//!     let name = peer.expect::<remote::ConnectGetHostname>().await?;
//!     let kind = peer.expect::<remote::ConnectGetType>().await?;
//!     peer.reply(&kind, &remote::ConnectGetTypeRet { type_: "QEMU".into() }).await?;
//!     peer.reply(&name, &remote::ConnectGetHostnameRet { hostname: "host".into() }).await?;
//!     peer.expect_hang_up().await
//! };
//! let client = async {
//!     let builder = Connection::builder().uri("test:///default");
//!     let (connection, driver) = builder.connect_with_io(io).await?;
//!     tokio::spawn(driver);
//!     let answers = tokio::join!(connection.hostname(), connection.hypervisor());
//!     Ok::<_, virtwire::Error>((answers.0?, answers.1?))
//! };
//! let (answers, script): (_, Result<(), ScriptError>) = tokio::join!(client, script);
//! assert_eq!(answers?, ("host".to_owned(), "QEMU".to_owned()));
//! script?;
//! # Ok(()) }
//! ```
//!
//! [`Peer::pair`] needs no socket and runs on tokio's paused clock. For clients that want a socket,
//! virsh among them, there is [`Peer::accept`]; and [`Peer::new`] takes any byte stream.

mod call;
mod default;
mod error;
mod hear;
mod packet;
mod peer;
mod pipe;
mod say;

pub use call::Call;
pub use error::{Expected, Heard, ScriptError};
pub use packet::{event_header, packet, ping_header};
pub use peer::{Peer, Seen};
pub use pipe::Pipe;

#[cfg(test)]
mod tests;
