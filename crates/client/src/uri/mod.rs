//! Connection URIs: `driver[+transport]://[user@][host][:port]/[path][?parameters][#fragment]`.
//!
//! A URI says two things at once: how to reach a daemon ([`Uri::endpoint`]), and which hypervisor
//! that daemon is to open ([`Uri::server_name`]). The rules are libvirt's own, quirks included, so
//! that a URI which works with `virsh` means the same here.

mod config;
mod endpoint;
mod environment;
mod error;
mod parameter;
mod parse;
#[cfg(test)]
mod tests;

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

pub use self::config::ClientConfig;
pub use self::endpoint::{Endpoint, TransportKind, UnixAddress};
pub use self::environment::Environment;
pub use self::error::UriError;
pub use self::parameter::{Authentication, SocketMode};

/// What every component leaves as it is (the unreserved characters of RFC 3986).
const UNRESERVED: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
const MARKS: AsciiSet = UNRESERVED
    .remove(b'!')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');
const USER: AsciiSet = MARKS
    .remove(b';')
    .remove(b':')
    .remove(b'&')
    .remove(b'=')
    .remove(b'+')
    .remove(b'$')
    .remove(b',');
const PATH: AsciiSet = MARKS
    .remove(b'/')
    .remove(b';')
    .remove(b'@')
    .remove(b'&')
    .remove(b'=')
    .remove(b'+')
    .remove(b'$')
    .remove(b',');
const FRAGMENT: AsciiSet = PATH.remove(b'?').remove(b':').remove(b'[').remove(b']');

/// A parsed connection URI.
///
/// Components are stored decoded; [`Display`] encodes them again, and what it prints parses to an
/// equal value.
///
/// ```
/// # use virtwire::Uri;
/// let uri = Uri::parse("qemu+ssh://admin@host.example/system?keyfile=k&foo=1")?;
/// assert_eq!(uri.driver(), "qemu");
/// assert_eq!(uri.host(), Some("host.example"));
/// assert_eq!(uri.server_name(), "qemu:///system?foo=1");
/// # Ok::<(), virtwire::UriError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Uri {
    driver: String,
    transport: Option<TransportKind>,
    user: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    path: String,
    params: Vec<(String, String)>,
    fragment: Option<String>,
    mode: Option<SocketMode>,
    auth: Option<Authentication>,
}

impl Uri {
    /// Parses a URI, and checks the parameters that this client understands.
    ///
    /// `xen` alone is accepted for `xen:///system`, as libvirt does.
    ///
    /// # Errors
    ///
    /// Says which component is wrong, and how it should look.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        parse::uri(text)
    }

    /// Finds the URI that a program means: the one given, else the user's default, else none.
    ///
    /// The order is libvirt's: `given`, the environment's `LIBVIRT_DEFAULT_URI`, `uri_default` of
    /// the configuration file. Empty texts count as absent. Aliases of the configuration file
    /// apply to whichever was found. `None` means that the daemon is to choose the hypervisor:
    /// connect to [`Endpoint::default_for`] and open the empty name.
    ///
    /// # Errors
    ///
    /// As [`Uri::parse`].
    pub fn resolve(given: Option<&str>, env: &Environment) -> Result<Option<Self>, UriError> {
        [
            given,
            env.default_uri.as_deref(),
            env.config.uri_default.as_deref(),
        ]
        .into_iter()
        .flatten()
        .find(|text| !text.is_empty())
        .map(|text| Self::parse(env.config.alias(text).unwrap_or(text)))
        .transpose()
    }

    /// Returns the user's default URI, if there is one: [`Uri::resolve`] with nothing given.
    ///
    /// # Errors
    ///
    /// As [`Uri::parse`].
    pub fn default_from(env: &Environment) -> Result<Option<Self>, UriError> {
        Self::resolve(None, env)
    }

    /// Returns the hypervisor driver: `qemu`, `test`, `lxc`, …
    #[must_use]
    pub fn driver(&self) -> &str {
        &self.driver
    }

    /// Returns the transport that was written out after `+`, if any.
    #[must_use]
    pub fn transport(&self) -> Option<TransportKind> {
        self.transport
    }

    /// Returns the transport that will be used: the one written, else TLS with a host and a Unix
    /// socket without.
    #[must_use]
    pub fn effective_transport(&self) -> TransportKind {
        match (self.transport, &self.host) {
            (Some(transport), _) => transport,
            (None, Some(_)) => TransportKind::Tls,
            (None, None) => TransportKind::Unix,
        }
    }

    /// Returns the user name before `@`.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Returns the host, an IPv6 address without its brackets.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// Returns the port, if one was written and there is a host that it belongs to.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Returns the path, with its leading slash; it may be empty.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Iterates over all query parameters, in order, names as written.
    pub fn params(&self) -> impl Iterator<Item = (&str, &str)> {
        self.params
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns the value of a parameter; the name is compared without case, and the last one wins.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        let mut params = self.params.iter().rev();
        params
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Returns the fragment after `#`.
    #[must_use]
    pub fn fragment(&self) -> Option<&str> {
        self.fragment.as_deref()
    }

    /// Returns the `mode` parameter: which daemon layout a Unix socket path is made for.
    #[must_use]
    pub fn mode(&self) -> Option<SocketMode> {
        self.mode
    }

    /// Returns the `auth` parameter: the authentication that the server must offer.
    #[must_use]
    pub fn authentication(&self) -> Option<&Authentication> {
        self.auth.as_ref()
    }

    /// Returns the name that the daemon is asked to open.
    ///
    /// It is the `name` parameter verbatim if there is one, empty for the driver `remote` (the
    /// daemon chooses), and else this URI without everything that only concerns the way there.
    #[must_use]
    pub fn server_name(&self) -> String {
        if let Some(name) = self.param("name") {
            return name.to_owned();
        }
        if self.driver == "remote" {
            return String::new();
        }
        let mut name = format!(
            "{}://{}",
            self.driver,
            utf8_percent_encode(&self.path, &PATH)
        );
        // Writing to a String cannot fail.
        let _ = write_query(&mut name, &self.params, |name| {
            !parameter::is_for_client(name)
        });
        let _ = write_fragment(&mut name, self.fragment.as_deref());
        name
    }
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        Self::parse(text)
    }
}

impl Display for Uri {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.driver)?;
        if let Some(transport) = self.transport {
            write!(f, "+{transport}")?;
        }
        f.write_str("://")?;
        if let Some(user) = &self.user {
            write!(f, "{}@", utf8_percent_encode(user, &USER))?;
        }
        if let Some(host) = &self.host {
            // Colons stay; the `%` before a zone identifier must itself be encoded.
            let encoded = utf8_percent_encode(host, &USER);
            if host.contains(':') {
                write!(f, "[{encoded}]")
            } else {
                write!(f, "{encoded}")
            }?;
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", utf8_percent_encode(&self.path, &PATH))?;
        write_query(f, &self.params, |_| true)?;
        write_fragment(f, self.fragment.as_deref())
    }
}

fn write_query(
    out: &mut impl fmt::Write,
    params: &[(String, String)],
    wanted: impl Fn(&str) -> bool,
) -> fmt::Result {
    let wanted = params.iter().filter(|(name, _)| wanted(name));
    for (position, (name, value)) in wanted.enumerate() {
        let separator = if position == 0 { '?' } else { '&' };
        let name = utf8_percent_encode(name, &UNRESERVED);
        write!(
            out,
            "{separator}{name}={}",
            utf8_percent_encode(value, &UNRESERVED)
        )?;
    }
    Ok(())
}

fn write_fragment(out: &mut impl fmt::Write, fragment: Option<&str>) -> fmt::Result {
    match fragment {
        Some(fragment) => write!(out, "#{}", utf8_percent_encode(fragment, &FRAGMENT)),
        None => Ok(()),
    }
}
