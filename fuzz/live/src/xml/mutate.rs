//! Documents made wrong.

use super::Element;
use crate::random::Random;

/// Values that programs stumble over.
const ODD: [&str; 24] = [
    "",
    "0",
    "-1",
    "1",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "-9223372036854775808",
    "0x10",
    "1e9",
    " ",
    "%s%n%x",
    "../../x",
    "/",
    "yes",
    "no",
    "default",
    "none",
    "&lt;a&gt;",
    "&undefined;",
    "\u{e4}\u{1f980}",
    "a b",
];

/// What would get past the daemon's checks to a program of the caller's choice is never made,
/// however it comes about: the emulator's arguments and the emulator itself.
fn is_forbidden(name: &str) -> bool {
    matches!(name, "emulator" | "script") || name.contains("commandline")
}

/// Does something wrong to a document, once or more often.
pub fn mutate(document: &mut Element, other: Option<&Element>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        mutate_once(document, other, random);
    }
}

fn mutate_once(document: &mut Element, other: Option<&Element>, random: &mut Random) {
    let place = random.below(document.count());
    let copy = document.clone();
    let Some(element) = document.at(place) else {
        return;
    };
    match random.below(10) {
        0 | 1 => remove_child(element, random),
        2 => {
            // Twice the same, next to itself.
            let child = random.pick(&element.children).cloned();
            element.children.extend(child);
        }
        3 | 4 => set_attribute(element, random),
        5 => drop(element.attributes.pop()),
        6 => odd_value(random).clone_into(&mut element.text),
        7 => {
            let mut donor = other.unwrap_or(&copy).clone();
            let from = random.below(donor.count());
            let part = donor.at(from).filter(|part| part.count() < 60).cloned();
            element.children.extend(part.filter(is_allowed));
        }
        8 if element.count() < 40 => {
            let many = random.choose([2, 8, 64]);
            let child = random.pick(&element.children).cloned();
            let repeated = child.filter(|child| child.count() < 4);
            element
                .children
                .extend(repeated.iter().cycle().take(many).cloned());
        }
        _ => {
            let deep = random.choose([1, 4, 30]);
            for _ in 0..deep {
                let inner = Element {
                    name: element.name.clone(),
                    children: std::mem::take(&mut element.children),
                    ..Element::default()
                };
                element.children.push(inner);
            }
        }
    }
}

fn remove_child(element: &mut Element, random: &mut Random) {
    if element.children.is_empty() {
        element.text.clear();
    } else {
        let at = random.below(element.children.len());
        element.children.remove(at);
    }
}

fn set_attribute(element: &mut Element, random: &mut Random) {
    let at = random.below(element.attributes.len() + 1);
    let value = odd_value(random).to_owned();
    match element.attributes.get_mut(at) {
        Some(attribute) => attribute.1 = value,
        None => {
            let name = random.choose(["type", "name", "mode", "index", "unit", "id", "xmlns"]);
            element.attributes.push((name.to_owned(), value));
        }
    }
}

fn odd_value(random: &mut Random) -> &'static str {
    random.choose(ODD)
}

fn is_allowed(element: &Element) -> bool {
    let mut allowed = true;
    element.each(&mut |part| allowed &= !is_forbidden(&part.name));
    allowed
}

/// Takes out of a document what the daemon may have written and must not be asked for.
pub fn tame(document: &mut Element) {
    document.children.retain(|child| !is_forbidden(&child.name));
    document.children.iter_mut().for_each(tame);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutated_document_stays_small() {
        let mut random = Random::new(3);
        for _ in 0..2000 {
            let mut document = Element::parse("<a b='c'><d/><e f='g'>h</e></a>").unwrap();
            mutate(&mut document, None, &mut random);
            assert!(document.to_text().len() < 4096);
        }
    }

    #[test]
    fn no_emulator_is_named_even_by_what_was_learned() {
        let text = "<domain><devices><emulator>/x</emulator><disk/></devices></domain>";
        let mut learned = Element::parse(text).unwrap();
        tame(&mut learned);
        assert_eq!(
            learned.to_text(),
            "<domain><devices><disk/></devices></domain>"
        );
    }
}
