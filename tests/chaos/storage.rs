//! The images of a scene's disks, sound or not.

use std::path::{Path, PathBuf};
use std::process::Command;

use virtwire_lab::chain::{CLUSTER, Place};
use virtwire_lab::image::{self, Spoilt};
use virtwire_lab::{Chain, Error};
use virtwire_tests::stage::layered::copy_inside;

use crate::disturbance::Disturbance;
use crate::lane::{Lane, SIZE};
use crate::operation::{Operation, Work};
use crate::schedule::Moment;

/// What has to be undone before the images can be read.
#[derive(Debug, Default)]
pub(crate) struct Storage {
    mounted: Vec<PathBuf>,
    spoilt: Vec<Spoilt>,
}

impl Storage {
    /// Makes the chain of one disk.
    pub(crate) fn chain(
        &mut self,
        lane: &Lane,
        name: &str,
        disturbance: Disturbance,
        moment: &Moment,
    ) -> Result<Chain, Error> {
        if disturbance != Disturbance::NoRoom {
            return lane.template.copy_to(&lane.daemon.images_dir().join(name));
        }
        let dir = lane.daemon.mount(name)?;
        self.mounted.push(dir.clone());
        let chain = copy_inside(&lane.daemon, &lane.template, &dir)?;
        // From next to nothing to what is enough for some.
        let room = (1 + moment.choice % 24) * CLUSTER;
        lane.daemon.leave_room(&dir, room)?;
        Ok(chain)
    }

    /// Makes a cluster bad where it hurts the work and not what the guest reads.
    pub(crate) fn spoil(&mut self, work: &Work, moment: &Moment) -> Result<(), Error> {
        let (image, place) = match work.operation {
            // QEMU 10.0 dies of an image that it finds out to be bad while it writes to it, so only
            // a copy meets that; the others cannot read what they are to write.
            Operation::Pull => (work.chain.image("base"), Place::Lowest),
            Operation::PartialPull => (work.chain.image("mid"), Place::BelowActive),
            Operation::InnerCommit => (work.chain.image("mid"), Place::Everywhere),
            operation if operation.is_active_commit() => {
                (work.chain.image("mid"), Place::BelowActive)
            }
            _ => {
                let destination = work.destination();
                destination_of_copy(&destination, work.shallow.then_some("mid.qcow2"))?;
                (destination, Place::Everywhere)
            }
        };
        let groups = SIZE / CLUSTER / 8;
        let offset = place.in_group(moment.choice % groups);
        self.spoilt.push(image::spoil(&image, offset)?);
        Ok(())
    }

    /// Makes all images sound again, as far as they can be.
    pub(crate) fn mend(self, lane: &Lane) -> Result<(), Error> {
        for dir in self.mounted {
            lane.daemon.unmount(&dir)?;
        }
        for spoilt in self.spoilt {
            spoilt.mend()?;
        }
        Ok(())
    }
}

/// An image with all the clusters that it takes to spoil one of them.
pub(crate) fn destination_of_copy(path: &Path, backing: Option<&str>) -> Result<(), Error> {
    let mut create = Command::new("qemu-img");
    create.args(["create", "-q", "-f", "qcow2"]);
    if let Some(backing) = backing {
        create.args(["-F", "qcow2", "-b", backing]);
    }
    image::run(create.arg(path).arg(SIZE.to_string()))?;
    let mut write = Command::new("qemu-io");
    write.args(["-f", "qcow2"]);
    for group in 0..SIZE / CLUSTER / 8 {
        let offset = Place::Everywhere.in_group(group);
        write.args(["-c", &format!("write -q -P 1 {offset} {CLUSTER}")]);
    }
    image::run(write.arg(path))
}
