//! Plugging disks in and out.

use virtwire_protocol::RemoteError;
use virtwire_protocol::constants::{DomainModificationImpact, ErrorCode, ErrorDomain};
use virtwire_protocol::event::DomainEventKind;
use virtwire_protocol::remote::{self, NonnullDomain};

use crate::call::Call;
use crate::hypervisor::disk::{disk_elements, target_of};
use crate::hypervisor::domain::{hardware, normal};
use crate::hypervisor::{Domain, Hypervisor};
use crate::refusal::{Result, check_flags, from_domain, refusal};
use crate::router::Router;
use crate::xml::{Element, Node};

/// `VIR_DOMAIN_AFFECT_LIVE` and `_CONFIG`.
const IMPACT: u32 = 1 | 2;

pub(super) fn routes(router: &mut Router) {
    router.on_monitor::<remote::DomainAttachDevice>(
        |args| &args.dom,
        |call, args| {
            let live = DomainModificationImpact::LIVE.bits();
            attach(call, &args.dom, &args.xml.to_string_lossy(), live)
        },
    );
    router.on_monitor::<remote::DomainAttachDeviceFlags>(
        |args| &args.dom,
        |call, args| attach(call, &args.dom, &args.xml.to_string_lossy(), args.flags),
    );
    router.on_monitor::<remote::DomainDetachDevice>(
        |args| &args.dom,
        |call, args| {
            let live = DomainModificationImpact::LIVE.bits();
            detach(call, &args.dom, &args.xml.to_string_lossy(), live)
        },
    );
    router.on_monitor::<remote::DomainDetachDeviceFlags>(
        |args| &args.dom,
        |call, args| detach(call, &args.dom, &args.xml.to_string_lossy(), args.flags),
    );
}

fn attach(call: &Call, dom: &NonnullDomain<'_>, xml: &str, flags: u32) -> Result<()> {
    check_flags(flags, IMPACT, "qemuDomainAttachDeviceFlags")?;
    let mut hypervisor = call.hypervisor();
    let domain = hypervisor.domain(dom)?;
    let (disk, target) = disk(xml, "attach", domain.is_test())?;
    let impact = domain.impact(flags)?;
    let taken = |config: &Element| disk_elements(config).any(|one| is_called(one, &target));
    if impact.config && domain.definition.as_ref().is_some_and(taken) {
        let about = format!("target {target} already exists");
        return Err(refusal(ErrorCode::OPERATION_INVALID, about));
    }
    if impact.live {
        plug_in(&mut hypervisor, dom, &disk)?;
    }
    let domain = hypervisor.domains.get_mut(&dom.uuid);
    let definition = domain.and_then(|domain| domain.definition.as_mut());
    if let Some(definition) = definition.filter(|_| impact.config) {
        add(definition, disk);
    }
    Ok(())
}

fn plug_in(hypervisor: &mut Hypervisor, dom: &NonnullDomain<'_>, disk: &Element) -> Result<()> {
    let Hypervisor {
        domains,
        model,
        next_interface,
        ..
    } = hypervisor;
    let Some(domain) = domains.get_mut(&dom.uuid) else {
        return Ok(());
    };
    let name = domain.name.clone();
    let live = domain.live_mut()?;
    live.disks.attach(disk, &name, model)?;
    add(&mut live.config, disk.clone());
    hardware::plug(&mut live.config, next_interface);
    let target = target_of(disk).unwrap_or_default();
    let dev_alias = alias(domain, target);
    hypervisor.emit_now(dom.uuid, DomainEventKind::DeviceAdded { dev_alias });
    Ok(())
}

fn detach(call: &Call, dom: &NonnullDomain<'_>, xml: &str, flags: u32) -> Result<()> {
    check_flags(flags, IMPACT, "qemuDomainDetachDeviceFlags")?;
    let mut hypervisor = call.hypervisor();
    let domain = hypervisor.domain_mut(dom)?;
    let (_, target) = disk(xml, "detach", domain.is_test())?;
    let impact = domain.impact(flags)?;
    let there = |config: &Element| disk_elements(config).any(|one| is_called(one, &target));
    let missing = |words: String| refusal(ErrorCode::DEVICE_MISSING, words);
    if impact.config && !domain.definition.as_ref().is_some_and(there) {
        return Err(missing(format!("no target device {target}")));
    }
    let mut unplugged = None;
    if impact.live {
        if !there(&domain.live()?.config) {
            return Err(missing(format!("disk {target} not found")));
        }
        unplugged = Some(alias(domain, &target));
        domain.live_mut()?.disks.detach(&target)?;
    }
    for config in domain.sides(impact) {
        if let Some(devices) = config.child_mut("devices") {
            devices.children.retain(
                |node| !matches!(node, Node::Element(one) if one.name == "disk" && is_called(one, &target)),
            );
        }
    }
    if let Some(dev_alias) = unplugged {
        hypervisor.emit_now(dom.uuid, DomainEventKind::DeviceRemoved { dev_alias });
    }
    Ok(())
}

/// The disk that XML describes, and what it is called. Other devices stay where they are.
fn disk(xml: &str, what: &str, test: bool) -> Result<(Element, String)> {
    let mut device = Element::parse(xml).map_err(|error| xml_error(&error.to_string()))?;
    if device.name != "disk" {
        let kind = &device.name;
        let about = format!("live {what} of device '{kind}' is not supported");
        return Err(refusal(ErrorCode::OPERATION_UNSUPPORTED, about));
    }
    let (target, _) = normal::disk(&mut device, test)?;
    Ok((device, target))
}

fn is_called(disk: &Element, target: &str) -> bool {
    target_of(disk) == Some(target)
}

/// The hypervisor's name for a disk.
fn alias(domain: &Domain, target: &str) -> String {
    let config = domain.current();
    let disk = disk_elements(config).find(|disk| is_called(disk, target));
    let alias = disk.and_then(|disk| disk.child("alias"));
    let name = alias.and_then(|alias| alias.attribute("name"));
    name.unwrap_or_default().to_owned()
}

/// Puts a disk behind the others.
fn add(config: &mut Element, disk: Element) {
    let Some(devices) = config.child_mut("devices") else {
        config.push(Element::new("devices").with_child(disk));
        return;
    };
    let last = devices.children.iter().rposition(
        |node| matches!(node, Node::Element(one) if one.name == "disk" || one.name == "emulator"),
    );
    let place = last.map_or(0, |last| last + 1);
    devices.children.insert(place, Node::Element(disk));
}

fn xml_error(about: &str) -> RemoteError {
    from_domain(ErrorDomain::DOMAIN, ErrorCode::XML_ERROR, about)
}
