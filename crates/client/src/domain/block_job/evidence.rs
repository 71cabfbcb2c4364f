//! What is known of a job whose end nobody announced, and what follows from it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use virtwire_protocol::constants::{
    DomainBlockJobType, DomainEventStoppedDetailType, DomainXmlFlags,
};

use super::info::is_mirror;
use super::subject::{Subject, described, find};
use super::{BlockJobInfo, NextStart};
use crate::connection::CloseCause;
use crate::domain::xml::Described;
use crate::{Disk, DiskDescription, DomainStatus, Error, Source};

/// How long each of the questions after a job's end may take.
const QUESTION_DEADLINE: Duration = Duration::from_secs(5);

/// What is known of a job whose end nobody announced.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Evidence {
    /// Why there was no announcement.
    pub reason: VanishedReason,
    /// The kind of the job.
    pub kind: DomainBlockJobType,
    /// The last figures seen.
    pub last_info: Option<BlockJobInfo>,
    /// Whether the daemon has taken a request of this handle to [pivot](crate::BlockJob::pivot),
    /// or may have.
    pub pivot_asked: bool,
    /// Whether the daemon has taken a request of this handle to
    /// [cancel](crate::BlockJob::cancel), or may have.
    pub cancel_asked: bool,
    /// The disk before the job, backing chain included.
    pub before: Option<DiskDescription>,
    /// What the active image is after a pivot.
    pub destination: Option<Source>,
    /// The image that the domain's definition named before a copy or an active commit, when it
    /// could be asked.
    pub defined: Option<Source>,
    /// The images that a pull or an inner commit was to leave, the active one first; `None` where
    /// that is not known, as of a job that was found running.
    pub after: Option<Vec<Option<Source>>>,
    /// The domain's state afterwards, when it could be asked.
    pub domain: Option<DomainStatus>,
    /// The domain's ID while the job ran, which its next start changes.
    pub domain_id: Option<u32>,
    /// Whether the domain runs afterwards, and has done so without interruption since before the
    /// job.
    pub same_run: bool,
    /// The disk as the XML describes it afterwards, backing chain included, when it could be
    /// asked. Of a domain that does not run it is what the definition says.
    pub disk: Option<DiskDescription>,
    /// The disk as the next start of the domain will see it; `None` for a transient domain, and
    /// when it could not be asked.
    pub definition: Option<DiskDescription>,
    /// What runs on the disk afterwards.
    pub job: JobAfterwards,
}

/// What runs on a disk when a job has got out of sight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobAfterwards {
    /// The daemon could not be asked.
    Unknown,
    /// No job.
    None,
    /// A job; perhaps the very one.
    Running(BlockJobInfo),
}

/// What [evidence](Evidence) says about the end of a job. It is about what libvirt counts as the
/// disk's images: an image can be ahead of that by what QEMU did last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// The chain is shorter, as the job was to make it.
    Completed,
    /// The disk's active image is the destination.
    Pivoted,
    /// libvirt counts the disk's images as before the job, and no job runs: it was cancelled or has
    /// failed. Where the daemon was killed just when the job ended, the data may be in place all
    /// the same, and libvirt not know.
    NotDone,
    /// The job still runs. [`BlockJob::attach`](crate::BlockJob::attach) follows it.
    Running,
    /// The evidence allows no conclusion.
    Unknown,
}

/// Why the end of a job was not announced.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum VanishedReason {
    /// The domain stopped, and its jobs with it.
    DomainStopped {
        /// Why it stopped, when the daemon said so.
        detail: Option<DomainEventStoppedDetailType>,
    },
    /// The connection was lost; the job may still run.
    ConnectionLost(Arc<CloseCause>),
    /// The daemon knows of no job on the disk any more and sent no event.
    NoEvent,
    /// The daemon sends no events any more; the job may still run.
    EventsEnded,
    /// The daemon announced a pivot that cannot be believed: the XML goes on to name the image from
    /// before it, or the daemon had taken a cancellation before. A daemon that was killed while a
    /// mirror ended may take either end for the other, and writes it into its XML.
    Contradicted,
    /// The daemon says that the job runs, and has nothing that it consists of: no mirror in the XML
    /// for a copy or an active commit, no disk at work for a backup. It was killed while it started
    /// the job, knows half of it since, and announces nothing any more. [`Disk::abort_job`] or
    /// [`Domain::abort_job`](crate::Domain::abort_job) may end the job.
    HalfStarted,
    /// The task that watched the job was stopped together with its runtime.
    Unwatched,
}

impl Evidence {
    pub(super) fn new(
        reason: VanishedReason,
        subject: &Subject,
        last_info: Option<BlockJobInfo>,
    ) -> Self {
        Self {
            reason,
            kind: subject.kind,
            last_info,
            pivot_asked: false,
            cancel_asked: false,
            before: subject.before.clone(),
            destination: subject.destination.clone(),
            defined: subject.defined.clone(),
            after: subject.after.clone(),
            domain: None,
            domain_id: subject.instance,
            same_run: false,
            disk: None,
            definition: None,
            job: JobAfterwards::Unknown,
        }
    }

    pub(super) fn with(mut self, seen: Seen) -> Self {
        self.same_run = seen.runs_as(self.domain_id);
        self.domain = seen.domain;
        self.disk = seen.disk;
        self.definition = seen.definition;
        self.job = seen.job;
        self
    }

    /// Asks the daemon anew what has become of the disk, for example over another connection
    /// after this one was lost. What was known of the job itself stays.
    ///
    /// `disk` is the same disk of the same domain.
    pub async fn look_again(&self, disk: &Disk) -> Self {
        self.clone().with(Seen::gather(disk).await)
    }

    /// What follows from the evidence, with certainty; [`Verdict::Unknown`] where nothing does.
    #[must_use]
    pub fn resolve(&self) -> Verdict {
        let (Some(before), Some(now)) = (&self.before, &self.disk) else {
            return Verdict::Unknown;
        };
        if matches!(self.reason, VanishedReason::Contradicted) {
            return Verdict::Unknown;
        }
        let idle = match self.job {
            JobAfterwards::Running(info) if self.same_run && info.kind == self.kind => {
                return Verdict::Running;
            }
            JobAfterwards::Running(_) => false,
            JobAfterwards::None => true,
            // A domain that does not run has no jobs.
            JobAfterwards::Unknown => !self.same_run && self.domain.is_some(),
        };
        match self.kind {
            kind if is_mirror(kind) => self.resolve_mirror(before, now, idle),
            DomainBlockJobType::PULL | DomainBlockJobType::COMMIT => {
                self.resolve_chain(before, now, idle)
            }
            // A backup leaves no trace in the chain, and what newer kinds leave is not known.
            _ => Verdict::Unknown,
        }
    }

    /// A pull or an inner commit takes images out of the chain, below the active one.
    fn resolve_chain(
        &self,
        before: &DiskDescription,
        now: &DiskDescription,
        idle: bool,
    ) -> Verdict {
        let comparable = before.backing_known && now.backing_known && before.source == now.source;
        if !comparable || before.backing.is_empty() {
            return Verdict::Unknown;
        }
        let (old, new): (Vec<_>, Vec<_>) = (before.chain().collect(), now.chain().collect());
        let is_done = match &self.after {
            Some(after) => after.iter().map(Option::as_ref).eq(new.iter().copied()),
            None => new.iter().all(|image| old.contains(image)),
        };
        if is_done && new.len() < old.len() {
            Verdict::Completed
        } else if old == new && idle {
            Verdict::NotDone
        } else {
            Verdict::Unknown
        }
    }

    fn resolve_mirror(
        &self,
        before: &DiskDescription,
        now: &DiskDescription,
        idle: bool,
    ) -> Verdict {
        // Two sources of a kind that is not known cannot be told apart.
        let old = match &before.source {
            None | Some(Source::Other { .. }) => return Verdict::Unknown,
            Some(old) => old,
        };
        let arrived = self
            .destination
            .as_ref()
            .is_some_and(|to| now.stands_on(to));
        // Of another run, and of a domain that does not run, the definition speaks. It may have
        // named the destination from the beginning.
        let speaks_of_it =
            self.same_run || (self.definition.is_some() && self.defined.as_ref() == Some(old));
        // What was asked for decides what can be believed. A guest that died after a pivot was asked
        // for may have written to the destination before libvirt took note; and a daemon that was
        // killed while the job ended takes a pivot for a cancellation, or the reverse.
        if arrived && !now.stands_on(old) && speaks_of_it && !self.cancel_asked {
            return Verdict::Pivoted;
        }
        let unchanged = now.source.as_ref() == Some(old) && now.mirror.is_none();
        if unchanged && idle && !self.pivot_asked {
            return Verdict::NotDone;
        }
        Verdict::Unknown
    }
}

/// What can be learned of a disk by asking.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) domain: Option<DomainStatus>,
    /// The domain's ID, if it runs.
    pub(super) instance: Option<u32>,
    pub(super) disk: Option<DiskDescription>,
    persistent: Option<bool>,
    definition: Option<DiskDescription>,
    job: JobAfterwards,
}

impl Seen {
    /// Asks all there is to ask. What cannot be answered in time, or at all, is left out.
    pub(super) async fn gather(disk: &Disk) -> Self {
        let domain = disk.domain();
        // The definition is looked at last: where the running domain has a new image by then, the
        // definition has followed if it ever does.
        let images = async {
            let live = ask(described(domain, DomainXmlFlags::empty())).await;
            let inactive = ask(described(domain, DomainXmlFlags::INACTIVE)).await;
            (live, inactive)
        };
        let (status, (live, inactive), persistent, job) = tokio::join!(
            ask(domain.status()),
            images,
            ask(domain.is_persistent()),
            ask(disk.job_info()),
        );
        let described = |of: Described| find(of.disks, disk.path());
        Self {
            domain: status,
            instance: live.as_ref().and_then(|live| live.id),
            disk: live.and_then(described),
            persistent,
            definition: inactive
                .filter(|_| persistent == Some(true))
                .and_then(described),
            job: match job {
                None => JobAfterwards::Unknown,
                Some(None) => JobAfterwards::None,
                Some(Some(info)) => JobAfterwards::Running(info),
            },
        }
    }

    /// Whether the domain runs, and has that ID.
    pub(super) fn runs_as(&self, id: Option<u32>) -> bool {
        self.instance.is_some() && self.instance == id
    }

    /// What the next start will use, after a pivot.
    pub(super) fn next_start(&self, subject: &Subject) -> NextStart {
        match (self.persistent, &self.definition) {
            (Some(false), _) => NextStart::NoDefinition,
            (Some(true), Some(definition)) => {
                let new = match &self.disk {
                    Some(disk) if self.instance.is_some() => &disk.source,
                    _ => &subject.destination,
                };
                if &definition.source == new {
                    NextStart::NewImage
                } else {
                    NextStart::OtherImage(definition.source.clone())
                }
            }
            _ => NextStart::NotKnown,
        }
    }
}

async fn ask<T>(question: impl Future<Output = Result<T, Error>>) -> Option<T> {
    timeout(QUESTION_DEADLINE, question).await.ok()?.ok()
}

impl PartialEq for VanishedReason {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::DomainStopped { detail: a }, Self::DomainStopped { detail: b }) => a == b,
            (Self::ConnectionLost(a), Self::ConnectionLost(b)) => Arc::ptr_eq(a, b),
            (Self::NoEvent, Self::NoEvent)
            | (Self::EventsEnded, Self::EventsEnded)
            | (Self::Contradicted, Self::Contradicted)
            | (Self::HalfStarted, Self::HalfStarted)
            | (Self::Unwatched, Self::Unwatched) => true,
            _ => false,
        }
    }
}

impl fmt::Display for VanishedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DomainStopped { .. } => f.write_str("the domain stopped"),
            Self::ConnectionLost(cause) => write!(f, "the connection was lost ({cause})"),
            Self::NoEvent => f.write_str("the job is gone and no event said how it ended"),
            Self::EventsEnded => f.write_str("the daemon sends no events any more"),
            Self::Contradicted => {
                f.write_str("a pivot was announced that other evidence speaks against")
            }
            Self::HalfStarted => f.write_str("the daemon knows only half of the job"),
            Self::Unwatched => f.write_str("the task that watched the job was stopped"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Completed => "completed",
            Self::Pivoted => "pivoted",
            Self::NotDone => "not done",
            Self::Running => "still running",
            Self::Unknown => "unknown",
        })
    }
}

#[cfg(test)]
mod tests;
