//! Twists that schedules have found the client wrong in, each alone, with answers that come sooner
//! or later.

use std::time::Duration;

use crate::play_all;
use crate::story::{Cut, Definition, Part, Stop, Story, Then, Work, XmlTurn};

const PULL: Work = Work::Pull { partial: false };
const COPY: Work = Work::Copy { shallow: false };
const COMMIT: Work = Work::CommitActive { shallow: false };

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn pivot(at: u64) -> Part {
    Part::Pivot {
        at: millis(at),
        patience: None,
    }
}

fn cancel(at: u64) -> Part {
    Part::Cancel {
        at: millis(at),
        patience: None,
    }
}

#[track_caller]
fn twisted(work: Work, twist: impl Fn(&mut Story)) {
    play_all((0..60).map(|seed| {
        let mut story = Story::plain(seed, work);
        twist(&mut story);
        story
    }));
}

#[test]
fn ending_told_before_the_answer_is_ours_if_another_kind_of_job_runs_by_then() {
    twisted(PULL, |story| {
        story.works_for = Duration::ZERO;
        story.stranger = Some((Duration::ZERO, false));
    });
}

#[test]
fn definition_is_looked_at_after_the_running_domain() {
    twisted(COPY, |story| {
        story.xml = XmlTurn::After(millis(200));
        story.parts = vec![pivot(0)];
    });
}

#[test]
fn job_whose_end_was_announced_is_not_asked_to_end() {
    twisted(COMMIT, |story| {
        story.xml = XmlTurn::After(millis(800));
        story.parts = vec![pivot(0), pivot(1_200), cancel(1_400)];
        story.parts.extend((1_800..2_800).step_by(100).map(pivot));
        story.parts.extend((1_850..2_850).step_by(100).map(cancel));
    });
}

#[test]
fn refusal_counts_for_nothing_once_the_job_is_gone_without_a_word() {
    twisted(COMMIT, |story| {
        (story.network, story.lacks_second) = (true, true);
        story.parts = vec![cancel(0), cancel(30), cancel(200)];
    });
}

#[test]
fn job_ends_though_its_disk_is_taken_away_and_its_event_lost() {
    twisted(PULL, |story| {
        story.unplugged = true;
        story.cuts = vec![Cut {
            at: millis(900),
            down: millis(8_000),
            restart: false,
            reset: false,
            heard: true,
        }];
    });
}

#[test]
fn definition_that_named_the_destination_before_proves_nothing() {
    for work in [COPY, COMMIT] {
        for starts_after in [None, Some(millis(10))] {
            twisted(work, |story| {
                story.definition = Definition::Destination;
                story.works_for = millis(60_000);
                story.stop = Some(Stop {
                    at: millis(15_000),
                    crash: false,
                    starts_after,
                });
            });
        }
    }
}

#[test]
fn job_found_while_its_mirror_is_taken_down_is_pivoted() {
    twisted(COPY, |story| {
        story.xml = XmlTurn::Before;
        story.noting = millis(1_500);
        story.parts = vec![pivot(0)];
        let attaches = (1_000..4_000).step_by(250).map(|at| Part::Attach {
            at: millis(at),
            then: Then::Wait,
        });
        story.parts.extend(attaches);
    });
}

#[test]
fn ending_told_while_an_old_stop_is_looked_into_is_the_outcome() {
    twisted(PULL, |story| {
        story.stale_stop = true;
        story.definition = Definition::None;
        story.works_for = millis(1);
        story.stop = Some(Stop {
            at: millis(300 + story.seed * 20),
            crash: false,
            starts_after: None,
        });
    });
}

#[test]
fn xml_that_follows_within_the_grace_does_not_contradict() {
    twisted(COMMIT, |story| {
        story.xml = XmlTurn::After(millis(900));
        story.parts = vec![pivot(0)];
    });
}

#[test]
fn ending_of_an_earlier_job_is_not_ours_because_the_guest_hangs() {
    for from in (0..60).step_by(5) {
        twisted(PULL, |story| {
            story.earlier = true;
            story.works_for = millis(60_000);
            story.frozen = Some((millis(from), millis(from + 20_000)));
        });
    }
}
