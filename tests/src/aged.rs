//! Daemons that seem older than they are.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use virtwire::remote;
use virtwire_protocol::frame::Frame;
use virtwire_protocol::header::{MessageType, Serial};
use virtwire_xdr::{Decode as _, Reader};

use crate::packets::{Way, is};

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
    let (mut there, mut back) = Way::between(client, daemon);
    let questions = Questions::default();
    let ask = async {
        while let Some(frame) = there.next().await? {
            if asks(&frame, feature) {
                locked(&questions).insert(frame.header.serial);
            }
            there.pass(&frame).await?;
        }
        io::Result::Ok(())
    };
    let answer = async {
        while let Some(mut frame) = back.next().await? {
            let is_reply = frame.header.kind == MessageType::Reply;
            if is_reply && locked(&questions).remove(&frame.header.serial) {
                frame.payload = vec![0; 4].into();
            }
            back.pass(&frame).await?;
        }
        Ok(())
    };
    tokio::try_join!(ask, answer)?;
    Ok(())
}

fn locked(questions: &Questions) -> std::sync::MutexGuard<'_, HashSet<Serial>> {
    questions.lock().expect("nobody panics with it")
}

/// Whether the packet asks for this feature.
fn asks(frame: &Frame, feature: i32) -> bool {
    let args = remote::ConnectSupportsFeatureArgs::decode(&mut Reader::new(&frame.payload));
    is::<remote::ConnectSupportsFeature>(frame, MessageType::Call)
        && args.is_ok_and(|args| args.feature == feature)
}
