//! A relay between a client and a daemon that writes down what both say.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};

/// Names a directory that recordings are kept in, for `cargo xtask fuzz --record`.
const KEEP: &str = "VIRTWIRE_RECORDINGS";

/// One connection, from its first byte to its last.
#[derive(Debug, Default, Clone)]
pub(crate) struct Recording {
    pub(crate) to_daemon: Vec<u8>,
    pub(crate) to_client: Vec<u8>,
}

/// Passes connections on to a daemon, each recorded by itself.
#[derive(Debug)]
pub(crate) struct Relay {
    directory: TempDir,
    accepting: JoinHandle<io::Error>,
    connections: Arc<Mutex<JoinSet<io::Result<Recording>>>>,
}

impl Relay {
    /// Listens, and connects to the socket `daemon` for every client that comes.
    pub(crate) fn start(daemon: PathBuf) -> Self {
        let directory = tempfile::Builder::new().prefix("vw").tempdir().unwrap();
        let listener = UnixListener::bind(socket_in(&directory)).unwrap();
        let connections = Arc::new(Mutex::new(JoinSet::new()));
        let accepting = tokio::spawn(accept(listener, daemon, Arc::clone(&connections)));
        Self {
            directory,
            accepting,
            connections,
        }
    }

    /// Where clients connect to.
    pub(crate) fn socket(&self) -> PathBuf {
        socket_in(&self.directory)
    }

    /// What was said, once every client has gone.
    pub(crate) async fn finish(self) -> Vec<Recording> {
        self.accepting.abort();
        assert!(self.accepting.await.unwrap_err().is_cancelled());
        let connections = std::mem::take(&mut *self.connections.lock().unwrap());
        let recordings = connections.join_all().await;
        let recordings: Vec<_> = recordings.into_iter().map(Result::unwrap).collect();
        if let Some(kept) = std::env::var_os(KEEP) {
            let name = self.directory.path().file_name().unwrap();
            keep(&Path::new(&kept).join(name), &recordings);
        }
        recordings
    }
}

/// Writes each connection as two files whose names start with its number.
fn keep(directory: &Path, recordings: &[Recording]) {
    std::fs::create_dir_all(directory).unwrap();
    for (number, recording) in recordings.iter().enumerate() {
        let file = |side| directory.join(format!("{number:03}.{side}"));
        std::fs::write(file("to-daemon"), &recording.to_daemon).unwrap();
        std::fs::write(file("to-client"), &recording.to_client).unwrap();
    }
}

fn socket_in(directory: &TempDir) -> PathBuf {
    directory.path().join("relay")
}

async fn accept(
    listener: UnixListener,
    daemon: PathBuf,
    connections: Arc<Mutex<JoinSet<io::Result<Recording>>>>,
) -> io::Error {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                let relayed = relay(client, daemon.clone());
                connections.lock().unwrap().spawn(relayed);
            }
            Err(error) => return error,
        }
    }
}

async fn relay(client: UnixStream, daemon: impl AsRef<Path>) -> io::Result<Recording> {
    let daemon = UnixStream::connect(daemon).await?;
    let (from_client, into_client) = client.into_split();
    let (from_daemon, into_daemon) = daemon.into_split();
    let (to_daemon, to_client) = tokio::try_join!(
        copy(from_client, into_daemon),
        copy(from_daemon, into_client)
    )?;
    Ok(Recording {
        to_daemon,
        to_client,
    })
}

async fn copy(mut from: OwnedReadHalf, mut into: OwnedWriteHalf) -> io::Result<Vec<u8>> {
    let mut said = Vec::new();
    let mut chunk = vec![0; 64 << 10];
    loop {
        let count = match from.read(&mut chunk).await {
            Ok(count) => count,
            Err(error) if is_hang_up(&error) => 0,
            Err(error) => return Err(error),
        };
        if count == 0 {
            // The other side may have gone already.
            let _ = into.shutdown().await;
            return Ok(said);
        }
        said.extend_from_slice(&chunk[..count]);
        match into.write_all(&chunk[..count]).await {
            Err(error) if is_hang_up(&error) => {}
            outcome => outcome?,
        }
    }
}

fn is_hang_up(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}
