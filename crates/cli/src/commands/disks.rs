//! `domblklist`.

use serde_json::{Value, json};
use virtwire::constants::DomainXmlFlags;
use virtwire::{
    Connection, DiskDescription, Layer, Mirror, MirrorJob, MirrorReady, NetworkHost, Source,
};

use super::{find, with_identity};
use crate::args::Domblklist;
use crate::failure::Failure;
use crate::output::{Report, Table};

/// Lists the disks of a domain.
pub(super) async fn list(connection: &Connection, args: &Domblklist) -> Result<Report, Failure> {
    let domain = find(connection, &args.target.domain).await?;
    let mut flags = DomainXmlFlags::empty();
    flags.set(DomainXmlFlags::INACTIVE, args.inactive);
    let disks = domain.disks(flags).await?;
    let heading: &[&str] = if args.details {
        &["Type", "Device", "Target", "Source"]
    } else {
        &["Target", "Source"]
    };
    let mut table = Table::new(heading);
    for disk in &disks {
        let source = disk.source.as_ref().and_then(source_text);
        let source = source.as_deref().unwrap_or("-");
        if args.details {
            table.row(&[
                disk.source_kind.as_str(),
                disk.device.name(),
                &disk.target,
                source,
            ]);
        } else {
            table.row(&[disk.target.as_str(), source]);
        }
    }
    let disks: Vec<_> = disks.iter().map(disk_json).collect();
    Ok(Report::table(
        with_identity(&domain, json!({ "disks": disks })),
        table,
    ))
}

/// The source in one word, as virsh shows it.
fn source_text(source: &Source) -> Option<String> {
    match source {
        Source::Network { name, .. } => name.clone(),
        Source::Volume { volume, .. } => Some(volume.clone()),
        Source::Nvme {
            namespace: Some(namespace),
            address: Some(address),
        } => Some(format!("nvme://{address}/{namespace}")),
        other => other.path().map(str::to_owned),
    }
}

fn disk_json(disk: &DiskDescription) -> Value {
    json!({
        "target": disk.target,
        "device": disk.device.name(),
        "type": disk.source_kind,
        "source": disk.source.as_ref().map(source_json),
        "format": disk.format,
        "index": disk.index,
        "bus": disk.bus,
        "alias": disk.alias,
        "read_only": disk.read_only,
        "shareable": disk.shareable,
        "transient": disk.transient,
        "backing": disk.backing.iter().map(layer_json).collect::<Vec<_>>(),
        "backing_known": disk.backing_known,
        "mirror": disk.mirror.as_ref().map(mirror_json),
    })
}

fn layer_json(layer: &Layer) -> Value {
    json!({
        "index": layer.index,
        "format": layer.format,
        "source": layer.source.as_ref().map(source_json),
    })
}

fn mirror_json(mirror: &Mirror) -> Value {
    let job = match &mirror.job {
        MirrorJob::Copy => "copy",
        MirrorJob::ActiveCommit => "active-commit",
        MirrorJob::Other(name) => name,
        _ => "",
    };
    let ready = match &mirror.ready {
        MirrorReady::Yes => "yes",
        MirrorReady::Abort => "abort",
        MirrorReady::Pivot => "pivot",
        MirrorReady::Other(state) => state,
        _ => "no",
    };
    json!({
        "job": job,
        "ready": ready,
        "format": mirror.format,
        "source": mirror.source.as_ref().map(source_json),
    })
}

fn source_json(source: &Source) -> Value {
    let kind = source.kind();
    match source {
        Source::Network {
            protocol,
            name,
            hosts,
        } => {
            let hosts: Vec<_> = hosts.iter().map(host_json).collect();
            json!({ "type": kind, "protocol": protocol, "name": name, "hosts": hosts })
        }
        Source::Volume { pool, volume } => json!({ "type": kind, "pool": pool, "volume": volume }),
        Source::Nvme { namespace, address } => {
            json!({ "type": kind, "namespace": namespace, "address": address })
        }
        other => json!({ "type": kind, "path": other.path() }),
    }
}

fn host_json(host: &NetworkHost) -> Value {
    json!({
        "name": host.name,
        "port": host.port,
        "transport": host.transport,
        "socket": host.socket,
    })
}
