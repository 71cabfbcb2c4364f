//! Servers in processes of their own, so that nothing they use is counted as the client's.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;

use tempfile::TempDir;

/// This program once more, as a server, in a directory of its own.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    directory: TempDir,
}

impl Process {
    /// Starts this very program once more, in another role.
    ///
    /// # Errors
    ///
    /// When it cannot be started or does not become [`ready`].
    pub(crate) fn start(role: &str) -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg(role)
            .arg(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut ready = [0];
        match child.stdout.take() {
            Some(mut stdout) => stdout.read_exact(&mut ready)?,
            None => return Err(io::ErrorKind::BrokenPipe.into()),
        }
        Ok(Self { child, directory })
    }

    /// Where a socket of this name is.
    #[must_use]
    pub(crate) fn socket(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have gone by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where to listen, when this program was started in this role.
#[must_use]
pub(crate) fn directory_of(role: &str) -> Option<PathBuf> {
    let mut arguments = std::env::args_os().skip(1);
    let asked = arguments.next().is_some_and(|asked| asked == role);
    arguments.next().filter(|_| asked).map(PathBuf::from)
}

/// Tells the one who started us that we listen, and ends this process when that one does.
///
/// # Errors
///
/// When there is nobody to tell.
pub(crate) fn ready() -> io::Result<()> {
    // The pipe breaks when the one who started us is gone, however that came about.
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0);
    });
    io::stdout().write_all(b"!")?;
    io::stdout().flush()
}
