//! What a copy or an active commit writes to.

use super::chain::Chain;
use super::layer::Layer;
use crate::xml::Element;

/// What a copy or an active commit writes to, beside the guest's own image.
#[derive(Debug, Clone)]
pub(crate) struct Mirror {
    pub(crate) chain: Chain,
    pub(crate) job: MirrorJob,
    pub(crate) state: MirrorState,
}

/// Which kind of job it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MirrorJob {
    Copy,
    ActiveCommit,
    /// None any more: the job has ended, and the mirror is about to go.
    Over,
}

/// How far the job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MirrorState {
    /// Not in step yet.
    Behind,
    /// In step.
    Ready,
    /// To be given up.
    Abort,
    /// To take the place of the guest's image.
    Pivot,
}

impl Mirror {
    /// A mirror that has everything before it.
    pub(crate) fn new(chain: Chain, job: MirrorJob) -> Self {
        Self {
            chain,
            job,
            state: MirrorState::Behind,
        }
    }

    /// `<mirror>`
    pub(crate) fn element(&self) -> Element {
        let mut element = Element::new("mirror");
        let Some(top) = self.chain.top() else {
            return element;
        };
        element.set("type", &top.kind);
        let format = top.format.as_deref().unwrap_or("raw");
        if self.job == MirrorJob::Copy && top.kind == "file" {
            // Both are said twice, for clients older than the elements below.
            element.set("file", top.path().unwrap_or_default());
            element.set("format", format);
        }
        let job = match self.job {
            MirrorJob::Copy => "copy",
            MirrorJob::ActiveCommit => "active-commit",
            MirrorJob::Over => "",
        };
        element.set("job", job);
        match self.state {
            MirrorState::Behind => {}
            MirrorState::Ready => element.set("ready", "yes"),
            MirrorState::Abort => element.set("ready", "abort"),
            MirrorState::Pivot => element.set("ready", "pivot"),
        }
        element.push(Element::new("format").with("type", format));
        element.push(Layer::source_with_index(top));
        if let Some(backing) = self.chain.backing_store() {
            element.push(backing);
        }
        element
    }
}
