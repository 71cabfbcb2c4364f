//! `virtwire-fuzz-live`: fuzzes a libvirtd that it starts itself, in a cage. No option names
//! another.
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use virtwire_fuzz_live::campaign::{self, Options, replay};
use virtwire_fuzz_live::reproducer::Reproducer;
use virtwire_lab::{CagedDaemon, Driver};

type Outcome = Result<ExitCode, Box<dyn std::error::Error>>;

const USAGE: &str = "\
usage: virtwire-fuzz-live [--seconds N] [--seed S] [--driver test|qemu] [--out DIR] [--replay FILE]

  --seconds N     make calls for so long (60)
  --seed S        make the same decisions again
  --driver D      the hypervisor driver: libvirt's in-memory one, or real guests (test)
  --out DIR       where reproducers are written to (target/fuzz-live)
  --replay FILE   do what a reproducer says, once, and say what happens

Ends with 0 when nothing was found, 1 when something was, and 2 when it could not run.
";

/// What was found is not why it could not run.
const FOUND: u8 = 1;
const FAILED: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let Some(command) = Command::parse(&words) else {
        eprint!("{USAGE}");
        return ExitCode::from(FAILED);
    };
    match command.run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(FAILED)
        }
    }
}

struct Command {
    seconds: u64,
    seed: Option<u64>,
    driver: Driver,
    out: PathBuf,
    replay: Option<PathBuf>,
}

impl Command {
    fn parse(mut words: &[&str]) -> Option<Self> {
        let mut command = Self {
            seconds: 60,
            seed: None,
            driver: Driver::Test,
            out: PathBuf::from("target/fuzz-live"),
            replay: None,
        };
        while let [name, value, rest @ ..] = words {
            match *name {
                "--seconds" => command.seconds = value.parse().ok()?,
                "--seed" => command.seed = Some(value.parse().ok()?),
                "--driver" => command.driver = driver(value)?,
                "--out" => command.out = value.into(),
                "--replay" => command.replay = Some(value.into()),
                _ => return None,
            }
            words = rest;
        }
        words.is_empty().then_some(command)
    }

    fn run(self) -> Outcome {
        match &self.replay {
            Some(file) => self.replay(file),
            None => self.fuzz(),
        }
    }

    fn fuzz(self) -> Outcome {
        let seed = self.seed.unwrap_or_else(|| {
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            since.map_or(1, |since| since.as_secs())
        });
        let time = Duration::from_secs(self.seconds);
        let mut options = Options::new(self.driver, time, seed);
        options.out = self.out;
        println!("== fuzzing a caged libvirtd for {time:?} with seed {seed}");
        let daemon = CagedDaemon::start()?;
        let summary = campaign::run(&options, daemon, &mut |line| println!("{line}"))?;
        print!("{summary}");
        Ok(if summary.findings.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(FOUND)
        })
    }

    fn replay(&self, file: &std::path::Path) -> Outcome {
        let reproducer = Reproducer::read(file)?;
        let driver = reproducer.driver().ok_or("the file is for no driver")?;
        let patience = Options::new(driver, Duration::ZERO, 0).patience;
        println!(
            "== doing {} steps on a caged libvirtd",
            reproducer.steps.len()
        );
        let daemon = CagedDaemon::start()?;
        let (steps, signature) = (&reproducer.steps, &reproducer.signature);
        match replay(daemon, driver, patience, steps, signature) {
            Some(finding) => {
                println!("{finding}\n{}", finding.detail);
                Ok(ExitCode::from(FOUND))
            }
            None => {
                println!(
                    "nothing happened; it was {}: {}",
                    reproducer.kind, reproducer.signature
                );
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

fn driver(word: &str) -> Option<Driver> {
    match word {
        "test" => Some(Driver::Test),
        "qemu" => Some(Driver::Qemu),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Command;

    #[test]
    fn no_option_names_a_socket() {
        for name in ["--socket", "--uri", "--connect", "-c", "--host"] {
            assert!(Command::parse(&[name, "/run/libvirt/libvirt-sock"]).is_none());
        }
        assert!(Command::parse(&["--driver", "qemu+unix:///system"]).is_none());
        assert!(Command::parse(&["qemu:///system"]).is_none());
    }

    #[test]
    fn options_are_read() {
        let words = [
            "--seconds",
            "5",
            "--seed",
            "9",
            "--driver",
            "qemu",
            "--out",
            "x",
        ];
        let command = Command::parse(&words).unwrap();
        assert_eq!((command.seconds, command.seed), (5, Some(9)));
        assert_eq!(command.driver, virtwire_lab::Driver::Qemu);
        assert!(Command::parse(&["--seconds"]).is_none());
    }
}
