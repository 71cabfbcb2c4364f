//! What users note about a domain or a network: title, description, and elements of their own.

use virtwire_protocol::RemoteError;
use virtwire_protocol::constants::DomainMetadataType;

use super::domain::described::fault;
use crate::refusal::{Result, invalid};
use crate::xml::{Element, Node};

/// Something that is noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Note {
    Title,
    Description,
    /// An element of this namespace.
    Element(String),
}

impl Note {
    /// What a call means; the numbers are the same for networks.
    pub(crate) fn of(kind: DomainMetadataType, uri: Option<String>) -> Option<Self> {
        match kind {
            DomainMetadataType::DESCRIPTION => Some(Self::Description),
            DomainMetadataType::TITLE => Some(Self::Title),
            DomainMetadataType::ELEMENT => Some(Self::Element(uri.unwrap_or_default())),
            _ => None,
        }
    }

    /// What is noted.
    pub(crate) fn read(&self, config: &Element) -> Option<String> {
        match self {
            Self::Title => config.child_text("title"),
            Self::Description => config.child_text("description"),
            Self::Element(uri) => {
                let mut all = config
                    .child("metadata")
                    .into_iter()
                    .flat_map(Element::elements);
                let found = all.find(|element| namespace(element) == Some(uri));
                found.map(|element| without_namespace(element.clone()).to_libxml())
            }
        }
    }

    /// Notes something else; nothing when `text` is none.
    pub(crate) fn write(
        &self,
        config: &mut Element,
        text: Option<&str>,
        key: Option<&str>,
    ) -> Result<()> {
        match self {
            Self::Title => write_text(config, "title", text),
            Self::Description => write_text(config, "description", text),
            Self::Element(uri) => return write_element(config, uri, text, key),
        }
        Ok(())
    }
}

/// Where the notes stand: after the name and the UUID.
fn place(config: &mut Element, element: Element) {
    const BEFORE: &[&str] = &["name", "uuid", "genid", "title", "description", "metadata"];
    let rank = BEFORE.iter().position(|name| *name == element.name);
    let before = |node: &Node| match node {
        Node::Element(child) => BEFORE
            .iter()
            .position(|name| *name == child.name)
            .is_some_and(|at| Some(at) < rank),
        Node::Text(_) => false,
    };
    let at = config
        .children
        .iter()
        .rposition(before)
        .map_or(0, |at| at + 1);
    config.children.insert(at, Node::Element(element));
}

fn write_text(config: &mut Element, name: &str, text: Option<&str>) {
    config.remove(name);
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        place(config, Element::new(name).with_text(text));
    }
}

fn write_element(
    config: &mut Element,
    uri: &str,
    text: Option<&str>,
    key: Option<&str>,
) -> Result<()> {
    let new = match text {
        Some(text) => {
            let parsed = Element::parse(text).map_err(|error| fault(&error.to_string()))?;
            Some(with_namespace(parsed, uri, key)?)
        }
        None => None,
    };
    let mut metadata = config
        .child("metadata")
        .cloned()
        .unwrap_or_else(|| Element::new("metadata"));
    metadata
        .children
        .retain(|node| !matches!(node, Node::Element(one) if namespace(one) == Some(uri)));
    metadata.children.extend(new.map(Node::Element));
    config.remove("metadata");
    if metadata.elements().next().is_some() {
        place(config, metadata);
    }
    Ok(())
}

fn prefix(element: &Element) -> Option<&str> {
    element.name.split_once(':').map(|(prefix, _)| prefix)
}

/// The namespace that an element declares for itself.
fn namespace(element: &Element) -> Option<&str> {
    match prefix(element) {
        Some(prefix) => element.attribute(&format!("xmlns:{prefix}")),
        None => element.attribute("xmlns"),
    }
}

/// As libvirt stores it: in a namespace, with the prefix that the caller chose.
fn with_namespace(element: Element, uri: &str, key: Option<&str>) -> Result<Element> {
    let key = key.filter(|key| !key.is_empty()).ok_or_else(no_prefix)?;
    let mut element = rename(element, None, Some(key));
    element
        .attributes
        .insert(0, (format!("xmlns:{key}"), uri.to_owned()));
    Ok(element)
}

/// As libvirt gives it back: without the namespace.
fn without_namespace(element: Element) -> Element {
    let prefix = prefix(&element).map(str::to_owned);
    let mut element = rename(element, prefix.as_deref(), None);
    match &prefix {
        Some(prefix) => element.unset(&format!("xmlns:{prefix}")),
        None => element.unset("xmlns"),
    }
    element
}

/// Gives an element and what is in it another prefix. The parser bounds the depth.
fn rename(mut element: Element, from: Option<&str>, to: Option<&str>) -> Element {
    let name = match (prefix(&element), from) {
        (None, None) => Some(element.name.as_str()),
        (Some(prefix), Some(from)) if prefix == from => {
            element.name.split_once(':').map(|(_, name)| name)
        }
        _ => None,
    };
    if let Some(name) = name {
        element.name = match to {
            Some(to) => format!("{to}:{name}"),
            None => name.to_owned(),
        };
    }
    for node in &mut element.children {
        if let Node::Element(child) = node {
            *child = rename(std::mem::take(child), from, to);
        }
    }
    element
}

fn no_prefix() -> RemoteError {
    invalid("key in virDomainSetMetadata must not be NULL")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn element_of_ones_own_is_kept_in_its_namespace() {
        let mut config =
            Element::parse("<domain><name>a</name><memory>1</memory></domain>").unwrap();
        let kind = DomainMetadataType::ELEMENT;
        let note = Note::of(kind, Some("urn:x".to_owned())).unwrap();
        assert!(note.read(&config).is_none());
        note.write(&mut config, Some("<app a='1'><in/></app>"), Some("my"))
            .unwrap();
        let text = config.to_string();
        assert!(
            text.contains("<my:app xmlns:my=\"urn:x\" a=\"1\">\n      <my:in/>"),
            "{text}"
        );
        assert_eq!(
            note.read(&config).unwrap(),
            "<app a=\"1\">\n  <in/>\n</app>"
        );
        note.write(&mut config, None, None).unwrap();
        assert!(config.child("metadata").is_none());
    }

    #[test]
    fn notes_stand_where_libvirt_writes_them() {
        let mut config =
            Element::parse("<domain><name>a</name><uuid/><memory>1</memory></domain>").unwrap();
        Note::Description
            .write(&mut config, Some("d"), None)
            .unwrap();
        Note::Title.write(&mut config, Some("t"), None).unwrap();
        let names: Vec<_> = config.elements().map(|child| child.name.as_str()).collect();
        assert_eq!(names, ["name", "uuid", "title", "description", "memory"]);
        Note::Title.write(&mut config, Some(""), None).unwrap();
        assert!(config.child("title").is_none());
    }
}
