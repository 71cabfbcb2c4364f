//! A disk's images in their order: the active one, then what it stands on.

use super::{DiskDescription, Source};

impl DiskDescription {
    /// The sources of the chain, the active image first. An image whose source the XML does not
    /// give is `None`.
    pub fn chain(&self) -> impl Iterator<Item = Option<&Source>> {
        let backing = self.backing.iter().map(|layer| layer.source.as_ref());
        std::iter::once(self.source.as_ref()).chain(backing)
    }

    /// Where in the [chain](Self::chain) an image is, 0 for the active one. The image is named as
    /// libvirt's calls name it: by the target (`vda`, the active image), by the target and an
    /// index (`vda[3]`), or by its path.
    #[must_use]
    pub fn position(&self, image: &str) -> Option<usize> {
        if image == self.target {
            return Some(0);
        }
        if let Some(index) = self.index_in(image) {
            let layers = self.backing.iter().map(|layer| layer.index);
            let mut indexes = std::iter::once(self.index).chain(layers);
            return indexes.position(|given| given == Some(index));
        }
        self.chain()
            .position(|source| source.and_then(Source::path) == Some(image))
    }

    /// The number in `vda[3]`, if it is about this disk.
    fn index_in(&self, image: &str) -> Option<u32> {
        let rest = image.strip_prefix(&self.target)?;
        rest.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
    }

    /// Whether a source is part of the chain.
    pub(crate) fn stands_on(&self, source: &Source) -> bool {
        self.chain().flatten().any(|image| image == source)
    }
}

#[cfg(test)]
mod tests {
    use crate::{DiskDescription, disks_from_xml};

    fn disk() -> DiskDescription {
        let xml = "<domain id='3'><devices><disk type='file' device='disk'>\
            <source file='/top' index='1'/>\
            <backingStore type='file' index='7'><source file='/mid'/>\
            <backingStore type='block' index='3'><source dev='/base'/><backingStore/>\
            </backingStore></backingStore><target dev='vda'/></disk></devices></domain>";
        disks_from_xml(xml).unwrap().remove(0)
    }

    #[test]
    fn images_are_found_by_target_index_and_path() {
        let disk = disk();
        for (image, position) in [
            ("vda", Some(0)),
            ("vda[1]", Some(0)),
            ("vda[7]", Some(1)),
            ("vda[3]", Some(2)),
            ("vda[4]", None),
            ("vdb", None),
            ("vdb[3]", None),
            ("vda[", None),
            ("/top", Some(0)),
            ("/mid", Some(1)),
            ("/base", Some(2)),
            ("/other", None),
        ] {
            assert_eq!(disk.position(image), position, "{image}");
        }
        assert_eq!(disk.chain().count(), 3);
    }
}
