//! A description made complete: what libvirt adds to one, and the order it writes it in.

use virtwire_protocol::constants::{ErrorCode, ErrorDomain};

use super::described::fault;
use super::settings::{self, Memory};
use crate::hypervisor::Uuid;
use crate::refusal::{Result, from_domain};
use crate::xml::{Element, Node};

/// The kinds of hypervisor that libvirt knows.
const TYPES: &[&str] = &[
    "qemu",
    "kqemu",
    "kvm",
    "hvf",
    "xen",
    "lxc",
    "uml",
    "openvz",
    "test",
    "vmware",
    "hyperv",
    "vbox",
    "phyp",
    "parallels",
    "bhyve",
    "vz",
    "none",
];

/// The order of a domain's parts.
const PARTS: &[&str] = &[
    "name",
    "uuid",
    "genid",
    "title",
    "description",
    "metadata",
    "maxMemory",
    "memory",
    "currentMemory",
    "blkiotune",
    "memtune",
    "memoryBacking",
    "vcpu",
    "vcpus",
    "iothreads",
    "iothreadids",
    "defaultiothread",
    "cputune",
    "numatune",
    "resource",
    "sysinfo",
    "bootloader",
    "bootloader_args",
    "os",
    "idmap",
    "features",
    "cpu",
    "clock",
    "on_poweroff",
    "on_reboot",
    "on_crash",
    "on_lockfailure",
    "pm",
    "perf",
    "devices",
    "seclabel",
    "keywrap",
    "launchSecurity",
];

/// The order of devices by their kind.
const DEVICES: &[&str] = &[
    "emulator",
    "disk",
    "controller",
    "lease",
    "filesystem",
    "interface",
    "smartcard",
    "serial",
    "parallel",
    "console",
    "channel",
    "input",
    "tpm",
    "graphics",
    "sound",
    "audio",
    "video",
    "hostdev",
    "redirdev",
    "redirfilter",
    "hub",
    "watchdog",
    "memballoon",
    "rng",
    "nvram",
    "panic",
    "shmem",
    "memory",
    "iommu",
    "vsock",
    "crypto",
    "pstore",
];

/// The order of a disk's parts.
const DISK: &[&str] = &[
    "driver",
    "auth",
    "source",
    "backingStore",
    "backenddomain",
    "geometry",
    "blockio",
    "mirror",
    "target",
    "iotune",
    "throttlefilters",
    "readonly",
    "shareable",
    "transient",
    "serial",
    "wwn",
    "vendor",
    "product",
    "encryption",
    "boot",
    "alias",
    "address",
];

/// Checks a domain's parts, adds what is missing and puts them into libvirt's order.
pub(super) fn normalise(mut config: Element, uuid: &Uuid) -> Result<Element> {
    let kind = config.attribute("type").unwrap_or_default().to_owned();
    if !TYPES.contains(&kind.as_str()) {
        let what = match kind.as_str() {
            "" => String::from("missing domain type attribute"),
            kind => format!("invalid domain type {kind}"),
        };
        return Err(unsupported(&what));
    }
    if config
        .child_text("title")
        .is_some_and(|title| title.contains('\n'))
    {
        return Err(fault("Domain title can't contain newlines"));
    }
    operating_system(&mut config, kind == "test")?;
    memory(&mut config)?;
    processors(&mut config)?;
    for (part, value) in [
        ("on_poweroff", "destroy"),
        ("on_reboot", "restart"),
        ("on_crash", "destroy"),
    ] {
        if config.child(part).is_none() {
            config.set_child_text(part, value);
        }
    }
    if config.child("clock").is_none() {
        config.push(Element::new("clock").with("offset", "utc"));
    }
    if config.child("devices").is_none() {
        config.push(Element::new("devices"));
    }
    if let Some(devices) = config.child_mut("devices") {
        devices_of(devices, uuid, kind == "test")?;
    }
    config
        .children
        .retain(|node| matches!(node, Node::Element(_)));
    sort(&mut config, PARTS);
    Ok(config)
}

fn operating_system(config: &mut Element, test: bool) -> Result<()> {
    let kind = config.find(&["os", "type"]).map(Element::text);
    let container = config.attribute("type") == Some("lxc");
    match kind.as_deref() {
        Some("hvm" | "xen" | "linux" | "exe" | "uml" | "xenpvh") => {}
        None | Some("") if container => {}
        None | Some("") => {
            return Err(from_domain(
                ErrorDomain::DOMAIN,
                ErrorCode::XML_ERROR,
                "an os <type> must be specified",
            ));
        }
        Some(other) => return Err(unsupported(&format!("unknown OS type '{other}'"))),
    }
    let per_device = config.child("devices").is_some_and(|devices| {
        let mut devices = devices.elements();
        devices.any(|device| device.child("boot").is_some())
    });
    let Some(os) = config.child_mut("os") else {
        return Ok(());
    };
    if let Some(kind) = os.child_mut("type") {
        let (arch, machine) = match test {
            true => ("i686", None),
            false => ("x86_64", Some("pc-i440fx-10.0")),
        };
        if kind.attribute("arch").is_none() {
            kind.set("arch", arch);
        }
        if let (None, Some(machine)) = (kind.attribute("machine"), machine) {
            kind.set("machine", machine);
        }
    }
    let hvm = os.child_text("type").as_deref() == Some("hvm");
    if hvm && !per_device && os.child("boot").is_none() && os.child("kernel").is_none() {
        os.push(Element::new("boot").with("dev", "hd"));
    }
    Ok(())
}

fn memory(config: &mut Element) -> Result<()> {
    let total = settings::stated_memory(config, Memory::Total)?.unwrap_or(0);
    if total == 0 {
        return Err(fault(
            "Memory size must be specified via <memory> or in the <numa> configuration",
        ));
    }
    let current = settings::stated_memory(config, Memory::Current)?;
    let current = current.filter(|&current| current != 0).unwrap_or(total);
    settings::set_memory(config, Memory::Total, total);
    settings::set_memory(config, Memory::Current, current.min(total));
    Ok(())
}

fn processors(config: &mut Element) -> Result<()> {
    let stated = config.child("vcpu");
    let number = |text: &str| {
        text.trim()
            .parse::<u32>()
            .map_err(|_| fault("maximum vcpus count must be an integer"))
    };
    let maximum = match stated.map(Element::text).as_deref() {
        None | Some("") => 1,
        Some(text) => number(text)?,
    };
    let current = match stated.and_then(|vcpu| vcpu.attribute("current")) {
        None => maximum,
        Some(text) => number(text)?,
    };
    if maximum == 0 {
        return Err(fault("invalid number of vCPUs"));
    }
    if maximum > settings::MAX_VCPUS {
        let limit = settings::MAX_VCPUS;
        let what = format!("Maximum CPUs greater than specified machine type limit {limit}");
        return Err(unsupported(&what));
    }
    if current > maximum {
        return Err(unsupported(
            "maximum vCPU count must not be less than current vCPU count",
        ));
    }
    if config.child("vcpu").is_none() {
        config.push(Element::new("vcpu"));
    }
    if let Some(vcpu) = config.child_mut("vcpu") {
        if vcpu.attribute("placement").is_none() {
            vcpu.attributes
                .insert(0, (String::from("placement"), String::from("static")));
        }
    }
    settings::set_vcpus(config, current, maximum);
    Ok(())
}

fn devices_of(devices: &mut Element, uuid: &Uuid, test: bool) -> Result<()> {
    devices
        .children
        .retain(|node| matches!(node, Node::Element(_)));
    sort(devices, DEVICES);
    if !test && devices.child("emulator").is_none() {
        devices.push_front(Element::new("emulator").with_text("/usr/bin/qemu-system-x86_64"));
    }
    let mut sources: Vec<(String, String)> = Vec::new();
    let mut interfaces = 0;
    for device in devices.elements_mut() {
        match device.name.as_str() {
            "disk" => {
                let (target, source) = disk(device, test)?;
                if let Some((_, other)) = sources.iter().find(|(one, _)| *one == target) {
                    return Err(fault(&format!(
                        "target '{target}' duplicated for disk sources '{source}' and '{other}'"
                    )));
                }
                sources.push((target, source));
            }
            "interface" => {
                interface(device, uuid, interfaces, test);
                interfaces += 1;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Completes a disk; its target and its source.
pub(crate) fn disk(disk: &mut Element, test: bool) -> Result<(String, String)> {
    let kind = disk.attribute("type").unwrap_or("file").to_owned();
    if !matches!(
        kind.as_str(),
        "file" | "block" | "dir" | "network" | "volume" | "nvme" | "vhostuser" | "vhostvdpa"
    ) {
        return Err(fault(&format!(
            "Invalid value for attribute 'type' in element 'disk': '{kind}'."
        )));
    }
    let device = disk.attribute("device").unwrap_or("disk").to_owned();
    let source = disk.child("source").and_then(source_of).unwrap_or_default();
    let target = disk
        .child("target")
        .and_then(|target| target.attribute("dev"));
    let Some(target) = target.map(str::to_owned) else {
        return Err(virtwire_protocol::RemoteError::new(
            ErrorCode::NO_TARGET,
            ErrorDomain::DOMAIN,
            format!("missing target information for device {source}"),
        ));
    };
    disk.unset("type");
    disk.unset("device");
    let rest = std::mem::take(&mut disk.attributes);
    disk.set("type", kind);
    disk.set("device", &device);
    disk.attributes.extend(rest);
    if disk.child("driver").is_none() && !test {
        disk.push(
            Element::new("driver")
                .with("name", "qemu")
                .with("type", "raw"),
        );
    }
    if let Some(driver) = disk.child_mut("driver").filter(|_| !test) {
        if driver.attribute("name").is_none() {
            let name = (String::from("name"), String::from("qemu"));
            driver.attributes.insert(0, name);
        }
    }
    if let Some(element) = disk.child_mut("target") {
        if element.attribute("bus").is_none() {
            element.set("bus", bus_of(&target));
        }
    }
    if device == "cdrom" && disk.child("readonly").is_none() {
        disk.push(Element::new("readonly"));
    }
    sort(disk, DISK);
    Ok((target, source))
}

/// What a disk's source element names.
pub(crate) fn source_of(source: &Element) -> Option<String> {
    ["file", "dev", "name", "dir", "volume"]
        .into_iter()
        .find_map(|attribute| source.attribute(attribute))
        .map(str::to_owned)
}

fn bus_of(target: &str) -> &'static str {
    match target.get(..2) {
        Some("hd") => "ide",
        Some("sd") => "scsi",
        Some("xv") => "xen",
        Some("fd") => "fdc",
        Some("ub") => "uml",
        _ => "virtio",
    }
}

fn interface(interface: &mut Element, uuid: &Uuid, index: usize, test: bool) {
    if interface.child("mac").is_none() {
        // The prefix is QEMU's; the rest is the domain's, so that runs repeat.
        let [.., a, b, c] = *uuid;
        let last = c.wrapping_add(u8::try_from(index & 0xff).unwrap_or_default());
        let address = format!("52:54:00:{a:02x}:{b:02x}:{last:02x}");
        interface.push_front(Element::new("mac").with("address", address));
    }
    if test && interface.child("target").is_none() {
        let target = Element::new("target").with("dev", format!("testnet{index}"));
        let place = interface
            .children
            .iter()
            .position(|node| matches!(node, Node::Element(child) if child.name == "source"))
            .map_or(1, |source| source + 1);
        interface.children.insert(place, Node::Element(target));
    }
}

/// Sorts children by the place of their name in `order`; unknown ones come last.
fn sort(element: &mut Element, order: &[&str]) {
    element.children.sort_by_key(|node| match node {
        Node::Element(child) => order
            .iter()
            .position(|name| *name == child.name)
            .unwrap_or(order.len()),
        Node::Text(_) => order.len(),
    });
}

fn unsupported(about: &str) -> virtwire_protocol::RemoteError {
    from_domain(ErrorDomain::DOMAIN, ErrorCode::CONFIG_UNSUPPORTED, about)
}
