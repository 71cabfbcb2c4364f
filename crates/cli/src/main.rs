//! The `virtwire` command: virsh's words, JSON output, any procedure by name.

mod args;
mod commands;
mod escape;
mod failure;
mod interrupt;
mod output;
mod state;
mod time;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Arguments;
use crate::failure::Failure;
use crate::output::Output;

fn main() -> ExitCode {
    let arguments = Arguments::parse_from(args::in_place(std::env::args_os().collect()));
    let output = Output::new(arguments.json, arguments.quiet);
    match run(&arguments, output) {
        Ok(code) => code,
        Err(failure) => output.failure(&failure),
    }
}

fn run(arguments: &Arguments, output: Output) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io("cannot start", error))?;
    let report = runtime.block_on(commands::run(arguments, output))?;
    output.report(&report)
}
