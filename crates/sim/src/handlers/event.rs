//! Who wants to hear of what.

use virtwire_protocol::constants::{DomainEventId, ErrorCode, ErrorDomain};
use virtwire_protocol::remote;

use crate::call::Call;
use crate::hypervisor::Uuid;
use crate::hypervisor::event::Registration;
use crate::refusal::{Result, from_domain, invalid};
use crate::router::Router;

/// The newest kind of event that the legacy style knows.
const LAST_LEGACY: i32 = DomainEventId::DEVICE_REMOVED.0;

pub(super) fn routes(router: &mut Router) {
    router.on::<remote::ConnectDomainEventCallbackRegisterAny>(|call, args| {
        let domain = match &args.dom {
            Some(dom) => Some(call.hypervisor().domain(dom)?.uuid),
            None => None,
        };
        known(args.event_id, i32::MAX)?;
        let callback_id = call.hypervisor().next_callback_id();
        register(call, Some(callback_id), args.event_id, domain)?;
        Ok(remote::ConnectDomainEventCallbackRegisterAnyRet { callback_id })
    });
    router.on::<remote::ConnectDomainEventCallbackDeregisterAny>(|call, args| {
        deregister(call, |one| one.callback == Some(args.callback_id)).ok_or_else(|| {
            let what = format!("domain event callback {} not registered", args.callback_id);
            from_domain(ErrorDomain::RPC, ErrorCode::INTERNAL_ERROR, &what)
        })
    });
    router.on::<remote::ConnectDomainEventRegister>(|call, ()| {
        register(call, None, DomainEventId::LIFECYCLE.0, None)?;
        Ok(remote::ConnectDomainEventRegisterRet { cb_registered: 1 })
    });
    router.on::<remote::ConnectDomainEventDeregister>(|call, ()| {
        deregister_legacy(call, DomainEventId::LIFECYCLE.0)?;
        Ok(remote::ConnectDomainEventDeregisterRet { cb_registered: 0 })
    });
    router.on::<remote::ConnectDomainEventRegisterAny>(|call, args| {
        known(args.event_id, LAST_LEGACY)?;
        register(call, None, args.event_id, None)
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
    let what = format!("unsupported event ID {event}");
    Err(from_domain(
        ErrorDomain::RPC,
        ErrorCode::INTERNAL_ERROR,
        &what,
    ))
}

/// A second registration for the same is refused: the client's library is to share the first.
fn register(call: &Call, callback: Option<i32>, event: i32, domain: Option<Uuid>) -> Result<()> {
    let mut hypervisor = call.hypervisor();
    let Some(client) = hypervisor.clients.get_mut(&call.client) else {
        return Ok(());
    };
    let wanted = Registration {
        callback,
        event,
        domain,
    };
    let same = |one: &Registration| {
        (one.callback.is_some(), one.event, one.domain) == (callback.is_some(), event, domain)
    };
    if client.registrations.iter().any(same) {
        return Err(invalid("event callback already tracked"));
    }
    client.registrations.push(wanted);
    Ok(())
}

fn deregister_legacy(call: &Call, event: i32) -> Result<()> {
    let found = deregister(call, |one| one.callback.is_none() && one.event == event);
    found.ok_or_else(|| {
        let what = format!("domain event {event} not registered");
        from_domain(ErrorDomain::RPC, ErrorCode::INTERNAL_ERROR, &what)
    })
}

fn deregister(call: &Call, which: impl Fn(&Registration) -> bool) -> Option<()> {
    let mut hypervisor = call.hypervisor();
    let client = hypervisor.clients.get_mut(&call.client)?;
    let place = client.registrations.iter().position(which)?;
    client.registrations.remove(place);
    Some(())
}
