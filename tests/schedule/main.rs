//! Thousands of schedules: what a daemon, a hypervisor, a network and other clients may do around
//! one block job, in every order that is possible, against an oracle of what really happened.
//!
//! Each schedule is drawn from a seed and played on tokio's paused clock, in a moment of real
//! time. `VIRTWIRE_SCHEDULES` is how many are played, `VIRTWIRE_SCHEDULE_SEED` the first of them.
//! A schedule that fails is printed, with its seed: what was to happen, then what did.

#![cfg(test)]

mod chance;
mod client;
mod daemon;
mod found;
mod link;
mod oracle;
mod story;
mod world;
mod xml;

use std::num::NonZero;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::time::sleep;

use crate::story::Story;
use crate::world::Shared;

/// How many schedules are played, and which is the first.
fn wanted() -> (u64, u64) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let first = number("VIRTWIRE_SCHEDULE_SEED");
    let count = if first.is_some() { 1 } else { 2_000 };
    (
        first.unwrap_or(0),
        number("VIRTWIRE_SCHEDULES").unwrap_or(count),
    )
}

/// A schedule that did not go as it must.
struct Failed {
    seed: u64,
    complaint: String,
    transcript: String,
}

/// Plays one schedule; what was wrong with it.
fn play(story: &Story) -> Option<Failed> {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let shared = runtime.block_on(async {
        let shared = Shared::new(story.clone());
        client::play(&shared).await;
        shared.end();
        sleep(Duration::from_secs(200)).await;
        let tasks = Handle::current().metrics().num_alive_tasks();
        if tasks != 0 {
            shared.complain(format!("{tasks} tasks are left"));
        }
        shared
    });
    let world = shared.lock();
    let complaint = world.complaints.first()?.clone();
    let transcript = format!("{story:#?}\n{}", world.transcript());
    Some(Failed {
        seed: story.seed,
        complaint,
        transcript,
    })
}

/// Plays schedules that must all go well.
#[track_caller]
fn play_all(stories: impl Iterator<Item = Story>) {
    let stories: Vec<_> = stories.collect();
    let stories = Mutex::new(stories.into_iter());
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let failed: Vec<_> = thread::scope(|scope| {
        let player = || {
            std::iter::from_fn(|| stories.lock().unwrap().next())
                .filter_map(|story| play(&story))
                .collect()
        };
        let players: Vec<_> = (0..threads).map(|_| scope.spawn(player)).collect();
        let failed = players.into_iter().map(|player| player.join().unwrap());
        failed
            .collect::<Vec<Vec<_>>>()
            .into_iter()
            .flatten()
            .collect()
    });
    let Some(shortest) = failed.iter().min_by_key(|failed| failed.transcript.len()) else {
        return;
    };
    let all = failed.iter().map(|failed| {
        let words: String = failed.complaint.chars().take(160).collect();
        format!("schedule {}: {words}", failed.seed)
    });
    let all: Vec<_> = all.collect();
    panic!(
        "schedule {}:\n{}\n{}\n{} schedules failed:\n{}",
        shortest.seed,
        shortest.transcript,
        shortest.complaint,
        failed.len(),
        all.join("\n"),
    );
}

#[test]
fn every_ending_is_what_it_is_said_to_be() {
    let (first, count) = wanted();
    play_all((first..first + count).map(Story::draw));
}
