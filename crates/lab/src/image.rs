//! Disk images, through qemu-img.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::error::IoContext as _;
use crate::noise::Noise;
use crate::{Error, command};

const QEMU_IMG: &str = "qemu-img";

/// What an image says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// Where it is.
    pub path: PathBuf,
    /// Its format, such as `qcow2`.
    pub format: String,
    /// The bytes that a guest sees.
    pub virtual_size: u64,
    /// The bytes that it takes on the host.
    pub actual_size: u64,
    /// The image that it stands on.
    pub backing_file: Option<PathBuf>,
}

/// Creates a qcow2 image full of pseudo-random data; the same seed gives the same data.
///
/// # Errors
///
/// When the image cannot be written or qemu-img fails.
pub fn create_base(path: &Path, size: u64, seed: u64) -> Result<(), Error> {
    let raw = path.with_extension("raw");
    write_noise(&raw, size, seed).doing("write", &raw)?;
    let mut convert = Command::new(QEMU_IMG);
    convert
        .args(["convert", "-q", "-f", "raw", "-O", "qcow2"])
        .args([&raw, path]);
    let converted = run(&mut convert);
    fs::remove_file(&raw).doing("remove", &raw)?;
    converted
}

/// Creates a qcow2 image without data.
///
/// # Errors
///
/// When qemu-img fails.
pub fn create_empty(path: &Path, size: u64) -> Result<(), Error> {
    let mut create = Command::new(QEMU_IMG);
    create
        .args(["create", "-q", "-f", "qcow2"])
        .arg(path)
        .arg(size.to_string());
    command::run(&mut create).map(drop)
}

/// Creates a qcow2 image that stands on another and holds only what differs: nothing yet.
///
/// # Errors
///
/// When qemu-img fails.
pub fn create_overlay(path: &Path, base: &Path) -> Result<(), Error> {
    // The base's format has to be named: guessing it from the guest's data is a security hole.
    let mut create = Command::new(QEMU_IMG);
    create
        .args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"])
        .arg(base)
        .arg(path);
    command::run(&mut create).map(drop)
}

/// Reads what an image says about itself, also while a guest uses it.
///
/// # Errors
///
/// When there is no such image.
pub fn info(path: &Path) -> Result<Info, Error> {
    let (line, value) = query(path, &[])?;
    read_info(&value).ok_or_else(|| unexpected(line))
}

/// Reads an image and all that it stands on, the image itself first.
///
/// # Errors
///
/// When an image of the chain is missing.
pub fn chain(path: &Path) -> Result<Vec<Info>, Error> {
    let (line, value) = query(path, &["--backing-chain"])?;
    let images = value
        .as_array()
        .and_then(|images| images.iter().map(read_info).collect());
    images.ok_or_else(|| unexpected(line))
}

/// Says whether a guest would see the same in both images, also while guests use them.
///
/// # Errors
///
/// When an image cannot be read.
pub fn compare(one: &Path, other: &Path) -> Result<bool, Error> {
    let mut compare = Command::new(QEMU_IMG);
    compare.args(["compare", "-U", "-q"]).arg(one).arg(other);
    let output = command::output(&mut compare)?;
    match output.status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => Err(command::failure(&compare, &output)),
    }
}

/// A qcow2 image with a cluster that can neither be read nor written.
#[derive(Debug)]
#[must_use = "an image that was spoilt may have to be mended"]
pub struct Spoilt {
    image: PathBuf,
    entry: u64,
    before: [u8; 8],
}

/// Points the cluster of a qcow2 image that holds the guest's `offset` to a place where no
/// cluster can be. Clusters have 64 KiB, and tables room for 512 MiB.
///
/// # Errors
///
/// When the image cannot be read and written.
pub fn spoil(image: &Path, offset: u64) -> Result<Spoilt, Error> {
    let file = File::options().read(true).write(true).open(image);
    let file = file.doing("open", image)?;
    let bytes_at = |at: u64| {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, at).doing("read", image)?;
        Ok(bytes)
    };
    // QEMU's docs/interop/qcow2.txt: the header has the place of the L1 table at byte 40; its
    // entries, and those of the L2 tables, have an offset in bits 9 to 55.
    let first_l2_table = u64::from_be_bytes(bytes_at(u64::from_be_bytes(bytes_at(40)?))?);
    let entry = (first_l2_table & 0x00ff_ffff_ffff_fe00) + offset / (64 << 10) * 8;
    let before = bytes_at(entry)?;
    let nowhere = 0x8000_0000_0000_0201_u64.to_be_bytes();
    file.write_all_at(&nowhere, entry).doing("write", image)?;
    Ok(Spoilt {
        image: image.to_owned(),
        entry,
        before,
    })
}

impl Spoilt {
    /// Makes the cluster what it was.
    ///
    /// # Errors
    ///
    /// When the image cannot be written.
    pub fn mend(self) -> Result<(), Error> {
        let file = File::options().write(true).open(&self.image);
        let file = file.doing("open", &self.image)?;
        let written = file.write_all_at(&self.before, self.entry);
        written.doing("write", &self.image)
    }
}

/// What a guest would see in an image, also while one uses it.
///
/// # Errors
///
/// When the image cannot be read.
pub fn content(path: &Path) -> Result<Vec<u8>, Error> {
    let raw = tempfile::Builder::new().prefix("vw-content-").tempfile();
    let raw = raw.doing("create", Path::new("a temporary file"))?;
    let mut convert = Command::new(QEMU_IMG);
    convert
        .args(["convert", "-U", "-q", "-O", "raw"])
        .args([path, raw.path()]);
    command::run(&mut convert)?;
    fs::read(raw.path()).doing("read", raw.path())
}

/// Runs qemu-img or qemu-io to its end.
///
/// # Errors
///
/// When it fails; the error has what it said.
pub fn run(tool: &mut Command) -> Result<(), Error> {
    command::run(tool).map(drop)
}

fn query(path: &Path, options: &[&str]) -> Result<(String, Value), Error> {
    let mut info = Command::new(QEMU_IMG);
    info.args(["info", "--output=json", "-U"])
        .args(options)
        .arg(path);
    let text = command::run(&mut info)?;
    let line = command::line(&info);
    match serde_json::from_str(&text) {
        Ok(value) => Ok((line, value)),
        Err(error) => Err(Error::Output {
            command: line,
            detail: error.to_string(),
        }),
    }
}

fn read_info(value: &Value) -> Option<Info> {
    let number = |name: &str| value.get(name).and_then(Value::as_u64);
    let string = |name: &str| value.get(name).and_then(Value::as_str);
    let backing_file = string("full-backing-filename").or_else(|| string("backing-filename"));
    Some(Info {
        path: string("filename")?.into(),
        format: string("format")?.to_owned(),
        virtual_size: number("virtual-size")?,
        actual_size: number("actual-size")?,
        backing_file: backing_file.map(PathBuf::from),
    })
}

fn unexpected(command: String) -> Error {
    Error::Output {
        command,
        detail: "a field is missing or has another type".to_owned(),
    }
}

/// Writes pseudo-random bytes, in blocks so that it is quick without optimisation too.
fn write_noise(path: &Path, size: u64, seed: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    let mut noise = Noise::new(seed);
    let mut block = vec![0; 1 << 20];
    let mut left = size;
    while left > 0 {
        for word in block.chunks_exact_mut(8) {
            word.copy_from_slice(&noise.number().to_le_bytes());
        }
        let mut part = block.as_slice().take(left);
        left -= io::copy(&mut part, &mut file)?;
    }
    Ok(())
}
