//! Flags that a procedure knows, from the table of libvirt's constants.

use std::collections::BTreeMap;

use crate::random::Random;
use crate::script::{Callable, all};

const CONSTANTS: &str = include_str!("../../../../protocol/constants.tsv");

/// For each procedure, by program and number, the values of the enumeration named after it.
#[derive(Debug)]
pub(super) struct Flags(BTreeMap<(u32, i32), Vec<u64>>);

impl Flags {
    pub(super) fn read() -> Self {
        let mut types: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for line in CONSTANTS.lines().skip(1) {
            let words: Vec<&str> = line.split('\t').collect();
            if let [_, _, name, _, value, ..] = words.as_slice() {
                if let Ok(value) = value.parse() {
                    types.entry(plain(name)).or_default().push(value);
                }
            }
        }
        let known = all().filter_map(|callable| {
            let values = types.get(&plain(callable.0.name))?;
            Some(((callable.0.id.number, callable.0.number), values.clone()))
        });
        Self(known.collect())
    }

    /// Mostly few flags that exist, sometimes any.
    pub(super) fn pick(&self, callable: Callable, random: &mut Random) -> u64 {
        let known = self.0.get(&(callable.0.id.number, callable.0.number));
        let one = |random: &mut Random| match known {
            Some(known) if !random.once_in(6) => random.pick(known).copied().unwrap_or_default(),
            _ => 1 << random.below(12),
        };
        match random.below(12) {
            0..=4 => 0,
            5..=8 => one(random),
            9 => one(random) | one(random),
            10 => one(random) | one(random) | one(random),
            _ => random.number() >> random.below(64),
        }
    }
}

/// `virDomainBlockPullFlags` and `DOMAIN_BLOCK_PULL` are the same.
fn plain(name: &str) -> String {
    let name = name.strip_prefix("vir").unwrap_or(name).replace('_', "");
    let name = name.to_lowercase();
    let name = name.strip_suffix("values").unwrap_or(&name);
    name.strip_suffix("flags").unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use virtwire_protocol::remote;

    use super::*;

    #[test]
    fn procedures_get_the_flags_that_are_named_after_them() {
        let flags = Flags::read();
        assert!(flags.0.len() > 40, "{}", flags.0.len());
        let rebase = Callable::of::<remote::DomainBlockRebase>().0;
        let known = &flags.0[&(rebase.id.number, rebase.number)];
        assert!(known.contains(&1) && known.contains(&8), "{known:?}");
    }
}
