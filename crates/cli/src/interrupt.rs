//! Ctrl-C and time limits, for the commands that end in an orderly way.

use std::fmt;
use std::future;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

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

/// Why a command does not wait any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    Interrupt,
    Timeout(Duration),
}

/// Waits until the user has had enough or the time is up.
pub(crate) async fn stopped(interrupt: &mut Interrupt, timeout: Option<Duration>) -> Stop {
    let time_is_up = async {
        match timeout {
            Some(timeout) => {
                sleep(timeout).await;
                Stop::Timeout(timeout)
            }
            None => future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = interrupt.wait() => Stop::Interrupt,
        stop = time_is_up => stop,
    }
}

impl Stop {
    /// What programs are told.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "interrupt",
            Self::Timeout(_) => "timeout",
        }
    }
}

/// Stands behind what was stopped.
impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupt => Ok(()),
            Self::Timeout(time) => write!(f, " after {} s", time.as_secs()),
        }
    }
}
