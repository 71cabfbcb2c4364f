//! Connection URIs, and the configuration file that has aliases for them.

use std::path::PathBuf;

use virtwire::Uri;
use virtwire::uri::{ClientConfig, Environment};

use crate::budget::within;

/// Takes the text for a URI and for a configuration file.
pub fn check(text: &str) {
    // A parameter of two bytes is two strings, in a list that is there twice while it grows.
    let budget = 4096 + 128 * text.len();
    if let Ok(uri) = within(budget, || Uri::parse(text)) {
        check_uri(&uri);
    }
    if let Ok(config) = within(budget, || ClientConfig::parse(text)) {
        check_config(config);
    }
}

/// What is printed means the same, here and to a daemon.
fn check_uri(uri: &Uri) {
    let printed = uri.to_string();
    assert_eq!(Uri::parse(&printed).as_ref(), Ok(uri), "{printed}");
    assert!(printed.is_ascii(), "{printed}");
    for (name, _) in uri.params() {
        assert!(uri.param(name).is_some());
        assert_eq!(uri.param(name), uri.param(&name.to_ascii_uppercase()));
    }
    let is_own = uri.param("name").is_none() && uri.driver() != "remote";
    let name = uri.server_name();
    // Which libvirt takes for `xen:///system`, wherever it comes from.
    let is_xen = name.eq_ignore_ascii_case("xen://");
    if is_own && !is_xen {
        let there = Uri::parse(&name);
        let there = there.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((there.driver(), there.path()), (uri.driver(), uri.path()));
        assert_eq!(there.fragment(), uri.fragment());
        assert_eq!((there.host(), there.user()), (None, None));
        assert_eq!(there.server_name(), name, "a daemon reads it once more");
    }
    for euid in [0, 1000] {
        for read_only in [false, true] {
            let endpoint = uri.endpoint(read_only, &environment(euid));
            assert!(!endpoint.is_ok_and(|endpoint| endpoint.to_string().is_empty()));
        }
    }
}

/// An alias is followed once, and to nothing but what stands there.
fn check_config(config: ClientConfig) {
    let mut environment = environment(1000);
    environment.config = config.clone();
    for (alias, target) in &config.uri_aliases {
        let first = config.uri_aliases.iter().find(|(name, _)| name == alias);
        let meant = first.map_or(target, |(_, uri)| uri);
        if !alias.is_empty() {
            let resolved = Uri::resolve(Some(alias), &environment);
            assert_eq!(resolved, Uri::parse(meant).map(Some));
        }
    }
    let default = Uri::default_from(&environment);
    assert!(config.uri_default.is_some() || default == Ok(None));
}

/// Nothing of this machine: no such directory exists.
fn environment(euid: u32) -> Environment {
    let mut environment = Environment::new(euid);
    environment.system_runtime_dir = PathBuf::from("/nonexistent/run");
    environment.xdg_runtime_dir = Some(PathBuf::from("/nonexistent/user"));
    environment
}
