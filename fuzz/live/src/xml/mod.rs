//! XML as the fuzzer needs it: small trees that can be taken apart and put together wrongly.

mod grammar;
mod mutate;

pub use self::grammar::{Kind, document};
pub use self::mutate::{mutate, tame};

/// An element with all that is in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Element {
    /// The name.
    pub name: String,
    /// The attributes, in order.
    pub attributes: Vec<(String, String)>,
    /// The elements in it.
    pub children: Vec<Self>,
    /// The text in it, without its elements; neither has any meaning between the other.
    pub text: String,
}

impl Element {
    /// Reads a document of elements, attributes and text. Anything else, such as comments, is
    /// skipped, and what is no XML gives nothing.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut open: Vec<Self> = Vec::new();
        let mut rest = text;
        loop {
            let (before, after) = rest.split_once('<')?;
            if let Some(parent) = open.last_mut() {
                parent.text.push_str(before.trim());
            }
            if let Some(comment) = after.strip_prefix("!--") {
                rest = comment.split_once("-->")?.1;
                continue;
            }
            let (tag, after) = after.split_once('>')?;
            rest = after;
            if tag.starts_with(['?', '!']) {
                continue;
            }
            let closed = if tag.starts_with('/') {
                open.pop()?
            } else if let Some(tag) = tag.strip_suffix('/') {
                Self::parse_tag(tag)
            } else {
                open.push(Self::parse_tag(tag));
                continue;
            };
            match open.last_mut() {
                Some(parent) => parent.children.push(closed),
                None => return Some(closed),
            }
        }
    }

    fn parse_tag(tag: &str) -> Self {
        let (name, mut rest) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
        let mut attributes = Vec::new();
        while let Some((name, after)) = rest.split_once('=') {
            let after = after.trim_start();
            let Some(quote) = after.chars().next() else {
                break;
            };
            let mut parts = after.splitn(3, quote).skip(1);
            let (Some(value), Some(after)) = (parts.next(), parts.next()) else {
                break;
            };
            attributes.push((name.trim().to_owned(), value.to_owned()));
            rest = after;
        }
        Self {
            name: name.to_owned(),
            attributes,
            ..Self::default()
        }
    }

    /// The document as text. Names and values are written as they are: they are kept escaped, and
    /// a mutation may want them not to be.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) {
        text.push('<');
        text.push_str(&self.name);
        for (name, value) in &self.attributes {
            text.extend([" ", name, "='", value, "'"]);
        }
        if self.children.is_empty() && self.text.is_empty() {
            text.push_str("/>");
            return;
        }
        text.push('>');
        text.push_str(&self.text);
        for child in &self.children {
            child.write(text);
        }
        text.extend(["</", &self.name, ">"]);
    }

    /// Shows this element and all in it.
    pub fn each<'e>(&'e self, show: &mut dyn FnMut(&'e Self)) {
        show(self);
        for child in &self.children {
            child.each(show);
        }
    }

    /// How many elements there are, this one included.
    #[must_use]
    pub fn count(&self) -> usize {
        let mut count = 0;
        self.each(&mut |_| count += 1);
        count
    }

    /// The element at this place in the order of their beginnings.
    pub fn at(&mut self, place: usize) -> Option<&mut Self> {
        let mut left = place;
        self.descend(&mut left)
    }

    fn descend(&mut self, left: &mut usize) -> Option<&mut Self> {
        if *left == 0 {
            return Some(self);
        }
        *left -= 1;
        self.children
            .iter_mut()
            .find_map(|child| child.descend(left))
    }
}

#[cfg(test)]
mod tests {
    use super::Element;

    #[test]
    fn what_is_read_is_written_again() {
        let text = "<a b='c' d='&lt;'><e/><f g=''>text</f></a>";
        assert_eq!(Element::parse(text).unwrap().to_text(), text);
        let padded = "<?xml version='1.0'?>\n<!-- <x> -->\n<a\n b=\"c\" d='&lt;'>\n <e />\n <f g=''>text</f></a>";
        assert_eq!(Element::parse(padded).unwrap().to_text(), text);
    }

    #[test]
    fn what_is_no_document_is_none() {
        for text in ["", "<a>", "<a", "</a>", "text", "<a b=></a"] {
            assert_eq!(Element::parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_element_has_a_place() {
        let mut document = Element::parse("<a><b><c/></b><d/></a>").unwrap();
        let names = (0..document.count()).map(|place| document.at(place).unwrap().name.clone());
        assert_eq!(names.collect::<String>(), "abcd");
        assert!(document.at(4).is_none());
    }
}
