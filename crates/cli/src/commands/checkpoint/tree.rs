//! Who comes from whom, drawn as virsh draws it.

use crate::escape::escape;

/// A name and that of its parent.
type Node<'a> = (&'a str, Option<&'a str>);

/// The trees of all nodes without a parent.
pub(super) fn text(nodes: &[Node<'_>]) -> String {
    let mut text = String::new();
    for (name, parent) in nodes {
        if parent.is_none() {
            branch(&mut text, nodes, name, "", Place::Root);
        }
    }
    text
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Root,
    Middle,
    Last,
}

/// A node and what comes from it; `indent` is what stands before it.
fn branch(text: &mut String, nodes: &[Node<'_>], name: &str, indent: &str, place: Place) {
    let mark = if place == Place::Root { "" } else { "+- " };
    text.push_str(&format!("{indent}{mark}{}\n", escape(name)));
    let indent = match place {
        Place::Root => indent.to_owned(),
        Place::Middle => format!("{indent}| "),
        Place::Last => format!("{indent}  "),
    };
    let children: Vec<_> = nodes
        .iter()
        .filter(|(_, parent)| *parent == Some(name))
        .map(|(child, _)| *child)
        .collect();
    let Some((last, others)) = children.split_last() else {
        // The end of a branch has a line to itself.
        if place != Place::Middle {
            text.push_str(&format!("{}\n", indent.trim_end()));
        }
        return;
    };
    text.push_str(&format!("{indent}  |\n"));
    let deeper = format!("{indent}  ");
    for child in others {
        branch(text, nodes, child, &deeper, Place::Middle);
    }
    branch(text, nodes, last, &deeper, Place::Last);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_hang_under_what_they_come_from() {
        let nodes = [
            ("a", None),
            ("b", Some("a")),
            ("c", Some("a")),
            ("d", Some("b")),
        ];
        let lines = [
            "a",
            "  |",
            "  +- b",
            "  |   |",
            "  |   +- d",
            "  |",
            "  +- c",
            "",
        ];
        let text = text(&nodes);
        assert_eq!(text.lines().map(str::trim_end).collect::<Vec<_>>(), lines);
    }
}
