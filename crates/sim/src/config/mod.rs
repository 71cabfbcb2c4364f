//! What is there from the start: from a configuration in the format of libvirt's test driver, or a
//! fleet of made-up domains.

mod domain;
mod fleet;
mod host;
mod storage;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use virtwire_protocol::RemoteError;

pub(crate) use self::fleet::fleet;
use crate::hypervisor::Hypervisor;
use crate::xml::Element;

/// Why there cannot be what a configuration says.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A text is not XML.
    #[error("{} is not XML: {problem}", origin.display())]
    Xml {
        /// The file that it stands in, or the configuration itself.
        origin: PathBuf,
        /// Where it goes wrong, and how.
        problem: String,
    },
    /// A text is the XML of something else.
    #[error("the element <{found}> stands where <{expected}> should")]
    Element {
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// A number is none, or out of its range.
    #[error("<{element}> cannot be {value:?}")]
    Number {
        /// The element.
        element: String,
        /// What is in it.
        value: String,
    },
    /// A combination of states that no domain can be in.
    #[error("domain {name} cannot be so: {problem}")]
    State {
        /// The domain.
        name: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// Libvirt would refuse this object.
    #[error("{kind} {name:?} is refused: {}", reason.message.as_deref().unwrap_or_default())]
    Refused {
        /// The kind of object.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Why.
        reason: Box<RemoteError>,
    },
}

/// Adds what a configuration says. Files that it names are found from `directory`.
pub(crate) fn load(
    hypervisor: &mut Hypervisor,
    text: &str,
    directory: &Path,
) -> Result<(), ConfigError> {
    let node = parse(text, Path::new("the configuration"))?;
    if node.name != "node" {
        return Err(ConfigError::Element {
            expected: "node",
            found: node.name,
        });
    }
    host::load(hypervisor, &node)?;
    // What domains need comes before them.
    for kind in ["network", "pool", "domain"] {
        for element in node.elements().filter(|element| element.name == kind) {
            let (found, from) = included(element, directory)?;
            if found.name != kind {
                return Err(ConfigError::Element {
                    expected: kind,
                    found: found.name,
                });
            }
            match kind {
                "network" => storage::network(hypervisor, &found)?,
                "pool" => storage::pool(hypervisor, found, &from)?,
                _ => domain::load(hypervisor, found)?,
            }
        }
    }
    Ok(())
}

/// Adds a domain from its XML, with the elements of libvirt's test driver that say its state.
pub(crate) fn load_domain(hypervisor: &mut Hypervisor, xml: &str) -> Result<(), ConfigError> {
    domain::load(hypervisor, parse(xml, Path::new("the domain"))?)
}

/// Reads a file.
pub(crate) fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })
}

fn parse(text: &str, origin: &Path) -> Result<Element, ConfigError> {
    Element::parse(text).map_err(|error| ConfigError::Xml {
        origin: origin.to_owned(),
        problem: error.to_string(),
    })
}

/// The element itself, or what stands in the file that it names; and where its own files are.
fn included(element: &Element, directory: &Path) -> Result<(Element, PathBuf), ConfigError> {
    let Some(file) = element.attribute("file") else {
        return Ok((element.clone(), directory.to_owned()));
    };
    let path = directory.join(file);
    let found = parse(&read(&path)?, &path)?;
    Ok((found, path.parent().unwrap_or(directory).to_owned()))
}

fn refused(kind: &'static str, name: &str) -> impl FnOnce(RemoteError) -> ConfigError {
    let name = name.to_owned();
    move |reason| ConfigError::Refused {
        kind,
        name,
        reason: Box::new(reason),
    }
}

#[cfg(test)]
mod tests;
