//! A domain's memory.

use virtwire_protocol::constants::{DomainMemoryModFlags as Flags, DomainMemoryStatTags as Tag};
use virtwire_protocol::event::DomainEventKind;
use virtwire_protocol::remote::{self, DomainMemoryStat, NonnullDomain};

use crate::call::Call;
use crate::hypervisor::Domain;
use crate::hypervisor::domain::settings::{self, Memory};
use crate::refusal::{Result, check_flags, invalid, not_valid_now};
use crate::router::Router;

/// When the guest last told how it fares, in seconds: libvirt's test driver has it so.
const LAST_UPDATE: u64 = 627_319_920;

pub(super) fn routes(router: &mut Router) {
    router.on::<remote::DomainGetMaxMemory>(|call, args| {
        let hypervisor = call.hypervisor();
        let domain = hypervisor.domain(&args.dom)?;
        let memory = settings::memory(domain.current(), Memory::Total);
        Ok(remote::DomainGetMaxMemoryRet { memory })
    });
    router.on_turn::<remote::DomainSetMemory>(
        |args| &args.dom,
        |call, args| set(call, &args.dom, args.memory, Flags::LIVE),
    );
    router.on_turn::<remote::DomainSetMaxMemory>(
        |args| &args.dom,
        |call, args| set(call, &args.dom, args.memory, Flags::MAXIMUM),
    );
    router.on_turn::<remote::DomainSetMemoryFlags>(
        |args| &args.dom,
        |call, args| {
            let known = Flags::LIVE | Flags::CONFIG | Flags::MAXIMUM;
            check_flags(args.flags, known.bits(), "qemuDomainSetMemoryFlags")?;
            let flags = Flags::from_bits_retain(args.flags);
            set(call, &args.dom, args.memory, flags)
        },
    );
    router.on_monitor::<remote::DomainMemoryStats>(
        |args| &args.dom,
        |call, args| {
            check_flags(args.flags, 0, "qemuDomainMemoryStats")?;
            let hypervisor = call.hypervisor();
            let domain = hypervisor.domain(&args.dom)?;
            domain.live()?;
            let all = stats(domain).into_iter();
            let max = usize::try_from(args.max_stats).unwrap_or(usize::MAX);
            let stats = all
                .map(|(tag, val)| DomainMemoryStat { tag: tag.0, val })
                .take(max);
            let stats = stats.collect();
            Ok(remote::DomainMemoryStatsRet { stats })
        },
    );
}

/// What a guest tells of its memory: it uses half of it.
pub(super) fn stats(domain: &Domain) -> [(Tag, u64); 13] {
    let now = settings::memory(domain.current(), Memory::Current);
    [
        (Tag::ACTUAL_BALLOON, now),
        (Tag::SWAP_IN, 0),
        (Tag::SWAP_OUT, 0),
        (Tag::MAJOR_FAULT, 0),
        (Tag::MINOR_FAULT, 0),
        (Tag::UNUSED, now / 2),
        (Tag::AVAILABLE, now),
        (Tag::USABLE, now / 2),
        (Tag::LAST_UPDATE, LAST_UPDATE),
        (Tag::DISK_CACHES, now / 8),
        (Tag::HUGETLB_PGALLOC, 0),
        (Tag::HUGETLB_PGFAIL, 0),
        (Tag::RSS, now / 2),
    ]
}

fn set(call: &Call, dom: &NonnullDomain<'_>, kib: u64, flags: Flags) -> Result<()> {
    if kib == 0 {
        return Err(invalid(
            "memory in virDomainSetMemoryFlags must not be zero",
        ));
    }
    let mut hypervisor = call.hypervisor();
    let domain = hypervisor.domain_mut(dom)?;
    let impact = domain.impact(flags.bits())?;
    if flags.contains(Flags::MAXIMUM) {
        if impact.live {
            return Err(not_valid_now(
                "cannot resize the maximum memory on an active domain",
            ));
        }
        for config in domain.sides(impact) {
            let current = settings::memory(config, Memory::Current);
            settings::set_memory(config, Memory::Total, kib);
            settings::set_memory(config, Memory::Current, current.min(kib));
        }
        return Ok(());
    }
    let most = domain
        .sides(impact)
        .map(|config| settings::memory(config, Memory::Total));
    if most.max().is_some_and(|most| kib > most) {
        return Err(invalid("cannot set memory higher than max memory"));
    }
    for config in domain.sides(impact) {
        settings::set_memory(config, Memory::Current, kib);
    }
    let uuid = domain.uuid;
    if impact.live && !domain.is_test() {
        hypervisor.emit_now(uuid, DomainEventKind::BalloonChange { actual: kib });
    }
    Ok(())
}
