//! `domblkinfo`, `domblkthreshold` and `blockresize`.

use serde_json::{Value, json};
use virtwire::constants::{DomainXmlFlags, ErrorCode, ErrorDomain};
use virtwire::{BlockInfo, Connection, DiskDescription, Domain, Error, Source};

use super::{disk, find, with_disk, with_identity};
use crate::args::{Blockresize, Domblkinfo, Domblkthreshold};
use crate::failure::Failure;
use crate::output::{Lines, Report, Table, scaled};

/// Shows the sizes of one disk, or of all.
pub(super) async fn info(connection: &Connection, args: &Domblkinfo) -> Result<Report, Failure> {
    let domain = find(connection, &args.target.domain).await?;
    let Some(path) = args.path.as_deref().or(args.device.as_deref()) else {
        return all(&domain, args.human).await;
    };
    let disk = domain.disk(path);
    let info = disk.info().await?;
    let mut lines = Lines::default();
    let [capacity, allocation, physical] = cells(Some(&info), args.human);
    lines.add("Capacity:", &capacity);
    lines.add("Allocation:", &allocation);
    lines.add("Physical:", &physical);
    let json = with_disk(&disk, json!({ "sizes": sizes_json(&info) }));
    Ok(Report::data(json, lines.text()))
}

async fn all(domain: &Domain, human: bool) -> Result<Report, Failure> {
    let disks = domain.disks(DomainXmlFlags::empty()).await?;
    let mut table = Table::new(&["Target", "Capacity", "Allocation", "Physical"]);
    let mut documents = Vec::with_capacity(disks.len());
    for disk in &disks {
        let info = sizes(domain, disk).await?;
        let [capacity, allocation, physical] = cells(info.as_ref(), human);
        table.row(&[disk.target.as_str(), &capacity, &allocation, &physical]);
        let sizes = info.as_ref().map(sizes_json);
        documents.push(json!({ "disk": disk.target, "sizes": sizes }));
    }
    let json = with_identity(domain, json!({ "disks": documents }));
    Ok(Report::table(json, table))
}

/// The sizes of a disk; `None` where nothing is in the drive, and where the hypervisor would have
/// to run to ask another host.
async fn sizes(domain: &Domain, disk: &DiskDescription) -> Result<Option<BlockInfo>, Failure> {
    let Some(source) = &disk.source else {
        return Ok(None);
    };
    match domain.disk(&disk.target).info().await {
        Ok(info) => Ok(Some(info)),
        Err(error) if matches!(source, Source::Network { .. }) && storage_refused(&error) => {
            if domain.id().is_some() {
                return Err(error.into());
            }
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn storage_refused(error: &Error) -> bool {
    error.remote().is_some_and(|remote| {
        remote.code == ErrorCode::INTERNAL_ERROR && remote.domain == ErrorDomain::STORAGE
    })
}

/// As virsh prints them: a dash for nothing.
fn cells(info: Option<&BlockInfo>, human: bool) -> [String; 3] {
    let sizes = info.map(|info| [info.capacity, info.allocation, info.physical]);
    match sizes {
        None | Some([0, 0, 0]) => [(); 3].map(|()| "-".to_owned()),
        Some(sizes) if human => sizes.map(|size| {
            let (value, unit) = scaled(size);
            format!("{value:.3} {unit}")
        }),
        Some(sizes) => sizes.map(|size| size.to_string()),
    }
}

fn sizes_json(info: &BlockInfo) -> Value {
    json!({
        "capacity": info.capacity,
        "allocation": info.allocation,
        "physical": info.physical,
    })
}

pub(super) async fn threshold(
    connection: &Connection,
    args: &Domblkthreshold,
) -> Result<Report, Failure> {
    let domain = find(connection, &args.target.domain).await?;
    let disk = domain.disk(&args.dev);
    disk.set_threshold(args.threshold).await?;
    let json = json!({ "threshold": args.threshold });
    Ok(Report::silent(with_disk(&disk, json)))
}

pub(super) async fn resize(connection: &Connection, args: &Blockresize) -> Result<Report, Failure> {
    let disk = disk(connection, &args.disk).await?;
    let path = disk.path();
    disk.resize(args.size)
        .await
        .map_err(Failure::doing(format!(
            "failed to resize block device '{path}'"
        )))?;
    let text = format!("Block device '{path}' is resized");
    Ok(Report::message(
        with_disk(&disk, json!({ "capacity": args.size })),
        text,
    ))
}
