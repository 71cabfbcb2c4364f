//! Lists of domains: the one with filters, and those of old programs.

use virtwire_protocol::constants::{ConnectListAllDomainsFlags as Flags, DomainState};
use virtwire_protocol::remote;
use virtwire_xdr::Str;

use crate::hypervisor::{Domain, Hypervisor};
use crate::refusal::{check_flags, invalid};
use crate::router::Router;

/// Flags that name the two sides of a question, or several answers to it: a domain passes when it
/// has one of those that are asked for, or none of them is.
const FILTERS: &[&[Flags]] = &[
    &[Flags::ACTIVE, Flags::INACTIVE],
    &[Flags::PERSISTENT, Flags::TRANSIENT],
    &[Flags::RUNNING, Flags::PAUSED, Flags::SHUTOFF, Flags::OTHER],
    &[Flags::MANAGEDSAVE, Flags::NO_MANAGEDSAVE],
    &[Flags::AUTOSTART, Flags::NO_AUTOSTART],
    &[Flags::HAS_SNAPSHOT, Flags::NO_SNAPSHOT],
    &[Flags::HAS_CHECKPOINT, Flags::NO_CHECKPOINT],
];

pub(super) fn routes(router: &mut Router) {
    router.on::<remote::ConnectListAllDomains>(|call, args| {
        let known = FILTERS.iter().copied().flatten().copied();
        let known = known.fold(Flags::empty(), |all, flag| all | flag);
        check_flags(args.flags, known.bits(), "qemuConnectListAllDomains")?;
        let hypervisor = call.hypervisor();
        let wanted = Flags::from_bits_retain(args.flags);
        let found = hypervisor
            .domains
            .values()
            .filter(|one| passes(one, wanted));
        let mut domains: Vec<_> = found.map(Domain::reference).collect();
        let ret = u32::try_from(domains.len()).unwrap_or(u32::MAX);
        if args.need_results == 0 {
            domains.clear();
        }
        Ok(remote::ConnectListAllDomainsRet { domains, ret })
    });
    router.on::<remote::ConnectListDomains>(|call, args| {
        let max = limit(args.maxids)?;
        let hypervisor = call.hypervisor();
        let ids = active(&hypervisor).map(Domain::id).take(max).collect();
        Ok(remote::ConnectListDomainsRet { ids })
    });
    router.on::<remote::ConnectNumOfDomains>(|call, ()| {
        let num = int(active(&call.hypervisor()).count());
        Ok(remote::ConnectNumOfDomainsRet { num })
    });
    router.on::<remote::ConnectListDefinedDomains>(|call, args| {
        let max = limit(args.maxnames)?;
        let hypervisor = call.hypervisor();
        let names = inactive(&hypervisor).map(|domain| Str::from(domain.name.clone()));
        let names = names.take(max).collect();
        Ok(remote::ConnectListDefinedDomainsRet { names })
    });
    router.on::<remote::ConnectNumOfDefinedDomains>(|call, ()| {
        let num = int(inactive(&call.hypervisor()).count());
        Ok(remote::ConnectNumOfDefinedDomainsRet { num })
    });
}

/// Whether a domain passes the filters that these flags name; others are ignored.
pub(super) fn passes(domain: &Domain, wanted: Flags) -> bool {
    FILTERS.iter().all(|group| {
        let mut asked = group
            .iter()
            .filter(|flag| wanted.contains(**flag))
            .peekable();
        asked.peek().is_none() || asked.any(|flag| is(domain, *flag))
    })
}

fn is(domain: &Domain, flag: Flags) -> bool {
    const KNOWN: [DomainState; 3] = [
        DomainState::RUNNING,
        DomainState::PAUSED,
        DomainState::SHUTOFF,
    ];
    match flag {
        Flags::ACTIVE => domain.live.is_some(),
        Flags::INACTIVE => domain.live.is_none(),
        Flags::PERSISTENT => domain.definition.is_some(),
        Flags::TRANSIENT => domain.definition.is_none(),
        Flags::RUNNING => domain.state == DomainState::RUNNING,
        Flags::PAUSED => domain.state == DomainState::PAUSED,
        Flags::SHUTOFF => domain.state == DomainState::SHUTOFF,
        Flags::OTHER => !KNOWN.contains(&domain.state),
        Flags::MANAGEDSAVE => domain.saved.is_some(),
        Flags::NO_MANAGEDSAVE => domain.saved.is_none(),
        Flags::AUTOSTART => domain.autostart,
        Flags::NO_AUTOSTART => !domain.autostart,
        Flags::HAS_SNAPSHOT => domain.snapshot_count() > 0,
        Flags::NO_SNAPSHOT => domain.snapshot_count() == 0,
        Flags::HAS_CHECKPOINT => domain.checkpoint_count() > 0,
        Flags::NO_CHECKPOINT => domain.checkpoint_count() == 0,
        _ => false,
    }
}

fn active(hypervisor: &Hypervisor) -> impl Iterator<Item = &Domain> {
    let domains = hypervisor.domains.values();
    domains.filter(|domain| domain.live.is_some())
}

fn inactive(hypervisor: &Hypervisor) -> impl Iterator<Item = &Domain> {
    let domains = hypervisor.domains.values();
    domains.filter(|domain| domain.live.is_none())
}

fn int(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn limit(max: i32) -> crate::refusal::Result<usize> {
    usize::try_from(max).map_err(|_| invalid(format!("maximum count {max} must not be negative")))
}
