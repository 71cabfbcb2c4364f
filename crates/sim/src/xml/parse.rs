//! From text to a tree, without recursion and within bounds.

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use thiserror::Error;

use super::{Element, Node};

/// How deeply elements may be nested.
const MAX_DEPTH: usize = 128;

/// A text that is not one well-formed element.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("malformed at byte {offset}: {problem}")]
pub(crate) struct XmlError {
    offset: u64,
    problem: String,
}

impl Element {
    /// Reads a document: one element, and comments around it.
    pub(crate) fn parse(text: &str) -> Result<Self, XmlError> {
        let mut reader = Reader::from_str(text);
        let mut open: Vec<Self> = Vec::new();
        let mut root = None;
        loop {
            let event = reader.read_event();
            let fail = |problem: &str| XmlError {
                offset: reader.buffer_position(),
                problem: problem.to_owned(),
            };
            let event = event.map_err(|error| fail(&error.to_string()))?;
            let closed = match event {
                Event::Start(start) => {
                    if open.len() == MAX_DEPTH {
                        return Err(fail("elements are nested too deeply"));
                    }
                    open.push(element(&start).map_err(|problem| fail(&problem))?);
                    None
                }
                Event::Empty(start) => Some(element(&start).map_err(|problem| fail(&problem))?),
                Event::End(_) => open.pop(),
                Event::Eof if open.is_empty() => {
                    return root.ok_or_else(|| fail("there is no element"));
                }
                Event::Eof => return Err(fail("an element is not closed")),
                event => {
                    match (
                        characters(event).map_err(|problem| fail(&problem))?,
                        open.last_mut(),
                    ) {
                        (Some(text), Some(parent)) => parent.push_text(&text),
                        (Some(text), None) if !text.trim().is_empty() => {
                            return Err(fail("there is text outside of the element"));
                        }
                        _ => {}
                    }
                    None
                }
            };
            if let Some(mut element) = closed {
                element.drop_white_space();
                match open.last_mut() {
                    Some(parent) => parent.push(element),
                    None if root.is_none() => root = Some(element),
                    None => return Err(fail("there is more than one element")),
                }
            }
        }
    }

    fn push_text(&mut self, text: &str) {
        match self.children.last_mut() {
            Some(Node::Text(before)) => before.push_str(text),
            _ => self.children.push(Node::Text(text.to_owned())),
        }
    }

    /// White space between elements is layout.
    fn drop_white_space(&mut self) {
        self.children
            .retain(|node| !matches!(node, Node::Text(text) if text.trim().is_empty()));
    }
}

fn element(start: &BytesStart<'_>) -> Result<Element, String> {
    let mut element = Element::new(utf8(start.name().as_ref())?);
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|error| error.to_string())?;
        let name = utf8(attribute.key.as_ref())?.to_owned();
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
        Event::CData(data) => Ok(Some(utf8(&data)?.to_owned())),
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

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|error| error.to_string())
}
