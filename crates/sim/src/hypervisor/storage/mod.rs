//! Storage pools and the volumes in them.

mod change;
mod definition;
mod directory;
pub(crate) mod errno;
pub(crate) mod files;
mod pool;
mod qcow2;
pub(crate) mod sparse;
mod volume;

use std::collections::BTreeMap;

use virtwire_protocol::RemoteError;
use virtwire_protocol::constants::{ErrorCode, ErrorDomain};
use virtwire_protocol::remote::{NonnullStoragePool, NonnullStorageVol};

pub(crate) use self::definition::PoolDefinition;
pub(crate) use self::errno::Errno;
use self::files::Files;
pub(crate) use self::pool::{Figures, Pool};
pub(crate) use self::volume::{Volume, VolumeRequest};
use super::image::Image;
use super::{Uuid, uuid_text};
use crate::refusal::{Result, from_domain};

/// How many pools there may be: as many as one reply can list.
const MAX_POOLS: usize = 16_384;

/// All pools, and the file system that they are on.
#[derive(Debug, Default)]
pub(crate) struct Storage {
    pools: BTreeMap<Uuid, Pool>,
    pub(crate) files: Files,
    /// How files were entered among the images that domains use. An image that is something else
    /// by now was changed by a domain.
    entered: BTreeMap<String, Image>,
}

/// Whether a definition may take the place of an active pool's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It is for later.
    Define,
    /// It is to be started at once.
    Create,
}

impl Storage {
    /// All pools, in an order that does not change.
    pub(crate) fn pools(&self) -> impl Iterator<Item = &Pool> {
        self.pools.values()
    }

    /// Whether there is a pool of this UUID.
    pub(crate) fn contains(&self, uuid: &Uuid) -> bool {
        self.pools.contains_key(uuid)
    }

    /// The pool of a UUID.
    pub(crate) fn by_uuid(&self, uuid: &Uuid) -> Result<&Pool> {
        let found = self.pools.get(uuid);
        found.ok_or_else(|| no_pool(&format!("with matching uuid '{}'", uuid_text(uuid))))
    }

    /// The pool of a name.
    pub(crate) fn by_name(&self, name: &str) -> Result<&Pool> {
        let found = self.pools().find(|pool| pool.name() == name);
        found.ok_or_else(|| no_pool(&format!("with matching name '{name}'")))
    }

    /// The active pool that keeps its volumes in a directory.
    pub(crate) fn by_target(&self, path: &str) -> Result<&Pool> {
        let clean = sanitize(path);
        let mut active = self.pools().filter(|pool| pool.active);
        let found = active.find(|pool| pool.target() == Some(clean.as_str()));
        found.ok_or_else(|| {
            let path = and_clean(path, &clean);
            no_pool(&format!("with matching target path {path}"))
        })
    }

    /// The pool that a client speaks of: its UUID counts, as in libvirt.
    pub(crate) fn pool(&self, wanted: &NonnullStoragePool<'_>) -> Result<&Pool> {
        let found = self.pools.get(&wanted.uuid);
        found.ok_or_else(|| no_such_pool(wanted))
    }

    /// The pool that a client speaks of, to be changed.
    pub(crate) fn pool_mut(&mut self, wanted: &NonnullStoragePool<'_>) -> Result<&mut Pool> {
        let found = self.pools.get_mut(&wanted.uuid);
        found.ok_or_else(|| no_such_pool(wanted))
    }

    /// The volume that a client speaks of: pool and name count, as in libvirt.
    pub(crate) fn volume(&self, wanted: &NonnullStorageVol<'_>) -> Result<(&Pool, &Volume)> {
        let pool = self.by_name(&wanted.pool.to_string_lossy())?;
        pool.check_active()?;
        Ok((pool, pool.volume(&wanted.name.to_string_lossy())?))
    }

    /// The volume of a path, in any active pool.
    pub(crate) fn volume_by_path(&self, path: &str) -> Result<(&Pool, &Volume)> {
        let clean = sanitize(path);
        self.find(&clean).ok_or_else(|| {
            let path = and_clean(path, &clean);
            no_volume(&format!("with matching path {path}"))
        })
    }

    /// The volume of a key, in any active pool.
    pub(crate) fn volume_by_key(&self, key: &str) -> Result<(&Pool, &Volume)> {
        let found = self.find(key);
        found.ok_or_else(|| no_volume(&format!("with matching key {key}")))
    }

    fn find(&self, path: &str) -> Option<(&Pool, &Volume)> {
        let active = self.pools().filter(|pool| pool.active);
        let volumes = active.flat_map(|pool| pool.volumes.values().map(move |it| (pool, it)));
        volumes.into_iter().find(|(_, volume)| volume.path == path)
    }

    /// Takes a definition in: for a new pool, or for one that is there.
    pub(crate) fn assign(
        &mut self,
        definition: PoolDefinition,
        purpose: Purpose,
    ) -> Result<&mut Pool> {
        self.check_source(&definition)?;
        self.check_identity(&definition, purpose)?;
        let there = self.pools.len();
        let uuid = definition.uuid;
        if there >= MAX_POOLS && !self.contains(&uuid) {
            let what = format!("Too many storage pools '{there}' for limit '{MAX_POOLS}'");
            return Err(storage(ErrorCode::OPERATION_FAILED, &what));
        }
        match self.pools.entry(uuid) {
            std::collections::btree_map::Entry::Vacant(place) => {
                Ok(place.insert(Pool::new(definition)))
            }
            std::collections::btree_map::Entry::Occupied(place) => {
                let pool = place.into_mut();
                pool.redefine(definition, purpose);
                Ok(pool)
            }
        }
    }

    /// Two pools must not share a directory.
    fn check_source(&self, definition: &PoolDefinition) -> Result<()> {
        let mut others = self
            .pools
            .values()
            .filter(|pool| pool.uuid() != definition.uuid);
        let Some(target) = definition.target.as_deref() else {
            return Ok(());
        };
        match others.find(|pool| pool.target() == Some(target)) {
            Some(pool) => {
                let what = format!("Storage source conflict with pool: '{}'", pool.name());
                Err(storage(ErrorCode::OPERATION_FAILED, &what))
            }
            None => Ok(()),
        }
    }

    fn check_identity(&self, definition: &PoolDefinition, purpose: Purpose) -> Result<()> {
        let PoolDefinition { name, uuid, .. } = definition;
        if let Some(pool) = self.pools.get(uuid) {
            if pool.name() != name {
                let (name, uuid) = (pool.name(), uuid_text(uuid));
                let what = format!("pool '{name}' is already defined with uuid {uuid}");
                return Err(storage(ErrorCode::OPERATION_FAILED, &what));
            }
            if purpose == Purpose::Create && pool.active {
                let what = format!("pool is already active as '{name}'");
                return Err(storage(ErrorCode::OPERATION_INVALID, &what));
            }
        } else if let Ok(pool) = self.by_name(name) {
            let uuid = uuid_text(&pool.uuid());
            let what = format!("pool '{name}' already exists with uuid {uuid}");
            return Err(storage(ErrorCode::OPERATION_FAILED, &what));
        }
        Ok(())
    }

    /// Forgets a pool; what is in its directory stays there.
    pub(crate) fn forget(&mut self, uuid: &Uuid) {
        self.pools.remove(uuid);
    }
}

/// An error of libvirt's storage driver.
pub(crate) fn storage(code: ErrorCode, about: &str) -> RemoteError {
    from_domain(ErrorDomain::STORAGE, code, about)
}

fn no_pool(which: &str) -> RemoteError {
    let about = format!("no storage pool {which}");
    storage(ErrorCode::NO_STORAGE_POOL, &about)
}

fn no_such_pool(wanted: &NonnullStoragePool<'_>) -> RemoteError {
    let (uuid, name) = (uuid_text(&wanted.uuid), wanted.name.to_string_lossy());
    no_pool(&format!("with matching uuid '{uuid}' ({name})"))
}

pub(crate) fn no_volume(which: &str) -> RemoteError {
    let about = format!("no storage vol {which}");
    storage(ErrorCode::NO_STORAGE_VOL, &about)
}

fn and_clean(path: &str, clean: &str) -> String {
    if path == clean {
        format!("'{path}'")
    } else {
        format!("'{path}' ({clean})")
    }
}

/// A path with single slashes, and none at its end, as libvirt has it.
pub(crate) fn sanitize(path: &str) -> String {
    if path.find("://").is_some_and(|at| path.find('/') > Some(at)) {
        return path.to_owned();
    }
    let mut clean = String::with_capacity(path.len());
    let rest = match path.strip_prefix("//") {
        // POSIX lets two slashes at the start mean something of their own.
        Some(rest) if !rest.starts_with('/') => {
            clean.push_str("//");
            rest
        }
        _ => path,
    };
    for c in rest.chars() {
        if c != '/' || !clean.ends_with('/') {
            clean.push(c);
        }
    }
    if clean.len() > 1 && clean != "//" && clean.ends_with('/') {
        clean.pop();
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_libvirt_does() {
        for (path, clean) in [
            ("/a/b", "/a/b"),
            ("///a///b//", "/a/b"),
            ("//a/b/", "//a/b"),
            ("//", "//"),
            ("/", "/"),
            ("", ""),
            ("nbd://host//x", "nbd://host//x"),
        ] {
            assert_eq!(sanitize(path), clean, "{path}");
        }
    }
}
