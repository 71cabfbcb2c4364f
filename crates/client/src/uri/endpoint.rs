//! Where a URI leads: the transport and its address.

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};

use super::{Environment, SocketMode, Uri, UriError};

const TCP_PORT: u16 = 16509;
const TLS_PORT: u16 = 16514;
const LOCALHOST: &str = "localhost";

/// A way to carry libvirt's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportKind {
    /// A Unix socket on this machine.
    Unix,
    /// TCP without encryption.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// The `ssh` program.
    Ssh,
    /// SSH, in libvirt by way of libssh.
    Libssh,
    /// SSH, in libvirt by way of libssh2.
    Libssh2,
    /// An external program whose standard input and output carry the protocol.
    Ext,
}

impl TransportKind {
    const ALL: [Self; 7] = [
        Self::Unix,
        Self::Tcp,
        Self::Tls,
        Self::Ssh,
        Self::Libssh,
        Self::Libssh2,
        Self::Ext,
    ];

    /// Returns the name as it stands in a URI.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unix => "unix",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ssh => "ssh",
            Self::Libssh => "libssh",
            Self::Libssh2 => "libssh2",
            Self::Ext => "ext",
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, UriError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| UriError::UnknownTransport {
                transport: text.to_owned(),
            })
    }
}

impl Display for TransportKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The address of a Unix socket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnixAddress {
    /// A socket in the file system.
    Path(PathBuf),
    /// A name in Linux' abstract namespace, without the `@` it is written with.
    ///
    /// libvirt pads such names with NUL bytes to the full length of `sun_path`.
    Abstract(String),
}

impl Display for UnixAddress {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Abstract(name) => write!(f, "@{name}"),
        }
    }
}

/// How to reach the daemon that a URI means.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// A Unix socket.
    Unix(UnixAddress),
    /// A TCP address.
    Tcp {
        /// Name or address of the host.
        host: String,
        /// The port.
        port: u16,
    },
    /// A TCP address with TLS from the first byte.
    Tls {
        /// Name or address of the host, which the server's certificate must match.
        host: String,
        /// The port.
        port: u16,
    },
    /// A host to log in to, where the daemon's socket is local.
    Ssh {
        /// Which of the SSH transports was asked for.
        transport: TransportKind,
        /// The user to log in as, when the URI names one.
        user: Option<String>,
        /// Name or address of the host.
        host: String,
        /// The port, when the URI names one.
        port: Option<u16>,
    },
    /// A program to run.
    Ext {
        /// Its path; it gets no arguments.
        command: PathBuf,
    },
}

impl Display for Endpoint {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(address) => write!(f, "{address}"),
            Self::Tcp { host, port } | Self::Tls { host, port } if host.contains(':') => {
                write!(f, "[{host}]:{port}")
            }
            Self::Tcp { host, port } | Self::Tls { host, port } => write!(f, "{host}:{port}"),
            Self::Ssh { host, .. } => write!(f, "{host} by SSH"),
            Self::Ext { command } => write!(f, "{}", command.display()),
        }
    }
}

impl Endpoint {
    /// Returns the daemon to ask when there is no URI at all: the system's for root, else the
    /// user's own.
    ///
    /// # Errors
    ///
    /// [`UriError::NoSessionDirectory`] when the user's own socket cannot be placed, and
    /// [`UriError::DirectModeImpossible`] when the configuration asks for `direct`.
    pub fn default_for(read_only: bool, env: &Environment) -> Result<Self, UriError> {
        let sockets = Sockets {
            user: env.euid != 0,
            read_only,
            env,
        };
        sockets
            .choose(None, env.config.remote_mode.unwrap_or_default())
            .map(Self::unix)
    }

    fn unix(path: PathBuf) -> Self {
        Self::Unix(UnixAddress::Path(path))
    }
}

impl Uri {
    /// Returns the way to the daemon.
    ///
    /// For `mode=auto`, the default, this looks which sockets exist. A read-only connection to the
    /// system's daemon has a socket of its own.
    ///
    /// # Errors
    ///
    /// When a parameter that the transport needs is missing, or the socket's place is not known.
    pub fn endpoint(&self, read_only: bool, env: &Environment) -> Result<Endpoint, UriError> {
        let host = || self.host.clone().unwrap_or_else(|| LOCALHOST.to_owned());
        match self.effective_transport() {
            TransportKind::Unix => self.unix_endpoint(read_only, env),
            TransportKind::Tcp => Ok(Endpoint::Tcp {
                host: host(),
                port: self.port.unwrap_or(TCP_PORT),
            }),
            TransportKind::Tls => Ok(Endpoint::Tls {
                host: host(),
                port: self.port.unwrap_or(TLS_PORT),
            }),
            transport @ (TransportKind::Ssh | TransportKind::Libssh | TransportKind::Libssh2) => {
                if self.mode == Some(SocketMode::Direct) {
                    return Err(UriError::DirectModeImpossible);
                }
                Ok(Endpoint::Ssh {
                    transport,
                    user: self.user.clone(),
                    host: host(),
                    port: self.port,
                })
            }
            TransportKind::Ext => self
                .param("command")
                .filter(|command| !command.is_empty())
                .map(|command| Endpoint::Ext {
                    command: command.into(),
                })
                .ok_or(UriError::MissingParameter {
                    name: "command",
                    transport: "ext",
                }),
        }
    }

    fn unix_endpoint(&self, read_only: bool, env: &Environment) -> Result<Endpoint, UriError> {
        if let Some(socket) = self.param("socket").filter(|socket| !socket.is_empty()) {
            return Ok(Endpoint::Unix(match socket.strip_prefix('@') {
                Some(name) => UnixAddress::Abstract(name.to_owned()),
                None => UnixAddress::Path(socket.into()),
            }));
        }
        let mode = self.mode.or(env.config.remote_mode).unwrap_or_default();
        let driver = Some(self.driver.as_str()).filter(|&driver| driver != "remote");
        let sockets = Sockets {
            user: env.euid != 0 && self.is_session(),
            read_only,
            env,
        };
        sockets.choose(driver, mode).map(Endpoint::unix)
    }

    /// Whether an ordinary user means the daemon of their own.
    ///
    /// The C library runs the test driver inside the client unless a transport is written; there
    /// is no such thing here, so `test:///default` goes where `test+unix:///default` goes.
    fn is_session(&self) -> bool {
        self.path == "/session" || self.driver == "test"
    }
}

/// Where the sockets of this machine's daemons are.
struct Sockets<'a> {
    user: bool,
    read_only: bool,
    env: &'a Environment,
}

impl Sockets<'_> {
    fn choose(&self, driver: Option<&str>, mode: SocketMode) -> Result<PathBuf, UriError> {
        let directory = self.directory()?;
        let legacy = self.socket(&directory, "libvirt");
        let direct = driver.map(|driver| self.socket(&directory, &format!("virt{driver}d")));
        match (mode, direct) {
            (SocketMode::Legacy, _) => Ok(legacy),
            (SocketMode::Direct, Some(direct)) => Ok(direct),
            (SocketMode::Direct, None) => Err(UriError::DirectModeImpossible),
            // Where neither exists, the name everybody knows makes the better error message.
            (SocketMode::Auto, direct) => Ok(direct.filter(|path| path.exists()).unwrap_or(legacy)),
        }
    }

    fn directory(&self) -> Result<PathBuf, UriError> {
        if self.user {
            return self
                .env
                .session_directory()
                .ok_or(UriError::NoSessionDirectory);
        }
        Ok(self.env.system_runtime_dir.join("libvirt"))
    }

    fn socket(&self, directory: &Path, daemon: &str) -> PathBuf {
        // The user's own daemon has no read-only socket: the flag travels in the call.
        let suffix = if self.read_only && !self.user {
            "sock-ro"
        } else {
            "sock"
        };
        directory.join(format!("{daemon}-{suffix}"))
    }
}
