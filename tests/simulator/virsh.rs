//! The simulated daemon, driven by virsh and so by libvirt's own client library.

use std::path::PathBuf;
use std::process::Output;

use tempfile::TempDir;
use tokio::process::Command;
use virtwire_sim::Simulator;
use virtwire_tests::deadline;

/// A simulated daemon on a socket.
struct Served {
    simulator: Simulator,
    directory: TempDir,
}

impl Served {
    fn new(simulator: Simulator) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let served = Self {
            simulator,
            directory,
        };
        served.simulator.listen_unix(served.socket()).unwrap();
        served
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("sock")
    }

    /// Runs virsh on the driver, `test` or `qemu`.
    async fn virsh(&self, driver: &str, arguments: &[&str]) -> Output {
        let path = match driver {
            "test" => "/default",
            _ => "/system",
        };
        let uri = format!("{driver}+unix://{path}?socket={}", self.socket().display());
        let mut command = Command::new("virsh");
        command
            .env("LC_ALL", "C")
            .arg("-c")
            .arg(uri)
            .args(arguments);
        command.output().await.unwrap()
    }

    /// What virsh prints; it must succeed.
    async fn says(&self, driver: &str, arguments: &[&str]) -> String {
        let output = self.virsh(driver, arguments).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "virsh {arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[tokio::test]
async fn virsh_opens_both_drivers() {
    deadline(async {
        let served = Served::new(Simulator::builder().hostname("elsewhere").start());
        for driver in ["test", "qemu"] {
            assert_eq!(served.says(driver, &["hostname"]).await.trim(), "elsewhere");
        }
    })
    .await;
}
