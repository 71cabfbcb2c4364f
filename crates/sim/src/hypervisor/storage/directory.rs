//! Pools that are directories, and what is done to the files in them.
//!
//! Contents are kept in [`Files`]. Whoever runs domains knows the same files
//! as [`Images`]: what is made or written here is entered there, and what comes to be there is
//! found here when a pool is refreshed, as on a real host.

use virtwire_protocol::RemoteError;
use virtwire_protocol::constants::{ErrorCode, ErrorDomain};

use super::files::{CAPACITY, Files, NEW_DIRECTORY, Owned};
use super::qcow2::{HEAD, Head};
use super::volume::{Volume, VolumeRequest};
use super::{Errno, Figures, Storage, storage};
use crate::hypervisor::Uuid;
use crate::hypervisor::image::{Image, Images};
use crate::refusal::Result;

/// The rights of a volume for which nobody said others.
const NEW_VOLUME: Owned = Owned::with_mode(0o600);

/// Pools.
impl Storage {
    /// Makes the directory of a pool.
    pub(crate) fn build(&mut self, uuid: &Uuid) -> Result<()> {
        let definition = self.by_uuid(uuid)?.definition();
        check_directory(definition.is_directory(), definition.kind)?;
        let path = definition.target.clone().unwrap_or_default();
        if !path.contains('/') {
            let what = format!("path '{path}' is not absolute");
            return Err(storage(ErrorCode::INVALID_ARG, &what));
        }
        let there = self.files.directory(&path);
        let owned = definition.permissions.or(there.unwrap_or(NEW_DIRECTORY));
        self.files
            .make_directory(&path, Some(owned))
            .map_err(|errno| report(errno, &format!("cannot create path '{path}'")))
    }

    /// Removes the directory of a pool.
    pub(crate) fn remove_directory(&mut self, uuid: &Uuid) -> Result<()> {
        let path = self.by_uuid(uuid)?.target().unwrap_or_default().to_owned();
        self.files
            .remove_directory(&path)
            .map_err(|errno| report(errno, &format!("failed to remove pool '{path}'")))
    }

    /// Looks anew what is in the directory of a pool.
    pub(crate) fn refresh(&mut self, uuid: &Uuid, images: &Images) -> Result<()> {
        let Self {
            pools,
            files,
            entered,
        } = self;
        let Some(pool) = pools.get_mut(uuid) else {
            return Ok(());
        };
        let definition = pool.definition();
        check_directory(definition.is_directory(), definition.kind)?;
        let path = definition.target.clone().unwrap_or_default();
        let Some(owned) = files.directory(&path) else {
            let what = format!("cannot open directory '{path}'");
            return Err(Errno::NoEntry.report(ErrorDomain::NONE, &what));
        };
        for (at, image) in images.iter() {
            let is_here = at.rsplit_once('/').is_some_and(|(above, _)| above == path);
            if is_here && entered.get(at) != Some(image) {
                adopt(files, at, image);
                entered.insert(at.to_owned(), image.clone());
            }
        }
        let found = files.list(&path).filter_map(|name| {
            let path = format!("{path}/{name}");
            let volume = Volume::probe(name, &path, files.get(&path)?);
            Some((name.to_owned(), volume))
        });
        pool.volumes = found.collect();
        let allocation = files.allocation().min(CAPACITY);
        pool.figures = Figures {
            capacity: CAPACITY,
            allocation,
            available: CAPACITY - allocation,
        };
        pool.set_permissions(owned);
        Ok(())
    }
}

/// Volumes.
impl Storage {
    /// Makes a volume.
    pub(crate) fn create_volume(
        &mut self,
        pool: &Uuid,
        request: &VolumeRequest,
        images: &mut Images,
    ) -> Result<Volume> {
        let path = self.place(pool, request)?;
        let result = self.build_volume(&path, request);
        self.settle(pool, &path, request, result, images)
    }

    /// Makes a volume with the contents of another.
    pub(crate) fn clone_volume(
        &mut self,
        pool: &Uuid,
        request: &VolumeRequest,
        source: &Volume,
        images: &mut Images,
    ) -> Result<Volume> {
        let path = self.place(pool, request)?;
        let result = self.build_copy(&path, request, source);
        self.settle(pool, &path, request, result, images)
    }

    /// Where a new volume comes to be.
    fn place(&self, pool: &Uuid, request: &VolumeRequest) -> Result<String> {
        let name = &request.name;
        let not_valid = |what: String| Err(storage(ErrorCode::OPERATION_INVALID, &what));
        if name.contains('/') {
            return not_valid(format!("volume name '{name}' cannot contain '/'"));
        }
        let directory = self.by_uuid(pool)?.target().unwrap_or_default();
        let path = format!("{directory}/{name}");
        if self.files.get(&path).is_some() || self.files.directory(&path).is_some() {
            return not_valid(format!("volume target path '{path}' already exists"));
        }
        if request.encrypted {
            let what = "storage pool does not support encrypted volumes";
            return Err(storage(ErrorCode::CONFIG_UNSUPPORTED, what));
        }
        if !matches!(request.format.as_str(), "raw" | "qcow2") {
            let what = format!("no {} volumes are simulated", request.format);
            return Err(storage(ErrorCode::OPERATION_UNSUPPORTED, &what));
        }
        Ok(path)
    }

    /// Enters a volume that was made, or clears away what is left of one that was not.
    fn settle(
        &mut self,
        pool: &Uuid,
        path: &str,
        request: &VolumeRequest,
        result: Result<()>,
        images: &mut Images,
    ) -> Result<Volume> {
        let entered = result.and_then(|()| self.publish(path, images));
        if let Err(error) = entered {
            self.files.remove(path);
            return Err(error);
        }
        let Self { pools, files, .. } = self;
        let (Some(pool), Some(file)) = (pools.get_mut(pool), files.get(path)) else {
            return Err(report(
                Errno::NoEntry,
                &format!("cannot stat file '{path}'"),
            ));
        };
        let mut volume = Volume::of_file(&request.name, path, &request.format, file);
        volume.backing.clone_from(&request.backing);
        pool.figures.take(volume.allocation);
        pool.volumes.insert(volume.name.clone(), volume.clone());
        Ok(volume)
    }

    fn build_volume(&mut self, path: &str, request: &VolumeRequest) -> Result<()> {
        let owned = request.permissions.or(NEW_VOLUME);
        if request.format == "qcow2" {
            let capacity = match (request.capacity, &request.backing) {
                (None, Some(backing)) => self.capacity_of(&backing.path),
                (capacity, _) => capacity.unwrap_or(0),
            };
            if let Some(backing) = &request.backing {
                if self.files.get(&backing.path).is_none() {
                    let what = format!("inaccessible backing store volume {}", backing.path);
                    return Err(report(Errno::NoEntry, &what));
                }
            }
            return self.write_empty_qcow2(path, capacity, request, owned);
        }
        if request.backing.is_some() {
            let what = "backing storage not supported for raw volumes";
            return Err(storage(ErrorCode::NO_SUPPORT, what));
        }
        let capacity = request.capacity.unwrap_or(0);
        let created = self.files.create(path, capacity, owned);
        created.map_err(|errno| report(errno, &format!("cannot extend file '{path}'")))?;
        self.set_aside(path, request.allocation.unwrap_or(capacity))
    }

    /// As qemu-img makes it, within what can be done without reading the format.
    fn build_copy(&mut self, path: &str, request: &VolumeRequest, source: &Volume) -> Result<()> {
        let capacity = request.capacity.unwrap_or(0).max(source.capacity);
        let empty = self.is_empty(source);
        if request.format != source.format && !empty {
            let (from, to) = (&source.format, &request.format);
            let what = format!("no conversion from {from} to {to} is simulated");
            return Err(storage(ErrorCode::OPERATION_UNSUPPORTED, &what));
        }
        let owned = request.permissions.or(NEW_VOLUME);
        if request.format == "qcow2" {
            self.write_empty_qcow2(path, capacity, request, owned)?;
            if empty {
                return Ok(());
            }
        } else {
            let created = self.files.create(path, capacity, owned);
            created.map_err(|errno| report(errno, &format!("cannot extend file '{path}'")))?;
            let allocation = request.allocation.unwrap_or(capacity);
            // A smaller allocation asks for a sparse copy.
            if allocation >= source.capacity {
                self.set_aside(path, allocation)?;
            }
        }
        if source.format == request.format {
            let copied = self.files.copy(&source.path, path);
            copied.map_err(|errno| report(errno, &format!("failed writing to file '{path}'")))?;
        }
        Ok(())
    }

    /// Whether a volume holds nothing but zeros, or nothing but its header.
    pub(super) fn is_empty(&self, volume: &Volume) -> bool {
        let Some(file) = self.files.get(&volume.path) else {
            return true;
        };
        match Head::read(&file.read(0, HEAD)) {
            Some(head) if volume.format == "qcow2" => file.len() <= head.image_len(),
            _ => file.held() == 0,
        }
    }

    fn capacity_of(&self, path: &str) -> u64 {
        let file = self.files.get(path);
        file.map_or(0, |file| Volume::probe("", path, file).capacity)
    }

    fn set_aside(&mut self, path: &str, bytes: u64) -> Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        self.files.reserve(path, bytes).map_err(|errno| {
            let what = format!("cannot allocate {bytes} bytes in file '{path}'");
            report(errno, &what)
        })
    }

    fn write_empty_qcow2(
        &mut self,
        path: &str,
        capacity: u64,
        request: &VolumeRequest,
        owned: Owned,
    ) -> Result<()> {
        let backing = request.backing.as_ref();
        let mut head = Head::new(
            capacity,
            backing.map(|it| (it.path.clone(), it.format.clone())),
        );
        head.version += u32::from(request.modern);
        let written = write_head(&mut self.files, path, &head, owned);
        written.map_err(|errno| report(errno, &format!("Could not create '{path}'")))
    }
}

/// Has the file system say what is known of an image from elsewhere.
fn adopt(files: &mut Files, path: &str, image: &Image) {
    let there = files.get(path).map(|file| (file.len(), file.owned));
    let owned = there.map_or(NEW_VOLUME, |(_, owned)| owned);
    if image.format() == "qcow2" {
        let backing = image.header().map(|backing| {
            let format = backing.format.clone();
            (backing.location.clone(), format.unwrap_or_default())
        });
        let head = Head::new(image.capacity(), backing);
        let same = |found: Head| {
            (found.capacity, found.backing.as_ref()) == (head.capacity, head.backing.as_ref())
        };
        let file = files.get(path);
        if !file
            .and_then(|file| Head::read(&file.read(0, HEAD)))
            .is_some_and(same)
        {
            // What does not fit is not shown: the image is there for domains all the same.
            let _ = write_head(files, path, &head, owned);
        }
    } else if there.is_none() {
        let _ = files.create(path, image.physical(), owned);
    } else if there.is_some_and(|(length, _)| length != image.physical()) {
        let _ = files.truncate(path, image.physical());
    }
}

/// Writes a file that is nothing but this head, and the table of zeros after it. What follows in a
/// file that is there already stays.
pub(super) fn write_head(
    files: &mut Files,
    path: &str,
    head: &Head,
    owned: Owned,
) -> Result<(), Errno> {
    let bytes = head.write().ok_or(Errno::TooLarge)?;
    let length = match files.get(path) {
        Some(file) => file.len().max(head.image_len()),
        None => {
            files.create(path, 0, owned)?;
            head.image_len()
        }
    };
    files.write(path, 0, &bytes)?;
    files.truncate(path, length)?;
    // qemu-img writes its tables out.
    files.reserve(path, head.image_len())
}

fn check_directory(is_directory: bool, kind: &str) -> Result<()> {
    if is_directory {
        return Ok(());
    }
    let what = format!("no {kind} pools are simulated");
    Err(storage(ErrorCode::OPERATION_UNSUPPORTED, &what))
}

pub(super) fn report(errno: Errno, doing: &str) -> RemoteError {
    errno.report(ErrorDomain::STORAGE, doing)
}
