//! `backup-begin` and `backup-dumpxml`.

use serde_json::json;
use virtwire::constants::DomainBackupBeginFlags;
use virtwire::{Connection, remote};

use super::xml::read;
use super::{find, wire, with_identity};
use crate::args::BackupBegin;
use crate::failure::Failure;
use crate::output::Report;

/// What libvirt makes of this: a push backup of all disks to files whose names it chooses.
const OF_ALL_DISKS: &str = "<domainbackup/>";

pub(super) async fn begin(connection: &Connection, args: &BackupBegin) -> Result<Report, Failure> {
    let domain = find(connection, &args.target.domain).await?;
    let (backup, checkpoint) = args.files();
    let backup = match backup {
        Some(file) => read(file)?,
        None => OF_ALL_DISKS.to_owned(),
    };
    let checkpoint = checkpoint.map(read).transpose()?;
    let mut flags = DomainBackupBeginFlags::empty();
    flags.set(DomainBackupBeginFlags::REUSE_EXTERNAL, args.reuse_external);
    let call = remote::DomainBackupBeginArgs {
        dom: wire(&domain),
        backup_xml: backup.as_str().into(),
        checkpoint_xml: checkpoint.as_deref().map(Into::into),
        flags: flags.bits(),
    };
    connection.call::<remote::DomainBackupBegin>(call).await?;
    let json = with_identity(&domain, json!({ "started": true }));
    // virsh says this with --quiet as well.
    Ok(Report::data(json, "Backup started"))
}

pub(super) async fn dump(connection: &Connection, name: &str) -> Result<Report, Failure> {
    let domain = find(connection, name).await?;
    let xml = domain.backup_xml().await?;
    let json = with_identity(&domain, json!({ "xml": xml }));
    Ok(Report::document(json, xml))
}
