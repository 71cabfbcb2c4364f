//! Guests that consist of a boot sector: what they do to their machine, they do at once.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

/// Machine code for a processor in real mode.
#[derive(Debug, Clone, Default)]
pub(super) struct Code {
    code: Vec<u8>,
    data: Vec<(usize, Vec<u8>)>,
}

/// Where the firmware puts a boot sector.
pub(super) const SECTOR: u16 = 0x7c00;

impl Code {
    /// A guest that does nothing.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Writes a byte to a port.
    pub(super) fn out_byte(self, port: u16, value: u8) -> Self {
        self.port(port).bytes(&[0xb0, value, 0xee])
    }

    /// Writes two bytes to a port.
    pub(super) fn out_word(self, port: u16, value: u16) -> Self {
        let it = self.port(port).bytes(&[0xb8]);
        it.bytes(&value.to_le_bytes()).bytes(&[0xef])
    }

    /// Writes four bytes to a port.
    pub(super) fn out_long(self, port: u16, value: u32) -> Self {
        let it = self.port(port).bytes(&[0x66, 0xb8]);
        it.bytes(&value.to_le_bytes()).bytes(&[0x66, 0xef])
    }

    /// Writes four bytes to a place in the ports of the device at this slot of the first PCI bus.
    pub(super) fn out_long_of_device(self, slot: u8, offset: u8, value: u32) -> Self {
        // Its first base address register is read through the ports that all devices are
        // configured by.
        let register = 0x8000_0010 | u32::from(slot) << 11;
        let it = self.out_long(0xcf8, register).port(0xcfc);
        // in eax,dx; and ax,0xfffc; add ax,offset; mov dx,ax; mov eax,value; out dx,eax
        let it = it.bytes(&[0x66, 0xed, 0x25, 0xfc, 0xff, 0x05, offset, 0]);
        let it = it.bytes(&[0x89, 0xc2, 0x66, 0xb8]);
        it.bytes(&value.to_le_bytes()).bytes(&[0x66, 0xef])
    }

    /// Writes a sector far into the first disk, by the firmware.
    pub(super) fn write_sector(self) -> Self {
        // xor ax,ax; mov es,ax; mov bx,0x7c00; one sector to cylinder 32 of drive 0x80; int 0x13
        self.bytes(&[0x31, 0xc0, 0x8e, 0xc0, 0xbb, 0x00, 0x7c])
            .bytes(&[0xb8, 0x01, 0x03, 0xb9, 0x01, 0x20, 0xba, 0x80, 0x00])
            .bytes(&[0xcd, 0x13])
    }

    /// Has these bytes so far behind the start of the sector.
    pub(super) fn data(mut self, offset: usize, bytes: impl Into<Vec<u8>>) -> Self {
        self.data.push((offset, bytes.into()));
        self
    }

    /// Writes a sparse image of 64 MiB that boots it, and then stands still.
    pub(super) fn write(self, image: &Path) {
        // hlt; jmp to it
        let Self { code, data } = self.bytes(&[0xf4, 0xeb, 0xfd]);
        let mut sector = code;
        for (offset, bytes) in data {
            assert!(sector.len() <= offset);
            sector.resize(offset, 0);
            sector.extend(bytes);
        }
        assert!(sector.len() <= 510);
        sector.resize(510, 0);
        sector.extend([0x55, 0xaa]);
        let mut file = File::create(image).unwrap();
        file.write_all(&sector).unwrap();
        file.set_len(64 << 20).unwrap();
    }

    fn port(self, port: u16) -> Self {
        self.bytes(&[0xba]).bytes(&port.to_le_bytes())
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.code.extend(bytes);
        self
    }
}

/// The XML of a raw image as the disk `vda`.
pub(super) fn disk(image: &Path, driver: &str) -> String {
    format!(
        "<disk type='file' device='disk'><driver name='qemu' type='raw' {driver}/>\
         <source file='{}'/><target dev='vda' bus='virtio'/></disk>",
        image.display()
    )
}

/// The XML of a guest with these devices and these elements before them. Its processor is emulated:
/// firmware talks to ports, which in a virtual machine within one can take ten times as long.
pub(super) fn xml(name: &str, elements: &str, devices: &str) -> String {
    // What a guest has unless something is said.
    let usual = [
        ("<memory ", "<memory unit='MiB'>32</memory>"),
        (
            "<controller type='usb'",
            "<controller type='usb' model='none'/>",
        ),
        ("<memballoon", "<memballoon model='none'/>"),
    ];
    let said = format!("{elements}{devices}");
    let or_usual = |index: usize| {
        let (start, text) = usual[index];
        if said.contains(start) { "" } else { text }
    };
    format!(
        "<domain type='qemu'><name>{name}</name>{}<vcpu>1</vcpu>\
         <os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>\
         {elements}<devices>{devices}{}{}</devices></domain>",
        or_usual(0),
        or_usual(1),
        or_usual(2),
    )
}
