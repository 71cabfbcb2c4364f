//! What a campaign has done.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use virtwire_protocol::constants::ErrorCode;

use crate::finding::{Finding, Kind};
use crate::script::{Action, Callable, Step};
use crate::stage::Heard;

/// What was done and what came of it.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// The seed that all of it came from.
    pub seed: u64,
    /// The procedures that could be called.
    pub enabled: usize,
    /// How many daemons there were.
    pub daemons: u64,
    /// How many of them ended by the limits of their cage.
    pub killed: u64,
    /// Calls that were made.
    pub calls: u64,
    /// Other packets that were sent.
    pub others: u64,
    /// Calls that succeeded.
    pub successes: u64,
    /// Calls that failed, by the code of the error.
    pub failures: BTreeMap<i32, u64>,
    /// Events that came.
    pub events: u64,
    /// Calls that had no answer yet when their daemon was given up, by procedure.
    pub unanswered: BTreeMap<&'static str, u64>,
    /// The procedures that were called.
    pub called: BTreeSet<&'static str>,
    /// Those that succeeded at least once.
    pub succeeded: BTreeSet<&'static str>,
    /// What was found, with how often it was met.
    pub findings: Vec<Found>,
}

/// A finding and what is known of how it comes about.
#[derive(Debug, Clone)]
pub struct Found {
    /// The finding.
    pub finding: Finding,
    /// How often it was met.
    pub times: u64,
    /// How many steps make it happen; `None` when it did not happen again.
    pub steps: Option<usize>,
    /// The procedures that do it all by themselves and were called no more since.
    pub culprits: Vec<Callable>,
}

impl Summary {
    /// Counts a step that is sent.
    pub fn sent(&mut self, step: &Step) {
        if let Action::Call { procedure, .. } = &step.action {
            self.calls += 1;
            self.called.insert(procedure.0.name);
        } else {
            self.others += 1;
        }
    }

    /// Counts what was heard.
    pub fn heard(&mut self, heard: &Heard) {
        match heard {
            Heard::Success(callable, _) => {
                self.successes += 1;
                self.succeeded.insert(callable.0.name);
            }
            Heard::Failure(_, code) => *self.failures.entry(*code).or_default() += 1,
            Heard::Event(..) => self.events += 1,
            Heard::Again(finding) => drop(self.again(finding)),
        }
    }

    /// Counts a finding if nothing new can be learned from it. If those who did it are called no
    /// more, it is new who does.
    pub fn again(&mut self, finding: &Finding) -> bool {
        let known = self.find(finding).filter(|found| found.culprits.is_empty());
        let is_known = known.is_some();
        if let Some(found) = known {
            found.times += 1;
        }
        is_known
    }

    /// Adds a finding; says whether it is a new one, and not another way to one that is known.
    pub fn add(&mut self, new: Found) -> bool {
        match self.find(&new.finding) {
            Some(found) => {
                found.times += new.times;
                found.culprits.extend(new.culprits);
                false
            }
            None => {
                self.findings.push(new);
                true
            }
        }
    }

    fn find(&mut self, finding: &Finding) -> Option<&mut Found> {
        let mut findings = self.findings.iter_mut();
        findings.find(|found| found.finding.is_same(finding))
    }

    /// The signatures of the violations that are known.
    pub fn violations(&self) -> impl Iterator<Item = String> {
        let findings = self.findings.iter().map(|found| &found.finding);
        let violations = findings.filter(|finding| finding.kind == Kind::Violation);
        violations.map(|finding| finding.signature.clone())
    }

    /// Counts calls that will not be answered any more.
    pub fn given_up(&mut self, callables: impl Iterator<Item = Callable>) {
        for callable in callables {
            *self.unanswered.entry(callable.0.name).or_default() += 1;
        }
    }
}

impl Found {
    /// How it comes about, in words.
    #[must_use]
    pub fn how(&self) -> String {
        let names: Vec<&str> = self.culprits.iter().map(|culprit| culprit.0.name).collect();
        match (self.steps, names.as_slice()) {
            (Some(1), [name]) => format!("{name} does it alone"),
            (Some(1), [_, _, ..]) => format!("each alone does it: {}", names.join(" ")),
            (Some(1), []) => "one step does it".to_owned(),
            (Some(steps), _) => format!("{steps} steps do it"),
            (None, _) => "it did not happen again".to_owned(),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        let (calls, others) = (self.calls, self.others);
        let (daemons, killed) = (self.daemons, self.killed);
        writeln!(
            f,
            "{calls} calls and {others} other packets to {daemons} daemons"
        )?;
        if killed > 0 {
            writeln!(f, "{killed} daemons were ended by the limits of their cage")?;
        }
        let (called, succeeded) = (self.called.len(), self.succeeded.len());
        let enabled = self.enabled;
        writeln!(
            f,
            "{called} of {enabled} procedures called, {succeeded} with success"
        )?;
        let failures: u64 = self.failures.values().sum();
        let (successes, events) = (self.successes, self.events);
        writeln!(
            f,
            "{successes} successes, {failures} errors, {events} events"
        )?;
        let mut by_number: Vec<_> = self.failures.iter().collect();
        by_number.sort_by_key(|(code, count)| (std::cmp::Reverse(**count), **code));
        for (code, count) in by_number {
            writeln!(f, "  {count:>6}  {code:>3} {:?}", ErrorCode(*code))?;
        }
        if !self.unanswered.is_empty() {
            writeln!(f, "given up without an answer: {:?}", self.unanswered)?;
        }
        writeln!(f, "{} findings", self.findings.len())?;
        for found in &self.findings {
            let times = found.times;
            let how = found.how();
            writeln!(f, "  {} ({times} times; {how})", found.finding)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use virtwire_protocol::remote;

    use super::*;

    fn found(signature: &str, culprits: Vec<Callable>) -> Found {
        Found {
            finding: Finding::new(Kind::Crash, signature, ""),
            times: 1,
            steps: Some(1),
            culprits,
        }
    }

    #[test]
    fn what_is_the_same_is_listed_once() {
        let mut summary = Summary::default();
        let (one, two) = (
            Callable::of::<remote::DomainSave>(),
            Callable::of::<remote::DomainRestore>(),
        );
        assert!(summary.add(found("a", vec![])));
        assert!(summary.add(found("b", vec![one])));
        assert!(summary.again(&found("a", vec![]).finding));
        assert!(!summary.again(&found("c", vec![]).finding));
        // Who did it is called no more, so somebody else did.
        assert!(!summary.again(&found("b", vec![]).finding));
        assert!(!summary.add(found("b", vec![two])));
        let listed: Vec<u64> = summary.findings.iter().map(|found| found.times).collect();
        assert_eq!(listed, [2, 2]);
        let text = summary.to_string();
        assert!(
            text.contains("each alone does it: DOMAIN_SAVE DOMAIN_RESTORE"),
            "{text}"
        );
    }
}
