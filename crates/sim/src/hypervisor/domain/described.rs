//! What a client's XML says a domain is.

use virtwire_protocol::RemoteError;
use virtwire_protocol::constants::{ErrorCode, ErrorDomain};

use super::normal::normalise;
use crate::hypervisor::{Uuid, parse_uuid, uuid_text};
use crate::refusal::{Result, from_domain};
use crate::xml::Element;

/// What a client's XML says a domain is, completed as libvirt completes it.
#[derive(Debug, Clone)]
pub(crate) struct Described {
    pub(crate) name: String,
    pub(crate) uuid: Uuid,
    pub(crate) config: Element,
}

impl Described {
    /// Reads a domain's XML. A UUID that it lacks is made from the name, so that runs repeat;
    /// `taken` says which are no longer free.
    pub(crate) fn parse(xml: &str, taken: impl Fn(&Uuid) -> bool) -> Result<Self> {
        let parsed = Element::parse(xml);
        Self::from_element(parsed.map_err(|error| fault(&error.to_string()))?, taken)
    }

    /// Takes what is parsed already.
    pub(crate) fn from_element(mut config: Element, taken: impl Fn(&Uuid) -> bool) -> Result<Self> {
        if config.name != "domain" {
            let root = &config.name;
            return Err(fault(&format!(
                "expecting root element of 'domain', not '{root}'"
            )));
        }
        let name = config.child_text("name").unwrap_or_default();
        check_name(&name)?;
        let uuid = match config.child_text("uuid") {
            Some(text) => parse_uuid(&text).ok_or_else(|| {
                let what = "malformed uuid element";
                from_domain(ErrorDomain::DOMAIN, ErrorCode::INTERNAL_ERROR, what)
            })?,
            None => free_uuid(&name, taken),
        };
        config.set_child_text("uuid", uuid_text(&uuid));
        config.unset("id");
        let config = normalise(config, &uuid)?;
        Ok(Self { name, uuid, config })
    }
}

/// Whether a domain may be called so.
pub(super) fn check_name(name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(RemoteError::new(
            ErrorCode::NO_NAME,
            ErrorDomain::DOMAIN,
            "missing name information",
        ));
    }
    if name.contains('/') {
        return Err(fault(&format!("name {name} cannot contain '/'")));
    }
    if name.contains('\n') {
        let what = format!("invalid char in name: {name}");
        return Err(from_domain(ErrorDomain::NONE, ErrorCode::XML_ERROR, &what));
    }
    Ok(())
}

/// Something is wrong with the XML.
pub(crate) fn fault(about: &str) -> RemoteError {
    from_domain(ErrorDomain::DOMAIN, ErrorCode::XML_ERROR, about)
}

/// A UUID that depends on nothing but the name, and on what is `taken`.
pub(crate) fn free_uuid(name: &str, taken: impl Fn(&Uuid) -> bool) -> Uuid {
    let mut uuid = uuid_of(name, 0);
    for round in 1..=super::MAX_DOMAINS {
        if !taken(&uuid) {
            break;
        }
        uuid = uuid_of(name, round);
    }
    uuid
}

/// A UUID (version 8) that depends on nothing but the name and the round.
fn uuid_of(name: &str, round: usize) -> Uuid {
    // Two rounds of FNV-1a; all that is asked of them is that they differ.
    let bytes = || name.bytes().chain(round.to_be_bytes());
    let hash = |seed: u64| {
        bytes().fold(seed, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    };
    let (high, low) = (hash(0xcbf2_9ce4_8422_2325), hash(0x9e37_79b9_7f4a_7c15));
    let number = (u128::from(high) << 64) | u128::from(low);
    let marked = number & !(0xf000_u128 << 64) & !(0xf000_u128 << 48);
    (marked | (0x8000_u128 << 64) | (0x8000_u128 << 48)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_uuids_are_well_formed_and_differ() {
        let text = uuid_text(&uuid_of("guest", 0));
        assert_eq!((&text[14..15], &text[19..20]), ("8", "8"), "{text}");
        assert_ne!(uuid_of("guest1", 0), uuid_of("guest2", 0));
        assert_ne!(uuid_of("guest", 0), uuid_of("guest", 1));
        assert_eq!(parse_uuid(&text), Some(uuid_of("guest", 0)));
    }

    #[test]
    fn wrong_descriptions_are_refused_in_libvirts_words() {
        let os = "<memory>1</memory><os><type>hvm</type></os>";
        let cases = [
            ("<domain/>".to_owned(), "missing name information"),
            (
                "<foo/>".to_owned(),
                "XML error: expecting root element of 'domain', not 'foo'",
            ),
            (
                "<domain><name>a/b</name></domain>".to_owned(),
                "XML error: name a/b cannot contain '/'",
            ),
            (
                format!("<domain type='zzz'><name>a</name>{os}</domain>"),
                "unsupported configuration: invalid domain type zzz",
            ),
            (
                format!("<domain type='test'><name>a</name><uuid>zz</uuid>{os}</domain>"),
                "internal error: malformed uuid element",
            ),
            (
                "<domain type='test'><name>a</name><memory>1</memory></domain>".to_owned(),
                "XML error: an os <type> must be specified",
            ),
            (
                "<domain type='test'><name>a</name><os><type>hvm</type></os></domain>".to_owned(),
                "XML error: Memory size must be specified via <memory> or in the <numa> configuration",
            ),
            (
                format!(
                    "<domain type='test'><name>a</name><vcpu current='3'>2</vcpu>{os}</domain>"
                ),
                "unsupported configuration: maximum vCPU count must not be less than current vCPU count",
            ),
            (
                format!(
                    "<domain type='test'><name>a</name>{os}<devices><disk><source file='x'/></disk></devices></domain>"
                ),
                "missing target information for device x",
            ),
        ];
        for (xml, expected) in cases {
            let error = Described::parse(&xml, |_| false).unwrap_err();
            assert_eq!(error.message.as_deref(), Some(expected), "{xml}");
        }
    }
}
