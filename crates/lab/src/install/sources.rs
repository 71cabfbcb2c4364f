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
    /// `deb` for programs, `deb-src` for sources.
    types: Vec<String>,
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
            let entries = file.entries().into_iter();
            for entry in entries.filter(|entry| entry.is_binary() && entry.is_of(release)) {
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

    /// The entries of these files, each for source packages only.
    ///
    /// Where packages come from, their sources do too; few machines have entries for them.
    pub(crate) fn for_sources(files: &[Self]) -> Vec<Self> {
        let for_sources = |file: &Self| {
            let mut entries: Vec<String> = Vec::new();
            for entry in file.entries() {
                let entry = file.format().for_sources(&entry.text);
                // The machine may have had both kinds.
                if !entries.contains(&entry) {
                    entries.push(entry);
                }
            }
            (!entries.is_empty()).then(|| Self {
                name: file.name.clone(),
                text: entries.join("\n\n") + "\n",
            })
        };
        files.iter().filter_map(for_sources).collect()
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
    fn is_binary(&self) -> bool {
        self.types.iter().any(|kind| kind == "deb")
    }

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
    /// Understands an entry; none if it is switched off.
    fn entry(self, text: &str) -> Option<Entry> {
        let words = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let (types, uris, suites) = match self {
            Self::Deb822 => {
                let is_off =
                    deb822_field(text, "enabled").is_some_and(|value| value.trim() == "no");
                if is_off {
                    return None;
                }
                (
                    words(deb822_field(text, "types")?),
                    words(deb822_field(text, "uris")?),
                    words(deb822_field(text, "suites")?),
                )
            }
            Self::OneLine => {
                let (kind, rest) = text.trim_start().split_once(char::is_whitespace)?;
                let rest = rest.trim_start();
                let options_end = if rest.starts_with('[') {
                    rest.find(']')? + 1
                } else {
                    0
                };
                let mut words = words(rest.get(options_end..)?).into_iter();
                (
                    vec![kind.to_owned()],
                    vec![words.next()?],
                    vec![words.next()?],
                )
            }
        };
        Some(Entry {
            text: text.to_owned(),
            types,
            uris,
            suites,
        })
    }

    /// The same entry for source packages.
    fn for_sources(self, text: &str) -> String {
        match self {
            Self::Deb822 => with_deb822_field(text, "Types", "deb-src"),
            Self::OneLine => {
                let words = text.split_whitespace().skip(1);
                let words = std::iter::once("deb-src").chain(words);
                words.collect::<Vec<_>>().join(" ")
            }
        }
    }

    /// The same entry for another suite.
    fn with_suite(self, text: &str, old: &str, new: &str) -> String {
        match self {
            Self::Deb822 => with_deb822_field(text, "Suites", new),
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

/// The same stanza with another value in a one-line field.
fn with_deb822_field(text: &str, name: &str, value: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once(':') {
        Some((key, _)) if key.eq_ignore_ascii_case(name) => format!("{name}: {value}"),
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
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
    fn a_stanza_serves_sources() {
        let system = "types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\n\
                      Components: main\nSigned-By: /a/key\n\n\
                      Enabled: no\nTypes: deb\nURIs: http://elsewhere.example\nSuites: x\n";
        let text = "Types: deb-src\nURIs: http://mirror.example/debian\nSuites: bookworm\n\
                    Components: main\nSigned-By: /a/key\n";
        assert_eq!(
            SourceFile::for_sources(&[file("debian.sources", system)]),
            [file("debian.sources", text)]
        );
    }

    #[test]
    fn a_line_serves_sources_once() {
        let system = "# deb http://elsewhere.example old main\n\
                      deb [signed-by=/a/key] http://mirror.example/debian bookworm main\n\
                      deb-src [signed-by=/a/key] http://mirror.example/debian bookworm main\n";
        let text = "deb-src [signed-by=/a/key] http://mirror.example/debian bookworm main\n";
        let files = [file("sources.list", system), file("empty.list", "\n")];
        assert_eq!(
            SourceFile::for_sources(&files),
            [file("sources.list", text)]
        );
    }

    #[test]
    fn another_server_is_never_guessed() {
        let system = "deb http://elsewhere.example/debian bookworm main\n";
        assert!(extended(&[file("sources.list", system)]).is_empty());
    }
}
