//! Memory that is kept, fails, or grows.

use serde_json::json;
use virtwire::constants::DomainCreateFlags;
use virtwire::{Domain, qemu};
use virtwire_lab::Driver;
use virtwire_tests::deadline;

use super::Pair;
use super::machine::{self, Code, SECTOR};

/// Room for a device with memory.
const ROOM: &str = "<maxMemory slots='2' unit='MiB'>512</maxMemory>\
    <memory unit='MiB'>256</memory>\
    <cpu><numa><cell id='0' cpus='0' memory='128' unit='MiB'/></numa></cpu>";

#[tokio::test]
async fn guest_keeps_its_memory_and_some_of_it_fails() {
    deadline(async {
        let mut pair = Pair::new(Driver::Qemu).await;
        let image = pair.stage.images_dir().join("guest");
        // The ports of the machine's memory slots: the first one, why, and how it went. It says
        // that a request to give it back has failed.
        let code = Code::new().out_long(0xa00, 0);
        code.out_long(0xa04, 3).out_long(0xa08, 1).write(&image);
        let devices = format!(
            "{}<memory model='dimm'><target><size unit='MiB'>128</size><node>0</node></target>\
             </memory>",
            machine::disk(&image, "")
        );
        let xml = machine::xml("guest", ROOM, &devices);
        let created = pair
            .stage
            .connection
            .create_domain(&xml, DomainCreateFlags::empty());
        created.await.unwrap();
        let failed = json!({ "device": "dimm0" });
        pair.until("domain device-removal-failed", failed).await;
        // An error that cannot be corrected, and a guest that has not prepared itself for any.
        let script = "qemu-monitor-command guest --hmp 'mce 0 1 0xbd00000000000000 4 0x1000 0x8c'";
        pair.stage.virsh(Driver::Qemu, &[script]).await;
        let failure = json!({ "recipient": 1, "action": 3, "flags": 0 });
        pair.until("domain memory-failure", failure).await;
        pair.finish().await;
    })
    .await;
}

#[tokio::test]
async fn guest_takes_memory() {
    deadline(async {
        let mut pair = Pair::new(Driver::Qemu).await;
        let image = pair.stage.images_dir().join("guest");
        // It sets its clock, so that we know that it is there.
        let code = Code::new().out_byte(0x70, 2).out_byte(0x71, 0x10);
        request_for_memory(code).write(&image);
        let devices = format!(
            "{}<memory model='virtio-mem'><target><size unit='MiB'>128</size><node>0</node>\
             <block unit='KiB'>2048</block><requested unit='MiB'>64</requested></target>\
             <address type='pci' slot='{}'/></memory>",
            machine::disk(&image, ""),
            VirtioMem::SLOT,
        );
        let xml = machine::xml("guest", ROOM, &devices);
        let flags = DomainCreateFlags::empty();
        let guest = pair
            .stage
            .connection
            .create_domain(&xml, flags)
            .await
            .unwrap();
        pair.until("domain rtc-change", json!({})).await;
        VirtioMem::find(&guest).await.make_request().await;
        let grown = json!({ "device": "virtiomem0", "size": 2048 });
        pair.until("domain memory-device-size-change", grown).await;
        pair.finish().await;
    })
    .await;
}

/// Where the parts of a request to the device are behind the start of the sector.
const DESCRIPTORS: u16 = 0x80;
const AVAILABLE: u16 = 0xa0;
const REQUEST: u16 = 0xc0;
const RESPONSE: u16 = 0xe0;

/// The queue with one request to plug the first block: Virtual I/O Device (VIRTIO) Version 1.2,
/// sections 2.7 and 5.15.
fn request_for_memory(code: Code) -> Code {
    let descriptor = |address: u16, length: u32, flags: u16, next: u16| {
        let mut bytes = u64::from(SECTOR + address).to_le_bytes().to_vec();
        bytes.extend(length.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend(next.to_le_bytes());
        bytes
    };
    // One to read that has a next one, and that one to write.
    let mut descriptors = descriptor(REQUEST, 24, 1, 1);
    descriptors.extend(descriptor(RESPONSE, 10, 2, 0));
    let mut request = vec![0; 8];
    // The memory of devices begins at 4 GiB.
    request.extend((1_u64 << 32).to_le_bytes());
    request.extend(1_u64.to_le_bytes());
    code.data(DESCRIPTORS.into(), descriptors)
        .data(AVAILABLE.into(), [0, 0, 1, 0, 0, 0])
        .data(REQUEST.into(), request)
}

/// A device for memory, driven from outside by the monitor's commands for ports.
struct VirtioMem<'a> {
    guest: &'a Domain,
    /// Where the window to its registers is in its configuration.
    window: u32,
}

impl<'a> VirtioMem<'a> {
    const SLOT: u32 = 9;

    async fn find(guest: &'a Domain) -> Self {
        let mut device = Self { guest, window: 0 };
        // The list of capabilities, up to a vendor's of type 5: VIRTIO 1.2, section 4.1.4.9.
        let mut at = device.configuration(0x34).await & 0xff;
        loop {
            let capability = device.configuration(at).await;
            if capability & 0xff == 9 && capability >> 24 == 5 {
                device.window = at;
                return device;
            }
            at = capability >> 8 & 0xff;
            assert_ne!(at, 0, "the device has no window");
        }
    }

    /// Initializes the device as a driver does, and tells it of the request.
    async fn make_request(&self) {
        // It may use ports and memory, and be the bus's master.
        self.configure(4, 'h', 7).await;
        let at = |part: u16| u32::from(SECTOR + part);
        for (register, size, value) in [
            // Somebody is there who knows the device,
            (0x14, 'b', 3),
            // its features 32 (the version), 0 and 1,
            (0x08, 'w', 1),
            (0x0c, 'w', 1),
            (0x08, 'w', 0),
            (0x0c, 'w', 3),
            (0x14, 'b', 11),
            // and has a queue of 8 for it.
            (0x16, 'h', 0),
            (0x18, 'h', 8),
            (0x20, 'w', at(DESCRIPTORS)),
            (0x28, 'w', at(AVAILABLE)),
            // Behind the sector.
            (0x30, 'w', at(0x400)),
            (0x1c, 'h', 1),
            (0x14, 'b', 15),
            // QEMU has here what tells it of the queue.
            (0x3000, 'h', 0),
        ] {
            self.set(register, size, value).await;
        }
    }

    /// Writes a register through the window.
    async fn set(&self, register: u32, size: char, value: u32) {
        let length = match size {
            'b' => 1,
            'h' => 2,
            _ => 4,
        };
        // QEMU has the registers of this generation at the base address of number 4.
        self.configure(self.window + 4, 'b', 4).await;
        self.configure(self.window + 8, 'w', register).await;
        self.configure(self.window + 12, 'w', length).await;
        self.configure(self.window + 16, size, value).await;
    }

    async fn configure(&self, register: u32, size: char, value: u32) {
        self.select(register).await;
        self.monitor(&format!("o /{size} 0xcfc {value:#x}")).await;
    }

    async fn configuration(&self, register: u32) -> u32 {
        self.select(register).await;
        let said = self.monitor("i /w 0xcfc").await;
        let (_, value) = said.trim().rsplit_once("0x").unwrap();
        u32::from_str_radix(value, 16).unwrap()
    }

    async fn select(&self, register: u32) {
        assert_eq!(register % 4, 0);
        let register = 1 << 31 | Self::SLOT << 11 | register;
        self.monitor(&format!("o /w 0xcf8 {register:#x}")).await;
    }

    async fn monitor(&self, command: &str) -> String {
        let connection = self.guest.connection();
        let args = qemu::DomainMonitorCommandArgs {
            dom: virtwire::remote::NonnullDomain {
                name: self.guest.name().into(),
                uuid: *self.guest.uuid().as_bytes(),
                id: -1,
            },
            cmd: command.into(),
            // For people: `VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP`.
            flags: 1,
        };
        let reply = connection.call::<qemu::DomainMonitorCommand>(args).await;
        let reply = reply.unwrap();
        reply
            .decode()
            .unwrap()
            .result
            .to_string_lossy()
            .into_owned()
    }
}
