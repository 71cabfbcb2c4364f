//! The file system of the simulated host, as far as storage pools see it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::Errno;
use super::sparse::{Section, Sparse};

/// How much the file system says it can hold. Memory is bounded by something else: see
/// [`Files::limit`].
pub(crate) const CAPACITY: u64 = 1 << 40;

/// How much data is kept unless somebody says otherwise.
const DEFAULT_LIMIT: u64 = 1 << 30;

/// The longest name of a file.
pub(super) const MAX_NAME: usize = 255;

/// The longest path.
const MAX_PATH: usize = 4095;

/// How many files there may be.
const MAX_FILES: usize = 65_536;

/// The longest file.
const MAX_LENGTH: u64 = 16 << 40;

/// The rights of a directory for which nobody said others.
pub(super) const NEW_DIRECTORY: Owned = Owned::with_mode(0o711);

/// What is always there.
const DIRECTORIES: [&str; 3] = ["/", "/tmp", "/var/lib/libvirt/images"];

/// When the host was started, in seconds since 1970: runs repeat.
const EPOCH: Duration = Duration::from_secs(1_700_000_000);

/// The files of the simulated host.
#[derive(Debug)]
pub(crate) struct Files {
    files: BTreeMap<String, File>,
    directories: BTreeMap<String, Owned>,
    /// The bytes of memory that all contents take.
    held: u64,
    /// The bytes that they may take.
    pub(crate) limit: u64,
    started: Instant,
}

/// A file.
#[derive(Debug, Clone)]
pub(crate) struct File {
    contents: Sparse,
    pub(crate) owned: Owned,
    /// When it was read, written and changed last.
    pub(crate) times: [Duration; 3],
}

/// Who may do what to a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owned {
    pub(crate) mode: u32,
    pub(crate) owner: u32,
    pub(crate) group: u32,
}

impl Owned {
    /// By root.
    pub(crate) const fn with_mode(mode: u32) -> Self {
        Self {
            mode,
            owner: 0,
            group: 0,
        }
    }
}

impl Default for Files {
    fn default() -> Self {
        Self {
            files: BTreeMap::new(),
            directories: DIRECTORIES
                .map(|path| (path.to_owned(), NEW_DIRECTORY))
                .into(),
            held: 0,
            limit: DEFAULT_LIMIT,
            started: Instant::now(),
        }
    }
}

impl File {
    /// How long it is.
    pub(crate) fn len(&self) -> u64 {
        self.contents.len()
    }

    /// How much of the disk it takes.
    pub(crate) fn allocation(&self) -> u64 {
        self.contents.allocation()
    }

    /// How much of the memory it takes.
    pub(crate) fn held(&self) -> u64 {
        self.contents.held()
    }

    /// Reads from a place; less than was asked for at the end.
    pub(crate) fn read(&self, offset: u64, length: usize) -> Bytes {
        self.contents.read(offset, length)
    }

    /// What there is at a place.
    pub(crate) fn section(&self, offset: u64) -> Section {
        self.contents.section(offset)
    }
}

impl Files {
    /// The file of a path.
    pub(crate) fn get(&self, path: &str) -> Option<&File> {
        self.files.get(path)
    }

    /// The names of the files in a directory, not in those below it.
    pub(crate) fn list<'a>(&'a self, directory: &'a str) -> impl Iterator<Item = &'a str> {
        let from = self.files.range(directory.to_owned()..);
        let below = from.map_while(move |(path, _)| path.strip_prefix(directory));
        let names = below.filter_map(|rest| rest.strip_prefix('/'));
        names.filter(|name| !name.contains('/'))
    }

    /// The directory of a path, if it is there.
    pub(crate) fn directory(&self, path: &str) -> Option<Owned> {
        if let Some(owned) = self.directories.get(path) {
            return Some(*owned);
        }
        let below = format!("{path}/");
        let from = self.directories.range(below.clone()..).next();
        let is_parent = from.is_some_and(|(path, _)| path.starts_with(&below));
        is_parent.then_some(Owned::with_mode(0o755))
    }

    /// Makes a directory and all above it; one that is there keeps what is in it.
    pub(crate) fn make_directory(&mut self, path: &str, owned: Option<Owned>) -> Result<(), Errno> {
        if path.len() > MAX_PATH {
            return Err(Errno::NameTooLong);
        }
        let there = self.directory(path);
        let owned = owned.or(there).unwrap_or(NEW_DIRECTORY);
        self.directories.insert(path.to_owned(), owned);
        Ok(())
    }

    /// Removes an empty directory.
    pub(crate) fn remove_directory(&mut self, path: &str) -> Result<(), Errno> {
        if self.directory(path).is_none() {
            return Err(Errno::NoEntry);
        }
        if self.list(path).next().is_some() || self.directories.remove(path).is_none() {
            return Err(Errno::NotEmpty);
        }
        Ok(())
    }

    /// How much of the disk all files take.
    pub(crate) fn allocation(&self) -> u64 {
        self.files.values().map(File::allocation).sum()
    }

    /// Makes an empty file of a length.
    pub(crate) fn create(&mut self, path: &str, length: u64, owned: Owned) -> Result<(), Errno> {
        let name = path.rsplit('/').next().unwrap_or_default();
        if name.len() > MAX_NAME || path.len() > MAX_PATH {
            return Err(Errno::NameTooLong);
        }
        if self.files.len() >= MAX_FILES {
            return Err(Errno::NoSpace);
        }
        if length > MAX_LENGTH {
            return Err(Errno::TooLarge);
        }
        let mut contents = Sparse::default();
        contents.truncate(length);
        let now = self.now();
        let file = File {
            contents,
            owned,
            times: [now; 3],
        };
        self.files.insert(path.to_owned(), file);
        Ok(())
    }

    /// Makes a copy of a file in the place of another, which has been made.
    pub(crate) fn copy(&mut self, from: &str, to: &str) -> Result<(), Errno> {
        let contents = self.files.get(from).ok_or(Errno::NoEntry)?.contents.clone();
        let held = contents.held();
        if held > self.limit.saturating_sub(self.held) {
            return Err(Errno::NoSpace);
        }
        self.change(to, |file| {
            file.contents.fill_from(contents);
        })
    }

    /// Writes to a file, beyond its end too.
    pub(crate) fn write(&mut self, path: &str, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        let file = self.files.get(path).ok_or(Errno::NoEntry)?;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if offset.saturating_add(length) > MAX_LENGTH {
            return Err(Errno::TooLarge);
        }
        if file.contents.needed(offset, length) > self.limit.saturating_sub(self.held) {
            return Err(Errno::NoSpace);
        }
        self.change(path, |file| file.contents.write(offset, bytes))
    }

    /// Shortens or lengthens a file.
    pub(crate) fn truncate(&mut self, path: &str, length: u64) -> Result<(), Errno> {
        if length > MAX_LENGTH {
            return Err(Errno::TooLarge);
        }
        self.change(path, |file| file.contents.truncate(length))
    }

    /// Sets space aside for a file, from its start.
    pub(crate) fn reserve(&mut self, path: &str, length: u64) -> Result<(), Errno> {
        if length > CAPACITY.saturating_sub(self.allocation()) {
            return Err(Errno::NoSpace);
        }
        self.change(path, |file| file.contents.reserve(length))
    }

    /// Removes a file.
    pub(crate) fn remove(&mut self, path: &str) {
        if let Some(file) = self.files.remove(path) {
            self.held = self.held.saturating_sub(file.contents.held());
        }
    }

    fn change(&mut self, path: &str, change: impl FnOnce(&mut File)) -> Result<(), Errno> {
        let now = self.now();
        let file = self.files.get_mut(path).ok_or(Errno::NoEntry)?;
        let before = file.contents.held();
        change(file);
        self.held = (self.held + file.contents.held()).saturating_sub(before);
        let [_, written, changed] = &mut file.times;
        (*written, *changed) = (now, now);
        Ok(())
    }

    fn now(&self) -> Duration {
        EPOCH + self.started.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_bounded_all_together() {
        let mut files = Files {
            limit: 3 * 4096,
            ..Files::default()
        };
        for path in ["/tmp/a", "/tmp/b"] {
            files
                .create(path, 1 << 30, Owned::with_mode(0o600))
                .unwrap();
        }
        files.write("/tmp/a", 0, &[1; 8192]).unwrap();
        assert_eq!(files.write("/tmp/b", 0, &[1; 8192]), Err(Errno::NoSpace));
        assert_eq!(files.copy("/tmp/a", "/tmp/b"), Err(Errno::NoSpace));
        files.write("/tmp/a", 4000, &[1; 100]).unwrap();
        files.write("/tmp/b", 0, &[1]).unwrap();
        files.remove("/tmp/a");
        files.write("/tmp/b", 0, &[1; 3 * 4096]).unwrap();
        assert_eq!(
            files.write("/tmp/b", u64::MAX - 5, &[1]),
            Err(Errno::TooLarge)
        );
        files.truncate("/tmp/b", 0).unwrap();
        assert_eq!(files.held, 0);
    }

    #[test]
    fn directories_hold_what_is_right_below_them() {
        let mut files = Files::default();
        files.make_directory("/pools/one", None).unwrap();
        for path in [
            "/pools/one/b",
            "/pools/one/a",
            "/pools/one/sub/c",
            "/pools/onemore",
        ] {
            files.create(path, 0, Owned::with_mode(0o600)).unwrap();
        }
        assert_eq!(files.list("/pools/one").collect::<Vec<_>>(), ["a", "b"]);
        assert!(files.directory("/pools").is_some());
        assert!(files.directory("/pool").is_none());
        assert_eq!(files.remove_directory("/pools/one"), Err(Errno::NotEmpty));
        assert_eq!(files.remove_directory("/nowhere"), Err(Errno::NoEntry));
        files.make_directory("/pools/two", None).unwrap();
        files.remove_directory("/pools/two").unwrap();
        assert!(files.directory("/pools/two").is_none());
        let long = "/x".repeat(2048);
        assert_eq!(files.make_directory(&long, None), Err(Errno::NameTooLong));
    }
}
