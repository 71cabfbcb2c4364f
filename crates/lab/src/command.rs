//! Running other programs to their end.

use std::ffi::OsStr;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use crate::Error;
use crate::error::IoContext as _;

/// Runs to the end and returns standard output; a failure carries standard error.
pub(crate) fn run(command: &mut Command) -> Result<String, Error> {
    let output = output(command)?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(failure(command, &output))
    }
}

/// Runs to the end and returns everything, whatever the exit status.
pub(crate) fn output(command: &mut Command) -> Result<Output, Error> {
    let program = command.get_program().to_owned();
    // In C every tool says the same thing everywhere, and nothing here may wait for a terminal.
    command
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .doing("run", program.as_ref())
}

/// As [`output`], with this on standard input.
pub(crate) fn output_with_input(command: &mut Command, input: &[u8]) -> Result<Output, Error> {
    let program = command.get_program().to_owned();
    command
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().doing("run", program.as_ref())?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends without reading has its reasons, and they are in its output.
        let _ = stdin.write_all(input);
    }
    child.wait_with_output().doing("wait for", program.as_ref())
}

/// The error for a command that ended badly.
pub(crate) fn failure(command: &Command, output: &Output) -> Error {
    Error::Command {
        command: line(command),
        status: output.status,
        stderr: tail(&String::from_utf8_lossy(&output.stderr), 40),
    }
}

/// The command line as a person would type it.
pub(crate) fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The last lines of a text.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.trim_end().lines().collect();
    all.get(all.len().saturating_sub(lines)..)
        .unwrap_or_default()
        .join("\n")
}
