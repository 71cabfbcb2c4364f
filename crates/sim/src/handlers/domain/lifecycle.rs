//! Starting, pausing and stopping.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use virtwire_protocol::constants::{
    DomainCreateFlags, DomainDestroyFlags, DomainRebootFlags, DomainShutdownFlags, DomainState,
    ErrorCode,
};
use virtwire_protocol::remote::{self, NonnullDomain};

use crate::call::Call;
use crate::hypervisor::domain::{Start, Stop};
use crate::hypervisor::{Hypervisor, Uuid};
use crate::refusal::{Result, check_flags, not_valid_now, refusal};
use crate::router::Router;

/// How long a guest takes to do what it is asked by its power button.
const REACTION: Duration = Duration::from_secs(1);

/// How long libvirt gives a hypervisor that does not end by itself before it kills it outright.
const UNTIL_KILLED: Duration = Duration::from_secs(10);

/// How much longer it takes when it was asked to be graceful.
const GRACE: Duration = Duration::from_secs(15);

pub(super) fn routes(router: &mut Router) {
    starting(router);
    pausing(router);
    stopping(router);
}

fn starting(router: &mut Router) {
    router.on::<remote::DomainCreateXml>(|call, args| {
        let known = DomainCreateFlags::PAUSED
            | DomainCreateFlags::AUTODESTROY
            | DomainCreateFlags::VALIDATE
            | DomainCreateFlags::RESET_NVRAM;
        check_flags(args.flags, known.bits(), "qemuDomainCreateXML")?;
        let start = start_of(call, args.flags);
        let mut hypervisor = call.hypervisor();
        let described = hypervisor.describe(&args.xml_desc.to_string_lossy())?;
        let uuid = hypervisor.create(described, start)?;
        let dom = hypervisor.reference(uuid)?;
        Ok(remote::DomainCreateXmlRet { dom })
    });
    router.on_turn::<remote::DomainCreate>(
        |args| &args.dom,
        |call, args| start(call, &args.dom, 0).map(drop),
    );
    router.on_turn::<remote::DomainCreateWithFlags>(
        |args| &args.dom,
        |call, args| {
            let dom = start(call, &args.dom, args.flags)?;
            Ok(remote::DomainCreateWithFlagsRet { dom })
        },
    );
}

fn start(call: &Call, dom: &NonnullDomain<'_>, flags: u32) -> Result<NonnullDomain<'static>> {
    let known = DomainCreateFlags::PAUSED
        | DomainCreateFlags::AUTODESTROY
        | DomainCreateFlags::BYPASS_CACHE
        | DomainCreateFlags::FORCE_BOOT
        | DomainCreateFlags::RESET_NVRAM;
    check_flags(flags, known.bits(), "qemuDomainCreateWithFlags")?;
    let start = start_of(call, flags);
    let mut hypervisor = call.hypervisor();
    let uuid = hypervisor.domain(dom)?.uuid;
    hypervisor.start(uuid, start)?;
    hypervisor.reference(uuid)
}

fn start_of(call: &Call, flags: u32) -> Start {
    let flags = DomainCreateFlags::from_bits_retain(flags);
    let autodestroy = flags.contains(DomainCreateFlags::AUTODESTROY);
    Start {
        paused: flags.contains(DomainCreateFlags::PAUSED),
        autodestroy: autodestroy.then_some(call.client),
        force_boot: flags.contains(DomainCreateFlags::FORCE_BOOT),
    }
}

fn pausing(router: &mut Router) {
    router.on_monitor::<remote::DomainSuspend>(
        |args| &args.dom,
        |call, args| {
            let mut hypervisor = call.hypervisor();
            let uuid = hypervisor.domain(&args.dom)?.uuid;
            hypervisor.suspend(uuid)
        },
    );
    router.on_monitor::<remote::DomainResume>(
        |args| &args.dom,
        |call, args| {
            let mut hypervisor = call.hypervisor();
            let uuid = hypervisor.domain(&args.dom)?.uuid;
            hypervisor.resume(uuid)
        },
    );
}

fn stopping(router: &mut Router) {
    // These two do not wait for their turn: they end what holds it.
    router.on_async::<remote::DomainDestroy, _>(|call, args| async move {
        destroy(&call, &args.dom, 0).await
    });
    router.on_async::<remote::DomainDestroyFlags, _>(|call, args| async move {
        destroy(&call, &args.dom, args.flags).await
    });
    router.on_monitor::<remote::DomainShutdown>(
        |args| &args.dom,
        |call, args| shut_down(call, &args.dom, 0),
    );
    router.on_monitor::<remote::DomainShutdownFlags>(
        |args| &args.dom,
        |call, args| shut_down(call, &args.dom, args.flags),
    );
    router.on_monitor::<remote::DomainReboot>(
        |args| &args.dom,
        |call, args| {
            let (acpi, agent) = (
                DomainRebootFlags::ACPI_POWER_BTN.bits(),
                DomainRebootFlags::GUEST_AGENT.bits(),
            );
            check_flags(args.flags, acpi | agent, "qemuDomainReboot")?;
            push_button(
                call,
                &args.dom,
                args.flags == agent,
                Hypervisor::guest_reboots,
            )
        },
    );
    router.on_monitor::<remote::DomainReset>(
        |args| &args.dom,
        |call, args| {
            check_flags(args.flags, 0, "qemuDomainReset")?;
            let mut hypervisor = call.hypervisor();
            let domain = hypervisor.domain(&args.dom)?;
            domain.live()?;
            let uuid = domain.uuid;
            hypervisor.guest_resets(uuid)
        },
    );
}

async fn destroy(call: &Call, dom: &NonnullDomain<'_>, flags: u32) -> Result<()> {
    let known = DomainDestroyFlags::GRACEFUL | DomainDestroyFlags::REMOVE_LOGS;
    check_flags(flags, known.bits(), "qemuDomainDestroyFlags")?;
    let uuid = call.hypervisor().domain(dom)?.uuid;
    let flags = DomainDestroyFlags::from_bits_retain(flags);
    let patience = match flags.contains(DomainDestroyFlags::GRACEFUL) {
        true => GRACE + UNTIL_KILLED,
        false => UNTIL_KILLED,
    };
    // A process that stands still does not hear that it shall end.
    let _ = timeout(patience, call.monitor(dom)).await;
    call.hypervisor().stop(uuid, Stop::Destroyed)
}

fn shut_down(call: &Call, dom: &NonnullDomain<'_>, flags: u32) -> Result<()> {
    let (acpi, agent) = (
        DomainShutdownFlags::ACPI_POWER_BTN.bits(),
        DomainShutdownFlags::GUEST_AGENT.bits(),
    );
    check_flags(flags, acpi | agent, "qemuDomainShutdownFlags")?;
    push_button(call, dom, flags == agent, Hypervisor::guest_shuts_down)
}

/// Asks the guest to do something, which it does in its own time; one of libvirt's test driver does
/// it at once.
fn push_button(
    call: &Call,
    dom: &NonnullDomain<'_>,
    agent: bool,
    done: fn(&mut Hypervisor, Uuid) -> Result<()>,
) -> Result<()> {
    let mut hypervisor = call.hypervisor();
    let domain = hypervisor.domain(dom)?;
    if domain.state != DomainState::RUNNING {
        return Err(not_valid_now("domain is not running"));
    }
    if agent {
        let what = "QEMU guest agent is not configured";
        return Err(refusal(ErrorCode::ARGUMENT_UNSUPPORTED, what));
    }
    let (uuid, id) = (domain.uuid, domain.id());
    if domain.is_test() {
        return done(&mut hypervisor, uuid);
    }
    let daemon = Arc::downgrade(&call.shared);
    tokio::spawn(async move {
        tokio::time::sleep(REACTION).await;
        let Some(daemon) = daemon.upgrade() else {
            return;
        };
        let mut hypervisor = daemon.hypervisor();
        let same =
            |one: &crate::hypervisor::Domain| one.id() == id && one.state == DomainState::RUNNING;
        if hypervisor.domains.get(&uuid).is_some_and(same) {
            // It runs, so that nothing can be wrong with it.
            let _ = done(&mut hypervisor, uuid);
        }
    });
    Ok(())
}
