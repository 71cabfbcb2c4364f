use proptest::prelude::*;

use super::{
    DiskDescription, DiskDevice, MAX_XML_BYTES, MirrorJob, MirrorReady, Source, XmlError,
    disks_from_xml,
};

/// A running guest: a chain of three, a network disk with a mirror, an empty drive.
const RUNNING: &str = r#"<?xml version="1.0"?>
<domain type='kvm' id='3' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>guest &amp; co</name>
  <metadata><app:disk xmlns:app='urn:app'><disk><target dev='fake'/></disk></app:disk></metadata>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' discard='unmap'/>
      <source file='/images/a &amp; &quot;b&quot;/&#x00e9;.qcow2' index='3'>
        <encryption format='luks'><secret type='passphrase' uuid='0'/></encryption>
      </source>
      <backingStore type='file' index='2'>
        <format type='qcow2'/>
        <source file='/images/middle.qcow2'/>
        <backingStore type='block' index='1'>
          <format type='raw'/>
          <source dev='/dev/vg/base'/>
          <backingStore/>
        </backingStore>
      </backingStore>
      <target dev='vda' bus='virtio'/>
      <alias name='virtio-disk0'/>
      <address type='pci' domain='0x0000' bus='0x04' slot='0x00' function='0x0'/>
    </disk>
    <disk type='network' device='disk'>
      <driver name='qemu' type='raw'/>
      <source protocol='rbd' name='pool/image' index='1'>
        <host name='mon1' port='6789'/>
        <host name='mon2'/>
        <auth username='admin'><secret type='ceph' usage='x'/></auth>
      </source>
      <mirror type='file' file='/old.raw' format='raw' job='copy' ready='yes'>
        <format type='raw'/>
        <source file='/new.raw' index='5'/>
        <backingStore type='file'><format type='raw'/><source file='/not-ours'/></backingStore>
      </mirror>
      <target dev='sdb' bus='scsi'/>
      <shareable/>
      <transient/>
    </disk>
    <disk type='file' device='cdrom'>
      <target dev='sdc' bus='sata'/>
      <readonly/>
    </disk>
  </devices>
</domain>"#;

#[test]
fn chain_is_listed_from_nearest_to_farthest() {
    let disks = disks_from_xml(RUNNING).unwrap();
    let disk = &disks[0];
    assert_eq!(disks.len(), 3);
    assert_eq!(disk.target, "vda");
    assert_eq!(disk.bus.as_deref(), Some("virtio"));
    assert_eq!(disk.alias.as_deref(), Some("virtio-disk0"));
    assert_eq!(disk.format.as_deref(), Some("qcow2"));
    assert_eq!(disk.index, Some(3));
    let path = disk.source.as_ref().and_then(Source::path);
    assert_eq!(path, Some("/images/a & \"b\"/é.qcow2"));
    let chain: Vec<_> = disk
        .backing
        .iter()
        .map(|layer| (layer.index, layer.format.as_deref(), layer.source.clone()))
        .collect();
    let middle = Source::File {
        path: "/images/middle.qcow2".to_owned(),
    };
    let base = Source::Block {
        path: "/dev/vg/base".to_owned(),
    };
    assert_eq!(
        chain,
        [
            (Some(2), Some("qcow2"), Some(middle)),
            (Some(1), Some("raw"), Some(base))
        ]
    );
    assert!(disk.backing_known);
    assert_eq!(disk.mirror, None);
}

#[test]
fn network_disk_has_hosts_and_mirror() {
    let disk = &disks_from_xml(RUNNING).unwrap()[1];
    let Some(Source::Network {
        protocol,
        name,
        hosts,
    }) = &disk.source
    else {
        panic!("{disk:?}")
    };
    assert_eq!(
        (protocol.as_str(), name.as_deref()),
        ("rbd", Some("pool/image"))
    );
    let names: Vec<_> = hosts.iter().map(|host| host.name.as_deref()).collect();
    assert_eq!(names, [Some("mon1"), Some("mon2")]);
    assert_eq!(disk.source.as_ref().and_then(Source::path), None);
    let mirror = disk.mirror.as_ref().unwrap();
    assert_eq!(
        (&mirror.job, &mirror.ready),
        (&MirrorJob::Copy, &MirrorReady::Yes)
    );
    assert_eq!(
        mirror.source,
        Some(Source::File {
            path: "/new.raw".to_owned()
        })
    );
    assert!(disk.backing.is_empty() && !disk.backing_known);
    assert!(disk.shareable && disk.transient && !disk.read_only);
}

#[test]
fn empty_drive_has_no_source() {
    let disk = &disks_from_xml(RUNNING).unwrap()[2];
    assert_eq!(disk.device, DiskDevice::Cdrom);
    assert_eq!((&disk.source, disk.read_only), (&None, true));
}

#[test]
fn disks_outside_devices_are_not_disks() {
    let disks = disks_from_xml(RUNNING).unwrap();
    assert!(disks.iter().all(|disk| disk.target != "fake"));
    assert_eq!(
        disks_from_xml("<domain><disk/><os><devices><disk/></devices></os></domain>"),
        Ok(vec![])
    );
}

#[test]
fn test_driver_domain_has_no_backing_information() {
    let xml = "<domain type='test' id='1'><name>test</name><memory unit='KiB'>8388608</memory>\
               <devices><disk type='file' device='disk'><source file='/guest/diskimage1'/>\
               <target dev='vda' bus='virtio'/><address type='virtio'/></disk></devices></domain>";
    let disks = disks_from_xml(xml).unwrap();
    let expected = DiskDescription {
        target: "vda".to_owned(),
        source_kind: "file".to_owned(),
        bus: Some("virtio".to_owned()),
        source: Some(Source::File {
            path: "/guest/diskimage1".to_owned(),
        }),
        ..DiskDescription::default()
    };
    assert_eq!(disks, [expected]);
}

#[test]
fn mirror_is_read_in_every_state() {
    let mirror = |attributes: &str| {
        let xml = format!(
            "<domain><devices><disk><target dev='a'/><mirror type='file' {attributes}/></disk>\
             </devices></domain>"
        );
        disks_from_xml(&xml).unwrap().remove(0).mirror.unwrap()
    };
    let ending = mirror("job=''");
    assert_eq!(
        (ending.job, ending.ready),
        (MirrorJob::Ending, MirrorReady::No)
    );
    let commit = mirror("job='active-commit' ready='pivot'");
    assert_eq!(
        (commit.job, commit.ready),
        (MirrorJob::ActiveCommit, MirrorReady::Pivot)
    );
    let legacy = mirror("file='/x' format='raw' ready='abort'");
    assert_eq!(
        (legacy.job, legacy.ready),
        (MirrorJob::Copy, MirrorReady::Abort)
    );
    assert_eq!(
        legacy.source,
        Some(Source::File {
            path: "/x".to_owned()
        })
    );
    assert_eq!(legacy.format.as_deref(), Some("raw"));
    let newer = mirror("job='teleport' ready='soon'");
    assert_eq!(newer.job, MirrorJob::Other("teleport".to_owned()));
    assert_eq!(newer.ready, MirrorReady::Other("soon".to_owned()));
}

#[test]
fn every_kind_of_source_is_kept() {
    for (kind, attributes, path) in [
        ("block", "dev='/dev/x'", Some("/dev/x")),
        ("dir", "dir='/d'", Some("/d")),
        ("volume", "pool='p' volume='v'", None),
        ("nvme", "type='pci' namespace='1'", None),
        ("vhostuser", "type='unix' path='/s'", Some("/s")),
        ("vhostvdpa", "dev='/dev/vdpa'", Some("/dev/vdpa")),
        ("hologram", "", None),
    ] {
        let xml = format!(
            "<domain><devices><disk type='{kind}'><source {attributes}/></disk></devices></domain>"
        );
        let source = disks_from_xml(&xml).unwrap().remove(0).source.unwrap();
        assert_eq!((source.kind(), source.path()), (kind, path));
    }
}

#[test]
fn nvme_source_has_the_address_of_its_controller() {
    let xml = "<domain><devices><disk type='nvme'><source type='pci' namespace='1'>\
               <address domain='0x0000' bus='0x0a' slot='0x1f' function='0x2'/></source></disk>\
               </devices></domain>";
    let source = disks_from_xml(xml).unwrap().remove(0).source;
    let address = Some("0000:0a:1f.2".to_owned());
    assert_eq!(
        source,
        Some(Source::Nvme {
            namespace: Some("1".to_owned()),
            address
        })
    );
}

#[test]
fn broken_xml_is_an_error() {
    for xml in ["", "   ", "text", "<!-- -->", "<network/>"] {
        let error = disks_from_xml(xml).unwrap_err();
        assert!(
            matches!(error, XmlError::NotADomain { .. }),
            "{xml}: {error:?}"
        );
    }
    for xml in [
        "<domain>",
        "<domain></devices>",
        "<domain><devices><disk type=file/></devices></domain>",
        "<domain><devices><disk a='1' a='2'/></devices></domain>",
        "<domain><name x='&undefined;'/></domain>",
        "<domain",
    ] {
        let error = disks_from_xml(xml).unwrap_err();
        assert!(
            matches!(error, XmlError::Malformed { .. }),
            "{xml}: {error:?}"
        );
    }
}

#[test]
fn size_and_depth_are_bounded() {
    let long = " ".repeat(MAX_XML_BYTES + 1);
    assert!(matches!(
        disks_from_xml(&long),
        Err(XmlError::TooLong { .. })
    ));
    let deep = "<domain>".repeat(1_000_000);
    assert_eq!(
        disks_from_xml(&deep),
        Err(XmlError::TooDeep { limit: 1024 })
    );
    let layer = "<backingStore type='file'>";
    let chain = format!(
        "<domain><devices><disk>{}{}</disk></devices></domain>",
        layer.repeat(900),
        "</backingStore>".repeat(900)
    );
    assert_eq!(disks_from_xml(&chain).unwrap()[0].backing.len(), 900);
}

#[test]
fn entities_are_not_expanded() {
    let bomb = "<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;'>]>\
                <domain><devices><disk><target dev='&b;'/></disk></devices></domain>";
    assert!(matches!(
        disks_from_xml(bomb),
        Err(XmlError::Malformed { .. })
    ));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        let _ = disks_from_xml(&text);
        let _ = disks_from_xml(&format!("<domain><devices><disk>{text}"));
    }

    #[test]
    fn damaged_xml_is_read_or_refused(at in 0..RUNNING.len(), byte: u8) {
        let mut bytes = RUNNING.as_bytes().to_vec();
        bytes[at] = byte;
        let _ = disks_from_xml(&String::from_utf8_lossy(&bytes));
    }
}
