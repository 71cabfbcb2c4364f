//! Where a copy goes.

use crate::domain::xml::{Element, disk_from_xml};
use crate::error::Cause;
use crate::{Error, NetworkHost, Source};

/// Where a [copy](crate::Disk::copy) goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyDestination {
    place: Place,
    format: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Source(Source),
    Xml(String),
}

impl CopyDestination {
    /// A file, by its absolute path on the host. It is made, unless the copy is to
    /// [reuse](super::BlockCopy::reuse_external) one.
    pub fn file(path: impl Into<String>) -> Self {
        let path = path.into();
        Self::new(Place::Source(Source::File { path }))
    }

    /// A block device, by its absolute path on the host; it has to be there already.
    pub fn block(path: impl Into<String>) -> Self {
        let path = path.into();
        Self::new(Place::Source(Source::Block { path }))
    }

    /// An image on the network: the protocol (`nbd`, `rbd`, …), the image's name in the protocol's
    /// terms, and the servers. It has to be there already, which the copy is to be told by
    /// [`reuse_external`](super::BlockCopy::reuse_external).
    pub fn network(
        protocol: impl Into<String>,
        name: Option<String>,
        hosts: impl IntoIterator<Item = NetworkHost>,
    ) -> Self {
        Self::new(Place::Source(Source::Network {
            protocol: protocol.into(),
            name,
            hosts: hosts.into_iter().collect(),
        }))
    }

    /// Whatever libvirt can express: the XML of a `<disk>` whose `<source>` is the destination.
    /// Encryption, credentials and a chain below the destination can be given only so.
    pub fn xml(xml: impl Into<String>) -> Self {
        Self::new(Place::Xml(xml.into()))
    }

    fn new(place: Place) -> Self {
        Self {
            place,
            format: None,
        }
    }

    /// The format of the destination (`qcow2`, `raw`, …); by default that of the disk. An existing
    /// destination needs it. In a [raw XML](Self::xml) it stands in `<driver type='…'/>`, and this
    /// changes nothing.
    #[must_use]
    pub fn format(mut self, format: impl Into<String>) -> Self {
        self.format = Some(format.into());
        self
    }

    /// What is known of the destination: its source and its format.
    pub(super) fn described(&self) -> Result<(Option<Source>, Option<String>), Error> {
        match &self.place {
            Place::Source(source) => Ok((Some(source.clone()), self.format.clone())),
            Place::Xml(xml) => match disk_from_xml(xml) {
                Ok(Some(disk)) => Ok((disk.source, disk.format)),
                Ok(None) => Err(bad_xml("XML without one".to_owned())),
                Err(error) => Err(bad_xml(error.to_string())),
            },
        }
    }

    /// The XML that the daemon is given.
    pub(super) fn to_xml(&self) -> String {
        match &self.place {
            Place::Xml(xml) => xml.clone(),
            Place::Source(source) => {
                let format = self.format.as_ref();
                let driver = format.map(|format| Element::new("driver").with("type", format));
                Element::new("disk")
                    .with("type", source.kind())
                    .with_child(source_element(source))
                    .with_children(driver)
                    .to_string()
            }
        }
    }
}

fn source_element(source: &Source) -> Element {
    let element = Element::new("source");
    match source {
        Source::Block { path } => element.with("dev", path),
        Source::Network {
            protocol,
            name,
            hosts,
        } => element
            .with("protocol", protocol)
            .with_some("name", name.as_ref())
            .with_children(hosts.iter().map(host_element)),
        other => element.with("file", other.path().unwrap_or_default()),
    }
}

fn host_element(host: &NetworkHost) -> Element {
    Element::new("host")
        .with_some("name", host.name.as_ref())
        .with_some("port", host.port.as_ref())
        .with_some("transport", host.transport.as_ref())
        .with_some("socket", host.socket.as_ref())
}

fn bad_xml(given: String) -> Error {
    Error::from(Cause::InvalidInput {
        what: "the destination of a copy",
        limit: "a <disk> element",
        given,
    })
}

impl From<&str> for CopyDestination {
    /// A [file](Self::file).
    fn from(path: &str) -> Self {
        Self::file(path)
    }
}

impl From<String> for CopyDestination {
    /// A [file](Self::file).
    fn from(path: String) -> Self {
        Self::file(path)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(destination: &CopyDestination) -> (Option<Source>, Option<String>) {
        let xml = CopyDestination::xml(destination.to_xml());
        xml.described().unwrap()
    }

    #[test]
    fn every_kind_of_destination_is_written_as_it_is_read() {
        let host = NetworkHost {
            name: Some("h".to_owned()),
            port: Some("10809".to_owned()),
            ..NetworkHost::default()
        };
        let socket = NetworkHost {
            transport: Some("unix".to_owned()),
            socket: Some("/run/nbd".to_owned()),
            ..NetworkHost::default()
        };
        for destination in [
            CopyDestination::file("/x").format("raw"),
            CopyDestination::block("/dev/x"),
            CopyDestination::network("nbd", Some("export".to_owned()), [host, socket])
                .format("raw"),
            CopyDestination::network("rbd", None, []),
        ] {
            assert_eq!(read(&destination), destination.described().unwrap());
        }
    }

    #[test]
    fn other_xml_is_refused_and_nothing_is_sent() {
        for xml in ["", "<domain/>", "<disk", "text"] {
            let error = CopyDestination::xml(xml).described().unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::InvalidInput, "{xml}");
        }
    }

    proptest! {
        #[test]
        fn any_path_survives(path in "[^\u{0}-\u{1f}\u{7f}-\u{9f}\u{fffe}\u{ffff}]{1,40}", format in "[a-z0-9]{1,8}") {
            let destination = CopyDestination::file(path).format(format);
            prop_assert_eq!(read(&destination), destination.described().unwrap());
        }
    }
}
