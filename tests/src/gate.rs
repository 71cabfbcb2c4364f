//! A relay before a daemon that holds back the first call of one kind, so that a test can do
//! something to the daemon exactly then.

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use virtwire::Procedure;
use virtwire_protocol::header::MessageType;

use crate::packets::{Way, is};

/// The relay, for one client.
#[derive(Debug)]
pub struct Gate {
    directory: TempDir,
    passing: JoinHandle<()>,
    reached: Arc<Notify>,
    opened: Arc<Notify>,
}

impl Gate {
    /// Listens for the client, whose first call of procedure `P` it will hold back.
    ///
    /// # Panics
    ///
    /// When it cannot listen.
    #[must_use]
    pub fn at<P: Procedure>(daemon: PathBuf) -> Self {
        let directory = tempfile::Builder::new().prefix("vw").tempdir();
        let directory = directory.expect("a directory for the socket");
        let listener = UnixListener::bind(directory.path().join("gate")).expect("a socket");
        let (reached, opened) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let keeper = Keeper {
            reached: Arc::clone(&reached),
            opened: Arc::clone(&opened),
        };
        let passing = tokio::spawn(keeper.keep::<P>(listener, daemon));
        Self {
            directory,
            passing,
            reached,
            opened,
        }
    }

    /// Where the client connects to.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("gate")
    }

    /// Waits until the call is here.
    pub async fn reached(&self) {
        self.reached.notified().await;
    }

    /// Lets the call pass, and all that comes after it.
    pub fn open(&self) {
        self.opened.notify_one();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.passing.abort();
    }
}

struct Keeper {
    reached: Arc<Notify>,
    opened: Arc<Notify>,
}

impl Keeper {
    async fn keep<P: Procedure>(self, listener: UnixListener, daemon: PathBuf) {
        let (client, _) = listener.accept().await.expect("a client");
        let daemon = UnixStream::connect(daemon).await.expect("the daemon");
        let (mut there, mut back) = Way::between(client, daemon);
        let hold = async {
            while let Some(frame) = there.next().await? {
                let here = is::<P>(&frame, MessageType::Call);
                if here {
                    self.reached.notify_one();
                    self.opened.notified().await;
                }
                there.pass(&frame).await?;
                if here {
                    break;
                }
            }
            there.pass_all().await
        };
        // Either side may go when it likes: whoever tests looks at the client.
        let _ = tokio::join!(hold, back.pass_all());
    }
}
