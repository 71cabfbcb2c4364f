//! From a tree to text, laid out as libvirt does: two spaces a level, apostrophes around values.

use std::fmt::{self, Display, Formatter};

use quick_xml::escape::escape;

use super::{Element, Node};

impl Display for Element {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.print(f, 0)
    }
}

impl Element {
    // The depth is bounded where trees come from: by the parser, and by this crate's own code.
    fn print(&self, f: &mut Formatter<'_>, level: usize) -> fmt::Result {
        write!(f, "{:indent$}<{}", "", self.name, indent = level * 2)?;
        for (name, value) in &self.attributes {
            write!(f, " {name}='{}'", escape(value.as_str()))?;
        }
        match self.children.as_slice() {
            [] => f.write_str("/>\n"),
            [Node::Text(text)] => {
                writeln!(f, ">{}</{}>", escape(text.as_str()), self.name)
            }
            children => {
                f.write_str(">\n")?;
                for child in children {
                    match child {
                        Node::Element(element) => element.print(f, level + 1)?,
                        Node::Text(text) => writeln!(f, "{}", escape(text.trim()))?,
                    }
                }
                writeln!(f, "{:indent$}</{}>", "", self.name, indent = level * 2)
            }
        }
    }
}
