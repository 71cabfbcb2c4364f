//! Fuzzing: all targets of `fuzz/`, built once and run for some seconds each.

mod record;
mod report;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

use virtwire_lab::Policy;

use crate::{Outcome, cargo};
use report::Report;

/// The release of cargo-fuzz that is installed when there is none.
const CARGO_FUZZ: &str = "0.13.2";

/// How long a target runs unless said otherwise; long enough for its seeds and a million more.
const SECONDS: u64 = 60;

/// What a process may hold. libFuzzer and the program itself take about 50 MiB of it, with a
/// sanitizer 300.
const RSS_LIMIT: &str = "-rss_limit_mb=512";

/// What one allocation may take, so that one made by an announced length shows. libFuzzer sees
/// allocations with a sanitizer only; the targets bound the sum of them in any case.
const MALLOC_LIMIT: &str = "-malloc_limit_mb=64";

/// No input takes more than milliseconds.
const TIMEOUT: &str = "-timeout=10";

/// What the words after `cargo xtask fuzz` ask for.
#[derive(Debug)]
pub(crate) struct Options {
    work: Work,
    seconds: u64,
    sanitizer: Sanitizer,
    /// All when empty.
    targets: Vec<String>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Fuzz,
    /// Record the seeds anew.
    Record,
}

/// What looks over the shoulder of compiled code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sanitizer {
    /// Nothing: seven times as fast, and needs no compiler option that is not stable. Our crates
    /// forbid unsafe code, so this is the default.
    None,
    /// Finds misuse of memory in what we depend on, leaks, and large allocations.
    Address,
}

impl Options {
    /// Reads `[--record] [--seconds N] [--sanitizer none|address] [TARGET…]`.
    pub(crate) fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options = Self::for_seconds(SECONDS);
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            match word {
                "--record" => options.work = Work::Record,
                "--seconds" => {
                    let number = words.next().and_then(|word| word.parse().ok());
                    options.seconds = number.ok_or("--seconds wants a number")?;
                }
                "--sanitizer" => {
                    options.sanitizer = match words.next() {
                        Some(&"none") => Sanitizer::None,
                        Some(&"address") => Sanitizer::Address,
                        _ => return Err("--sanitizer wants `none` or `address`".to_owned()),
                    };
                }
                word if word.starts_with('-') => return Err(format!("no option {word}")),
                target => options.targets.push(target.to_owned()),
            }
        }
        Ok(options)
    }

    /// All targets, for so long each.
    pub(crate) fn for_seconds(seconds: u64) -> Self {
        Self {
            work: Work::Fuzz,
            seconds,
            sanitizer: Sanitizer::None,
            targets: Vec::new(),
        }
    }
}

impl Sanitizer {
    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Address => "address",
        }
    }
}

/// Builds the targets and runs them; fails with what was found.
pub(crate) fn run(options: &Options, policy: Policy) -> Outcome {
    if options.work == Work::Record {
        return record::run(policy);
    }
    let targets = chosen(&options.targets)?;
    ensure(policy).map_err(|error| format!("fuzzing did NOT run: {error}"))?;
    let programs = build(options.sanitizer)?;
    println!(
        "running {} targets for {} s each",
        targets.len(),
        options.seconds
    );
    let mut reports = run_all(&targets, &programs, options)?;
    reports.sort_by(|a, b| a.target.cmp(&b.target));
    print!("{}", report::table(&reports));
    let found: Vec<_> = reports.iter().filter_map(Report::failure).collect();
    if found.is_empty() {
        return Ok(());
    }
    let with = match options.sanitizer {
        Sanitizer::None => "cargo fuzz run --sanitizer none",
        Sanitizer::Address => "RUSTC_BOOTSTRAP=1 cargo fuzz run",
    };
    let found: Vec<_> = found.iter().map(|found| found.to_text(with)).collect();
    Err(format!("fuzzing found something\n\n{}", found.join("\n\n")).into())
}

/// Checks the fuzzers themselves: format, lints, that every seed holds, and that the live fuzzer
/// finds the defects that are planted in a daemon for it.
pub(crate) fn check() -> Outcome {
    // With `--all`, rustfmt would go through all crates that the targets use.
    let fmt = [
        "fmt",
        "--package",
        "virtwire-fuzz",
        "--package",
        "virtwire-fuzz-live",
        "--check",
    ];
    let clippy = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ];
    let test = [
        "test",
        "--workspace",
        "--locked",
        "--lib",
        "--examples",
        "--test",
        "planted",
    ];
    for arguments in [fmt.as_slice(), &clippy, &test] {
        let mut command = cargo::command(arguments);
        command.current_dir(folder());
        cargo::run(command)?;
    }
    Ok(())
}

/// Whether fuzzing can run here; installs what it needs, where that is allowed.
pub(crate) fn ensure(policy: Policy) -> Result<(), String> {
    if cargo::works(&["fuzz", "--version"]) {
        return Ok(());
    }
    if policy == Policy::NoInstall {
        return Err("cargo-fuzz is missing, and --no-install forbids to install it".to_owned());
    }
    println!("cargo-fuzz is missing; {CARGO_FUZZ} is installed");
    let install = ["install", "--locked", "--version", CARGO_FUZZ, "cargo-fuzz"];
    cargo::run(cargo::command(&install)).map_err(|error| error.to_string())
}

/// The names of all targets, or those of the ones that are wanted.
fn chosen(wanted: &[String]) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder().join("fuzz_targets"))? {
        let path = entry?.path();
        all.extend(
            path.file_stem()
                .map(|stem| stem.to_string_lossy().into_owned()),
        );
    }
    all.sort();
    if let Some(unknown) = wanted.iter().find(|name| !all.contains(name)) {
        return Err(format!("there is no target {unknown}, but {}", all.join(", ")).into());
    }
    if !wanted.is_empty() {
        all.retain(|name| wanted.contains(name));
    }
    Ok(all)
}

/// Builds all targets at once; says where they are.
fn build(sanitizer: Sanitizer) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let host = host()?;
    let target_dir = target_dir().display().to_string();
    let mut build = cargo::command(&[
        "fuzz",
        "build",
        "--target-dir",
        &target_dir,
        "--target",
        &host,
        "--sanitizer",
        sanitizer.name(),
    ]);
    if sanitizer != Sanitizer::None {
        // Sanitizers are not stable yet, and work all the same.
        build.env("RUSTC_BOOTSTRAP", "1");
    }
    cargo::run(build)?;
    Ok(Path::new(&target_dir).join(host).join("release"))
}

/// The triple of this machine.
fn host() -> Result<String, Box<dyn std::error::Error>> {
    let output = Command::new("rustc").arg("-vV").output()?;
    let output = String::from_utf8_lossy(&output.stdout);
    let host = output.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.ok_or("rustc does not name its host")?.to_owned())
}

/// Runs the targets, two at a time.
fn run_all(targets: &[String], programs: &Path, options: &Options) -> std::io::Result<Vec<Report>> {
    let waiting: Mutex<VecDeque<&String>> = Mutex::new(targets.iter().collect());
    let next = || waiting.lock().ok()?.pop_front();
    let work = || {
        let mut reports = Vec::new();
        while let Some(target) = next() {
            reports.push(run_one(target, programs, options)?);
        }
        Ok(reports)
    };
    thread::scope(|scope| {
        let workers = [scope.spawn(work), scope.spawn(work)];
        let mut reports = Vec::new();
        for worker in workers {
            let died = |_| Err(std::io::Error::other("a target could not be watched"));
            reports.extend(worker.join().unwrap_or_else(died)?);
        }
        Ok(reports)
    })
}

/// Runs one target, starting from its seeds; new inputs go to the target directory.
fn run_one(target: &str, programs: &Path, options: &Options) -> std::io::Result<Report> {
    let learnt = target_dir().join("corpus").join(target);
    let artifacts = folder().join("artifacts").join(target);
    let log = target_dir().join("logs").join(format!("{target}.log"));
    for directory in [&learnt, &artifacts, &target_dir().join("logs")] {
        fs::create_dir_all(directory)?;
    }
    let mut command = Command::new(programs.join(target));
    command
        .arg(&learnt)
        .args(existing(folder().join("corpus").join(target)))
        .arg(format!("-max_total_time={}", options.seconds))
        .args([RSS_LIMIT, MALLOC_LIMIT, TIMEOUT, "-print_final_stats=1"])
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(dictionary(target))
        .env("RUST_BACKTRACE", "1")
        // As cargo-fuzz does: every crate of Rust has its own copy of the sanitizer's globals.
        .env("ASAN_OPTIONS", "detect_odr_violation=0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log)?);
    let status = command.status()?;
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let report = Report::read(target, &text, status, &log);
    println!("  {report}");
    Ok(report)
}

fn dictionary(target: &str) -> Option<String> {
    let path = folder().join("dictionaries").join(format!("{target}.dict"));
    existing(path).map(|path| format!("-dict={}", path.display()))
}

fn existing(path: PathBuf) -> Option<PathBuf> {
    Some(path).filter(|path| path.exists())
}

/// Where the targets are.
fn folder() -> PathBuf {
    cargo::workspace().join("fuzz")
}

/// Where they are built.
fn target_dir() -> PathBuf {
    let given = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    given.unwrap_or_else(|| folder().join("target"))
}
