//! One connection of a client, as the daemon sees it.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use virtwire::RemoteError;
use virtwire::remote;
use virtwire::xdr::Str;
use virtwire_protocol::event::{DomainEventKind, Message, Subject};
use virtwire_protocol::header::Header;
use virtwire_protocol::session::Route;
use virtwire_tests::peer::event_header;

/// What the oracle wants to know about being told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// The end of the job.
    Ended,
}

/// Something that the daemon says.
pub(crate) enum Say {
    Packet(Header, Bytes),
    Error(Route, RemoteError),
    Event(Header, Bytes, String, Option<News>),
}

/// How a connection is cut.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Severed {
    pub(crate) reset: bool,
    /// What was read and not begun is still done.
    pub(crate) heard: bool,
}

pub(crate) struct Link {
    pub(crate) number: usize,
    /// The numbers of registrations for the guest, and what they are for.
    pub(crate) registrations: Vec<(i32, i32)>,
    next_callback: i32,
    events: mpsc::UnboundedSender<(Instant, Say)>,
    severed: watch::Sender<Option<Severed>>,
}

impl Link {
    pub(crate) fn new(
        number: usize,
        out: mpsc::UnboundedSender<Say>,
    ) -> (
        Self,
        watch::Receiver<Option<Severed>>,
        impl Future<Output = ()> + Send,
    ) {
        let (severed, heard) = watch::channel(None);
        let (events, mut queued) = mpsc::unbounded_channel::<(Instant, Say)>();
        let pump = async move {
            while let Some((due, say)) = queued.recv().await {
                sleep_until(due).await;
                if out.send(say).is_err() {
                    return;
                }
            }
        };
        let link = Self {
            number,
            registrations: Vec::new(),
            next_callback: 0,
            events,
            severed,
        };
        (link, heard, pump)
    }

    pub(crate) fn register(&mut self, event: i32, for_guest: bool) -> i32 {
        self.next_callback += 1;
        if for_guest {
            self.registrations.push((self.next_callback, event));
        }
        self.next_callback
    }

    pub(crate) fn deregister(&mut self, callback: i32) {
        self.registrations.retain(|(id, _)| *id != callback);
    }

    pub(crate) fn cut(&self, severed: Severed) {
        self.severed.send_replace(Some(severed));
    }

    /// Queues an event for those who have asked for it.
    pub(crate) fn emit(
        &mut self,
        event: &DomainEventKind,
        id: i32,
        delay: Duration,
        news: Option<News>,
    ) {
        let wanted = event.id().0;
        for (callback, event_id) in &self.registrations {
            if *event_id != wanted {
                continue;
            }
            let subject = Subject::Domain(domain(id));
            let packet = Message::new(Some(*callback), subject, event.clone());
            let packet = packet.encode().unwrap();
            let text = format!("{event:?}");
            let header = event_header(packet.program, packet.procedure);
            let say = Say::Event(header, packet.payload, text, news);
            let _ = self.events.send((Instant::now() + delay, say));
        }
    }
}

pub(crate) fn domain(id: i32) -> remote::NonnullDomain<'static> {
    remote::NonnullDomain {
        name: Str::from("guest"),
        uuid: [7; 16],
        id,
    }
}
