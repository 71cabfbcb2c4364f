//! The command `virtwire-sim`, from the outside.
#![cfg(feature = "binary")]
#![expect(clippy::unwrap_used, reason = "what fails here is a test")]

use std::io::{BufRead, BufReader};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use virtwire::Connection;
use virtwire::constants::ConnectListAllDomainsFlags;

fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_virtwire-sim"))
}

/// A daemon that runs, killed when it is dropped.
struct Running(Child);

impl Running {
    /// Starts one, and waits until it listens at so many addresses.
    fn start(arguments: &[&str], addresses: usize) -> (Self, Vec<String>) {
        let mut command = command();
        let command = command.args(arguments).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let lines: Vec<String> = lines.take(3 * addresses).map(Result::unwrap).collect();
        (Self(child), lines)
    }

    fn signal(&mut self, signal: &str) -> bool {
        let id = self.0.id().to_string();
        Command::new("kill").args([signal, &id]).status().unwrap();
        self.0.wait().unwrap().success()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn fails(arguments: &[&str]) -> String {
    let Output { status, stderr, .. } = command().args(arguments).output().unwrap();
    assert_eq!(status.code(), Some(1), "{arguments:?}");
    String::from_utf8(stderr).unwrap()
}

fn unix(path: &Path) -> String {
    format!("unix:{}", path.display())
}

#[tokio::test]
async fn clients_find_what_was_asked_for_where_it_says() {
    let directory = tempfile::tempdir().unwrap();
    let (socket, readers) = (directory.path().join("sock"), directory.path().join("ro"));
    let config = directory.path().join("node.xml");
    let xml = "<node><domain type='test'><name>a</name><memory>1</memory>\
               <os><type>hvm</type></os></domain></node>";
    std::fs::write(&config, xml).unwrap();
    let arguments = [
        "--listen",
        &unix(&socket),
        "--listen",
        "tcp:127.0.0.1:0",
        "--read-only-listen",
        &unix(&readers),
        "--fleet",
        "5",
        "--config",
        config.to_str().unwrap(),
        "--hostname",
        "elsewhere",
    ];
    let (mut running, lines) = Running::start(&arguments, 3);
    let uris: Vec<&str> = lines
        .iter()
        .map(|line| line.trim())
        .filter(|line| line.starts_with("qemu+"))
        .collect();
    assert_eq!(uris.len(), 3, "{lines:?}");
    for uri in uris {
        let connection = Connection::open(uri).await.unwrap();
        assert_eq!(connection.hostname().await.unwrap(), "elsewhere");
        let all = ConnectListAllDomainsFlags::empty();
        assert_eq!(connection.list_domains(all).await.unwrap().len(), 6);
        let domain = connection.lookup_domain_by_name("a").await.unwrap();
        let read_only = uri.ends_with("/ro");
        assert_eq!(domain.suspend().await.is_err(), read_only, "{uri}");
        if !read_only {
            domain.resume().await.unwrap();
        }
    }
    assert!(running.signal("-TERM"));
    assert!(!socket.exists() && !readers.exists());
}

#[test]
fn sockets_in_use_are_left_alone_and_dead_ones_are_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("sock");
    let address = unix(&socket);
    // Dead: nobody listens any more, and the file is still there.
    drop(UnixListener::bind(&socket).unwrap());
    assert!(socket.exists());
    let (mut running, _) = Running::start(&["--listen", &address], 1);
    UnixStream::connect(&socket).unwrap();
    let refused = fails(&["--listen", &address]);
    assert!(refused.contains("a daemon listens at"), "{refused}");
    UnixStream::connect(&socket).unwrap();
    assert!(running.signal("-INT"));
    assert!(!socket.exists());
    std::fs::write(&socket, "precious").unwrap();
    let refused = fails(&["--listen", &address]);
    assert!(refused.contains("is no socket"), "{refused}");
    assert_eq!(std::fs::read_to_string(&socket).unwrap(), "precious");
}

#[test]
fn what_cannot_be_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("node.xml");
    std::fs::write(&config, "<node><domain type='test'/></node>").unwrap();
    let address = unix(&directory.path().join("sock"));
    let listen = ["--listen", address.as_str()];
    let with = |more: [&'static str; 2]| [listen.as_slice(), &more].concat();
    let refused = fails(&[listen.as_slice(), &["--config", config.to_str().unwrap()]].concat());
    assert!(refused.contains("missing name information"), "{refused}");
    let refused = fails(&with(["--config", "/does/not/exist"]));
    assert!(refused.contains("No such file"), "{refused}");
    let refused = fails(&with(["--fleet", "16385"]));
    assert!(refused.contains("too many domains"), "{refused}");
    let refused = fails(&with(["--read-only-listen", "tcp:127.0.0.1:0"]));
    assert!(refused.contains("only a Unix socket"), "{refused}");
    let refused = fails(&["--listen", "unix:/does/not/exist/sock"]);
    assert!(
        refused.contains("cannot listen at unix:/does/not/exist/sock"),
        "{refused}"
    );
}
