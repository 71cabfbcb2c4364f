//! Any number of domains for the test driver, real or simulated.

use std::fmt::Write as _;

use virtwire::constants::DomainState;

/// The name of a domain of the fleet.
#[must_use]
pub fn name(number: usize) -> String {
    format!("guest{number:03}")
}

/// The number of the domain of this name.
///
/// # Panics
///
/// When the fleet has none of this name.
#[must_use]
pub fn number_of(name: &str) -> usize {
    let number = name
        .strip_prefix("guest")
        .and_then(|number| number.parse().ok());
    number.expect("a domain of the fleet")
}

/// The state of a domain of the fleet.
#[must_use]
pub fn state(number: usize) -> DomainState {
    match number % 3 {
        0 => DomainState::RUNNING,
        1 => DomainState::PAUSED,
        _ => DomainState::SHUTOFF,
    }
}

/// So many domains, their states in turn, as the test driver reads them.
#[must_use]
pub fn node(count: usize) -> String {
    let mut node = String::from("<node>\n");
    for number in 0..count {
        // Writing to a string does not fail.
        let _ = writeln!(
            node,
            "<domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>\
             <name>{}</name><memory>1024</memory><os><type>hvm</type></os>\
             <test:runstate>{}</test:runstate></domain>",
            name(number),
            state(number).0
        );
    }
    node + "</node>\n"
}
