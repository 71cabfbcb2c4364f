//! A domain: what is defined, what runs, and how the one becomes the other.

use tokio::time::Instant;
use virtwire_protocol::constants::{
    DomainRunningReason, DomainShutoffReason, DomainState, ErrorCode, ErrorDomain,
};
use virtwire_protocol::remote::NonnullDomain;
use virtwire_xdr::Str;

use super::disk::Disks;
use super::{Uuid, parse_uuid, uuid_text};
use crate::refusal::{Result, from_domain, not_valid_now};
use crate::xml::Element;

/// A domain.
#[derive(Debug)]
pub(crate) struct Domain {
    pub(crate) name: String,
    pub(crate) uuid: Uuid,
    pub(crate) state: DomainState,
    /// Of the type that belongs to the state.
    pub(crate) reason: i32,
    /// The definition that outlives a run; none when the domain is transient.
    pub(crate) definition: Option<Element>,
    /// What runs.
    pub(crate) live: Option<Live>,
    pub(crate) autostart: bool,
}

/// A running domain.
#[derive(Debug)]
pub(crate) struct Live {
    /// Its number, a new one with every start.
    pub(crate) id: i32,
    /// What it runs with.
    pub(crate) config: Element,
    /// Its disks as they are now.
    pub(crate) disks: Disks,
    /// When it started.
    pub(crate) since: Instant,
}

impl Live {
    /// The live XML.
    pub(crate) fn xml(&self) -> Element {
        let mut xml = self.config.clone().with("id", self.id);
        self.disks.describe(&mut xml);
        xml
    }
}

/// What a client's XML says a domain is.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) name: String,
    pub(crate) uuid: Uuid,
    pub(crate) config: Element,
}

impl Described {
    /// Reads a domain's XML. A UUID that it lacks is made from the name, so that runs repeat.
    pub(crate) fn parse(xml: &Str<'_>) -> Result<Self> {
        let fail = |about: &str| from_domain(ErrorDomain::DOM, ErrorCode::XML_ERROR, about);
        let text = xml.to_str().map_err(|error| fail(&error.to_string()))?;
        let mut config = Element::parse(text).map_err(|error| fail(&error.to_string()))?;
        if config.name != "domain" {
            return Err(fail(&format!("unexpected root element <{}>", config.name)));
        }
        let name = config.child_text("name").filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| fail("missing name element"))?;
        let uuid = match config.child_text("uuid") {
            Some(text) => parse_uuid(&text).ok_or_else(|| fail("malformed uuid element"))?,
            None => uuid_of(&name),
        };
        config.set_child_text("uuid", uuid_text(&uuid));
        config.unset("id");
        Ok(Self { name, uuid, config })
    }
}

/// A UUID (version 8) that depends on nothing but the name.
fn uuid_of(name: &str) -> Uuid {
    // Two rounds of FNV-1a; all that is asked of them is that names differ.
    let hash = |seed: u64| {
        name.bytes().fold(seed, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    };
    let (high, low) = (hash(0xcbf2_9ce4_8422_2325), hash(0x9e37_79b9_7f4a_7c15));
    let number = (u128::from(high) << 64) | u128::from(low);
    let marked = number & !(0xf000_u128 << 64) & !(0xc000_u128 << 48);
    (marked | (0x8000_u128 << 64) | (0x8000_u128 << 48)).to_be_bytes()
}

impl Domain {
    /// A domain that is defined and does not run.
    pub(crate) fn defined(described: Described) -> Self {
        Self {
            definition: Some(described.config),
            ..Self::transient(described.name, described.uuid)
        }
    }

    /// A domain that nothing defines; it is there only while it runs.
    pub(crate) fn transient(name: String, uuid: Uuid) -> Self {
        Self {
            name,
            uuid,
            state: DomainState::SHUTOFF,
            reason: DomainShutoffReason::UNKNOWN.0,
            definition: None,
            live: None,
            autostart: false,
        }
    }

    /// Starts it with this configuration.
    pub(crate) fn start(&mut self, id: i32, config: Element) -> Result<()> {
        let disks = Disks::open(&config)?;
        self.state = DomainState::RUNNING;
        self.reason = DomainRunningReason::BOOTED.0;
        self.live = Some(Live {
            id,
            config,
            disks,
            since: Instant::now(),
        });
        Ok(())
    }

    /// Its number while it runs, −1 otherwise.
    pub(crate) fn id(&self) -> i32 {
        self.live.as_ref().map_or(-1, |live| live.id)
    }

    /// What a running domain runs with.
    pub(crate) fn live(&self) -> Result<&Live> {
        self.live
            .as_ref()
            .ok_or_else(|| not_valid_now("domain is not running"))
    }

    /// As it is named on the wire.
    pub(crate) fn reference(&self) -> NonnullDomain<'static> {
        NonnullDomain {
            name: Str::from(self.name.clone()),
            uuid: self.uuid,
            id: self.id(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_uuids_are_well_formed_and_differ() {
        let text = uuid_text(&uuid_of("guest"));
        assert_eq!((&text[14..15], &text[19..20]), ("8", "8"), "{text}");
        assert_ne!(uuid_of("guest1"), uuid_of("guest2"));
        assert_eq!(uuid_of("guest"), uuid_of("guest"));
        assert_eq!(parse_uuid(&text), Some(uuid_of("guest")));
    }
}
