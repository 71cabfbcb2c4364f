//! Sources of the distribution, for tests that read them.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::plan::{Offer, Step, private_options};
use super::sources::SourceFile;
use super::{Policy, apt, lock, look_up};
use crate::daemon::cache_home;
use crate::error::IoContext as _;
use crate::{Error, command};

/// The sources of one release, from the distribution's source package, kept in the lab's cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourcePackage {
    name: &'static str,
    release: &'static str,
    /// What is unpacked of it.
    parts: &'static [&'static str],
}

impl SourcePackage {
    /// What describes the protocol of libvirt 9.0.0.
    pub const LIBVIRT_9_0_0: Self = Self {
        name: "libvirt",
        release: "9.0.0",
        parts: &[
            "meson.build",
            "include",
            "src/admin",
            "src/remote",
            "src/rpc",
        ],
    };

    /// The source tree, if it was fetched before.
    pub fn find(&self) -> Option<PathBuf> {
        Some(self.tree()).filter(|tree| tree.is_dir())
    }

    /// The source tree; fetches it if the policy allows, and is none if not.
    ///
    /// The distribution's servers are those that the machine gets its packages from. Nothing is
    /// installed, unless there is no xz, and the machine's package lists stay as they are.
    ///
    /// # Errors
    ///
    /// [`Error::NotPackaged`] when the distribution has another release, and what the package
    /// manager said when it failed.
    pub fn ensure(
        &self,
        policy: Policy,
        report: &mut dyn FnMut(&Step),
    ) -> Result<Option<PathBuf>, Error> {
        if self.find().is_some() || policy == Policy::NoInstall {
            return Ok(self.find());
        }
        if look_up("apt-get").is_none() {
            return Err(self.unfit("there is no apt-get to ask"));
        }
        let _lock = lock("install")?;
        // Somebody else may have fetched it while we waited.
        if self.find().is_none() {
            self.fetch(report)?;
        }
        Ok(self.find())
    }

    fn tree(&self) -> PathBuf {
        self.home().join(self.stem())
    }

    fn home(&self) -> PathBuf {
        cache_home().join("sources")
    }

    /// What the release's archive has everything below.
    fn stem(&self) -> String {
        format!("{}-{}", self.name, self.release)
    }

    fn fetch(&self, report: &mut dyn FnMut(&Step)) -> Result<(), Error> {
        let scratch = apt::scratch()?;
        apt::furnish(
            scratch.path(),
            &SourceFile::for_sources(&apt::system_sources()),
        )?;
        let options = options(scratch.path());
        let update = apt::run(&Step::update(&options), report);
        let offers = apt::offers(&options, self.name)?;
        let Some(version) = self.version(&offers) else {
            // A server that does not answer matters only if it might have had the package.
            update?;
            return Err(self.unfit(&found(&offers)));
        };
        let download = Step::download_source(&options, self.name, version);
        apt::run_in(scratch.path(), &download, report)?;
        let archive = self.archive(scratch.path())?;
        if archive.extension() == Some(OsStr::new("xz")) && look_up("xz").is_none() {
            apt::run_or_refresh(&Step::install_xz(), report)?;
        }
        self.unpack(&archive)
    }

    /// The version whose upstream part is our release; all such have the same archive.
    fn version<'a>(&self, offers: &'a [Offer]) -> Option<&'a str> {
        let versions = offers.iter().map(|offer| offer.version.as_str());
        versions
            .into_iter()
            .find(|version| upstream(version) == self.release)
    }

    fn archive(&self, directory: &Path) -> Result<PathBuf, Error> {
        let start = format!("{}_{}.orig.tar.", self.name, self.release);
        let is_archive = |name: &str| name.starts_with(&start) && !name.ends_with(".asc");
        let files = fs::read_dir(directory).doing("read", directory)?;
        files
            .filter_map(|file| Some(file.ok()?.path()))
            .find(|path| {
                let name = path.file_name().and_then(OsStr::to_str);
                name.is_some_and(is_archive)
            })
            .ok_or_else(|| self.unfit(&format!("the download has no {start}*")))
    }

    fn unpack(&self, archive: &Path) -> Result<(), Error> {
        let home = self.home();
        fs::create_dir_all(&home).doing("create", &home)?;
        // Renamed when it is complete: there is never a part of a tree under its name.
        let partial = tempfile::Builder::new()
            .prefix("partial-")
            .tempdir_in(&home);
        let partial = partial.doing("create a directory in", &home)?;
        let parts = self.parts.iter();
        let mut tar = Command::new("tar");
        tar.args(["--extract", "--no-same-owner", "--strip-components=1"])
            .args([OsStr::new("--file"), archive.as_os_str()])
            .args([OsStr::new("--directory"), partial.path().as_os_str()])
            .args(parts.map(|part| format!("{}/{part}", self.stem())));
        command::run(&mut tar)?;
        let tree = self.tree();
        fs::rename(partial.path(), &tree).doing("create", &tree)
    }

    fn unfit(&self, detail: &str) -> Error {
        Error::NotPackaged {
            package: format!("source package {}", self.name),
            detail: format!("{} is wanted, {detail}", self.release),
        }
    }
}

/// Makes the package manager work below `scratch` only, and fail when a server does not answer.
fn options(scratch: &Path) -> Vec<String> {
    let more = [
        format!("Dir::Cache={}/cache", scratch.display()),
        "APT::Update::Error-Mode=any".to_owned(),
    ];
    let more = more
        .into_iter()
        .flat_map(|option| ["-o".to_owned(), option]);
    private_options(scratch).into_iter().chain(more).collect()
}

/// A version without the distribution's own parts: `[EPOCH:]UPSTREAM[-REVISION]`.
fn upstream(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    version.rsplit_once('-').map_or(version, |(rest, _)| rest)
}

fn found(offers: &[Offer]) -> String {
    let versions: Vec<&str> = offers.iter().map(|offer| offer.version.as_str()).collect();
    if versions.is_empty() {
        "the source lists have none".to_owned()
    } else {
        format!("the source lists have {}", versions.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{SourcePackage, options, upstream};
    use crate::install::plan::{Offer, Step};

    const LIBVIRT: SourcePackage = SourcePackage::LIBVIRT_9_0_0;

    fn offers(versions: &[&str]) -> Vec<Offer> {
        let offer = |version: &&str| Offer {
            version: (*version).to_owned(),
            uri: "http://mirror.example/debian".to_owned(),
            suite: "bookworm".to_owned(),
        };
        versions.iter().map(offer).collect()
    }

    #[test]
    fn the_upstream_part_of_a_version() {
        assert_eq!(upstream("9.0.0-4+deb12u2"), "9.0.0");
        assert_eq!(upstream("1:7.2+dfsg-7+deb12u18"), "7.2+dfsg");
        assert_eq!(upstream("9.0.0-rc1-1"), "9.0.0-rc1");
        assert_eq!(upstream("9.0.0"), "9.0.0");
    }

    #[test]
    fn the_version_is_one_of_the_release() {
        let mixed = offers(&["11.3.0-3", "9.0.0-4+deb12u2", "9.0.0-4+deb12u1", "7.0.0-3"]);
        assert_eq!(LIBVIRT.version(&mixed), Some("9.0.0-4+deb12u2"));
        assert_eq!(LIBVIRT.version(&offers(&["19.0.0-1", "9.0.0~rc1-1"])), None);
    }

    #[test]
    fn nothing_that_fits_names_what_there_is() {
        let found = super::found(&offers(&["10.0.0-2ubuntu8"]));
        let message = LIBVIRT.unfit(&found).to_string();
        assert!(
            message.contains("9.0.0 is wanted, the source lists have 10.0.0-2ubuntu8"),
            "{message}"
        );
    }

    #[test]
    fn a_download_reads_and_writes_below_the_scratch_directory_only() {
        let options = options(Path::new("/scratch"));
        let step = Step::download_source(&options, "libvirt", "9.0.0-4");
        assert_eq!(
            step.arguments().join(" "),
            "-o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts=/scratch/sources \
             -o Dir::State::Lists=/scratch/lists -o Dir::Cache=/scratch/cache \
             -o APT::Update::Error-Mode=any \
             source --only-source --download-only --tar-only libvirt=9.0.0-4"
        );
    }
}
