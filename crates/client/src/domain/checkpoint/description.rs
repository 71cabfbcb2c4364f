use crate::domain::xml::{Element, XmlError};

/// A checkpoint, as the daemon describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointDescription {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// The checkpoint before it.
    pub parent: Option<String>,
    /// When it was made, in seconds since 1970.
    pub created: Option<i64>,
    /// The disks of the domain at that time.
    pub disks: Vec<CheckpointDisk>,
}

/// What a checkpoint is to a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointDisk {
    /// The disk's target.
    pub target: String,
    /// The bitmap that keeps track of what is written to it; `None` when the checkpoint is not
    /// about this disk.
    pub bitmap: Option<String>,
    /// How much has been written since, in bytes: what an incremental backup would move. Whole
    /// clusters count. Only where it was asked for, of a running domain.
    pub size: Option<u64>,
}

impl CheckpointDescription {
    pub(super) fn parse(xml: &str) -> Result<Self, XmlError> {
        let root = Element::parse(xml, "domaincheckpoint")?;
        let text = |name: &str| root.child_text(name).map(str::to_owned);
        let parent = root.child("parent");
        Ok(Self {
            name: text("name").unwrap_or_default(),
            description: text("description"),
            parent: parent
                .and_then(|parent| parent.child_text("name"))
                .map(str::to_owned),
            created: text("creationTime").and_then(|time| time.trim().parse().ok()),
            disks: root.disks().map(CheckpointDisk::read).collect(),
        })
    }

    /// Whether it keeps track of what is written to the disk.
    #[must_use]
    pub fn covers(&self, target: &str) -> bool {
        let mut disks = self.disks.iter();
        disks.any(|disk| disk.target == target && disk.bitmap.is_some())
    }
}

impl CheckpointDisk {
    fn read(disk: &Element) -> Self {
        let tracked = disk.attribute("checkpoint") != Some("no");
        let bitmap = disk.attribute("bitmap").filter(|_| tracked);
        Self {
            target: disk.attribute("name").unwrap_or_default().to_owned(),
            bitmap: bitmap.map(str::to_owned),
            size: disk.attribute("size").and_then(|size| size.parse().ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_daemon_says_is_read() {
        let xml = "<domaincheckpoint>\n  <name>two</name>\n  <description>a &amp; b</description>\n  \
            <parent>\n    <name>one</name>\n  </parent>\n  <creationTime>1700000000</creationTime>\n  \
            <disks>\n    <disk name='vda' checkpoint='bitmap' bitmap='two' size='65536'/>\n    \
            <disk name='vdb' checkpoint='no'/>\n  </disks>\n</domaincheckpoint>\n";
        let read = CheckpointDescription::parse(xml).unwrap();
        assert_eq!(read.name, "two");
        assert_eq!(read.description.as_deref(), Some("a & b"));
        assert_eq!(read.parent.as_deref(), Some("one"));
        assert_eq!(read.created, Some(1_700_000_000));
        assert!(read.covers("vda") && !read.covers("vdb") && !read.covers("vdc"));
        assert_eq!(read.disks[0].size, Some(65536));
        assert_eq!(read.disks[1].size, None);
    }
}
