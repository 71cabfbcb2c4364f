//! The XML of a checkpoint or a snapshot from the words of a command, as virsh writes it.

use std::fmt::Write;

use crate::args::Described;
use crate::failure::Failure;

/// What a command that takes [`Described`] creates.
#[derive(Debug, Clone, Copy)]
pub(super) enum Element {
    Checkpoint,
    Snapshot,
}

impl Element {
    fn name(self) -> &'static str {
        match self {
            Self::Checkpoint => "domaincheckpoint",
            Self::Snapshot => "domainsnapshot",
        }
    }

    /// The XML of it. `memory` says where a snapshot puts what is in the guest's memory.
    pub(super) fn xml(
        self,
        described: &Described,
        memory: Option<&str>,
    ) -> Result<String, Failure> {
        let (name, description, disks) = described.parts();
        let element = self.name();
        let mut xml = format!("<{element}>\n");
        for (tag, text) in [("name", name), ("description", description)] {
            if let Some(text) = text {
                let _ = writeln!(xml, "  <{tag}>{}</{tag}>", escaped(text));
            }
        }
        if let Some(memory) = memory {
            xml.push_str(&memory_xml(memory)?);
        }
        if !disks.is_empty() {
            xml.push_str("  <disks>\n");
            for disk in disks {
                xml.push_str(&match self {
                    Self::Checkpoint => checkpoint_disk(disk)?,
                    Self::Snapshot => snapshot_disk(disk)?,
                });
            }
            xml.push_str("  </disks>\n");
        }
        let _ = writeln!(xml, "</{element}>");
        Ok(xml)
    }
}

fn checkpoint_disk(text: &str) -> Result<String, Failure> {
    let words = split(text);
    let (name, words) = words
        .split_first()
        .ok_or_else(|| unreadable("diskspec", text))?;
    let [checkpoint, bitmap] =
        settings(words, ["checkpoint=", "bitmap="]).ok_or_else(|| unreadable("diskspec", text))?;
    let mut xml = format!("    <disk name='{}'", escaped(name));
    attribute(&mut xml, "checkpoint", checkpoint);
    attribute(&mut xml, "bitmap", bitmap);
    xml.push_str("/>\n");
    Ok(xml)
}

fn snapshot_disk(text: &str) -> Result<String, Failure> {
    let words = split(text);
    let (name, words) = words
        .split_first()
        .ok_or_else(|| unreadable("diskspec", text))?;
    let [snapshot, driver, kind, file] =
        settings(words, ["snapshot=", "driver=", "stype=", "file="])
            .ok_or_else(|| unreadable("diskspec", text))?;
    let source = match kind {
        None | Some("file") => "file",
        Some("block") => "dev",
        Some(other) => {
            let message = format!("unknown storage type: '{other}' (of diskspec {text})");
            return Err(Failure::Usage(message));
        }
    };
    let mut xml = format!("    <disk name='{}'", escaped(name));
    attribute(&mut xml, "snapshot", snapshot);
    attribute(&mut xml, "type", kind);
    if driver.is_none() && file.is_none() {
        xml.push_str("/>\n");
        return Ok(xml);
    }
    xml.push_str(">\n");
    if let Some(driver) = driver {
        let _ = writeln!(xml, "      <driver type='{}'/>", escaped(driver));
    }
    if let Some(file) = file {
        let _ = writeln!(xml, "      <source {source}='{}'/>", escaped(file));
    }
    xml.push_str("    </disk>\n");
    Ok(xml)
}

fn memory_xml(text: &str) -> Result<String, Failure> {
    let words = split(text);
    let (mut snapshot, mut file) = (None, None);
    for word in &words {
        let place = match (word.strip_prefix("snapshot="), word.strip_prefix("file=")) {
            (Some(value), _) => (&mut snapshot, value),
            (_, Some(value)) => (&mut file, value),
            _ if word.starts_with('/') => (&mut file, word.as_str()),
            _ => return Err(unreadable("memspec", text)),
        };
        if place.0.replace(place.1).is_some() {
            return Err(unreadable("memspec", text));
        }
    }
    let mut xml = "  <memory".to_owned();
    attribute(&mut xml, "snapshot", snapshot);
    attribute(&mut xml, "file", file);
    xml.push_str("/>\n");
    Ok(xml)
}

/// The values of settings that may stand in any order, each at most once.
fn settings<'a, const N: usize>(
    words: &'a [String],
    names: [&str; N],
) -> Option<[Option<&'a str>; N]> {
    let mut values = [None; N];
    for word in words {
        let mut places = names.iter().zip(&mut values);
        let (name, place) = places.find(|(name, _)| word.starts_with(**name))?;
        if place.replace(word.strip_prefix(*name)?).is_some() {
            return None;
        }
    }
    Some(values)
}

fn attribute(xml: &mut String, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        let _ = write!(xml, " {name}='{}'", escaped(value));
    }
}

/// The parts between commas; two commas stand for one that separates nothing.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == ',' && characters.next_if_eq(&',').is_none() {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(character);
        }
    }
    parts
}

fn unreadable(what: &str, text: &str) -> Failure {
    Failure::Usage(format!("unable to parse {what}: {text}"))
}

/// Text between tags or quotes.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '\'' => escaped.push_str("&apos;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_commas_are_one() {
        assert_eq!(split("vda"), ["vda"]);
        assert_eq!(split("vda,file=/a,,b"), ["vda", "file=/a,b"]);
        assert_eq!(split("vda,"), ["vda", ""]);
        assert_eq!(split(",,,"), [",", ""]);
    }

    #[test]
    fn settings_come_once_and_in_any_order() {
        let words = split("bitmap=b,checkpoint=bitmap");
        let names = ["checkpoint=", "bitmap="];
        assert_eq!(settings(&words, names), Some([Some("bitmap"), Some("b")]));
        assert_eq!(settings(&split("bitmap=b,bitmap=c"), names), None);
        assert_eq!(settings(&split("size=1"), names), None);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for text in ["vda,size=1", "vda,stype=network", "vda,"] {
            let error = snapshot_disk(text).unwrap_err().text();
            assert!(error.contains(text), "{error}");
        }
        assert!(memory_xml("memory").is_err());
        assert!(memory_xml("file=/a,/b").is_err());
    }
}
