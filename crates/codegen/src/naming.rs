//! C names to Rust names.
//!
//! The rules are mechanical; what they get wrong stands in the tables at the top.

/// Structs whose mechanical name is also the name of a procedure.
const TYPE_NAMES: &[(&str, &str)] = &[
    ("remote_node_get_cpu_stats", "NodeCpuStat"),
    ("remote_node_get_memory_stats", "NodeMemoryStat"),
];

/// Public types with a name of their own in Rust.
const PUBLIC_TYPE_NAMES: &[(&str, &str)] = &[("virErrorNumber", "ErrorCode")];

/// Public types that are flags although their name does not say so.
const MORE_FLAGS: &[&str] = &[
    "virDomainGuestInfoTypes",
    "virDomainMessageType",
    "virDomainModificationImpact",
    "virDomainStatsTypes",
    "virEventHandleType",
    "virStreamEventType",
];

/// Public types whose members have prefixes that the rule of [`member_prefix`] does not find.
/// For each member the first prefix that fits is taken.
const MEMBER_PREFIXES: &[(&str, &[&str])] = &[
    (
        "virDomainCreateFlags",
        &["VIR_DOMAIN_START_", "VIR_DOMAIN_"],
    ),
    ("virDomainFDAssociateFlags", &["VIR_DOMAIN_FD_ASSOCIATE_"]),
    // Has `VIR_WAR_NO_NETWORK` and its like beside `VIR_ERR_…`.
    ("virErrorNumber", &["VIR_ERR_", "VIR_"]),
    ("virNodeGetCPUStatsAllCPUs", &["VIR_NODE_CPU_STATS_"]),
    ("virNodeGetMemoryStatsAllCells", &["VIR_NODE_MEMORY_STATS_"]),
];

const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// The prefixes that libvirt puts before the names of one protocol file.
#[derive(Debug)]
pub(crate) struct Prefixes {
    type_prefix: String,
    constant_prefix: String,
    stem: String,
}

impl Prefixes {
    /// The prefixes of the module `stem`, which is named as its file is.
    pub(crate) fn of(stem: &str) -> Self {
        let (type_prefix, constant_prefix) = match stem {
            "net" => ("virNet".to_owned(), "VIR_NET_".to_owned()),
            _ => (format!("{stem}_"), format!("{}_", stem.to_uppercase())),
        };
        Self {
            type_prefix,
            constant_prefix,
            stem: stem.to_owned(),
        }
    }

    /// `remote_domain_get_info_args` → `DomainGetInfoArgs`.
    pub(crate) fn type_name(&self, c_name: &str) -> String {
        match lookup(TYPE_NAMES, c_name) {
            Some(name) => name.to_owned(),
            None => camel(c_name.strip_prefix(&self.type_prefix).unwrap_or(c_name)),
        }
    }

    /// `REMOTE_STRING_MAX` → `STRING_MAX`.
    pub(crate) fn constant_name(&self, c_name: &str) -> String {
        let stripped = c_name.strip_prefix(&self.constant_prefix);
        let name = stripped
            .or_else(|| c_name.strip_prefix("VIR_"))
            .unwrap_or(c_name);
        identifier(name.to_owned())
    }

    /// `remote_procedure`, the enum that numbers the procedures.
    pub(crate) fn procedure_enum(&self) -> String {
        format!("{}_procedure", self.stem)
    }

    /// `REMOTE_PROC_DOMAIN_GET_INFO` → `DOMAIN_GET_INFO`.
    pub(crate) fn procedure_word<'c>(&self, c_name: &'c str) -> &'c str {
        let stripped = c_name.strip_prefix(&self.constant_prefix).unwrap_or(c_name);
        stripped.strip_prefix("PROC_").unwrap_or(stripped)
    }

    /// The struct that carries a message of a procedure: `remote_domain_get_info_args`.
    pub(crate) fn message(&self, procedure_word: &str, suffix: &str) -> String {
        format!(
            "{}{}_{suffix}",
            self.type_prefix,
            procedure_word.to_lowercase()
        )
    }

    /// `REMOTE_PROGRAM`.
    pub(crate) fn program(&self) -> String {
        format!("{}PROGRAM", self.constant_prefix)
    }

    /// `REMOTE_PROTOCOL_VERSION`.
    pub(crate) fn version(&self) -> String {
        format!("{}PROTOCOL_VERSION", self.constant_prefix)
    }
}

/// `nrVirtCpu` → `nr_virt_cpu`; a keyword gets an underscore behind it.
pub(crate) fn field_name(c_name: &str) -> String {
    let name = words(c_name).join("_").to_lowercase();
    if KEYWORDS.contains(&name.as_str()) {
        format!("{name}_")
    } else {
        identifier(name)
    }
}

/// `DOMAIN_GET_XML_DESC` → `DomainGetXmlDesc`, `virDomainXMLFlags` → `VirDomainXmlFlags`.
pub(crate) fn camel(name: &str) -> String {
    identifier(words(name).iter().map(|word| capitalized(word)).collect())
}

/// `virDomainXMLFlags` → `DomainXmlFlags`; `FlagsValues` and `FlagValues` are `Flags`.
pub(crate) fn public_type_name(c_name: &str) -> String {
    if let Some(name) = lookup(PUBLIC_TYPE_NAMES, c_name) {
        return name.to_owned();
    }
    let name = camel(c_name.strip_prefix("vir").unwrap_or(c_name));
    match name
        .strip_suffix("FlagsValues")
        .or_else(|| name.strip_suffix("FlagValues"))
    {
        Some(stem) => format!("{stem}Flags"),
        None => name,
    }
}

/// Whether a public type is a set of flags rather than an enumeration.
pub(crate) fn is_flags(c_name: &str) -> bool {
    ["Flags", "FlagsValues", "FlagValues"]
        .iter()
        .any(|suffix| c_name.ends_with(suffix))
        || MORE_FLAGS.contains(&c_name)
}

/// The Rust names of a public type's members: their C names without the longest sensible prefix.
pub(crate) fn member_names(c_type: &str, members: &[&str]) -> Vec<String> {
    if let Some((_, prefixes)) = MEMBER_PREFIXES.iter().find(|(name, _)| *name == c_type) {
        return members
            .iter()
            .map(|member| stripped(member, prefixes))
            .collect();
    }
    let prefix = member_prefix(c_type, members);
    members
        .iter()
        .map(|member| stripped(member, &[&prefix]))
        .collect()
}

/// `VIR_DOMAIN_BLOCK_COPY_BANDWIDTH` → `DOMAIN_BLOCK_COPY_BANDWIDTH`.
pub(crate) fn string_name(c_name: &str) -> String {
    identifier(c_name.strip_prefix("VIR_").unwrap_or(c_name).to_owned())
}

/// What all members begin with, in whole words; of a single member the words that its type has.
fn member_prefix(c_type: &str, members: &[&str]) -> String {
    let Some((first, others)) = members.split_first() else {
        return String::new();
    };
    if others.is_empty() {
        return words_of_type(c_type, first);
    }
    let mut prefixes = first
        .rmatch_indices('_')
        .filter_map(|(at, _)| first.get(..=at));
    let shared = |prefix: &&str| others.iter().all(|other| other.starts_with(prefix));
    prefixes.find(shared).unwrap_or_default().to_owned()
}

/// The words of `member` that occur in the name of its type in the same order.
///
/// `virDomainBlockJobSetSpeedFlags`, `VIR_DOMAIN_BLOCK_JOB_SPEED_BANDWIDTH_BYTES` →
/// `VIR_DOMAIN_BLOCK_JOB_SPEED_`.
fn words_of_type(c_type: &str, member: &str) -> String {
    let upper = c_type.to_uppercase();
    let mut rest = upper.as_str();
    let mut prefix = String::new();
    for word in member.split_inclusive('_') {
        let Some(stem) = word.strip_suffix('_') else {
            break;
        };
        let Some((_, after)) = rest.split_once(stem) else {
            break;
        };
        rest = after;
        prefix.push_str(word);
    }
    prefix
}

fn stripped(member: &str, prefixes: &[&str]) -> String {
    let found = prefixes
        .iter()
        .find_map(|prefix| member.strip_prefix(prefix));
    identifier(found.unwrap_or(member).to_owned())
}

/// A name that would begin with a digit gets an underscore before it.
fn identifier(name: String) -> String {
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        format!("_{name}")
    } else {
        name
    }
}

fn capitalized(word: &str) -> String {
    let mut chars = word.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first
        .into_iter()
        .chain(chars.map(|c| c.to_ascii_lowercase()))
        .collect()
}

/// The words of a name in any of C's styles: `domain_get_info`, `nrVirtCpu`, `oldMAC`, `xmlCPUs`.
fn words(name: &str) -> Vec<String> {
    name.split('_')
        .filter(|part| !part.is_empty())
        .flat_map(camel_words)
        .collect()
}

fn camel_words(part: &str) -> Vec<String> {
    let chars: Vec<char> = part.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or(' ');
    let mut words: Vec<String> = Vec::new();
    for (index, c) in chars.iter().enumerate() {
        let before = if index == 0 { ' ' } else { at(index - 1) };
        let after_lower = c.is_uppercase() && !before.is_uppercase();
        // The last capital of a run begins a word, unless what follows is a plural: `CPUs`.
        let plural = at(index + 1) == 's' && !at(index + 2).is_lowercase();
        let ends_run = c.is_uppercase() && at(index + 1).is_lowercase() && !plural;
        match words.last_mut() {
            Some(word) if !after_lower && !ends_run => word.push(*c),
            _ => words.push(c.to_string()),
        }
    }
    words
}

fn lookup<'t>(table: &[(&str, &'t str)], key: &str) -> Option<&'t str> {
    table
        .iter()
        .find(|(name, _)| *name == key)
        .map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_lose_the_prefix_of_their_file() {
        let remote = Prefixes::of("remote");
        assert_eq!(
            remote.type_name("remote_domain_get_info_args"),
            "DomainGetInfoArgs"
        );
        assert_eq!(remote.type_name("remote_node_get_cpu_stats"), "NodeCpuStat");
        assert_eq!(
            remote.type_name("remote_domain_event_block_job_2_msg"),
            "DomainEventBlockJob2Msg"
        );
        assert_eq!(
            Prefixes::of("net").type_name("virNetMessageHeader"),
            "MessageHeader"
        );
    }

    #[test]
    fn constants_lose_the_prefix_of_their_file() {
        assert_eq!(
            Prefixes::of("remote").constant_name("REMOTE_STRING_MAX"),
            "STRING_MAX"
        );
        assert_eq!(
            Prefixes::of("remote").constant_name("VIR_UUID_BUFLEN"),
            "UUID_BUFLEN"
        );
        assert_eq!(
            Prefixes::of("net").constant_name("VIR_NET_MESSAGE_MAX"),
            "MESSAGE_MAX"
        );
    }

    #[test]
    fn procedures_and_their_messages_have_one_stem() {
        let remote = Prefixes::of("remote");
        assert_eq!(
            remote.procedure_word("REMOTE_PROC_DOMAIN_GET_INFO"),
            "DOMAIN_GET_INFO"
        );
        assert_eq!(
            remote.message("DOMAIN_GET_INFO", "ret"),
            "remote_domain_get_info_ret"
        );
        assert_eq!(camel("DOMAIN_GET_XML_DESC"), "DomainGetXmlDesc");
    }

    #[test]
    fn fields_are_snake_case() {
        let cases = [
            ("nrVirtCpu", "nr_virt_cpu"),
            ("callbackID", "callback_id"),
            ("xmlCPUs", "xml_cpus"),
            ("oldMAC", "old_mac"),
            ("uri_in", "uri_in"),
            ("type", "type_"),
            ("ref", "ref_"),
        ];
        for (c_name, rust) in cases {
            assert_eq!(field_name(c_name), rust);
        }
    }

    #[test]
    fn acronyms_of_public_types_become_words() {
        let cases = [
            ("virDomainXMLFlags", "DomainXmlFlags"),
            ("virIPAddrType", "IpAddrType"),
            ("virNodeGetCPUStatsAllCPUs", "NodeGetCpuStatsAllCpus"),
            (
                "virDomainAuthorizedSSHKeysSetFlags",
                "DomainAuthorizedSshKeysSetFlags",
            ),
            ("virDomainEventIOErrorAction", "DomainEventIoErrorAction"),
            ("virDomainDestroyFlagsValues", "DomainDestroyFlags"),
            ("virDomainShutdownFlagValues", "DomainShutdownFlags"),
            ("virErrorNumber", "ErrorCode"),
        ];
        for (c_name, rust) in cases {
            assert_eq!(public_type_name(c_name), rust);
        }
    }

    #[test]
    fn flags_are_told_from_enums_by_name_and_table() {
        assert!(is_flags("virDomainBlockCommitFlags"));
        assert!(is_flags("virDomainUndefineFlagsValues"));
        assert!(is_flags("virDomainModificationImpact"));
        assert!(!is_flags("virDomainState"));
        assert!(!is_flags("virDomainAgentResponseTimeoutValues"));
    }

    #[test]
    fn members_lose_their_longest_sensible_prefix() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            (
                "virDomainState",
                &["VIR_DOMAIN_NOSTATE", "VIR_DOMAIN_RUNNING"],
                &["NOSTATE", "RUNNING"],
            ),
            (
                "virDomainBlockPullFlags",
                &["VIR_DOMAIN_BLOCK_PULL_BANDWIDTH_BYTES"],
                &["BANDWIDTH_BYTES"],
            ),
            (
                "virDomainBlockJobSetSpeedFlags",
                &["VIR_DOMAIN_BLOCK_JOB_SPEED_BANDWIDTH_BYTES"],
                &["BANDWIDTH_BYTES"],
            ),
            (
                "virDomainCreateFlags",
                &["VIR_DOMAIN_NONE", "VIR_DOMAIN_START_PAUSED"],
                &["NONE", "PAUSED"],
            ),
            (
                "virNodeGetCPUStatsAllCPUs",
                &["VIR_NODE_CPU_STATS_ALL_CPUS"],
                &["ALL_CPUS"],
            ),
            ("virX", &["VIR_X_4K", "VIR_X_A"], &["_4K", "A"]),
        ];
        for (c_type, members, names) in cases {
            assert_eq!(member_names(c_type, members), *names);
        }
    }
}
