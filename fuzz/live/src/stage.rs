//! Steps on a caged daemon: sending them, hearing what comes of it, and noticing what must not be.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use virtwire_lab::{CagedDaemon, Driver};
use virtwire_protocol::frame::Frame;
use virtwire_protocol::header::{MessageType, Status};
use virtwire_protocol::schema::StructSchema;
use virtwire_protocol::{Event as _, keepalive, remote};
use virtwire_xdr::{Encode as _, Writer};

use crate::evidence;
use crate::finding::{Finding, Kind};
use crate::judge::{Judge, Verdict};
use crate::script::{Action, Callable, Packet, Step};
use crate::wire::{End, Wire};

/// Steps have higher numbers than the calls that open a connection.
pub const FIRST_STEP: u32 = 16;

/// The connection that may only read.
pub const READ_ONLY: usize = 2;

/// The connection that asks whether the daemon is alive.
const PROBE: usize = usize::MAX;

/// As many calls as a daemon takes from one client and still listens.
const IN_FLIGHT: usize = 4;

/// Why a stage is over.
#[derive(Debug)]
pub enum Stop {
    /// Something was found.
    Found(Finding),
    /// The limits of the cage ended the daemon, which is nobody's fault.
    Killed,
}

/// How long the daemon may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For an answer, before the next step is done without it.
    pub answer: Duration,
    /// For a sign of life, before it counts as hung.
    pub life: Duration,
    /// For the answer to any call once nothing else is sent, before that counts as hung.
    pub last: Duration,
}

impl Patience {
    /// For the last answers. A daemon that gives no sign of life is noticed before that.
    #[must_use]
    pub fn at_the_end(&self) -> Duration {
        self.last.max(self.life + Duration::from_secs(2))
    }
}

/// What was heard.
#[derive(Debug)]
pub enum Heard {
    /// A call has succeeded.
    Success(Callable, Bytes),
    /// A call has failed with this code.
    Failure(Callable, i32),
    /// Something happened.
    Event(Option<&'static StructSchema>, Bytes),
    /// A violation that is known by now.
    Again(Finding),
}

/// A daemon, the connections to it, and what came from them.
#[derive(Debug)]
pub struct Stage<'d> {
    daemon: &'d mut CagedDaemon,
    name: &'static str,
    patience: Patience,
    links: BTreeMap<usize, Link>,
    probe: Probe,
    heard: Vec<Heard>,
    tolerance: Tolerance,
}

/// Which violations do not end the stage.
#[derive(Debug)]
enum Tolerance {
    /// Those with these signatures.
    Of(BTreeSet<String>),
    /// All but those with this signature.
    AllBut(String),
}

#[derive(Debug)]
struct Link {
    wire: Wire,
    judge: Judge,
}

/// Questions whose answers need no guest, no lock and no ordinary worker.
#[derive(Debug)]
struct Probe {
    next: Instant,
    /// When the event loop was last asked.
    pinged: Instant,
    pong: bool,
    /// When the workers were.
    called: Instant,
    serial: u32,
    answer: bool,
}

impl<'d> Stage<'d> {
    /// Takes a daemon that may be broken, and opens a connection by which it is watched.
    ///
    /// # Errors
    ///
    /// When it does not even answer that.
    pub fn new(
        daemon: &'d mut CagedDaemon,
        driver: Driver,
        patience: Patience,
    ) -> Result<Self, Stop> {
        let now = Instant::now();
        let mut stage = Self {
            daemon,
            name: match driver {
                Driver::Qemu => "qemu:///session",
                _ => "test:///default",
            },
            patience,
            links: BTreeMap::new(),
            probe: Probe {
                next: now,
                pinged: now,
                pong: true,
                called: now,
                serial: FIRST_STEP,
                answer: true,
            },
            heard: Vec::new(),
            tolerance: Tolerance::Of(BTreeSet::new()),
        };
        stage.open(PROBE)?;
        Ok(stage)
    }

    /// Goes on in spite of violations with these signatures.
    pub fn tolerate(&mut self, known: impl IntoIterator<Item = String>) {
        self.tolerance = Tolerance::Of(known.into_iter().collect());
    }

    /// Goes on in spite of all violations but those with this signature.
    pub fn look_for(&mut self, signature: &str) {
        self.tolerance = Tolerance::AllBut(signature.to_owned());
    }

    /// Does one step.
    ///
    /// # Errors
    ///
    /// When that, or anything before, has ended the stage.
    pub fn perform(&mut self, step: &Step) -> Result<(), Stop> {
        if matches!(step.action, Action::Hangup) {
            self.links.remove(&step.connection);
            return self.pump(Instant::now(), |_| true);
        }
        if !self.links.contains_key(&step.connection) {
            self.open(step.connection)?;
        }
        let now = Instant::now();
        if matches!(step.action, Action::Call { .. }) {
            let room = |stage: &Self| stage.pending(step.connection) < IN_FLIGHT;
            self.pump(now + self.patience.answer, room)?;
            if !room(self) {
                return Ok(());
            }
        }
        if let Some(link) = self.links.get_mut(&step.connection) {
            link.send(step);
        }
        let until = match &step.action {
            Action::Call { wait: true, .. } => now + self.patience.answer,
            _ => now,
        };
        self.pump(until, |stage| !stage.waits_for(step))
    }

    /// Waits until all that was called is answered and the daemon has given a sign of life after
    /// that, or this long.
    ///
    /// # Errors
    ///
    /// When that ends the stage.
    pub fn settle(&mut self, within: Duration) -> Result<(), Stop> {
        let start = Instant::now();
        self.probe.next = start;
        let done = |stage: &Self| {
            let alive = stage.probe.called > start && stage.probe.pong && stage.probe.answer;
            alive && stage.unanswered().next().is_none()
        };
        self.pump(start + within, done)?;
        // A daemon that is about to crash may have answered everything.
        self.pump(Instant::now() + Duration::from_millis(100), |_| false)
    }

    /// The calls that are not answered.
    pub fn unanswered(&self) -> impl Iterator<Item = Callable> {
        let others = self.links.iter().filter(|(at, _)| **at != PROBE);
        others.flat_map(|(_, link)| link.judge.pending().values().copied())
    }

    /// What was heard since this was last asked.
    pub fn take_heard(&mut self) -> Vec<Heard> {
        std::mem::take(&mut self.heard)
    }

    fn pending(&self, connection: usize) -> usize {
        let link = self.links.get(&connection);
        link.map_or(0, |link| link.judge.pending().len())
    }

    fn waits_for(&self, step: &Step) -> bool {
        let link = self.links.get(&step.connection);
        link.is_some_and(|link| link.judge.pending().contains_key(&step.id))
    }

    /// Connects and makes the two calls that every connection begins with.
    fn open(&mut self, connection: usize) -> Result<(), Stop> {
        let stream = match self.daemon.connect() {
            Ok(stream) => stream,
            Err(error) => return Err(self.silence(&format!("no connection is accepted: {error}"))),
        };
        let wire = match Wire::new(stream) {
            Ok(wire) => wire,
            Err(error) => return Err(self.silence(&format!("no connection can be used: {error}"))),
        };
        let judge = Judge::default();
        self.links.insert(connection, Link { wire, judge });
        let arguments = remote::ConnectOpenArgs {
            name: Some(self.name.into()),
            flags: u32::from(connection == READ_ONLY),
        };
        let mut buffer = BytesMut::new();
        // A name this short has a form on the wire.
        let _ = arguments.encode(&mut Writer::new(&mut buffer));
        let calls = [
            (Callable::of::<remote::AuthList>(), Vec::new()),
            (Callable::of::<remote::ConnectOpen>(), buffer.to_vec()),
        ];
        for (id, (procedure, payload)) in (1..).zip(calls) {
            let action = Action::Call {
                procedure,
                payload,
                wait: true,
            };
            let step = Step {
                id,
                connection,
                action,
            };
            if let Some(link) = self.links.get_mut(&connection) {
                link.send(&step);
            }
            let until = Instant::now() + self.patience.life;
            self.pump(until, |stage| !stage.waits_for(&step))?;
            if self.waits_for(&step) {
                return Err(self.silence("a new connection gets no answer"));
            }
        }
        Ok(())
    }

    /// Sends and receives until something is so, or for so long.
    fn pump(&mut self, until: Instant, done: impl Fn(&Self) -> bool) -> Result<(), Stop> {
        loop {
            self.ask()?;
            self.exchange()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || done(self) {
                return Ok(());
            }
            self.wait(left.min(Duration::from_millis(50)));
        }
    }

    /// Waits until any connection can go on.
    fn wait(&self, within: Duration) {
        let descriptors = self.links.values().map(|link| {
            let mut events = PollFlags::IN;
            events.set(PollFlags::OUT, link.wire.wants_to_write());
            PollFd::new(&link.wire, events)
        });
        let mut descriptors: Vec<_> = descriptors.collect();
        let timeout = Timespec::try_from(within).ok();
        // Interrupted or not: what there is will be seen.
        let _ = poll(&mut descriptors, timeout.as_ref());
    }

    /// Asks the daemon whether it is alive, and notices when it does not answer.
    fn ask(&mut self) -> Result<(), Stop> {
        let now = Instant::now();
        let life = self.patience.life;
        if !self.probe.pong && now.duration_since(self.probe.pinged) > life {
            return Err(self.silence("the event loop stands still: a keepalive gets no answer"));
        }
        // The event loop was there a moment ago, so it is not to blame.
        let alive = self.probe.pong;
        if alive && !self.probe.answer && now.duration_since(self.probe.called) > life {
            return Err(self.silence("all workers are stuck: a high-priority call gets no answer"));
        }
        if !alive || now < self.probe.next {
            return Ok(());
        }
        if let Some(status) = self.daemon.ended() {
            return Err(self.crashed(status));
        }
        let Some(link) = self.links.get_mut(&PROBE) else {
            return Ok(());
        };
        let ping = (keepalive::PROGRAM, keepalive::Ping::NUMBER);
        link.wire
            .send_packet(ping, MessageType::Message, 0, Status::Ok, &[]);
        self.probe.next = now + Duration::from_millis(300);
        self.probe.pinged = now;
        self.probe.pong = false;
        if self.probe.answer && link.judge.pending().is_empty() {
            let procedure = Callable::of::<remote::ConnectGetLibVersion>();
            link.call(self.probe.serial, procedure, &[]);
            self.probe.serial = self.probe.serial.checked_add(1).unwrap_or(FIRST_STEP);
            self.probe.called = now;
            self.probe.answer = false;
        }
        Ok(())
    }

    fn exchange(&mut self) -> Result<(), Stop> {
        let connections: Vec<usize> = self.links.keys().copied().collect();
        for connection in connections {
            let mut frames = Vec::new();
            let Some(link) = self.links.get_mut(&connection) else {
                continue;
            };
            let ended = link.wire.exchange(&mut frames).err();
            for frame in frames {
                self.hear(connection, &frame)?;
            }
            if let Some(end) = ended {
                self.ended(connection, &end)?;
            }
        }
        Ok(())
    }

    fn hear(&mut self, connection: usize, frame: &Frame) -> Result<(), Stop> {
        let Some(link) = self.links.get_mut(&connection) else {
            return Ok(());
        };
        match link.judge.judge(frame) {
            Verdict::Ping => {
                let pong = (keepalive::PROGRAM, keepalive::Pong::NUMBER);
                link.wire
                    .send_packet(pong, MessageType::Message, 0, Status::Ok, &[]);
            }
            Verdict::Pong if connection == PROBE => self.probe.pong = true,
            Verdict::Success(serial, callable) if connection == PROBE => {
                self.probe.answer |=
                    serial >= FIRST_STEP && callable.is::<remote::ConnectGetLibVersion>();
            }
            Verdict::Success(serial, callable) if serial >= FIRST_STEP => {
                self.heard
                    .push(Heard::Success(callable, frame.payload.clone()));
            }
            Verdict::Failure(serial, callable, code) if serial >= FIRST_STEP => {
                self.heard.push(Heard::Failure(callable, code.0));
            }
            Verdict::Event(layout) => self.heard.push(Heard::Event(layout, frame.payload.clone())),
            Verdict::Violation(text) => {
                let payload = crate::script::to_hex(&frame.payload);
                let detail = format!("{:?}: {payload}", frame.header);
                self.violation(Finding::new(Kind::Violation, text, detail))?;
            }
            _ => {}
        }
        Ok(())
    }

    /// A connection that ends is a crash, or something else that must not be, or well deserved.
    fn ended(&mut self, connection: usize, end: &End) -> Result<(), Stop> {
        let Some(link) = self.links.get(&connection) else {
            return Ok(());
        };
        let excused = link.judge.is_excused();
        let grace = Duration::from_millis(if excused { 100 } else { 2000 });
        let until = Instant::now() + grace;
        while Instant::now() < until {
            if let Some(status) = self.daemon.ended() {
                return Err(self.crashed(status));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let Some(link) = self.links.remove(&connection).filter(|_| !excused) else {
            return Ok(());
        };
        let text = match end {
            End::Clean => "the daemon hangs up for no reason".to_owned(),
            End::Broken(what) => format!("the daemon's bytes are no packets: {what}"),
        };
        let detail = format!("not answered: {}", names(&link));
        self.violation(Finding::new(Kind::Violation, text, detail))
    }

    fn violation(&mut self, finding: Finding) -> Result<(), Stop> {
        let tolerated = match &self.tolerance {
            Tolerance::Of(known) => known.contains(&finding.signature),
            Tolerance::AllBut(signature) => *signature != finding.signature,
        };
        if !tolerated {
            return Err(Stop::Found(finding));
        }
        self.heard.push(Heard::Again(finding));
        Ok(())
    }

    fn crashed(&self, status: ExitStatus) -> Stop {
        match evidence::crash(self.daemon, status) {
            Some(mut finding) => {
                let unanswered: Vec<&str> = self.unanswered().map(|call| call.0.name).collect();
                let detail = format!("\nnot answered: {}", unanswered.join(" "));
                finding.detail.push_str(&detail);
                Stop::Found(finding)
            }
            None => Stop::Killed,
        }
    }

    /// The daemon says nothing: because it is gone, or because it hangs.
    fn silence(&mut self, what: &str) -> Stop {
        if let Some(status) = self.daemon.ended() {
            return self.crashed(status);
        }
        let unanswered: Vec<&str> = self.unanswered().map(|call| call.0.name).collect();
        let threads = evidence::threads(self.daemon);
        let detail = format!("not answered: {}\n{threads}", unanswered.join(" "));
        Stop::Found(Finding::new(Kind::Hang, what, detail))
    }

    /// The finding that calls are not answered, although the daemon is alive.
    #[must_use]
    pub fn stuck(&self) -> Option<Finding> {
        let mut names: Vec<&str> = self.unanswered().map(|call| call.0.name).collect();
        names.sort_unstable();
        names.dedup();
        names.first()?;
        // Which of them waits for which is not known, so they do not name what was found.
        let detail = format!(
            "not answered: {}\n{}",
            names.join(" "),
            evidence::threads(self.daemon)
        );
        Some(Finding::new(Kind::Hang, "a call is never answered", detail))
    }
}

fn names(link: &Link) -> String {
    let pending = link.judge.pending().values();
    pending
        .map(|call| call.0.name)
        .collect::<Vec<_>>()
        .join(" ")
}

impl Link {
    fn call(&mut self, serial: u32, procedure: Callable, payload: &[u8]) {
        let call = (procedure.0.id, procedure.0.number);
        self.judge.called(serial, procedure);
        self.wire
            .send_packet(call, MessageType::Call, serial, Status::Ok, payload);
    }

    fn send(&mut self, step: &Step) {
        match &step.action {
            Action::Call {
                procedure, payload, ..
            } => self.call(step.id, *procedure, payload),
            Action::Stream { call, packet } => self.stream(*call, packet),
            Action::Raw { bytes } => {
                self.judge.excuse();
                self.wire.send(bytes);
            }
            Action::Hangup => {}
        }
    }

    fn stream(&mut self, serial: u32, packet: &Packet) {
        // On a connection that was opened anew, the stream is none.
        let Some(callable) = self.judge.stream(serial) else {
            return;
        };
        self.judge.streamed(serial, packet);
        let call = (callable.0.id, callable.0.number);
        let hole: Vec<u8>;
        let (kind, status, payload) = match packet {
            Packet::Data(bytes) => (MessageType::Stream, Status::Continue, bytes.as_slice()),
            Packet::Hole(length) => {
                hole = [&length.to_be_bytes()[..], &[0; 4]].concat();
                (MessageType::StreamHole, Status::Continue, hole.as_slice())
            }
            Packet::Finish => (MessageType::Stream, Status::Ok, &[][..]),
            Packet::Abort => (MessageType::Stream, Status::Error, &[][..]),
        };
        self.wire.send_packet(call, kind, serial, status, payload);
    }
}
