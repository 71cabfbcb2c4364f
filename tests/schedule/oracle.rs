//! What must be so, given what really happened.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;
use virtwire::constants::ErrorCode;
use virtwire::{
    Connection, Error, ErrorKind, Evidence, NextStart, Outcome, VanishedReason, Verdict,
};

use crate::story::{Definition, PivotAnswer, Story};
use crate::world::{End, Shared, Truth};

/// News that trail behind the job's end by more than this may come too late; the client waits two
/// seconds.
const PROMPT: Duration = Duration::from_millis(1_900);

/// A handle of the client's, and its clones.
#[derive(Clone)]
pub(crate) struct Handle {
    name: Arc<str>,
    /// What is announced from here on it must hear.
    since: Instant,
    /// The client had it then.
    got: Instant,
    shared: Shared,
    outcome: Arc<Mutex<Option<Outcome>>>,
}

impl Handle {
    pub(crate) fn new(name: impl Into<String>, since: Instant, shared: &Shared) -> Self {
        Self {
            name: name.into().into(),
            since,
            got: Instant::now(),
            shared: shared.clone(),
            outcome: Arc::default(),
        }
    }

    fn truth(&self) -> (Truth, Story) {
        let world = self.shared.lock();
        (world.truth.clone(), world.story.clone())
    }

    fn complain(&self, what: impl AsRef<str>) {
        self.shared
            .complain(format!("{}: {}", self.name, what.as_ref()));
    }

    /// It was said to be ready.
    pub(crate) fn ready(&self) {
        let (truth, _) = self.truth();
        if truth.ready.is_none() && truth.stranger.is_none() {
            self.complain("said to be ready, which it never was");
        }
    }

    /// A call has said how the job ended.
    pub(crate) fn over(&self, call: &str, outcome: &Outcome) {
        self.shared
            .note(format!("{}: {call}: {outcome:?}", self.name));
        let mut first = self.outcome.lock().unwrap();
        match &*first {
            Some(first) if first != outcome => {
                self.complain(format!("said to be {first:?} and {outcome:?}"));
            }
            Some(_) => {}
            None => {
                *first = Some(outcome.clone());
                self.check(outcome);
            }
        }
    }

    /// A call was refused.
    pub(crate) fn refused(&self, call: &str, error: &Error) {
        self.shared.note(format!("{}: {call}: {error}", self.name));
        let (truth, story) = self.truth();
        let fails = story.pivots.contains(&PivotAnswer::Failed);
        let may = match error.kind() {
            ErrorKind::InvalidInput => !story.work.is_mirror(),
            _ if error.has_code(ErrorCode::OPERATION_FAILED) => fails,
            _ => truth.stranger.is_some(),
        };
        if !may {
            self.complain(format!("{call} was refused: {error:?}"));
        }
    }

    fn check(&self, outcome: &Outcome) {
        let (truth, story) = self.truth();
        let prompt = self.told_in_time(&story, &truth);
        if self.is_confusable(&story, &truth) {
            return;
        }
        let noted = truth
            .noted
            .map(|(_, end)| end)
            .filter(|_| truth.told.is_some());
        let right = match outcome {
            Outcome::Completed => noted == Some(End::Completed),
            Outcome::Pivoted(_) => noted == Some(End::Pivoted),
            Outcome::Cancelled => noted == Some(End::Cancelled),
            Outcome::Failed(_) => noted == Some(End::Failed),
            Outcome::Vanished(_) => !prompt,
            _ => false,
        };
        if !right {
            self.complain(format!("said to be {outcome:?}, but {truth:?}"));
        }
        match outcome {
            Outcome::Pivoted(next) => self.check_next(next, &story, &truth),
            Outcome::Vanished(evidence) => {
                self.check_reason(&evidence.reason, &story, &truth);
                self.check_verdict(evidence, &truth, false);
            }
            _ => {}
        }
    }

    /// Whether another job may pass for ours, since nothing on the wire tells them apart.
    fn is_confusable(&self, story: &Story, truth: &Truth) -> bool {
        // Two jobs have ended before the client began to follow one.
        let at_once = truth.gone.is_some_and(|gone| gone < self.got + PROMPT);
        // The domain was started anew while the job was prepared, and is taken for another.
        if truth.stopped < truth.started && truth.stopped.is_some() {
            return true;
        }
        let stranger = truth.stranger == Some(story.work.kind());
        (story.earlier && at_once) || (stranger && (at_once || !self.told_in_time(story, truth)))
    }

    /// Whether the end was announced so that the handle must have heard it.
    fn told_in_time(&self, story: &Story, truth: &Truth) -> bool {
        let (Some(told), Some((noted, _)), Some(gone)) = (truth.told, truth.noted, truth.gone)
        else {
            return false;
        };
        // An ending that is told before the answer to the start has to be confirmed, which neither a
        // domain that has stopped by then, or before it has ceased to hang, nor a lost connection
        // does.
        let soon = self.got + PROMPT;
        let hung = story.frozen.is_some();
        let stopped = truth.stopped.is_some_and(|stopped| hung || stopped < soon);
        let cut_off = !story.reconnects && !story.cuts.is_empty();
        let unconfirmed = told <= self.got && (stopped || cut_off);
        // A queue that overflows loses what was told, and so does a connection that is lost before
        // the events have been asked for anew on it.
        let lost = unconfirmed || story.storm.is_some() || story.cuts.len() > 1;
        noted > self.since && told <= gone + PROMPT && !lost
    }

    fn check_next(&self, next: &NextStart, story: &Story, truth: &Truth) {
        let right = match (next, story.definition) {
            (NextStart::NewImage, Definition::Same | Definition::Destination)
            | (NextStart::OtherImage(_), Definition::Other)
            | (NextStart::NoDefinition, Definition::None) => true,
            (NextStart::NotKnown, _) => {
                story.unplugged || truth.stopped.is_some() || !story.cuts.is_empty()
            }
            _ => false,
        };
        if !right {
            self.complain(format!("next start: {next:?}, but {:?}", story.definition));
        }
    }

    fn check_reason(&self, reason: &VanishedReason, story: &Story, truth: &Truth) {
        let right = match reason {
            VanishedReason::DomainStopped { .. } => truth.stopped.is_some(),
            VanishedReason::NoEvent => truth.gone.is_some(),
            VanishedReason::ConnectionLost(_) => !story.reconnects && !story.cuts.is_empty(),
            _ => false,
        };
        if !right {
            self.complain(format!("vanished: {reason:?}, but {truth:?}"));
        }
    }

    /// What the evidence says must be so; when everything has calmed down it must say something.
    fn check_verdict(&self, evidence: &Evidence, truth: &Truth, calm: bool) {
        let verdict = evidence.resolve();
        self.shared
            .note(format!("{}: {verdict:?}, calm: {calm}", self.name));
        let (mirror, to_be_seen) = {
            let world = self.shared.lock();
            let to_be_seen = world.id == Some(1) && !world.is_unplugged;
            (world.story.work.is_mirror(), to_be_seen)
        };
        let over = truth.gone.is_some();
        // The hypervisor may have switched, and nobody has noted it.
        let switched = matches!(truth.died, Some((_, Some(End::Pivoted))));
        let right = match verdict {
            Verdict::Completed => truth.rewritten && !mirror,
            Verdict::Pivoted => truth.rewritten && mirror,
            Verdict::NotDone => over && !truth.rewritten && !(switched && truth.pivots_heard > 0),
            Verdict::Running => {
                let recently = Duration::from_secs(6);
                let gone = truth
                    .gone
                    .is_some_and(|gone| gone + recently < Instant::now());
                !gone || truth.stranger.is_some()
            }
            // A daemon that was killed meanwhile takes a cancellation for a pivot, or the reverse.
            Verdict::Unknown if mirror && (evidence.cancel_asked || evidence.pivot_asked) => true,
            Verdict::Unknown => !(calm && to_be_seen && truth.stranger.is_none()),
            _ => false,
        };
        if !right {
            self.complain(format!(
                "the evidence says {verdict:?}, but {truth:?}; {evidence:?}"
            ));
        }
    }

    /// The evidence, seen again when everything has calmed down.
    pub(crate) async fn look_again(&self, connection: &Option<Connection>) {
        let outcome = self.outcome.lock().unwrap().clone();
        let (Some(Outcome::Vanished(evidence)), Some(connection)) = (outcome, connection) else {
            return;
        };
        let Ok(guest) = connection.lookup_domain_by_name("guest").await else {
            return;
        };
        let (truth, story) = self.truth();
        if truth.stranger == Some(story.work.kind()) {
            return;
        }
        let evidence = evidence.look_again(&guest.disk("vda")).await;
        self.check_verdict(&evidence, &truth, true);
    }
}
