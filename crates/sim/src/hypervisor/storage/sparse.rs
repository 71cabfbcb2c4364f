//! The contents of a file, of which only what was written is kept.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

/// What file systems count in: data and holes begin and end at multiples of it.
pub(crate) const BLOCK: u64 = 4096;

const BLOCK_LEN: usize = 4096;

/// The contents of a file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sparse {
    length: u64,
    /// How far space was set aside from the start, whether or not it was written.
    reserved: u64,
    blocks: BTreeMap<u64, Box<[u8]>>,
}

/// What there is at a place in a file, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Data(u64),
    /// Nothing; of no length at the end of the file.
    Hole(u64),
}

impl Sparse {
    /// How many bytes a reader sees.
    pub(crate) fn len(&self) -> u64 {
        self.length
    }

    /// How many bytes of a disk it takes.
    pub(crate) fn allocation(&self) -> u64 {
        let beyond = self.blocks.range(self.reserved.div_ceil(BLOCK)..).count();
        self.reserved.next_multiple_of(BLOCK) + count(beyond) * BLOCK
    }

    /// How many bytes of memory it takes.
    pub(crate) fn held(&self) -> u64 {
        count(self.blocks.len()) * BLOCK
    }

    /// How many bytes of memory a write would take beyond that.
    pub(crate) fn needed(&self, offset: u64, length: u64) -> u64 {
        let blocks = blocks(offset, length);
        let there = count(self.blocks.range(blocks.clone()).count());
        (blocks.end - blocks.start - there) * BLOCK
    }

    /// Writes bytes, beyond the end too.
    pub(crate) fn write(&mut self, offset: u64, mut bytes: &[u8]) {
        self.length = self.length.max(offset + count(bytes.len()));
        let mut within = index(offset % BLOCK);
        for number in blocks(offset, count(bytes.len())) {
            let block = self
                .blocks
                .entry(number)
                .or_insert_with(|| vec![0; BLOCK_LEN].into_boxed_slice());
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK_LEN - within));
            if let Some(place) = block.get_mut(within..within + now.len()) {
                place.copy_from_slice(now);
            }
            (within, bytes) = (0, later);
        }
    }

    /// Reads bytes: fewer than asked for at the end, and none beyond it.
    pub(crate) fn read(&self, offset: u64, length: usize) -> Bytes {
        let length = count(length).min(self.length.saturating_sub(offset));
        let mut bytes = BytesMut::zeroed(index(length));
        let range = blocks(offset, length);
        for (number, block) in self.blocks.range(range) {
            let start = number * BLOCK;
            let from = index(offset.saturating_sub(start));
            let to = index(start.saturating_sub(offset));
            let parts = (block.get(from..), bytes.get_mut(to..));
            if let (Some(from), Some(to)) = parts {
                let length = from.len().min(to.len());
                if let (Some(from), Some(to)) = (from.get(..length), to.get_mut(..length)) {
                    to.copy_from_slice(from);
                }
            }
        }
        bytes.freeze()
    }

    /// What there is at a place.
    pub(crate) fn section(&self, offset: u64) -> Section {
        let end = self.length;
        let number = offset / BLOCK;
        let mut next = self.blocks.range(number..).map(|(number, _)| *number);
        match next.next().map(|number| number * BLOCK) {
            Some(start) if start <= offset && offset < end => {
                let gap = (number + 1..).zip(next).find(|(wanted, it)| wanted != it);
                let last = match gap {
                    Some((first_missing, _)) => first_missing,
                    None => self.blocks.keys().next_back().map_or(0, |last| last + 1),
                };
                Section::Data((last * BLOCK).min(end) - offset)
            }
            Some(start) if offset < end => Section::Hole(start.min(end) - offset),
            _ => Section::Hole(end.saturating_sub(offset)),
        }
    }

    /// Shortens or lengthens it.
    pub(crate) fn truncate(&mut self, length: u64) {
        self.length = length;
        self.reserved = self.reserved.min(length);
        let beyond = self.blocks.split_off(&length.div_ceil(BLOCK));
        drop(beyond);
        // What is beyond the end must not come back when it is lengthened.
        let within = index(length % BLOCK);
        if within > 0 {
            if let Some(rest) = self
                .blocks
                .get_mut(&(length / BLOCK))
                .and_then(|block| block.get_mut(within..))
            {
                rest.fill(0);
            }
        }
    }

    /// Has it the data of another, and at least its length.
    pub(crate) fn fill_from(&mut self, other: Self) {
        self.length = self.length.max(other.length);
        self.blocks = other.blocks;
    }

    /// Sets space aside from the start.
    pub(crate) fn reserve(&mut self, length: u64) {
        self.reserved = self.reserved.max(length);
        self.length = self.length.max(length);
    }
}

/// The numbers of the blocks that a range of bytes touches.
fn blocks(offset: u64, length: u64) -> Range<u64> {
    let first = offset / BLOCK;
    match length {
        0 => first..first,
        _ => first..offset.saturating_add(length).div_ceil(BLOCK),
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Of something that is in memory, or within a block.
fn index(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_the_rest_is_zero() {
        let mut file = Sparse::default();
        let data: Vec<u8> = (0..10_000_u32).map(|n| (n % 251) as u8).collect();
        file.write(5000, &data);
        assert_eq!(file.len(), 15_000);
        assert_eq!(file.read(5000, 10_000), data);
        assert_eq!(file.read(4990, 20), [&[0; 10], &data[..10]].concat());
        assert_eq!(file.read(14_999, 100).len(), 1);
        assert!(file.read(15_000, 100).is_empty());
        assert_eq!(file.needed(0, 4096), 4096);
        assert_eq!(file.needed(4096, 8192), 0);
        assert_eq!(file.held(), 3 * BLOCK);
    }

    #[test]
    fn data_and_holes_follow_each_other() {
        let mut file = Sparse::default();
        file.truncate(10 * BLOCK + 100);
        assert_eq!(file.section(0), Section::Hole(10 * BLOCK + 100));
        file.write(3 * BLOCK, &[1; 2 * BLOCK_LEN]);
        file.write(10 * BLOCK, &[1; 100]);
        assert_eq!(file.section(0), Section::Hole(3 * BLOCK));
        assert_eq!(file.section(3 * BLOCK + 1), Section::Data(2 * BLOCK - 1));
        assert_eq!(file.section(5 * BLOCK), Section::Hole(5 * BLOCK));
        assert_eq!(file.section(10 * BLOCK), Section::Data(100));
        assert_eq!(file.section(10 * BLOCK + 100), Section::Hole(0));
        assert_eq!(file.allocation(), 3 * BLOCK);
    }

    #[test]
    fn what_was_cut_off_does_not_come_back() {
        let mut file = Sparse::default();
        file.write(0, &[7; 3 * BLOCK_LEN]);
        file.truncate(BLOCK + 10);
        file.truncate(3 * BLOCK);
        assert_eq!(file.read(BLOCK, 11), [vec![7; 10], vec![0]].concat());
        assert_eq!(file.held(), 2 * BLOCK);
    }

    #[test]
    fn space_that_is_set_aside_is_no_data() {
        let mut file = Sparse::default();
        file.reserve(BLOCK + 1);
        assert_eq!((file.len(), file.allocation()), (BLOCK + 1, 2 * BLOCK));
        assert_eq!(file.section(0), Section::Hole(BLOCK + 1));
        file.write(0, &[1]);
        file.write(5 * BLOCK, &[1]);
        assert_eq!(file.allocation(), 3 * BLOCK);
    }
}
