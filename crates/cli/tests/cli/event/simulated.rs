//! Every kind of event, from the simulated daemon to both programs.

use virtwire::constants::{
    ConnectDomainEventAgentLifecycleReason as AgentReason,
    ConnectDomainEventAgentLifecycleState as AgentState,
    ConnectDomainEventBlockJobStatus as BlockJobStatus,
    ConnectDomainEventDiskChangeReason as DiskChangeReason, DomainBlockJobType,
    DomainEventGraphicsAddressType, DomainEventGraphicsPhase, DomainEventIoErrorAction,
    DomainEventTrayChangeReason, DomainEventType, DomainEventWatchdogAction,
    DomainMemoryFailureActionType, DomainMemoryFailureFlags, DomainMemoryFailureRecipientType,
    DomainMetadataType,
};
use virtwire::event::{DomainEventKind as Kind, GraphicsAddress, GraphicsIdentity, Lifecycle};
use virtwire::remote::TypedParam;

use super::{Pair, Simulated};

/// Everything that libvirt 9.0.0 can tell of domains: every kind, every number in it that virsh
/// has a word for, and the numbers around these.
fn everything() -> Vec<Kind> {
    let mut kinds = vec![
        Kind::Reboot,
        Kind::ControlError,
        Kind::PmWakeup,
        Kind::PmSuspend,
        Kind::PmSuspendDisk,
        Kind::RtcChange { offset: 0 },
        Kind::RtcChange { offset: i64::MIN },
        Kind::BalloonChange { actual: u64::MAX },
        Kind::DeviceRemoved {
            dev_alias: text("net0"),
        },
        Kind::DeviceAdded {
            dev_alias: text(""),
        },
        Kind::DeviceRemovalFailed {
            dev_alias: text("größe"),
        },
        Kind::MigrationIteration { iteration: -1 },
        Kind::MemoryDeviceSizeChange {
            alias: text("dimm0"),
            size: 1 << 60,
        },
        Kind::Tunable {
            params: parameters(),
        },
        Kind::Tunable { params: Vec::new() },
        Kind::JobCompleted {
            params: parameters(),
        },
    ];
    for path in [Some(text("/x.img")), None] {
        let (dev, threshold, excess) = (text("vda[1]"), u64::MAX, 0);
        kinds.push(Kind::BlockThreshold {
            dev,
            path,
            threshold,
            excess,
        });
    }
    lifecycles(&mut kinds);
    disks(&mut kinds);
    for number in -1..8 {
        kinds.extend(numbered(number));
    }
    kinds
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn parameters() -> Vec<TypedParam<'static>> {
    let mut params = vec![
        TypedParam::new("int", i32::MIN).unwrap(),
        TypedParam::new("uint", u32::MAX).unwrap(),
        TypedParam::new("llong", i64::MIN).unwrap(),
        TypedParam::new("ullong", u64::MAX).unwrap(),
        TypedParam::new("true", true).unwrap(),
        TypedParam::new("false", false).unwrap(),
        TypedParam::new("string", "a b").unwrap(),
    ];
    for value in [
        0.0,
        -0.0,
        1.0,
        0.1,
        2.0 / 3.0,
        99_999.95,
        999_999.5,
        123_456_789.0,
        1e15,
        1e16,
        1e300,
        0.0001,
        0.000_099_999_99,
        0.000_012_345_678,
        5e-324,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ] {
        params.push(TypedParam::new("double", value).unwrap());
    }
    params
}

/// Steps and details that virsh 9.0.0 has words for, and -1, which nobody ever will.
fn lifecycles(kinds: &mut Vec<Kind>) {
    let details = [4, 2, 5, 9, 5, 7, 3, 2, 2];
    for (event, count) in (0..).zip(details) {
        for detail in -1..count {
            let step = Lifecycle::new(DomainEventType(event), detail);
            kinds.push(Kind::Lifecycle(step));
        }
    }
    for event in [-1, 99] {
        kinds.push(Kind::Lifecycle(Lifecycle::new(DomainEventType(event), 0)));
    }
}

fn disks(kinds: &mut Vec<Kind>) {
    for number in -1..7 {
        let kind = DomainBlockJobType(number);
        let status = BlockJobStatus(number);
        kinds.push(Kind::BlockJob {
            path: text("/x.img"),
            kind,
            status,
        });
        kinds.push(Kind::BlockJob2 {
            dst: text("vda"),
            kind,
            status,
        });
        let (src_path, dev_alias) = (text("/x.img"), text("virtio-disk0"));
        let action = DomainEventIoErrorAction(number);
        kinds.push(Kind::IoError {
            src_path: src_path.clone(),
            dev_alias: dev_alias.clone(),
            action,
        });
        kinds.push(Kind::IoErrorReason {
            src_path,
            dev_alias: dev_alias.clone(),
            action,
            reason: text("enospc"),
        });
        let sources = [
            (Some(text("/a")), None),
            (None, Some(text("/b"))),
            (Some(text("/a")), Some(text("/b"))),
        ];
        for (old_src_path, new_src_path) in sources {
            kinds.push(Kind::DiskChange {
                old_src_path,
                new_src_path,
                dev_alias: dev_alias.clone(),
                reason: DiskChangeReason(number),
            });
        }
        let reason = DomainEventTrayChangeReason(number);
        kinds.push(Kind::TrayChange { dev_alias, reason });
    }
}

/// The other kinds that carry numbers with words.
fn numbered(number: i32) -> Vec<Kind> {
    let address = |family, node| GraphicsAddress {
        family: DomainEventGraphicsAddressType(family),
        node: text(node),
        service: text("5900"),
    };
    let identity = |kind, name| GraphicsIdentity {
        kind: text(kind),
        name: text(name),
    };
    let flags = DomainMemoryFailureFlags::from_bits_retain(number.unsigned_abs());
    vec![
        Kind::Watchdog {
            action: DomainEventWatchdogAction(number),
        },
        Kind::Graphics {
            phase: DomainEventGraphicsPhase(number),
            local: address(number, "127.0.0.1"),
            remote: address(number - 1, "::1"),
            auth_scheme: text("sasl"),
            subject: match number {
                0 => Vec::new(),
                _ => vec![
                    identity("x509dname", "CN=me"),
                    identity("saslUsername", "me"),
                ],
            },
        },
        Kind::AgentLifecycle {
            state: AgentState(number),
            reason: AgentReason(number),
        },
        Kind::MetadataChange {
            kind: DomainMetadataType(number),
            ns_uri: (number == 2).then(|| text("urn:x")),
        },
        Kind::MemoryFailure {
            recipient: DomainMemoryFailureRecipientType(number),
            action: DomainMemoryFailureActionType(number),
            flags,
        },
    ]
}

#[test]
fn every_kind_of_a_domain_is_shown_as_by_virsh() {
    let simulated = Simulated::start();
    let domain = simulated.simulator.domain("guest").unwrap();
    let pair = Pair::start(&simulated.uri(), "event --all --loop");
    // virsh registers for this kind last.
    let mark = |alias: &str| {
        let (alias, size) = (text(alias), 0);
        domain
            .emit(&Kind::MemoryDeviceSizeChange { alias, size })
            .unwrap();
    };
    pair.wait_until_registered("waiting", || mark("waiting"));
    mark("the first");
    let everything = everything();
    for kind in &everything {
        domain.emit(kind).unwrap();
    }
    mark("the last");
    let lines = pair.same("the first", "the last");
    let begin = |line: &&String| line.starts_with("event '");
    assert_eq!(lines.iter().filter(begin).count(), everything.len() + 1);
}
