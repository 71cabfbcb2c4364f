//! What is done to volumes that are there, and how others come to know of it.

use virtwire_protocol::constants::ErrorCode;

use super::directory::{report, write_head};
use super::qcow2::{HEAD, Head};
use super::volume::Volume;
use super::{Storage, storage};
use crate::hypervisor::Uuid;
use crate::hypervisor::image::{self, Image, Images};
use crate::refusal::Result;

/// What the head of a qcow2 image takes of memory.
const METADATA: u64 = 3 * 4096;

impl Storage {
    /// Gives a volume another size.
    pub(crate) fn resize_volume(
        &mut self,
        pool: &Uuid,
        volume: &Volume,
        capacity: u64,
        allocate: bool,
        images: &mut Images,
    ) -> Result<()> {
        let path = &volume.path;
        if volume.format == "qcow2" {
            self.resize_qcow2(volume, capacity.next_multiple_of(512), allocate)?;
        } else {
            let truncated = self.files.truncate(path, capacity);
            truncated
                .map_err(|errno| report(errno, &format!("Failed to truncate file '{path}'")))?;
            if allocate {
                let reserved = self.files.reserve(path, capacity);
                reserved.map_err(|errno| {
                    report(
                        errno,
                        &format!("Failed to pre-allocate space for file '{path}'"),
                    )
                })?;
            }
        }
        images.resize(path, capacity);
        self.note(path, images);
        self.update_volume(pool, &volume.name, false);
        if let Some(pool) = self.pools.get_mut(pool).filter(|_| allocate) {
            pool.figures
                .take(capacity.saturating_sub(volume.allocation));
        }
        Ok(())
    }

    fn resize_qcow2(&mut self, volume: &Volume, capacity: u64, allocate: bool) -> Result<()> {
        let unsupported = |what: &str| Err(storage(ErrorCode::OPERATION_UNSUPPORTED, what));
        if allocate {
            return unsupported("preallocate is only supported for raw type volume");
        }
        let Some(file) = self.files.get(&volume.path) else {
            return Ok(());
        };
        let owned = file.owned;
        let head = Head::read(&file.read(0, HEAD));
        let Some(mut head) = head.filter(|_| self.is_empty(volume)) else {
            return unsupported("no resizing of a qcow2 volume with data is simulated");
        };
        head.capacity = capacity;
        let written = write_head(&mut self.files, &volume.path, &head, owned);
        written.map_err(|errno| report(errno, &format!("Could not resize '{}'", volume.path)))
    }

    /// Overwrites a volume with zeros; afterwards it is whatever a file of zeros is.
    pub(crate) fn wipe_volume(&mut self, volume: &Volume, images: &mut Images) -> Result<()> {
        let path = &volume.path;
        if let Some(file) = self.files.get(path) {
            let (length, full) = (file.len(), file.allocation() >= file.len());
            let wiped = self.files.truncate(path, 0);
            let wiped = wiped.and_then(|()| self.files.truncate(path, length));
            let wiped = wiped.and_then(|()| match full {
                true => self.files.reserve(path, length),
                false => Ok(()),
            });
            wiped.map_err(|errno| report(errno, &format!("Failed to wipe '{path}'")))?;
        }
        self.publish(path, images)
    }

    /// Looks anew at one volume of a pool: at its sizes, or at its format too.
    pub(crate) fn update_volume(&mut self, pool: &Uuid, name: &str, probe: bool) {
        let Self { pools, files, .. } = self;
        let volume = pools
            .get_mut(pool)
            .and_then(|pool| pool.volumes.get_mut(name));
        let Some((volume, file)) = volume.and_then(|it| files.get(&it.path).map(|f| (it, f)))
        else {
            return;
        };
        if probe {
            *volume = Volume::probe(&volume.name, &volume.path, file);
        } else {
            volume.update(file);
        }
    }

    /// Removes a volume.
    pub(crate) fn delete_volume(&mut self, pool: &Uuid, volume: &Volume, images: &mut Images) {
        self.files.remove(&volume.path);
        images.remove(&volume.path);
        self.entered.remove(&volume.path);
        if let Some(pool) = self.pools.get_mut(pool) {
            pool.figures.give_back(volume.allocation);
            pool.volumes.remove(&volume.name);
        }
    }

    /// Enters a file among the images that domains may use, as it is now.
    pub(crate) fn publish(&mut self, path: &str, images: &mut Images) -> Result<()> {
        let Some(file) = self.files.get(path) else {
            return Ok(());
        };
        let volume = Volume::probe("", path, file);
        let image = Image::new(&volume.format, volume.capacity);
        let data = match volume.is_probed() {
            true => file.held().saturating_sub(METADATA),
            false => file.held(),
        };
        images.put(path, image.with_data(data))?;
        let backing = volume.backing.map(|backing| image::Backing {
            location: backing.path,
            format: Some(backing.format),
        });
        images.rebase(path, backing);
        self.note(path, images);
        Ok(())
    }

    fn note(&mut self, path: &str, images: &Images) {
        if let Some(image) = images.get(path) {
            self.entered.insert(path.to_owned(), image.clone());
        }
    }
}
