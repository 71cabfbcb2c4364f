//! Signs of life.
//!
//! Both peers may send PING, and whoever gets one answers PONG at once. The two have no serials to
//! pair them by, so one PONG answers any number of PINGs that came before it, and a flood of PINGs
//! costs one flag. Every packet of any kind counts as life.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::frame::PREFIX_LEN;
use crate::generated::keepalive;
use crate::header::{Header, MessageType, Serial, Status};
use crate::procedure::Event;

use super::outbox::Outbox;

/// How often to look for life, and how patiently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeepaliveConfig {
    /// How long the connection may be silent before a PING is sent.
    pub interval: Duration,
    /// How many PINGs may stay unanswered. The connection is given up after
    /// `interval × (count + 1)` of silence.
    pub count: u32,
}

impl KeepaliveConfig {
    /// Pings after every `interval` of silence, at most `count` times.
    #[must_use]
    pub const fn new(interval: Duration, count: u32) -> Self {
        Self { interval, count }
    }
}

/// The keepalive state of one side.
#[derive(Debug)]
pub(super) struct Keepalive {
    config: Option<KeepaliveConfig>,
    /// When the peer was last heard of.
    heard: Instant,
    /// When the silence that is under way began to count: then, or at the last PING.
    since: Instant,
    unanswered: u32,
    ping_due: bool,
    pong_due: bool,
}

impl Keepalive {
    pub(super) fn new(config: Option<KeepaliveConfig>, now: Instant) -> Self {
        Self {
            config,
            heard: now,
            since: now,
            unanswered: 0,
            ping_due: false,
            pong_due: false,
        }
    }

    /// Starts, changes or stops the pings of this side.
    pub(super) fn configure(&mut self, config: Option<KeepaliveConfig>, now: Instant) {
        self.config = config;
        self.ping_due = false;
        self.heard(now);
    }

    /// Stops everything, since the connection is gone.
    pub(super) fn stop(&mut self) {
        self.config = None;
        self.ping_due = false;
        self.pong_due = false;
    }

    /// Notes a sign of life.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.since = now;
        self.unanswered = 0;
    }

    /// Takes a keepalive packet; unknown ones are for peers newer than this one.
    pub(super) fn packet(&mut self, procedure: i32) {
        if procedure == keepalive::Ping::NUMBER {
            self.pong_due = true;
        }
    }

    /// When [`expire`](Self::expire) has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.since.checked_add(self.config?.interval)
    }

    /// Acts on the time: asks for a sign of life or gives up.
    ///
    /// # Errors
    ///
    /// The length of the silence, when it is too long.
    pub(super) fn expire(&mut self, now: Instant) -> Result<(), Duration> {
        let Some(config) = self.config else {
            return Ok(());
        };
        if now.saturating_duration_since(self.since) < config.interval {
            return Ok(());
        }
        if self.unanswered >= config.count {
            return Err(now.saturating_duration_since(self.heard));
        }
        self.unanswered += 1;
        self.since = now;
        self.ping_due = true;
        Ok(())
    }

    /// Bytes that wait to be sent.
    pub(super) fn pending(&self) -> usize {
        (usize::from(self.ping_due) + usize::from(self.pong_due)) * PREFIX_LEN
    }

    /// Sends what is due.
    pub(super) fn transmit(&mut self, outbox: &mut Outbox) {
        if std::mem::take(&mut self.pong_due) {
            send(outbox, keepalive::Pong::NUMBER);
        }
        if std::mem::take(&mut self.ping_due) {
            send(outbox, keepalive::Ping::NUMBER);
        }
    }
}

/// Whether a packet is one of keepalive.
pub(super) fn is_keepalive(header: &Header) -> bool {
    header.kind == MessageType::Message && header.program == keepalive::PROGRAM
}

fn send(outbox: &mut Outbox, procedure: i32) {
    let header = Header {
        program: keepalive::PROGRAM,
        procedure,
        kind: MessageType::Message,
        serial: Serial::default(),
        status: Status::Ok,
    };
    // A packet without payload is never too long.
    let _ = outbox.put_frame(&header, Bytes::new());
}
