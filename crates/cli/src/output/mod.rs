//! What a command says: a document for programs, or text for people.

mod lines;
mod progress;
mod size;
mod table;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use serde_json::Value;
use tokio::io::AsyncWriteExt;

pub(crate) use self::lines::Lines;
pub(crate) use self::progress::{Display, Step, whole_percent};
pub(crate) use self::size::scaled;
pub(crate) use self::table::Table;
use crate::args::{JOB_FAILED, VANISHED};
use crate::escape::{escape, escape_lines};
use crate::failure::Failure;

/// The exit status when nobody reads the output: that of a program which the signal ends.
const BROKEN_PIPE: u8 = 141;

/// The result of a command, in both forms.
#[derive(Debug)]
pub(crate) struct Report {
    json: Value,
    text: Text,
    status: u8,
}

#[derive(Debug)]
enum Text {
    /// What was asked for.
    Data(String),
    /// A document of others, shown as it is unless a terminal would read it.
    Document(String),
    /// A table, whose heading `--quiet` leaves out.
    Table(Table),
    /// A remark, which `--quiet` leaves out.
    Message(String),
    Nothing,
}

impl Report {
    pub(crate) fn data(json: Value, text: impl Into<String>) -> Self {
        Self::new(json, Text::Data(text.into()))
    }

    pub(crate) fn document(json: Value, text: impl Into<String>) -> Self {
        Self::new(json, Text::Document(text.into()))
    }

    pub(crate) fn table(json: Value, table: Table) -> Self {
        Self::new(json, Text::Table(table))
    }

    pub(crate) fn message(json: Value, text: impl Into<String>) -> Self {
        Self::new(json, Text::Message(text.into()))
    }

    pub(crate) fn silent(json: Value) -> Self {
        Self::new(json, Text::Nothing)
    }

    /// The end of a job that was waited for. That it failed, or vanished, is an error to people.
    pub(crate) fn end(json: Value, text: String, status: u8, output: Output) -> Self {
        if !matches!(status, JOB_FAILED | VANISHED) || output.is_json() {
            return Self::message(json, text).with_status(status);
        }
        output.remark(&format!("error: {}", escape(&text)));
        Self::silent(json).with_status(status)
    }

    fn new(json: Value, text: Text) -> Self {
        Self {
            json,
            text,
            status: 0,
        }
    }

    /// Nothing to say.
    pub(crate) fn nothing() -> Self {
        Self::silent(Value::Null)
    }

    pub(crate) fn status(&self) -> u8 {
        self.status
    }

    pub(crate) fn with_status(mut self, status: u8) -> Self {
        self.status = status;
        self
    }
}

/// How the user wants results.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
}

impl Output {
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet }
    }

    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    pub(crate) fn is_quiet(self) -> bool {
        self.quiet
    }

    /// Prints a result and gives its exit status.
    pub(crate) fn report(self, report: &Report) -> Result<ExitCode, Failure> {
        let printed = if self.json {
            self.json_line(&report.json)
        } else {
            self.text(&report.text)
        };
        printed.map(|()| ExitCode::from(report.status))
    }

    /// Prints one JSON document on a line of its own.
    pub(crate) fn json_line(self, json: &Value) -> Result<(), Failure> {
        write_stdout(&format!("{json}\n"))
    }

    /// Prints lines at once, and lets the connection be served while the reader takes its time.
    pub(crate) async fn lines(self, lines: &str) -> Result<(), Failure> {
        let mut stdout = tokio::io::stdout();
        let written = async {
            stdout.write_all(lines.as_bytes()).await?;
            stdout.flush().await
        };
        written.await.map_err(cannot_write)
    }

    /// Prints why there is no result and gives the exit status of that.
    pub(crate) fn failure(self, failure: &Failure) -> ExitCode {
        if failure.is_broken_pipe() {
            return ExitCode::from(BROKEN_PIPE);
        }
        if self.json {
            self.remark(&failure.json().to_string());
        } else {
            self.remark(&format!("error: {}", failure.text()));
        }
        ExitCode::from(failure.exit_status())
    }

    /// Writes a line to standard error. Nothing can be done where that fails.
    pub(crate) fn remark(self, line: &str) {
        let _ = writeln!(io::stderr().lock(), "{line}");
    }

    /// Tells people, who read no JSON, of what they should look at.
    pub(crate) fn warning(self, text: &str) {
        if !self.json {
            self.remark(&format!("warning: {}", escape(text)));
        }
    }

    fn text(self, text: &Text) -> Result<(), Failure> {
        match text {
            Text::Data(text) => write_stdout(&with_newline(&escape_lines(text))),
            Text::Document(text) if io::stdout().is_terminal() => {
                write_stdout(&with_newline(&escape_lines(text)))
            }
            Text::Document(text) => write_stdout(&with_newline(text)),
            Text::Table(table) => write_stdout(&table.render(!self.quiet)),
            Text::Message(text) if !self.quiet => write_stdout(&with_newline(&escape(text))),
            Text::Message(_) | Text::Nothing => Ok(()),
        }
    }
}

fn with_newline(text: &str) -> String {
    let end = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    format!("{text}{end}")
}

fn write_stdout(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(cannot_write)
}

fn cannot_write(error: io::Error) -> Failure {
    Failure::io("cannot write the result", error)
}
