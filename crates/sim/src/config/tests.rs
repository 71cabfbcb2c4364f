use std::path::Path;

use virtwire_protocol::constants::DomainState;

use super::*;

fn loaded(xml: &str) -> Result<Hypervisor, ConfigError> {
    let mut hypervisor = Hypervisor::default();
    load(&mut hypervisor, xml, Path::new("/"))?;
    Ok(hypervisor)
}

fn domain(name: &str, state: &str) -> String {
    format!(
        "<domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>\
         <name>{name}</name><memory>1024</memory><os><type>hvm</type></os>{state}</domain>"
    )
}

#[test]
fn domains_are_in_the_state_that_is_said() {
    let text = format!(
        "<?xml version='1.0'?><node><!-- c -->{}{}{}{}</node>",
        domain("running", ""),
        domain("paused", "<test:runstate>3</test:runstate>"),
        domain(
            "saved",
            "<test:runstate>5</test:runstate><test:hasmanagedsave/>"
        ),
        domain("fleeting", "<test:transient/>"),
    );
    let hypervisor = loaded(&text).unwrap();
    let named = |name| hypervisor.named(name).unwrap();
    assert_eq!(named("running").state, DomainState::RUNNING);
    assert_eq!(named("paused").state, DomainState::PAUSED);
    assert_eq!(named("saved").state, DomainState::SHUTOFF);
    assert!(named("saved").saved.is_some());
    assert!(named("fleeting").definition.is_none());
    assert!(!named("paused").next().to_string().contains("test:"));
}

#[test]
fn impossible_states_are_errors() {
    for state in [
        "<test:runstate>99</test:runstate>",
        "<test:runstate>x</test:runstate>",
        "<test:runstate>5</test:runstate><test:transient/>",
        "<test:hasmanagedsave/>",
    ] {
        let text = format!("<node>{}</node>", domain("a", state));
        assert!(loaded(&text).is_err(), "{state}");
    }
    assert!(matches!(loaded("<nod/>"), Err(ConfigError::Element { .. })));
    assert!(matches!(loaded("<node>"), Err(ConfigError::Xml { .. })));
    let missing = "<node><domain file='/does/not/exist.xml'/></node>";
    assert!(matches!(loaded(missing), Err(ConfigError::Read { .. })));
    let twice = format!("<node>{}{}</node>", domain("a", ""), domain("a", ""));
    assert!(matches!(loaded(&twice), Err(ConfigError::Refused { .. })));
}

#[test]
fn networks_and_pools_are_there_and_active() {
    let text = "<node><network><name>net</name><bridge name='virbr7'/></network>\
                <pool type='dir'><name>p</name><target><path>/p</path></target>\
                <volume><name>v</name><capacity>1024</capacity></volume></pool></node>";
    let hypervisor = loaded(text).unwrap();
    assert!(hypervisor.networks.by_name("net").unwrap().is_active());
    let pool = hypervisor.pools.by_name("p").unwrap();
    assert!(pool.active && pool.persistent);
    assert!(pool.volume("v").is_ok());
}

#[test]
fn files_are_found_beside_the_one_that_names_them() {
    let directory = std::env::temp_dir().join(format!("virtwire-sim-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("a.xml"), domain("a", "")).unwrap();
    let mut hypervisor = Hypervisor::default();
    let text = "<node><domain file='a.xml'/></node>";
    load(&mut hypervisor, text, &directory).unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(hypervisor.named("a").is_some());
}

#[test]
fn host_is_as_described() {
    let text = "<node><cpu><mhz>6000</mhz><model>i986</model><active>50</active><nodes>4</nodes>\
                <sockets>4</sockets><cores>4</cores><threads>2</threads></cpu>\
                <memory>8192000</memory></node>";
    let host = loaded(text).unwrap().host.unwrap();
    assert_eq!((host.cpus, host.mhz, host.memory), (50, 6000, 8_192_000));
    assert_eq!(host.model, "i986");
}

#[test]
fn fleet_has_domains_in_every_state() {
    let mut hypervisor = Hypervisor::default();
    fleet(&mut hypervisor, 12).unwrap();
    assert_eq!(hypervisor.domains.len(), 12);
    let has = |state| {
        hypervisor
            .domains
            .values()
            .any(|domain| domain.state == state)
    };
    for state in [
        DomainState::RUNNING,
        DomainState::PAUSED,
        DomainState::SHUTOFF,
        DomainState::CRASHED,
    ] {
        assert!(has(state), "{state:?}");
    }
}
