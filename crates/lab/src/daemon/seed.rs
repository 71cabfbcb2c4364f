//! What the daemon finds out about QEMU, kept for the next instance.
//!
//! A daemon with an empty cache asks QEMU for its capabilities for 2 to 10 seconds when they are
//! first needed. One instance does that; all later ones, also in other processes, get its result.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::Error;
use crate::error::IoContext as _;

/// Where the lab keeps files between runs, for this user.
pub(crate) fn cache_home() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let home = || variable("HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = variable("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    cache
        .unwrap_or_else(std::env::temp_dir)
        .join("virtwire-lab")
}

/// What an instance can see of the machine, by which its capabilities differ.
#[derive(Debug, Clone, Copy, Hash)]
pub(crate) enum Kind {
    System,
    Session,
    Caged,
}

/// The kept capabilities of one combination of libvirtd, QEMU, kernel and kind of instance.
#[derive(Debug)]
pub(crate) struct Seed {
    path: PathBuf,
}

impl Seed {
    /// Names the seed for these programs; libvirtd itself checks that what it is given still fits.
    pub(crate) fn of(programs: &[PathBuf], kind: Kind) -> Self {
        let mut hasher = DefaultHasher::new();
        kind.hash(&mut hasher);
        fs::read_to_string("/proc/version")
            .unwrap_or_default()
            .hash(&mut hasher);
        Path::new("/dev/kvm").exists().hash(&mut hasher);
        for program in programs {
            program.hash(&mut hasher);
            if let Ok(file) = fs::metadata(program) {
                (file.size(), file.mtime(), file.ctime()).hash(&mut hasher);
            }
        }
        let name = format!("capabilities-{:016x}", hasher.finish());
        Self {
            path: cache_home().join(name),
        }
    }

    /// Copies the kept capabilities to a new instance; says whether there were any.
    pub(crate) fn plant(&self, cache: &Path) -> Result<bool, Error> {
        if self.path.is_dir() {
            copy_files(&self.path, cache)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Waits until nobody else is probing, and keeps others from it until dropped.
    pub(crate) fn lock(&self) -> Result<File, Error> {
        let parent = cache_home();
        fs::create_dir_all(&parent).doing("create", &parent)?;
        let path = self.path.with_extension("lock");
        let file = File::create(&path).doing("create", &path)?;
        flock(&file, FlockOperation::LockExclusive)
            .map_err(Into::into)
            .doing("lock", &path)?;
        Ok(file)
    }

    /// Keeps what an instance found out. The holder of the lock calls this.
    pub(crate) fn harvest(&self, cache: &Path) -> Result<(), Error> {
        // Others see either nothing or the whole.
        let partial = self.path.with_extension("partial");
        let _ = fs::remove_dir_all(&partial);
        copy_files(cache, &partial)?;
        fs::rename(&partial, &self.path).doing("rename", &partial)
    }
}

fn copy_files(from: &Path, to: &Path) -> Result<(), Error> {
    fs::create_dir_all(to).doing("create", to)?;
    for entry in fs::read_dir(from).doing("list", from)? {
        let entry = entry.doing("list", from)?;
        let target = to.join(entry.file_name());
        fs::copy(entry.path(), &target).doing("write", &target)?;
    }
    Ok(())
}
