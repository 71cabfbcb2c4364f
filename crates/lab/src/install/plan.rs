//! What to tell the package manager, as a pure function of what it knows.

use std::fmt;
use std::path::Path;

use super::sources::SourceFile;
use crate::Error;

/// Programs only: `libvirt-daemon-system` would bring services and a network. The last two are on
/// every machine but the barest.
const PACKAGES: [&str; 5] = [
    "libvirt-daemon",
    "libvirt-daemon-driver-qemu",
    "libvirt-clients",
    "util-linux",
    "mount",
];
/// What has to be of one QEMU release, with the firmware that it asks for.
const QEMU: [&str; 4] = [
    "qemu-system-x86",
    "qemu-system-common",
    "qemu-system-data",
    "seabios",
];

const APT_GET: &str = "apt-get";

/// One command that an installation consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    purpose: &'static str,
    program: &'static str,
    arguments: Vec<String>,
}

impl Step {
    /// Refreshes the package lists.
    pub(crate) fn update(options: &[String]) -> Self {
        let arguments = options
            .iter()
            .cloned()
            .chain(["update".to_owned()])
            .collect();
        Self {
            purpose: "refresh the package lists",
            program: APT_GET,
            arguments,
        }
    }

    fn install(options: &[String], packages: Vec<String>) -> Self {
        let fixed = [
            "-y",
            "--no-install-recommends",
            "-o",
            "DPkg::Lock::Timeout=300",
            "install",
        ];
        let fixed = fixed.map(str::to_owned);
        let arguments = options
            .iter()
            .cloned()
            .chain(fixed)
            .chain(packages)
            .collect();
        Self {
            purpose: "install libvirt and QEMU",
            program: APT_GET,
            arguments,
        }
    }

    /// Installs what most archives of sources are packed with.
    pub(crate) fn install_xz() -> Self {
        Self {
            purpose: "install what unpacks sources",
            ..Self::install(&[], vec!["xz-utils".to_owned()])
        }
    }

    /// Installs libvirt's binding for Python, which is of the same release as the library.
    pub(crate) fn install_python_binding() -> Self {
        Self {
            purpose: "install libvirt's binding for Python",
            ..Self::install(&[], vec!["python3-libvirt".to_owned()])
        }
    }

    /// Installs what builds root file systems.
    pub(crate) fn install_mmdebstrap() -> Self {
        Self {
            purpose: "install what builds root file systems",
            ..Self::install(&[], vec!["mmdebstrap".to_owned()])
        }
    }

    /// Builds the root file system of another release.
    pub(crate) fn build_rootfs(arguments: Vec<String>) -> Self {
        Self {
            purpose: "build a root file system with another libvirt, for some minutes",
            program: "mmdebstrap",
            arguments,
        }
    }

    /// Downloads the upstream archive of a source package into the working directory.
    pub(crate) fn download_source(options: &[String], package: &str, version: &str) -> Self {
        let fixed = ["source", "--only-source", "--download-only", "--tar-only"];
        let package = format!("{package}={version}");
        let arguments = options
            .iter()
            .cloned()
            .chain(fixed.map(str::to_owned))
            .chain([package])
            .collect();
        Self {
            purpose: "download sources",
            program: APT_GET,
            arguments,
        }
    }

    /// What the command is for.
    pub fn purpose(&self) -> &str {
        self.purpose
    }

    /// What is run.
    pub fn program(&self) -> &str {
        self.program
    }

    /// The arguments of the program.
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arguments = self.arguments.join(" ");
        write!(f, "{}: {} {arguments}", self.purpose, self.program)
    }
}

/// A version of a package that can be had, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) version: String,
    pub(crate) uri: String,
    pub(crate) suite: String,
}

/// What the package manager knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// The version of qemu-utils that is installed.
    pub(crate) qemu_utils: Option<String>,
    /// The version of qemu-system-x86 that would be installed.
    pub(crate) qemu_candidate: Option<String>,
    /// Whether the former is newer than the latter.
    pub(crate) qemu_utils_is_newer: bool,
    /// All versions of qemu-system-x86.
    pub(crate) qemu_offers: Vec<Offer>,
    /// All versions of libvirt-daemon.
    pub(crate) libvirt_offers: Vec<Offer>,
    /// The files that say where packages come from.
    pub(crate) sources: Vec<SourceFile>,
}

impl Facts {
    /// Whether the lists know of the packages at all.
    pub(crate) fn is_complete(&self) -> bool {
        self.qemu_candidate.is_some() && !self.libvirt_offers.is_empty()
    }
}

/// What will be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Files for a private configuration of the package manager, which the steps refer to.
    pub(crate) private_sources: Vec<SourceFile>,
    pub(crate) steps: Vec<Step>,
}

/// Plans the installation; `scratch` is where a private configuration can be.
///
/// A qemu-utils from another suite than the default one (an image with backports, say) breaks the
/// default suite's older qemu-system packages. Then QEMU has to come from that other suite, which
/// the machine need not know any more: a private configuration adds it, from the same server.
pub(crate) fn plan(facts: &Facts, scratch: &Path) -> Result<Plan, Error> {
    let common = PACKAGES.map(str::to_owned);
    let Some(installed) = facts
        .qemu_utils
        .as_ref()
        .filter(|_| facts.qemu_utils_is_newer)
    else {
        let qemu = ["qemu-system-x86", "qemu-utils"].map(str::to_owned);
        let packages = common.into_iter().chain(qemu).collect();
        return Ok(Plan {
            private_sources: Vec::new(),
            steps: vec![Step::install(&[], packages)],
        });
    };
    let from = |suite: &str| {
        let qemu = QEMU.map(|package| format!("{package}/{suite}"));
        common.iter().cloned().chain(qemu).collect()
    };
    if let Some(offer) = facts
        .qemu_offers
        .iter()
        .find(|offer| offer.version == *installed)
    {
        let steps = vec![Step::install(&[], from(&offer.suite))];
        return Ok(Plan {
            private_sources: Vec::new(),
            steps,
        });
    }
    let Some(home) = facts
        .libvirt_offers
        .first()
        .filter(|_| installed.contains("~bpo"))
    else {
        return Err(unfit(facts, installed));
    };
    let release = home.suite.split('-').next().unwrap_or(&home.suite);
    let backports = format!("{release}-backports");
    let private_sources = SourceFile::extended(&facts.sources, &home.uri, release, &backports);
    if private_sources.is_empty() {
        return Err(unfit(facts, installed));
    }
    let options = private_options(scratch);
    let steps = vec![
        Step::update(&options),
        Step::install(&options, from(&backports)),
    ];
    Ok(Plan {
        private_sources,
        steps,
    })
}

/// Makes the package manager read sources and lists below `scratch` only.
pub(crate) fn private_options(scratch: &Path) -> Vec<String> {
    let scratch = scratch.display();
    [
        "Dir::Etc::SourceList=/dev/null".to_owned(),
        format!("Dir::Etc::SourceParts={scratch}/sources"),
        format!("Dir::State::Lists={scratch}/lists"),
    ]
    .into_iter()
    .flat_map(|option| ["-o".to_owned(), option])
    .collect()
}

fn unfit(facts: &Facts, installed: &str) -> Error {
    let candidate = facts.qemu_candidate.as_deref().unwrap_or("no version");
    Error::NotPackaged {
        package: "qemu-system-x86".to_owned(),
        detail: format!("qemu-utils is {installed}, the package lists have {candidate}"),
    }
}

#[cfg(test)]
mod tests;
