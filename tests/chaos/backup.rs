//! A backup's course, and what must be so after it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};
use virtwire::{
    BackupJob, BackupOutcome, BackupServer, BackupXml, Disk, Domain, Error, PullBackup, PullDisk,
    PushBackup, PushDisk,
};
use virtwire_lab::image;
use virtwire_tests::writer::Content;

use crate::accident::Accident;
use crate::course::{Course, later};
use crate::disturbance::Disturbance;
use crate::operation::{Operation, Work};
use crate::truth::{DiskSeen, Images};

/// How long a backup may go on after all has been asked that there is to ask.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a client has a backup open beyond what it takes to fetch a small disk.
const FETCHING: Duration = Duration::from_millis(60);
/// How long one may begin to run after the client that started it has lost its connection.
const BELATED: Duration = Duration::from_secs(3);

impl Work {
    fn backup(&self, target: &str) -> BackupXml {
        if self.operation == Operation::PushBackup {
            let to = PushDisk::file(self.path("copy")).format("qcow2");
            return PushBackup::new().disk(target, to).into();
        }
        let server = BackupServer::unix(self.nbd_socket().to_string_lossy());
        let scratch = PullDisk::scratch_file(self.path("scratch")).export_name("disk");
        PullBackup::new(server).disk(target, scratch).into()
    }

    fn nbd_socket(&self) -> PathBuf {
        self.chain.dir().join("nbd")
    }
}

impl Course {
    /// As [`run`](Self::run), of a backup.
    pub(crate) async fn back_up(&mut self, disk: &Disk) {
        let backup = disk.domain().backup(self.work.backup(disk.path()));
        match backup.start().await {
            Ok(job) => {
                self.note("backup started");
                self.started.add_permits(1);
                // It may be over.
                let _ = disk.set_job_speed(self.work.bandwidth).await;
                self.told.backup = self.follow_backup(&job).await;
            }
            Err(error) => self.not_started(error),
        }
        self.look_for_backup(disk).await;
    }

    async fn follow_backup(&mut self, job: &BackupJob) -> Option<BackupOutcome> {
        let is_pull = self.work.operation == Operation::PullBackup;
        let socket = is_pull.then(|| self.work.nbd_socket());
        let naturally = naturally(job, socket);
        let cancelling = async {
            if self.disturbance != Disturbance::Cancel {
                return None;
            }
            Some(later(self.moment.after, job.cancel()).await)
        };
        let ((fetched, ended), cancelled) = tokio::join!(naturally, cancelling);
        self.told.fetched = fetched;
        for answer in std::iter::once(ended).chain(cancelled) {
            match answer {
                Ok(outcome) => self.note(format!("told: {outcome}")),
                Err(error) if self.disturbance.explains_vanished() => self.note(error),
                Err(error) => self.complain(format!("backup: {error}")),
            }
        }
        let Ok(outcome) = timeout(PATIENCE, job.wait()).await else {
            self.complain("no outcome of the backup".to_owned());
            return None;
        };
        self.note(format!("outcome: {outcome}"));
        Some(outcome)
    }

    async fn look_for_backup(&mut self, disk: &Disk) {
        let vanished = matches!(self.told.backup, Some(BackupOutcome::Vanished(_)));
        let in_doubt = self.is_in_doubt();
        if self.disturbance.stops_the_guest() || !(vanished || in_doubt) {
            return;
        }
        let Some(connection) = self.connect().await else {
            return;
        };
        let domain = disk.domain().with_connection(&connection);
        match find(&domain, in_doubt).await {
            Ok(Some(job)) => {
                self.note("attached to the backup");
                let is_pull = self.work.operation == Operation::PullBackup;
                let ended = if is_pull {
                    job.finish().await
                } else {
                    Ok(job.wait().await)
                };
                match ended {
                    Ok(outcome) => self.note(format!("attached: {outcome}")),
                    Err(error) => self.complain(format!("attached: {error}")),
                }
            }
            Ok(None) => self.note("no backup to attach to"),
            Err(error) => self.complain(format!("attach: {error}")),
        }
    }
}

/// What happens if nothing comes between: in pull mode the disk is fetched, and that is all.
async fn naturally(
    job: &BackupJob,
    socket: Option<PathBuf>,
) -> (Option<Vec<u8>>, Result<BackupOutcome, Error>) {
    let Some(socket) = socket else {
        return (None, Ok(job.wait().await));
    };
    let address = format!("nbd+unix:///disk?socket={}", socket.display());
    let fetching = spawn_blocking(move || image::content(Path::new(&address)));
    let fetched = fetching.await.ok().and_then(Result::ok);
    // Whoever fetches real disks takes longer.
    sleep(FETCHING).await;
    (fetched, job.finish().await)
}

async fn find(domain: &Domain, in_doubt: bool) -> Result<Option<BackupJob>, Error> {
    let patience = if in_doubt { BELATED } else { Duration::ZERO };
    let end = Instant::now() + patience;
    loop {
        let found = domain.backup_job().await;
        if !matches!(found, Ok(None)) || Instant::now() >= end {
            return found;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Everything that should not be so: the disk is as if nothing had been done, and a backup that
/// has completed has what the disk had then.
pub(crate) fn surprises(
    course: &Course,
    accidents: &[Accident],
    seen: &DiskSeen,
    images: &Images,
    copied: &Content,
) -> Vec<String> {
    let (told, disturbance) = (&course.told, course.disturbance);
    let mut surprises = Vec::new();
    if accidents.is_empty() {
        surprises.extend(told.complaints.iter().cloned());
    }
    let explained = match &told.backup {
        Some(BackupOutcome::Completed) => true,
        Some(BackupOutcome::Cancelled) => disturbance.cancels(),
        Some(BackupOutcome::Failed(_)) => {
            // What libvirt lost of a backup when it was killed it takes for cancelled.
            disturbance.is_of_storage()
                || disturbance.stops_the_guest()
                || disturbance.kills_the_daemon()
        }
        Some(_) => disturbance.explains_vanished(),
        None => told.refused.is_some(),
    };
    if !explained && accidents.is_empty() {
        surprises.push(format!("nothing explains {:?}", told.backup));
    }
    if seen
        .chain()
        .is_some_and(|chain| chain != course.work.before())
        || seen.job
    {
        surprises.push(format!("the disk is another, or a job is left: {seen:?}"));
    }
    surprises.extend(images.before.clone().err());
    if told.backup == Some(BackupOutcome::Completed)
        && !is_unflushed(course, accidents, copied)
        && !is_removed(course)
    {
        surprises.extend(copy(course, copied).err());
    }
    surprises
}

/// Whether QEMU was killed with tables of a backup in its memory that was said to be complete.
pub(crate) fn is_unflushed(course: &Course, accidents: &[Accident], copied: &Content) -> bool {
    let is_push = course.work.operation == Operation::PushBackup;
    let completed = course.told.backup == Some(BackupOutcome::Completed);
    let killed = course.disturbance == Disturbance::KillQemu || accidents.contains(&Accident::Qemu);
    is_push && completed && killed && copy(course, copied).is_err()
}

/// Whether a libvirtd that was killed has forgotten that a backup was complete.
pub(crate) fn is_removed(course: &Course) -> bool {
    let is_push = course.work.operation == Operation::PushBackup;
    let completed = course.told.backup == Some(BackupOutcome::Completed);
    let killed = course.disturbance.kills_the_daemon();
    is_push && completed && killed && !course.work.destination().exists()
}

fn copy(course: &Course, expected: &Content) -> Result<(), String> {
    let found = match &course.told.fetched {
        Some(fetched) => fetched.clone(),
        // It was not fetched, since somebody cancelled or struck first.
        None if course.work.operation == Operation::PullBackup => return Ok(()),
        None => {
            let content = image::content(&course.work.destination());
            content.map_err(|error| error.to_string())?
        }
    };
    match expected.difference(&found) {
        None => Ok(()),
        Some(difference) => Err(format!("the backup: {difference:?}")),
    }
}
