//! What drives a job: a task that sleeps until something is to happen to it.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::finish::Announcement;
use super::step::Step;
use super::{BlockJobFault, JobKey};
use crate::hypervisor::lock::{TurnGuard, Turns};
use crate::server::Shared;

/// Follows a job from its start to its end, or to that of the domain's run or of the simulator.
pub(crate) fn follow(shared: &Arc<Shared>, key: JobKey) {
    finish_first(shared, &key);
    let nudges = {
        let mut hypervisor = shared.hypervisor();
        let job = hypervisor.block_job_mut(&key);
        job.map(|job| job.nudge.subscribe())
    };
    let Some(nudges) = nudges else { return };
    let (shared, end) = (Arc::clone(shared), shared.end());
    tokio::spawn(async move {
        tokio::select! {
            () = end => {}
            () = run(&shared, &key, nudges) => {}
        }
    });
}

/// The fault of a job that is quicker than the answer to its start.
fn finish_first(shared: &Arc<Shared>, key: &JobKey) {
    let mut hypervisor = shared.hypervisor();
    let mut later = None;
    while let Some(job) = hypervisor.block_job_mut(key) {
        if !job.faults.contains(&BlockJobFault::CompleteFirst) {
            break;
        }
        let phase = job.phase;
        let step = job.hurry();
        if step == Step::Nothing && job.phase == phase {
            break;
        }
        later = hypervisor.take_note(key, step);
    }
    drop(hypervisor);
    tell_later(shared, later);
}

async fn run(shared: &Arc<Shared>, key: &JobKey, mut nudges: watch::Receiver<()>) {
    loop {
        let Some((due, needs_turn, turns)) = outlook(shared, key) else {
            return;
        };
        tokio::select! {
            biased;
            nudged = nudges.changed() => match nudged {
                Ok(()) => continue,
                // The job is gone, or the domain's run is over.
                Err(_) => return,
            },
            () = until(due) => {}
        }
        let turn = if needs_turn {
            tokio::select! {
                biased;
                // A call that has the turn may be waiting for this very job.
                nudged = nudges.changed() => match nudged {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                turn = patiently(&turns) => Some(turn),
            }
        } else {
            None
        };
        let later = {
            let mut hypervisor = shared.hypervisor();
            let job = hypervisor.block_job_mut(key);
            let step = job.map_or(Step::Nothing, |job| job.step(Instant::now()));
            hypervisor.take_note(key, step)
        };
        drop(turn);
        tell_later(shared, later);
    }
}

fn outlook(shared: &Arc<Shared>, key: &JobKey) -> Option<(Option<Instant>, bool, Turns)> {
    let mut hypervisor = shared.hypervisor();
    let turns = hypervisor.domains.get(&key.domain)?.turns.clone();
    let job = hypervisor.block_job_mut(key)?;
    Some((job.due(), job.needs_turn(), turns))
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// libvirt's own work waits for its turn however long that takes.
async fn patiently(turns: &Turns) -> TurnGuard {
    loop {
        if let Ok(turn) = turns.begin("qemuProcessEventHandler").await {
            return turn;
        }
    }
}

fn tell_later(shared: &Arc<Shared>, news: Option<Announcement>) {
    let Some(news) = news else { return };
    let (shared, end) = (Arc::clone(shared), shared.end());
    tokio::spawn(async move {
        tokio::select! {
            () = end => {}
            () = sleep(news.delay) => shared.hypervisor().announce(&news),
        }
    });
}
