//! What a daemon has told of itself, and what it was told: the words for the next calls.

use std::collections::BTreeMap;

use virtwire_protocol::schema::StructSchema;

use crate::random::Random;
use crate::walk::Visit;
use crate::xml::Element;

/// The most that is kept of each kind; older ones go first.
const KEPT: usize = 48;
/// Longer strings are documents and not names.
const LONGEST_NAME: usize = 256;
/// Longer documents make mutations slow.
const LONGEST_DOCUMENT: usize = 32 << 10;

/// Names, objects, numbers and documents that are known.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    names: BTreeMap<String, Vec<Vec<u8>>>,
    numbers: BTreeMap<&'static str, Vec<i64>>,
    objects: BTreeMap<&'static str, Vec<Vec<u8>>>,
    uuids: Vec<[u8; 16]>,
    documents: BTreeMap<String, Vec<Element>>,
}

impl Vocabulary {
    /// A string that a field of this name had.
    pub fn name(&self, field: &str, random: &mut Random) -> Option<&[u8]> {
        random.pick(self.names.get(field)?).map(Vec::as_slice)
    }

    /// A number that a field of this name had.
    pub fn number(&self, field: &str, random: &mut Random) -> Option<i64> {
        random.pick(self.numbers.get(field)?).copied()
    }

    /// An encoded structure of this layout; as often as not the one that was learned last.
    pub fn object(&self, layout: &StructSchema, random: &mut Random) -> Option<&[u8]> {
        let known = self.objects.get(layout.name)?;
        let last = known.last().filter(|_| random.once_in(2));
        last.or_else(|| random.pick(known)).map(Vec::as_slice)
    }

    /// A UUID of something.
    pub fn uuid(&self, random: &mut Random) -> Option<[u8; 16]> {
        random.pick(&self.uuids).copied()
    }

    /// A document that the daemon wrote whose outermost element has this name.
    pub fn document(&self, root: &str, random: &mut Random) -> Option<&Element> {
        random.pick(self.documents.get(root)?)
    }

    /// Adds a word for fields of this name.
    pub fn add(&mut self, field: &str, word: &[u8]) {
        keep(
            self.names.entry(field.to_owned()).or_default(),
            word.to_vec(),
        );
    }

    fn learn_document(&mut self, text: &str) {
        let Some(document) = Element::parse(text) else {
            return;
        };
        document.each(&mut |element| {
            for (name, value) in &element.attributes {
                // What a disk or a file is called by.
                if matches!(name.as_str(), "dev" | "file" | "path") {
                    self.add(name, value.as_bytes());
                }
            }
        });
        keep(
            self.documents.entry(document.name.clone()).or_default(),
            document,
        );
    }
}

impl Visit for Vocabulary {
    fn string(&mut self, field: &'static str, bytes: &[u8]) {
        match std::str::from_utf8(bytes) {
            Ok(text) if text.starts_with('<') && text.len() <= LONGEST_DOCUMENT => {
                self.learn_document(text);
            }
            _ if bytes.len() <= LONGEST_NAME && !bytes.starts_with(b"<") => self.add(field, bytes),
            _ => {}
        }
    }

    fn integer(&mut self, field: &'static str, number: i64) {
        keep(self.numbers.entry(field).or_default(), number);
    }

    fn uuid(&mut self, bytes: [u8; 16]) {
        keep(&mut self.uuids, bytes);
    }

    fn structure(&mut self, layout: &'static StructSchema, encoded: &[u8]) {
        // Whole messages are no parts of others.
        if !layout.name.ends_with("_args") && !layout.name.ends_with("_ret") {
            keep(
                self.objects.entry(layout.name).or_default(),
                encoded.to_vec(),
            );
        }
    }
}

/// Adds what is new, and forgets the oldest of too many.
fn keep<T: PartialEq>(known: &mut Vec<T>, new: T) {
    if known.contains(&new) {
        return;
    }
    if known.len() >= KEPT {
        known.remove(0);
    }
    known.push(new);
}
