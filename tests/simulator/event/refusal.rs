//! What is refused, in the words of a libvirtd: asked of one, and of the simulator.

use virtwire::constants::{ErrorCode, ErrorDomain};
use virtwire::{Connection, qemu, remote};
use virtwire_lab::Daemon;
use virtwire_protocol::{Procedure, RemoteError};
use virtwire_sim::Simulator;
use virtwire_tests::deadline;

use super::{named, refused};
use crate::raw::{Raw, facts};
use crate::served::Served;

const TRACKED: &str = "invalid argument: event callback already tracked";

/// Clients of a simulated daemon and of a real one.
struct Both {
    served: Served,
    daemon: Daemon,
}

impl Both {
    async fn new() -> Self {
        let daemon = tokio::task::spawn_blocking(Daemon::start);
        Self {
            served: Served::new(Simulator::builder().start()),
            daemon: daemon.await.unwrap().unwrap(),
        }
    }

    /// A connection to each.
    async fn open(&self, uri: &str) -> [Raw; 2] {
        [
            Raw::connect(&self.served.socket(), uri).await,
            Raw::connect(&self.daemon.socket(), uri).await,
        ]
    }
}

/// A call is refused so.
async fn refuses<P: Procedure>(
    raw: &mut Raw,
    args: P::Args<'_>,
    code: ErrorCode,
    domain: ErrorDomain,
    what: &str,
) {
    let error: RemoteError = refused::<P>(raw, &args).await;
    assert_eq!(facts(&error), (code, domain, what));
}

#[tokio::test]
async fn kinds_and_numbers_that_there_are_not() {
    deadline(async {
        let both = Both::new().await;
        for mut raw in both.open("qemu:///system").await {
            let raw = &mut raw;
            let (code, domain) = (ErrorCode::INTERNAL_ERROR, ErrorDomain::RPC);
            let args = remote::ConnectDomainEventCallbackRegisterAnyArgs {
                event_id: 1000,
                dom: None,
            };
            let what = "internal error: unsupported event ID 1000";
            refuses::<remote::ConnectDomainEventCallbackRegisterAny>(raw, args, code, domain, what)
                .await;
            for event_id in [-1, 16] {
                let args = remote::ConnectDomainEventRegisterAnyArgs { event_id };
                let what = format!("internal error: unsupported event ID {event_id}");
                refuses::<remote::ConnectDomainEventRegisterAny>(raw, args, code, domain, &what)
                    .await;
                let args = remote::ConnectDomainEventDeregisterAnyArgs { event_id };
                refuses::<remote::ConnectDomainEventDeregisterAny>(raw, args, code, domain, &what)
                    .await;
            }
            let args = remote::ConnectDomainEventDeregisterAnyArgs { event_id: 3 };
            let what = "internal error: domain event 3 not registered";
            refuses::<remote::ConnectDomainEventDeregisterAny>(raw, args, code, domain, what).await;
            let what = "internal error: domain event 0 not registered";
            refuses::<remote::ConnectDomainEventDeregister>(raw, (), code, domain, what).await;
            let args = remote::ConnectDomainEventCallbackDeregisterAnyArgs { callback_id: 5 };
            let what = "internal error: domain event callback 5 not registered";
            refuses::<remote::ConnectDomainEventCallbackDeregisterAny>(
                raw, args, code, domain, what,
            )
            .await;
            let args = remote::ConnectNodeDeviceEventRegisterAnyArgs {
                event_id: 2,
                dev: None,
            };
            let what = "internal error: unsupported node device event ID 2";
            refuses::<remote::ConnectNodeDeviceEventRegisterAny>(raw, args, code, domain, what)
                .await;
            let args = remote::ConnectSecretEventRegisterAnyArgs {
                event_id: -1,
                secret: None,
            };
            let what = "internal error: unsupported secret event ID -1";
            refuses::<remote::ConnectSecretEventRegisterAny>(raw, args, code, domain, what).await;
            let args = remote::ConnectNodeDeviceEventDeregisterAnyArgs { callback_id: 7 };
            let what = "internal error: node device event callback 7 not registered";
            refuses::<remote::ConnectNodeDeviceEventDeregisterAny>(raw, args, code, domain, what)
                .await;
            // That it speaks of a device here as well is libvirt's.
            let args = remote::ConnectSecretEventDeregisterAnyArgs { callback_id: 7 };
            refuses::<remote::ConnectSecretEventDeregisterAny>(raw, args, code, domain, what).await;
            let args = qemu::ConnectDomainMonitorEventDeregisterArgs { callback_id: 7 };
            let what = "internal error: qemu monitor event callback 7 not registered";
            refuses::<qemu::ConnectDomainMonitorEventDeregister>(raw, args, code, domain, what)
                .await;
        }
    })
    .await;
}

#[tokio::test]
async fn second_registration_for_the_same() {
    deadline(async {
        let both = Both::new().await;
        let (code, domain) = (ErrorCode::INVALID_ARG, ErrorDomain::NONE);
        for mut raw in both.open("qemu:///system").await {
            let raw = &mut raw;
            let args = remote::ConnectDomainEventRegisterAnyArgs { event_id: 1 };
            raw.call::<remote::ConnectDomainEventRegisterAny>(&args)
                .await;
            refuses::<remote::ConnectDomainEventRegisterAny>(raw, args, code, domain, TRACKED)
                .await;
            let args = remote::ConnectNodeDeviceEventRegisterAnyArgs {
                event_id: 1,
                dev: Some(remote::NonnullNodeDevice {
                    name: "net_a".into(),
                }),
            };
            raw.call::<remote::ConnectNodeDeviceEventRegisterAny>(&args)
                .await;
            refuses::<remote::ConnectNodeDeviceEventRegisterAny>(raw, args, code, domain, TRACKED)
                .await;
            // One that picks events by name is never the same as another; one that does not, is
            // the same as any.
            let args = |dom: Option<[u8; 16]>, event: Option<&'static str>| {
                qemu::ConnectDomainMonitorEventRegisterArgs {
                    dom: dom.map(named),
                    event: event.map(Into::into),
                    flags: 0,
                }
            };
            let stop = args(None, Some("STOP"));
            raw.call::<qemu::ConnectDomainMonitorEventRegister>(&stop)
                .await;
            raw.call::<qemu::ConnectDomainMonitorEventRegister>(&stop)
                .await;
            let all = args(None, None);
            refuses::<qemu::ConnectDomainMonitorEventRegister>(raw, all, code, domain, TRACKED)
                .await;
            let one = args(Some([1; 16]), None);
            raw.call::<qemu::ConnectDomainMonitorEventRegister>(&one)
                .await;
        }
    })
    .await;
}

#[tokio::test]
async fn filters_that_make_no_sense() {
    deadline(async {
        let both = Both::new().await;
        let args = |event: &'static str, flags| qemu::ConnectDomainMonitorEventRegisterArgs {
            dom: None,
            event: Some(event.into()),
            flags,
        };
        for mut raw in both.open("qemu:///system").await {
            let raw = &mut raw;
            let what = "unsupported flags (0x4) in function \
                        virDomainQemuMonitorEventStateRegisterID";
            let (code, domain) = (ErrorCode::INVALID_ARG, ErrorDomain::NONE);
            let wish = args("STOP", 4);
            refuses::<qemu::ConnectDomainMonitorEventRegister>(raw, wish, code, domain, what).await;
            let wish = args("(STOP", 1);
            let error = refused::<qemu::ConnectDomainMonitorEventRegister>(raw, &wish).await;
            assert_eq!((error.code, error.domain), (code, domain));
            // What is wrong with it, each says in its own words.
            let what = error.message.unwrap();
            let words = "invalid argument: failed to compile regex '(STOP': ";
            assert!(what.starts_with(words), "{what}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_the_test_driver_lacks() {
    deadline(async {
        let both = Both::new().await;
        for mut raw in both.open("test:///default").await {
            let raw = &mut raw;
            let code = ErrorCode::NO_SUPPORT;
            let words = "this function is not supported by the connection driver";
            let args = remote::ConnectSecretEventRegisterAnyArgs {
                event_id: 0,
                secret: None,
            };
            let what = format!("{words}: virConnectSecretEventRegisterAny");
            let domain = ErrorDomain::SECRET;
            refuses::<remote::ConnectSecretEventRegisterAny>(raw, args, code, domain, &what).await;
            let args = qemu::ConnectDomainMonitorEventRegisterArgs {
                dom: None,
                event: None,
                flags: 0,
            };
            let what = format!("{words}: virConnectDomainQemuMonitorEventRegister");
            let domain = ErrorDomain::NONE;
            refuses::<qemu::ConnectDomainMonitorEventRegister>(raw, args, code, domain, &what)
                .await;
        }
    })
    .await;
}

#[tokio::test]
async fn readers_do_not_listen_to_monitors() {
    deadline(async {
        let simulator = Simulator::builder().start();
        let builder = Connection::builder().uri("qemu:///system");
        let connected = builder.connect_with_io(simulator.connect_read_only()).await;
        let (connection, driver) = connected.unwrap();
        tokio::spawn(driver);
        let args = qemu::ConnectDomainMonitorEventRegisterArgs {
            dom: None,
            event: None,
            flags: 0,
        };
        let error = connection
            .call::<qemu::ConnectDomainMonitorEventRegister>(args)
            .await
            .unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::OPERATION_DENIED), "{error}");
    })
    .await;
}
