//! What the XML says of a guest's images, and one more of them.

use virtwire::constants::{DomainDefineFlags, DomainXmlFlags};
use virtwire::{DiskDescription, Domain, Layer, remote};

use crate::{Guest, Stage};

/// The disk `vda` in the live XML.
pub(crate) async fn vda(domain: &Domain) -> DiskDescription {
    let disks = domain.disks(DomainXmlFlags::empty()).await.unwrap();
    let vda = disks.into_iter().find(|disk| disk.target == "vda");
    vda.expect("a disk vda")
}

/// The path of the active image in the live XML.
pub(crate) async fn active(guest: &Guest) -> String {
    let source = vda(&guest.domain).await.source.unwrap();
    source.path().unwrap().to_owned()
}

/// The paths of the backing chain in the live XML.
pub(crate) async fn chain(guest: &Guest) -> Vec<String> {
    let path = |layer: &Layer| layer.source.as_ref().unwrap().path().unwrap().to_owned();
    let vda = vda(&guest.domain).await;
    vda.backing.iter().map(path).collect()
}

/// Gives the guest a definition.
pub(crate) async fn define(stage: &Stage, guest: &Guest) {
    let xml = guest.domain.xml(DomainXmlFlags::INACTIVE).await.unwrap();
    let flags = DomainDefineFlags::empty();
    stage.connection.define_domain(&xml, flags).await.unwrap();
}

/// Puts an empty image on top of `vda`, and gives its path.
pub(crate) async fn snapshot(stage: &Stage, guest: &Guest, name: &str) -> String {
    let path = stage.images_dir().join(format!("{name}.qcow2"));
    let path = path.to_str().unwrap().to_owned();
    let xml = format!(
        "<domainsnapshot><disks><disk name='vda' snapshot='external'>\
         <driver type='qcow2'/><source file='{path}'/></disk></disks></domainsnapshot>"
    );
    let domain = &guest.domain;
    let args = remote::DomainSnapshotCreateXmlArgs {
        dom: remote::NonnullDomain {
            name: domain.name().into(),
            uuid: domain.uuid().into_bytes(),
            id: -1,
        },
        xml_desc: xml.into(),
        // DISK_ONLY, NO_METADATA and ATOMIC.
        flags: 16 | 4 | 128,
    };
    let taken = stage
        .connection
        .call::<remote::DomainSnapshotCreateXml>(args);
    taken.await.unwrap();
    path
}
