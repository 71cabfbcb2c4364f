//! The sockets that daemons listen on and clients connect to, Unix and TCP alike.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Where a daemon listens. Its text is `unix:PATH` or `tcp:IP:PORT`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// A path.
    Unix(PathBuf),
    /// An IP address and a port; port 0 when the kernel is to choose one.
    Tcp(SocketAddr),
}

/// A text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("address {0:?} is neither unix:PATH nor tcp:IP:PORT")]
#[non_exhaustive]
pub struct InvalidAddress(pub String);

impl Address {
    /// The libvirt URI of a hypervisor driver (`test`, `qemu`) and what it is to open (`/default`,
    /// `/system`) at this address.
    ///
    /// ```
    /// # use virtwire_sim::socket::Address;
    /// let address: Address = "unix:/run/sim".parse()?;
    /// assert_eq!(address.uri("test", "/default"), "test+unix:///default?socket=/run/sim");
    /// # Ok::<(), virtwire_sim::socket::InvalidAddress>(())
    /// ```
    #[must_use]
    pub fn uri(&self, driver: &str, path: &str) -> String {
        match self {
            Self::Unix(socket) => format!("{driver}+unix://{path}?socket={}", socket.display()),
            Self::Tcp(address) => format!("{driver}+tcp://{address}{path}"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let invalid = || InvalidAddress(text.to_owned());
        match text.split_once(':') {
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Unix(path.into())),
            Some(("tcp", address)) => address.parse().map(Self::Tcp).map_err(|_| invalid()),
            _ => Err(invalid()),
        }
    }
}

/// A socket that clients connect to. A path is removed again when it is dropped.
#[derive(Debug)]
pub struct Listener {
    socket: ListeningSocket,
    address: Address,
    path: Option<BoundPath>,
}

/// A path that exists for as long as this.
#[derive(Debug)]
pub(crate) struct BoundPath(PathBuf);

#[derive(Debug)]
enum ListeningSocket {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    /// Listens at an address.
    ///
    /// # Errors
    ///
    /// When that is not possible, for example because the path exists.
    ///
    /// # Panics
    ///
    /// When called outside of a tokio runtime.
    pub fn bind(address: &Address) -> io::Result<Self> {
        let (socket, address) = match address {
            Address::Unix(path) => {
                let listener = UnixListener::bind(path)?;
                (ListeningSocket::Unix(listener), address.clone())
            }
            Address::Tcp(wanted) => {
                // An address in numbers is bound at once: there is nothing to wait for.
                let listener = std::net::TcpListener::bind(wanted)?;
                listener.set_nonblocking(true)?;
                let listener = TcpListener::from_std(listener)?;
                let given = Address::Tcp(listener.local_addr()?);
                (ListeningSocket::Tcp(listener), given)
            }
        };
        let path = match &address {
            Address::Unix(path) => Some(BoundPath(path.clone())),
            Address::Tcp(_) => None,
        };
        Ok(Self {
            socket,
            address,
            path,
        })
    }

    /// Leaves it to somebody else to remove the path.
    pub(crate) fn take_path(&mut self) -> Option<BoundPath> {
        self.path.take()
    }

    /// Where it listens; the port is the real one.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The next client.
    ///
    /// # Errors
    ///
    /// When the kernel has none to give, for example for lack of file descriptors.
    ///
    /// # Cancel safety
    ///
    /// Safe: no client is lost by dropping the future.
    pub async fn accept(&self) -> io::Result<Socket> {
        match &self.socket {
            ListeningSocket::Unix(listener) => Ok(Socket::Unix(listener.accept().await?.0)),
            ListeningSocket::Tcp(listener) => Socket::tcp(listener.accept().await?.0),
        }
    }
}

impl Drop for BoundPath {
    fn drop(&mut self) {
        // Gone already is as well.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// One connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum Socket {
    /// Between processes of one host.
    Unix(UnixStream),
    /// Over a network.
    Tcp(TcpStream),
}

impl Socket {
    /// Connects to whoever listens at an address.
    ///
    /// # Errors
    ///
    /// When nobody does.
    pub async fn connect(address: &Address) -> io::Result<Self> {
        match address {
            Address::Unix(path) => Ok(Self::Unix(UnixStream::connect(path).await?)),
            Address::Tcp(address) => Self::tcp(TcpStream::connect(address).await?),
        }
    }

    /// Breaks the connection, so that the other side finds it reset and not at its end.
    ///
    /// The kernel knows no such thing for Unix sockets: there it is reset when something that the
    /// other side has sent was not read, and at its end otherwise.
    pub fn reset(self) {
        if let Self::Tcp(stream) = &self {
            // A socket that takes no options is as good as broken.
            let _ = stream.set_zero_linger();
        }
    }

    fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self::Tcp(stream))
    }
}

/// Passes a call on to the kind of socket that it is.
macro_rules! delegate {
    ($socket:expr, $method:ident, $($argument:expr),+) => {
        match $socket.get_mut() {
            Self::Unix(stream) => Pin::new(stream).$method($($argument),+),
            Self::Tcp(stream) => Pin::new(stream).$method($($argument),+),
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        delegate!(self, poll_read, context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, poll_write, context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_flush, context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_shutdown, context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_what_their_text_says() {
        for text in ["unix:/run/a:b", "tcp:127.0.0.1:16509", "tcp:[::1]:1"] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
        for text in ["", "unix:", "/run/libvirt", "tcp:localhost", "tcp:1.2.3.4"] {
            assert_eq!(
                text.parse::<Address>(),
                Err(InvalidAddress(text.to_owned()))
            );
        }
    }
}
