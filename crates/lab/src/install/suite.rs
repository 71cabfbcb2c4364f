//! Other releases of Debian, each as a root file system with a libvirt and a QEMU of its own.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use super::plan::Step;
use super::{Policy, apt, lock, look_up};
use crate::daemon::{Rootfs, cache_home};
use crate::error::IoContext as _;
use crate::{Error, command};

/// What a root file system has beside the barest system.
const PACKAGES: [&str; 6] = [
    "libvirt-daemon",
    "libvirt-daemon-system",
    "libvirt-daemon-driver-qemu",
    "libvirt-clients",
    "qemu-system-x86",
    "qemu-utils",
];

/// A release of Debian whose libvirt a lab can run beside the machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Suite {
    /// Debian 13, with libvirt 11.3.0 and QEMU 10.0.
    Trixie,
    /// What moves on: libvirt 12.8.0 and QEMU 11.1 when this was written.
    Sid,
}

impl Suite {
    /// All of them, the oldest first.
    pub const ALL: [Self; 2] = [Self::Trixie, Self::Sid];

    /// The suite of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name() == name)
    }

    /// Debian's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trixie => "trixie",
            Self::Sid => "sid",
        }
    }

    /// Finds its root file system.
    ///
    /// It is the directory that the environment variable `VIRTWIRE_LAB_ROOTFS_TRIXIE` names (or
    /// `…_SID`), and if that is not set, the one that [`ensure`](Self::ensure) has built.
    ///
    /// # Errors
    ///
    /// [`Error::NoRootfs`] when there is no libvirtd in it.
    pub fn find(self) -> Result<Rootfs, Error> {
        let path = self.given().unwrap_or_else(|| self.home());
        if path.join("usr/sbin/libvirtd").exists() {
            Ok(Rootfs::at(path))
        } else {
            Err(Error::NoRootfs {
                suite: self.name(),
                remedy: self.remedy(),
            })
        }
    }

    /// The version of libvirt's package in its root file system, such as `11.3.0-3+deb13u3`.
    pub fn libvirt_version(self) -> Option<String> {
        let root = self.find().ok()?;
        let status = fs::read_to_string(root.path().join("var/lib/dpkg/status")).ok()?;
        version_in(&status, "libvirt-daemon").map(str::to_owned)
    }

    /// Finds its root file system, or builds it if the policy allows, which takes minutes.
    ///
    /// It is kept in the lab's cache directory, has 320 MiB and is never brought up to date: who
    /// wants a newer one removes it. Packages come from where the machine's own do. The machine
    /// gets no other package than mmdebstrap, which builds it.
    ///
    /// # Errors
    ///
    /// [`Error::NoRootfs`] when there is none and it may not or cannot be built, and what
    /// mmdebstrap said when it failed.
    pub fn ensure(self, policy: Policy, report: &mut dyn FnMut(&Step)) -> Result<Rootfs, Error> {
        let found = self.find();
        let root = rustix::process::geteuid().is_root();
        let may_build = policy == Policy::Install && root && self.given().is_none();
        if found.is_ok() || !may_build || look_up("apt-get").is_none() {
            return found;
        }
        let _lock = lock(&format!("rootfs-{}", self.name()))?;
        // Somebody else may have built it while we waited.
        if self.find().is_err() {
            if look_up("mmdebstrap").is_none() {
                let _lock = lock("install")?;
                apt::run_or_refresh(&Step::install_mmdebstrap(), report)?;
            }
            self.build(report)?;
        }
        self.find()
    }

    fn build(self, report: &mut dyn FnMut(&Step)) -> Result<(), Error> {
        let home = self.home();
        let parent = home.parent().unwrap_or(&home);
        fs::create_dir_all(parent).doing("create", parent)?;
        let prefix = format!("partial-{}-", self.name());
        remove_left(parent, &prefix)?;
        // Renamed when it is complete: there is never a part of a system under its name.
        let partial = tempfile::Builder::new().prefix(&prefix).tempdir_in(parent);
        let partial = partial.doing("create a directory in", parent)?;
        // mmdebstrap makes this itself, for all users.
        let root = partial.path().join("root");
        let source = Source::of_this_machine()?;
        apt::run(&Step::build_rootfs(self.arguments(&root, &source)), report)?;
        fs::rename(&root, &home).doing("create", &home)
    }

    /// What mmdebstrap has to be told.
    fn arguments(self, root: &Path, source: &Source) -> Vec<String> {
        let recommends = "APT::Install-Recommends \"false\"".to_owned();
        // A server may have a snapshot of what changes daily, and one of last month is as good.
        let validity = "Acquire::Check-Valid-Until \"false\"".to_owned();
        let validity = Some(validity).filter(|_| self == Self::Sid);
        let options = source.options.iter().cloned();
        let options = options.chain([recommends]).chain(validity);
        let options = options.map(|option| format!("--aptopt={option}"));
        [
            "--variant=apt".to_owned(),
            format!("--include={}", PACKAGES.join(",")),
        ]
        .into_iter()
        .chain(options)
        .chain([self.name().to_owned(), root.display().to_string()])
        .chain(source.mirror.clone())
        .collect()
    }

    /// The directory that the user has named.
    fn given(self) -> Option<PathBuf> {
        env::var_os(self.variable()).map(PathBuf::from)
    }

    fn variable(self) -> String {
        format!("VIRTWIRE_LAB_ROOTFS_{}", self.name().to_uppercase())
    }

    fn home(self) -> PathBuf {
        cache_home().join("rootfs").join(self.name())
    }

    fn remedy(self) -> String {
        let variable = self.variable();
        if let Some(given) = self.given() {
            let given = given.display();
            return format!("{variable} is {given}, and there is no usr/sbin/libvirtd in that");
        }
        let words = self.arguments(&self.home(), &Source::default());
        let words = words.iter().map(|word| match word.contains(' ') {
            true => format!("'{word}'"),
            false => word.clone(),
        });
        let words = words.collect::<Vec<_>>().join(" ");
        format!("as root, run `mmdebstrap {words}`, or name the directory of one in {variable}")
    }
}

/// Where a machine's own packages come from, and what it takes to get there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Source {
    /// mmdebstrap knows one itself.
    mirror: Option<String>,
    /// mmdebstrap does not read the machine's configuration.
    options: Vec<String>,
}

impl Source {
    fn of_this_machine() -> Result<Self, Error> {
        let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
        // The servers of its descendants do not have Debian itself.
        let mirror = if system.lines().any(|line| line == "ID=debian") {
            let offers = apt::offers(&[], "libvirt-daemon")?;
            // Others, such as `bookworm-security`, may be at places where nothing else is.
            let mut whole = offers.into_iter().filter(|it| !it.suite.contains('-'));
            whole.next().map(|offer| offer.uri)
        } else {
            None
        };
        let mut dump = std::process::Command::new("apt-config");
        let dump = command::run(dump.args(["dump", "Acquire"]))?;
        let options = options_of_the_way(&dump);
        Ok(Self { mirror, options })
    }
}

/// Removes what was begun by somebody who was killed.
fn remove_left(parent: &Path, prefix: &str) -> Result<(), Error> {
    for entry in fs::read_dir(parent).doing("list", parent)? {
        let path = entry.doing("list", parent)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.starts_with(prefix)) {
            fs::remove_dir_all(&path).doing("remove", &path)?;
        }
    }
    Ok(())
}

/// The version of a package, by the list of those that are installed.
fn version_in<'a>(status: &'a str, package: &str) -> Option<&'a str> {
    let mut paragraphs = status.split("\n\n").map(str::lines);
    let mut lines = paragraphs.find_map(|mut lines| {
        let name = lines.next()?.strip_prefix("Package: ")?;
        (name == package).then_some(lines)
    })?;
    lines.find_map(|line| line.strip_prefix("Version: "))
}

/// Of all that is configured, proxies, and what a server's clock may say.
fn options_of_the_way(dump: &str) -> Vec<String> {
    let ways = ["Acquire::http", "Acquire::https", "Acquire::Check-"];
    let lines = dump.lines().map(|line| line.trim_end_matches(';'));
    lines
        .filter(|line| ways.iter().any(|way| line.starts_with(way)) && !line.ends_with(" \"\""))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Source, Suite, options_of_the_way, version_in};

    #[test]
    fn a_suite_is_known_by_its_name() {
        assert_eq!(Suite::named("sid"), Some(Suite::Sid));
        assert_eq!(Suite::named("Sid"), None);
        assert!(
            Suite::ALL
                .iter()
                .all(|it| Suite::named(it.name()) == Some(*it))
        );
    }

    #[test]
    fn a_root_file_system_comes_from_where_the_machine_comes_from() {
        let source = Source {
            mirror: Some("http://mirror.example/debian".to_owned()),
            options: vec!["Acquire::http::Proxy \"http://proxy.example\"".to_owned()],
        };
        let words = Suite::Trixie.arguments(Path::new("/root"), &source);
        let packages = "libvirt-daemon,libvirt-daemon-system,libvirt-daemon-driver-qemu,\
                        libvirt-clients,qemu-system-x86,qemu-utils";
        let expected = [
            "--variant=apt",
            &format!("--include={packages}"),
            "--aptopt=Acquire::http::Proxy \"http://proxy.example\"",
            "--aptopt=APT::Install-Recommends \"false\"",
            "trixie",
            "/root",
            "http://mirror.example/debian",
        ];
        assert_eq!(words, expected);
    }

    #[test]
    fn only_sid_may_be_old() {
        let words = |suite: Suite| suite.arguments(Path::new("/root"), &Source::default());
        let old = "--aptopt=Acquire::Check-Valid-Until \"false\"".to_owned();
        assert!(words(Suite::Sid).contains(&old));
        assert!(!words(Suite::Trixie).contains(&old));
    }

    #[test]
    fn the_way_is_told_from_the_rest_of_a_configuration() {
        let dump = "Acquire \"\";\nAcquire::http \"\";\nAcquire::Languages:: \"none\";\n\
                    Acquire::http::Proxy \"http://proxy.example:3142\";\n\
                    Acquire::Check-Date \"false\";\n";
        let way = [
            "Acquire::http::Proxy \"http://proxy.example:3142\"",
            "Acquire::Check-Date \"false\"",
        ];
        assert_eq!(options_of_the_way(dump), way);
    }

    #[test]
    fn a_version_is_that_of_the_package_and_of_no_other() {
        let status = "Package: libvirt-daemon-log\nVersion: 1\n\nPackage: libvirt-daemon\n\
                      Status: install ok installed\nVersion: 11.3.0-3\n";
        assert_eq!(version_in(status, "libvirt-daemon"), Some("11.3.0-3"));
        assert_eq!(version_in(status, "libvirt"), None);
    }
}
