//! What is going to happen, drawn from a seed before anything does.

use std::time::Duration;

use virtwire::constants::DomainBlockJobType;

use crate::chance::Chance;

/// A schedule: what the daemon, the hypervisor, the network, strangers and the client's own script
/// are up to. Moments count from the beginning.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent twists of one story"
)]
pub(crate) struct Story {
    pub(crate) seed: u64,
    pub(crate) work: Work,
    /// The disk's images are on the network.
    pub(crate) network: bool,
    /// The daemon refuses registrations for `BLOCK_JOB_2`.
    pub(crate) lacks_second: bool,
    /// The daemon's figures: what it says before there are any, and whether those of a mirror that
    /// is not ready are kept from being equal.
    pub(crate) begins_with: (u64, u64),
    pub(crate) fudges: bool,
    /// An old `BLOCK_JOB` names the new image in the news of a pivot.
    pub(crate) names_new_image: bool,
    pub(crate) definition: Definition,
    /// How long a mirror copies until it is ready, another job until it is over.
    pub(crate) works_for: Duration,
    /// The job fails by itself, this long after its start, if it is still there.
    pub(crate) fails_after: Option<Duration>,
    /// What becomes of the first requests to pivot a job that is ready.
    pub(crate) pivots: Vec<PivotAnswer>,
    pub(crate) pivot_fails: bool,
    /// From an accepted request to the end in the hypervisor, and from there to libvirt's note.
    pub(crate) winding: Duration,
    pub(crate) noting: Duration,
    /// The question finds no job any more so long before the note.
    pub(crate) gone_early: bool,
    pub(crate) xml: XmlTurn,
    /// Events are on their way for so long at most.
    pub(crate) event_delay: Duration,
    pub(crate) cuts: Vec<Cut>,
    pub(crate) reconnects: bool,
    pub(crate) stop: Option<Stop>,
    /// The guest hangs from one moment to the other.
    pub(crate) frozen: Option<(Duration, Duration)>,
    /// Another client starts a job of the same or another kind, so long after the end of ours.
    pub(crate) stranger: Option<(Duration, bool)>,
    /// An ending of an earlier job of the same kind is told before the answer to the start.
    pub(crate) earlier: bool,
    /// News of an earlier run of the domain come late.
    pub(crate) stale_stop: bool,
    /// News of a kind and of a status that there are not yet, every so often.
    pub(crate) strange_news: Option<Duration>,
    /// The disk is taken away after the end of the job.
    pub(crate) unplugged: bool,
    /// Thousands of events of no consequence, all at once.
    pub(crate) storm: Option<Duration>,
    /// When somebody else ends a job that nobody has ended, and how.
    pub(crate) patience: Duration,
    pub(crate) outsider_pivots: bool,
    pub(crate) parts: Vec<Part>,
    /// All handles are dropped then; with the wish to cancel.
    pub(crate) abandons: Option<(Duration, bool)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    Pull { partial: bool },
    CommitInner,
    CommitActive { shallow: bool },
    Copy { shallow: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Definition {
    /// The domain is transient.
    None,
    Same,
    /// It names another image.
    Other,
    /// It names the destination already.
    Destination,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PivotAnswer {
    NotReady,
    /// Refused for another reason; the job stays ready.
    Failed,
    Taken,
}

/// When the XML shows what the job has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum XmlTurn {
    /// Before libvirt announces it; of a mirror the remains are to be seen.
    Before,
    Together,
    After(Duration),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    pub(crate) at: Duration,
    pub(crate) down: Duration,
    /// The daemon is restarted, and takes note of nothing meanwhile.
    pub(crate) restart: bool,
    pub(crate) reset: bool,
    /// What was read and not begun is still done.
    pub(crate) heard: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop {
    pub(crate) at: Duration,
    pub(crate) crash: bool,
    pub(crate) starts_after: Option<Duration>,
}

/// What the client does beside waiting.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part {
    Wait {
        at: Duration,
        patience: Option<Duration>,
    },
    WaitReady {
        at: Duration,
        patience: Option<Duration>,
    },
    Pivot {
        at: Duration,
        patience: Option<Duration>,
    },
    Cancel {
        at: Duration,
        patience: Option<Duration>,
    },
    Speed {
        at: Duration,
    },
    Info {
        at: Duration,
    },
    Progress {
        at: Duration,
        every: Duration,
        items: u64,
    },
    Attach {
        at: Duration,
        then: Then,
    },
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Then {
    Wait,
    Pivot,
    Cancel,
}

impl Story {
    /// Whether a client that was told of the end has nothing else to find out first.
    pub(crate) fn is_simple(&self) -> bool {
        let attaches = self
            .parts
            .iter()
            .any(|part| matches!(part, Part::Attach { .. }));
        let disturbed = self.stale_stop || self.earlier || self.stop.is_some();
        !attaches && !disturbed && self.cuts.is_empty()
    }
}

impl Work {
    pub(crate) fn kind(self) -> DomainBlockJobType {
        match self {
            Self::Pull { .. } => DomainBlockJobType::PULL,
            Self::CommitInner => DomainBlockJobType::COMMIT,
            Self::CommitActive { .. } => DomainBlockJobType::ACTIVE_COMMIT,
            Self::Copy { .. } => DomainBlockJobType::COPY,
        }
    }

    pub(crate) fn is_mirror(self) -> bool {
        matches!(self, Self::CommitActive { .. } | Self::Copy { .. })
    }

    /// The chain when the job has done its work; before it is `/top`, `/mid`, `/base`.
    pub(crate) fn result(self) -> &'static [&'static str] {
        match self {
            Self::Pull { partial: false } => &["/top"],
            Self::Pull { partial: true } | Self::CommitInner => &["/top", "/base"],
            Self::CommitActive { shallow: false } => &["/base"],
            Self::CommitActive { shallow: true } => &["/mid", "/base"],
            Self::Copy { shallow: false } => &["/new"],
            Self::Copy { shallow: true } => &["/new", "/mid", "/base"],
        }
    }
}

impl Story {
    /// A job that works for a second while nothing else happens.
    pub(crate) fn plain(seed: u64, work: Work) -> Self {
        Self {
            seed,
            work,
            network: false,
            lacks_second: false,
            begins_with: (0, 1),
            fudges: true,
            names_new_image: false,
            definition: Definition::Same,
            works_for: Duration::from_secs(1),
            fails_after: None,
            pivots: vec![PivotAnswer::Taken],
            pivot_fails: false,
            winding: Duration::ZERO,
            noting: Duration::ZERO,
            gone_early: false,
            xml: XmlTurn::Together,
            event_delay: Duration::ZERO,
            cuts: Vec::new(),
            reconnects: true,
            stop: None,
            frozen: None,
            stranger: None,
            earlier: false,
            stale_stop: false,
            strange_news: None,
            unplugged: false,
            storm: None,
            patience: Duration::from_secs(30),
            outsider_pivots: false,
            parts: Vec::new(),
            abandons: None,
        }
    }

    pub(crate) fn draw(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let c = &mut chance;
        let work = match c.below(8) {
            0 => Work::Pull { partial: false },
            1 => Work::Pull { partial: true },
            2 => Work::CommitInner,
            3 | 4 => Work::CommitActive {
                shallow: c.once_in(2),
            },
            _ => Work::Copy {
                shallow: c.once_in(2),
            },
        };
        let mut story = Self {
            seed,
            work,
            network: c.once_in(6),
            lacks_second: c.once_in(5),
            begins_with: c.pick(&[(0, 0), (0, 1), (0, 1 << 30)]),
            fudges: !c.once_in(3),
            names_new_image: c.once_in(2),
            definition: match c.below(12) {
                0 | 1 => Definition::None,
                2 => Definition::Other,
                3 if work.is_mirror() => Definition::Destination,
                _ => Definition::Same,
            },
            works_for: c.moment(),
            fails_after: c.once_in(7).then(|| c.moment()),
            pivots: pivot_answers(c),
            pivot_fails: c.once_in(10),
            winding: c.latency(),
            noting: c.latency(),
            gone_early: c.once_in(4),
            xml: match c.below(4) {
                0 => XmlTurn::Before,
                1 => XmlTurn::After(c.up_to(900)),
                _ => XmlTurn::Together,
            },
            event_delay: match c.below(6) {
                0 | 1 => Duration::ZERO,
                2 | 3 => Duration::from_millis(5),
                4 => Duration::from_millis(1_000),
                _ => Duration::from_millis(4_000),
            },
            cuts: Vec::new(),
            reconnects: !c.once_in(5),
            stop: None,
            frozen: None,
            stranger: c.once_in(8).then(|| (c.latency(), c.once_in(2))),
            earlier: c.once_in(10),
            stale_stop: c.once_in(12),
            strange_news: c
                .once_in(10)
                .then(|| Duration::from_millis(1) + c.up_to(2_000)),
            unplugged: c.once_in(20),
            storm: c.once_in(25).then(|| c.moment()),
            patience: Duration::from_secs(20) + c.up_to(20_000),
            outsider_pivots: c.once_in(2),
            parts: Vec::new(),
            abandons: c.once_in(12).then(|| (c.moment(), c.once_in(2))),
        };
        story.draw_disasters(c);
        story.draw_parts(c);
        story
    }

    fn draw_disasters(&mut self, c: &mut Chance) {
        if c.once_in(3) {
            for _ in 0..=c.below(2) {
                let cut = Cut {
                    at: c.moment(),
                    down: c.latency() + c.up_to(300),
                    restart: c.once_in(3),
                    reset: c.once_in(2),
                    heard: c.once_in(2),
                };
                self.cuts.push(cut);
            }
        }
        if c.once_in(5) {
            self.stop = Some(Stop {
                at: c.moment(),
                crash: c.once_in(4),
                starts_after: c.once_in(2).then(|| c.latency()),
            });
        }
        if c.once_in(8) {
            let from = c.moment();
            let length = if c.once_in(3) {
                c.up_to(90_000)
            } else {
                c.moment()
            };
            self.frozen = Some((from, from + length));
        }
    }

    fn draw_parts(&mut self, c: &mut Chance) {
        for _ in 0..=c.below(5) {
            let at = c.moment();
            let patience = c.once_in(3).then(|| c.moment());
            let part = match c.below(14) {
                0 => Part::Wait { at, patience },
                1 | 2 => Part::WaitReady { at, patience },
                3..=6 => Part::Pivot { at, patience },
                7 | 8 => Part::Cancel { at, patience },
                9 => Part::Speed { at },
                10 => Part::Info { at },
                11 | 12 => Part::Progress {
                    at,
                    every: c.pick(&[10, 300, 1_000].map(Duration::from_millis)),
                    items: c.below(30),
                },
                _ => Part::Attach {
                    at,
                    then: c.pick(&[Then::Wait, Then::Pivot, Then::Cancel]),
                },
            };
            self.parts.push(part);
        }
    }
}

fn pivot_answers(c: &mut Chance) -> Vec<PivotAnswer> {
    let mut answers = Vec::new();
    while c.once_in(3) {
        let refused = c.pick(&[
            PivotAnswer::NotReady,
            PivotAnswer::NotReady,
            PivotAnswer::Failed,
        ]);
        answers.push(refused);
    }
    answers.push(PivotAnswer::Taken);
    answers
}
