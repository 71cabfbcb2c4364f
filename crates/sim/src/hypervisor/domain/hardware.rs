//! What a domain's devices get when it starts.

use crate::xml::{Element, Node};

/// Gives devices the names by which the hypervisor knows them, and interfaces those of the host, of
/// which `next_interface` is the next. Those of libvirt's test driver have none.
pub(crate) fn plug(config: &mut Element, next_interface: &mut u32) {
    if config.attribute("type") == Some("test") {
        return;
    }
    let Some(devices) = config.child_mut("devices") else {
        return;
    };
    let (mut disks, mut interfaces) = (0, 0);
    for device in devices.elements_mut() {
        match device.name.as_str() {
            "disk" => {
                name(device, &disk_alias(device, disks));
                disks += 1;
            }
            "interface" => {
                if device.child("target").is_none() {
                    let target =
                        Element::new("target").with("dev", format!("vnet{next_interface}"));
                    let place = position(device, "model").unwrap_or(device.children.len());
                    device.children.insert(place, Node::Element(target));
                    *next_interface = next_interface.wrapping_add(1);
                }
                name(device, &format!("net{interfaces}"));
                interfaces += 1;
            }
            _ => {}
        }
    }
}

/// The name of a disk's frontend, as QEMU has it.
fn disk_alias(disk: &Element, number: usize) -> String {
    let bus = disk
        .child("target")
        .and_then(|target| target.attribute("bus"));
    match bus {
        Some("virtio") | None => format!("virtio-disk{number}"),
        Some("scsi") => format!("scsi0-0-0-{number}"),
        Some(bus) => format!("{bus}0-0-{number}"),
    }
}

fn name(device: &mut Element, alias: &str) {
    if device.child("alias").is_some() {
        return;
    }
    let alias = Element::new("alias").with("name", alias);
    let place = position(device, "address").unwrap_or(device.children.len());
    device.children.insert(place, Node::Element(alias));
}

fn position(device: &Element, name: &str) -> Option<usize> {
    let mut nodes = device.children.iter();
    nodes.position(|node| matches!(node, Node::Element(child) if child.name == name))
}

/// Takes those names away again: the description is to serve for another start.
pub(crate) fn unplug(config: &mut Element) {
    let Some(devices) = config.child_mut("devices") else {
        return;
    };
    for device in devices.elements_mut() {
        device.children.retain(|node| match node {
            Node::Element(child) => !is_given(child),
            Node::Text(_) => true,
        });
    }
}

/// Whether something was not asked for: names that users choose begin otherwise.
fn is_given(child: &Element) -> bool {
    let begins = |attribute: &str, prefix: &str| {
        child
            .attribute(attribute)
            .is_some_and(|value| value.starts_with(prefix))
    };
    match child.name.as_str() {
        "alias" => !begins("name", "ua-"),
        "target" => begins("dev", "vnet"),
        _ => false,
    }
}
