//! The query parameters that concern the client.

use std::fmt::{self, Display, Formatter};

use super::{Uri, UriError};

/// Parameters that are taken by the client and not passed on to the daemon.
const FOR_CLIENT: [&str; 17] = [
    "name",
    "command",
    "socket",
    "auth",
    "sshauth",
    "netcat",
    "keyfile",
    "pkipath",
    "known_hosts",
    "known_hosts_verify",
    "tls_priority",
    "mode",
    "proxy",
    "no_sanity",
    "no_verify",
    "no_tty",
    "authfile",
];

pub(super) fn is_for_client(name: &str) -> bool {
    FOR_CLIENT
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name))
}

/// Which daemon layout the path of a Unix socket is made for (`mode=`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum SocketMode {
    /// Whichever socket exists, the modular daemon's first.
    #[default]
    Auto,
    /// The socket of `libvirtd` (or of `virtproxyd` in its place).
    Legacy,
    /// The socket of the driver's own daemon, such as `virtqemud`.
    Direct,
}

impl SocketMode {
    pub(super) fn parse(value: &str) -> Result<Self, UriError> {
        match value {
            "auto" => Ok(Self::Auto),
            "legacy" => Ok(Self::Legacy),
            "direct" => Ok(Self::Direct),
            _ => Err(UriError::InvalidParameter {
                name: "mode",
                value: value.to_owned(),
                expected: "auto, legacy or direct",
            }),
        }
    }
}

impl Display for SocketMode {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Legacy => "legacy",
            Self::Direct => "direct",
        })
    }
}

/// The authentication that a URI asks for (`auth=`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Authentication {
    /// SASL, with the mechanism of `auth=sasl.MECHANISM` if one is named.
    Sasl {
        /// The mechanism to use; `None` lets server and client agree on one.
        mechanism: Option<String>,
    },
    /// Polkit, for Unix sockets.
    Polkit,
}

impl Authentication {
    pub(super) fn parse(value: &str) -> Result<Self, UriError> {
        let (method, mechanism) = match value.split_once('.') {
            Some((method, mechanism)) => (method, Some(mechanism)),
            None => (value, None),
        };
        if method.eq_ignore_ascii_case("sasl") && mechanism != Some("") {
            return Ok(Self::Sasl {
                mechanism: mechanism.map(str::to_owned),
            });
        }
        if value.eq_ignore_ascii_case("polkit") {
            return Ok(Self::Polkit);
        }
        Err(UriError::InvalidParameter {
            name: "auth",
            value: value.to_owned(),
            expected: "sasl, sasl.MECHANISM or polkit",
        })
    }
}

/// Reads a parameter that is a decimal integer, zero for false and anything else for true.
pub(super) fn boolean(uri: &Uri, name: &'static str) -> Result<bool, UriError> {
    let Some(value) = uri.param(name) else {
        return Ok(false);
    };
    let number: i32 = value
        .trim_start()
        .parse()
        .map_err(|_| UriError::InvalidParameter {
            name,
            value: value.to_owned(),
            expected: "0 or 1",
        })?;
    Ok(number != 0)
}
