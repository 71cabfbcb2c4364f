//! From a tree to text, laid out as libvirt does: two spaces a level, apostrophes around values.
//!
//! What users keep in a `<metadata>` libvirt leaves to libxml, which has quotation marks there.

use std::fmt::{self, Display, Formatter};

use quick_xml::escape::escape;

use super::{Element, Node};

impl Display for Element {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.print(f, 0, '\'')
    }
}

impl Element {
    // The depth is bounded where trees come from: by the parser, and by this crate's own code.
    fn print(&self, f: &mut Formatter<'_>, level: usize, quote: char) -> fmt::Result {
        write!(f, "{:indent$}<{}", "", self.name, indent = level * 2)?;
        for (name, value) in &self.attributes {
            write!(f, " {name}={quote}{}{quote}", escape(value.as_str()))?;
        }
        match self.children.as_slice() {
            [] => f.write_str("/>\n"),
            [Node::Text(text)] => {
                writeln!(f, ">{}</{}>", escape(text.as_str()), self.name)
            }
            children => {
                f.write_str(">\n")?;
                let quote = if self.name == "metadata" { '"' } else { quote };
                for child in children {
                    match child {
                        Node::Element(element) => element.print(f, level + 1, quote)?,
                        Node::Text(text) => writeln!(f, "{}", escape(text.trim()))?,
                    }
                }
                writeln!(f, "{:indent$}</{}>", "", self.name, indent = level * 2)
            }
        }
    }

    /// As libxml writes it, without an end of line.
    pub(crate) fn to_libxml(&self) -> String {
        struct Libxml<'a>(&'a Element);
        impl Display for Libxml<'_> {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                self.0.print(f, 0, '"')
            }
        }
        Libxml(self).to_string().trim_end().to_owned()
    }
}
