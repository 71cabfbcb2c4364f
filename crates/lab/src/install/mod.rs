//! The programs that a lab needs: found, or installed from the distribution.

mod apt;
mod plan;
mod python;
mod source_package;
mod sources;
mod suite;

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::Error;
use crate::daemon::cache_home;
use crate::error::IoContext as _;

pub use self::plan::Step;
pub use self::python::PythonBinding;
pub use self::source_package::SourcePackage;
pub use self::suite::Suite;

/// Where distributions put what the lab needs; `sbin` is not on every user's path.
const DIRECTORIES: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];
/// libvirtd's loadable drivers, below a library directory or that of an architecture.
const QEMU_DRIVER: &str = "libvirt/connection-driver/libvirt_driver_qemu.so";

/// What to do when something is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// Get it from the distribution.
    Install,
    /// Fail and say what is missing.
    NoInstall,
}

/// One thing that a lab needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Component {
    /// The daemon.
    Libvirtd,
    /// The daemon's QEMU driver.
    QemuDriver,
    /// The command that tests use as a witness.
    Virsh,
    /// The emulator.
    Qemu,
    /// The image tool.
    QemuImg,
    /// `unshare`, `nsenter` and `setpriv`.
    UtilLinux,
    /// `mount`.
    Mount,
    /// libvirt's binding for Python, which only tests need.
    PythonBinding,
}

impl Component {
    /// All that a lab needs.
    const ALL: [Self; 7] = [
        Self::Libvirtd,
        Self::QemuDriver,
        Self::Virsh,
        Self::Qemu,
        Self::QemuImg,
        Self::UtilLinux,
        Self::Mount,
    ];

    /// The package of Debian and its descendants.
    fn package(self) -> &'static str {
        match self {
            Self::Libvirtd => "libvirt-daemon",
            Self::QemuDriver => "libvirt-daemon-driver-qemu",
            Self::Virsh => "libvirt-clients",
            Self::Qemu => "qemu-system-x86",
            Self::QemuImg => "qemu-utils",
            Self::UtilLinux => "util-linux",
            Self::Mount => "mount",
            Self::PythonBinding => "python3-libvirt",
        }
    }

    fn is_there(self) -> bool {
        let all = |programs: &[&str]| programs.iter().all(|program| look_up(program).is_some());
        match self {
            Self::Libvirtd => all(&["libvirtd"]),
            Self::QemuDriver => has_qemu_driver(),
            Self::Virsh => all(&["virsh"]),
            Self::Qemu => all(&[QEMU]),
            Self::QemuImg => all(&["qemu-img"]),
            Self::UtilLinux => all(&["unshare", "nsenter", "setpriv"]),
            Self::Mount => all(&["mount"]),
            Self::PythonBinding => PythonBinding::find().is_ok(),
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Libvirtd => "libvirtd",
            Self::QemuDriver => "libvirtd's QEMU driver",
            Self::Virsh => "virsh",
            Self::Qemu => QEMU,
            Self::QemuImg => "qemu-img",
            Self::UtilLinux => "util-linux",
            Self::Mount => "mount",
            Self::PythonBinding => "libvirt's binding for Python",
        })
    }
}

/// The emulator that the lab's guests run on.
pub(crate) const QEMU: &str = "qemu-system-x86_64";

/// What a machine lacks, and how to get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    components: Vec<Component>,
}

impl Missing {
    /// What is not there.
    pub fn components(&self) -> &[Component] {
        &self.components
    }

    /// The command that brings it, where there is a known one.
    pub fn remedy(&self) -> Option<String> {
        look_up("apt-get")?;
        let packages: Vec<_> = self
            .components
            .iter()
            .map(|component| component.package())
            .collect();
        Some(format!(
            "apt-get install --no-install-recommends {}",
            packages.join(" ")
        ))
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.components.iter().map(ToString::to_string).collect();
        write!(f, "not on this machine: {}; ", names.join(", "))?;
        match self.remedy() {
            Some(command) => write!(f, "as root, run `{command}`"),
            None => f.write_str("there is no apt-get, so install them with your package manager"),
        }
    }
}

/// The programs of a machine that has all that a lab needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    virsh: PathBuf,
}

impl Installation {
    /// Finds the programs.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] names all that are not there.
    pub fn find() -> Result<Self, Error> {
        let components: Vec<_> = Component::ALL
            .into_iter()
            .filter(|component| !component.is_there())
            .collect();
        match look_up("virsh") {
            Some(virsh) if components.is_empty() => Ok(Self { virsh }),
            _ => Err(Error::Missing(Missing { components })),
        }
    }

    /// Finds the programs, or installs them from the distribution if the policy allows.
    ///
    /// Only programs are installed: no service, no network, no user. Each step is reported before
    /// it is taken.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] when something is missing and may not or cannot be installed, and what
    /// the package manager said when it failed.
    pub fn ensure(policy: Policy, report: &mut dyn FnMut(&Step)) -> Result<Self, Error> {
        let missing = match Self::find() {
            Err(Error::Missing(missing)) => missing,
            other => return other,
        };
        let root = rustix::process::geteuid().is_root();
        if policy == Policy::NoInstall || !root || look_up("apt-get").is_none() {
            return Err(Error::Missing(missing));
        }
        let _lock = lock("install")?;
        // Somebody else may have installed while we waited.
        if let Ok(found) = Self::find() {
            return Ok(found);
        }
        apt::install(report)?;
        Self::find()
    }

    /// The path of virsh.
    pub fn virsh(&self) -> &Path {
        &self.virsh
    }
}

/// Keeps a second process from doing the same at the same time.
fn lock(what: &str) -> Result<File, Error> {
    let parent = cache_home();
    fs::create_dir_all(&parent).doing("create", &parent)?;
    let path = parent.join(format!("{what}.lock"));
    let file = File::create(&path).doing("create", &path)?;
    flock(&file, FlockOperation::LockExclusive)
        .map_err(Into::into)
        .doing("lock", &path)?;
    Ok(file)
}

fn look_up(program: &str) -> Option<PathBuf> {
    let candidates = DIRECTORIES
        .iter()
        .map(|directory| Path::new(directory).join(program));
    candidates.into_iter().find(|path| path.is_file())
}

fn has_qemu_driver() -> bool {
    let libraries = ["/usr/lib", "/usr/lib64"].map(Path::new);
    let architectures = libraries
        .iter()
        .filter_map(|library| fs::read_dir(library).ok())
        .flatten();
    let nested = architectures.filter_map(|entry| Some(entry.ok()?.path()));
    libraries
        .into_iter()
        .map(Path::to_owned)
        .chain(nested)
        .any(|path| path.join(QEMU_DRIVER).exists())
}
