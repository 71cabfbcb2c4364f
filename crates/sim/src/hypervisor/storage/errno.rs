//! Why the host's file system refuses something.

use virtwire_protocol::RemoteError;
use virtwire_protocol::constants::{ErrorCode, ErrorDomain};

/// What system calls fail with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Errno {
    NoEntry,
    NoSpace,
    NameTooLong,
    NotEmpty,
    TooLarge,
    Invalid,
    BadFile,
}

impl Errno {
    /// The error that libvirt reports of it: what it was doing, and the system's own words.
    pub(crate) fn report(self, domain: ErrorDomain, doing: &str) -> RemoteError {
        let (number, words) = match self {
            Self::NoEntry => (2, "No such file or directory"),
            Self::BadFile => (9, "Bad file descriptor"),
            Self::Invalid => (22, "Invalid argument"),
            Self::TooLarge => (27, "File too large"),
            Self::NoSpace => (28, "No space left on device"),
            Self::NameTooLong => (36, "File name too long"),
            Self::NotEmpty => (39, "Directory not empty"),
        };
        let message = format!("{doing}: {words}");
        let mut error = RemoteError::new(ErrorCode::SYSTEM_ERROR, domain, message.clone());
        error.str1 = Some(String::from("%s"));
        error.str2 = Some(message);
        error.int1 = number;
        error
    }
}
