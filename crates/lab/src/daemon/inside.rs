//! What is done where the daemon and its guests see the world.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::Daemon;
use crate::error::IoContext as _;
use crate::{Error, command};

impl Daemon {
    /// Runs a program where the daemon and its guests see the world, and returns what it prints.
    ///
    /// # Errors
    ///
    /// When it fails.
    pub fn run_inside(&self, program: &str, arguments: &[&OsStr]) -> Result<String, Error> {
        let program = Path::new(program);
        let mut inside = self.namespace.command(self.builder.chroot(), program);
        command::run(inside.args(arguments))
    }

    /// Mounts a file system on a new directory with this name among the images. Only the daemon and
    /// its guests see what is in it.
    ///
    /// # Errors
    ///
    /// When the directory is there already, or mounting fails.
    pub fn mount(&self, name: &str) -> Result<PathBuf, Error> {
        let dir = self.images_dir().join(name);
        fs::create_dir(&dir).doing("create", &dir)?;
        let words = ["--no-mtab", "-t", "tmpfs", "tmpfs"].map(OsStr::new);
        self.run_inside("mount", &[&words, [dir.as_os_str()].as_slice()].concat())?;
        Ok(dir)
    }

    /// Takes a mounted file system away; what was in it is in the directory then, for everybody.
    ///
    /// # Errors
    ///
    /// When that fails, for example because a guest still uses it.
    pub fn unmount(&self, dir: &Path) -> Result<(), Error> {
        let script = "cp -r \"$1\" \"$1.out\" && umount --no-mtab \"$1\" && \
                      rmdir \"$1\" && mv \"$1.out\" \"$1\"";
        let words = ["-c", script, "sh"].map(OsStr::new);
        self.run_inside("sh", &[words.as_slice(), &[dir.as_os_str()]].concat())
            .map(drop)
    }

    /// Makes a mounted file system so small that this many bytes are free on it.
    ///
    /// # Errors
    ///
    /// When that fails.
    pub fn leave_room(&self, dir: &Path, bytes: u64) -> Result<(), Error> {
        let script = "used=$(df -B1 --output=used \"$1\" | tail -n 1); \
                      exec mount --no-mtab -o remount,size=$((used + $2)) \"$1\"";
        let bytes = bytes.to_string();
        let words = ["-c", script, "sh"].map(OsStr::new);
        let numbers = [dir.as_os_str(), bytes.as_ref()];
        self.run_inside("sh", &[words.as_slice(), &numbers].concat())
            .map(drop)
    }
}
