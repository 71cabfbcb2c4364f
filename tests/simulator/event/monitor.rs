//! Events of QEMU's monitors.

use virtwire::constants::{ErrorCode, ErrorDomain};
use virtwire::qemu;
use virtwire_protocol::event::MonitorEvent;
use virtwire_sim::Simulator;
use virtwire_tests::paused_deadline;

use super::{hear, named, refused, register};
use crate::raw::{Raw, decode, facts};

const REGEX: u32 = 1;
const NOCASE: u32 = 2;

type Args = qemu::ConnectDomainMonitorEventRegisterArgs<'static>;

fn args(dom: Option<[u8; 16]>, event: Option<&'static str>, flags: u32) -> Args {
    Args {
        dom: dom.map(named),
        event: event.map(Into::into),
        flags,
    }
}

async fn register_monitor(raw: &mut Raw, args: Args) -> i32 {
    let (_, payload) = raw
        .call::<qemu::ConnectDomainMonitorEventRegister>(&args)
        .await;
    let ret: qemu::ConnectDomainMonitorEventRegisterRet = decode(&payload);
    ret.callback_id
}

fn say(simulator: &Simulator, uuid: [u8; 16], name: &str) {
    let event = MonitorEvent {
        name: name.to_owned(),
        seconds: 1_700_000_000,
        micros: 42,
        details: Some(String::from("{\"device\":\"drive-virtio-disk0\"}")),
    };
    simulator.emit(&named(uuid).into(), &event.into()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn filters_pick_events_by_domain_and_name() {
    paused_deadline(async {
        let simulator = Simulator::builder().start();
        for (wish, heard) in [
            (
                args(None, None, 0),
                &["STOP", "STOPPED", "Stop", "RESUME"][..],
            ),
            (
                args(Some([1; 16]), None, 0),
                &["STOP", "STOPPED", "Stop", "RESUME"],
            ),
            (args(Some([2; 16]), None, 0), &[]),
            (args(None, Some("STOP"), 0), &["STOP"]),
            (args(None, Some("stop"), 0), &[]),
            (args(None, Some("stop"), NOCASE), &["STOP", "Stop"]),
            (args(None, Some("STOP"), REGEX), &["STOP", "STOPPED"]),
            (
                args(None, Some("^(STOP|RESUME)$"), REGEX),
                &["STOP", "RESUME"],
            ),
            (
                args(None, Some("^stop"), REGEX | NOCASE),
                &["STOP", "STOPPED", "Stop"],
            ),
            (args(Some([2; 16]), Some("STOP"), REGEX), &[]),
            // Without a name there is nothing that the flags are about.
            (
                args(None, None, REGEX),
                &["STOP", "STOPPED", "Stop", "RESUME"],
            ),
        ] {
            let mut raw = Raw::open(&simulator, "qemu:///system").await;
            let callback_id = register_monitor(&mut raw, wish.clone()).await;
            for name in ["STOP", "STOPPED", "Stop", "RESUME"] {
                say(&simulator, [1; 16], name);
            }
            for name in heard {
                let payload = hear::<qemu::DomainMonitorEvent>(&mut raw).await;
                let event: qemu::DomainMonitorEventMsg<'_> = decode(&payload);
                assert_eq!(
                    (event.event, event.callback_id),
                    ((*name).into(), callback_id)
                );
                assert_eq!((event.seconds, event.micros), (1_700_000_000, 42));
                assert!(event.details.is_some() && event.dom.uuid == [1; 16]);
            }
            raw.hears_nothing().await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn registrations_share_their_numbers_with_those_of_domains() {
    paused_deadline(async {
        let simulator = Simulator::builder().start();
        let mut raw = Raw::open(&simulator, "qemu:///system").await;
        assert_eq!(register(&mut raw, 0.into(), None).await, 0);
        assert_eq!(
            register_monitor(&mut raw, args(None, Some("STOP"), 0)).await,
            1
        );
        // One with a name is never the same as another.
        assert_eq!(
            register_monitor(&mut raw, args(None, Some("STOP"), 0)).await,
            2
        );
        say(&simulator, [1; 16], "STOP");
        for expected in [1, 2] {
            let payload = hear::<qemu::DomainMonitorEvent>(&mut raw).await;
            let event: qemu::DomainMonitorEventMsg<'_> = decode(&payload);
            assert_eq!(event.callback_id, expected);
        }
        // One without a name is the same as any.
        let error =
            refused::<qemu::ConnectDomainMonitorEventRegister>(&mut raw, &args(None, None, 0))
                .await;
        let what = "invalid argument: event callback already tracked";
        assert_eq!(
            facts(&error),
            (ErrorCode::INVALID_ARG, ErrorDomain::NONE, what)
        );
        assert_eq!(
            register_monitor(&mut raw, args(Some([1; 16]), None, 0)).await,
            3
        );
        for callback_id in [1, 2, 3] {
            let args = qemu::ConnectDomainMonitorEventDeregisterArgs { callback_id };
            raw.call::<qemu::ConnectDomainMonitorEventDeregister>(&args)
                .await;
        }
        // Number 0 is there, and is no monitor's.
        let args = qemu::ConnectDomainMonitorEventDeregisterArgs { callback_id: 0 };
        let error = refused::<qemu::ConnectDomainMonitorEventDeregister>(&mut raw, &args).await;
        let what = "internal error: qemu monitor event callback 0 not registered";
        assert_eq!(
            facts(&error),
            (ErrorCode::INTERNAL_ERROR, ErrorDomain::RPC, what)
        );
    })
    .await;
}
