//! Who wants to hear of what.

use virtwire_protocol::RemoteError;
use virtwire_protocol::constants::{DomainEventId, ErrorCode, ErrorDomain};
use virtwire_protocol::remote;

use crate::call::Call;
use crate::hypervisor::Uuid;
use crate::hypervisor::event::{EventClass, Registration};
use crate::refusal::{Result, from_domain, invalid};
use crate::router::Router;

/// The newest kind of event that the legacy style knows.
const LAST_LEGACY: i32 = DomainEventId::DEVICE_REMOVED.0;

/// How many registrations a connection may have. libvirt has no limit, but a registration may name
/// a domain that does not exist, so that there would be no end to them.
const MAX_REGISTRATIONS: usize = 65_536;

pub(super) fn routes(router: &mut Router) {
    router.on::<remote::ConnectDomainEventCallbackRegisterAny>(|call, args| {
        known(args.event_id, i32::MAX)?;
        let domain = args.dom.map(|dom| dom.uuid);
        let callback_id = register(call, EventClass::Domain, args.event_id, domain)?;
        Ok(remote::ConnectDomainEventCallbackRegisterAnyRet { callback_id })
    });
    router.on::<remote::ConnectDomainEventCallbackDeregisterAny>(|call, args| {
        deregister(call, EventClass::Domain, args.callback_id)
    });
    router.on::<remote::ConnectDomainEventRegister>(|call, ()| {
        register_legacy(call, DomainEventId::LIFECYCLE.0)?;
        // libvirt leaves the count empty, and nobody reads it.
        Ok(remote::ConnectDomainEventRegisterRet { cb_registered: 0 })
    });
    router.on::<remote::ConnectDomainEventDeregister>(|call, ()| {
        deregister_legacy(call, DomainEventId::LIFECYCLE.0)?;
        Ok(remote::ConnectDomainEventDeregisterRet { cb_registered: 0 })
    });
    router.on::<remote::ConnectDomainEventRegisterAny>(|call, args| {
        known(args.event_id, LAST_LEGACY)?;
        register_legacy(call, args.event_id)
    });
    router.on::<remote::ConnectDomainEventDeregisterAny>(|call, args| {
        known(args.event_id, LAST_LEGACY)?;
        deregister_legacy(call, args.event_id)
    });
    router.on::<remote::ConnectRegisterCloseCallback>(|_, ()| Ok(()));
    router.on::<remote::ConnectUnregisterCloseCallback>(|_, ()| Ok(()));
}

fn known(event: i32, last: i32) -> Result<()> {
    if (0..=last).contains(&event) && DomainEventId(event).name().is_some() {
        return Ok(());
    }
    Err(failure(&format!("unsupported event ID {event}")))
}

/// Notes a client's wish for events of an object, or of all; the number of the registration.
///
/// A second wish for the same is refused: the client's library is to share the first.
pub(super) fn register(
    call: &Call,
    class: EventClass,
    event: i32,
    object: Option<Uuid>,
) -> Result<i32> {
    add(call, class, event, object, false)
}

fn register_legacy(call: &Call, event: i32) -> Result<()> {
    add(call, EventClass::Domain, event, None, true).map(drop)
}

fn add(
    call: &Call,
    class: EventClass,
    event: i32,
    object: Option<Uuid>,
    legacy: bool,
) -> Result<i32> {
    let mut hypervisor = call.hypervisor();
    let Some(client) = hypervisor.clients.get(&call.client) else {
        return Err(failure("the connection is closed"));
    };
    // Both styles count: within libvirt they are the same callback.
    let same = |one: &Registration| (one.class, one.event, one.object) == (class, event, object);
    if client.registrations.iter().any(same) {
        return Err(invalid("event callback already tracked"));
    }
    if client.registrations.len() >= MAX_REGISTRATIONS {
        return Err(failure("too many event callbacks"));
    }
    let id = hypervisor.next_callback_id(class);
    if let Some(client) = hypervisor.clients.get_mut(&call.client) {
        client.registrations.push(Registration {
            class,
            id,
            legacy,
            event,
            object,
        });
    }
    Ok(id)
}

/// Forgets a wish.
pub(super) fn deregister(call: &Call, class: EventClass, id: i32) -> Result<()> {
    remove(call, |one| one.class == class && one.id == id).ok_or_else(|| {
        let what = match class {
            EventClass::Domain => "domain",
            EventClass::Network => "network",
            EventClass::StoragePool => "storage pool",
        };
        failure(&format!("{what} event callback {id} not registered"))
    })
}

/// In the legacy style the first registration for the kind goes, whatever its style, as in libvirt.
fn deregister_legacy(call: &Call, event: i32) -> Result<()> {
    let class = EventClass::Domain;
    let found = remove(call, |one| one.class == class && one.event == event);
    found.ok_or_else(|| failure(&format!("domain event {event} not registered")))
}

fn remove(call: &Call, which: impl Fn(&Registration) -> bool) -> Option<()> {
    let mut hypervisor = call.hypervisor();
    let client = hypervisor.clients.get_mut(&call.client)?;
    let place = client.registrations.iter().position(which)?;
    client.registrations.remove(place);
    Some(())
}

pub(super) fn failure(what: &str) -> RemoteError {
    from_domain(ErrorDomain::RPC, ErrorCode::INTERNAL_ERROR, what)
}
