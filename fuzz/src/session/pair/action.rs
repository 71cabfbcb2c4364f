//! What can happen between two sessions.

use arbitrary::Arbitrary;

/// What happens between two sessions.
#[derive(Debug, Arbitrary)]
pub struct Input {
    /// In this order.
    pub actions: Vec<Action>,
}

/// What the owner, the daemon or the network does. Numbers that choose among calls, requests or
/// streams wrap around.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub enum Action {
    /// The client calls.
    Call(Call),
    /// The client gives a call up.
    Cancel(u8),
    /// The network carries this many bytes to the daemon.
    ToDaemon(u16),
    /// The network carries this many bytes to the client.
    ToClient(u16),
    /// The daemon answers a call: well, or by an error.
    Answer(u8, bool),
    /// The daemon sends data on a stream.
    Data(u8, u32),
    /// The daemon sends a hole.
    Hole(u8, u32),
    /// The daemon has no more for a stream.
    Eof(u8),
    /// The daemon fails a stream.
    Fail(u8),
    /// The daemon sends an event.
    Event,
    /// The client sends data on a stream.
    Send(u8, u32),
    /// The client sends a hole.
    SendHole(u8, u32),
    /// The client finishes a stream.
    Finish(u8),
    /// The client aborts a stream.
    Abort(u8),
    /// The client reads from a stream.
    Read(u8),
}

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum Call {
    /// Something without a stream.
    Plain,
    /// Something that goes first.
    Urgent,
    /// A stream from the daemon.
    Download,
    /// A stream to the daemon.
    Upload,
    /// A stream both ways.
    Console,
}
