//! Block jobs on real guests, with everything going wrong that can: `cargo xtask chaos`.
//!
//! A scene is one guest; the same is done to each of its disks, and the same thing comes between,
//! at other moments. What each client is told is then held against what the XML says, what
//! qemu-img finds, and what the guest is known to have written.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "this program talks to a person at a terminal, and may fail"
)]

mod accident;
mod backup;
mod course;
mod disturbance;
mod keep;
mod lane;
mod operation;
mod options;
mod oracle;
mod scene;
mod schedule;
mod storage;
mod table;
mod truth;

use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::{JoinSet, block_in_place};

use self::lane::Lane;
use self::options::Options;
use self::schedule::Scene;
use self::table::Table;

/// What the lanes share.
#[derive(Debug)]
struct Play {
    options: Options,
    until: Option<Instant>,
    waiting: Mutex<VecDeque<Scene>>,
    table: Mutex<Table>,
    /// Scenes that could not be played.
    broken: Mutex<Vec<String>>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("error: {problem}");
            return ExitCode::from(2);
        }
    };
    let chosen = |scene: &Scene| {
        let name = scene.name();
        options.only.is_empty() || options.only.iter().any(|word| name.contains(word.as_str()))
    };
    let first = match block_in_place(|| Lane::open(options.seed)) {
        Ok(lane) => lane,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let alone = first.pulls_alone();
    let scenes = schedule::scenes(options.seed, options.rounds, options.disks, alone);
    let scenes: VecDeque<_> = scenes.into_iter().filter(chosen).collect();
    let note = if alone { ", pulls alone" } else { "" };
    println!(
        "{}: seed {}, {} scenes{note}",
        first.qemu,
        options.seed,
        scenes.len()
    );
    let began = Instant::now();
    let lanes = options.lanes;
    let minutes = options
        .minutes
        .map(|minutes| Duration::from_secs(minutes * 60));
    let until = minutes.map(|minutes| began + minutes);
    let play = Arc::new(Play {
        options,
        until,
        waiting: Mutex::new(scenes),
        table: Mutex::default(),
        broken: Mutex::default(),
    });
    let open = std::iter::once(Some(first)).chain(std::iter::repeat_with(|| None));
    let playing = open
        .take(lanes)
        .map(|lane| run_lane(Arc::clone(&play), lane));
    let playing: JoinSet<()> = playing.collect();
    playing.join_all().await;
    let seconds = began.elapsed().as_secs();
    conclude(&play, seconds)
}

fn conclude(play: &Play, seconds: u64) -> ExitCode {
    let (table, broken) = (locked(&play.table), locked(&play.broken));
    print!("\n{table}");
    let (runs, surprises) = (table.runs(), table.surprises());
    println!(
        "seed {}: {runs} runs, {surprises} surprises, {seconds} s",
        play.options.seed
    );
    let left = locked(&play.waiting).len();
    if left > 0 {
        println!("there was no time for {left} scenes");
    }
    for problem in broken.iter() {
        println!("not played: {problem}");
    }
    if surprises == 0 && broken.is_empty() {
        ExitCode::SUCCESS
    } else {
        println!(
            "what is known of them is in {}",
            play.options.keep.display()
        );
        ExitCode::FAILURE
    }
}

/// Plays one scene after the other on a daemon, which is another after one that could not be
/// played to its end.
async fn run_lane(play: Arc<Play>, mut lane: Option<Lane>) {
    loop {
        if play.until.is_some_and(|until| Instant::now() > until) {
            return;
        }
        let Some(scene) = locked(&play.waiting).pop_front() else {
            return;
        };
        if lane.is_none() {
            lane = match block_in_place(|| Lane::open(play.options.seed)) {
                Ok(lane) => Some(lane),
                Err(error) => {
                    locked(&play.broken).push(format!("{}: {error}", scene.name()));
                    return;
                }
            };
        }
        let Some(open) = &mut lane else { return };
        if !run_scene(&play, open, scene).await {
            lane = None;
        }
    }
}

async fn run_scene(play: &Play, lane: &mut Lane, scene: Scene) -> bool {
    let report = match scene::play(lane, scene).await {
        Ok(report) => report,
        Err(error) => {
            eprintln!("{} could not be played: {error}", scene.name());
            eprintln!("{}", lane.daemon.log());
            locked(&play.broken).push(format!("{}: {error}", scene.name()));
            return false;
        }
    };
    locked(&play.table).count(&report);
    let surprising = report.runs.iter().filter(|run| !run.surprises.is_empty());
    let surprising = surprising.count();
    if surprising > 0 || play.options.every {
        let kept = keep::keep(lane, &report, &play.options);
        match kept {
            Ok(dir) => println!("{surprising} surprises: {}", dir.display()),
            Err(error) => eprintln!("{}: {error}", scene.name()),
        }
    }
    for run in &report.runs {
        // What is left would fill the disk.
        let _ = std::fs::remove_dir_all(run.course.work.chain.dir());
    }
    true
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
