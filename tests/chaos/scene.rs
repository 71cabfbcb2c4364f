//! One guest, its disks, and what happens to them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{JoinSet, block_in_place};
use tokio::time::{Instant, sleep, timeout};
use virtwire::constants::{DomainDestroyFlags, DomainUndefineFlags, ErrorCode};
use virtwire::{Bandwidth, Error};
use virtwire_tests::random::Random;
use virtwire_tests::stage::layered::{LayeredDisk, LayeredGuest, Life};
use virtwire_tests::writer::{Entry, Writer};

use crate::accident::{self, Accident, restart, restart_if_dead, revive};
use crate::backup;
use crate::course::{Course, Told};
use crate::disturbance::Disturbance;
use crate::lane::{Lane, SIZE};
use crate::operation::Work;
use crate::oracle;
use crate::schedule::{Moment, Scene};
use crate::storage::{Storage, destination_of_copy};
use crate::truth::{Images, Seen};

/// How long jobs may take to start before something happens to them.
const STARTED: Duration = Duration::from_secs(5);
/// How often is looked whether the daemon is there.
const WATCH: Duration = Duration::from_millis(200);
/// How often a guest writes to each disk: a few clusters in this time are less than the slowest job
/// copies, so that every mirror gets ready some time.
const REWRITE: Duration = Duration::from_millis(40);
/// How long a guest writes to its disks after the last job was over.
const AFTERWARDS: Duration = Duration::from_millis(50);

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What became of a scene.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) scene: Scene,
    pub(crate) runs: Vec<Run>,
    pub(crate) seen: Seen,
    pub(crate) writes: Vec<Entry>,
    pub(crate) accidents: Vec<Accident>,
}

/// What became of one disk.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) course: Course,
    pub(crate) images: Images,
    pub(crate) surprises: Vec<String>,
}

/// Plays a scene, and looks at what has come of it.
pub(crate) async fn play(lane: &mut Lane, scene: Scene) -> Result<Report, Failure> {
    let mut random = Random::new(scene.seed);
    let mut either = || random.below(2) == 0;
    let life = if either() {
        Life::Persistent
    } else {
        Life::Transient
    };
    let writes = either() && !scene.disturbance.is_of_storage();
    let moments = (0..scene.disks).map(|_| Moment::draw(&mut random, scene.operation));
    let moments: Vec<_> = moments.collect();

    // What the scene before has done to it may have killed it only now.
    let mut accidents = block_in_place(|| restart_if_dead(&mut lane.daemon))?;
    let mut storage = Storage::default();
    let works = block_in_place(|| works(lane, &scene, life, &moments, &mut storage))?;
    let guest = start(lane, &scene, life, &works).await?;
    let writer = writes.then(|| {
        let targets = guest.disks.iter().map(|disk| disk.target.clone());
        let pause = REWRITE / u32::from(scene.disks);
        Writer::start(&guest.monitor, targets.collect(), SIZE, scene.seed, pause)
    });

    let courses = perform(lane, &scene, &guest, works, &moments, &mut accidents).await?;
    let (seen, since) = loop {
        match look(lane, &scene, &guest, &accidents).await {
            Ok(seen) => break seen,
            Err(failure) => revive(&mut lane.daemon, &mut accidents, failure).await?,
        }
    };
    accidents.extend(since);
    sleep(if writes { AFTERWARDS } else { Duration::ZERO }).await;
    let writes = writer.map(|writer| block_in_place(|| writer.stop()));
    while let Err(failure) = end(lane, &guest).await {
        revive(&mut lane.daemon, &mut accidents, failure).await?;
    }

    let mut report = Report {
        scene,
        runs: Vec::new(),
        seen,
        writes: writes.unwrap_or_default(),
        accidents,
    };
    block_in_place(|| {
        storage.mend(lane)?;
        for (number, course) in courses.into_iter().enumerate() {
            let target = &guest.disks[number].target;
            let run = judge(lane, &mut report, number, target, course);
            report.runs.push(run);
        }
        Ok(report)
    })
}

async fn start(
    lane: &Lane,
    scene: &Scene,
    life: Life,
    works: &[Work],
) -> Result<LayeredGuest, Failure> {
    let observer = lane.observer().await?;
    let chains = works.iter().map(|work| work.chain.clone()).zip(0..);
    let disks = chains.map(|(chain, number)| LayeredDisk::number(number, chain));
    let (daemon, disks) = (&lane.daemon, disks.collect());
    Ok(LayeredGuest::start(daemon, &observer, &scene.name(), life, disks).await?)
}

/// Sees what libvirt says, and which defects have shown since those that are known.
async fn look(
    lane: &mut Lane,
    scene: &Scene,
    guest: &LayeredGuest,
    known: &[Accident],
) -> Result<(Seen, Vec<Accident>), Failure> {
    let (name, disturbance) = (guest.domain.name(), scene.disturbance);
    let mut accidents = block_in_place(|| restart_if_dead(&mut lane.daemon))?;
    accidents.extend(accident::guest(&lane.daemon, name, disturbance));
    accidents.extend(accident::forgotten(&lane.daemon, name));
    let mut defects = known.iter().chain(&accidents);
    let has_died = defects.any(|defect| defect.stops_the_guest());
    let stopped = disturbance.stops_the_guest() || has_died;
    let observer = lane.observer().await?;
    let seen = Seen::of(guest, &observer, stopped).await?;
    if disturbance.kills_the_daemon() && seen.has_stale_mirror() {
        accidents.push(Accident::StaleMirror);
    }
    Ok((seen, accidents))
}

/// Holds what a client was told against everything else.
fn judge(lane: &Lane, report: &mut Report, number: usize, target: &str, course: Course) -> Run {
    let mut expected = lane.content.clone();
    expected.apply(&report.writes, number);
    let images = Images::of(&course.work, &expected);
    if oracle::is_unflushed(&course, &report.accidents, &images) {
        report.accidents.push(Accident::Unflushed);
    }
    let disk = report.seen.disk(target);
    if oracle::is_wrong_xml(&course, &disk, &images) {
        report.accidents.push(Accident::WrongXml);
    }
    if oracle::is_half_started(&course, &disk) {
        report.accidents.push(Accident::HalfStarted);
    }
    let surprises = if report.scene.operation.is_backup() {
        let mut copied = lane.content.clone();
        copied.doubt(&report.writes, number);
        if backup::is_unflushed(&course, &report.accidents, &copied) {
            report.accidents.push(Accident::Unflushed);
        }
        if backup::is_removed(&course) {
            report.accidents.push(Accident::BackupRemoved);
        }
        backup::surprises(&course, &report.accidents, &disk, &images, &copied)
    } else {
        oracle::surprises(&course, &report.accidents, &disk, &images)
    };
    Run {
        course,
        images,
        surprises,
    }
}

/// What is done to each disk, on images of its own.
fn works(
    lane: &Lane,
    scene: &Scene,
    life: Life,
    moments: &[Moment],
    storage: &mut Storage,
) -> Result<Vec<Work>, Failure> {
    let mut works = Vec::new();
    for (number, moment) in moments.iter().enumerate() {
        let name = format!("{}-{number}", scene.name());
        let chain = storage.chain(lane, &name, scene.disturbance, moment)?;
        let is_bad = scene.disturbance == Disturbance::BadCluster;
        // libvirt waits for ever for the creation of an image by a QEMU that is no more.
        let is_killed = scene.disturbance == Disturbance::KillQemu && scene.operation.is_copy();
        let bandwidth = moment.bandwidth.map(Bandwidth::mib_per_s).transpose()?;
        // A shallow commit reads the image alone that the guest writes to.
        let shallow = moment.shallow && !(is_bad && scene.operation.is_active_commit());
        let reuse = is_bad || is_killed;
        let work = Work {
            operation: scene.operation,
            chain,
            life,
            shallow,
            // Refused where QEMU would lose data.
            synchronous: moment.synchronous && !(shallow && reuse),
            reuse,
            bandwidth: bandwidth.unwrap_or(Bandwidth::UNLIMITED),
        };
        if is_killed {
            destination_of_copy(&work.destination(), work.shallow.then_some("mid.qcow2"))?;
        }
        if is_bad {
            storage.spoil(&work, moment)?;
        }
        works.push(work);
    }
    Ok(works)
}

/// Has the clients do their part, and strikes when it is time.
async fn perform(
    lane: &mut Lane,
    scene: &Scene,
    guest: &LayeredGuest,
    works: Vec<Work>,
    moments: &[Moment],
    accidents: &mut Vec<Accident>,
) -> Result<Vec<Course>, Failure> {
    let disturbance = scene.disturbance;
    let relayed = disturbance.cuts();
    if relayed {
        lane.join().await?;
    }
    let uri = if relayed {
        lane.relayed_uri()
    } else {
        lane.uri()
    };
    let client = Lane::client(&uri, disturbance.lasts()).await?;
    let domain = guest.domain.with_connection(&client);
    let began = Instant::now();
    let started = Arc::new(Semaphore::new(0));
    let mut courses = JoinSet::new();
    for (number, (work, moment)) in works.into_iter().zip(moments).enumerate() {
        let course = Course {
            work,
            disturbance,
            moment: *moment,
            uri: lane.uri(),
            began,
            started: Arc::clone(&started),
            told: Told::default(),
        };
        let disk = domain.disk(&guest.disks[number].target);
        courses.spawn(async move { (number, course.run(disk).await) });
    }
    if disturbance.is_common() {
        strike_time(&started, moments).await;
        let pause = moments
            .first()
            .map_or(Duration::ZERO, |moment| moment.apart);
        strike(lane, disturbance, guest, accidents, pause).await?;
    }
    let mut ended = Vec::new();
    while !courses.is_empty() {
        tokio::select! {
            Some(course) = courses.join_next() => ended.push(course?),
            () = sleep(WATCH) => accidents.extend(block_in_place(|| restart_if_dead(&mut lane.daemon))?),
        }
    }
    let mut courses: Vec<_> = ended;
    courses.sort_by_key(|(number, _)| *number);
    lane.cut();
    Ok(courses.into_iter().map(|(_, course)| course).collect())
}

/// Waits for the moment to strike: some of the jobs have been started, so that they are at places
/// of their own, and others may just be.
async fn strike_time(started: &Semaphore, moments: &[Moment]) {
    let Some(moment) = moments.first() else {
        return;
    };
    let half = moments.len().div_ceil(2);
    let choice = usize::try_from(moment.choice >> 32).unwrap_or_default();
    let wanted = half + choice % (moments.len() - half + 1);
    let wanted = u32::try_from(wanted).unwrap_or_default();
    // One that cannot be started in this time is struck while it waits.
    let _ = timeout(STARTED, started.acquire_many(wanted)).await;
    let pause = match moment.choice % 4 {
        0 => Duration::ZERO,
        1 => moment.apart,
        _ => moment.after / 2,
    };
    sleep(pause).await;
}

/// What happens to the guest, the daemon or the connection.
async fn strike(
    lane: &mut Lane,
    disturbance: Disturbance,
    guest: &LayeredGuest,
    accidents: &mut Vec<Accident>,
    pause: Duration,
) -> Result<(), Failure> {
    match disturbance {
        Disturbance::Destroy => {
            while let Err(error) = destroy(lane, guest).await {
                if error.has_code(ErrorCode::OPERATION_TIMEOUT) {
                    accidents.push(Accident::Waiting);
                    block_in_place(|| lane.daemon.kill())?;
                    accidents.extend(block_in_place(|| restart(&mut lane.daemon))?);
                } else {
                    revive(&mut lane.daemon, accidents, error.into()).await?;
                }
            }
        }
        Disturbance::KillQemu => block_in_place(|| lane.daemon.kill_guest(guest.domain.name()))?,
        _ if disturbance.kills_the_daemon() => {
            block_in_place(|| lane.daemon.kill())?;
            sleep(pause * 20).await;
            accidents.extend(block_in_place(|| restart(&mut lane.daemon))?);
        }
        _ if disturbance.cuts() => {
            lane.cut();
            sleep(pause * 20).await;
            lane.join().await?;
        }
        _ => {}
    }
    Ok(())
}

async fn destroy(lane: &Lane, guest: &LayeredGuest) -> Result<(), Error> {
    let domain = guest.domain.with_connection(&lane.observer().await?);
    match domain.destroy(DomainDestroyFlags::empty()).await {
        // It has stopped by itself.
        Err(error) if error.is_not_found() || error.has_code(ErrorCode::OPERATION_INVALID) => {
            Ok(())
        }
        done => done,
    }
}

/// Stops the guest if it runs, and forgets it.
async fn end(lane: &Lane, guest: &LayeredGuest) -> Result<(), Failure> {
    destroy(lane, guest).await?;
    let domain = guest.domain.with_connection(&lane.observer().await?);
    match domain.undefine(DomainUndefineFlags::empty()).await {
        Err(error) if !error.is_not_found() => Err(error.into()),
        _ => Ok(()),
    }
}
