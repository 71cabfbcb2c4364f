//! What was found.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of thing was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The daemon ended.
    Crash,
    /// The daemon, or one of its calls, does not answer.
    Hang,
    /// The daemon sent what the protocol does not allow.
    Violation,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crash => "crash",
            Self::Hang => "hang",
            Self::Violation => "violation",
        })
    }
}

/// Something that a daemon must not do, and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The kind.
    pub kind: Kind,
    /// What is the same whenever the same thing happens.
    pub signature: String,
    /// Everything else that is known.
    pub detail: String,
}

impl Finding {
    /// A finding.
    #[must_use]
    pub fn new(kind: Kind, signature: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            kind,
            signature: signature.into(),
            detail: detail.into(),
        }
    }

    /// Whether it is the same as another, however it came about.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.kind == other.kind && self.signature == other.signature
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.signature)
    }
}
