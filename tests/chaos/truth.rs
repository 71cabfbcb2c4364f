//! What has become of a disk, by what libvirt and qemu-img say afterwards.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use virtwire::constants::{DomainState, DomainXmlFlags};
use virtwire::{BlockJobInfo, Connection, DiskDescription, Domain, Error, Source, disks_from_xml};
use virtwire_lab::image;
use virtwire_tests::stage::layered::LayeredGuest;
use virtwire_tests::writer::Content;

use crate::operation::Work;

/// How long the daemon may take to see that QEMU is gone.
const NOTICE: Duration = Duration::from_secs(10);

/// What libvirt says of a guest when all clients have been told their part.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The live XML, of a guest that runs.
    pub(crate) live: Option<String>,
    /// The definition, of a persistent one.
    pub(crate) inactive: Option<String>,
    /// The jobs that are left, by their disks.
    pub(crate) jobs: Vec<(String, BlockJobInfo)>,
}

impl Seen {
    /// Asks. A guest that was stopped is waited for until libvirt knows.
    pub(crate) async fn of(
        guest: &LayeredGuest,
        connection: &Connection,
        stopped: bool,
    ) -> Result<Self, Error> {
        let domain = guest.domain.with_connection(connection);
        let running = running(&domain, stopped).await?;
        let mut seen = Self::default();
        if running {
            seen.live = Some(domain.xml(DomainXmlFlags::empty()).await?);
            for target in guest.disks.iter().map(|disk| &disk.target) {
                if let Some(info) = domain.disk(target).job_info().await? {
                    seen.jobs.push((target.clone(), info));
                }
            }
        }
        seen.inactive = match domain.is_persistent().await {
            Ok(true) => Some(domain.xml(DomainXmlFlags::INACTIVE).await?),
            Ok(false) => None,
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        };
        Ok(seen)
    }

    /// Whether a disk has a mirror and no job.
    pub(crate) fn has_stale_mirror(&self) -> bool {
        let live = self.live.as_deref().map(disks_from_xml);
        let disks = live.and_then(Result::ok).unwrap_or_default();
        let has_job = |target: &String| self.jobs.iter().any(|(job, _)| job == target);
        disks
            .iter()
            .any(|disk| disk.mirror.is_some() && !has_job(&disk.target))
    }

    /// The same for one disk.
    pub(crate) fn disk(&self, target: &str) -> DiskSeen {
        let find = |xml: &String| {
            let disks = disks_from_xml(xml).unwrap_or_default();
            disks.into_iter().find(|disk| disk.target == target)
        };
        let (live, inactive) = (
            self.live.as_ref().and_then(find),
            self.inactive.as_ref().and_then(find),
        );
        DiskSeen {
            live,
            defined: inactive
                .as_ref()
                .and_then(|disk| path(disk.source.as_ref())),
            persistent: self.inactive.is_some(),
            job: self.jobs.iter().any(|(job, _)| job == target),
        }
    }
}

async fn running(domain: &Domain, stopped: bool) -> Result<bool, Error> {
    let end = Instant::now() + NOTICE;
    loop {
        let running = match domain.status().await {
            Ok(status) => status.state != DomainState::SHUTOFF,
            Err(error) if error.is_not_found() => false,
            Err(error) => return Err(error),
        };
        if !(running && stopped) || Instant::now() > end {
            return Ok(running);
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// What libvirt says of one disk.
#[derive(Debug)]
pub(crate) struct DiskSeen {
    /// In the live XML.
    pub(crate) live: Option<DiskDescription>,
    /// The image that the definition names.
    pub(crate) defined: Option<PathBuf>,
    pub(crate) persistent: bool,
    /// A job is left.
    pub(crate) job: bool,
}

impl DiskSeen {
    pub(crate) fn has_mirror(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.mirror.is_some())
    }

    /// Whether there is a mirror and no job.
    pub(crate) fn is_stale(&self) -> bool {
        self.has_mirror() && !self.job
    }

    /// The images in the live XML, the active one first.
    pub(crate) fn chain(&self) -> Option<Vec<PathBuf>> {
        let live = self.live.as_ref()?;
        let sources = live.backing.iter().map(|layer| layer.source.as_ref());
        let sources = std::iter::once(live.source.as_ref()).chain(sources);
        Some(sources.filter_map(path).collect())
    }
}

fn path(source: Option<&Source>) -> Option<PathBuf> {
    source?.path().map(PathBuf::from)
}

/// What is in the images of one disk, once nobody uses them.
#[derive(Debug)]
pub(crate) struct Images {
    /// What the image that was active before stands on, itself first.
    pub(crate) chain: Vec<PathBuf>,
    /// What is wrong with the content of the image that was active before.
    pub(crate) before: Result<(), String>,
    /// The same of the image that is active if all is done.
    pub(crate) after: Result<(), String>,
}

impl Images {
    /// Reads them.
    pub(crate) fn of(work: &Work, expected: &Content) -> Self {
        let (Some(before), Some(after)) = (
            work.before().into_iter().next(),
            work.after().into_iter().next(),
        ) else {
            return Self {
                chain: Vec::new(),
                before: Ok(()),
                after: Ok(()),
            };
        };
        let content = compare(&before, expected);
        let chain = image::chain(&before).unwrap_or_default();
        Self {
            chain: chain
                .into_iter()
                .map(|info| info.path)
                .map(|path| simple(&path))
                .collect(),
            after: if after == before {
                content.clone()
            } else {
                compare(&after, expected)
            },
            before: content,
        }
    }
}

fn compare(image: &Path, expected: &Content) -> Result<(), String> {
    let found = image::content(image).map_err(|error| error.to_string())?;
    match expected.difference(&found) {
        None => Ok(()),
        Some(difference) => Err(format!("{}: {difference:?}", image.display())),
    }
}

/// Relative names of backing images come out with the directory of who names them.
fn simple(path: &Path) -> PathBuf {
    path.components().collect()
}
