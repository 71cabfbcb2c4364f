//! What went wrong that nobody meant to: defects of libvirtd and of QEMU.
//!
//! Jobs under stress find them. Such a scene is judged like one with the disturbance that it has
//! become, and counted apart.

use std::fmt;
use std::fs;
use std::time::Duration;

use tokio::task::block_in_place;
use tokio::time::{Instant, sleep};
use virtwire_lab::Daemon;

use crate::disturbance::Disturbance;
use crate::scene::Failure;

/// How long a daemon may take to die, from the first connection that it loses.
const DEATH: Duration = Duration::from_secs(3);

/// A defect that showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Accident {
    /// libvirtd died by itself.
    Libvirtd,
    /// libvirtd answered nobody after it was started again.
    StoodStill,
    /// QEMU died by itself.
    Qemu,
    /// libvirtd 9.0.0 writes a status without the name of a mirror's job while it takes the mirror
    /// down, and cannot read that when it is started again: it knows nothing of the guest then,
    /// which goes on.
    Forgotten,
    /// libvirtd was killed while QEMU answered it. Started again, it takes what is left of that
    /// answer for nonsense, and ends the guest.
    GivenUp,
    /// A job was over when libvirtd was started again, and its mirror stays in the XML.
    StaleMirror,
    /// A backup was announced to be complete, and libvirtd was killed at once: started again, it
    /// takes it for cancelled and removes what was written.
    BackupRemoved,
    /// libvirtd was killed while it started a job, knows only half of it since, and announces
    /// nothing about it any more. The handle says so, and the job is left.
    HalfStarted,
    /// The live XML has other images than the guest, since libvirtd was killed while a job ended.
    WrongXml,
    /// A job was complete, and tables of the image that it wrote to were in QEMU's memory alone when
    /// QEMU died, or when there was no room for them: data is lost.
    Unflushed,
    /// The guest's QEMU was gone, and libvirtd went on to wait for its answer.
    Waiting,
}

impl fmt::Display for Accident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Libvirtd => "libvirtd crashed",
            Self::StoodStill => "libvirtd stood still when it was started again",
            Self::Qemu => "QEMU crashed",
            Self::Forgotten => "libvirtd forgot the guest",
            Self::GivenUp => "libvirtd ended the guest when it was started again",
            Self::BackupRemoved => "libvirtd removed a backup that was complete",
            Self::HalfStarted => "libvirtd knows only half of a job",
            Self::WrongXml => "the live XML has other images than the guest",
            Self::Unflushed => "QEMU ended before it had written its tables",
            Self::Waiting => "libvirtd waited for a QEMU that was gone",
            Self::StaleMirror => "a mirror without a job is left",
        })
    }
}

/// Starts a daemon again that has died.
pub(crate) fn restart_if_dead(daemon: &mut Daemon) -> Result<Vec<Accident>, Failure> {
    if daemon.is_alive() {
        return Ok(Vec::new());
    }
    let mut accidents = restart(daemon)?;
    accidents.insert(0, Accident::Libvirtd);
    Ok(accidents)
}

/// Starts a daemon that does not run. It may die anew while it takes up the guests that it died of,
/// or stand still.
pub(crate) fn restart(daemon: &mut Daemon) -> Result<Vec<Accident>, Failure> {
    let mut accidents = Vec::new();
    for _ in 0..5 {
        match daemon.restart() {
            Ok(()) => return Ok(accidents),
            Err(virtwire_lab::Error::NotReady { .. }) => accidents.push(Accident::StoodStill),
            Err(_) => accidents.push(Accident::Libvirtd),
        }
    }
    Err("libvirtd cannot be started any more".into())
}

/// Starts the daemon again if a step failed because it has died; any other failure is one.
pub(crate) async fn revive(
    daemon: &mut Daemon,
    accidents: &mut Vec<Accident>,
    failure: Failure,
) -> Result<(), Failure> {
    let end = Instant::now() + DEATH;
    // Its connections are closed before it is gone.
    while daemon.is_alive() {
        if Instant::now() > end {
            return Err(failure);
        }
        sleep(Duration::from_millis(10)).await;
    }
    accidents.extend(block_in_place(|| restart_if_dead(daemon))?);
    Ok(())
}

/// Whether a guest goes on without libvirtd's knowledge; it does not then any more.
pub(crate) fn forgotten(daemon: &Daemon, guest: &str) -> Option<Accident> {
    let log = fs::read(daemon.log_path()).unwrap_or_default();
    let complaint = format!("Failed to load config for domain '{guest}'");
    let forgotten = String::from_utf8_lossy(&log).contains(&complaint);
    forgotten.then(|| {
        // It may have ended meanwhile.
        let _ = daemon.kill_guest(guest);
        Accident::Forgotten
    })
}

/// Whether a guest ended by something else than the disturbance.
pub(crate) fn guest(daemon: &Daemon, guest: &str, disturbance: Disturbance) -> Option<Accident> {
    let log = daemon.dir().join(format!("log/libvirt/qemu/{guest}.log"));
    let log = fs::read(log).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let crashed = log.contains("reason=crashed") && disturbance != Disturbance::KillQemu;
    let given_up = log.contains("reason=daemon");
    if crashed {
        Some(Accident::Qemu)
    } else {
        given_up.then_some(Accident::GivenUp)
    }
}

impl Accident {
    /// Whether the guest does not run any more because of it.
    pub(crate) fn stops_the_guest(self) -> bool {
        matches!(self, Self::Qemu | Self::Forgotten | Self::GivenUp)
    }
}
