//! The lines of events of domains.

use virtwire::constants::{
    ConnectDomainEventAgentLifecycleReason, ConnectDomainEventAgentLifecycleState,
    ConnectDomainEventBlockJobStatus, ConnectDomainEventChannelLifecycleReason,
    ConnectDomainEventChannelLifecycleState, ConnectDomainEventDiskChangeReason,
    DomainBlockJobType, DomainEventGraphicsAddressType, DomainEventGraphicsPhase,
    DomainEventIoErrorAction, DomainEventTrayChangeReason, DomainEventType,
    DomainEventWatchdogAction, DomainMemoryFailureActionType, DomainMemoryFailureFlags,
    DomainMemoryFailureRecipientType, DomainMetadataType,
};
use virtwire::event::{DomainEventKind as Kind, GraphicsAddress, GraphicsIdentity, Lifecycle};
use virtwire::remote::TypedParam;

use super::super::domain;

#[expect(
    clippy::needless_pass_by_value,
    reason = "each is made for the one call"
)]
#[track_caller]
fn domain_line(kind: Kind, expected: &str) {
    assert_eq!(domain::text("vm", &kind), expected, "{kind:?}");
}

fn lifecycle(event: i32, detail: i32) -> Kind {
    Kind::Lifecycle(Lifecycle::new(DomainEventType(event), detail))
}

#[test]
fn steps_of_a_life_have_virshs_words() {
    // The words for details 0, 1, … of each step.
    let steps = [
        ("Defined", "Added|Updated|Renamed|Snapshot"),
        ("Undefined", "Removed|Renamed"),
        (
            "Started",
            "Booted|Migrated|Restored|Snapshot|Event wakeup|Recreated",
        ),
        (
            "Suspended",
            "Paused|Migrated|I/O Error|Watchdog|Restored|Snapshot|API error|Post-copy|\
             Post-copy Error|Guest shutdown",
        ),
        (
            "Resumed",
            "Unpaused|Migrated|Snapshot|Post-copy|Post-copy Error",
        ),
        (
            "Stopped",
            "Shutdown|Destroyed|Crashed|Migrated|Saved|Failed|Snapshot|Recreated",
        ),
        (
            "Shutdown",
            "Finished|Finished after guest request|Finished after host request",
        ),
        ("PMSuspended", "Memory|Disk"),
        ("Crashed", "Panicked|Crashloaded"),
        ("unknown", ""),
    ];
    for (event, (step, details)) in (0..).zip(steps) {
        let known = details.split('|').filter(|word| !word.is_empty());
        let words = known.chain(["unknown"]);
        for (detail, word) in (0..).zip(words) {
            let line = format!("event 'lifecycle' for domain 'vm': {step} {word}");
            domain_line(lifecycle(event, detail), &line);
        }
        let line = format!("event 'lifecycle' for domain 'vm': {step} unknown");
        domain_line(lifecycle(event, -1), &line);
    }
    domain_line(
        lifecycle(-1, 0),
        "event 'lifecycle' for domain 'vm': unknown unknown",
    );
}

#[test]
fn kinds_without_more_are_named() {
    for (kind, name) in [
        (Kind::Reboot, "reboot"),
        (Kind::ControlError, "control-error"),
        (Kind::PmWakeup, "pm-wakeup"),
        (Kind::PmSuspend, "pm-suspend"),
        (Kind::PmSuspendDisk, "pm-suspend-disk"),
    ] {
        domain_line(kind, &format!("event '{name}' for domain 'vm'"));
    }
}

#[test]
fn numbers_have_words() {
    let offset = -3600;
    domain_line(
        Kind::RtcChange { offset },
        "event 'rtc-change' for domain 'vm': -3600",
    );
    let actions = "none|pause|reset|poweroff|shutdown|debug|inject-nmi|unknown";
    for (number, word) in (0..).zip(actions.split('|')) {
        let action = DomainEventWatchdogAction(number);
        let line = format!("event 'watchdog' for domain 'vm': {word}");
        domain_line(Kind::Watchdog { action }, &line);
    }
    domain_line(
        Kind::BalloonChange { actual: u64::MAX },
        "event 'balloon-change' for domain 'vm': 18446744073709551615KiB",
    );
    domain_line(
        Kind::MigrationIteration { iteration: 3 },
        "event 'migration-iteration' for domain 'vm': iteration: '3'",
    );
    domain_line(
        Kind::VcpuRemoved { vcpu: 2 },
        "event 'vcpu-removed' for domain 'vm': 2",
    );
}

#[test]
fn errors_of_disks_name_the_image_and_the_disk() {
    let (src_path, dev_alias) = ("/x.img".to_owned(), "virtio-disk0".to_owned());
    for (number, word) in (0..).zip(["none", "pause", "report", "unknown"]) {
        let action = DomainEventIoErrorAction(number);
        let kind = Kind::IoError {
            src_path: src_path.clone(),
            dev_alias: dev_alias.clone(),
            action,
        };
        let rest = format!("for domain 'vm': /x.img (virtio-disk0) {word}");
        domain_line(kind, &format!("event 'io-error' {rest}"));
        let kind = Kind::IoErrorReason {
            src_path: src_path.clone(),
            dev_alias: dev_alias.clone(),
            action,
            reason: "enospc".to_owned(),
        };
        domain_line(
            kind,
            &format!("event 'io-error-reason' {rest} due to enospc"),
        );
    }
}

fn graphics(phase: i32, families: (i32, i32), subject: &[(&str, &str)]) -> Kind {
    let address = |family, node: &str| GraphicsAddress {
        family: DomainEventGraphicsAddressType(family),
        node: node.to_owned(),
        service: "5900".to_owned(),
    };
    let identity = |(kind, name): &(&str, &str)| GraphicsIdentity {
        kind: (*kind).to_owned(),
        name: (*name).to_owned(),
    };
    Kind::Graphics {
        phase: DomainEventGraphicsPhase(phase),
        local: address(families.0, "127.0.0.1"),
        remote: address(families.1, "::1"),
        auth_scheme: "sasl".to_owned(),
        subject: subject.iter().map(identity).collect(),
    }
}

#[test]
fn viewers_have_addresses_and_names() {
    domain_line(
        graphics(0, (0, 1), &[]),
        "event 'graphics' for domain 'vm': connect local[IPv4 127.0.0.1 5900] \
         remote[IPv6 ::1 5900] sasl",
    );
    domain_line(
        graphics(1, (2, 3), &[("x509dname", "CN=me"), ("saslUsername", "me")]),
        "event 'graphics' for domain 'vm': initialize local[unix 127.0.0.1 5900] \
         remote[unknown ::1 5900] sasl\n\tx509dname=CN=me\n\tsaslUsername=me",
    );
    for (phase, word) in [(2, ": disconnect "), (3, ": unknown ")] {
        assert!(domain::text("vm", &graphics(phase, (0, 0), &[])).contains(word));
    }
}

#[test]
fn block_jobs_have_a_kind_a_disk_and_a_status() {
    let kinds = "Unknown job|Block Pull|Block Copy|Block Commit|Active Block Commit|Backup|\
                 Unknown job";
    let statuses = "completed|failed|canceled|ready|unknown";
    for (kind, kind_word) in (0..).zip(kinds.split('|')) {
        for (status, status_word) in (0..).zip(statuses.split('|')) {
            let kind = DomainBlockJobType(kind);
            let status = ConnectDomainEventBlockJobStatus(status);
            let dst = "vda".to_owned();
            domain_line(
                Kind::BlockJob2 { dst, kind, status },
                &format!("event 'block-job-2' for domain 'vm': {kind_word} for vda {status_word}"),
            );
            let path = "/x.img".to_owned();
            domain_line(
                Kind::BlockJob { path, kind, status },
                &format!("event 'block-job' for domain 'vm': {kind_word} for /x.img {status_word}"),
            );
        }
    }
}

#[test]
fn media_come_and_go() {
    let change = |old: Option<&str>, new: Option<&str>, reason| Kind::DiskChange {
        old_src_path: old.map(str::to_owned),
        new_src_path: new.map(str::to_owned),
        dev_alias: "ide0".to_owned(),
        reason: ConnectDomainEventDiskChangeReason(reason),
    };
    let head = "event 'disk-change' for domain 'vm' disk ide0:";
    domain_line(
        change(Some("/a"), Some("/b"), 0),
        &format!("{head} /a -> /b: changed"),
    );
    domain_line(
        change(Some("/a"), None, 1),
        &format!("{head} /a -> <null>: dropped"),
    );
    domain_line(
        change(None, None, 2),
        &format!("{head} <null> -> <null>: unknown"),
    );
    for (number, word) in (0..).zip(["opened", "closed", "unknown"]) {
        let kind = Kind::TrayChange {
            dev_alias: "ide0".to_owned(),
            reason: DomainEventTrayChangeReason(number),
        };
        domain_line(
            kind,
            &format!("event 'tray-change' for domain 'vm' disk ide0: {word}"),
        );
    }
}

#[test]
fn devices_have_aliases() {
    let alias = || "net0".to_owned();
    domain_line(
        Kind::DeviceRemoved { dev_alias: alias() },
        "event 'device-removed' for domain 'vm': net0",
    );
    domain_line(
        Kind::DeviceAdded { dev_alias: alias() },
        "event 'device-added' for domain 'vm': net0",
    );
    domain_line(
        Kind::DeviceRemovalFailed { dev_alias: alias() },
        "event 'device-removal-failed' for domain 'vm': net0",
    );
    domain_line(
        Kind::MemoryDeviceSizeChange {
            alias: alias(),
            size: 1024,
        },
        "event 'memory-device-size-change' for domain 'vm':\nalias: net0\nsize: 1024",
    );
    domain_line(
        Kind::NicMacChange {
            alias: alias(),
            old_mac: "52:54:00:00:00:01".to_owned(),
            new_mac: "52:54:00:00:00:02".to_owned(),
        },
        "event 'nic-mac-change' for domain 'vm':\nalias: net0\noldMAC: 52:54:00:00:00:01\n\
         newMAC: 52:54:00:00:00:02",
    );
}

#[test]
fn parameters_have_lines_of_their_own() {
    let params = vec![
        TypedParam::new("i", -1).unwrap(),
        TypedParam::new("u", 2_u32).unwrap(),
        TypedParam::new("l", i64::MIN).unwrap(),
        TypedParam::new("ul", u64::MAX).unwrap(),
        TypedParam::new("d", 0.5).unwrap(),
        TypedParam::new("b", true).unwrap(),
        TypedParam::new("s", "text\n").unwrap(),
    ];
    let lines = "\n\ti: -1\n\tu: 2\n\tl: -9223372036854775808\n\tul: 18446744073709551615\
                 \n\td: 0.5\n\tb: 1\n\ts: text\\n";
    domain_line(
        Kind::Tunable {
            params: params.clone(),
        },
        &format!("event 'tunable' for domain 'vm':{lines}"),
    );
    domain_line(
        Kind::JobCompleted { params },
        &format!("event 'job-completed' for domain 'vm':{lines}"),
    );
    let params = Vec::new();
    domain_line(Kind::Tunable { params }, "event 'tunable' for domain 'vm':");
}

#[test]
fn floating_point_is_printed_as_c_does() {
    for (value, expected) in [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (0.1 + 0.2, "0.3"),
        (2.0 / 3.0, "0.666667"),
        (100_000.0, "100000"),
        (999_999.5, "1e+06"),
        (123_456_789.0, "1.23457e+08"),
        (0.0001, "0.0001"),
        (0.000_012_345_678, "1.23457e-05"),
        (1e100, "1e+100"),
        (1e-300, "1e-300"),
        (f64::MAX, "1.79769e+308"),
        (f64::INFINITY, "inf"),
        (f64::NEG_INFINITY, "-inf"),
        (f64::NAN, "nan"),
    ] {
        let params = vec![TypedParam::new("d", value).unwrap()];
        let text = domain::text("vm", &Kind::Tunable { params });
        assert_eq!(text.rsplit(' ').next(), Some(expected), "{value}");
    }
}

#[test]
fn channels_have_a_state_and_a_reason() {
    let states = ["unknown", "connected", "disconnected", "unsupported value"];
    let reasons = [
        "unknown",
        "domain started",
        "channel event",
        "unsupported value",
    ];
    for (number, (state, reason)) in (0..).zip(states.into_iter().zip(reasons)) {
        let rest = format!("state: '{state}' reason: '{reason}'");
        domain_line(
            Kind::AgentLifecycle {
                state: ConnectDomainEventAgentLifecycleState(number),
                reason: ConnectDomainEventAgentLifecycleReason(number),
            },
            &format!("event 'agent-lifecycle' for domain 'vm': {rest}"),
        );
        domain_line(
            Kind::ChannelLifecycle {
                channel_name: "org.x".to_owned(),
                state: ConnectDomainEventChannelLifecycleState(number),
                reason: ConnectDomainEventChannelLifecycleReason(number),
            },
            &format!("event 'channel-lifecycle' for domain 'vm': channel: 'org.x' {rest}"),
        );
    }
}

#[test]
fn metadata_has_a_type_and_perhaps_a_namespace() {
    let types = ["description", "title", "element", "unsupported value"];
    for (number, word) in (0..).zip(types) {
        domain_line(
            Kind::MetadataChange {
                kind: DomainMetadataType(number),
                ns_uri: None,
            },
            &format!("event 'metadata-change' for domain 'vm': type {word}, uri <null>"),
        );
    }
}

#[test]
fn thresholds_have_a_disk_and_perhaps_an_image() {
    let threshold = |path: Option<&str>| Kind::BlockThreshold {
        dev: "vda[1]".to_owned(),
        path: path.map(str::to_owned),
        threshold: 1 << 40,
        excess: 512,
    };
    let head = "event 'block-threshold' for domain 'vm': dev:";
    domain_line(
        threshold(Some("/x")),
        &format!("{head} vda[1](/x) 1099511627776 512"),
    );
    domain_line(
        threshold(None),
        &format!("{head} vda[1](<null>) 1099511627776 512"),
    );
}

#[test]
fn failures_of_memory_have_flags() {
    let recipients = [
        "hypervisor",
        "guest",
        "unsupported value",
        "unsupported value",
    ];
    let actions = ["ignore", "inject", "fatal", "reset"];
    for (number, (recipient, action)) in (0..).zip(recipients.into_iter().zip(actions)) {
        for flags in [0, 1, 2, 3, 7] {
            let kind = Kind::MemoryFailure {
                recipient: DomainMemoryFailureRecipientType(number),
                action: DomainMemoryFailureActionType(number),
                flags: DomainMemoryFailureFlags::from_bits_retain(flags),
            };
            let (required, recursive) = (flags & 1, flags >> 1 & 1);
            domain_line(
                kind,
                &format!(
                    "event 'memory-failure' for domain 'vm':\nrecipient: {recipient}\n\
                     action: {action}\nflags:\n\taction required: {required}\n\t\
                     recursive: {recursive}"
                ),
            );
        }
    }
}
