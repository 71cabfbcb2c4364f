use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream as StdStream};

use tokio::net::UnixStream;

use crate::uri::UnixAddress;

/// The length of `sun_path`: libvirt pads abstract names to it.
const SUN_PATH: usize = 108;

pub(super) async fn connect(address: &UnixAddress) -> io::Result<UnixStream> {
    match address {
        UnixAddress::Path(path) => UnixStream::connect(path).await,
        UnixAddress::Abstract(name) => {
            // One byte of `sun_path` is the zero that marks the name as abstract.
            let mut padded = name.clone().into_bytes();
            padded.resize(padded.len().max(SUN_PATH - 1), 0);
            let address = SocketAddr::from_abstract_name(padded)?;
            // Connecting to a local socket waits for no peer, only for room in its backlog.
            let stream = tokio::task::spawn_blocking(move || StdStream::connect_addr(&address))
                .await
                .map_err(io::Error::other)??;
            stream.set_nonblocking(true)?;
            UnixStream::from_std(stream)
        }
    }
}
