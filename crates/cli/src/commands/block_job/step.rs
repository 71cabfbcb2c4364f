//! How far a block job is, as it is shown.

use indicatif::{HumanBytes, HumanDuration};
use serde_json::{Value, json};
use virtwire::{Convergence, Progress};

use crate::output::Step;

/// The progress of the job on a disk.
pub(super) struct JobStep<'a> {
    pub(super) disk: &'a str,
    pub(super) progress: Progress,
}

impl Step for JobStep<'_> {
    fn part(&self) -> Option<(u64, u64)> {
        let Progress { current, end, .. } = self.progress;
        self.progress.fraction().map(|_| (current.min(end), end))
    }

    fn figures(&self) -> String {
        let progress = &self.progress;
        let mut text = match self.part() {
            Some((current, end)) => format!("  {} of {}", HumanBytes(current), HumanBytes(end)),
            None => "  no figures".to_owned(),
        };
        text.push_str(&format!(", limit {}", progress.bandwidth));
        if let Some(rate) = progress.rate {
            text.push_str(&format!(", {}/s", HumanBytes(rate)));
        }
        if let Some(eta) = progress.eta {
            text.push_str(&format!(", {} left", HumanDuration(eta)));
        }
        if progress.convergence == Some(Convergence::Diverging) {
            text.push_str(", the guest is faster");
        }
        text
    }

    fn document(&self) -> Value {
        let progress = &self.progress;
        json!({
            "event": "progress",
            "disk": self.disk,
            "current": progress.current,
            "end": progress.end,
            "percent": progress.fraction().map(|fraction| fraction * 100.0),
            "bandwidth": progress.bandwidth.bytes(),
            "rate": progress.rate,
            "eta": progress.eta.map(|eta| eta.as_secs_f64()),
            "convergence": progress.convergence.map(convergence_name),
            "ready": progress.ready,
        })
    }
}

fn convergence_name(convergence: Convergence) -> &'static str {
    match convergence {
        Convergence::Converging => "converging",
        Convergence::Stalled => "stalled",
        Convergence::Diverging => "diverging",
        _ => "unknown",
    }
}
