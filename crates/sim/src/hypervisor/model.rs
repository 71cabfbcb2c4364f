//! How the disks of all domains behave: what images there are, how fast they are, and what a test
//! has planned for them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::block_job::BlockJobFault;
use super::image::Images;

/// How fast disks are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// How much a job without a limit moves in a second.
    pub(crate) throughput: u64,
    /// How long the hypervisor takes to begin with a job and to end it.
    pub(crate) latency: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            throughput: 512 << 20,
            latency: Duration::from_millis(5),
        }
    }
}

/// What a test has planned for one disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Habit {
    /// How much the guest writes in a second.
    pub(crate) writes: u64,
    /// What is to go wrong with the next job.
    pub(crate) faults: Vec<BlockJobFault>,
}

/// How the disks of all domains behave.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    pub(crate) images: Images,
    pub(crate) pace: Pace,
    /// By the domain's name and the disk's target: a plan may be older than the domain.
    habits: BTreeMap<(String, String), Habit>,
    /// The number of the last block job.
    pub(crate) last_job: u64,
}

impl Model {
    /// What is planned for a disk, to be changed.
    pub(crate) fn habit(&mut self, domain: &str, target: &str) -> &mut Habit {
        let key = (domain.to_owned(), target.to_owned());
        self.habits.entry(key).or_default()
    }

    /// How much the guest writes to a disk in a second.
    pub(crate) fn writes(&self, domain: &str, target: &str) -> u64 {
        let key = (domain.to_owned(), target.to_owned());
        self.habits.get(&key).map_or(0, |habit| habit.writes)
    }

    /// What is to go wrong with the job that starts now.
    pub(crate) fn take_faults(&mut self, domain: &str, target: &str) -> Vec<BlockJobFault> {
        let key = (domain.to_owned(), target.to_owned());
        let habit = self.habits.get_mut(&key);
        habit.map_or_else(Vec::new, |habit| std::mem::take(&mut habit.faults))
    }
}
