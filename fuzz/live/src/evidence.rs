//! What is left of a daemon that crashed, and what can be seen of one that hangs.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use virtwire_lab::CagedDaemon;

use crate::finding::{Finding, Kind};

const SIGKILL: i32 = 9;
const SIGXCPU: i32 = 24;

/// What a daemon that ended by itself is guilty of; `None` if the cage has killed it.
#[must_use]
pub fn crash(daemon: &CagedDaemon, status: ExitStatus) -> Option<Finding> {
    if status.signal() == Some(SIGKILL) {
        return None;
    }
    let log = daemon.log();
    if status.signal() == Some(SIGXCPU) {
        let text = "it used up its processor time";
        return Some(Finding::new(Kind::Hang, text, log));
    }
    let how = match status.signal() {
        Some(signal) => signal_name(signal),
        None => format!("it ended by itself, with {status}"),
    };
    let fault = daemon.fault();
    let output = daemon.output();
    let last_words = output.lines().rev().find(|line| !line.trim().is_empty());
    let place = fault.as_deref().and_then(|fault| fault.split_once(" in "));
    let signature = match (place, last_words) {
        // Where a library gives up says nothing of why it does.
        (Some((_, place)), Some(words)) if is_last_resort(place) => {
            format!("{how}: {}", without_numbers(words))
        }
        // The address differs each time, and the place does not.
        (Some((_, place)), _) => format!("{how} in {place}"),
        (None, Some(words)) => format!("{how}: {}", without_numbers(words)),
        (None, None) => how,
    };
    let fault = fault.unwrap_or_default();
    Some(Finding::new(
        Kind::Crash,
        signature,
        format!("{fault}\n{log}"),
    ))
}

/// What each thread does.
#[must_use]
pub fn threads(daemon: &CagedDaemon) -> String {
    let Some(pid) = daemon.pid() else {
        return "the daemon is gone".to_owned();
    };
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return "the daemon is gone".to_owned();
    };
    let mut lines: Vec<String> = threads
        .filter_map(|thread| {
            let path = thread.ok()?.path();
            let read = |name| fs::read_to_string(path.join(name)).unwrap_or_default();
            let stat = read("stat");
            let (_, rest) = stat.rsplit_once(") ")?;
            let state = rest.split(' ').next()?.to_owned();
            let (name, waits) = (read("comm"), read("wchan"));
            Some(format!("thread {}: {state} {waits}", name.trim()))
        })
        .collect();
    lines.sort();
    lines.join("\n")
}

fn is_last_resort(place: &str) -> bool {
    place.starts_with("libglib") || place.starts_with("libc.")
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        11 => "SIGSEGV",
        _ => return format!("signal {signal}"),
    };
    name.to_owned()
}

/// Addresses, sizes and process numbers differ each time.
fn without_numbers(text: &str) -> String {
    let words = text
        .split_whitespace()
        .filter(|word| !word.contains(|letter: char| letter.is_ascii_digit()));
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::without_numbers;

    #[test]
    fn what_differs_each_time_is_no_part_of_a_signature() {
        let text = "(process:71): GLib-ERROR **: 05:10:00.1: failed to allocate 4096 bytes";
        assert_eq!(
            without_numbers(text),
            "GLib-ERROR **: failed to allocate bytes"
        );
    }
}
