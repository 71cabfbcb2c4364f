//! A simulated daemon on a socket, and virsh on it.

use std::path::PathBuf;
use std::process::Output;

use tempfile::TempDir;
use tokio::process::Command;
use virtwire_sim::Simulator;
use virtwire_sim::socket::{Address, Listener};

/// A simulated daemon on a socket.
pub(crate) struct Served {
    pub(crate) simulator: Simulator,
    directory: TempDir,
}

impl Served {
    pub(crate) fn new(simulator: Simulator) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let served = Self {
            simulator,
            directory,
        };
        let listener = Listener::bind(&Address::Unix(served.socket())).unwrap();
        served.simulator.listen(listener);
        served
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("sock")
    }

    /// A file of the tester's own.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The URI of a driver, `test` or `qemu`.
    pub(crate) fn uri(&self, driver: &str) -> String {
        let path = match driver {
            "test" => "/default",
            _ => "/system",
        };
        format!("{driver}+unix://{path}?socket={}", self.socket().display())
    }

    /// Runs virsh on the driver, `test` or `qemu`.
    pub(crate) async fn virsh(&self, driver: &str, arguments: &[&str]) -> Output {
        virsh(&self.uri(driver), arguments).await
    }

    /// What virsh prints; it must succeed.
    pub(crate) async fn says(&self, driver: &str, arguments: &[&str]) -> String {
        let output = self.virsh(driver, arguments).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "virsh {arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What virsh complains of; it must fail.
    pub(crate) async fn refuses(&self, driver: &str, arguments: &[&str]) -> String {
        let output = self.virsh(driver, arguments).await;
        assert!(!output.status.success(), "virsh {arguments:?} succeeded");
        String::from_utf8(output.stderr).unwrap()
    }
}

/// Runs virsh.
pub(crate) async fn virsh(uri: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new("virsh");
    command.env("LC_ALL", "C").env("TZ", "UTC");
    let command = command.arg("-c").arg(uri).args(arguments);
    command.output().await.unwrap()
}
