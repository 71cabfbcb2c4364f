//! The files that tell the package manager where packages come from.

/// One file of `/etc/apt`, in either of its two formats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceFile {
    /// Its name; the extension tells the format.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// One entry of a file, as written and as understood.
#[derive(Debug)]
struct Entry {
    text: String,
    uris: Vec<String>,
    suites: Vec<String>,
}

impl SourceFile {
    /// The entries of `release` in these files, and each at `uri` once more for the suite `extra`.
    ///
    /// Empty if there is no entry at `uri`. Entries are kept as they are written, with whatever
    /// they say about keys and architectures.
    pub(crate) fn extended(files: &[Self], uri: &str, release: &str, extra: &str) -> Vec<Self> {
        let mut found = false;
        let mut result = Vec::new();
        for file in files {
            let mut kept = Vec::new();
            for entry in file
                .entries()
                .into_iter()
                .filter(|entry| entry.is_of(release))
            {
                if entry.serves(uri, release) {
                    found = true;
                    kept.push(file.format().with_suite(&entry.text, release, extra));
                }
                kept.push(entry.text);
            }
            if !kept.is_empty() {
                let text = kept.join("\n\n") + "\n";
                result.push(Self {
                    name: file.name.clone(),
                    text,
                });
            }
        }
        if found { result } else { Vec::new() }
    }

    fn format(&self) -> Format {
        if self.name.ends_with(".sources") {
            Format::Deb822
        } else {
            Format::OneLine
        }
    }

    fn entries(&self) -> Vec<Entry> {
        let lines = self
            .text
            .lines()
            .map(str::trim_end)
            .filter(|line| !line.starts_with('#'));
        let text = lines.collect::<Vec<_>>().join("\n");
        let format = self.format();
        let separator = match format {
            Format::Deb822 => "\n\n",
            Format::OneLine => "\n",
        };
        text.split(separator)
            .filter_map(|text| format.entry(text.trim_matches('\n')))
            .collect()
    }
}

impl Entry {
    fn is_of(&self, release: &str) -> bool {
        let of_release = |suite: &String| {
            let rest = suite.strip_prefix(release);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        self.suites.iter().any(of_release)
    }

    fn serves(&self, uri: &str, suite: &str) -> bool {
        let same = |own: &String| own.trim_end_matches('/') == uri.trim_end_matches('/');
        self.uris.iter().any(same) && self.suites.iter().any(|own| own == suite)
    }
}

#[derive(Debug, Clone, Copy)]
enum Format {
    Deb822,
    OneLine,
}

impl Format {
    /// Understands an entry; none if it is switched off, or for sources only.
    fn entry(self, text: &str) -> Option<Entry> {
        let words = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let (uris, suites) = match self {
            Self::Deb822 => {
                let is_binary = words(deb822_field(text, "types")?)
                    .iter()
                    .any(|kind| kind == "deb");
                let is_off =
                    deb822_field(text, "enabled").is_some_and(|value| value.trim() == "no");
                if !is_binary || is_off {
                    return None;
                }
                (
                    words(deb822_field(text, "uris")?),
                    words(deb822_field(text, "suites")?),
                )
            }
            Self::OneLine => {
                let rest = text.trim_start().strip_prefix("deb ")?.trim_start();
                let options_end = if rest.starts_with('[') {
                    rest.find(']')? + 1
                } else {
                    0
                };
                let mut words = words(rest.get(options_end..)?).into_iter();
                (vec![words.next()?], vec![words.next()?])
            }
        };
        Some(Entry {
            text: text.to_owned(),
            uris,
            suites,
        })
    }

    /// The same entry for another suite.
    fn with_suite(self, text: &str, old: &str, new: &str) -> String {
        match self {
            Self::Deb822 => {
                let is_suites = |line: &&str| deb822_field(line, "suites").is_some();
                let lines = text.lines().map(|line| {
                    if is_suites(&line) {
                        format!("Suites: {new}")
                    } else {
                        line.to_owned()
                    }
                });
                lines.collect::<Vec<_>>().join("\n")
            }
            Self::OneLine => {
                let words = text.split_whitespace();
                words
                    .map(|word| if word == old { new } else { word })
                    .collect::<Vec<_>>()
                    .join(" ")
            }
        }
    }
}

/// The one-line value of a field, whose name is given in lower case.
fn deb822_field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.to_ascii_lowercase() == name).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::SourceFile;

    fn file(name: &str, text: &str) -> SourceFile {
        SourceFile {
            name: name.to_owned(),
            text: text.to_owned(),
        }
    }

    fn extended(files: &[SourceFile]) -> Vec<SourceFile> {
        let uri = "http://mirror.example/debian";
        SourceFile::extended(files, uri, "bookworm", "bookworm-backports")
    }

    #[test]
    fn a_stanza_is_repeated_for_the_extra_suite() {
        let system = "# a comment\nTypes: deb\nURIs: http://mirror.example/debian/\n\
                      Suites: bookworm bookworm-updates\nComponents: main\nSigned-By: /a/key\n\n\
                      Types: deb\nURIs: http://mirror.example/debian-security\n\
                      Suites: bookworm-security\nComponents: main\n\n\
                      Types: deb\nURIs: http://elsewhere.example\nSuites: stable\nComponents: x\n";
        let result = extended(&[file("debian.sources", system)]);
        assert_eq!(result.len(), 1);
        let text = &result[0].text;
        assert!(text.contains("\nSuites: bookworm-backports\nComponents: main\nSigned-By: /a/key"));
        assert!(text.contains("\nSuites: bookworm bookworm-updates\n"));
        assert!(text.contains("\nSuites: bookworm-security\n"));
        assert!(!text.contains("elsewhere"));
    }

    #[test]
    fn a_line_is_repeated_for_the_extra_suite() {
        let system = "deb [signed-by=/a/key arch=amd64] http://mirror.example/debian bookworm main\n\
                      deb-src http://mirror.example/debian bookworm main\n";
        let result = extended(&[file("sources.list", system)]);
        let line = "deb [signed-by=/a/key arch=amd64] http://mirror.example/debian";
        let text = format!("{line} bookworm-backports main\n\n{line} bookworm main\n");
        assert_eq!(result, [file("sources.list", &text)]);
    }

    #[test]
    fn a_switched_off_entry_does_not_count() {
        let system = "Enabled: no\nTypes: deb\nURIs: http://mirror.example/debian\n\
                      Suites: bookworm\nComponents: main\n";
        assert!(extended(&[file("debian.sources", system)]).is_empty());
    }

    #[test]
    fn another_server_is_never_guessed() {
        let system = "deb http://elsewhere.example/debian bookworm main\n";
        assert!(extended(&[file("sources.list", system)]).is_empty());
    }
}
