//! What libFuzzer says of a run.

use std::fmt::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

/// How a target did.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) target: String,
    executions: u64,
    per_second: u64,
    /// Edges of the control flow that were taken.
    edges: u64,
    /// Those, told apart by how often they were taken.
    features: u64,
    failure: Option<Failure>,
}

/// What made a target stop.
#[derive(Debug)]
pub(super) struct Failure {
    target: String,
    /// What it said about it.
    message: String,
    /// The input that did it.
    input: Option<String>,
    log: PathBuf,
}

impl Report {
    /// Reads what a target has written to `log`.
    pub(super) fn read(target: &str, text: &str, status: ExitStatus, log: &Path) -> Self {
        let statistic = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|value| value.trim().parse().ok())
                .unwrap_or(0)
        };
        let failure = (!status.success()).then(|| Failure {
            target: target.to_owned(),
            message: message(text).unwrap_or_else(|| status.to_string()),
            input: text
                .lines()
                .find_map(|line| Some(line.split_once("Test unit written to ")?.1.to_owned())),
            log: log.to_owned(),
        });
        Self {
            target: target.to_owned(),
            executions: statistic("stat::number_of_executed_units:"),
            per_second: statistic("stat::average_exec_per_sec:"),
            edges: last_number(text, " cov: "),
            features: last_number(text, " ft: "),
            failure,
        }
    }

    pub(super) fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.failure {
            Some(_) => "FAILED",
            None => "good",
        };
        write!(
            f,
            "{}: {outcome}, {} executions",
            self.target, self.executions
        )
    }
}

impl Failure {
    /// For a person; `with` is the command that runs a target.
    pub(super) fn to_text(&self, with: &str) -> String {
        let Self {
            target,
            message,
            input,
            log,
        } = self;
        let mut text = format!(
            "{target}: {message}\n  everything it said: {}",
            log.display()
        );
        if let Some(input) = input {
            let _ = write!(text, "\n  again: {with} {target} {input}");
        }
        text
    }
}

/// The panic's message, or the first error of libFuzzer or a sanitizer.
fn message(text: &str) -> Option<String> {
    let mut lines = text
        .lines()
        .skip_while(|line| !line.contains("panicked at"));
    if let Some(place) = lines.next() {
        let said = lines.take_while(|line| !line.starts_with("stack backtrace"));
        let said: Vec<_> = said.take(8).collect();
        return Some(format!("{place}\n  {}", said.join("\n  ")));
    }
    let error = text.lines().find(|line| line.contains("ERROR: "));
    error.map(str::to_owned)
}

/// The number after the last `name`.
fn last_number(text: &str, name: &str) -> u64 {
    let after = text.rsplit_once(name).map(|(_, after)| after);
    let number = after.and_then(|after| after.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// All reports as a table.
pub(super) fn table(reports: &[Report]) -> String {
    let mut table = format!(
        "\n{:<16} {:>12} {:>9} {:>8} {:>9}\n",
        "target", "executions", "per s", "edges", "features"
    );
    for report in reports {
        let failed = if report.failure.is_some() {
            "  FAILED"
        } else {
            ""
        };
        let _ = writeln!(
            table,
            "{:<16} {:>12} {:>9} {:>8} {:>9}{failed}",
            report.target, report.executions, report.per_second, report.edges, report.features
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    const LOG: &str = "\
INFO: Seed: 1
#2\tINITED cov: 10 ft: 11 corp: 1/1b exec/s: 0 rss: 30Mb
#4096\tDONE   cov: 120 ft: 340 corp: 9/20b lim: 4096 exec/s: 2048 rss: 31Mb
stat::number_of_executed_units: 4096
stat::average_exec_per_sec:     2048
";

    const CRASH: &str = "\
#2\tINITED cov: 10 ft: 11 corp: 1/1b exec/s: 0 rss: 30Mb
thread '<unnamed>' panicked at src/frame.rs:40:5:
assertion failed: no room
stack backtrace:
   0: something
==7== ERROR: libFuzzer: deadly signal
Test unit written to fuzz/artifacts/frame/crash-1
";

    #[test]
    fn the_last_figures_count() {
        let status = ExitStatus::from_raw(0);
        let report = Report::read("frame", LOG, status, Path::new("log"));
        assert!(report.failure().is_none());
        assert_eq!((report.executions, report.per_second), (4096, 2048));
        assert_eq!((report.edges, report.features), (120, 340));
    }

    #[test]
    fn a_crash_says_what_where_and_how_to_see_it_again() {
        let status = ExitStatus::from_raw(77 << 8);
        let report = Report::read("frame", CRASH, status, Path::new("log"));
        let text = report.failure().unwrap().to_text("cargo fuzz run");
        assert!(
            text.contains("src/frame.rs:40:5:\n  assertion failed: no room\n"),
            "{text}"
        );
        assert!(text.ends_with("again: cargo fuzz run frame fuzz/artifacts/frame/crash-1"));
    }
}
