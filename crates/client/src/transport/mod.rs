//! Ways to reach a daemon.

mod tcp;
mod unix;

use std::io;

use tokio::net::TcpStream;

use crate::Error;
use crate::error::Cause;
use crate::uri::Endpoint;

/// A byte stream to a daemon.
#[derive(Debug)]
pub(crate) enum Transport {
    Unix(unix::UnixSocket),
    Tcp(TcpStream),
}

/// Connects to the endpoint. How long that may take is for the caller to say.
pub(crate) async fn connect(endpoint: &Endpoint) -> Result<Transport, Error> {
    let failed = |source: io::Error| Cause::Connect {
        endpoint: endpoint.to_string(),
        source,
    };
    match endpoint {
        Endpoint::Unix(address) => Ok(Transport::Unix(
            unix::connect(address).await.map_err(failed)?,
        )),
        Endpoint::Tcp { host, port } => Ok(Transport::Tcp(
            tcp::connect(host, *port).await.map_err(failed)?,
        )),
        Endpoint::Tls { .. } => Err(Cause::Unsupported("the transport TLS").into()),
        Endpoint::Ssh { .. } => Err(Cause::Unsupported("the transport SSH").into()),
        _ => Err(Cause::Unsupported("this transport").into()),
    }
}
