//! The disks in a domain's XML.

use virtwire::{DiskDescription, Source, disks_from_xml};

use crate::budget::within;

/// Nothing is found that is not there, and what surrounds the XML changes nothing.
pub fn check(xml: &str) {
    // A backing image is ten times the size of the element that names it.
    let budget = 4096 + 64 * xml.len();
    let Ok(disks) = within(budget, || disks_from_xml(xml)) else {
        return;
    };
    let layers = disks.iter().map(|disk| disk.backing.len()).sum::<usize>();
    let mirrors = disks.iter().filter(|disk| disk.mirror.is_some()).count();
    assert!(disks.len() <= xml.matches("<disk").count());
    assert!(layers <= xml.matches("<backingStore").count());
    assert!(mirrors <= xml.matches("<mirror").count());
    // The name of a kind that is not written is `file`.
    let defaults = 4 * disks.len();
    let text = disks.iter().map(text_len).sum::<usize>();
    assert!(
        text <= xml.len() + defaults,
        "{text} bytes from {}",
        xml.len()
    );
    for disk in &disks {
        check_disk(disk);
    }
    let surrounded = format!("{xml}\n<!-- after -->\n");
    assert_eq!(disks_from_xml(&surrounded), Ok(disks));
}

fn check_disk(disk: &DiskDescription) {
    let sources = [&disk.source].into_iter();
    let sources = sources.chain(disk.backing.iter().map(|layer| &layer.source));
    for source in sources.flatten() {
        let local = matches!(source.kind(), "file" | "block" | "dir");
        assert!(source.path().is_some() || !local);
    }
    if let Some(source) = &disk.source {
        assert_eq!(source.kind(), disk.source_kind);
    }
}

/// The bytes of text that a description keeps.
fn text_len(disk: &DiskDescription) -> usize {
    let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let backing = disk.backing.iter();
    let backing = backing.map(|layer| optional(&layer.format) + source_len(&layer.source));
    disk.target.len()
        + optional(&disk.bus)
        + optional(&disk.alias)
        + optional(&disk.format)
        + source_len(&disk.source)
        + backing.sum::<usize>()
}

fn source_len(source: &Option<Source>) -> usize {
    match source {
        Some(Source::Network {
            protocol,
            name,
            hosts,
        }) => {
            let hosts = hosts
                .iter()
                .map(|host| host.name.as_ref().map_or(0, String::len));
            protocol.len() + name.as_ref().map_or(0, String::len) + hosts.sum::<usize>()
        }
        Some(Source::Volume { pool, volume }) => pool.len() + volume.len(),
        Some(source) => source.path().map_or(0, str::len),
        None => 0,
    }
}
