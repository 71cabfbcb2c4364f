//! A tiny guest: its firmware finds nothing to boot, which is all that a test of disks needs.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::error::IoContext as _;
use crate::install::QEMU;
use crate::{Error, command};

/// The least that QEMU takes.
const FIRMWARE_SIZE: usize = 64 << 10;

/// What runs the guest's processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DomainType {
    /// The host's, through KVM.
    Kvm,
    /// QEMU's emulation.
    Qemu,
}

impl fmt::Display for DomainType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "kvm",
            Self::Qemu => "qemu",
        })
    }
}

/// The best type that works here, found out once by really starting QEMU.
///
/// The device file alone says little: it can be there and refuse, as inside many containers.
pub fn domain_type() -> DomainType {
    static FOUND: OnceLock<DomainType> = OnceLock::new();
    *FOUND.get_or_init(|| {
        if kvm_works() {
            DomainType::Kvm
        } else {
            DomainType::Qemu
        }
    })
}

fn kvm_works() -> bool {
    let mut qemu = Command::new(QEMU);
    qemu.args(["-accel", "kvm", "-machine", "none", "-nodefaults", "-S"]);
    qemu.args(["-display", "none", "-monitor", "stdio"]);
    command::output_with_input(&mut qemu, b"quit\n").is_ok_and(|output| output.status.success())
}

/// A qcow2 image as a virtio disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    target: String,
    source: PathBuf,
}

impl Disk {
    /// Shows the image to the guest under this name, such as `vda`.
    pub fn new(target: impl Into<String>, source: impl Into<PathBuf>) -> Self {
        Self {
            target: target.into(),
            source: source.into(),
        }
    }

    fn xml(&self) -> String {
        format!(
            "    <disk type='file' device='disk'>\n      \
                   <driver name='qemu' type='qcow2'/>\n      \
                   <source file='{}'/>\n      \
                   <target dev='{}' bus='virtio'/>\n    \
                 </disk>\n",
            escape_path(&self.source),
            escape(&self.target)
        )
    }
}

/// The XML of a guest with 32 MiB of memory, these disks and nothing else.
pub fn xml(name: &str, domain_type: DomainType, disks: &[Disk]) -> String {
    describe(name, domain_type, disks, "", "", "")
}

/// Writes a firmware, unless it is there, which halts the guest's processor at once: the usual one
/// takes longer to find nothing to boot than QEMU does to start.
///
/// # Errors
///
/// When it cannot be written.
pub fn halting_firmware(dir: &Path) -> Result<PathBuf, Error> {
    /// Where a processor begins, 16 bytes before the end of its address space.
    const BEGINNING: usize = FIRMWARE_SIZE - 16;
    /// `cli; hlt`, and back to the `hlt` after an interrupt that cannot be masked.
    const HALT: [u8; 4] = [0xfa, 0xf4, 0xeb, 0xfd];

    let path = dir.join("halt.rom");
    if !path.exists() {
        let mut firmware = vec![0; FIRMWARE_SIZE];
        for (place, byte) in firmware.iter_mut().skip(BEGINNING).zip(HALT) {
            *place = byte;
        }
        fs::write(&path, firmware).doing("write", &path)?;
    }
    Ok(path)
}

/// As [`xml`], with its [firmware](halting_firmware), and a socket for a
/// [`Monitor`](crate::Monitor) beside libvirt's.
pub fn monitored_xml(
    name: &str,
    domain_type: DomainType,
    disks: &[Disk],
    firmware: &Path,
    socket: &Path,
) -> String {
    let namespace = " xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'";
    let monitor = format!(
        "  <qemu:commandline>\n    \
             <qemu:arg value='-qmp'/>\n    \
             <qemu:arg value='unix:{},server=on,wait=off'/>\n  \
           </qemu:commandline>\n",
        escape_path(socket)
    );
    let loader = format!(
        "<loader readonly='yes' type='rom'>{}</loader>",
        escape_path(firmware)
    );
    describe(name, domain_type, disks, namespace, &loader, &monitor)
}

fn describe(
    name: &str,
    domain_type: DomainType,
    disks: &[Disk],
    namespace: &str,
    loader: &str,
    more: &str,
) -> String {
    let disks: String = disks.iter().map(Disk::xml).collect();
    // Without <acpi/> libvirt 9 passes an option that QEMU 9 and later do not know.
    format!(
        "<domain type='{domain_type}'{namespace}>\n  \
           <name>{}</name>\n  \
           <memory unit='MiB'>32</memory>\n  \
           <vcpu>1</vcpu>\n  \
           <os><type arch='x86_64' machine='pc'>hvm</type>{loader}</os>\n  \
           <features><acpi/></features>\n  \
           <devices>\n{disks}    \
             <controller type='usb' model='none'/>\n    \
             <memballoon model='none'/>\n  \
           </devices>\n{more}\
         </domain>\n",
        escape(name)
    )
}

fn escape_path(path: &Path) -> String {
    escape(&path.to_string_lossy())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('\'', "&apos;")
}

#[cfg(test)]
mod tests {
    use super::{Disk, DomainType, xml};

    #[test]
    fn names_and_paths_are_escaped() {
        let text = xml(
            "a<b",
            DomainType::Qemu,
            &[Disk::new("vda", "/x/it's & more")],
        );
        assert!(text.contains("<name>a&lt;b</name>"), "{text}");
        assert!(
            text.contains("<source file='/x/it&apos;s &amp; more'/>"),
            "{text}"
        );
    }
}
