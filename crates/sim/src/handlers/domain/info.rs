//! What there is to know of a domain at a glance.

use virtwire_protocol::constants::DomainControlState;
use virtwire_protocol::remote;
use virtwire_xdr::Str;

use crate::hypervisor::client::Driver;
use crate::hypervisor::domain::settings::{self, Memory};
use crate::refusal::{Result, check_flags, not_valid_now};
use crate::router::Router;

pub(super) fn routes(router: &mut Router) {
    questions(router);
    autostart(router);
    router.on::<remote::DomainGetInfo>(|call, args| {
        let hypervisor = call.hypervisor();
        let domain = hypervisor.domain(&args.dom)?;
        let now = domain.current();
        Ok(remote::DomainGetInfoRet {
            state: u8::try_from(domain.state.0).unwrap_or_default(),
            max_mem: settings::memory(now, Memory::Total),
            memory: settings::memory(now, Memory::Current),
            nr_virt_cpu: u16::try_from(settings::vcpus(now)).unwrap_or(u16::MAX),
            cpu_time: domain.running_for(),
        })
    });
    router.on::<remote::DomainGetState>(|call, args| {
        check_flags(args.flags, 0, "qemuDomainGetState")?;
        let hypervisor = call.hypervisor();
        let domain = hypervisor.domain(&args.dom)?;
        Ok(remote::DomainGetStateRet {
            state: domain.state.0,
            reason: domain.reason,
        })
    });
    router.on::<remote::DomainGetControlInfo>(|call, args| {
        check_flags(args.flags, 0, "qemuDomainGetControlInfo")?;
        let hypervisor = call.hypervisor();
        hypervisor.domain(&args.dom)?.live()?;
        let state = u32::try_from(DomainControlState::OK.0).unwrap_or_default();
        Ok(remote::DomainGetControlInfoRet {
            state,
            details: 0,
            state_time: 0,
        })
    });
    router.on::<remote::DomainGetSecurityLabel>(|call, args| {
        let test = call.driver() == Driver::Test;
        let hypervisor = call.hypervisor();
        let running = hypervisor.domain(&args.dom)?.live.is_some();
        let label = if test && running { "libvirt-test" } else { "" };
        // C sends the terminator too, when there is anything to end.
        let label = label.bytes().chain((test && running).then_some(0));
        Ok(remote::DomainGetSecurityLabelRet {
            label: label.collect(),
            enforcing: i32::from(test && running),
        })
    });
}

fn questions(router: &mut Router) {
    router.on::<remote::DomainIsActive>(|call, args| {
        let active = call.hypervisor().domain(&args.dom)?.live.is_some().into();
        Ok(remote::DomainIsActiveRet { active })
    });
    router.on::<remote::DomainIsPersistent>(|call, args| {
        let hypervisor = call.hypervisor();
        let persistent = hypervisor.domain(&args.dom)?.definition.is_some().into();
        Ok(remote::DomainIsPersistentRet { persistent })
    });
    router.on::<remote::DomainIsUpdated>(|call, args| {
        call.hypervisor().domain(&args.dom)?;
        // No release of libvirt has ever set it.
        Ok(remote::DomainIsUpdatedRet { updated: 0 })
    });
    router.on::<remote::DomainGetOsType>(|call, args| {
        let driver = call.driver();
        let hypervisor = call.hypervisor();
        let domain = hypervisor.domain(&args.dom)?;
        let found = domain.current().find(&["os", "type"]);
        let type_ = match driver {
            // The test driver says so of every domain.
            Driver::Test => String::from("linux"),
            Driver::Qemu => found.map(crate::xml::Element::text).unwrap_or_default(),
        };
        let type_ = Str::from(type_);
        Ok(remote::DomainGetOsTypeRet { type_ })
    });
}

fn autostart(router: &mut Router) {
    router.on::<remote::DomainGetAutostart>(|call, args| {
        let autostart = call.hypervisor().domain(&args.dom)?.autostart.into();
        Ok(remote::DomainGetAutostartRet { autostart })
    });
    router.on_turn::<remote::DomainSetAutostart>(
        |args| &args.dom,
        |call, args| -> Result<()> {
            let mut hypervisor = call.hypervisor();
            let domain = hypervisor.domain_mut(&args.dom)?;
            if domain.definition.is_none() {
                return Err(not_valid_now("cannot set autostart for transient domain"));
            }
            domain.autostart = args.autostart != 0;
            Ok(())
        },
    );
}
