//! One image of a disk, as the XML describes it.

use crate::hypervisor::image::Backing;
use crate::xml::Element;

/// One image of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layer {
    /// Its number in a running domain; 0 in a definition.
    pub(crate) index: u32,
    /// `file`, `block`, `network`, …
    pub(crate) kind: String,
    pub(crate) format: Option<String>,
    /// `<source>`, without the number.
    pub(crate) source: Element,
    /// Whether the image's own header named it and not the XML.
    pub(crate) detected: bool,
    /// What the header said of it, if that was relative to the image that says it.
    pub(crate) relative: Option<String>,
}

impl Layer {
    /// The image of an element with `<source>` in it; `None` when it has none.
    pub(crate) fn read(element: &Element, format: Option<String>) -> Option<Self> {
        let mut source = element.child("source")?.clone();
        source.unset("index");
        let layer = Self {
            index: 0,
            kind: element.attribute("type").unwrap_or("file").to_owned(),
            format,
            source,
            detected: false,
            relative: None,
        };
        layer.location().map(|_| layer)
    }

    /// The image that the header of this one names.
    pub(crate) fn detect(&self, backing: &Backing) -> Self {
        let url = split_url(&backing.location);
        let relative = url.is_none() && !backing.location.starts_with('/');
        let (kind, source) = match url {
            Some(source) => ("network", source),
            None => {
                let directory = self.path().and_then(|path| path.rsplit_once('/'));
                let path = match directory.filter(|_| relative) {
                    Some((directory, _)) => format!("{directory}/{}", backing.location),
                    None => backing.location.clone(),
                };
                ("file", Element::new("source").with("file", path))
            }
        };
        Self {
            index: 0,
            kind: kind.to_owned(),
            format: backing.format.clone(),
            source,
            detected: true,
            relative: relative.then(|| backing.location.clone()),
        }
    }

    /// A file.
    pub(crate) fn file(path: &str, format: Option<&str>) -> Self {
        Self {
            index: 0,
            kind: String::from("file"),
            format: format.map(str::to_owned),
            source: Element::new("source").with("file", path),
            detected: false,
            relative: None,
        }
    }

    /// Where it is: a path, or a URL. Two layers of the same location are the same image.
    pub(crate) fn location(&self) -> Option<String> {
        if self.kind == "network" {
            return self.url();
        }
        if self.kind == "volume" {
            let pool = self.source.attribute("pool")?;
            return Some(format!("{pool}/{}", self.source.attribute("volume")?));
        }
        self.path().map(str::to_owned)
    }

    /// What libvirt calls its path; of an image in the network that is its name.
    pub(crate) fn path(&self) -> Option<&str> {
        let attribute = match self.kind.as_str() {
            "block" => "dev",
            "dir" => "dir",
            "network" => "name",
            "volume" => "volume",
            _ => "file",
        };
        self.source.attribute(attribute)
    }

    /// Whether it is a file, a device or a directory of this host.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self.kind.as_str(), "file" | "block" | "dir")
    }

    /// What it says in the header of an image that stands on it.
    pub(crate) fn backing(&self, relative: bool) -> Option<Backing> {
        let relative = self.relative.clone().filter(|_| relative);
        Some(Backing {
            location: relative.or_else(|| self.location())?,
            format: self.format.clone(),
        })
    }

    /// QEMU's name for the image of a number.
    pub(crate) fn node_of(index: u32) -> String {
        format!("libvirt-{index}-format")
    }

    /// Without what only a running domain knows.
    pub(crate) fn at_rest(&self) -> Self {
        Self {
            index: 0,
            ..self.clone()
        }
    }

    /// `<source>`, with the number where there is one and it is wanted.
    pub(crate) fn source_with_index(&self) -> Element {
        match self.index {
            0 => self.source.clone(),
            index => self.source.clone().with("index", index),
        }
    }

    fn url(&self) -> Option<String> {
        let protocol = self.source.attribute("protocol")?;
        let name = self.source.attribute("name").unwrap_or_default();
        let Some(host) = self.source.child("host") else {
            return Some(format!("{protocol}:{name}"));
        };
        if let Some(socket) = host.attribute("socket") {
            return Some(format!("{protocol}+unix:///{name}?socket={socket}"));
        }
        let host_name = host.attribute("name").unwrap_or_default();
        let port = host.attribute("port").map(|port| format!(":{port}"));
        let port = port.unwrap_or_default();
        Some(format!("{protocol}://{host_name}{port}/{name}"))
    }
}

/// `<source>` of an image in the network, if the location is a URL.
fn split_url(location: &str) -> Option<Element> {
    let (protocol, rest) = location.split_once(':')?;
    if protocol.is_empty() || protocol.contains('/') {
        return None;
    }
    let source = Element::new("source").with("protocol", protocol.trim_end_matches("+unix"));
    let Some(rest) = rest.strip_prefix("//") else {
        return Some(source.with("name", rest));
    };
    let (host, name) = rest.split_once('/').unwrap_or((rest, ""));
    if let Some((name, socket)) = name.split_once("?socket=") {
        let host = Element::new("host").with("transport", "unix");
        return Some(
            source
                .with("name", name)
                .with_child(host.with("socket", socket)),
        );
    }
    let element = Element::new("host");
    let host = match host.rsplit_once(':') {
        Some((name, port)) => element.with("name", name).with("port", port),
        None => element.with("name", host),
    };
    Some(source.with("name", name).with_child(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_sources_are_the_same() {
        for url in [
            "nbd://host:10809/export",
            "iscsi://host/iqn.2010:x/0",
            "nbd+unix:///export?socket=/run/nbd.sock",
            "rbd:pool/image",
        ] {
            let backing = Backing {
                location: url.to_owned(),
                format: None,
            };
            let layer = Layer::file("/images/top", None).detect(&backing);
            assert_eq!(layer.kind, "network", "{url}");
            assert!(!layer.is_local());
            assert_eq!(layer.location().as_deref(), Some(url));
        }
        let file = Layer::file("/images/a:b.qcow2", Some("qcow2"));
        assert_eq!(file.location().as_deref(), Some("/images/a:b.qcow2"));
        assert_eq!(file.detect(&file.backing(false).unwrap()).kind, "file");
        let backing = Backing {
            location: String::from("base.qcow2"),
            format: None,
        };
        let below = file.detect(&backing);
        assert_eq!(below.path(), Some("/images/base.qcow2"));
        assert_eq!(below.backing(true), Some(backing));
    }
}
