//! Images that stand on each other, each with data of its own.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::IoContext as _;
use crate::noise::Noise;
use crate::{Error, command};

/// The clusters of an image, in bytes: what a layer has as a whole or not at all.
pub const CLUSTER: u64 = 64 << 10;

/// A cluster of which it is certain which layers of a [`Chain`] have data for it. Of each eight
/// clusters one is of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// In each layer.
    Everywhere,
    /// In each but that which a guest writes to.
    BelowActive,
    /// In the lowest alone.
    Lowest,
}

impl Place {
    /// The offset of the cluster in a group of eight.
    #[must_use]
    pub fn in_group(self, group: u64) -> u64 {
        (group * 8 + self.number()) * CLUSTER
    }

    fn number(self) -> u64 {
        match self {
            Self::Everywhere => 0,
            Self::BelowActive => 2,
            Self::Lowest => 4,
        }
    }

    fn of(cluster: u64) -> Option<Self> {
        let all = [Self::Everywhere, Self::BelowActive, Self::Lowest];
        all.into_iter().find(|place| place.number() == cluster % 8)
    }

    /// Whether a layer above the lowest has data.
    fn has_data(self, is_active: bool) -> bool {
        match self {
            Self::Everywhere => true,
            Self::BelowActive => !is_active,
            Self::Lowest => false,
        }
    }
}

/// A chain of qcow2 images in a directory. They name each other by relative paths, so that a copy
/// of the directory is another chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    dir: PathBuf,
    layers: Vec<String>,
}

impl Chain {
    /// Creates a chain in a new directory, the layers named from the lowest to the one that a guest
    /// writes to. Each has some clusters and lacks others, as it happens but for what [`Place`]
    /// promises; the same seed gives the same data.
    ///
    /// # Errors
    ///
    /// When the directory is there already, or a program fails.
    pub fn create(dir: &Path, layers: &[&str], size: u64, seed: u64) -> Result<Self, Error> {
        fs::create_dir(dir).doing("create", dir)?;
        let chain = Self {
            dir: dir.to_owned(),
            layers: layers.iter().map(|&layer| layer.to_owned()).collect(),
        };
        let mut noise = Noise::new(seed);
        let mut below: Option<&str> = None;
        for layer in &chain.layers {
            match below {
                None => chain.create_base(layer, size, &mut noise)?,
                Some(below) => chain.create_layer(layer, below, size, &mut noise)?,
            }
            below = Some(layer);
        }
        Ok(chain)
    }

    /// Copies the images into a new directory.
    ///
    /// # Errors
    ///
    /// When the directory is there already, or has no room.
    pub fn copy_to(&self, dir: &Path) -> Result<Self, Error> {
        fs::create_dir(dir).doing("create", dir)?;
        for image in self.images() {
            let to = dir.join(image.file_name().unwrap_or_default());
            fs::copy(&image, &to).doing("write", &to)?;
        }
        Ok(Self {
            dir: dir.to_owned(),
            layers: self.layers.clone(),
        })
    }

    /// The same images where another directory is their home.
    #[must_use]
    pub fn at(&self, dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            layers: self.layers.clone(),
        }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// One image by its layer's name.
    pub fn image(&self, layer: &str) -> PathBuf {
        self.dir.join(format!("{layer}.qcow2"))
    }

    /// All images, the lowest first.
    pub fn images(&self) -> impl DoubleEndedIterator<Item = PathBuf> {
        self.layers.iter().map(|layer| self.image(layer))
    }

    /// The image that a guest writes to.
    pub fn active(&self) -> PathBuf {
        self.images().next_back().unwrap_or_default()
    }

    /// Half of the clusters have data; the others read as zeros, and have to be found room for when
    /// something is committed into them.
    fn create_base(&self, layer: &str, size: u64, noise: &mut Noise) -> Result<(), Error> {
        let raw = self.dir.join("base.raw");
        write_sparse(&raw, size, noise).doing("write", &raw)?;
        let mut convert = Command::new("qemu-img");
        convert
            .args(["convert", "-q", "-f", "raw", "-O", "qcow2", "-S", "64k"])
            .args([&raw, &self.image(layer)]);
        let converted = command::run(&mut convert);
        fs::remove_file(&raw).doing("remove", &raw)?;
        converted.map(drop)
    }

    fn create_layer(
        &self,
        layer: &str,
        below: &str,
        size: u64,
        noise: &mut Noise,
    ) -> Result<(), Error> {
        let image = self.image(layer);
        let mut create = Command::new("qemu-img");
        create
            .current_dir(&self.dir)
            .args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"])
            .arg(format!("{below}.qcow2"))
            .arg(&image);
        command::run(&mut create)?;
        let mut write = Command::new("qemu-io");
        write.args(["-f", "qcow2"]);
        for cluster in 0..size / CLUSTER {
            let number = noise.number();
            let by_chance = number % 3 == 0;
            let is_active = self.layers.last().is_some_and(|last| last == layer);
            if Place::of(cluster).map_or(by_chance, |place| place.has_data(is_active)) {
                // Zeros are for what no layer has.
                let pattern = 1 + (number >> 32) % 255;
                let offset = cluster * CLUSTER;
                write.args(["-c", &format!("write -q -P {pattern} {offset} {CLUSTER}")]);
            }
        }
        command::run(write.arg(&image)).map(drop)
    }
}

fn write_sparse(path: &Path, size: u64, noise: &mut Noise) -> io::Result<()> {
    let mut file = File::create(path)?;
    let mut cluster = vec![0; usize::try_from(CLUSTER).unwrap_or_default()];
    for number in 0..size / CLUSTER {
        let by_chance = noise.number() % 2 == 0;
        let full = by_chance || Place::of(number).is_some();
        for word in cluster.chunks_exact_mut(8) {
            let number = if full { noise.number() } else { 0 };
            word.copy_from_slice(&number.to_le_bytes());
        }
        file.write_all(&cluster)?;
    }
    Ok(())
}
