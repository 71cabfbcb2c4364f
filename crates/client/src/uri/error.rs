//! What can be wrong with a connection URI.

use std::path::PathBuf;

use thiserror::Error;

/// A connection URI, or the configuration that it is resolved with, that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UriError {
    /// The text is empty.
    #[error(
        "the URI is empty; leave it out to use the default, or write one such as qemu:///system"
    )]
    Empty,
    /// The text has no `scheme:`.
    #[error("{text:?} has no scheme; a URI looks like qemu:///system or qemu+tcp://host/system")]
    MissingScheme {
        /// The text that was given.
        text: String,
    },
    /// The scheme has a character that schemes cannot have.
    #[error("{scheme:?} is not a scheme: a letter, then letters, digits, `.`, `-` and one `+`")]
    InvalidScheme {
        /// The scheme that was given.
        scheme: String,
    },
    /// The part after `+` is no transport.
    #[error(
        "transport {transport:?} is not known; use unix, tcp, tls, ssh, libssh, libssh2 or ext"
    )]
    UnknownTransport {
        /// The transport that was given.
        transport: String,
    },
    /// The path does not start with a slash.
    #[error("{text:?} lacks the slashes after the scheme; write {driver}:///system")]
    MissingSlashes {
        /// The text that was given.
        text: String,
        /// Its driver.
        driver: String,
    },
    /// A host called `system` or `session`, which is nearly always a forgotten slash.
    #[error("{host:?} stands where the host belongs; write {driver}:///{host} with three slashes")]
    PathAsHost {
        /// The host that was given.
        host: String,
        /// The URI's driver.
        driver: String,
    },
    /// A host together with the Unix transport.
    #[error(
        "a Unix socket cannot reach host {host:?}; leave out the host or use another transport"
    )]
    HostWithUnix {
        /// The host that was given.
        host: String,
    },
    /// The host is not a name or an address.
    #[error("{host:?} is not a host; write an IPv6 address in brackets")]
    InvalidHost {
        /// The host that was given.
        host: String,
    },
    /// The port is not a number from 0 to 65535.
    #[error("{port:?} is not a port; write a number up to 65535, and an IPv6 address in brackets")]
    InvalidPort {
        /// The port that was given.
        port: String,
    },
    /// A character that must be percent-encoded.
    #[error("character {character:?} at offset {offset} must be percent-encoded")]
    InvalidCharacter {
        /// The character.
        character: char,
        /// Its place in the text, in bytes.
        offset: usize,
    },
    /// A `%` that is not followed by two hex digits, or does not decode to text.
    #[error("the percent-encoding of {component:?} is wrong")]
    InvalidEscape {
        /// The component as written.
        component: String,
    },
    /// A parameter has a value that it cannot have.
    #[error("parameter {name} cannot be {value:?}; it must be {expected}")]
    InvalidParameter {
        /// The parameter's name.
        name: &'static str,
        /// The value that was given.
        value: String,
        /// What is possible.
        expected: &'static str,
    },
    /// A parameter that the transport cannot do without.
    #[error("transport {transport} needs the parameter {name}")]
    MissingParameter {
        /// The parameter's name.
        name: &'static str,
        /// The transport that needs it.
        transport: &'static str,
    },
    /// `mode=direct` where the daemon cannot be told from the URI, or not over this transport.
    #[error("mode=direct needs a local URI that names a driver; use mode=legacy or give socket=")]
    DirectModeImpossible,
    /// Neither a runtime directory nor a home directory is known for the user's own daemon.
    #[error("the socket of the session daemon cannot be placed: set XDG_RUNTIME_DIR or HOME")]
    NoSessionDirectory,
    /// The client configuration file cannot be read.
    #[error("{}: {message}", path.display())]
    UnreadableConfig {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        message: String,
    },
    /// The client configuration file cannot be understood.
    #[error("line {line} of the client configuration: {problem}")]
    InvalidConfig {
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
}
