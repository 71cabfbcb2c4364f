//! Disk images, as far as anybody sees them from outside: how large they are, and what stands on
//! what.

use std::collections::BTreeMap;

use virtwire_protocol::RemoteError;
use virtwire_protocol::constants::{ErrorCode, ErrorDomain};

use crate::refusal::from_domain;

/// How many images there may be: a client that makes up paths must not fill the memory.
const MAX_IMAGES: usize = 1 << 16;

/// The longest path, `PATH_MAX`.
const MAX_LOCATION: usize = 4096;

/// What an image that nobody described is taken for.
const DEFAULT_CAPACITY: u64 = 1 << 30;
const DEFAULT_DATA: u64 = 128 << 20;

/// What an empty qcow2 file takes.
const METADATA: u64 = 192 << 10;

/// A disk image.
///
/// ```
/// use virtwire_sim::Image;
///
/// let base = Image::qcow2(10 << 30).with_data(2 << 30);
/// let overlay = Image::qcow2(10 << 30).on("/images/base.qcow2");
/// assert_eq!(overlay.data(), 0);
/// assert_eq!(base.backing(), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    format: String,
    capacity: u64,
    data: u64,
    backing: Option<Backing>,
}

/// What an image says that it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Backing {
    /// Where that is.
    pub(crate) location: String,
    /// The format that is written beside it.
    pub(crate) format: Option<String>,
}

impl Image {
    /// An empty image of a format, such as `qcow2`, that shows a guest so many bytes.
    #[must_use]
    pub fn new(format: impl Into<String>, capacity: u64) -> Self {
        Self {
            format: format.into(),
            capacity,
            data: 0,
            backing: None,
        }
    }

    /// An empty qcow2 image.
    #[must_use]
    pub fn qcow2(capacity: u64) -> Self {
        Self::new("qcow2", capacity)
    }

    /// An empty raw image.
    #[must_use]
    pub fn raw(capacity: u64) -> Self {
        Self::new("raw", capacity)
    }

    /// With so much data of its own.
    #[must_use]
    pub fn with_data(mut self, data: u64) -> Self {
        self.data = data.min(self.capacity);
        self
    }

    /// On another image: a path, or a URL such as `nbd://host:10809/export`.
    #[must_use]
    pub fn on(mut self, location: impl Into<String>) -> Self {
        self.backing = Some(Backing {
            location: location.into(),
            format: None,
        });
        self
    }

    /// The format.
    #[must_use]
    pub fn format(&self) -> &str {
        &self.format
    }

    /// What a guest sees, in bytes.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        self.capacity
    }

    /// How much data of its own it has, in bytes.
    #[must_use]
    pub const fn data(&self) -> u64 {
        self.data
    }

    /// What it stands on.
    #[must_use]
    pub fn backing(&self) -> Option<&str> {
        self.backing
            .as_ref()
            .map(|backing| backing.location.as_str())
    }

    /// What it stands on, as its header says it; formats without a header say nothing.
    pub(crate) fn header(&self) -> Option<&Backing> {
        self.backing.as_ref().filter(|_| self.format != "raw")
    }

    /// What it takes on the host, in bytes.
    pub(crate) fn allocation(&self) -> u64 {
        match self.format.as_str() {
            "raw" => self.data,
            _ => self.data.saturating_add(METADATA),
        }
    }

    /// How far it reaches, in bytes: what a file's size says.
    pub(crate) fn physical(&self) -> u64 {
        match self.format.as_str() {
            "raw" => self.capacity,
            _ => self.allocation(),
        }
    }
}

/// All images, by path or URL.
#[derive(Debug, Clone, Default)]
pub(crate) struct Images {
    images: BTreeMap<String, Image>,
}

impl Images {
    /// The image there.
    pub(crate) fn get(&self, location: &str) -> Option<&Image> {
        self.images.get(location)
    }

    /// All of them, by path or URL.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Image)> {
        let images = self.images.iter();
        images.map(|(location, image)| (location.as_str(), image))
    }

    /// The image there, or what is taken for one that nobody described.
    pub(crate) fn get_or_default(&self, location: &str, format: Option<&str>) -> Image {
        self.get(location).cloned().unwrap_or_else(|| {
            Image::new(format.unwrap_or("raw"), DEFAULT_CAPACITY).with_data(DEFAULT_DATA)
        })
    }

    /// Puts an image there, in the place of any other.
    pub(crate) fn put(&mut self, location: &str, image: Image) -> Result<(), RemoteError> {
        let words = || format!("failed to create image file '{location}'");
        if location.len() > MAX_LOCATION {
            return Err(system_error(36, &words(), "File name too long"));
        }
        if self.images.len() >= MAX_IMAGES && !self.images.contains_key(location) {
            return Err(system_error(28, &words(), "No space left on device"));
        }
        self.images.insert(location.to_owned(), image);
        Ok(())
    }

    /// Takes an image away.
    pub(crate) fn remove(&mut self, location: &str) -> Option<Image> {
        self.images.remove(location)
    }

    /// Data was written into an image.
    pub(crate) fn grow(&mut self, location: &str, bytes: u64) {
        if let Some(image) = self.images.get_mut(location) {
            image.data = image.data.saturating_add(bytes).min(image.capacity);
        }
    }

    /// Gives an image another size.
    pub(crate) fn resize(&mut self, location: &str, capacity: u64) {
        if let Some(image) = self.images.get_mut(location) {
            image.capacity = capacity;
            image.data = image.data.min(capacity);
        }
    }

    /// Has an image stand on another, or on nothing.
    pub(crate) fn rebase(&mut self, location: &str, backing: Option<Backing>) {
        if let Some(image) = self.images.get_mut(location) {
            image.backing = backing;
        }
    }
}

/// An error that libvirt has from the host's system: `number` and `text` are those of `errno`.
pub(crate) fn system_error(number: i32, words: &str, text: &str) -> RemoteError {
    let mut error = from_domain(
        ErrorDomain::QEMU,
        ErrorCode::SYSTEM_ERROR,
        &format!("{words}: {text}"),
    );
    error.int1 = number;
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_images_do_not_say_what_they_stand_on() {
        let image = Image::raw(1 << 20).on("/base");
        assert_eq!(image.backing(), Some("/base"));
        assert!(image.header().is_none());
    }

    #[test]
    fn images_grow_up_to_their_size() {
        let mut images = Images::default();
        images.put("/a", Image::qcow2(100).with_data(60)).unwrap();
        images.grow("/a", u64::MAX);
        assert_eq!(images.get("/a").map(Image::data), Some(100));
        images.resize("/a", 50);
        assert_eq!(images.get("/a").map(Image::data), Some(50));
    }
}
