//! What holds a process in its cage, as the kernel says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{INSIDE, Limits};
use crate::Error;
use crate::error::IoContext as _;

/// The namespaces that a caged process shares with nobody outside.
const NAMESPACES: [&str; 5] = ["mnt", "pid", "net", "ipc", "uts"];

/// Where a caged process can create or change anything; terminals and shared memory are its own.
const WRITABLE: [&str; 3] = [INSIDE, "/dev/pts", "/dev/shm"];

/// What holds a running process, as `/proc` says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Confinement {
    /// Its real, effective, saved and file system user.
    pub users: Vec<u32>,
    /// The same four of its group.
    pub groups: Vec<u32>,
    /// Its other groups.
    pub supplementary_groups: Vec<u32>,
    /// Every capability in any of its sets.
    pub capabilities: u64,
    /// Whether no program that it runs gives it any privilege.
    pub no_new_privileges: bool,
    /// The kinds of namespaces that are not this process's.
    pub namespaces: Vec<&'static str>,
    /// Its network interfaces.
    pub interfaces: Vec<String>,
    /// The mount points that are not read-only.
    pub writable: Vec<PathBuf>,
    /// Its limits, by their names in `/proc/PID/limits`; those that are not limited are missing.
    pub limits: BTreeMap<String, u64>,
}

impl Confinement {
    /// Reads what holds this process.
    pub(super) fn of(pid: i32) -> Result<Self, Error> {
        let read = |name: &str| {
            let path = PathBuf::from(format!("/proc/{pid}/{name}"));
            fs::read_to_string(&path).doing("read", &path)
        };
        let status = read("status")?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default()
        };
        let numbers = |name: &str| {
            let words = field(name).split_whitespace();
            words.filter_map(|word| word.parse().ok()).collect()
        };
        // A set that cannot be read counts as full.
        let set = |name: &str| u64::from_str_radix(field(name).trim(), 16).unwrap_or(u64::MAX);
        let sets = ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"];
        Ok(Self {
            users: numbers("Uid:"),
            groups: numbers("Gid:"),
            supplementary_groups: numbers("Groups:"),
            capabilities: sets.iter().fold(0, |all, name| all | set(name)),
            no_new_privileges: field("NoNewPrivs:").trim() == "1",
            namespaces: own_namespaces(pid),
            interfaces: interfaces(&read("net/dev")?),
            writable: writable_mounts(&read("mountinfo")?),
            limits: limits(&read("limits")?),
        })
    }

    /// Makes sure that nothing is missing of what a cage is.
    pub(super) fn check(&self, user: u32, limits: &Limits) -> Result<(), Error> {
        let outside = |path: &&PathBuf| {
            !WRITABLE
                .iter()
                .any(|mount| path.as_path() == Path::new(mount))
        };
        let ids = vec![user; 4];
        let complaint = if user == 0 || self.users != ids || self.groups != ids {
            format!(
                "it runs as {:?} and {:?}, not as {user}",
                self.users, self.groups
            )
        } else if !self.supplementary_groups.is_empty() {
            format!("it has the groups {:?}", self.supplementary_groups)
        } else if self.capabilities != 0 {
            format!("it has the capabilities {:#x}", self.capabilities)
        } else if !self.no_new_privileges {
            "it could gain privileges".to_owned()
        } else if self.namespaces != NAMESPACES {
            format!("of the namespaces, it has only {:?}", self.namespaces)
        } else if self.interfaces.iter().any(|name| name != "lo") {
            format!("it has the network interfaces {:?}", self.interfaces)
        } else if let Some(mount) = self.writable.iter().find(outside) {
            format!("it can write to {}", mount.display())
        } else if let Some((name, _)) = limits
            .names()
            .into_iter()
            .find(|(name, limit)| self.limits.get(*name) != Some(limit))
        {
            format!("\"{name}\" is {:?}", self.limits.get(name))
        } else {
            return Ok(());
        };
        Err(Error::NotCaged { complaint })
    }
}

fn own_namespaces(pid: i32) -> Vec<&'static str> {
    let namespace = |of: &str, kind: &str| fs::read_link(format!("/proc/{of}/ns/{kind}")).ok();
    let pid = pid.to_string();
    let is_own = |kind: &&str| match (namespace(&pid, kind), namespace("self", kind)) {
        (Some(its), Some(ours)) => its != ours,
        _ => false,
    };
    NAMESPACES.into_iter().filter(is_own).collect()
}

fn interfaces(net_dev: &str) -> Vec<String> {
    let names = net_dev.lines().filter_map(|line| line.split_once(':'));
    names.map(|(name, _)| name.trim().to_owned()).collect()
}

/// A mount is for writing unless it or its file system is read-only.
fn writable_mounts(mountinfo: &str) -> Vec<PathBuf> {
    let read_only = |options: &str| options.split(',').any(|option| option == "ro");
    let writable = mountinfo.lines().filter_map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let (point, options) = (words.get(4)?, words.get(5)?);
        let of_file_system = words.last()?;
        (!read_only(options) && !read_only(of_file_system)).then(|| PathBuf::from(point))
    });
    writable.collect()
}

fn limits(text: &str) -> BTreeMap<String, u64> {
    let lines = text.lines().filter_map(|line| {
        // The name is in columns, since it has spaces; the hard limit is what cannot be raised.
        let (name, values) = line.split_at_checked(26)?;
        let hard = values.split_whitespace().nth(1)?.parse().ok()?;
        Some((name.trim().to_owned(), hard))
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caged() -> Confinement {
        Confinement {
            users: vec![7; 4],
            groups: vec![7; 4],
            supplementary_groups: Vec::new(),
            capabilities: 0,
            no_new_privileges: true,
            namespaces: NAMESPACES.to_vec(),
            interfaces: vec!["lo".to_owned()],
            writable: WRITABLE.map(PathBuf::from).to_vec(),
            limits: Limits::default()
                .names()
                .map(|(name, limit)| (name.to_owned(), limit))
                .into(),
        }
    }

    fn holds(change: impl FnOnce(&mut Confinement)) -> bool {
        let mut confinement = caged();
        change(&mut confinement);
        confinement.check(7, &Limits::default()).is_ok()
    }

    #[test]
    fn a_cage_without_any_one_of_its_walls_is_none() {
        assert!(holds(|_| {}));
        assert!(!holds(|c| c.users[3] = 0));
        assert!(!holds(|c| c.groups[0] = 0));
        assert!(!holds(|c| c.supplementary_groups.push(0)));
        assert!(!holds(|c| c.capabilities = 1 << 21));
        assert!(!holds(|c| c.no_new_privileges = false));
        assert!(!holds(|c| c.namespaces.truncate(4)));
        assert!(!holds(|c| c.interfaces.push("eth0".to_owned())));
        assert!(!holds(|c| c.writable.push(PathBuf::from("/"))));
        assert!(!holds(|c| c
            .limits
            .retain(|name, _| name != "Max processes")));
        assert!(!holds(|c| c
            .limits
            .extend([("Max address space".into(), 1)])));
    }

    #[test]
    fn what_this_process_can_do_is_no_cage() {
        let own = i32::try_from(std::process::id()).unwrap();
        let confinement = Confinement::of(own).unwrap();
        assert_eq!(confinement.namespaces, [""; 0]);
        assert!(confinement.check(7, &Limits::default()).is_err());
    }

    #[test]
    fn read_only_mounts_are_told_from_others() {
        let mounts = "1 2 0:3 / /a rw,relatime - tmpfs x rw,size=1\n\
                      1 2 0:3 / /b ro,relatime shared:1 - tmpfs x rw\n\
                      1 2 0:3 / /c rw,relatime - sysfs x ro\n";
        assert_eq!(writable_mounts(mounts), [Path::new("/a")]);
    }
}
