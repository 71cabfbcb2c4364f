//! What a procedure and an event are: the traits that every generated one implements.

use std::fmt::{self, Debug};

use virtwire_xdr::{Decode, Encode, IntoOwned};

/// A program of the protocol: its number and version on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the packet header has these two words and no more"
)]
pub struct Program {
    /// The program number, such as `0x20008086` for `remote`.
    pub number: u32,
    /// The program version; 1 for every program there is.
    pub version: u32,
}

impl Program {
    /// The program with this number and version.
    #[must_use]
    pub const fn new(number: u32, version: u32) -> Self {
        Self { number, version }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x} version {}", self.number, self.version)
    }
}

/// Which of the daemon's workers may run a procedure.
///
/// The daemon decides by itself; nothing of this is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Priority {
    /// May wait for a hypervisor monitor, so ordinary workers only.
    Low,
    /// Never waits for a hypervisor, so the priority workers run it as well.
    High,
}

/// Which way data flows on the stream that a procedure opens, seen from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamDirection {
    /// The procedure opens no stream.
    None,
    /// From client to daemon.
    Upload,
    /// From daemon to client.
    Download,
    /// Both ways, as a console.
    Bidirectional,
}

impl StreamDirection {
    /// Whether the procedure opens a stream.
    #[must_use]
    pub const fn is_stream(self) -> bool {
        !matches!(self, Self::None)
    }

    /// Whether the client may send data.
    #[must_use]
    pub const fn uploads(self) -> bool {
        matches!(self, Self::Upload | Self::Bidirectional)
    }
}

/// A libvirt release, as `9.0.0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a libvirt release is three numbers"
)]
pub struct Release {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number.
    pub micro: u32,
}

impl Release {
    /// The release with these three numbers.
    #[must_use]
    pub const fn new(major: u32, minor: u32, micro: u32) -> Self {
        Self {
            major,
            minor,
            micro,
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

pub(crate) mod sealed {
    /// Keeps the traits to the generated types: a number of the protocol means one thing.
    pub trait Sealed {}
}

/// A procedure that a client can call.
///
/// Implemented by one unit struct per procedure, such as `remote::DomainGetInfo`, which binds the
/// number on the wire to the types of its arguments and of its reply.
pub trait Procedure: sealed::Sealed + Debug + Send + Sync + 'static {
    /// The program it belongs to.
    const PROGRAM: Program;
    /// Its number within the program.
    const NUMBER: i32;
    /// Its name without the prefix of the program, such as `DOMAIN_GET_INFO`.
    const NAME: &'static str;
    /// Which of the daemon's workers may run it.
    const PRIORITY: Priority;
    /// The stream it opens.
    const STREAM: StreamDirection;
    /// Whether a call may be made again when nobody knows if the daemon has executed it.
    ///
    /// If so, it changes nothing that anybody can see, with whatever arguments: not at the host,
    /// its guests or the daemon, and not for the connection. The second answer may differ from
    /// the first, since time goes by.
    const REPEATABLE: bool;
    /// The first libvirt release that has it.
    const SINCE: Release;
    /// Its arguments; `()` when it takes none.
    type Args<'a>: Encode + Decode<'a> + IntoOwned<Owned = Self::Args<'static>> + Debug + Send;
    /// What it returns; `()` when it returns nothing.
    type Ret<'a>: Encode + Decode<'a> + IntoOwned<Owned = Self::Ret<'static>> + Debug + Send;
}

/// A message that the daemon sends on its own account.
///
/// Events share the number space of procedures, but calling one is an error; so they are another
/// trait.
pub trait Event: sealed::Sealed + Debug + Send + Sync + 'static {
    /// The program it belongs to.
    const PROGRAM: Program;
    /// Its number within the program.
    const NUMBER: i32;
    /// Its name without the prefix of the program, such as `DOMAIN_EVENT_LIFECYCLE`.
    const NAME: &'static str;
    /// The first libvirt release that has it.
    const SINCE: Release;
    /// What it carries; `()` when that is nothing.
    type Msg<'a>: Encode + Decode<'a> + IntoOwned<Owned = Self::Msg<'static>> + Debug + Send;
}

/// Something to do with a procedure or event whose number is known at run time only.
///
/// [`visit`](crate::generated::dispatch::visit) finds the type for the number.
pub trait Visitor {
    /// What comes of it.
    type Output;

    /// Visits a procedure.
    fn procedure<P: Procedure>(self) -> Self::Output;

    /// Visits an event.
    fn event<E: Event>(self) -> Self::Output;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_ordered_as_versions_are() {
        assert!(Release::new(9, 0, 0) < Release::new(11, 3, 0));
        assert!(Release::new(9, 10, 0) > Release::new(9, 9, 9));
        assert_eq!(Release::new(11, 3, 0).to_string(), "11.3.0");
    }
}
