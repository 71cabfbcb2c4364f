//! Domains: finding, defining, starting and stopping them.

use virtwire_protocol::constants::{
    DomainEventDefinedDetailType, DomainEventStartedDetailType, DomainEventStoppedDetailType,
    DomainEventType, DomainShutoffReason, DomainState, DomainXmlFlags, ErrorCode,
};
use virtwire_protocol::remote::{self, NonnullDomain};
use virtwire_xdr::Str;

use crate::call::Call;
use crate::hypervisor::domain::Described;
use crate::hypervisor::event::DomainEvent;
use crate::hypervisor::{Domain, Hypervisor};
use crate::refusal::{Result, not_valid_now, refusal};
use crate::router::Router;

pub(super) fn routes(router: &mut Router) {
    router.on::<remote::ConnectListAllDomains>(|call, _| {
        let hypervisor = call.hypervisor();
        let domains: Vec<_> = hypervisor.domains.values().map(Domain::reference).collect();
        let ret = u32::try_from(domains.len()).unwrap_or(u32::MAX);
        Ok(remote::ConnectListAllDomainsRet { domains, ret })
    });
    router.on::<remote::DomainLookupByName>(|call, args| {
        let hypervisor = call.hypervisor();
        let name = args.name.to_string_lossy();
        let found = hypervisor
            .domains
            .values()
            .find(|domain| domain.name == name);
        let found = found.ok_or_else(|| {
            let about = format!("no domain with matching name '{name}'");
            refusal(ErrorCode::NO_DOMAIN, about)
        })?;
        Ok(remote::DomainLookupByNameRet {
            dom: found.reference(),
        })
    });
    router.on::<remote::DomainDefineXmlFlags>(|call, args| {
        let dom = define(&mut call.hypervisor(), &args.xml)?;
        Ok(remote::DomainDefineXmlFlagsRet { dom })
    });
    router.on::<remote::DomainCreateXml>(|call, args| {
        let dom = create_xml(&mut call.hypervisor(), &args.xml_desc)?;
        Ok(remote::DomainCreateXmlRet { dom })
    });
    router.on::<remote::DomainDestroyFlags>(|call, args| destroy(call, &args.dom));
    router.on::<remote::DomainGetState>(|call, args| {
        let hypervisor = call.hypervisor();
        let domain = hypervisor.domain(&args.dom)?;
        Ok(remote::DomainGetStateRet {
            state: domain.state.0,
            reason: domain.reason,
        })
    });
    router.on::<remote::DomainGetXmlDesc>(|call, args| {
        let hypervisor = call.hypervisor();
        let domain = hypervisor.domain(&args.dom)?;
        let inactive =
            DomainXmlFlags::from_bits_retain(args.flags).contains(DomainXmlFlags::INACTIVE);
        let xml = match (&domain.live, &domain.definition) {
            (Some(live), definition) if !inactive || definition.is_none() => live.xml(),
            (_, Some(definition)) => definition.clone(),
            _ => return Err(refusal(ErrorCode::NO_DOMAIN, domain.name.clone())),
        };
        Ok(remote::DomainGetXmlDescRet {
            xml: Str::from(xml.to_string()),
        })
    });
}

fn define(hypervisor: &mut Hypervisor, xml: &Str<'_>) -> Result<NonnullDomain<'static>> {
    let described = Described::parse(xml)?;
    let (name, uuid) = (described.name.clone(), described.uuid);
    let detail = match hypervisor.domains.get_mut(&uuid) {
        Some(domain) => {
            domain.definition = Some(described.config);
            DomainEventDefinedDetailType::UPDATED
        }
        None => {
            hypervisor.domains.insert(uuid, Domain::defined(described));
            DomainEventDefinedDetailType::ADDED
        }
    };
    let event = DomainEvent::Lifecycle {
        event: DomainEventType::DEFINED.0,
        detail: detail.0,
    };
    let id = hypervisor.domains.get(&uuid).map_or(-1, Domain::id);
    hypervisor.emit(uuid, &name, id, &event);
    Ok(NonnullDomain {
        name: Str::from(name),
        uuid,
        id,
    })
}

fn create_xml(hypervisor: &mut Hypervisor, xml: &Str<'_>) -> Result<NonnullDomain<'static>> {
    let Described { name, uuid, config } = Described::parse(xml)?;
    let id = hypervisor.next_domain_id();
    let domain = hypervisor
        .domains
        .entry(uuid)
        .or_insert_with(|| Domain::transient(name.clone(), uuid));
    if domain.live.is_some() {
        return Err(not_valid_now(format!(
            "domain is already active as '{name}'"
        )));
    }
    domain.start(id, config)?;
    let event = DomainEvent::Lifecycle {
        event: DomainEventType::STARTED.0,
        detail: DomainEventStartedDetailType::BOOTED.0,
    };
    hypervisor.emit(uuid, &name, id, &event);
    Ok(NonnullDomain {
        name: Str::from(name),
        uuid,
        id,
    })
}

fn destroy(call: &Call, dom: &NonnullDomain<'_>) -> Result<()> {
    let mut hypervisor = call.hypervisor();
    let domain = hypervisor.domain_mut(dom)?;
    let id = domain.live()?.id;
    domain.live = None;
    domain.state = DomainState::SHUTOFF;
    domain.reason = DomainShutoffReason::DESTROYED.0;
    let (uuid, name) = (domain.uuid, domain.name.clone());
    if domain.definition.is_none() {
        hypervisor.domains.remove(&uuid);
    }
    let event = DomainEvent::Lifecycle {
        event: DomainEventType::STOPPED.0,
        detail: DomainEventStoppedDetailType::DESTROYED.0,
    };
    hypervisor.emit(uuid, &name, id, &event);
    Ok(())
}
