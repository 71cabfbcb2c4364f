//! A domain of a configuration, in the state that it says.

use virtwire_protocol::constants::DomainState;

use super::{ConfigError, refused};
use crate::hypervisor::domain::{Described, Start};
use crate::hypervisor::{Hypervisor, Uuid};
use crate::xml::{Element, Node};

/// The namespace of what the test driver adds to a domain's XML.
const NAMESPACE: &str = "http://libvirt.org/schemas/domain/test/1.0";

/// How a domain is to be.
#[derive(Debug)]
struct Wish {
    state: DomainState,
    transient: bool,
    saved: bool,
}

/// Adds a domain.
pub(super) fn load(hypervisor: &mut Hypervisor, mut xml: Element) -> Result<(), ConfigError> {
    let name = xml.child_text("name").unwrap_or_default();
    let wish = wish(&mut xml, &name)?;
    let taken = |uuid: &Uuid| hypervisor.domains.contains_key(uuid);
    let described = Described::from_element(xml, taken);
    let described = described.map_err(refused("domain", &name))?;
    let uuid = described.uuid;
    let made = match wish.transient {
        true => hypervisor.create(described, Start::default()),
        false => hypervisor.define(described),
    };
    made.map_err(refused("domain", &name))?;
    if wish.state != DomainState::SHUTOFF && !wish.transient || wish.saved {
        let started = hypervisor.start(uuid, Start::default());
        started.map_err(refused("domain", &name))?;
    }
    if wish.saved {
        let saved = hypervisor.save(uuid, None);
        saved.map_err(refused("domain", &name))?;
    } else if let Some(domain) = hypervisor.domains.get_mut(&uuid) {
        (domain.state, domain.reason) = (wish.state, 0);
    }
    Ok(())
}

/// Takes the test driver's elements out of a domain's XML.
fn wish(xml: &mut Element, name: &str) -> Result<Wish, ConfigError> {
    let prefixes: Vec<String> = xml
        .attributes
        .iter()
        .filter(|(_, value)| value == NAMESPACE)
        .filter_map(|(name, _)| Some(format!("{}:", name.strip_prefix("xmlns:")?)))
        .collect();
    let mut wish = Wish {
        state: DomainState::RUNNING,
        transient: false,
        saved: false,
    };
    let mut found = Vec::new();
    xml.children.retain(|node| {
        let Node::Element(child) = node else {
            return true;
        };
        let mut prefixes = prefixes.iter();
        let own = prefixes.find_map(|prefix| child.name.strip_prefix(prefix.as_str()));
        found.extend(own.map(|name| (name.to_owned(), child.text())));
        own.is_none()
    });
    xml.attributes.retain(|(_, value)| value != NAMESPACE);
    for (element, value) in found {
        match element.as_str() {
            "transient" => wish.transient = true,
            "hasmanagedsave" => wish.saved = true,
            "runstate" => wish.state = state(&value)?,
            _ => {}
        }
    }
    let problem = match wish.state {
        DomainState::SHUTOFF if wish.transient => "it is transient and shut off",
        DomainState::SHUTOFF => return Ok(wish),
        _ if wish.saved => "it has a saved state and is not shut off",
        _ => return Ok(wish),
    };
    Err(ConfigError::State {
        name: name.to_owned(),
        problem,
    })
}

fn state(text: &str) -> Result<DomainState, ConfigError> {
    let number = text.parse().map(DomainState).ok();
    number
        .filter(|state| state.name().is_some())
        .ok_or_else(|| ConfigError::Number {
            element: String::from("runstate"),
            value: text.to_owned(),
        })
}
