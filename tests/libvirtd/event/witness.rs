//! libvirt's own library, listening in a process of its own.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use virtwire_lab::install::PythonBinding;

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/libvirtd/event/witness.py");

/// Somebody who hears all that the library hears.
#[derive(Debug)]
pub(super) struct Witness {
    lines: Lines<BufReader<ChildStdout>>,
    /// It ends when this does.
    _input: ChildStdin,
    _process: Child,
    /// Names all that it asked for.
    pub(super) kinds: Vec<String>,
}

impl Witness {
    /// Listens to everything that the driver behind the URI tells.
    pub(super) async fn start(uri: &str) -> Self {
        let binding = PythonBinding::find().expect("`cargo xtask test` installs it");
        let mut process = Command::new(binding.interpreter())
            .args([PROGRAM, uri])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let output = process.stdout.take().unwrap();
        let mut witness = Self {
            lines: BufReader::new(output).lines(),
            _input: process.stdin.take().unwrap(),
            _process: process,
            kinds: Vec::new(),
        };
        let ready = witness.next().await;
        witness.kinds = serde_json::from_value(ready["ready"].clone()).unwrap();
        witness
    }

    /// The next event.
    pub(super) async fn next(&mut self) -> Value {
        let line = self.lines.next_line().await.unwrap();
        serde_json::from_str(&line.expect("the witness goes on")).unwrap()
    }
}
