//! What to send next.

use std::collections::{BTreeMap, VecDeque};

use virtwire_lab::Driver;
use virtwire_protocol::header::{Header, MessageType, Serial, Status};
use virtwire_protocol::{Release, remote as r};

use crate::generate::{Form, Generator};
use crate::judge::opens_stream;
use crate::random::Random;
use crate::reach::why_off;
use crate::script::{Action, Callable, Packet, Step, all};
use crate::stage::{FIRST_STEP, Heard};
use crate::vocabulary::Vocabulary;
use crate::walk::{Visit as _, walk};

/// The connections with nothing odd about them.
const ORDINARY: [usize; 3] = [0, 1, crate::stage::READ_ONLY];

/// The connection for what is no packet, so that the others need no excuse.
const EXPENDABLE: usize = 3;

/// Decides what is sent; the same seed and the same answers give the same steps.
#[derive(Debug)]
pub struct Planner {
    generator: Generator,
    random: Random,
    vocabulary: Vocabulary,
    enabled: Vec<Callable>,
    called: BTreeMap<&'static str, u64>,
    streams: Vec<(usize, u32)>,
    /// What is left of a story, and the connection that tells it. What comes later depends on the
    /// answers to what comes first.
    story: VecDeque<Callable>,
    teller: usize,
    next: u32,
}

/// Which procedures follow each other in life.
macro_rules! story {
    ($($procedure:ident),+ $(,)?) => {
        &[$(Callable::of::<r::$procedure>),+]
    };
}

type Story = &'static [fn() -> Callable];

/// What opens a daemon's past to a new planner.
const LOOK_AROUND: Story = story![
    ConnectListAllDomains,
    ConnectListAllNetworks,
    ConnectListAllStoragePools,
    ConnectListAllInterfaces,
    ConnectListAllNodeDevices,
    ConnectListAllSecrets,
    DomainGetXmlDesc,
    StoragePoolListAllVolumes,
    ConnectGetCapabilities,
];

const STORIES: &[Story] = &[
    LOOK_AROUND,
    story![
        DomainDefineXml,
        DomainCreate,
        DomainGetInfo,
        DomainGetXmlDesc,
        DomainBlockStatsFlags,
        DomainSuspend,
        DomainResume,
        DomainDestroy,
        DomainUndefine,
    ],
    story![
        DomainDefineXml,
        DomainCreateWithFlags,
        DomainSnapshotCreateXml,
        DomainListAllSnapshots,
        DomainSnapshotGetXmlDesc,
        DomainSnapshotCreateXml,
        DomainSnapshotCurrent,
        DomainSnapshotListAllChildren,
        DomainRevertToSnapshot,
        DomainSnapshotDelete,
        DomainDestroy,
    ],
    story![
        DomainCreateXml,
        DomainBlockPull,
        DomainGetBlockJobInfo,
        DomainBlockJobSetSpeed,
        DomainBlockJobAbort,
        DomainBlockCopy,
        DomainGetBlockJobInfo,
        DomainBlockJobAbort,
        DomainBlockCommit,
        DomainBlockRebase,
        DomainDestroy,
    ],
    story![
        DomainCreateXml,
        DomainCheckpointCreateXml,
        DomainListAllCheckpoints,
        DomainCheckpointCreateXml,
        DomainCheckpointGetXmlDesc,
        DomainBackupBegin,
        DomainBackupGetXmlDesc,
        DomainAbortJob,
        DomainCheckpointListAllChildren,
        DomainCheckpointGetParent,
        DomainCheckpointDelete,
        DomainDestroy,
    ],
    story![
        DomainCreateXml,
        DomainAttachDeviceFlags,
        DomainUpdateDeviceFlags,
        DomainGetXmlDesc,
        DomainDetachDeviceFlags,
        DomainSetMemory,
        DomainSetVcpusFlags,
        DomainAddIothread,
        DomainPinIothread,
        DomainDelIothread,
        DomainSetBlockIoTune,
        DomainGetBlockIoTune,
    ],
    story![
        DomainCreate,
        DomainSave,
        DomainSaveImageGetXmlDesc,
        DomainRestore,
        DomainManagedSave,
        DomainManagedSaveGetXmlDesc,
        DomainManagedSaveRemove,
        DomainCoreDump,
    ],
    story![
        StoragePoolDefineXml,
        StoragePoolBuild,
        StoragePoolCreate,
        StoragePoolRefresh,
        StorageVolCreateXml,
        StoragePoolListAllVolumes,
        StorageVolCreateXmlFrom,
        StorageVolUpload,
        StorageVolDownload,
        StorageVolResize,
        StorageVolWipe,
        StorageVolDelete,
        StoragePoolDestroy,
        StoragePoolUndefine,
    ],
    story![
        NetworkDefineXml,
        NetworkCreate,
        NetworkUpdate,
        NetworkPortCreateXml,
        NetworkListAllPorts,
        NetworkPortSetParameters,
        NetworkPortGetParameters,
        NetworkPortDelete,
        NetworkGetDhcpLeases,
        NetworkDestroy,
        NetworkUndefine,
    ],
    story![
        SecretDefineXml,
        SecretSetValue,
        SecretGetValue,
        SecretGetXmlDesc,
        SecretUndefine
    ],
    story![
        ConnectDomainEventCallbackRegisterAny,
        ConnectNetworkEventRegisterAny,
        ConnectStoragePoolEventRegisterAny,
        ConnectSecretEventRegisterAny,
        DomainDefineXml,
        DomainCreate,
        DomainSetMetadata,
        DomainReboot,
        DomainRename,
        ConnectDomainEventCallbackDeregisterAny,
    ],
    story![
        DomainCreateXml,
        DomainOpenConsole,
        DomainScreenshot,
        DomainOpenChannel,
        DomainSendKey,
        DomainDestroy,
    ],
    story![
        DomainMigrateBegin3Params,
        DomainMigratePrepare3Params,
        DomainMigratePrepareTunnel3Params,
        DomainMigrateFinish3Params,
        DomainMigrateConfirm3Params,
    ],
];

impl Planner {
    /// A planner for a daemon of this release that knows nothing yet.
    #[must_use]
    pub fn new(driver: Driver, release: Release, seed: u64) -> Self {
        Self {
            generator: Generator::new(driver),
            random: Random::new(seed),
            vocabulary: Vocabulary::default(),
            enabled: enabled(release).collect(),
            called: BTreeMap::new(),
            streams: Vec::new(),
            story: VecDeque::new(),
            teller: 0,
            next: FIRST_STEP,
        }
    }

    /// Forgets what belonged to a daemon that is gone.
    pub fn forget(&mut self) {
        self.vocabulary = Vocabulary::default();
        self.streams.clear();
        self.next = FIRST_STEP;
        self.vocabulary.string("path", b"vda");
        self.vocabulary.string("file", b"/cage/tmp/file");
        self.vocabulary.string("path", b"/cage/tmp/path");
        self.tell(LOOK_AROUND);
    }

    /// Calls nothing but these, and none of them that is never called.
    pub fn restrict(&mut self, only: &[Callable]) {
        self.enabled.retain(|callable| only.contains(callable));
    }

    /// How many procedures are called.
    #[must_use]
    pub fn enabled(&self) -> usize {
        self.enabled.len()
    }

    /// Calls this no more, unless too much of what else there is begins with it; says whether.
    pub fn avoid(&mut self, callable: Callable) -> bool {
        let mut told = STORIES.iter().copied().flatten();
        let is_needed = told.any(|other| other() == callable);
        if !is_needed {
            self.enabled.retain(|other| *other != callable);
        }
        !is_needed
    }

    /// Learns from what was heard.
    pub fn learn(&mut self, heard: &Heard) {
        let (layout, payload) = match heard {
            Heard::Success(callable, payload) => (callable.0.ret, payload),
            Heard::Event(layout, payload) => (*layout, payload),
            Heard::Failure(..) | Heard::Again(_) => return,
        };
        // What does not decode has been judged elsewhere.
        let _ = walk(layout, payload, &mut self.vocabulary);
    }

    /// Some steps that belong together.
    pub fn next_steps(&mut self) -> Vec<Step> {
        if let Some(callable) = self.story.pop_front() {
            return self.continued(callable);
        }
        match self.random.below(80) {
            0 => vec![self.raw()],
            1 => vec![self.hangup()],
            2..=13 => {
                let story = self.random.pick(STORIES).copied().unwrap_or_default();
                self.tell(story);
                self.next_steps()
            }
            14..=21 if !self.streams.is_empty() => vec![self.packet()],
            22..=31 => {
                let count = 2 + self.random.below(8);
                (0..count).filter_map(|_| self.random_call(false)).collect()
            }
            _ => self.random_call(true).into_iter().collect(),
        }
    }

    /// Begins a story, with gaps.
    fn tell(&mut self, story: Story) {
        self.teller = self.random.choose([0, 1]);
        for callable in story.iter().map(|callable| callable()) {
            if self.enabled.contains(&callable) && !self.random.once_in(8) {
                self.story.push_back(callable);
            }
        }
    }

    fn continued(&mut self, callable: Callable) -> Vec<Step> {
        let form = if self.random.once_in(5) {
            Form::Good
        } else {
            Form::Plain
        };
        let step = self.call(self.teller, callable, form, true);
        let interruption = if self.random.once_in(6) {
            self.random_call(false)
        } else {
            None
        };
        std::iter::once(step).chain(interruption).collect()
    }

    /// A call of anything, rather of what was called less often.
    fn random_call(&mut self, wait: bool) -> Option<Step> {
        let candidates = [(); 3].map(|()| self.random.pick(&self.enabled).copied());
        let count = |callable: &Callable| self.called.get(callable.0.name).copied();
        let callable = candidates.into_iter().flatten().min_by_key(count)?;
        let form = match self.random.below(12) {
            0 => Form::Bad,
            1..=3 => Form::Plain,
            _ => Form::Good,
        };
        let connection = self.random.choose(ORDINARY);
        Some(self.call(connection, callable, form, wait))
    }

    fn call(&mut self, connection: usize, procedure: Callable, form: Form, wait: bool) -> Step {
        *self.called.entry(procedure.0.name).or_default() += 1;
        let payload = self
            .generator
            .arguments(procedure, form, &self.vocabulary, &mut self.random);
        let action = Action::Call {
            procedure,
            payload,
            wait,
        };
        let step = self.step(connection, action);
        if opens_stream(procedure) {
            self.streams.push((connection, step.id));
            if self.streams.len() > 4 {
                self.streams.remove(0);
            }
        }
        step
    }

    fn packet(&mut self) -> Step {
        let (connection, call) = self.random.pick(&self.streams).copied().unwrap_or_default();
        let packet = match self.random.below(8) {
            0 => Packet::Finish,
            1 => Packet::Abort,
            2 => Packet::Hole(self.random.choose([0, 1, -1, 4096, i64::MAX, i64::MIN])),
            _ => {
                let length = self.random.choose([0, 1, 24, 1000, 65_536]);
                Packet::Data(self.random.bytes(length))
            }
        };
        self.step(connection, Action::Stream { call, packet })
    }

    fn hangup(&mut self) -> Step {
        let connection = self.random.choose(ORDINARY);
        self.streams.retain(|(other, _)| *other != connection);
        self.step(connection, Action::Hangup)
    }

    /// Bytes that are no packet, or a packet that makes no sense.
    fn raw(&mut self) -> Step {
        let callable = self.random.pick(&self.enabled).copied();
        let mut bytes = vec![0; 4];
        if let Some(callable) = callable {
            let kind = self.random.choose([
                MessageType::Call,
                MessageType::Reply,
                MessageType::Message,
                MessageType::Stream,
                MessageType::CallWithFds,
                MessageType::StreamHole,
            ]);
            let status = self
                .random
                .choose([Status::Ok, Status::Error, Status::Continue]);
            let header = Header {
                program: callable.0.id,
                procedure: callable.0.number,
                kind,
                serial: Serial::new(self.random.choose([0, 1, self.next, u32::MAX])),
                status,
            };
            bytes.extend(header.encode());
            let (form, words) = (Form::Good, &self.vocabulary);
            let payload = self
                .generator
                .arguments(callable, form, words, &mut self.random);
            bytes.extend(payload);
        }
        let length = u32::try_from(bytes.len()).unwrap_or_default();
        let announced = match self.random.below(8) {
            0 => 0,
            1 => u32::MAX,
            2 => 0x0200_0005,
            3 => 27,
            4 => length + 4,
            _ => length,
        };
        if let Some(place) = bytes.first_chunk_mut() {
            *place = announced.to_be_bytes();
        }
        for _ in 0..self.random.below(3) {
            // Somewhere in the header: program, version, procedure, type, serial or status.
            let at = 4 + self.random.below(24);
            let byte = self.random.byte();
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        self.step(EXPENDABLE, Action::Raw { bytes })
    }

    fn step(&mut self, connection: usize, action: Action) -> Step {
        let id = self.next;
        self.next += 1;
        Step {
            id,
            connection,
            action,
        }
    }
}

/// The procedures that are called on a daemon of this release.
pub fn enabled(release: Release) -> impl Iterator<Item = Callable> {
    all().filter(move |callable| callable.0.since <= release && why_off(*callable).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reach::OFF;

    const RELEASE: Release = Release::new(9, 0, 0);

    fn steps(seed: u64, count: usize) -> Vec<Step> {
        let mut planner = Planner::new(Driver::Test, RELEASE, seed);
        planner.forget();
        let mut steps = Vec::new();
        while steps.len() < count {
            steps.extend(planner.next_steps());
        }
        steps
    }

    #[test]
    fn the_same_seed_plans_the_same() {
        assert_eq!(steps(4, 300), steps(4, 300));
        assert_ne!(steps(4, 300), steps(5, 300));
    }

    #[test]
    fn what_is_off_is_never_planned() {
        let steps = steps(1, 6000);
        let mut called = std::collections::BTreeSet::new();
        for step in &steps {
            if let Action::Call { procedure, .. } = &step.action {
                assert_eq!(why_off(*procedure), None, "{}", procedure.0.name);
                called.insert((procedure.0.id.number, procedure.0.number));
            }
        }
        // All the others are.
        let enabled = enabled(RELEASE).count();
        assert_eq!(called.len(), enabled);
        assert!(enabled > 330 && !OFF.is_empty());
    }

    #[test]
    fn a_restriction_allows_nothing_that_is_off() {
        let mut planner = Planner::new(Driver::Test, RELEASE, 1);
        let off = Callable::of::<r::NodeSuspendForDuration>();
        let on = Callable::of::<r::DomainSave>();
        planner.restrict(&[off, on]);
        planner.forget();
        for step in (0..200).flat_map(|_| planner.next_steps()) {
            if let Action::Call { procedure, .. } = &step.action {
                assert_eq!(*procedure, on);
            }
        }
    }

    #[test]
    fn every_step_has_a_number_of_its_own() {
        let steps = steps(2, 1000);
        assert!(steps.is_sorted_by(|one, next| one.id < next.id));
        assert!(steps.iter().all(|step| step.id >= FIRST_STEP));
    }

    #[test]
    fn what_is_no_packet_has_a_connection_of_its_own() {
        let steps = steps(3, 3000);
        let raw = |step: &&Step| matches!(step.action, Action::Raw { .. });
        assert!(steps.iter().any(|step| raw(&step)));
        assert!(
            steps
                .iter()
                .all(|step| raw(&step) == (step.connection == EXPENDABLE))
        );
    }
}
