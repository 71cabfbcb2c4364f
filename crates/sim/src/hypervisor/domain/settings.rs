//! The numbers in a domain's description: memory, in KiB, and processors.

use virtwire_protocol::constants::{ErrorCode, ErrorDomain};

use super::described::fault;
use crate::refusal::{Result, from_domain};
use crate::xml::Element;

/// How many processors a domain may have.
pub(crate) const MAX_VCPUS: u32 = 1024;

/// Which memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memory {
    /// What the domain starts with and can never exceed.
    Total,
    /// What its balloon leaves it.
    Current,
}

impl Memory {
    fn element(self) -> &'static str {
        match self {
            Self::Total => "memory",
            Self::Current => "currentMemory",
        }
    }
}

/// What a client's XML says, whatever its unit; none when it says nothing.
pub(super) fn stated_memory(config: &Element, memory: Memory) -> Result<Option<u64>> {
    let Some(element) = config.child(memory.element()) else {
        return Ok(None);
    };
    let number = element.text();
    let number: u64 = number.parse().map_err(|_| {
        fault(&format!(
            "Invalid value '{number}' for element or attribute"
        ))
    })?;
    let unit = element.attribute("unit").unwrap_or("KiB");
    let scale = scale_of(unit).ok_or_else(|| {
        let what = format!("unknown suffix '{unit}'");
        from_domain(ErrorDomain::NONE, ErrorCode::INVALID_ARG, &what)
    })?;
    let bytes = number
        .checked_mul(scale)
        .ok_or_else(|| from_domain(ErrorDomain::NONE, ErrorCode::OVERFLOW, "value too large"))?;
    Ok(Some(bytes.div_ceil(1024)))
}

/// The bytes of a unit.
pub(crate) fn scale_of(unit: &str) -> Option<u64> {
    let unit = unit.to_ascii_lowercase();
    if matches!(unit.as_str(), "b" | "byte" | "bytes") {
        return Some(1);
    }
    let (letter, rest) = unit.split_at_checked(1)?;
    let power = match letter {
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        "e" => 6,
        _ => return None,
    };
    match rest {
        "" | "ib" => Some(1024_u64.pow(power)),
        "b" => Some(1000_u64.pow(power)),
        _ => None,
    }
}

/// Memory in KiB, of a description that is complete.
pub(crate) fn memory(config: &Element, memory: Memory) -> u64 {
    let text = config.child_text(memory.element()).unwrap_or_default();
    text.parse().unwrap_or(0)
}

/// Sets memory in KiB.
pub(crate) fn set_memory(config: &mut Element, memory: Memory, kib: u64) {
    let element = Element::new(memory.element()).with("unit", "KiB");
    config.replace(element.with_text(kib));
}

/// The processors that are there now.
pub(crate) fn vcpus(config: &Element) -> u32 {
    let current = config
        .child("vcpu")
        .and_then(|vcpu| vcpu.attribute("current"));
    let current = current.and_then(|text| text.parse().ok());
    current.unwrap_or_else(|| max_vcpus(config))
}

/// The processors that there can be.
pub(crate) fn max_vcpus(config: &Element) -> u32 {
    let text = config.child_text("vcpu").unwrap_or_default();
    text.parse().unwrap_or(1)
}

/// Sets the processors.
pub(crate) fn set_vcpus(config: &mut Element, current: u32, maximum: u32) {
    let Some(vcpu) = config.child_mut("vcpu") else {
        return;
    };
    vcpu.unset("current");
    if current != maximum {
        vcpu.set("current", current);
    }
    vcpu.children.clear();
    *vcpu = std::mem::take(vcpu).with_text(maximum);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_counted_in_kib_whatever_its_unit() {
        let cases = [
            ("<memory>5</memory>", 5),
            ("<memory unit='b'>1025</memory>", 2),
            ("<memory unit='KB'>1000</memory>", 977),
            ("<memory unit='MiB'>3</memory>", 3072),
            ("<memory unit='G'>1</memory>", 1 << 20),
        ];
        for (text, kib) in cases {
            let config = Element::parse(&format!("<domain>{text}</domain>")).unwrap();
            assert_eq!(
                stated_memory(&config, Memory::Total).unwrap(),
                Some(kib),
                "{text}"
            );
        }
        let config = Element::parse("<domain><memory unit='E'>99</memory></domain>").unwrap();
        let error = stated_memory(&config, Memory::Total).unwrap_err();
        assert_eq!(error.code, ErrorCode::OVERFLOW);
    }
}
