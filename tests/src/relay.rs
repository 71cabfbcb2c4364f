//! A relay between a client and a daemon that writes down what both say.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};
use virtwire_protocol::Procedure;
use virtwire_protocol::frame::FrameDecoder;
use virtwire_protocol::header::MessageType;

use crate::packets::is;

/// Names a directory that recordings are kept in, for `cargo xtask fuzz --record`.
const KEEP: &str = "VIRTWIRE_RECORDINGS";

/// One connection, from its first byte to its last.
#[derive(Debug, Default, Clone)]
#[non_exhaustive]
pub struct Recording {
    /// What the client said.
    pub to_daemon: Vec<u8>,
    /// What the daemon said.
    pub to_client: Vec<u8>,
}

impl Recording {
    /// What might have been said.
    #[must_use]
    pub fn new(to_daemon: Vec<u8>, to_client: Vec<u8>) -> Self {
        Self {
            to_daemon,
            to_client,
        }
    }

    /// The arguments of each call of this procedure. A last packet that is not whole is none.
    ///
    /// # Panics
    ///
    /// When the client said what is no packet.
    #[must_use]
    pub fn called<P: Procedure>(&self) -> Vec<Bytes> {
        let mut decoder = FrameDecoder::new();
        decoder.buffer_mut().extend_from_slice(&self.to_daemon);
        let frames = std::iter::from_fn(|| decoder.next_frame().expect("a packet"));
        let calls = frames.filter(|frame| is::<P>(frame, MessageType::Call));
        calls.map(|call| call.payload).collect()
    }
}

/// Passes connections on to a daemon, each recorded by itself.
#[derive(Debug)]
pub struct Relay {
    directory: TempDir,
    accepting: JoinHandle<io::Error>,
    connections: Arc<Connections>,
}

impl Relay {
    /// Listens, and connects to the socket `daemon` for every client that comes.
    ///
    /// # Panics
    ///
    /// When it cannot listen.
    #[must_use]
    pub fn start(daemon: PathBuf) -> Self {
        let directory = tempfile::Builder::new().prefix("vw").tempdir();
        let directory = directory.expect("a directory for the socket");
        let listener = UnixListener::bind(socket_in(&directory)).expect("a socket");
        let connections = Arc::new(Mutex::new(JoinSet::new()));
        let accepting = tokio::spawn(accept(listener, daemon, Arc::clone(&connections)));
        Self {
            directory,
            accepting,
            connections,
        }
    }

    /// Where clients connect to.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        socket_in(&self.directory)
    }

    /// What was said, once every client has gone.
    ///
    /// # Panics
    ///
    /// When the network fails, or a recording cannot be kept.
    pub async fn finish(self) -> Vec<Recording> {
        self.accepting.abort();
        let accepting = self.accepting.await.expect_err("it goes on for ever");
        assert!(accepting.is_cancelled());
        let connections = std::mem::take(&mut *locked(&self.connections));
        let recordings = connections.join_all().await.into_iter();
        let recordings: Vec<_> = recordings
            .map(|recording| recording.expect("bytes"))
            .collect();
        if let Some(kept) = std::env::var_os(KEEP) {
            let name = self.directory.path().file_name().expect("a directory");
            keep(&Path::new(&kept).join(name), &recordings);
        }
        recordings
    }
}

/// Writes each connection as two files whose names start with its number.
fn keep(directory: &Path, recordings: &[Recording]) {
    std::fs::create_dir_all(directory).expect("a place for recordings");
    for (number, recording) in recordings.iter().enumerate() {
        let file = |side| directory.join(format!("{number:03}.{side}"));
        let write = |side, bytes: &[u8]| std::fs::write(file(side), bytes).expect("a recording");
        write("to-daemon", &recording.to_daemon);
        write("to-client", &recording.to_client);
    }
}

type Connections = Mutex<JoinSet<io::Result<Recording>>>;

fn locked(connections: &Connections) -> MutexGuard<'_, JoinSet<io::Result<Recording>>> {
    connections.lock().expect("nobody panics with it")
}

fn socket_in(directory: &TempDir) -> PathBuf {
    directory.path().join("relay")
}

async fn accept(
    listener: UnixListener,
    daemon: PathBuf,
    connections: Arc<Connections>,
) -> io::Error {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                let relayed = relay(client, daemon.clone());
                locked(&connections).spawn(relayed);
            }
            Err(error) => return error,
        }
    }
}

async fn relay(client: UnixStream, daemon: impl AsRef<Path>) -> io::Result<Recording> {
    let Ok(daemon) = UnixStream::connect(daemon).await else {
        // The client sees what it would see of a daemon that is just ending.
        return Ok(Recording::default());
    };
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
        let heard = chunk.get(..count).unwrap_or_default();
        said.extend_from_slice(heard);
        match into.write_all(heard).await {
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
