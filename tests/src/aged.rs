//! Daemons that seem older than they are.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use virtwire::remote;
use virtwire_protocol::Procedure;
use virtwire_protocol::frame::{Frame, FrameDecoder, encode_frame};
use virtwire_protocol::header::{MessageType, Serial};
use virtwire_protocol::session::Route;
use virtwire_xdr::{Decode as _, Reader};

/// A relay before a daemon, which denies one of its features.
#[derive(Debug)]
pub struct Aged {
    directory: TempDir,
    accepting: JoinHandle<io::Error>,
}

/// The questions for the feature that are not answered yet.
type Questions = Arc<Mutex<HashSet<Serial>>>;

impl Aged {
    /// Listens, and connects to the socket `daemon` for every client that comes.
    ///
    /// # Panics
    ///
    /// When it cannot listen.
    #[must_use]
    pub fn without(feature: i32, daemon: PathBuf) -> Self {
        let directory = tempfile::Builder::new().prefix("vw").tempdir();
        let directory = directory.expect("a directory for the socket");
        let listener = UnixListener::bind(socket_in(&directory)).expect("a socket");
        let accepting = tokio::spawn(accept(listener, daemon, feature));
        Self {
            directory,
            accepting,
        }
    }

    /// Where clients connect to.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        socket_in(&self.directory)
    }
}

impl Drop for Aged {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn socket_in(directory: &TempDir) -> PathBuf {
    directory.path().join("aged")
}

async fn accept(listener: UnixListener, daemon: PathBuf, feature: i32) -> io::Error {
    loop {
        match listener.accept().await {
            Ok((client, _)) => drop(tokio::spawn(relay(client, daemon.clone(), feature))),
            Err(error) => return error,
        }
    }
}

async fn relay(client: UnixStream, daemon: impl AsRef<Path>, feature: i32) -> io::Result<()> {
    let daemon = UnixStream::connect(daemon).await?;
    let (from_client, into_client) = client.into_split();
    let (from_daemon, into_daemon) = daemon.into_split();
    let questions = Questions::default();
    let note = |frame: &mut Frame| {
        if asks(frame, feature) {
            locked(&questions).insert(frame.header.serial);
        }
    };
    let deny = |frame: &mut Frame| {
        let is_reply = frame.header.kind == MessageType::Reply;
        if is_reply && locked(&questions).remove(&frame.header.serial) {
            frame.payload = vec![0; 4].into();
        }
    };
    tokio::try_join!(
        pass(from_client, into_daemon, note),
        pass(from_daemon, into_client, deny)
    )?;
    Ok(())
}

fn locked(questions: &Questions) -> std::sync::MutexGuard<'_, HashSet<Serial>> {
    questions.lock().expect("nobody panics with it")
}

/// Whether the packet asks for this feature.
fn asks(frame: &Frame, feature: i32) -> bool {
    type Question = remote::ConnectSupportsFeature;
    let Route {
        program, procedure, ..
    } = Route::of(&frame.header);
    let is_question = (program, procedure) == (Question::PROGRAM, Question::NUMBER);
    let args = remote::ConnectSupportsFeatureArgs::decode(&mut Reader::new(&frame.payload));
    is_question && args.is_ok_and(|args| args.feature == feature)
}

/// Passes packets on, each as it is afterwards.
async fn pass(
    mut from: OwnedReadHalf,
    mut into: OwnedWriteHalf,
    change: impl Fn(&mut Frame),
) -> io::Result<()> {
    let mut decoder = FrameDecoder::new();
    while from.read_buf(decoder.buffer_mut()).await? > 0 {
        while let Some(mut frame) = decoder.next_frame().map_err(io::Error::other)? {
            change(&mut frame);
            let mut packet = BytesMut::new();
            let encoded = encode_frame(&mut packet, &frame.header, |w| {
                w.raw(&frame.payload);
                Ok(())
            });
            encoded.map_err(io::Error::other)?;
            into.write_all(&packet).await?;
        }
    }
    into.shutdown().await
}
