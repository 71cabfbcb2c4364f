//! Finding a domain by one of its names.

use virtwire_protocol::RemoteError;
use virtwire_protocol::constants::ErrorCode;
use virtwire_protocol::remote;

use crate::hypervisor::{Domain, uuid_text};
use crate::refusal::refusal;
use crate::router::Router;

pub(super) fn routes(router: &mut Router) {
    router.on::<remote::DomainLookupByName>(|call, args| {
        let hypervisor = call.hypervisor();
        let name = args.name.to_string_lossy();
        let found = hypervisor.named(&name);
        let found = found.ok_or_else(|| missing(format!("name '{name}'")))?;
        let dom = found.reference();
        Ok(remote::DomainLookupByNameRet { dom })
    });
    router.on::<remote::DomainLookupByUuid>(|call, args| {
        let hypervisor = call.hypervisor();
        let found = hypervisor.domains.get(&args.uuid);
        let found = found.ok_or_else(|| missing(format!("uuid '{}'", uuid_text(&args.uuid))))?;
        let dom = found.reference();
        Ok(remote::DomainLookupByUuidRet { dom })
    });
    router.on::<remote::DomainLookupById>(|call, args| {
        let hypervisor = call.hypervisor();
        let mut running = hypervisor.domains.values();
        let found = running.find(|domain| domain.live.is_some() && domain.id() == args.id);
        let found = found.ok_or_else(|| missing(format!("id {}", args.id)))?;
        let dom = Domain::reference(found);
        Ok(remote::DomainLookupByIdRet { dom })
    });
}

fn missing(what: String) -> RemoteError {
    refusal(
        ErrorCode::NO_DOMAIN,
        format!("no domain with matching {what}"),
    )
}
