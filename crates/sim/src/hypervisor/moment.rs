//! Moments of a domain that were kept, snapshots and checkpoints alike: each stands on an earlier
//! one, and one is the current one.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use virtwire_protocol::RemoteError;
use virtwire_protocol::constants::ErrorCode;

use crate::refusal::{Result, refusal};

/// How many moments a domain may have: as many as one answer of libvirt's protocol holds.
const MAX_MOMENTS: usize = 16_384;

/// How much XML they may come to altogether: each keeps that of the whole domain.
const MAX_WEIGHT: usize = 64 << 20;

/// The moments of a domain.
#[derive(Debug)]
pub(crate) struct Moments<T> {
    all: BTreeMap<String, Moment<T>>,
    current: Option<String>,
}

/// A moment.
#[derive(Debug, Clone)]
pub(crate) struct Moment<T> {
    pub(crate) name: String,
    pub(crate) parent: Option<String>,
    pub(crate) description: Option<String>,
    /// In seconds since 1970.
    pub(crate) created: i64,
    /// How much XML it keeps, in bytes.
    pub(crate) weight: usize,
    pub(crate) about: T,
}

/// Which moments are wanted, apart from what is particular to their kind.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted {
    /// Of all moments: those that stand on none. Of a moment's descendants: not only its children.
    pub(crate) roots_or_descendants: bool,
    pub(crate) leaves: bool,
    pub(crate) no_leaves: bool,
}

impl<T> Default for Moments<T> {
    fn default() -> Self {
        Self {
            all: BTreeMap::new(),
            current: None,
        }
    }
}

impl<T> Moment<T> {
    /// A moment that is now.
    pub(crate) fn now(name: Option<String>, description: Option<String>, about: T) -> Self {
        let time = SystemTime::now().duration_since(UNIX_EPOCH);
        let created = time.map_or(0, |time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
        Self {
            // libvirt names it after the time as well.
            name: name.unwrap_or_else(|| created.to_string()),
            parent: None,
            description,
            created,
            weight: 0,
            about,
        }
    }
}

impl<T> Moments<T> {
    pub(crate) fn get(&self, name: &str) -> Option<&Moment<T>> {
        self.all.get(name)
    }

    pub(crate) fn current(&self) -> Option<&Moment<T>> {
        self.current.as_ref().and_then(|name| self.all.get(name))
    }

    pub(crate) fn is_current(&self, name: &str) -> bool {
        self.current.as_deref() == Some(name)
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Refuses a name that is taken.
    pub(crate) fn check_new(&self, name: &str) -> Result<()> {
        if self.all.contains_key(name) {
            let about = format!("domain moment {name} already exists");
            return Err(refusal(ErrorCode::OPERATION_FAILED, about));
        }
        if self.all.len() >= MAX_MOMENTS {
            return Err(refusal(
                ErrorCode::OPERATION_FAILED,
                "too many domain moments",
            ));
        }
        Ok(())
    }

    fn check_weight(&self, more: usize) -> Result<()> {
        let weights = self.all.values().map(|moment| moment.weight);
        if weights.fold(more, usize::saturating_add) > MAX_WEIGHT {
            return Err(refusal(
                ErrorCode::OPERATION_FAILED,
                "too much is kept of the domain",
            ));
        }
        Ok(())
    }

    /// Keeps a moment that stands on the current one, and is the current one from now on.
    pub(crate) fn add(&mut self, mut moment: Moment<T>) -> Result<()> {
        self.check_new(&moment.name)?;
        self.check_weight(moment.weight)?;
        moment.parent = self.current.replace(moment.name.clone());
        self.all.insert(moment.name.clone(), moment);
        Ok(())
    }

    /// Keeps a moment as it is described, in the place of any of that name.
    pub(crate) fn redefine(&mut self, moment: Moment<T>, current: bool) -> Result<()> {
        if !self.all.contains_key(&moment.name) {
            self.check_new(&moment.name)?;
        }
        self.check_weight(moment.weight)?;
        if self.descends(moment.parent.as_deref(), &moment.name) {
            let name = &moment.name;
            let about = format!("parent of {name} would create a cycle");
            return Err(refusal(ErrorCode::INVALID_ARG, about));
        }
        if current || self.current.is_none() {
            self.current = Some(moment.name.clone());
        }
        self.all.insert(moment.name.clone(), moment);
        Ok(())
    }

    /// Whether `name` is `ancestor` or stands on it.
    fn descends(&self, name: Option<&str>, ancestor: &str) -> bool {
        let mut name = name;
        // There are no cycles, so this ends.
        while let Some(one) = name {
            if one == ancestor {
                return true;
            }
            name = self
                .all
                .get(one)
                .and_then(|moment| moment.parent.as_deref());
        }
        false
    }

    fn children(&self, of: &str) -> impl Iterator<Item = &Moment<T>> {
        let all = self.all.values();
        all.filter(move |moment| moment.parent.as_deref() == Some(of))
    }

    fn has_children(&self, of: &str) -> bool {
        self.children(of).next().is_some()
    }

    /// Those that are wanted, of all or of what stands on one of them; parents come first.
    pub(crate) fn list(&self, below: Option<&str>, wanted: Wanted) -> Vec<&Moment<T>> {
        let all = self.in_order().into_iter();
        all.filter(|moment| match below {
            None if wanted.roots_or_descendants => moment.parent.is_none(),
            None => true,
            Some(below) if wanted.roots_or_descendants => {
                self.descends(moment.parent.as_deref(), below)
            }
            Some(below) => moment.parent.as_deref() == Some(below),
        })
        .filter(|moment| match (wanted.leaves, wanted.no_leaves) {
            (true, false) => !self.has_children(&moment.name),
            (false, true) => self.has_children(&moment.name),
            _ => true,
        })
        .collect()
    }

    fn in_order(&self) -> Vec<&Moment<T>> {
        let known = |name: &String| self.all.contains_key(name);
        let is_root = |moment: &&Moment<T>| !moment.parent.as_ref().is_some_and(known);
        let mut left: Vec<&Moment<T>> = self.all.values().filter(is_root).collect();
        left.reverse();
        let mut by_parent: BTreeMap<&str, Vec<&Moment<T>>> = BTreeMap::new();
        for moment in self.all.values().rev() {
            if let Some(parent) = &moment.parent {
                by_parent.entry(parent).or_default().push(moment);
            }
        }
        let mut ordered = Vec::with_capacity(self.all.len());
        while let Some(moment) = left.pop() {
            ordered.push(moment);
            left.extend(by_parent.get(moment.name.as_str()).into_iter().flatten());
        }
        ordered
    }

    /// Forgets a moment. What stands on it stands on what it stood on.
    pub(crate) fn remove(&mut self, name: &str) {
        let Some(gone) = self.all.remove(name) else {
            return;
        };
        for moment in self.all.values_mut() {
            if moment.parent.as_deref() == Some(name) {
                moment.parent.clone_from(&gone.parent);
            }
        }
        if self.is_current(name) {
            self.current = gone.parent.filter(|parent| self.all.contains_key(parent));
        }
    }

    /// Forgets all that stands on a moment; it is the current one then if the current one was among
    /// them.
    pub(crate) fn remove_descendants(&mut self, of: &str) {
        let wanted = Wanted {
            roots_or_descendants: true,
            ..Wanted::default()
        };
        let gone = self.list(Some(of), wanted);
        let gone: Vec<String> = gone.iter().map(|moment| moment.name.clone()).collect();
        let was_current = gone.iter().any(|name| self.is_current(name));
        for name in &gone {
            self.all.remove(name);
        }
        if was_current {
            self.current = Some(of.to_owned());
        }
    }
}

/// There is no moment of this name.
pub(crate) fn no_such_moment(code: ErrorCode, kind: &str, name: &str) -> RemoteError {
    refusal(
        code,
        format!("no domain {kind} with matching name '{name}'"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<T>(list: &[&Moment<T>]) -> Vec<String> {
        list.iter().map(|moment| moment.name.clone()).collect()
    }

    fn three() -> Moments<()> {
        let mut moments = Moments::default();
        for name in ["c", "b", "a"] {
            let moment = Moment::now(Some(name.to_owned()), None, ());
            moments.add(moment).unwrap();
        }
        moments
    }

    #[test]
    fn each_stands_on_the_one_before() {
        let moments = three();
        let everything = Wanted::default();
        assert_eq!(names(&moments.list(None, everything)), ["c", "b", "a"]);
        assert_eq!(names(&moments.list(Some("c"), everything)), ["b"]);
        let leaves = Wanted {
            leaves: true,
            ..everything
        };
        assert_eq!(names(&moments.list(None, leaves)), ["a"]);
        let deep = Wanted {
            roots_or_descendants: true,
            ..everything
        };
        assert_eq!(names(&moments.list(None, deep)), ["c"]);
        assert_eq!(names(&moments.list(Some("c"), deep)), ["b", "a"]);
        assert!(moments.check_new("a").is_err());
    }

    #[test]
    fn removing_one_keeps_the_others_together() {
        let mut moments = three();
        moments.remove("b");
        assert_eq!(moments.get("a").unwrap().parent.as_deref(), Some("c"));
        moments.remove("a");
        assert!(moments.is_current("c"));
    }

    #[test]
    fn removing_descendants_makes_their_ancestor_current() {
        let mut moments = three();
        moments.remove_descendants("c");
        assert!(moments.is_current("c"));
        assert_eq!(moments.list(None, Wanted::default()).len(), 1);
    }

    #[test]
    fn no_moment_stands_on_itself() {
        let mut moments = three();
        let mut moment = Moment::now(Some(String::from("c")), None, ());
        moment.parent = Some(String::from("a"));
        assert!(moments.redefine(moment, false).is_err());
    }
}
