//! Freezing the filesystems in guests, which have one on each disk and an agent if their XML has
//! its channel.

use virtwire_protocol::constants::{DomainState, ErrorCode};
use virtwire_protocol::remote;

use crate::call::Call;
use crate::hypervisor::Domain;
use crate::refusal::{Result, check_flags, not_valid_now, refusal};
use crate::router::Router;

/// What a guest that can be frozen has in its description.
const AGENT: &str = "org.qemu.guest_agent.0";

pub(super) fn routes(router: &mut Router) {
    router.on::<remote::DomainFsfreeze>(|call, args| {
        check_flags(args.flags, 0, "qemuDomainFSFreeze")?;
        let filesystems = freeze(call, &args)?;
        Ok(remote::DomainFsfreezeRet { filesystems })
    });
    router.on::<remote::DomainFsthaw>(|call, args| {
        check_flags(args.flags, 0, "qemuDomainFSThaw")?;
        if !args.mountpoints.is_empty() {
            return Err(refusal(
                ErrorCode::ARGUMENT_UNSUPPORTED,
                "specifying mountpoints is not supported",
            ));
        }
        let mut hypervisor = call.hypervisor();
        let domain = hypervisor.domain_mut(&args.dom)?;
        check_agent(domain)?;
        let filesystems = std::mem::take(&mut domain.live_mut()?.frozen_filesystems);
        Ok(remote::DomainFsthawRet { filesystems })
    });
}

fn freeze(call: &Call, args: &remote::DomainFsfreezeArgs<'static>) -> Result<i32> {
    let mut hypervisor = call.hypervisor();
    let domain = hypervisor.domain_mut(&args.dom)?;
    check_agent(domain)?;
    let live = domain.live_mut()?;
    if live.frozen_filesystems > 0 {
        // A frozen agent listens to nothing else.
        return Err(refusal(
            ErrorCode::INTERNAL_ERROR,
            "unable to execute QEMU agent command 'guest-fsfreeze-freeze': The command \
             guest-fsfreeze-freeze has been disabled for this instance",
        ));
    }
    let there = live.disks.iter().filter(|disk| !disk.readonly).count();
    let wanted = match args.mountpoints.len() {
        0 => there,
        named => named.min(there),
    };
    live.frozen_filesystems = i32::try_from(wanted).unwrap_or(i32::MAX);
    Ok(live.frozen_filesystems)
}

fn check_agent(domain: &Domain) -> Result<()> {
    domain.live()?;
    if domain.state != DomainState::RUNNING {
        return Err(not_valid_now("domain is not running"));
    }
    if has_agent(domain) {
        return Ok(());
    }
    Err(refusal(
        ErrorCode::ARGUMENT_UNSUPPORTED,
        "QEMU guest agent is not configured",
    ))
}

pub(super) fn has_agent(domain: &Domain) -> bool {
    let devices = domain.current().child("devices").into_iter();
    let mut channels = devices
        .flat_map(|devices| devices.elements())
        .filter(|device| device.name == "channel");
    channels.any(|channel| {
        let target = channel.child("target");
        target.and_then(|target| target.attribute("name")) == Some(AGENT)
    })
}
