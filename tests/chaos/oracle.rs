//! Whether what a client was told is what has happened.

use std::path::PathBuf;

use virtwire::{NextStart, Outcome, VanishedReason, Verdict};

use crate::accident::Accident;
use crate::course::Course;
use crate::disturbance::Disturbance;
use crate::truth::{DiskSeen, Images};

/// What follows for the disk from what was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    Done,
    NotDone,
    Either,
}

/// Everything about one disk that should not be so.
pub(crate) fn surprises(
    course: &Course,
    accidents: &[Accident],
    seen: &DiskSeen,
    images: &Images,
) -> Vec<String> {
    let mut surprises = Vec::new();
    if accidents.is_empty() {
        surprises.extend(course.told.complaints.iter().cloned());
    }
    for outcome in course.told.first.iter().chain(&course.told.attached) {
        if accidents.is_empty() || !matches!(outcome, Outcome::Vanished(_)) {
            surprises.extend(unexplained(course, outcome));
        }
        surprises.extend(next_start(course, outcome, seen));
    }
    if course.told.first.is_none() && course.told.refused.is_none() {
        surprises.push("nothing was told".to_owned());
    }
    let claim = claim(course);
    let wrong = is_wrong_xml(course, seen, images) || (claim == Claim::Either && seen.is_stale());
    match seen.chain() {
        // What the XML says then is not so.
        Some(_) if wrong => {
            surprises.extend(against_images(course, claim, accidents, seen, images));
        }
        Some(chain) => {
            surprises.extend(against_live(course, claim, &chain, accidents, seen, images))
        }
        None => surprises.extend(against_images(course, claim, accidents, seen, images)),
    }
    surprises
}

/// Whether the live XML is wrong about the images, and nothing was claimed that follows from it.
pub(crate) fn is_wrong_xml(course: &Course, seen: &DiskSeen, images: &Images) -> bool {
    let Some(chain) = seen
        .chain()
        .filter(|_| course.disturbance.kills_the_daemon())
    else {
        return false;
    };
    let is_before = chain == course.work.before();
    if !course.work.operation.is_mirror() {
        // The end was announced and not yet written down.
        return is_before && claim(course) == Claim::Done && images.chain == course.work.after();
    }
    let (live, other) = if is_before {
        (&images.before, &images.after)
    } else {
        (&images.after, &images.before)
    };
    claim(course) == Claim::Either && live.is_err() && other.is_ok()
}

/// Whether a job is left that nobody can end, as its client was told.
pub(crate) fn is_half_started(course: &Course, seen: &DiskSeen) -> bool {
    let told = [&course.told.first, &course.told.attached];
    let said_so = told.into_iter().flatten().any(|outcome| match outcome {
        Outcome::Vanished(evidence) => evidence.reason == VanishedReason::HalfStarted,
        _ => false,
    });
    course.disturbance.kills_the_daemon() && seen.job && said_so
}

/// Whether QEMU could not write the tables any more that are to find what a pull or an inner commit
/// had written: it was killed, or there was no room for them.
pub(crate) fn is_unflushed(course: &Course, accidents: &[Accident], images: &Images) -> bool {
    let killed = course.disturbance == Disturbance::KillQemu
        || accidents.contains(&Accident::Qemu)
        || accidents.contains(&Accident::Forgotten);
    let lost = killed || course.disturbance == Disturbance::NoRoom;
    let flattened = images.chain == course.work.after();
    lost && !course.work.operation.is_mirror() && flattened && images.after.is_err()
}

fn claim(course: &Course) -> Claim {
    let told = &course.told;
    match told.attached.as_ref().or(told.first.as_ref()) {
        Some(Outcome::Completed | Outcome::Pivoted(_)) => Claim::Done,
        Some(Outcome::Cancelled | Outcome::Failed(_)) => Claim::NotDone,
        Some(_) => match told.verdict {
            Some(Verdict::Completed | Verdict::Pivoted) => Claim::Done,
            Some(Verdict::NotDone) => Claim::NotDone,
            _ => Claim::Either,
        },
        None => match &told.refused {
            Some(error) if error.execution() == Some(virtwire::Execution::MaybeExecuted) => {
                Claim::Either
            }
            Some(_) => Claim::NotDone,
            None => Claim::Either,
        },
    }
}

/// An outcome that nothing which happened can explain.
fn unexplained(course: &Course, outcome: &Outcome) -> Option<String> {
    let (operation, disturbance) = (course.work.operation, course.disturbance);
    let explained = match outcome {
        Outcome::Completed => !operation.is_mirror(),
        Outcome::Pivoted(_) => operation.pivots(),
        Outcome::Cancelled => {
            disturbance.cancels() || (operation.is_mirror() && !operation.pivots())
        }
        Outcome::Failed(_) => disturbance.is_of_storage(),
        Outcome::Vanished(_) => disturbance.explains_vanished(),
        _ => false,
    };
    (!explained).then(|| format!("nothing explains that it {outcome}"))
}

/// What was said about the definition after a pivot.
fn next_start(course: &Course, outcome: &Outcome, seen: &DiskSeen) -> Option<String> {
    let Outcome::Pivoted(next) = outcome else {
        return None;
    };
    let follows = seen.defined.as_ref() == course.work.after().first();
    let is_so = match next {
        NextStart::NewImage => seen.persistent && follows,
        NextStart::OtherImage(_) => seen.persistent && !follows,
        NextStart::NoDefinition => !seen.persistent,
        _ => course.disturbance.is_common(),
    };
    (!is_so).then(|| {
        format!(
            "the next start was said to be {next:?}, but it is {:?}",
            seen.defined
        )
    })
}

/// Of a guest that runs.
fn against_live(
    course: &Course,
    claim: Claim,
    chain: &[PathBuf],
    accidents: &[Accident],
    seen: &DiskSeen,
    images: &Images,
) -> Vec<String> {
    let mut surprises = Vec::new();
    let (is_before, is_after) = (chain == course.work.before(), chain == course.work.after());
    let agrees = match claim {
        Claim::Done => is_after,
        Claim::NotDone => is_before,
        Claim::Either => is_before || is_after,
    };
    if !agrees {
        surprises.push(format!(
            "it stands for {claim:?}, but the live XML has {chain:?}"
        ));
    }
    let is_left = seen.job || seen.has_mirror();
    // Nobody was left to follow it when libvirtd died once more.
    let is_lost = claim == Claim::Either && accidents.contains(&Accident::Libvirtd);
    if is_left && !is_lost && !is_half_started(course, seen) {
        surprises.push("a job is left".to_owned());
    }
    let content = if is_before {
        &images.before
    } else {
        &images.after
    };
    if !is_unflushed(course, accidents, images) {
        surprises.extend(content.clone().err());
    }
    surprises
}

/// Of a guest that has stopped before its time.
fn against_images(
    course: &Course,
    claim: Claim,
    accidents: &[Accident],
    seen: &DiskSeen,
    images: &Images,
) -> Vec<String> {
    let mut surprises = Vec::new();
    if !course.work.operation.is_mirror() {
        let what = format!(
            "it stands for {claim:?}, but the images are {:?}",
            images.chain
        );
        // What was not done for libvirt QEMU may have done when it died.
        let is_after = images.chain == course.work.after();
        if claim == Claim::Done && !is_after {
            surprises.push(what);
        }
    }
    if is_unflushed(course, accidents, images) {
        return surprises;
    }
    let mut must = |is_so: bool, what: String| {
        if !is_so {
            surprises.push(what);
        }
    };
    match claim {
        Claim::Done => must(
            images.after.is_ok(),
            format!("{claim:?}, but {:?}", images.after),
        ),
        Claim::NotDone => {
            must(
                images.before.is_ok(),
                format!("{claim:?}, but {:?}", images.before),
            );
            let defined = seen.defined.as_ref();
            let before = defined.is_none() || defined == course.work.before().first();
            must(
                before,
                format!("{claim:?}, but the definition has {defined:?}"),
            );
        }
        Claim::Either => {
            let whole = images.before.is_ok() || images.after.is_ok();
            must(whole, format!("{:?} and {:?}", images.before, images.after));
        }
    }
    surprises
}
