//! A whole run: daemons come and go, and what is found is made small and written down.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use virtwire_lab::{CagedDaemon, Driver};
use virtwire_protocol::Release;

use crate::finding::{Finding, Kind};
use crate::minimise::minimise;
use crate::plan::Planner;
use crate::reproducer::Reproducer;
use crate::script::{Action, Callable, Step};
use crate::stage::{Patience, Stage, Stop};
use crate::summary::{Found, Summary};

/// What happens later on the same daemon depends on ever more of what happened before.
const MOST_STEPS: usize = 3000;

/// A guest and all its jobs are over by then, or they never will be.
const EPOCH: Duration = Duration::from_secs(20);

/// A call may wait 30 s for another to let go of a guest.
const SLOWEST_ANSWER: Duration = Duration::from_secs(40);

/// What a run shall be like.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long calls are made. Making findings small comes on top.
    pub time: Duration,
    /// What all random decisions come from.
    pub seed: u64,
    /// Which driver the calls are for.
    pub driver: Driver,
    /// The release of the daemon: what is younger is not called.
    pub release: Release,
    /// The procedures that are called; `None` for all that may be.
    pub only: Option<Vec<Callable>>,
    /// Where reproducers are written to.
    pub out: PathBuf,
    /// How long the daemon may take.
    pub patience: Patience,
    /// How long a finding may take to be made small.
    pub minimising: Duration,
}

impl Options {
    /// The usual patience with this driver, for so long.
    #[must_use]
    pub fn new(driver: Driver, time: Duration, seed: u64) -> Self {
        Self {
            time,
            seed,
            driver,
            release: Release::new(9, 0, 0),
            only: None,
            out: PathBuf::from("target/fuzz-live"),
            patience: Patience {
                answer: Duration::from_millis(1500),
                life: Duration::from_secs(15),
                last: SLOWEST_ANSWER,
            },
            minimising: Duration::from_secs(60),
        }
    }
}

/// Why a run could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The lab failed.
    #[error(transparent)]
    Lab(#[from] virtwire_lab::Error),
    /// A reproducer could not be written.
    #[error("cannot write a reproducer")]
    Write(#[source] io::Error),
}

/// Fuzzes daemons like this one, and this one first.
///
/// There is no other way to say which daemon: one that is not caged cannot be given.
///
/// # Errors
///
/// When the lab fails or nothing can be written.
pub fn run(
    options: &Options,
    daemon: CagedDaemon,
    report: &mut dyn FnMut(&str),
) -> Result<Summary, Error> {
    let mut planner = Planner::new(options.driver, options.release, options.seed);
    if let Some(only) = &options.only {
        planner.restrict(only);
    }
    let mut campaign = Campaign {
        options,
        report,
        summary: Summary {
            seed: options.seed,
            enabled: planner.enabled(),
            ..Summary::default()
        },
        planner,
    };
    campaign.run(daemon)?;
    Ok(campaign.summary)
}

/// Does these steps on this daemon, and says what is found: a crash, a hang, or the violation with
/// this signature.
#[must_use]
pub fn replay(
    mut daemon: CagedDaemon,
    driver: Driver,
    patience: Patience,
    steps: &[Step],
    signature: &str,
) -> Option<Finding> {
    let mut all = || {
        let mut stage = Stage::new(&mut daemon, driver, patience)?;
        stage.look_for(signature);
        for step in steps {
            stage.perform(step)?;
            drop(stage.take_heard());
        }
        stage.settle(patience.at_the_end())?;
        Ok(stage.stuck())
    };
    match all() {
        Ok(stuck) => stuck,
        Err(Stop::Found(finding)) => Some(finding),
        Err(Stop::Killed) => None,
    }
}

struct Campaign<'c> {
    options: &'c Options,
    report: &'c mut dyn FnMut(&str),
    planner: Planner,
    summary: Summary,
}

impl Campaign<'_> {
    fn run(&mut self, mut daemon: CagedDaemon) -> Result<(), Error> {
        let mut left = self.options.time;
        loop {
            let started = Instant::now();
            let mut history = Vec::new();
            self.summary.daemons += 1;
            let outcome = self.epoch(&mut daemon, left, &mut history);
            left = left.saturating_sub(started.elapsed());
            match outcome {
                Ok(()) => {}
                Err(Stop::Found(finding)) => self.found(&daemon, finding, &history)?,
                Err(Stop::Killed) => self.summary.killed += 1,
            }
            if left.is_zero() {
                return Ok(());
            }
            daemon = daemon.another()?;
        }
    }

    /// Fuzzes one daemon, until its time is over or something is found.
    fn epoch(
        &mut self,
        daemon: &mut CagedDaemon,
        left: Duration,
        history: &mut Vec<Step>,
    ) -> Result<(), Stop> {
        let end = Instant::now() + left.min(EPOCH);
        self.planner.forget();
        let mut stage = Stage::new(daemon, self.options.driver, self.options.patience)?;
        stage.tolerate(self.summary.violations());
        while Instant::now() < end && history.len() < MOST_STEPS {
            for step in self.planner.next_steps() {
                self.summary.sent(&step);
                history.push(step.clone());
                let outcome = stage.perform(&step);
                self.hear(&mut stage);
                outcome?;
                if Instant::now() >= end {
                    break;
                }
            }
        }
        let outcome = self.last_answers(&mut stage, left <= EPOCH);
        self.hear(&mut stage);
        outcome
    }

    /// Waits for what is not answered yet: at the very end, for as long as an answer can take.
    fn last_answers(&mut self, stage: &mut Stage<'_>, very_last: bool) -> Result<(), Stop> {
        stage.settle(Duration::from_secs(1))?;
        if very_last && stage.unanswered().next().is_some() {
            stage.settle(self.options.patience.at_the_end())?;
            if let Some(finding) = stage.stuck() {
                return Err(Stop::Found(finding));
            }
        }
        self.summary.given_up(stage.unanswered());
        Ok(())
    }

    fn hear(&mut self, stage: &mut Stage<'_>) {
        for heard in stage.take_heard() {
            self.summary.heard(&heard);
            self.planner.learn(&heard);
        }
    }

    /// Counts a finding, and makes a new one small and writes it down.
    fn found(
        &mut self,
        daemon: &CagedDaemon,
        finding: Finding,
        history: &[Step],
    ) -> Result<(), Error> {
        if self.summary.again(&finding) {
            return Ok(());
        }
        (self.report)(&format!("found after {} steps: {finding}", history.len()));
        let small = self.minimised(daemon, &finding, history)?;
        let reproduced = small.is_some();
        let steps = small.unwrap_or_else(|| history.to_vec());
        let alone = culprit(&steps).filter(|_| reproduced && finding.kind != Kind::Violation);
        // Or nothing else would be found.
        let avoided = alone.filter(|culprit| self.planner.avoid(*culprit));
        let found = Found {
            finding: finding.clone(),
            times: 1,
            steps: reproduced.then_some(steps.len()),
            culprits: avoided.into_iter().collect(),
        };
        let how = found.how();
        if !self.summary.add(found) {
            (self.report)(&format!("known: {how}"));
            return Ok(());
        }
        let reproducer = Reproducer::new(self.options.driver, &finding, steps, reproduced);
        let name = format!("{:02}-{}", self.summary.findings.len(), finding.kind);
        let path = reproducer
            .write(&self.options.out, &name)
            .map_err(Error::Write)?;
        (self.report)(&format!("{how}: {}", path.display()));
        Ok(())
    }

    /// The shortest steps that make it happen on a daemon without a past.
    fn minimised(
        &mut self,
        daemon: &CagedDaemon,
        finding: &Finding,
        history: &[Step],
    ) -> Result<Option<Vec<Step>>, Error> {
        let end = Instant::now() + self.options.minimising;
        // Impatient, since every step that is needed costs that time; the end is tried again.
        let patience = Patience {
            answer: Duration::from_millis(500),
            life: self.options.patience.life.min(Duration::from_secs(2)),
            last: self.options.patience.last.min(Duration::from_secs(3)),
        };
        let driver = self.options.driver;
        let mut failed = None;
        let small = minimise(history, |steps| {
            if failed.is_some() || Instant::now() >= end {
                return None;
            }
            match daemon.another() {
                Ok(fresh) => {
                    let again = replay(fresh, driver, patience, steps, &finding.signature);
                    Some(again.is_some_and(|again| again.is_same(finding)))
                }
                Err(error) => {
                    failed = Some(error);
                    None
                }
            }
        });
        if let Some(error) = failed {
            return Err(error.into());
        }
        if finding.kind != Kind::Hang {
            return Ok(small);
        }
        let Some(small) = small else {
            return Ok(None);
        };
        // What is only slow is no hang, and so far it had not much time.
        let (patience, signature) = (self.options.patience, &finding.signature);
        let again = replay(daemon.another()?, driver, patience, &small, signature);
        Ok(again
            .is_some_and(|again| again.is_same(finding))
            .then_some(small))
    }
}

/// The procedure that is to blame if hardly anything else was called.
fn culprit(steps: &[Step]) -> Option<Callable> {
    match steps {
        [.., last] if steps.len() <= 2 => match &last.action {
            Action::Call { procedure, .. } => Some(*procedure),
            _ => None,
        },
        _ => None,
    }
}
