//! The head of a qcow2 image: enough of it that an image tool, libvirt's own probe among them,
//! finds an empty image there. The layout is that of QEMU's docs/interop/qcow2.txt.

use bytes::{Buf, BufMut, BytesMut};

const MAGIC: u32 = 0x5146_49fb;

/// The extension that names the backing image's format.
const BACKING_FORMAT: u32 = 0xe279_2aca;

const CLUSTER_BITS: u32 = 16;

const CLUSTER: u64 = 1 << CLUSTER_BITS;

/// How much of a disk one entry of the first table stands for.
const PER_ENTRY: u64 = CLUSTER * CLUSTER / 8;

/// The longest name of a backing image.
const MAX_BACKING: usize = 1023;

/// How much of a file [`Head::read`] wants to see.
pub(crate) const HEAD: usize = 64 << 10;

/// What the head of an image says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// The bytes that a guest sees.
    pub(crate) capacity: u64,
    /// The image that it stands on.
    pub(crate) backing: Option<String>,
    /// The format of that one, if it is named.
    pub(crate) backing_format: Option<String>,
    /// 2 or 3.
    pub(crate) version: u32,
    /// The size of a cluster in bytes.
    pub(crate) cluster: u64,
}

impl Head {
    /// The head of an empty image, in the version that libvirt asks for.
    pub(crate) fn new(capacity: u64, backing: Option<(String, String)>) -> Self {
        let (backing, backing_format) = backing.unzip();
        Self {
            capacity,
            backing,
            backing_format,
            version: 2,
            cluster: CLUSTER,
        }
    }

    /// How long an empty image is: its header, its two tables of references, and its first table.
    pub(crate) fn image_len(&self) -> u64 {
        3 * CLUSTER + self.entries() * 8
    }

    fn entries(&self) -> u64 {
        self.capacity.div_ceil(PER_ENTRY).max(1)
    }

    /// The first bytes of an empty image, up to where only zeros follow; `None` when a name is too
    /// long, or the image too large for one cluster of entries.
    pub(crate) fn write(&self) -> Option<BytesMut> {
        let backing = self.backing.as_deref().unwrap_or_default();
        let format = self.backing_format.as_deref().unwrap_or_default();
        let entries = u32::try_from(self.entries()).ok()?;
        if backing.len() > MAX_BACKING || format.len() > 64 || u64::from(entries) * 8 > CLUSTER {
            return None;
        }
        let mut extensions = BytesMut::new();
        if !format.is_empty() {
            extensions.put_u32(BACKING_FORMAT);
            extensions.put_u32(u32::try_from(format.len()).ok()?);
            extensions.put_slice(format.as_bytes());
            extensions.resize(extensions.len().next_multiple_of(8), 0);
        }
        extensions.put_u64(0);
        let header_len: u32 = if self.version == 2 { 72 } else { 112 };
        let name_at = u64::from(header_len) + u64::try_from(extensions.len()).ok()?;
        let mut head = BytesMut::with_capacity(3 * 65_536);
        head.put_u32(MAGIC);
        head.put_u32(self.version);
        head.put_u64(if backing.is_empty() { 0 } else { name_at });
        head.put_u32(u32::try_from(backing.len()).ok()?);
        head.put_u32(CLUSTER_BITS);
        head.put_u64(self.capacity);
        head.put_u32(0); // no encryption
        head.put_u32(entries);
        head.put_u64(3 * CLUSTER); // the first table
        head.put_u64(CLUSTER); // the table of reference counts
        head.put_u32(1); // a cluster long
        head.put_u32(0); // no snapshots
        head.put_u64(0);
        if self.version > 2 {
            head.put_slice(&[0; 24]); // no features
            head.put_u32(4); // reference counts of 16 bits
            head.put_u32(header_len);
            head.put_u64(0); // compression by zlib, and padding
        }
        head.put_slice(&extensions);
        head.put_slice(backing.as_bytes());
        head.resize(65_536, 0);
        head.put_u64(2 * CLUSTER); // the only block of reference counts
        head.resize(2 * 65_536, 0);
        // Header, both levels of reference counts, and the first table: each is used once.
        (0..4).for_each(|_| head.put_u16(1));
        Some(head)
    }

    /// Reads the head of a file; `None` when it is no qcow2 image.
    pub(crate) fn read(file: &[u8]) -> Option<Self> {
        let mut header = file.get(..72)?;
        if header.get_u32() != MAGIC {
            return None;
        }
        let version = header.get_u32();
        let name_at = usize::try_from(header.get_u64()).ok()?;
        let name_len = usize::try_from(header.get_u32()).ok()?;
        let cluster_bits = header.get_u32();
        let capacity = header.get_u64();
        if !(2..=3).contains(&version) || !(9..=21).contains(&cluster_bits) {
            return None;
        }
        let backing = match name_at {
            0 => None,
            _ if name_len > MAX_BACKING => return None,
            _ => {
                let name = file.get(name_at..name_at.checked_add(name_len)?)?;
                Some(String::from_utf8(name.to_vec()).ok()?)
            }
        };
        let extensions = match version {
            2 => 72,
            _ => usize::try_from(file.get(100..104)?.get_u32()).ok()?,
        };
        let backing_format = file.get(extensions..).and_then(backing_format);
        Some(Self {
            capacity,
            backing_format: backing_format.filter(|_| backing.is_some()),
            backing,
            version,
            cluster: 1 << cluster_bits,
        })
    }
}

/// What the extensions of a header say of the backing image's format.
fn backing_format(mut extensions: &[u8]) -> Option<String> {
    while extensions.len() >= 8 {
        let (kind, length) = (extensions.get_u32(), extensions.get_u32());
        let length = usize::try_from(length).ok()?;
        match kind {
            0 => return None,
            BACKING_FORMAT => {
                return String::from_utf8(extensions.get(..length)?.to_vec()).ok();
            }
            _ => extensions = extensions.get(length.checked_next_multiple_of(8)?..)?,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_reads_as_it_was_written() {
        let backing = Some((String::from("/base"), String::from("qcow2")));
        for (backing, version) in [(None, 2), (backing.clone(), 2), (None, 3), (backing, 3)] {
            let mut head = Head::new(20 << 30, backing);
            head.version = version;
            let bytes = head.write().unwrap();
            assert_eq!(Head::read(&bytes).unwrap(), head);
            assert_eq!(head.image_len(), 3 * CLUSTER + 40 * 8);
        }
    }

    #[test]
    fn what_is_no_image_is_not_taken_for_one() {
        let bytes = Head::new(1 << 20, Some(("/b".into(), "raw".into())))
            .write()
            .unwrap();
        assert_eq!(Head::read(b""), None);
        assert_eq!(Head::read(&[0; 1000]), None);
        for length in 0..72 {
            assert_eq!(Head::read(&bytes[..length]), None, "{length}");
        }
        for place in 0..112 {
            let mut spoilt = bytes.clone();
            spoilt[place] = 0xff;
            // Whatever it makes of it, it does not panic.
            let _ = Head::read(&spoilt);
        }
    }
}
