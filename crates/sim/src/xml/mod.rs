//! XML kept whole: a tree that can be read, edited and written again.

mod parse;
mod print;

/// An element with everything in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Element {
    /// Its name, prefix included.
    pub(crate) name: String,
    /// Its attributes, in their order.
    pub(crate) attributes: Vec<(String, String)>,
    /// What is in it, in order.
    pub(crate) children: Vec<Node>,
}

/// Something in an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    /// An element.
    Element(Element),
    /// Text that is not only white space.
    Text(String),
}

/// Making and editing.
impl Element {
    /// An empty element.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// With an attribute.
    #[must_use]
    pub(crate) fn with(mut self, attribute: &str, value: impl ToString) -> Self {
        self.set(attribute, value);
        self
    }

    /// With text in it.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "mostly a number or a literal"
    )]
    pub(crate) fn with_text(mut self, text: impl ToString) -> Self {
        self.children.push(Node::Text(text.to_string()));
        self
    }

    /// With an element in it.
    #[must_use]
    pub(crate) fn with_child(mut self, child: Self) -> Self {
        self.push(child);
        self
    }

    /// Puts an element at the end.
    pub(crate) fn push(&mut self, child: Self) {
        self.children.push(Node::Element(child));
    }

    /// Puts an element at the start.
    pub(crate) fn push_front(&mut self, child: Self) {
        self.children.insert(0, Node::Element(child));
    }

    /// Sets an attribute, in its place if it is there.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "mostly a number or a literal"
    )]
    pub(crate) fn set(&mut self, attribute: &str, value: impl ToString) {
        let value = value.to_string();
        match self
            .attributes
            .iter_mut()
            .find(|(name, _)| name == attribute)
        {
            Some((_, old)) => *old = value,
            None => self.attributes.push((attribute.to_owned(), value)),
        }
    }

    /// Takes an attribute away.
    pub(crate) fn unset(&mut self, attribute: &str) {
        self.attributes.retain(|(name, _)| name != attribute);
    }

    /// Sets the text of a child, which is made if it is not there.
    pub(crate) fn set_child_text(&mut self, name: &str, text: impl ToString) {
        let child = Self::new(name).with_text(text);
        self.replace(child);
    }

    /// Puts a child in the place of the first of its name, or at the end.
    pub(crate) fn replace(&mut self, child: Self) {
        match self.child_mut(&child.name) {
            Some(place) => *place = child,
            None => self.push(child),
        }
    }

    /// Takes away all children of a name.
    pub(crate) fn remove(&mut self, name: &str) {
        self.children
            .retain(|node| !matches!(node, Node::Element(child) if child.name == name));
    }
}

/// Reading.
impl Element {
    /// The value of an attribute.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The elements in it.
    pub(crate) fn elements(&self) -> impl Iterator<Item = &Self> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(child) => Some(child),
            Node::Text(_) => None,
        })
    }

    /// The elements in it, to be edited.
    pub(crate) fn elements_mut(&mut self) -> impl Iterator<Item = &mut Self> {
        self.children.iter_mut().filter_map(|node| match node {
            Node::Element(child) => Some(child),
            Node::Text(_) => None,
        })
    }

    /// The first element of a name in it.
    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.elements().find(|child| child.name == name)
    }

    /// The first element of a name in it, to be edited.
    pub(crate) fn child_mut(&mut self, name: &str) -> Option<&mut Self> {
        self.elements_mut().find(|child| child.name == name)
    }

    /// The element at the end of a path of names.
    pub(crate) fn find(&self, path: &[&str]) -> Option<&Self> {
        path.iter()
            .try_fold(self, |element, name| element.child(name))
    }

    /// The text in it.
    pub(crate) fn text(&self) -> String {
        let texts = self.children.iter().filter_map(|node| match node {
            Node::Text(text) => Some(text.trim()),
            Node::Element(_) => None,
        });
        texts.collect()
    }

    /// The text of the first element of a name in it.
    pub(crate) fn child_text(&self, name: &str) -> Option<String> {
        self.child(name).map(Self::text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_the_same() {
        let text = "<domain type='test'>\n  <name>a&lt;b</name>\n  <devices>\n    \
                    <disk type='file'/>\n  </devices>\n</domain>\n";
        let tree = Element::parse(text).unwrap();
        assert_eq!(tree.child_text("name").as_deref(), Some("a<b"));
        assert_eq!(tree.to_string(), text);
        assert_eq!(Element::parse(&tree.to_string()).unwrap(), tree);
    }

    #[test]
    fn attributes_keep_their_order_and_are_escaped() {
        let element = Element::new("source")
            .with("file", "/it's <here>")
            .with("index", 1);
        let text = element.to_string();
        assert_eq!(text, "<source file='/it&apos;s &lt;here&gt;' index='1'/>\n");
        assert_eq!(Element::parse(&text).unwrap(), element);
    }

    #[test]
    fn hostile_documents_are_refused() {
        for text in ["", "<a>", "<a></b>", "text", "<a/><b/>", "<a b='1' b='2'/>"] {
            assert!(Element::parse(text).is_err(), "{text}");
        }
        let deep = "<a>".repeat(100_000);
        assert!(Element::parse(&deep).is_err());
    }
}
