//! Virtual networks.

use std::collections::BTreeMap;

use virtwire_protocol::RemoteError;
use virtwire_protocol::constants::{
    ConnectListAllNetworksFlags as Flags, ErrorCode, ErrorDomain, NetworkUpdateFlags,
    NetworkXmlFlags,
};
use virtwire_protocol::remote::NonnullNetwork;
use virtwire_xdr::Str;

use super::domain::free_uuid;
use super::{Uuid, parse_uuid, uuid_text};
use crate::refusal::{Result, from_domain};
use crate::xml::Element;

/// How many networks there may be: as many as one reply can list.
const MAX_NETWORKS: usize = 16_384;

/// What libvirt writes into a network's XML, in its order.
const ORDER: [&str; 17] = [
    "name",
    "uuid",
    "title",
    "description",
    "metadata",
    "forward",
    "bridge",
    "mtu",
    "mac",
    "domain",
    "dns",
    "vlan",
    "bandwidth",
    "port",
    "ip",
    "route",
    "virtualport",
];

/// All virtual networks.
#[derive(Debug, Default)]
pub(crate) struct Networks {
    networks: BTreeMap<Uuid, Network>,
}

/// A virtual network.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) name: String,
    pub(crate) uuid: Uuid,
    /// What outlives its being stopped; none when it is transient.
    definition: Option<Element>,
    /// What it is while it is active.
    live: Option<Element>,
    pub(crate) autostart: bool,
}

/// What a client's XML says a network is.
#[derive(Debug)]
pub(crate) struct Described {
    name: String,
    uuid: Uuid,
    config: Element,
}

impl Network {
    pub(crate) fn is_active(&self) -> bool {
        self.live.is_some()
    }

    pub(crate) fn is_persistent(&self) -> bool {
        self.definition.is_some()
    }

    /// As it is named on the wire.
    pub(crate) fn reference(&self) -> NonnullNetwork<'static> {
        NonnullNetwork {
            name: Str::from(self.name.clone()),
            uuid: self.uuid,
        }
    }

    /// The XML.
    pub(crate) fn xml(&self, flags: NetworkXmlFlags) -> String {
        let inactive = flags.contains(NetworkXmlFlags::INACTIVE);
        let config = match (&self.live, &self.definition) {
            (Some(_), Some(definition)) if inactive => Some(definition),
            (Some(live), _) => Some(live),
            (None, definition) => definition.as_ref(),
        };
        config.map(ToString::to_string).unwrap_or_default()
    }

    /// The bridge that it is, or would be.
    pub(crate) fn bridge(&self) -> Result<String> {
        let config = self.live.as_ref().or(self.definition.as_ref());
        config
            .and_then(bridge_of)
            .map(str::to_owned)
            .ok_or_else(|| {
                let what = format!("network '{}' does not have a bridge name.", self.name);
                network(ErrorCode::INTERNAL_ERROR, &what)
            })
    }

    /// Whether a list with these flags has it.
    pub(crate) fn matches(&self, flags: Flags) -> bool {
        // Of each pair at least one flag has to fit, if there is one of it at all.
        let either = |yes: Flags, no: Flags, holds| {
            !flags.intersects(yes | no) || flags.contains(if holds { yes } else { no })
        };
        either(Flags::ACTIVE, Flags::INACTIVE, self.is_active())
            && either(Flags::PERSISTENT, Flags::TRANSIENT, self.is_persistent())
            && either(Flags::AUTOSTART, Flags::NO_AUTOSTART, self.autostart)
    }

    /// What the flags mean now, whether it is what runs and what is defined.
    fn impact(&self, flags: NetworkUpdateFlags) -> Result<(bool, bool)> {
        let (live, config) = match flags & (NetworkUpdateFlags::LIVE | NetworkUpdateFlags::CONFIG) {
            NetworkUpdateFlags::CURRENT => (self.is_active(), !self.is_active()),
            flags => (
                flags.contains(NetworkUpdateFlags::LIVE),
                flags.contains(NetworkUpdateFlags::CONFIG),
            ),
        };
        let refused = |what| Err(network(ErrorCode::OPERATION_INVALID, what));
        if live && !self.is_active() {
            return refused("network is not running");
        }
        if config && !self.is_persistent() {
            return refused("cannot change persistent config of a transient network");
        }
        Ok((live, config))
    }

    /// The side that a question is about.
    pub(crate) fn side(&self, flags: NetworkUpdateFlags) -> Result<Option<&Element>> {
        let (live, _) = self.impact(flags)?;
        Ok(match live {
            true => self.live.as_ref(),
            false => self.definition.as_ref(),
        })
    }

    /// All sides that a change is to affect.
    pub(crate) fn sides(
        &mut self,
        flags: NetworkUpdateFlags,
    ) -> Result<impl Iterator<Item = &mut Element>> {
        let (live, config) = self.impact(flags)?;
        let live = self.live.as_mut().filter(|_| live);
        let config = self.definition.as_mut().filter(|_| config);
        Ok(live.into_iter().chain(config))
    }

    /// Starts it.
    pub(crate) fn start(&mut self) -> Result<()> {
        if self.is_active() {
            let what = "network is already active";
            return Err(network(ErrorCode::OPERATION_INVALID, what));
        }
        self.live.clone_from(&self.definition);
        Ok(())
    }

    /// Fails unless it is active.
    pub(crate) fn check_active(&self) -> Result<()> {
        if self.is_active() {
            return Ok(());
        }
        let what = format!("network '{}' is not active", self.name);
        Err(network(ErrorCode::OPERATION_INVALID, &what))
    }

    /// Stops it.
    pub(crate) fn stop(&mut self) -> Result<()> {
        self.check_active()?;
        self.live = None;
        Ok(())
    }

    /// Has it be gone once it is stopped.
    pub(crate) fn undefine(&mut self) -> Result<()> {
        if self.definition.take().is_none() {
            let what = "can't undefine transient network";
            return Err(network(ErrorCode::OPERATION_INVALID, what));
        }
        self.autostart = false;
        Ok(())
    }
}

impl Networks {
    /// All of them, in an order that does not change.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Network> {
        self.networks.values()
    }

    /// The network that a client speaks of: its UUID counts, as in libvirt.
    pub(crate) fn get(&self, wanted: &NonnullNetwork<'_>) -> Result<&Network> {
        let found = self.networks.get(&wanted.uuid);
        found.ok_or_else(|| no_such_network(wanted))
    }

    /// The network that a client speaks of, to be changed.
    pub(crate) fn get_mut(&mut self, wanted: &NonnullNetwork<'_>) -> Result<&mut Network> {
        let found = self.networks.get_mut(&wanted.uuid);
        found.ok_or_else(|| no_such_network(wanted))
    }

    pub(crate) fn by_uuid(&self, uuid: &Uuid) -> Result<&Network> {
        let found = self.networks.get(uuid);
        found.ok_or_else(|| no_network(&format!("with matching uuid '{}'", uuid_text(uuid))))
    }

    pub(crate) fn by_name(&self, name: &str) -> Result<&Network> {
        let found = self.iter().find(|network| network.name == name);
        found.ok_or_else(|| no_network(&format!("with matching name '{name}'")))
    }

    /// Reads a network's XML, and completes it as libvirt does.
    pub(crate) fn describe(&self, xml: &str) -> Result<Described> {
        let fault = |about: &str| network(ErrorCode::XML_ERROR, about);
        let mut config = Element::parse(xml).map_err(|error| fault(&error.to_string()))?;
        if config.name != "network" {
            let root = &config.name;
            return Err(fault(&format!(
                "expecting root element of 'network', not '{root}'"
            )));
        }
        let name = config.child_text("name").filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| {
            let what = "missing name information";
            RemoteError::new(ErrorCode::NO_NAME, ErrorDomain::NETWORK, what)
        })?;
        if name.contains(['/', '\n']) {
            return Err(fault(&format!("invalid char in name: {name}")));
        }
        let uuid = match config.child_text("uuid") {
            Some(text) => parse_uuid(&text)
                .ok_or_else(|| network(ErrorCode::INTERNAL_ERROR, "malformed uuid element"))?,
            None => match self.by_name(&name) {
                // libvirt makes one up, and then refuses it because of the name.
                Ok(there) => there.uuid,
                Err(_) => free_uuid(&format!("network {name}"), |uuid| {
                    self.networks.contains_key(uuid)
                }),
            },
        };
        config.set_child_text("uuid", uuid_text(&uuid));
        self.complete(&mut config, &name, &uuid)?;
        Ok(Described { name, uuid, config })
    }

    /// Adds the bridge and its address, and puts everything into libvirt's order.
    fn complete(&self, config: &mut Element, name: &str, uuid: &Uuid) -> Result<()> {
        let mode = match config.child("forward") {
            Some(forward) => forward.attribute("mode").unwrap_or("nat").to_owned(),
            None => String::from("none"),
        };
        match mode.as_str() {
            "none" => {}
            "nat" | "route" | "open" => {
                if config.child("ip").is_none() {
                    let what = format!(
                        "{mode} forwarding requested, but no IP address provided for network \
                         '{name}'"
                    );
                    return Err(network(ErrorCode::XML_ERROR, &what));
                }
            }
            "bridge" | "private" | "vepa" | "passthrough" | "hostdev" => {
                sort(config);
                return Ok(());
            }
            mode => {
                let what =
                    format!("Invalid value for attribute 'mode' in element 'forward': '{mode}'.");
                return Err(network(ErrorCode::XML_ERROR, &what));
            }
        }
        let given = config.child("bridge").cloned();
        let given = given.unwrap_or_else(|| Element::new("bridge"));
        let mut bridge = Element::new("bridge").with("name", self.bridge_name(&given, name)?);
        for (attribute, otherwise) in [
            ("zone", None),
            ("stp", Some("on")),
            ("delay", Some("0")),
            ("macTableManager", None),
        ] {
            if let Some(value) = given.attribute(attribute).or(otherwise) {
                bridge.set(attribute, value);
            }
        }
        config.replace(bridge);
        if config.child("mac").is_none() {
            let [a, b, c, ..] = uuid;
            let address = format!("52:54:00:{a:02x}:{b:02x}:{c:02x}");
            config.push(Element::new("mac").with("address", address));
        }
        sort(config);
        Ok(())
    }

    /// The name that was given, or the next that is free.
    fn bridge_name(&self, given: &Element, network_name: &str) -> Result<String> {
        let used = |name: &str| {
            let mut others = self.iter().filter(|other| other.name != network_name);
            others.any(|other| {
                let configs = [other.live.as_ref(), other.definition.as_ref()];
                configs
                    .into_iter()
                    .flatten()
                    .any(|it| bridge_of(it) == Some(name))
            })
        };
        let pattern = match given.attribute("name") {
            Some(name) if !name.contains("%d") => {
                if used(name) {
                    let what = format!("bridge name '{name}' already in use.");
                    return Err(network(ErrorCode::INTERNAL_ERROR, &what));
                }
                return Ok(name.to_owned());
            }
            Some(pattern) => pattern,
            None => "virbr%d",
        };
        let free = (0..=256).map(|number: u32| pattern.replace("%d", &number.to_string()));
        free.into_iter().find(|name| !used(name)).ok_or_else(|| {
            let what = "Bridge generation exceeded max id 256";
            network(ErrorCode::INTERNAL_ERROR, what)
        })
    }

    /// Takes a definition in, for later.
    pub(crate) fn define(&mut self, described: Described) -> Result<&Network> {
        self.check_identity(&described)?;
        let network = self.entry(&described);
        network.definition = Some(described.config);
        Ok(network)
    }

    /// Takes a definition in, and starts it.
    pub(crate) fn create(&mut self, described: Described) -> Result<&Network> {
        self.check_identity(&described)?;
        let there = self.networks.get(&described.uuid);
        if there.is_some_and(Network::is_active) {
            let what = format!("network is already active as '{}'", described.name);
            return Err(network(ErrorCode::OPERATION_INVALID, &what));
        }
        let network = self.entry(&described);
        network.live = Some(described.config);
        Ok(network)
    }

    fn entry(&mut self, described: &Described) -> &mut Network {
        self.networks
            .entry(described.uuid)
            .or_insert_with(|| Network {
                name: described.name.clone(),
                uuid: described.uuid,
                definition: None,
                live: None,
                autostart: false,
            })
    }

    fn check_identity(&self, described: &Described) -> Result<()> {
        let Described { name, uuid, .. } = described;
        let failed = |what: &str| Err(network(ErrorCode::OPERATION_FAILED, what));
        if let Some(there) = self.networks.get(uuid) {
            if there.name != *name {
                let (name, uuid) = (&there.name, uuid_text(uuid));
                return failed(&format!(
                    "network '{name}' is already defined with uuid {uuid}"
                ));
            }
        } else if let Ok(there) = self.by_name(name) {
            let uuid = uuid_text(&there.uuid);
            return failed(&format!("network '{name}' already exists with uuid {uuid}"));
        } else if self.networks.len() >= MAX_NETWORKS {
            return failed("too many networks");
        }
        Ok(())
    }

    /// Forgets a network that is neither active nor defined.
    pub(crate) fn tidy(&mut self, uuid: &Uuid) {
        let network = self.networks.get(uuid);
        if network.is_some_and(|it| !it.is_active() && !it.is_persistent()) {
            self.networks.remove(uuid);
        }
    }
}

fn bridge_of(config: &Element) -> Option<&str> {
    config.child("bridge")?.attribute("name")
}

fn sort(config: &mut Element) {
    let place = |node: &crate::xml::Node| match node {
        crate::xml::Node::Element(element) => ORDER
            .iter()
            .position(|name| *name == element.name)
            .unwrap_or(ORDER.len()),
        crate::xml::Node::Text(_) => ORDER.len(),
    };
    config.children.sort_by_key(place);
}

/// An error of libvirt's network driver.
pub(crate) fn network(code: ErrorCode, about: &str) -> RemoteError {
    from_domain(ErrorDomain::NETWORK, code, about)
}

fn no_network(which: &str) -> RemoteError {
    network(ErrorCode::NO_NETWORK, &format!("no network {which}"))
}

fn no_such_network(wanted: &NonnullNetwork<'_>) -> RemoteError {
    let (uuid, name) = (uuid_text(&wanted.uuid), wanted.name.to_string_lossy());
    no_network(&format!("with matching uuid '{uuid}' ({name})"))
}
