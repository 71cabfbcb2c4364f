//! Where tests that need a whole hypervisor play: on a private daemon, or on the simulated one.
//! Both have the same methods, so that a test module can be compiled for either.

pub mod layered;
pub mod real;
pub mod simulated;

use std::time::Duration;

use tokio::process::Command;
use virtwire_lab::Driver;

/// What is not as usual about a daemon.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Settings {
    keepalive: Option<(Duration, u32)>,
    tcp: bool,
}

impl Settings {
    /// As usual.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// After each interval of silence the daemon asks whether its client is alive, and gives up
    /// after that many questions without an answer.
    #[must_use]
    pub fn keepalive(mut self, interval: Duration, count: u32) -> Self {
        self.keepalive = Some((interval, count));
        self
    }

    /// It listens for TCP too.
    #[must_use]
    pub fn tcp(mut self) -> Self {
        self.tcp = true;
        self
    }
}

fn scheme_and_path(driver: Driver) -> (&'static str, &'static str) {
    match driver {
        Driver::Test => ("test", "/default"),
        _ => ("qemu", "/system"),
    }
}

/// What virsh says; it must succeed.
async fn virsh(uri: &str, arguments: &[&str]) -> String {
    let mut command = Command::new("virsh");
    command.env("LC_ALL", "C");
    let output = command.arg("-c").arg(uri).args(arguments).output().await;
    let output = output.expect("virsh runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "virsh {arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("virsh speaks UTF-8")
}
