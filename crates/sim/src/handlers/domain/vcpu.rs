//! A domain's processors.

use virtwire_protocol::constants::{DomainVcpuFlags as Flags, ErrorCode, VcpuState};
use virtwire_protocol::remote::{self, NonnullDomain, VcpuInfo};
use virtwire_xdr::Opaque;

use crate::call::Call;
use crate::handlers::node;
use crate::hypervisor::domain::settings;
use crate::hypervisor::host::Host;
use crate::refusal::{Result, check_flags, invalid, not_valid_now, refusal};
use crate::router::Router;

pub(super) fn routes(router: &mut Router) {
    asking(router);
    router.on_turn::<remote::DomainSetVcpus>(
        |args| &args.dom,
        |call, args| set(call, &args.dom, args.nvcpus, Flags::LIVE),
    );
    router.on_turn::<remote::DomainSetVcpusFlags>(
        |args| &args.dom,
        |call, args| {
            let known =
                Flags::LIVE | Flags::CONFIG | Flags::MAXIMUM | Flags::GUEST | Flags::HOTPLUGGABLE;
            check_flags(args.flags, known.bits(), "qemuDomainSetVcpusFlags")?;
            let flags = Flags::from_bits_retain(args.flags);
            set(call, &args.dom, args.nvcpus, flags)
        },
    );
}

fn asking(router: &mut Router) {
    router.on::<remote::DomainGetMaxVcpus>(|call, args| {
        let hypervisor = call.hypervisor();
        let domain = hypervisor.domain(&args.dom)?;
        let flags = match domain.live {
            Some(_) => Flags::LIVE,
            None => Flags::CONFIG,
        };
        let num = int(settings::max_vcpus(domain.side(flags.bits())?));
        Ok(remote::DomainGetMaxVcpusRet { num })
    });
    router.on::<remote::DomainGetVcpusFlags>(|call, args| {
        let known = Flags::LIVE | Flags::CONFIG | Flags::MAXIMUM | Flags::GUEST;
        check_flags(args.flags, known.bits(), "qemuDomainGetVcpusFlags")?;
        let flags = Flags::from_bits_retain(args.flags);
        if flags.contains(Flags::GUEST) {
            call.check_writer()?;
        }
        let hypervisor = call.hypervisor();
        let domain = hypervisor.domain(&args.dom)?;
        let config = domain.side(args.flags)?;
        if flags.contains(Flags::GUEST) {
            return Err(no_agent());
        }
        let num = int(match flags.contains(Flags::MAXIMUM) {
            true => settings::max_vcpus(config),
            false => settings::vcpus(config),
        });
        Ok(remote::DomainGetVcpusFlagsRet { num })
    });
    router.on::<remote::DomainGetVcpus>(|call, args| {
        let host = node::host(call);
        let hypervisor = call.hypervisor();
        let domain = hypervisor.domain(&args.dom)?;
        if domain.live.is_none() {
            return Err(not_valid_now(
                "cannot retrieve vcpu information for inactive domain",
            ));
        }
        let number = settings::vcpus(domain.current()).min(bound(args.maxinfo)?);
        let time = domain.running_for();
        let info = (0..number).map(|number| VcpuInfo {
            number,
            state: VcpuState::RUNNING.0,
            cpu_time: time,
            cpu: int(number % host.cpus.max(1)),
        });
        let info = info.collect();
        let cpumaps = all_cpus(&host, number, bound(args.maplen)?);
        Ok(remote::DomainGetVcpusRet { info, cpumaps })
    });
    router.on::<remote::DomainGetVcpuPinInfo>(|call, args| {
        check_flags(args.flags, 3, "qemuDomainGetVcpuPinInfo")?;
        let host = node::host(call);
        let hypervisor = call.hypervisor();
        let domain = hypervisor.domain(&args.dom)?;
        let number = settings::max_vcpus(domain.side(args.flags)?);
        let number = number.min(bound(args.ncpumaps)?);
        let cpumaps = all_cpus(&host, number, bound(args.maplen)?);
        let num = int(number);
        Ok(remote::DomainGetVcpuPinInfoRet { cpumaps, num })
    });
}

/// The maps of processors that may run anywhere, each of so many bytes.
fn all_cpus(host: &Host, number: u32, length: u32) -> Opaque<'static> {
    let mut one = host.cpu_map();
    one.truncate(usize::try_from(length).unwrap_or_default());
    Opaque::from(one.repeat(usize::try_from(number).unwrap_or_default()))
}

fn set(call: &Call, dom: &NonnullDomain<'_>, number: u32, flags: Flags) -> Result<()> {
    if number == 0 {
        return Err(invalid("nvcpus in virDomainSetVcpusFlags must not be zero"));
    }
    if flags.contains(Flags::GUEST) {
        return Err(no_agent());
    }
    let mut hypervisor = call.hypervisor();
    let domain = hypervisor.domain_mut(dom)?;
    let impact = domain.impact(flags.bits())?;
    if flags.contains(Flags::MAXIMUM) {
        if impact.live {
            return Err(invalid(
                "maximum vcpu count of a live domain can't be modified",
            ));
        }
        if number > settings::MAX_VCPUS {
            let most = settings::MAX_VCPUS;
            let what = format!("Maximum CPUs greater than specified machine type limit {most}");
            return Err(refusal(ErrorCode::CONFIG_UNSUPPORTED, what));
        }
        for config in domain.sides(impact) {
            let current = settings::vcpus(config).min(number);
            settings::set_vcpus(config, current, number);
        }
        return Ok(());
    }
    let maxima = domain
        .sides(impact)
        .map(|config| settings::max_vcpus(config));
    if let Some(most) = maxima.min().filter(|most| number > *most) {
        let side = if impact.live { "live" } else { "persistent" };
        return Err(invalid(format!(
            "requested vcpus is greater than max allowable vcpus for the {side} domain: {number} > {most}"
        )));
    }
    for config in domain.sides(impact) {
        let most = settings::max_vcpus(config);
        settings::set_vcpus(config, number, most);
    }
    Ok(())
}

fn no_agent() -> virtwire_protocol::RemoteError {
    refusal(
        ErrorCode::ARGUMENT_UNSUPPORTED,
        "QEMU guest agent is not configured",
    )
}

fn int(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// A count that a client gives; there is no negative one.
fn bound(number: i32) -> Result<u32> {
    u32::try_from(number).map_err(|_| invalid(format!("count {number} must not be negative")))
}
