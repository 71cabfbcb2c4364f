//! Which scenes are played, and what happens when: all of it follows from one number.

use std::time::Duration;

use virtwire_tests::random::Random;

use crate::disturbance::Disturbance;
use crate::operation::Operation;

/// Long enough for a job at its usual pace to end before, sometimes.
const SLOW: Duration = Duration::from_millis(800);
/// The same for a job without limit.
const QUICK: Duration = Duration::from_millis(40);

/// One guest, with the same operation on each of its disks and the same disturbance for each, at
/// other moments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scene {
    pub(crate) round: u64,
    pub(crate) operation: Operation,
    pub(crate) disturbance: Disturbance,
    pub(crate) disks: u8,
    /// Which of several guests that share the work.
    pub(crate) part: u8,
    pub(crate) seed: u64,
}

impl Scene {
    /// Names it, for files and domains.
    pub(crate) fn name(&self) -> String {
        let Self {
            round,
            operation,
            disturbance,
            part,
            ..
        } = self;
        format!("r{round}-{operation}-{disturbance}-{part}")
    }
}

/// All scenes of so many rounds, each disturbance at so many moments.
///
/// A guest has one backup at a time, so there are several guests for these, if fewer moments.
/// `pulls_alone` says that there can be no two pulls in one guest.
pub(crate) fn scenes(seed: u64, rounds: u64, disks: u8, pulls_alone: bool) -> Vec<Scene> {
    let mut scenes = Vec::new();
    for round in 0..rounds {
        let first = scenes.len();
        for (row, operation) in Operation::ALL.into_iter().enumerate() {
            let fitting = Disturbance::ALL.into_iter().enumerate();
            for (column, disturbance) in fitting.filter(|(_, it)| it.applies_to(operation)) {
                // Its own seed, so that it is the same whatever else is played.
                let place = (round << 16) + ((row as u64) << 8) + column as u64;
                let mut random = Random::new(seed ^ place.rotate_left(32));
                let (parts, disks) = match operation {
                    _ if operation.is_backup() => (disks.div_ceil(3), 1),
                    _ if operation.is_pull() && pulls_alone => (disks, 1),
                    _ => (1, disks),
                };
                scenes.extend((0..parts).map(|part| Scene {
                    round,
                    operation,
                    disturbance,
                    disks,
                    part,
                    seed: random.number(),
                }));
            }
        }
        // In whatever order, so that what there is no time for is not always the same.
        let mut random = Random::new(seed ^ round);
        for place in (first + 1..scenes.len()).rev() {
            scenes.swap(place, first + random.below(place - first + 1));
        }
    }
    scenes
}

/// When what happens to one disk, and in which manner.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// How long after its start a disturbance of its own comes, or after it is ready where that is
    /// waited for. Of what happens to all at once, those of the first disk decide.
    pub(crate) after: Duration,
    /// How much later than the first the second of two requests comes.
    pub(crate) apart: Duration,
    /// MiB per second; none for no limit.
    pub(crate) bandwidth: Option<u64>,
    pub(crate) shallow: bool,
    pub(crate) synchronous: bool,
    /// Any number, for what else is to be chosen.
    pub(crate) choice: u64,
}

impl Moment {
    pub(crate) fn draw(random: &mut Random, operation: Operation) -> Self {
        let quick = random.below(4) == 0;
        let whole = match operation {
            // It takes no longer, once libvirt has done what it has to do for one.
            _ if operation.is_backup() => QUICK * 2,
            _ if quick => QUICK,
            _ => SLOW,
        };
        // Every other request comes at the very same time.
        let apart = if random.below(2) == 0 {
            0
        } else {
            random.number() % 3000
        };
        Self {
            after: whole.mul_f64((random.number() % 10_000) as f64 / 10_000.0),
            apart: Duration::from_micros(apart),
            bandwidth: (!quick).then(|| 4 + random.number() % 13),
            shallow: random.below(2) == 0,
            synchronous: random.below(3) == 0,
            choice: random.number(),
        }
    }
}
