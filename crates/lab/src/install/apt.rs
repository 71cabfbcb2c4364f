//! Debian's package manager: asks what it knows, and runs the plan.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::plan::{Facts, Offer, Step, plan};
use super::sources::SourceFile;
use crate::error::IoContext as _;
use crate::{Error, command};

/// Installs what a lab needs.
pub(crate) fn install(report: &mut dyn FnMut(&Step)) -> Result<(), Error> {
    let mut facts = gather()?;
    let mut fresh = false;
    if !facts.is_complete() {
        run(&Step::update(&[]), report)?;
        fresh = true;
        facts = gather()?;
    }
    if !facts.is_complete() {
        let detail = "it is not in the package lists".to_owned();
        return Err(Error::NotPackaged {
            package: "libvirt-daemon or qemu-system-x86".to_owned(),
            detail,
        });
    }
    match carry_out(&facts, report) {
        // Old lists name versions that the server no longer has.
        Err(Error::Command { .. }) if !fresh => {
            run(&Step::update(&[]), report)?;
            carry_out(&gather()?, report)
        }
        result => result,
    }
}

fn carry_out(facts: &Facts, report: &mut dyn FnMut(&Step)) -> Result<(), Error> {
    let scratch = scratch()?;
    let plan = plan(facts, scratch.path())?;
    furnish(scratch.path(), &plan.private_sources)?;
    plan.steps.iter().try_for_each(|step| run(step, report))
}

/// A directory for a private configuration.
pub(crate) fn scratch() -> Result<TempDir, Error> {
    let scratch = tempfile::Builder::new().prefix("vw-apt-").tempdir();
    scratch.doing("create a directory in", &std::env::temp_dir())
}

/// Makes a private configuration with these sources.
pub(crate) fn furnish(scratch: &Path, files: &[SourceFile]) -> Result<(), Error> {
    let sources = scratch.join("sources");
    for directory in [&sources, &scratch.join("lists/partial")] {
        fs::create_dir_all(directory).doing("create", directory)?;
    }
    // The package manager reads the lists as its own user.
    open_up(scratch)?;
    for file in files {
        let path = sources.join(&file.name);
        fs::write(&path, &file.text).doing("write", &path)?;
    }
    Ok(())
}

fn open_up(directory: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).doing("open", directory)
}

pub(crate) fn run(step: &Step, report: &mut dyn FnMut(&Step)) -> Result<(), Error> {
    run_in(Path::new("."), step, report)
}

/// Runs it once more with new package lists if it fails: there may be none, or old ones.
pub(crate) fn run_or_refresh(step: &Step, report: &mut dyn FnMut(&Step)) -> Result<(), Error> {
    run(step, report).or_else(|_| {
        run(&Step::update(&[]), report)?;
        run(step, report)
    })
}

pub(crate) fn run_in(
    directory: &Path,
    step: &Step,
    report: &mut dyn FnMut(&Step),
) -> Result<(), Error> {
    report(step);
    let mut command = Command::new(step.program());
    command
        .current_dir(directory)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(step.arguments());
    command::run(&mut command).map(drop)
}

fn gather() -> Result<Facts, Error> {
    let qemu_utils = installed("qemu-utils")?;
    let qemu_candidate = candidate("qemu-system-x86")?;
    let qemu_utils_is_newer = match (&qemu_utils, &qemu_candidate) {
        (Some(installed), Some(candidate)) => {
            let arguments = ["--compare-versions", installed, "gt", candidate];
            command::output(Command::new("dpkg").args(arguments))?
                .status
                .success()
        }
        _ => false,
    };
    Ok(Facts {
        qemu_utils,
        qemu_candidate,
        qemu_utils_is_newer,
        qemu_offers: offers(&[], "qemu-system-x86")?,
        libvirt_offers: offers(&[], "libvirt-daemon")?,
        sources: system_sources(),
    })
}

fn installed(package: &str) -> Result<Option<String>, Error> {
    let format = "--showformat=${db:Status-Status} ${Version}";
    // It fails for a package that it never heard of.
    let output = command::output(Command::new("dpkg-query").args(["--show", format, package]))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text
        .strip_prefix("installed ")
        .map(|version| version.trim().to_owned()))
}

fn candidate(package: &str) -> Result<Option<String>, Error> {
    let text = command::run(Command::new("apt-cache").args(["policy", package]))?;
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate: "));
    Ok(line
        .filter(|version| *version != "(none)")
        .map(str::to_owned))
}

/// All versions of a package; of a source package too, if the lists have any.
pub(crate) fn offers(options: &[String], package: &str) -> Result<Vec<Offer>, Error> {
    let mut apt_cache = Command::new("apt-cache");
    apt_cache.args(options).args(["madison", package]);
    let text = command::run(&mut apt_cache)?;
    Ok(text.lines().filter_map(offer).collect())
}

/// One line: `package | version | URI suite/component architecture Packages`.
fn offer(line: &str) -> Option<Offer> {
    let mut columns = line.split('|').map(str::trim);
    let version = columns.nth(1)?;
    let mut origin = columns.next()?.split_whitespace();
    let uri = origin.next()?;
    let suite = origin.next()?.split('/').next()?;
    Some(Offer {
        version: version.to_owned(),
        uri: uri.to_owned(),
        suite: suite.to_owned(),
    })
}

/// The files that say where packages come from.
pub(crate) fn system_sources() -> Vec<SourceFile> {
    let parts = fs::read_dir("/etc/apt/sources.list.d")
        .into_iter()
        .flatten();
    let parts = parts.filter_map(|entry| Some(entry.ok()?.path()));
    let paths = [Path::new("/etc/apt/sources.list").to_owned()]
        .into_iter()
        .chain(parts);
    let is_source = |path: &Path| {
        path.extension()
            .is_some_and(|extension| extension == "list" || extension == "sources")
    };
    paths
        .filter(|path| is_source(path))
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.to_owned();
            Some(SourceFile {
                name,
                text: fs::read_to_string(&path).ok()?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::offer;

    #[test]
    fn an_offer_is_read_from_its_line() {
        let line = "libvirt-daemon | 9.0.0-4+deb12u2 | http://mirror.example/debian bookworm/main amd64 Packages";
        let offer = offer(line).unwrap();
        assert_eq!(offer.version, "9.0.0-4+deb12u2");
        assert_eq!(offer.uri, "http://mirror.example/debian");
        assert_eq!(offer.suite, "bookworm");
        assert!(super::offer("N: Unable to locate package").is_none());
    }
}
