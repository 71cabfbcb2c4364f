//! What faces the handles: their queues, who wants which events, and whether it is to go on.

use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use virtwire_protocol::session::CloseCause;

use super::ConnectionState;
use super::command::{Command, Control};
use crate::event::Registry;

/// What faces the handles, and outlives a byte stream that is replaced by another.
#[derive(Debug)]
pub(super) struct Frontend {
    pub(super) commands: Commands,
    pub(super) registry: Registry,
    pub(super) ending: Ending,
    state: watch::Sender<ConnectionState>,
}

/// The driver's ends of the channels that the handles hold.
#[derive(Debug)]
pub(super) struct Commands {
    pub(super) ordinary: mpsc::Receiver<Command>,
    pub(super) urgent: mpsc::Receiver<Command>,
    pub(super) control: mpsc::UnboundedReceiver<Control>,
}

/// How a connection is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Orderly,
    AtOnce,
}

/// How far an orderly end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    No,
    /// No new calls; those in flight are waited for, since the daemon closes the socket after
    /// the next packet it sends once it was told to close.
    Draining,
    /// The daemon was told.
    Told,
}

impl Frontend {
    pub(super) fn new(commands: Commands, state: watch::Sender<ConnectionState>) -> Self {
        Self {
            commands,
            registry: Registry::default(),
            ending: Ending::No,
            state,
        }
    }

    /// That of no handle.
    pub(super) fn nobody() -> Self {
        let state = watch::Sender::new(ConnectionState::Open);
        Self::new(Commands::nobody(), state)
    }

    /// Whether the connection was to go on when it was lost.
    pub(super) fn is_wanted(&self) -> bool {
        self.ending == Ending::No
    }

    /// Tells everybody that the connection is lost and to be opened again.
    pub(super) fn lost(&mut self, cause: &Arc<CloseCause>) {
        tracing::info!(%cause, "connection is lost");
        self.state
            .send_replace(ConnectionState::Lost(Arc::clone(cause)));
    }

    /// There is a byte stream again, on which everything is to be asked for anew.
    pub(super) fn resume(&mut self) {
        self.registry.restart();
        self.state.send_replace(ConnectionState::Open);
    }

    /// Whether everybody was told that the connection is closed.
    pub(super) fn is_closed(&self) -> bool {
        self.state.borrow().is_closed()
    }

    /// Does what needs no byte stream; ready when the connection is not wanted any more.
    pub(super) async fn unwanted(&mut self) {
        loop {
            let control = self.commands.control.recv().await;
            if self.take_control(control).is_break() {
                return;
            }
        }
    }

    pub(super) fn take_control(&mut self, control: Option<Control>) -> ControlFlow<Stop> {
        match control {
            Some(Control::Subscribe(subscribe)) => self.registry.subscribe(*subscribe),
            Some(Control::Unsubscribe(id, leaving)) => {
                self.registry.unsubscribe(id, leaving.as_ref());
            }
            Some(Control::Close) => return ControlFlow::Break(Stop::Orderly),
            // Without a handle there is nobody to work for.
            Some(Control::Abort) | None => return ControlFlow::Break(Stop::AtOnce),
        }
        ControlFlow::Continue(())
    }

    /// Tells everybody that the connection is closed.
    pub(super) fn finish(&mut self, cause: &Arc<CloseCause>) {
        tracing::debug!(%cause, "connection is closed");
        self.state
            .send_replace(ConnectionState::Closed(Arc::clone(cause)));
        self.registry = Registry::default();
        self.commands.close();
    }
}

/// What is dropped before its time, for example together with its runtime, ends the connection too:
/// nobody will open it again.
impl Drop for Frontend {
    fn drop(&mut self) {
        if !self.is_closed() {
            let cause = Arc::new(CloseCause::Requested);
            self.state.send_replace(ConnectionState::Closed(cause));
        }
    }
}

impl Ending {
    pub(super) fn begin(&mut self) {
        if *self == Self::No {
            *self = Self::Draining;
        }
    }
}

impl Commands {
    /// Those of no handle.
    fn nobody() -> Self {
        Self {
            ordinary: mpsc::channel(1).1,
            urgent: mpsc::channel(1).1,
            control: mpsc::unbounded_channel().1,
        }
    }

    fn close(&mut self) {
        // The ordinary one first: callers take it for both.
        self.ordinary.close();
        self.urgent.close();
        self.control.close();
        while self.ordinary.try_recv().is_ok() || self.urgent.try_recv().is_ok() {}
        while self.control.try_recv().is_ok() {}
    }
}
