//! The host of a configuration.

use super::ConfigError;
use crate::hypervisor::Hypervisor;
use crate::hypervisor::host::Host;
use crate::xml::Element;

/// Takes over what is said of the host; the rest is as in libvirt's test driver.
pub(super) fn load(hypervisor: &mut Hypervisor, node: &Element) -> Result<(), ConfigError> {
    let cpu = node.child("cpu");
    if cpu.is_none() && node.child("memory").is_none() {
        return Ok(());
    }
    let mut host = Host::test();
    let number = |element: Option<&Element>, value: &mut u32| match element {
        Some(element) => element
            .text()
            .parse()
            .map(|number| *value = number)
            .map_err(|_| ConfigError::Number {
                element: element.name.clone(),
                value: element.text(),
            }),
        None => Ok(()),
    };
    let part = |name: &str| cpu.and_then(|cpu| cpu.child(name));
    let mut active = u32::MAX;
    number(part("nodes"), &mut host.nodes)?;
    number(part("sockets"), &mut host.sockets)?;
    number(part("cores"), &mut host.cores)?;
    number(part("threads"), &mut host.threads)?;
    number(part("mhz"), &mut host.mhz)?;
    number(part("active"), &mut active)?;
    let factors = [host.nodes, host.sockets, host.cores, host.threads];
    let all = factors.into_iter().fold(1, u32::saturating_mul);
    host.cpus = all.min(active).min(Host::MAX_CPUS);
    if let Some(model) = part("model") {
        host.model = model.text();
    }
    if let Some(memory) = node.child("memory") {
        host.memory = memory.text().parse().map_err(|_| ConfigError::Number {
            element: memory.name.clone(),
            value: memory.text(),
        })?;
    }
    hypervisor.host = Some(host);
    Ok(())
}
