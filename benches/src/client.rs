//! The client that is measured, with everything on one thread: processor time is counted for that.

use std::error::Error;
use std::path::Path;

use tokio::runtime::Runtime;
use virtwire::Connection;

/// How a program that measures ends.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// A connection to the server at `socket`, and what runs it.
///
/// # Errors
///
/// When there is no such server.
pub fn connect(socket: &Path, in_flight: usize) -> Outcome<(Runtime, Connection)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let uri = format!("test+unix:///default?socket={}", socket.display());
    // One place is kept for calls that end other work.
    let builder = Connection::builder().uri(uri).max_in_flight(in_flight + 1);
    let connection = runtime.block_on(builder.connect())?;
    Ok((runtime, connection))
}
