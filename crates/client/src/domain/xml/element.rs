//! Small documents as trees, from text and to it: what a backup, a checkpoint or a snapshot is to
//! be, and what the daemon says of one.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::io;

use quick_xml::escape::escape;
use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};
use quick_xml::name::QName;
use quick_xml::{Reader, Writer, XmlVersion};

use super::{MAX_XML_BYTES, XmlError};

/// How deeply elements may be nested: a snapshot holds a whole domain, backing chains included.
const MAX_DEPTH: usize = 1024;

/// An element with what is in it. Text beside elements is not kept apart from them, which no
/// document of libvirt's needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    children: Vec<Self>,
    text: String,
}

impl Element {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// The same element with an attribute.
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.attributes.push((name.to_owned(), value.into()));
        self
    }

    /// The same element with an attribute, if there is a value for it.
    pub(crate) fn with_some(self, name: &str, value: Option<&String>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// The same element with an element in it.
    pub(crate) fn with_child(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    /// The same element with these elements in it.
    pub(crate) fn with_children(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children);
        self
    }

    /// The same element with text in it.
    pub(crate) fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        let mut attributes = self.attributes.iter();
        let (_, value) = attributes.find(|(key, _)| key == name)?;
        Some(value)
    }

    /// The first element of this name.
    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of the first element of this name.
    pub(crate) fn child_text(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.as_str())
    }

    /// The `<disk>`s of `<disks>`, which is how all of these documents have them.
    pub(crate) fn disks(&self) -> impl Iterator<Item = &Self> {
        let disks = self.child("disks").into_iter();
        disks
            .flat_map(|disks| &disks.children)
            .filter(|disk| disk.name == "disk")
    }

    /// Reads a document whose outermost element is `root`.
    pub(crate) fn parse(text: &str, root: &'static str) -> Result<Self, XmlError> {
        if text.len() > MAX_XML_BYTES {
            return Err(XmlError::TooLong { length: text.len() });
        }
        let mut reader = Reader::from_str(text);
        let mut tree = Tree::default();
        loop {
            let event = reader.read_event();
            let malformed = |problem: String| XmlError::Malformed {
                offset: reader.error_position().max(reader.buffer_position()),
                problem,
            };
            match event.map_err(|error| malformed(error.to_string()))? {
                Event::Start(start) => {
                    tree.open.push(read_start(&start).map_err(malformed)?);
                    if tree.open.len() > MAX_DEPTH {
                        return Err(XmlError::TooDeep { limit: MAX_DEPTH });
                    }
                }
                Event::Empty(start) => {
                    let element = read_start(&start).map_err(malformed)?;
                    tree.close(Some(element)).map_err(malformed)?;
                }
                Event::End(_) => {
                    let element = tree.open.pop();
                    tree.close(element).map_err(malformed)?;
                }
                Event::Eof => return tree.finish(root).map_err(malformed)?,
                event => {
                    let text = characters(event).map_err(malformed)?;
                    tree.add_text(&text.unwrap_or_default())
                        .map_err(malformed)?;
                }
            }
        }
    }

    fn write(&self, writer: &mut Writer<Vec<u8>>) -> io::Result<()> {
        let mut start = BytesStart::new(&self.name);
        for (name, value) in &self.attributes {
            start.push_attribute(Attribute {
                key: QName(name.as_bytes()),
                value: Cow::Owned(escape_value(value).into_bytes()),
            });
        }
        if self.children.is_empty() && self.text.is_empty() {
            return writer.write_event(Event::Empty(start));
        }
        writer.write_event(Event::Start(start))?;
        let text = escape_text(&self.text);
        writer.write_event(Event::Text(BytesText::from_escaped(text)))?;
        for child in &self.children {
            child.write(writer)?;
        }
        writer.write_event(Event::End(BytesEnd::new(&self.name)))
    }
}

impl Display for Element {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut writer = Writer::new(Vec::new());
        self.write(&mut writer).map_err(|_| fmt::Error)?;
        f.write_str(&String::from_utf8_lossy(&writer.into_inner()))
    }
}

/// What has been read so far.
#[derive(Default)]
struct Tree {
    open: Vec<Element>,
    root: Option<Element>,
}

impl Tree {
    fn close(&mut self, element: Option<Element>) -> Result<(), String> {
        let Some(mut element) = element else {
            return Err("an element ends that has not begun".to_owned());
        };
        if !element.children.is_empty() && element.text.trim().is_empty() {
            // White space between elements is layout.
            element.text.clear();
        }
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None if self.root.is_none() => self.root = Some(element),
            None => return Err("there is more than one element".to_owned()),
        }
        Ok(())
    }

    fn add_text(&mut self, text: &str) -> Result<(), String> {
        match self.open.last_mut() {
            Some(parent) => parent.text.push_str(text),
            None if text.trim().is_empty() => {}
            None => return Err("there is text outside of the element".to_owned()),
        }
        Ok(())
    }

    fn finish(self, expected: &'static str) -> Result<Result<Element, XmlError>, String> {
        if !self.open.is_empty() {
            return Err("it ends too early".to_owned());
        }
        let root = self.root.unwrap_or_default();
        Ok(if root.name == expected {
            Ok(root)
        } else {
            Err(XmlError::UnexpectedRoot {
                expected,
                root: root.name,
            })
        })
    }
}

fn read_start(start: &BytesStart<'_>) -> Result<Element, String> {
    let mut element = Element::new(&String::from_utf8_lossy(start.name().as_ref()));
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|error| error.to_string())?;
        let name = String::from_utf8_lossy(attribute.key.as_ref()).into_owned();
        element.attributes.push((name, value.into_owned()));
    }
    Ok(element)
}

/// The text that an event stands for, if it stands for any.
fn characters(event: Event<'_>) -> Result<Option<String>, String> {
    match event {
        Event::Text(text) => {
            let text = text.decode().map_err(|error| error.to_string())?;
            Ok(Some(text.into_owned()))
        }
        Event::CData(data) => Ok(Some(String::from_utf8_lossy(&data).into_owned())),
        Event::GeneralRef(reference) => {
            if let Ok(Some(character)) = reference.resolve_char_ref() {
                return Ok(Some(character.to_string()));
            }
            let name = reference.decode().map_err(|error| error.to_string())?;
            let text = quick_xml::escape::resolve_xml_entity(&name);
            let text = text.ok_or_else(|| format!("the entity {name} is not defined"))?;
            Ok(Some(text.to_owned()))
        }
        _ => Ok(None),
    }
}

/// White space in a value becomes spaces for who reads it, unless it is written as a reference.
fn escape_value(value: &str) -> String {
    escape_text(value)
        .replace('\n', "&#10;")
        .replace('\t', "&#9;")
}

/// A carriage return becomes a line feed for who reads it, unless it is written as a reference.
fn escape_text(text: &str) -> String {
    escape(text).replace('\r', "&#13;")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What XML 1.0 can say at all.
    fn text() -> impl Strategy<Value = String> {
        let characters = prop_oneof![
            4 => proptest::char::range(' ', '\u{d7ff}'),
            2 => proptest::sample::select(vec!['<', '>', '&', '\'', '"', '\n', '\t', '\r', ']', ';']),
            1 => proptest::char::range('\u{10000}', '\u{10ffff}'),
        ];
        proptest::collection::vec(characters, 1..20).prop_map(String::from_iter)
    }

    fn tree() -> impl Strategy<Value = Element> {
        let attributes = proptest::option::of(text());
        let leaf = (attributes, proptest::option::of(text())).prop_map(|(value, text)| {
            Element::new("leaf")
                .with_some("a", value.as_ref())
                .with_text(text.unwrap_or_default())
        });
        leaf.prop_recursive(4, 32, 4, |inner| {
            (text(), proptest::collection::vec(inner, 1..4))
                .prop_map(|(value, inner)| Element::new("x").with("b", value).with_children(inner))
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(inner in tree()) {
            let written = Element::new("root").with_child(inner);
            let read = Element::parse(&written.to_string(), "root");
            prop_assert_eq!(read.unwrap(), written);
        }

        #[test]
        fn nothing_that_is_given_becomes_markup(value in text()) {
            let written = Element::new("root")
                .with("a", &value)
                .with_child(Element::new("b").with_text(&value));
            let read = Element::parse(&written.to_string(), "root").unwrap();
            prop_assert_eq!(read.attributes.len(), 1);
            prop_assert_eq!(read.attribute("a"), Some(value.as_str()));
            prop_assert_eq!(read.children.len(), 1);
            prop_assert_eq!(read.child_text("b"), Some(value.as_str()));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[<>/a&;'=\" \\[\\]!-]{0,60}") {
            let _ = Element::parse(&text, "a");
        }
    }

    #[test]
    fn layout_is_not_text() {
        let read = Element::parse("<?xml version='1.0'?>\n<a>\n  <b>x y</b>\n <c/></a>\n", "a");
        let expected = Element::new("a")
            .with_child(Element::new("b").with_text("x y"))
            .with_child(Element::new("c"));
        assert_eq!(read.unwrap(), expected);
    }

    #[test]
    fn what_is_no_such_document_is_refused() {
        let refused = |text: &str| Element::parse(text, "a").unwrap_err();
        assert!(matches!(
            refused("<b/>"),
            XmlError::UnexpectedRoot { expected: "a", root } if root == "b"
        ));
        assert!(matches!(refused(""), XmlError::UnexpectedRoot { .. }));
        for text in ["<a>", "<a/><a/>", "<a/>x", "</a>", "<a>&what;</a>", "<a"] {
            assert!(
                matches!(refused(text), XmlError::Malformed { .. }),
                "{text}"
            );
        }
        let deep = "<a>".repeat(MAX_DEPTH + 1);
        assert!(matches!(refused(&deep), XmlError::TooDeep { .. }));
    }
}
