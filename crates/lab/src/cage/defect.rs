//! Defects on purpose: a relay before the daemon that does harm when it sees certain bytes.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::process::Signal;

use crate::process;

/// A defect, and what it takes to meet it.
#[derive(Debug, Clone)]
pub struct Defect {
    steps: Vec<Vec<u8>>,
    effect: Effect,
}

impl Defect {
    /// Does this once these were sent, one after the other, on any connections.
    ///
    /// Each has to be sent in one piece.
    pub fn new(steps: impl IntoIterator<Item = Vec<u8>>, effect: Effect) -> Self {
        let steps = steps.into_iter().collect();
        Self { steps, effect }
    }
}

/// What a planted defect does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// The daemon crashes.
    Crash,
    /// The daemon stands still.
    Hang,
    /// The next answer has bits in its header that nobody sent.
    Garble,
}

/// A defect of a running daemon.
#[derive(Debug, Clone)]
pub(super) struct Trap {
    effect: Effect,
    left: Arc<Mutex<VecDeque<Vec<u8>>>>,
}

impl Trap {
    pub(super) fn new(defect: Defect) -> Self {
        Self {
            effect: defect.effect,
            left: Arc::new(Mutex::new(defect.steps.into())),
        }
    }

    /// Puts itself between the daemon and whoever connects.
    pub(super) fn relay(&self, daemon: UnixStream, pid: i32) -> io::Result<UnixStream> {
        let (outer, inner) = UnixStream::pair()?;
        let (trap, from, to) = (self.clone(), inner.try_clone()?, daemon.try_clone()?);
        thread::spawn(move || copy(from, to, |bytes| trap.requests(bytes, pid)));
        let trap = self.clone();
        thread::spawn(move || copy(daemon, inner, |bytes| trap.answers(bytes)));
        Ok(outer)
    }

    /// Sees what is sent, before the daemon does.
    fn requests(&self, bytes: &mut [u8], pid: i32) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let before = left.len();
        let mut rest: &[u8] = bytes;
        while let Some(after) = left.front().and_then(|step| after(rest, step)) {
            rest = after;
            left.pop_front();
        }
        if before == 0 || !left.is_empty() {
            return;
        }
        match self.effect {
            Effect::Crash => process::signal(pid, Signal::SEGV),
            Effect::Hang => process::signal(pid, Signal::STOP),
            // The answers' side sees an empty queue, and this marks that it has not acted yet.
            Effect::Garble => left.push_back(Vec::new()),
        }
    }

    fn answers(&self, bytes: &mut [u8]) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let armed = self.effect == Effect::Garble && left.front().is_some_and(Vec::is_empty);
        // After the length, the program, its version and the procedure, this says what it is. Other
        // packets than answers have serials that mean nothing.
        let is_answer = bytes.get(16..20) == Some(&[0, 0, 0, 1]);
        let serial = bytes.get_mut(20..24).and_then(<[u8]>::last_mut);
        if let Some(byte) = serial.filter(|_| armed && is_answer) {
            *byte ^= 0x55;
            left.clear();
        }
    }
}

/// Copies until either side has enough.
fn copy(mut from: UnixStream, mut to: UnixStream, mut look: impl FnMut(&mut [u8])) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let bytes = buffer.get_mut(..length).unwrap_or_default();
        look(bytes);
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// What follows the first occurrence.
fn after<'b>(bytes: &'b [u8], part: &[u8]) -> Option<&'b [u8]> {
    let mut windows = bytes.windows(part.len().max(1));
    let start = windows.position(|window| window == part)?;
    bytes.get(start + part.len()..)
}

#[cfg(test)]
mod tests {
    use super::after;

    #[test]
    fn steps_are_met_in_their_order() {
        let rest = after(b"a one b two", b"one").unwrap();
        assert_eq!(rest, b" b two");
        assert_eq!(after(rest, b"one"), None);
        assert_eq!(after(rest, b"two").unwrap(), b"");
        assert_eq!(after(b"", b"two"), None);
        assert_eq!(after(b"two", b""), None);
    }
}
