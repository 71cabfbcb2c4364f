//! A disk's images from the top to the bottom, in a running domain and in a definition.

use virtwire_protocol::RemoteError;
use virtwire_protocol::constants::{ErrorCode, ErrorDomain};

use super::layer::Layer;
use crate::hypervisor::image::Images;
use crate::refusal::{Result, from_domain, refusal};
use crate::xml::{Element, Node};

/// How many images may stand on each other.
pub(crate) const MAX_DEPTH: usize = 200;

/// A disk's images, the one that the guest writes to first. No images at all: an empty drive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Chain {
    pub(crate) layers: Vec<Layer>,
    /// Whether the last is known to stand on nothing. In a definition that may be left open.
    pub(crate) terminated: bool,
}

/// Reading.
impl Chain {
    /// What a `<disk>` says of its images.
    pub(crate) fn read(disk: &Element) -> Self {
        let format = disk.child("driver").and_then(|it| it.attribute("type"));
        let mut chain = Self::default();
        let Some(top) = Layer::read(disk, format.map(str::to_owned)) else {
            return chain;
        };
        chain.layers.push(top);
        let mut element = disk;
        while let Some(below) = element.child("backingStore") {
            let format = below.child("format").and_then(|it| it.attribute("type"));
            match Layer::read(below, format.map(str::to_owned)) {
                Some(layer) => chain.layers.push(layer),
                None => chain.terminated = true,
            }
            element = below;
        }
        chain
    }

    /// Finds out what the XML left open, as libvirt does from the images' headers.
    pub(crate) fn detect(&mut self, images: &Images) -> Result<()> {
        while !self.terminated {
            let Some(last) = self.layers.last() else {
                return Ok(());
            };
            let location = last.location().unwrap_or_default();
            let image = images.get(&location);
            match image.and_then(|image| image.header()) {
                Some(backing) if last.format.as_deref() != Some("raw") => {
                    let mut layer = last.detect(backing);
                    if layer.format.is_none() {
                        let found = layer.location().and_then(|at| images.get(&at));
                        layer.format = Some(found.map_or("raw", |image| image.format()).to_owned());
                    }
                    self.layers.push(layer);
                }
                _ => self.terminated = true,
            }
            if self.layers.len() > MAX_DEPTH {
                let about =
                    format!("backing chains more than {MAX_DEPTH} layers deep are not supported");
                return Err(refusal(ErrorCode::OPERATION_UNSUPPORTED, about));
            }
        }
        Ok(())
    }

    /// Has images that nobody described come into being.
    pub(crate) fn make_up(&self, images: &mut Images) -> Result<()> {
        for (position, layer) in self.layers.iter().enumerate() {
            let location = layer.location().unwrap_or_default();
            if images.get(&location).is_none() {
                let image = images.get_or_default(&location, layer.format.as_deref());
                images.put(&location, image)?;
                let below = self.layers.get(position + 1);
                images.rebase(&location, below.and_then(|below| below.backing(false)));
            }
        }
        Ok(())
    }

    /// The image that the guest writes to.
    pub(crate) fn top(&self) -> Option<&Layer> {
        self.layers.first()
    }

    /// Where the image of a number is.
    pub(crate) fn position(&self, index: u32) -> Option<usize> {
        self.layers.iter().position(|layer| layer.index == index)
    }

    /// Finds an image by what a client calls it: nothing at all for the last one, `vda[3]`, a
    /// path. `above` is the image that it has to be below of.
    pub(crate) fn lookup(
        &self,
        name: Option<&str>,
        above: Option<usize>,
        target: &str,
    ) -> Result<usize> {
        let first = above.map_or(0, |above| above + 1);
        let Some(name) = name else {
            let last = self.layers.len().checked_sub(1);
            return last.filter(|&last| last >= first).ok_or_else(|| {
                not_found(&format!(
                    "could not find base image in chain for '{target}'"
                ))
            });
        };
        let numbered = parse_indexed(name);
        if let Some((disk, index)) = numbered {
            if disk != target {
                let what = format!("requested target '{disk}' does not match target '{target}'");
                return Err(not_found(&what));
            }
            let found = self.position(index).filter(|&found| found >= first);
            return found.ok_or_else(|| {
                not_found(&format!(
                    "could not find backing store index '{index}' in chain for '{target}'"
                ))
            });
        }
        let mut candidates = self.layers.iter().enumerate().skip(first);
        let found = candidates.find(|(_, layer)| {
            layer.path() == Some(name) || layer.relative.as_deref() == Some(name)
        });
        found.map(|(position, _)| position).ok_or_else(|| {
            let beneath = above.and_then(|above| self.layers.get(above));
            let beneath = beneath.and_then(Layer::path).unwrap_or_default();
            let beneath = above.map(|_| format!("beneath '{beneath}' "));
            let beneath = beneath.unwrap_or_default();
            not_found(&format!(
                "could not find image '{name}' {beneath}in chain for '{target}'"
            ))
        })
    }

    /// The images that a commit is from and to.
    pub(crate) fn stretch(
        &self,
        top: Option<&str>,
        base: Option<&str>,
        shallow: bool,
        target: &str,
    ) -> Result<(usize, usize)> {
        let top = match top {
            Some(top) if top != target => self.lookup(Some(top), None, target)?,
            _ => 0,
        };
        if shallow && base.is_none() {
            return Ok((top, top + 1));
        }
        Ok((top, self.lookup(base, Some(top), target)?))
    }

    /// Whether the images down to `last` (all of them if `None`) are the same in both.
    pub(crate) fn same_down_to(&self, other: &Self, last: Option<usize>) -> bool {
        let all = self.layers.len().max(other.layers.len());
        let count = last.map_or(all, |last| last + 1);
        (0..count).all(|at| {
            let of = |chain: &Self| chain.layers.get(at).and_then(Layer::location);
            of(self).is_some() && of(self) == of(other)
        })
    }

    /// Whether the guest writes to the same image in both.
    pub(crate) fn same_top(&self, other: &Self) -> bool {
        self.same_down_to(other, Some(0))
    }
}

/// Writing.
impl Chain {
    /// As it belongs into a definition: without numbers, and without what is detected anew.
    pub(crate) fn at_rest(&self) -> Self {
        let detected = self.layers.iter().skip(1).position(|layer| layer.detected);
        let kept = detected.map_or(self.layers.len(), |below| below + 1);
        Self {
            layers: self.layers.iter().take(kept).map(Layer::at_rest).collect(),
            terminated: self.terminated && kept == self.layers.len(),
        }
    }

    /// Writes the images into a `<disk>`.
    pub(crate) fn write(&self, disk: &mut Element) {
        disk.remove("source");
        disk.remove("backingStore");
        disk.remove("mirror");
        let Some(top) = self.top() else {
            return;
        };
        disk.set("type", &top.kind);
        if let Some(format) = &top.format {
            match disk.child_mut("driver") {
                Some(driver) => driver.set("type", format),
                None => {
                    let driver = Element::new("driver").with("name", "qemu");
                    disk.push_front(driver.with("type", format));
                }
            }
        }
        put_after(disk, top.source_with_index(), &["driver", "auth"]);
        if let Some(backing) = self.backing_store() {
            put_after(disk, backing, &["source"]);
        }
    }

    /// `<backingStore>` of the first image.
    pub(crate) fn backing_store(&self) -> Option<Element> {
        let mut below = self.terminated.then(|| Element::new("backingStore"));
        for layer in self.layers.iter().skip(1).rev() {
            let mut element = Element::new("backingStore").with("type", &layer.kind);
            if layer.index != 0 {
                element.set("index", layer.index);
            }
            let format = layer.format.as_deref().unwrap_or("raw");
            element.push(Element::new("format").with("type", format));
            element.push(layer.source.clone());
            if let Some(below) = below.take() {
                element.push(below);
            }
            below = Some(element);
        }
        below
    }
}

/// Puts a child behind the last of those that come before it, which are named.
pub(crate) fn put_after(parent: &mut Element, child: Element, before: &[&str]) {
    let position = parent.children.iter().rposition(
        |node| matches!(node, Node::Element(element) if before.contains(&element.name.as_str())),
    );
    let position = position.map_or(0, |position| position + 1);
    parent.children.insert(position, Node::Element(child));
}

/// `vda[3]`: a disk's target and the number of one of its images.
pub(crate) fn parse_indexed(name: &str) -> Option<(&str, u32)> {
    let (target, index) = name.strip_suffix(']')?.split_once('[')?;
    Some((target, index.parse().ok()?))
}

fn not_found(about: &str) -> RemoteError {
    from_domain(ErrorDomain::STORAGE, ErrorCode::INVALID_ARG, about)
}
