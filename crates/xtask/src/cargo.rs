//! Cargo, run at the top of the workspace.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::Outcome;

/// A cargo command at the top of the workspace, with nothing to read from.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(arguments)
        .current_dir(workspace())
        .stdin(Stdio::null());
    command
}

/// As [`command`], with another toolchain.
pub(crate) fn with(toolchain: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("rustup");
    command
        .args(["run", toolchain, "cargo"])
        .args(arguments)
        .current_dir(workspace())
        .stdin(Stdio::null());
    // What `cargo xtask` was started with would decide over `rustup`.
    for variable in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
        command.env_remove(variable);
    }
    command
}

/// Shows a command and runs it; it writes to our terminal.
pub(crate) fn run(mut command: Command) -> Outcome {
    let line = words(&command).join(" ");
    println!("$ {line}");
    let status = command
        .status()
        .map_err(|error| format!("cannot run `{line}`: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("`{line}` ended with {status}").into())
    }
}

/// Says whether a command exists and works, without showing what it prints.
pub(crate) fn works(arguments: &[&str]) -> bool {
    succeeds(command(arguments))
}

/// As [`works`], with another toolchain.
pub(crate) fn works_with(toolchain: &str, arguments: &[&str]) -> bool {
    succeeds(with(toolchain, arguments))
}

fn succeeds(mut command: Command) -> bool {
    let output = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    output.is_ok_and(|status| status.success())
}

/// Runs the generator.
pub(crate) fn codegen(arguments: &[&str]) -> Outcome {
    let generate = [
        "run",
        "--quiet",
        "--locked",
        "--package",
        "virtwire-codegen",
        "--",
        "generate",
    ];
    run(command(&[&generate, arguments].concat()))
}

fn words(command: &Command) -> Vec<String> {
    let variables = command.get_envs().filter_map(|(name, value)| {
        Some(format!(
            "{}='{}'",
            name.to_string_lossy(),
            value?.to_string_lossy()
        ))
    });
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or_default();
    let arguments = std::iter::once(program).chain(command.get_args());
    variables
        .chain(arguments.map(|word| word.to_string_lossy().into_owned()))
        .collect()
}

/// The top of the workspace.
pub(crate) fn workspace() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}
