//! The networks, pools and volumes of a configuration: all of them are active, and stay.

use std::path::Path;

use super::{ConfigError, included, refused};
use crate::hypervisor::Hypervisor;
use crate::hypervisor::domain::free_uuid;
use crate::hypervisor::storage::{PoolDefinition, Purpose, VolumeRequest};
use crate::refusal::Result;
use crate::xml::{Element, Node};

/// Adds a network.
pub(super) fn network(hypervisor: &mut Hypervisor, xml: &Element) -> Result<(), ConfigError> {
    let name = xml.child_text("name").unwrap_or_default();
    let made = (|| {
        let described = hypervisor.networks.describe(&xml.to_string())?;
        let reference = hypervisor.networks.define(described)?.reference();
        hypervisor.networks.get_mut(&reference)?.start()
    })();
    made.map_err(refused("network", &name))
}

/// Adds a pool with its volumes.
pub(super) fn pool(
    hypervisor: &mut Hypervisor,
    mut xml: Element,
    directory: &Path,
) -> Result<(), ConfigError> {
    let mut volumes = Vec::new();
    for child in xml.elements().filter(|child| child.name == "volume") {
        volumes.push(included(child, directory)?.0);
    }
    xml.children
        .retain(|node| !matches!(node, Node::Element(child) if child.name == "volume"));
    let name = xml.child_text("name").unwrap_or_default();
    let made = start(hypervisor, &xml);
    made.map_err(refused("pool", &name))?;
    for xml in volumes {
        let volume_name = xml.child_text("name").unwrap_or_default();
        let made = volume(hypervisor, &name, &xml);
        made.map_err(refused("volume", &volume_name))?;
    }
    Ok(())
}

fn start(hypervisor: &mut Hypervisor, xml: &Element) -> Result<()> {
    let pools = &hypervisor.pools;
    let definition = PoolDefinition::parse(&xml.to_string(), |name| {
        free_uuid(&format!("pool {name}"), |uuid| pools.contains(uuid))
    })?;
    let pool = hypervisor.pools.assign(definition, Purpose::Define)?;
    pool.persistent = true;
    let pool = pool.reference();
    let (pools, images) = hypervisor.storage();
    pools.build(&pool.uuid)?;
    pools.refresh(&pool.uuid, images)?;
    pools.pool_mut(&pool)?.active = true;
    Ok(())
}

fn volume(hypervisor: &mut Hypervisor, pool: &str, xml: &Element) -> Result<()> {
    let request = VolumeRequest::parse(&xml.to_string())?;
    let (pools, images) = hypervisor.storage();
    let uuid = pools.by_name(pool)?.uuid();
    pools.create_volume(&uuid, &request, images).map(drop)
}
