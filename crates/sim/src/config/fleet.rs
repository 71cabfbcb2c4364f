//! Many domains at once, in every state there is.

use virtwire_protocol::constants::DomainState;

use super::{ConfigError, refused};
use crate::hypervisor::Hypervisor;
use crate::hypervisor::domain::Start;

/// Adds so many domains: the first runs, the next is paused, and so on through what can be.
pub(crate) fn fleet(hypervisor: &mut Hypervisor, count: usize) -> Result<(), ConfigError> {
    for number in 0..count {
        let name = format!("guest-{:04}", number + 1);
        add(hypervisor, number, &name).map_err(refused("domain", &name))?;
    }
    Ok(())
}

fn add(hypervisor: &mut Hypervisor, number: usize, name: &str) -> crate::refusal::Result<()> {
    let described = hypervisor.describe(&xml(number, name))?;
    let uuid = described.uuid;
    let running = Start::default();
    let paused = Start {
        paused: true,
        ..running
    };
    let kind = number % 6;
    if kind == 3 {
        return hypervisor.create(described, running).map(drop);
    }
    hypervisor.define(described)?;
    match kind {
        0 => hypervisor.start(uuid, running)?,
        1 => hypervisor.start(uuid, paused)?,
        4 => {
            hypervisor.start(uuid, running)?;
            hypervisor.save(uuid, None)?;
        }
        5 => {
            hypervisor.start(uuid, running)?;
            if let Some(domain) = hypervisor.domains.get_mut(&uuid) {
                domain.state = DomainState::CRASHED;
                domain.reason = virtwire_protocol::constants::DomainCrashedReason::PANICKED.0;
            }
        }
        _ => {}
    }
    if let Some(domain) = hypervisor.domains.get_mut(&uuid) {
        domain.autostart = number % 4 == 0;
    }
    Ok(())
}

fn xml(number: usize, name: &str) -> String {
    let (cpus, mib) = (1 << (number % 4), 512 << (number % 5));
    let on_crash = if number % 6 == 5 {
        "preserve"
    } else {
        "destroy"
    };
    format!(
        "<domain type='kvm'>\
           <name>{name}</name>\
           <title>Guest number {number}</title>\
           <memory unit='MiB'>{mib}</memory>\
           <vcpu>{cpus}</vcpu>\
           <os><type>hvm</type></os>\
           <on_crash>{on_crash}</on_crash>\
           <devices>\
             <disk type='file'>\
               <driver name='qemu' type='qcow2'/>\
               <source file='/var/lib/libvirt/images/{name}.qcow2'/>\
               <target dev='vda'/>\
             </disk>\
             <interface type='network'><source network='default'/><model type='virtio'/></interface>\
             <memballoon model='virtio'/>\
           </devices>\
         </domain>"
    )
}
