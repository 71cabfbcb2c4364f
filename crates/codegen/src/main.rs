//! The command around the library: reads files, writes files.

mod command;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut log = std::io::stderr().lock();
    match command::run(&arguments, &mut log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when even this fails.
            let _ = std::io::Write::write_fmt(&mut log, format_args!("{error}\n"));
            ExitCode::FAILURE
        }
    }
}
