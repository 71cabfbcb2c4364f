//! A connection, as far as handlers are concerned.

use tokio::sync::mpsc;
use tracing::debug;
use virtwire_protocol::event::{EventId, Message};
use virtwire_protocol::session::KeepaliveConfig;

use super::event::{Packet, Registration};

/// How many events wait for a client that does not read. libvirt has no limit; here the client is
/// cut off beyond it, so that one that never reads does not fill the memory.
pub(crate) const MAX_WAITING_EVENTS: usize = 65_536;

/// Which connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ClientId(pub(crate) u64);

/// A message to the task that serves a connection.
#[derive(Debug)]
pub(crate) enum Notice {
    /// Send this event.
    Event(Packet),
    /// Start to ask for signs of life.
    StartKeepalive(KeepaliveConfig),
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    /// Whether it came by the socket for readers, or asked to be one.
    pub(crate) read_only: bool,
    /// The driver that it opened, by the name of the URI it gave.
    pub(crate) opened: Option<Opened>,
    /// The events that it wants.
    pub(crate) registrations: Vec<Registration>,
    /// Whether it wants to hear of the end of the daemon's own connection.
    pub(crate) close_callback: bool,
    /// To the task that serves it; `None` when it is to be cut off.
    pub(crate) notices: Option<mpsc::Sender<Notice>>,
}

/// What `CONNECT_OPEN` said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Opened {
    /// The URI, as the client named it.
    pub(crate) uri: String,
    /// The driver.
    pub(crate) driver: Driver,
}

/// Which of libvirt's drivers the simulator passes for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Driver {
    Qemu,
    Test,
}

impl Client {
    /// The registrations that want this event, by what it says of them.
    pub(crate) fn callbacks(&self, event: &Message<'_>) -> Vec<Option<i32>> {
        if event.kind.id() == EventId::ConnectionClosed {
            return Vec::from_iter(self.close_callback.then_some(None));
        }
        let wanting = self.registrations.iter().filter(|one| one.wants(event));
        wanting.map(Registration::callback).collect()
    }

    /// Sends a notice; a client that is too far behind is cut off.
    pub(crate) fn notify(&mut self, notice: Notice) {
        let Some(notices) = &self.notices else {
            return;
        };
        if notices.try_send(notice).is_err() {
            debug!("a client does not read its events, or has gone: cutting it off");
            self.notices = None;
        }
    }
}
