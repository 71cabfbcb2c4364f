//! Ctrl-C, for the commands that end in an orderly way.

use std::future;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

/// The user's interrupts, listened to from the moment this exists.
#[derive(Debug)]
pub(crate) struct Interrupt(Signal);

impl Interrupt {
    pub(crate) fn listen() -> Result<Self, Failure> {
        signal(SignalKind::interrupt())
            .map(Self)
            .map_err(|error| Failure::io("cannot listen for interrupts", error))
    }

    /// The next interrupt.
    pub(crate) async fn wait(&mut self) {
        if self.0.recv().await.is_none() {
            future::pending().await
        }
    }
}
