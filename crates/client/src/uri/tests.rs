use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::{
    Authentication, ClientConfig, Endpoint, Environment, SocketMode, TransportKind, UnixAddress,
    Uri, UriError,
};

fn uri(text: &str) -> Uri {
    Uri::parse(text).unwrap()
}

fn user() -> Environment {
    let mut env = Environment::new(1000);
    env.xdg_runtime_dir = Some("/run/user/1000".into());
    env
}

fn unix(path: impl Into<PathBuf>) -> Endpoint {
    Endpoint::Unix(UnixAddress::Path(path.into()))
}

#[test]
fn all_components_are_found_and_decoded() {
    let uri = uri("qemu+SSH://ad%6din@host.example:2222/sys%74em?keyfile=a%20b&no_tty=1#x%2Dy");
    assert_eq!(uri.driver(), "qemu");
    assert_eq!(uri.transport(), Some(TransportKind::Ssh));
    assert_eq!(uri.user(), Some("admin"));
    assert_eq!(uri.host(), Some("host.example"));
    assert_eq!(uri.port(), Some(2222));
    assert_eq!(uri.path(), "/system");
    assert_eq!(
        uri.params().collect::<Vec<_>>(),
        [("keyfile", "a b"), ("no_tty", "1")]
    );
    assert_eq!(uri.fragment(), Some("x-y"));
}

#[test]
fn transport_follows_from_the_host_when_none_is_written() {
    assert_eq!(
        uri("qemu:///system").effective_transport(),
        TransportKind::Unix
    );
    assert_eq!(
        uri("qemu:/system").effective_transport(),
        TransportKind::Unix
    );
    assert_eq!(
        uri("qemu://host/system").effective_transport(),
        TransportKind::Tls
    );
    assert_eq!(
        uri("qemu+tcp:///system").effective_transport(),
        TransportKind::Tcp
    );
}

#[test]
fn server_name_keeps_only_what_the_hypervisor_needs() {
    for (text, name) in [
        ("qemu:///system", "qemu:///system"),
        (
            "qemu+tcp://u@h:1/system?foo=1&mode=auto&bar",
            "qemu:///system?foo=1&bar=",
        ),
        (
            "qemu+ssh://u@h/system?keyfile=k&foo=1",
            "qemu:///system?foo=1",
        ),
        ("test+unix:///default?socket=/s", "test:///default"),
        ("test+tcp://host", "test://"),
        ("test:///a%20b?x=%2Fy#f", "test:///a%20b?x=%2Fy#f"),
        (
            "qemu:///system?NAME=test:///default&MODE=legacy",
            "test:///default",
        ),
        ("qemu:///system?name=", ""),
        ("remote+tcp://host/", ""),
        ("remote://host/system", ""),
        ("XEN", "xen:///system"),
        ("Xen://", "xen:///system"),
        ("xen://:0", "xen:///system"),
    ] {
        assert_eq!(uri(text).server_name(), name, "{text}");
    }
}

#[test]
fn query_separators_are_split_as_libvirt_does() {
    let params = |query: &str| {
        let uri = uri(&format!("test:///default?{query}"));
        uri.params()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join("|")
    };
    assert_eq!(params("a=1&b=2"), "a=1|b=2");
    assert_eq!(params("a=1;b=2"), "a=1|b=2");
    assert_eq!(params("a=1;b=2&c=3"), "a=1;b=2|c=3");
    assert_eq!(params("a=1&b=2;c=3"), "a=1|b=2|c=3");
    assert_eq!(params("&&a;;"), "a=");
    assert_eq!(params("a&b=&=c&d=e=f"), "a=|b=|d=e=f");
    assert_eq!(params("a=1+2%2B3%263"), "a=1+2+3&3");
}

#[test]
fn last_parameter_wins_and_names_have_no_case() {
    let uri = uri("qemu:///system?Socket=/a&socket=/b");
    assert_eq!(uri.param("SOCKET"), Some("/b"));
}

#[test]
fn ipv6_addresses_stand_in_brackets() {
    let address = uri("qemu+tcp://[fe80::1%25eth0]:1000/system");
    assert_eq!(address.host(), Some("fe80::1%eth0"));
    assert_eq!(
        address.to_string(),
        "qemu+tcp://[fe80::1%25eth0]:1000/system"
    );
    assert_eq!(uri("qemu+tcp://[::1]/system").port(), None);
}

fn error(text: &str) -> UriError {
    Uri::parse(text).unwrap_err()
}

#[test]
fn errors_of_scheme_and_host_name_what_is_wrong() {
    use UriError as E;
    assert_eq!(error(""), E::Empty);
    assert!(matches!(error("/var/run/x"), E::MissingScheme { .. }));
    assert!(matches!(error("1qemu:///system"), E::InvalidScheme { .. }));
    assert!(matches!(error("qe_mu:///system"), E::InvalidScheme { .. }));
    assert!(matches!(
        error("qemu+a+b:///system"),
        E::UnknownTransport { .. }
    ));
    assert!(matches!(
        error("qemu+:///system"),
        E::UnknownTransport { .. }
    ));
    assert!(matches!(error("qemu:system"), E::MissingSlashes { .. }));
    assert!(matches!(error("qemu://system"), E::PathAsHost { .. }));
    assert!(matches!(
        error("qemu+unix://host/system"),
        E::HostWithUnix { .. }
    ));
    assert!(matches!(
        error("qemu+tcp://::1/system"),
        E::InvalidPort { .. }
    ));
    assert!(matches!(
        error("qemu+tcp://h:+1/system"),
        E::InvalidPort { .. }
    ));
    assert!(matches!(
        error("qemu+tcp://h:65536/system"),
        E::InvalidPort { .. }
    ));
    assert!(matches!(
        error("qemu+tcp://[::1/system"),
        E::InvalidHost { .. }
    ));
    assert!(matches!(
        error("qemu+tcp://[host]/system"),
        E::InvalidHost { .. }
    ));
    assert!(matches!(
        error("qemu+tcp://a%3Ab/system"),
        E::InvalidHost { .. }
    ));
}

#[test]
fn errors_of_escapes_and_parameters_name_what_is_wrong() {
    use UriError as E;
    assert!(matches!(
        error("qemu:///sys tem"),
        E::InvalidCharacter { offset: 11, .. }
    ));
    for text in [
        "qemu:///%zz",
        "qemu:///%f",
        "qemu:///%ff",
        "qemu:///s?socket=%00",
    ] {
        assert!(matches!(error(text), E::InvalidEscape { .. }), "{text}");
    }
    for text in [
        "qemu:///s?mode=x",
        "qemu:///s?auth=none",
        "qemu:///s?no_verify=yes",
    ] {
        assert!(matches!(error(text), E::InvalidParameter { .. }), "{text}");
    }
}

#[test]
fn parameters_are_typed() {
    assert_eq!(
        uri("qemu:///s?mode=direct").mode(),
        Some(SocketMode::Direct)
    );
    assert_eq!(
        uri("qemu:///s?auth=polkit").authentication(),
        Some(&Authentication::Polkit)
    );
    let mechanism = Some("SCRAM-SHA-256".to_owned());
    let uri = uri("qemu:///s?auth=sasl.SCRAM-SHA-256");
    assert_eq!(
        uri.authentication(),
        Some(&Authentication::Sasl { mechanism })
    );
}

#[test]
fn default_comes_from_environment_then_configuration() {
    let mut env = user();
    assert_eq!(Uri::default_from(&env), Ok(None));
    env.config = ClientConfig::parse("uri_default = 'lxc:///system'").unwrap();
    assert_eq!(Uri::default_from(&env).unwrap(), Some(uri("lxc:///system")));
    env.default_uri = Some(String::new());
    assert_eq!(Uri::default_from(&env).unwrap(), Some(uri("lxc:///system")));
    env.default_uri = Some("test:///default".to_owned());
    assert_eq!(
        Uri::resolve(Some(""), &env).unwrap(),
        Some(uri("test:///default"))
    );
    assert_eq!(
        Uri::resolve(Some("qemu:///x"), &env).unwrap(),
        Some(uri("qemu:///x"))
    );
}

#[test]
fn aliases_replace_whole_uris_once() {
    let text = "# comment\nuri_aliases = [\n  \"a=b\", # first\n  'b=test:///default',\n]\n\
                keepalive_interval = 5\nuri_default = \"\"\"b\"\"\"\nremote_mode = \"legacy\"\n";
    let mut env = user();
    env.config = ClientConfig::parse(text).unwrap();
    assert_eq!(env.config.remote_mode, Some(SocketMode::Legacy));
    assert_eq!(
        Uri::default_from(&env).unwrap(),
        Some(uri("test:///default"))
    );
    assert!(matches!(
        Uri::resolve(Some("a"), &env),
        Err(UriError::MissingScheme { .. })
    ));
}

#[test]
fn configuration_errors_name_the_line() {
    for (text, expected) in [
        ("uri_default", 1),
        ("\nuri_default = 5", 2),
        ("x = 1\ny = \"a", 2),
        ("uri_aliases = [\n\"no sign\"]", 2),
        ("uri_aliases = [\"a=b\" \"c=d\"]", 1),
        ("uri_aliases = [", 1),
    ] {
        let error = ClientConfig::parse(text).unwrap_err();
        assert!(
            matches!(error, UriError::InvalidConfig { line, .. } if line == expected),
            "{text}"
        );
    }
}

#[test]
fn missing_configuration_file_is_no_configuration() {
    let directory = tempdir("missing");
    let mut env = user();
    env.xdg_config_home = Some(directory.clone());
    assert_eq!(env.clone().with_config_file(), Ok(env.clone()));
    fs::create_dir_all(directory.join("libvirt")).unwrap();
    fs::write(
        directory.join("libvirt/libvirt.conf"),
        "uri_default = \"test:///x\"\n",
    )
    .unwrap();
    let found = env.with_config_file().unwrap().config.uri_default;
    fs::remove_dir_all(directory).unwrap();
    assert_eq!(found.as_deref(), Some("test:///x"));
}

#[test]
fn unix_sockets_follow_user_path_and_mode() {
    let root = Environment::new(0);
    let user = user();
    let endpoint = |text: &str, read_only, env| uri(text).endpoint(read_only, env).unwrap();
    let session = "/run/user/1000/libvirt";
    for env in [&root, &user] {
        assert_eq!(
            endpoint("qemu:///system?mode=legacy", false, env),
            unix("/var/run/libvirt/libvirt-sock")
        );
        assert_eq!(
            endpoint("qemu:///system?mode=direct", true, env),
            unix("/var/run/libvirt/virtqemud-sock-ro")
        );
    }
    // Root has no session daemon; an ordinary user's has no read-only socket.
    assert_eq!(
        endpoint("qemu:///session?mode=legacy", false, &root),
        unix("/var/run/libvirt/libvirt-sock")
    );
    assert_eq!(
        endpoint("qemu:///session?mode=direct", true, &user),
        unix(format!("{session}/virtqemud-sock"))
    );
    assert_eq!(
        endpoint("test:///default", true, &user),
        unix(format!("{session}/libvirt-sock"))
    );
    assert_eq!(
        Endpoint::default_for(true, &user).unwrap(),
        unix(format!("{session}/libvirt-sock"))
    );
    assert_eq!(
        uri("remote:///system?mode=direct").endpoint(false, &root),
        Err(UriError::DirectModeImpossible)
    );
}

#[test]
fn session_directory_falls_back_to_the_cache_directory() {
    let mut env = Environment::new(1000);
    let session = uri("qemu:///session?mode=legacy");
    assert_eq!(
        session.endpoint(false, &env),
        Err(UriError::NoSessionDirectory)
    );
    env.home = Some("/home/u".into());
    assert_eq!(
        session.endpoint(false, &env).unwrap(),
        unix("/home/u/.cache/libvirt/libvirt-sock")
    );
    env.xdg_cache_home = Some("/cache".into());
    assert_eq!(
        session.endpoint(false, &env).unwrap(),
        unix("/cache/libvirt/libvirt-sock")
    );
}

#[test]
fn automatic_mode_prefers_the_socket_that_exists() {
    let directory = tempdir("auto");
    let sockets = directory.join("libvirt");
    fs::create_dir_all(&sockets).unwrap();
    let mut env = Environment::new(0);
    env.system_runtime_dir.clone_from(&directory);
    let system = uri("qemu:///system");
    assert_eq!(
        system.endpoint(false, &env).unwrap(),
        unix(sockets.join("libvirt-sock"))
    );
    fs::write(sockets.join("virtqemud-sock"), "").unwrap();
    let direct = system.endpoint(false, &env).unwrap();
    let read_only = system.endpoint(true, &env).unwrap();
    env.config.remote_mode = Some(SocketMode::Legacy);
    let configured = system.endpoint(false, &env).unwrap();
    fs::remove_dir_all(&directory).unwrap();
    assert_eq!(direct, unix(sockets.join("virtqemud-sock")));
    assert_eq!(read_only, unix(sockets.join("libvirt-sock-ro")));
    assert_eq!(configured, unix(sockets.join("libvirt-sock")));
}

#[test]
fn explicit_socket_wins_and_may_be_abstract() {
    let env = user();
    let endpoint = |text: &str| uri(text).endpoint(true, &env).unwrap();
    assert_eq!(
        endpoint("qemu:///system?socket=/tmp/s%20t"),
        unix("/tmp/s t")
    );
    assert_eq!(
        endpoint("qemu:///session?socket=@name&mode=direct"),
        Endpoint::Unix(UnixAddress::Abstract("name".to_owned()))
    );
    assert_eq!(
        UnixAddress::Abstract("name".to_owned()).to_string(),
        "@name"
    );
}

#[test]
fn network_endpoints_have_their_default_ports() {
    let env = user();
    let endpoint = |text: &str| uri(text).endpoint(false, &env);
    let host = || "h".to_owned();
    assert_eq!(
        endpoint("qemu+tcp://h/system"),
        Ok(Endpoint::Tcp {
            host: host(),
            port: 16509
        })
    );
    assert_eq!(
        endpoint("qemu+tcp://h:0/system"),
        Ok(Endpoint::Tcp {
            host: host(),
            port: 16509
        })
    );
    assert_eq!(
        endpoint("qemu://h/system"),
        Ok(Endpoint::Tls {
            host: host(),
            port: 16514
        })
    );
    let localhost = Endpoint::Tcp {
        host: "localhost".to_owned(),
        port: 16509,
    };
    assert_eq!(endpoint("qemu+tcp://:1/system"), Ok(localhost));
    assert!(matches!(
        endpoint("qemu+ssh://h/system"),
        Ok(Endpoint::Ssh { port: None, .. })
    ));
    assert_eq!(
        endpoint("qemu+libssh://h/system?mode=direct"),
        Err(UriError::DirectModeImpossible)
    );
    let command = Endpoint::Ext {
        command: Path::new("/bin/relay").to_owned(),
    };
    assert_eq!(
        endpoint("qemu+ext:///system?command=/bin/relay"),
        Ok(command)
    );
    assert!(matches!(
        endpoint("qemu+ext:///system"),
        Err(UriError::MissingParameter { .. })
    ));
}

fn tempdir(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("virtwire-uri-{name}-{}", std::process::id()));
    fs::create_dir_all(&path).unwrap();
    path
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in "\\PC{0,60}") {
        let _ = Uri::parse(&text);
    }

    #[test]
    fn printed_uris_parse_to_the_same_value(
        driver in "[a-z][a-z0-9]{0,6}",
        transport in prop::option::of(prop::sample::select(vec!["tcp", "tls", "ssh", "ext"])),
        user in prop::option::of("[^\\x00]{1,8}"),
        host in prop::option::of(prop_oneof!["[a-z][a-z0-9.-]{0,12}", Just("::1".to_owned())]),
        port in prop::option::of(1_u16..),
        path in prop_oneof![Just(String::new()), "/[^\\x00]{0,12}"],
        params in prop::collection::vec(("x[^\\x00]{0,6}", "[^\\x00]{0,8}"), 0..4),
        fragment in prop::option::of("[^\\x00]{0,8}"),
    ) {
        let host = host.filter(|host| !matches!(host.as_str(), "system" | "session"));
        let built = Uri {
            driver,
            transport: transport.map(|name| TransportKind::parse(name).unwrap()),
            user,
            port: port.filter(|_| host.is_some()),
            host,
            path,
            params,
            fragment,
            mode: None,
            auth: None,
        };
        let printed = built.to_string();
        prop_assert_eq!(Uri::parse(&printed).unwrap(), built, "{}", printed);
    }
}
