//! Documents that a daemon may well accept, of each kind that it reads.

use super::{Element, tame};
use crate::random::Random;
use crate::vocabulary::Vocabulary;

/// A kind of document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are called what libvirt calls them")]
pub enum Kind {
    Domain,
    Device,
    Disk,
    Snapshot,
    Checkpoint,
    Backup,
    Network,
    NetworkPort,
    NetworkPart,
    Pool,
    PoolSource,
    Volume,
    Secret,
    Filter,
    FilterBinding,
    Cpu,
    Metadata,
}

impl Kind {
    /// The name of the outermost element.
    #[must_use]
    pub const fn root(self) -> &'static str {
        match self {
            Self::Domain => "domain",
            Self::Device => "interface",
            Self::Disk => "disk",
            Self::Snapshot => "domainsnapshot",
            Self::Checkpoint => "domaincheckpoint",
            Self::Backup => "domainbackup",
            Self::Network => "network",
            Self::NetworkPort => "networkport",
            Self::NetworkPart => "dns",
            Self::Pool => "pool",
            Self::PoolSource => "source",
            Self::Volume => "volume",
            Self::Secret => "secret",
            Self::Filter => "filter",
            Self::FilterBinding => "filterbinding",
            Self::Cpu => "cpu",
            Self::Metadata => "note",
        }
    }

    /// The documents of this kind, with places for words: `@NAME`, `@UUID`, `@DISK`, `@FILE`,
    /// `@SIZE`, `@TYPE`.
    const fn patterns(self) -> &'static [&'static str] {
        match self {
            Self::Domain => DOMAIN,
            Self::Device => DEVICE,
            Self::Disk => DISK,
            Self::Snapshot => SNAPSHOT,
            Self::Checkpoint => CHECKPOINT,
            Self::Backup => BACKUP,
            Self::Network => NETWORK,
            Self::NetworkPort => NETWORK_PORT,
            Self::NetworkPart => NETWORK_PART,
            Self::Pool => POOL,
            Self::PoolSource => POOL_SOURCE,
            Self::Volume => VOLUME,
            Self::Secret => SECRET,
            Self::Filter => FILTER,
            Self::FilterBinding => FILTER_BINDING,
            Self::Cpu => CPU,
            Self::Metadata => METADATA,
        }
    }
}

const DOMAIN: &[&str] = &[
    // The only kind of guest that a caged QEMU can run: emulated and tiny.
    "<domain type='@TYPE'><name>@NAME</name><uuid>@UUID</uuid><memory unit='MiB'>16</memory>\
     <vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>\
     <devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/>\
     <source file='/cage/images/top.qcow2'/><target dev='vda' bus='virtio'/></disk>\
     <controller type='usb' model='none'/><memballoon model='none'/></devices></domain>",
    "<domain type='@TYPE'><name>@NAME</name><uuid>@UUID</uuid><title>a title</title>\
     <description>words</description><metadata><note:a xmlns:note='urn:note'>1</note:a></metadata>\
     <memory unit='KiB'>@SIZE</memory><currentMemory>16384</currentMemory>\
     <vcpu placement='static' current='1'>4</vcpu><iothreads>2</iothreads>\
     <cputune><shares>100</shares><vcpupin vcpu='0' cpuset='0'/><emulatorpin cpuset='0-1'/></cputune>\
     <memtune><hard_limit unit='MiB'>64</hard_limit></memtune>\
     <blkiotune><weight>500</weight></blkiotune>\
     <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/><bootmenu enable='yes'/></os>\
     <features><acpi/><apic/><pae/></features><cpu mode='custom'><model>qemu64</model></cpu>\
     <clock offset='utc'><timer name='rtc' tickpolicy='catchup'/></clock>\
     <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>preserve</on_crash>\
     <devices><disk type='file' device='disk'><driver name='qemu' type='raw'/>\
     <source file='/cage/images/disk.raw'/><target dev='vda' bus='virtio'/><iotune>\
     <total_bytes_sec>1000000</total_bytes_sec></iotune></disk>\
     <disk type='file' device='cdrom'><target dev='hdc' bus='ide'/><readonly/></disk>\
     <controller type='pci' index='0' model='pci-root'/><controller type='usb' model='none'/>\
     <controller type='virtio-serial' index='0'/><serial type='pty'><target port='0'/></serial>\
     <console type='pty'><target type='serial' port='0'/></console><channel type='unix'>\
     <target type='virtio' name='org.qemu.guest_agent.0'/></channel>\
     <input type='tablet' bus='virtio'/><graphics type='vnc' autoport='yes' listen='127.0.0.1'/>\
     <video><model type='cirrus'/></video><watchdog model='i6300esb' action='none'/>\
     <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>\
     <memballoon model='virtio'><stats period='1'/></memballoon></devices></domain>",
    "<domain type='@TYPE'><name>@NAME</name><uuid>@UUID</uuid><memory>@SIZE</memory>\
     <maxMemory slots='4' unit='MiB'>256</maxMemory><vcpu>2</vcpu><numatune>\
     <memory mode='strict' nodeset='0'/></numatune><os><type>hvm</type></os>\
     <cpu><topology sockets='1' dies='1' cores='2' threads='1'/><numa>\
     <cell id='0' cpus='0-1' memory='65536' unit='KiB'/></numa></cpu><devices>\
     <interface type='network'><mac address='52:54:00:00:00:01'/><source network='default'/>\
     <model type='virtio'/></interface><interface type='user'/><hostdev mode='subsystem' type='usb'>\
     <source><vendor id='0x1234'/><product id='0xbeef'/></source></hostdev>\
     <filesystem type='mount'><source dir='/cage/tmp'/><target dir='share'/></filesystem>\
     <memory model='dimm'><target><size unit='KiB'>16384</size><node>0</node></target></memory>\
     <sound model='ich6'/><redirdev bus='usb' type='spicevmc'/><tpm model='tpm-tis'>\
     <backend type='emulator' version='2.0'/></tpm><panic model='isa'/><shmem name='s'>\
     <model type='ivshmem-plain'/><size unit='M'>1</size></shmem></devices>\
     <seclabel type='none'/></domain>",
];

const DEVICE: &[&str] = &[
    "<disk type='file' device='disk'><driver name='qemu' type='raw'/>\
     <source file='@FILE'/><target dev='@DISK' bus='virtio'/></disk>",
    "<interface type='user'><mac address='52:54:00:12:34:56'/><model type='virtio'/>\
     <bandwidth><inbound average='100'/></bandwidth><alias name='ua-@NAME'/></interface>",
    "<interface type='network'><source network='@NAME'/></interface>",
    "<controller type='scsi' index='1' model='virtio-scsi'/>",
    "<memory model='dimm'><target><size unit='KiB'>@SIZE</size><node>0</node></target></memory>",
    "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>",
    "<watchdog model='i6300esb' action='poweroff'/>",
    "<chardev type='pty'/>",
    "<serial type='pty'><target port='1'/></serial>",
    "<channel type='pty'><target type='virtio' name='@NAME'/></channel>",
    "<input type='keyboard' bus='virtio'/>",
    "<graphics type='vnc' port='-1' passwd='secret' passwdValidTo='2030-01-01T00:00:00'/>",
    "<hostdev mode='subsystem' type='pci'><source>\
     <address domain='0' bus='0' slot='1' function='0'/></source></hostdev>",
    "<filesystem type='mount'><source dir='/cage/tmp'/><target dir='@NAME'/></filesystem>",
    "<lease><lockspace>a</lockspace><key>@NAME</key><target path='@FILE'/></lease>",
    "<vsock model='virtio'><cid auto='yes'/></vsock>",
    "<memballoon model='virtio'/>",
    "<sound model='ich6'/>",
];

const DISK: &[&str] = &[
    "<disk type='file'><source file='@FILE'/><driver type='qcow2'/></disk>",
    "<disk type='file' device='disk'><driver name='qemu' type='raw' discard='unmap'/>\
     <source file='@FILE' startupPolicy='optional'><reservations managed='no'/></source>\
     <backingStore type='file'><format type='qcow2'/><source file='@FILE'/><backingStore/>\
     </backingStore><target dev='@DISK' bus='virtio'/></disk>",
    "<disk type='network'><source protocol='nbd' name='@NAME'>\
     <host transport='unix' socket='/cage/tmp/@NAME'/></source><target dev='@DISK'/></disk>",
    "<disk type='volume'><source pool='@NAME' volume='@NAME'/><target dev='@DISK'/></disk>",
];

const SNAPSHOT: &[&str] = &[
    "<domainsnapshot><name>@NAME</name><description>words</description></domainsnapshot>",
    "<domainsnapshot><name>@NAME</name><memory snapshot='no'/><disks>\
     <disk name='@DISK' snapshot='external'><driver type='qcow2'/>\
     <source file='/cage/images/@NAME.qcow2'/></disk></disks></domainsnapshot>",
    "<domainsnapshot><name>@NAME</name><memory snapshot='external' file='/cage/tmp/@NAME.mem'/>\
     <disks><disk name='@DISK' snapshot='no'/></disks></domainsnapshot>",
    // One that is said to have been made before.
    "<domainsnapshot><name>@NAME</name><state>running</state><creationTime>1</creationTime>\
     <parent><name>@NAME</name></parent><domain type='@TYPE'><name>test</name><uuid>@UUID</uuid>\
     <memory>16384</memory><vcpu>1</vcpu><os><type>hvm</type></os></domain></domainsnapshot>",
];

const CHECKPOINT: &[&str] = &[
    "<domaincheckpoint><name>@NAME</name></domaincheckpoint>",
    "<domaincheckpoint><name>@NAME</name><description>words</description><disks>\
     <disk name='@DISK' checkpoint='bitmap' bitmap='@NAME'/></disks></domaincheckpoint>",
    "<domaincheckpoint><name>@NAME</name><parent><name>@NAME</name></parent>\
     <creationTime>1</creationTime><disks><disk name='@DISK' checkpoint='no'/></disks>\
     <domain type='@TYPE'><name>test</name><uuid>@UUID</uuid><memory>16384</memory><vcpu>1</vcpu>\
     <os><type>hvm</type></os></domain></domaincheckpoint>",
];

const BACKUP: &[&str] = &[
    "<domainbackup><disks><disk name='@DISK' backup='yes' type='file'>\
     <target file='/cage/tmp/@NAME.backup'/><driver type='qcow2'/></disk></disks></domainbackup>",
    "<domainbackup mode='pull'><incremental>@NAME</incremental>\
     <server transport='unix' socket='/cage/tmp/@NAME'/><disks>\
     <disk name='@DISK' backup='yes' type='file' exportname='@DISK'>\
     <scratch file='/cage/tmp/@NAME.scratch'/></disk></disks></domainbackup>",
    "<domainbackup/>",
];

const NETWORK: &[&str] = &[
    "<network><name>@NAME</name><uuid>@UUID</uuid><forward mode='nat'/>\
     <bridge name='virbr9' stp='on' delay='0'/><mac address='52:54:00:aa:bb:cc'/>\
     <ip address='192.168.90.1' netmask='255.255.255.0'><dhcp>\
     <range start='192.168.90.2' end='192.168.90.200'/>\
     <host mac='52:54:00:00:00:09' name='host' ip='192.168.90.9'/></dhcp></ip></network>",
    "<network ipv6='yes' trustGuestRxFilters='yes'><name>@NAME</name><uuid>@UUID</uuid>\
     <metadata><note:a xmlns:note='urn:note'/></metadata><domain name='example' localOnly='yes'/>\
     <dns enable='yes'><forwarder addr='8.8.8.8'/><txt name='a' value='b'/>\
     <host ip='192.168.91.2'><hostname>one</hostname></host>\
     <srv service='x' protocol='tcp' domain='d' target='t' port='1' priority='2' weight='3'/></dns>\
     <bandwidth><inbound average='1000' peak='5000' burst='1024'/><outbound average='128'/></bandwidth>\
     <vlan trunk='yes'><tag id='42'/></vlan><portgroup name='engineering' default='yes'>\
     <virtualport type='802.1Qbh'><parameters profileid='test'/></virtualport></portgroup>\
     <ip family='ipv6' address='fd00::1' prefix='64'/>\
     <route address='10.0.0.0' prefix='8' gateway='192.168.91.3'/></network>",
    "<network><name>@NAME</name><uuid>@UUID</uuid><forward mode='hostdev' managed='yes'>\
     <driver name='vfio'/><address type='pci' domain='0' bus='1' slot='0' function='1'/></forward>\
     </network>",
    "<network><name>@NAME</name><uuid>@UUID</uuid><forward mode='bridge'/><bridge name='br9'/></network>",
];

const NETWORK_PORT: &[&str] = &[
    "<networkport><uuid>@UUID</uuid><owner><name>@NAME</name><uuid>@UUID</uuid></owner>\
     <mac address='52:54:00:7b:35:93'/><group>web</group><plug type='bridge' bridge='virbr0'/></networkport>",
    "<networkport><owner><name>@NAME</name><uuid>@UUID</uuid></owner><mac address='52:54:00:7b:35:94'/>\
     <bandwidth><inbound average='1' floor='2'/></bandwidth><rxfilters trustGuest='yes'/>\
     <plug type='network' bridge='br0' macTableManager='libvirt'/></networkport>",
];

const NETWORK_PART: &[&str] = &[
    "<host mac='52:54:00:00:00:10' name='@NAME' ip='192.168.122.40'/>",
    "<host ip='192.168.122.41'><hostname>@NAME</hostname></host>",
    "<range start='192.168.122.60' end='192.168.122.70'/>",
    "<interface dev='eth0'/>",
    "<portgroup name='@NAME' default='no'/>",
    "<txt name='@NAME' value='value'/>",
    "<srv service='@NAME' protocol='tcp'/>",
];

const POOL: &[&str] = &[
    "<pool type='dir'><name>@NAME</name><uuid>@UUID</uuid><target><path>/cage/images</path></target></pool>",
    "<pool type='dir'><name>@NAME</name><uuid>@UUID</uuid><target><path>/cage/tmp/@NAME</path>\
     <permissions><mode>0755</mode><owner>-1</owner><group>-1</group></permissions></target></pool>",
    "<pool type='fs'><name>@NAME</name><uuid>@UUID</uuid><source><device path='/dev/none'/>\
     <format type='auto'/></source><target><path>/cage/tmp/@NAME</path></target></pool>",
    "<pool type='logical'><name>@NAME</name><uuid>@UUID</uuid><source><name>vg</name>\
     <device path='/dev/none'/></source><target><path>/dev/vg</path></target></pool>",
    "<pool type='netfs'><name>@NAME</name><uuid>@UUID</uuid><source><host name='127.0.0.1'/>\
     <dir path='/x'/><format type='nfs'/></source><target><path>/cage/tmp/n</path></target></pool>",
    "<pool type='iscsi'><name>@NAME</name><uuid>@UUID</uuid><source><host name='127.0.0.1' port='3260'/>\
     <device path='iqn.2013-06.com.example:@NAME'/><auth type='chap' username='u'>\
     <secret usage='@NAME'/></auth></source><target><path>/dev/disk/by-path</path></target></pool>",
    "<pool type='scsi'><name>@NAME</name><uuid>@UUID</uuid><source><adapter type='fc_host' \
     wwnn='20000000c9831b4b' wwpn='10000000c9831b4b'/></source><target><path>/dev/disk</path></target></pool>",
];

const POOL_SOURCE: &[&str] = &[
    "<source><host name='127.0.0.1'/><device path='/dev/none'/><dir path='/'/></source>",
    "<source><name>@NAME</name><initiator><iqn name='iqn.x'/></initiator></source>",
];

const VOLUME: &[&str] = &[
    "<volume><name>@NAME</name><capacity unit='bytes'>1048576</capacity><allocation>0</allocation>\
     <target><format type='raw'/></target></volume>",
    "<volume type='file'><name>@NAME.qcow2</name><key>@FILE</key><capacity unit='MiB'>4</capacity>\
     <target><path>/cage/images/@NAME.qcow2</path><format type='qcow2'/><compat>1.1</compat>\
     <features><lazy_refcounts/></features><clusterSize unit='KiB'>64</clusterSize>\
     <permissions><mode>0600</mode></permissions></target>\
     <backingStore><path>/cage/images/base.qcow2</path><format type='qcow2'/></backingStore></volume>",
    "<volume><name>@NAME</name><capacity>@SIZE</capacity><target><encryption format='luks'>\
     <secret type='passphrase' uuid='@UUID'/><cipher name='aes' size='256' mode='xts' hash='sha256'/>\
     </encryption></target></volume>",
];

const SECRET: &[&str] = &[
    "<secret ephemeral='no' private='no'><uuid>@UUID</uuid><description>words</description>\
     <usage type='volume'><volume>/cage/images/@NAME</volume></usage></secret>",
    "<secret ephemeral='yes' private='yes'><uuid>@UUID</uuid><usage type='ceph'><name>@NAME</name></usage></secret>",
    "<secret><uuid>@UUID</uuid><usage type='iscsi'><target>@NAME</target></usage></secret>",
];

const FILTER: &[&str] = &[
    "<filter name='@NAME' chain='root' priority='-700'><uuid>@UUID</uuid>\
     <rule action='drop' direction='out' priority='500'><mac match='no' srcmacaddr='$MAC'/></rule>\
     <rule action='accept' direction='inout'><tcp dstportstart='22' state='NEW,ESTABLISHED'/></rule>\
     <filterref filter='@NAME'><parameter name='IP' value='10.0.0.1'/></filterref></filter>",
];

const FILTER_BINDING: &[&str] = &[
    "<filterbinding><owner><name>@NAME</name><uuid>@UUID</uuid></owner><portdev name='vnet0'/>\
     <mac address='52:54:00:7b:35:93'/><filterref filter='@NAME'><parameter name='A' value='b'/>\
     </filterref></filterbinding>",
];

const CPU: &[&str] = &[
    "<cpu><arch>x86_64</arch><model>qemu64</model><vendor>Intel</vendor>\
     <topology sockets='1' dies='1' cores='1' threads='1'/><feature name='lahf_lm'/></cpu>",
    "<cpu match='exact' mode='custom' check='partial'><model fallback='allow' vendor_id='AuthenticAMD'>\
     EPYC</model><feature policy='require' name='svm'/><feature policy='disable' name='x2apic'/>\
     <cache level='3' mode='emulate'/></cpu>",
    "<cpu mode='host-model'/>",
    "<domainCapabilities><cpu><mode name='host-model' supported='yes'><model>qemu64</model></mode></cpu>\
     </domainCapabilities>",
];

const METADATA: &[&str] = &["<note>words</note>", "<a><b c='d'/></a>"];

/// A document of this kind: one that the daemon wrote, or one from a pattern, with words put in.
pub fn document(
    kind: Kind,
    guest: &str,
    vocabulary: &Vocabulary,
    random: &mut Random,
) -> Option<Element> {
    if random.once_in(4) {
        if let Some(known) = vocabulary.document(kind.root(), random) {
            let mut known = known.clone();
            tame(&mut known);
            return Some(known);
        }
    }
    let mut text = (*random.pick(kind.patterns())?).replace("@TYPE", guest);
    while let Some((before, after)) = text.split_once('@') {
        let end = after.find(|letter: char| !letter.is_ascii_uppercase());
        let (place, after) = after.split_at(end.unwrap_or(after.len()));
        text = [before, &word(place, vocabulary, random), after].concat();
    }
    Element::parse(&text)
}

/// Few enough names and identities that things meet again.
fn word(place: &str, vocabulary: &Vocabulary, random: &mut Random) -> String {
    let known = |field, random: &mut Random| {
        let known = vocabulary.name(field, random)?;
        let plain = known
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._/".contains(byte));
        plain.then(|| String::from_utf8_lossy(known).into_owned())
    };
    match place {
        "NAME" if random.once_in(3) => known("name", random).unwrap_or_else(|| "test".to_owned()),
        "NAME" => random
            .choose(["one", "two", "three", "four", "test", "default"])
            .to_owned(),
        "UUID" => {
            let last = random.below(8);
            format!("00000000-0000-4000-8000-00000000000{last}")
        }
        "DISK" if random.once_in(3) => known("dev", random).unwrap_or_else(|| "vda".to_owned()),
        "DISK" => random.choose(["vda", "vdb", "hdc", "sda"]).to_owned(),
        "FILE" if random.once_in(3) => {
            known("file", random).unwrap_or_else(|| "/cage/x".to_owned())
        }
        "FILE" => {
            let files = [
                "top.qcow2",
                "base.qcow2",
                "disk.raw",
                "new.qcow2",
                "missing",
            ];
            format!("/cage/images/{}", random.choose(files))
        }
        "SIZE" => random
            .choose(["16384", "0", "65536", "1048576", "8192"])
            .to_owned(),
        // Some other use of the sign.
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 17] = [
        Kind::Domain,
        Kind::Device,
        Kind::Disk,
        Kind::Snapshot,
        Kind::Checkpoint,
        Kind::Backup,
        Kind::Network,
        Kind::NetworkPort,
        Kind::NetworkPart,
        Kind::Pool,
        Kind::PoolSource,
        Kind::Volume,
        Kind::Secret,
        Kind::Filter,
        Kind::FilterBinding,
        Kind::Cpu,
        Kind::Metadata,
    ];

    #[test]
    fn every_pattern_is_a_document_with_all_places_filled() {
        let mut random = Random::new(1);
        let vocabulary = Vocabulary::default();
        for kind in KINDS {
            for _ in 0..100 {
                let document = document(kind, "qemu", &vocabulary, &mut random).unwrap();
                let text = document.to_text();
                assert!(!text.contains('@'), "{text}");
                assert_eq!(Element::parse(&text), Some(document), "{text}");
            }
        }
    }

    #[test]
    fn nothing_in_a_pattern_is_the_emulators_command_line() {
        for pattern in KINDS.iter().flat_map(|kind| kind.patterns()) {
            for word in [
                "commandline",
                "<emulator>",
                "<script",
                "qemu:",
                "type='kvm'",
                "type='block'",
            ] {
                assert!(!pattern.contains(word), "{word} in {pattern}");
            }
        }
    }
}
