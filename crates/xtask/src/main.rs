//! The project's own commands, as `cargo xtask COMMAND`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this program talks to a person at a terminal"
)]

mod cargo;
mod chaos;
mod ci;
mod demo;
mod fuzz;
mod fuzz_live;
mod lab;
mod miri;
mod msrv;
mod release;

use std::error::Error;
use std::process::ExitCode;

use virtwire_lab::Policy;

use self::release::Release;

const USAGE: &str = "\
usage: cargo xtask COMMAND [--no-install] [ARGUMENTS]

  demo      run a block pull on a real guest, from nothing; with --simulated, and where no
            libvirtd can be had, on the simulated daemon
  test      run all tests, those on real daemons included; ARGUMENTS go to `cargo test`.
            With --release trixie|sid|all first, run those on real daemons alone, with the
            libvirt of that release of Debian, or of the machine and both
  chaos     run block jobs on real guests with everything going wrong that can, and print what
            came of it; [--release trixie|sid|all] first, then [--rounds N] [--seed S] [--disks N]
            [--lanes N] [--minutes N] [--only WORDS]… [--keep DIR]
            [--keep-every]
  ci        run everything that has to pass before a change is accepted
  fuzz      run the fuzz targets, or --record their seeds anew;
            [--seconds N] [--sanitizer none|address] [TARGET…]
  miri      run the tests of codec and sessions under Miri
  msrv      check that the published crates build with the oldest Rust that they promise
  fuzz-live fuzz a private, caged libvirtd; [--seconds N] [--seed S] [--driver test|qemu]
            [--out DIR] [--replay FILE]
  codegen   write the generated code anew from protocol/; ARGUMENTS go to the generator

libvirtd, virsh, QEMU and qemu-img are installed from the distribution when they are missing,
after saying so, and for the tests libvirt's binding for Python; with --no-install that is an error
instead, but for the demo. The tests also read the sources of libvirt 9.0.0, which are fetched from
the distribution into a cache; with --no-install, or where there are none, the one test that wants
them says that it did not run. Another release's libvirt is installed into a root file system of its
own in the lab's cache, beside the machine's; VIRTWIRE_LAB_ROOTFS_TRIXIE can name one that is there.
";

/// How a command ends.
type Outcome = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let policy = take_policy(&mut arguments);
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["demo"] => demo::run(demo::Wanted::Real(policy)),
        ["demo", "--simulated"] => demo::run(demo::Wanted::Simulated),
        ["test", rest @ ..] => test(policy, rest),
        ["ci"] => ci::run(policy),
        ["chaos", rest @ ..] => chaos::run(policy, rest),
        ["fuzz", rest @ ..] => fuzz::Options::parse(rest)
            .map_err(Into::into)
            .and_then(|options| fuzz::run(&options, policy)),
        ["fuzz-live", rest @ ..] => fuzz_live::run(policy, rest),
        ["miri"] => miri::run(policy),
        ["msrv"] => msrv::run(policy),
        ["codegen", rest @ ..] => cargo::codegen(rest),
        ["help" | "-h" | "--help"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("  because: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

/// `--release` without the name of one is cargo's.
fn test(policy: Policy, arguments: &[&str]) -> Outcome {
    if let ["--release", name, rest @ ..] = arguments {
        if let Some(releases) = Release::parse(name) {
            return release::test(policy, &releases, rest);
        }
    }
    ci::test(policy, arguments)
}

/// Takes `--no-install` out of the arguments, wherever it stands.
fn take_policy(arguments: &mut Vec<String>) -> Policy {
    let before = arguments.len();
    arguments.retain(|argument| argument != "--no-install");
    if arguments.len() < before {
        Policy::NoInstall
    } else {
        Policy::Install
    }
}
