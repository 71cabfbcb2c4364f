//! Runs and outcomes, by operation and disturbance.

use std::collections::BTreeMap;
use std::fmt;

use virtwire::{BackupOutcome, Outcome, Verdict};

use crate::accident::Accident;
use crate::course::Told;
use crate::disturbance::Disturbance;
use crate::operation::Operation;
use crate::scene::Report;

/// What was counted.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: BTreeMap<(Operation, Disturbance), Row>,
    accidents: BTreeMap<Accident, usize>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Row {
    runs: usize,
    not_started: usize,
    completed: usize,
    pivoted: usize,
    cancelled: usize,
    failed: usize,
    vanished: usize,
    /// Of those that vanished, what was found out.
    found: [usize; 4],
    /// Runs in scenes in which something died by itself.
    accidents: usize,
    surprises: usize,
}

impl Table {
    pub(crate) fn count(&mut self, report: &Report) {
        let place = (report.scene.operation, report.scene.disturbance);
        let row = self.rows.entry(place).or_default();
        for accident in &report.accidents {
            *self.accidents.entry(*accident).or_default() += 1;
        }
        if !report.accidents.is_empty() {
            row.accidents += report.runs.len();
        }
        for run in &report.runs {
            row.count(&run.course.told);
            row.surprises += usize::from(!run.surprises.is_empty());
        }
    }

    pub(crate) fn surprises(&self) -> usize {
        self.rows.values().map(|row| row.surprises).sum()
    }

    pub(crate) fn runs(&self) -> usize {
        self.rows.values().map(|row| row.runs).sum()
    }
}

impl Row {
    fn count(&mut self, told: &Told) {
        self.runs += 1;
        let counter = match (&told.first, &told.backup) {
            (None, None) => &mut self.not_started,
            (Some(Outcome::Completed), _) | (_, Some(BackupOutcome::Completed)) => {
                &mut self.completed
            }
            (Some(Outcome::Pivoted(_)), _) => &mut self.pivoted,
            (Some(Outcome::Cancelled), _) | (_, Some(BackupOutcome::Cancelled)) => {
                &mut self.cancelled
            }
            (Some(Outcome::Failed(_)), _) | (_, Some(BackupOutcome::Failed(_))) => &mut self.failed,
            _ => &mut self.vanished,
        };
        *counter += 1;
        if matches!(told.first, Some(Outcome::Vanished(_))) {
            self.found[found(told)] += 1;
        }
    }
}

/// What was found out about a job that had vanished: done, not done, failed or cancelled since,
/// or nothing.
fn found(told: &Told) -> usize {
    match (&told.attached, told.verdict) {
        (Some(Outcome::Completed | Outcome::Pivoted(_)), _)
        | (None, Some(Verdict::Completed | Verdict::Pivoted)) => 0,
        (None, Some(Verdict::NotDone)) => 1,
        (Some(Outcome::Cancelled | Outcome::Failed(_)), _) => 2,
        _ => 3,
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<14} {:<20} {:>5} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7}  {:<20} {:>5} {:>5}",
            "operation",
            "disturbance",
            "runs",
            "refused",
            "complet",
            "pivoted",
            "cancel",
            "failed",
            "vanish",
            "done/not/ended/open",
            "accid",
            "surpr"
        )?;
        for ((operation, disturbance), row) in &self.rows {
            let [done, not_done, ended, open] = row.found;
            let found = if row.vanished == 0 {
                String::new()
            } else {
                format!("{done}/{not_done}/{ended}/{open}")
            };
            writeln!(
                f,
                "{operation:<14} {disturbance:<20} {:>5} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7}  {found:<20} {:>5} {:>5}",
                row.runs,
                row.not_started,
                row.completed,
                row.pivoted,
                row.cancelled,
                row.failed,
                row.vanished,
                row.accidents,
                row.surprises
            )?;
        }
        writeln!(
            f,
            "refused: not started, or not known to be; done/not/ended/open: what was found out \
             afterwards about jobs that had vanished"
        )?;
        for (accident, times) in &self.accidents {
            writeln!(f, "accident: {accident}: {times} times")?;
        }
        Ok(())
    }
}
