//! The events that concern one job.

use std::sync::Arc;

use virtwire_protocol::constants::{
    ConnectDomainEventBlockJobStatus as Status, DomainEventId, DomainEventStoppedDetailType,
};

use super::subject::Subject;
use crate::connection::CloseCause;
use crate::event::{DomainEvent, DomainEventKind, EventError, EventId, EventStream, Lifecycle};
use crate::{Domain, Error, Source};

/// A subscription to what happens to a domain's jobs.
///
/// `BLOCK_JOB_2` names the disk by its target and comes for every disk; `BLOCK_JOB` names the
/// image and does not come for those on the network. A job is followed by the former where the
/// daemon has it and by the latter where not, never by both, so nothing is told twice.
#[derive(Debug)]
pub(super) struct Watch {
    events: EventStream<DomainEvent>,
}

/// What an event, or the lack of one, means for a job.
#[derive(Debug)]
pub(super) enum Notice {
    /// Nothing.
    Nothing,
    /// The job has this status.
    Status(Status),
    /// The domain has stopped, or so it is said.
    Stopped(Option<DomainEventStoppedDetailType>),
    /// Something was missed, or the domain has been started: things have to be looked at.
    Look,
    /// As [`Look`](Self::Look), since the connection was lost and is there again: perhaps to
    /// another daemon.
    Interrupted,
    /// The connection is closed.
    Closed(Arc<CloseCause>),
    /// No event will come any more.
    Ended,
}

impl Watch {
    /// Subscribes to the events of the domain.
    pub(super) async fn begin(domain: &Domain) -> Result<Self, Error> {
        let asked = [DomainEventId::LIFECYCLE, DomainEventId::BLOCK_JOB_2];
        let builder = domain.connection().events().domain(domain).events(asked);
        let events: EventStream<DomainEvent> = builder.skip_unsupported().subscribe_as().await?;
        if events.refused().len() == 0 {
            return Ok(Self { events });
        }
        let lacks_second = events
            .refused()
            .any(|(event, _)| event == EventId::from(DomainEventId::BLOCK_JOB_2));
        let which = if lacks_second {
            DomainEventId::BLOCK_JOB
        } else {
            DomainEventId::BLOCK_JOB_2
        };
        let events = domain.events([DomainEventId::LIFECYCLE, which]).await?;
        Ok(Self { events })
    }

    /// Forgets what is in the queue now.
    pub(super) fn forget(&mut self) {
        while self.events.try_recv().is_some() {}
    }

    /// The next notice.
    pub(super) async fn next(&mut self, subject: &Subject) -> Notice {
        Notice::of(self.events.recv().await, subject)
    }

    /// The next notice, if it is there now.
    pub(super) fn try_next(&mut self, subject: &Subject) -> Option<Notice> {
        let item = self.events.try_recv()?;
        Some(Notice::of(item, subject))
    }
}

impl Notice {
    fn of(item: Result<DomainEvent, EventError>, subject: &Subject) -> Self {
        match item {
            Ok(event) => Self::of_event(event.kind, subject),
            Err(EventError::Closed(cause)) => Self::Closed(cause),
            Err(error) if error.is_end() => Self::Ended,
            Err(EventError::Gap) => Self::Interrupted,
            Err(error) if error.is_loss() => Self::Look,
            Err(_) => Self::Nothing,
        }
    }

    fn of_event(event: DomainEventKind, subject: &Subject) -> Self {
        match event {
            DomainEventKind::BlockJob2 { dst, kind, status }
                if kind == subject.kind && dst == subject.disk.path() =>
            {
                Self::Status(status)
            }
            DomainEventKind::BlockJob { path, kind, status }
                if kind == subject.kind && subject.is_image(&path) =>
            {
                Self::Status(status)
            }
            DomainEventKind::Lifecycle(Lifecycle::Stopped(detail)) => Self::Stopped(Some(detail)),
            DomainEventKind::Lifecycle(Lifecycle::Crashed(_)) => Self::Stopped(None),
            DomainEventKind::Lifecycle(Lifecycle::Started(_)) => Self::Look,
            _ => Self::Nothing,
        }
    }
}

impl Subject {
    /// Whether a path is that of the active image, before the job or after a pivot.
    fn is_image(&self, path: &str) -> bool {
        let before = self.before.as_ref().and_then(|disk| disk.source.as_ref());
        let sources = [before, self.destination.as_ref()];
        sources
            .into_iter()
            .flatten()
            .filter_map(Source::path)
            .any(|image| image == path)
    }
}
