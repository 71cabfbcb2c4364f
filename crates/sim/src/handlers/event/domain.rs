//! Events of domains, in both styles.

use virtwire_protocol::constants::DomainEventId;
use virtwire_protocol::event::{EventClass, Style};
use virtwire_protocol::remote;

use super::{Wish, deregister, failure, register, remove};
use crate::call::Call;
use crate::hypervisor::event::Object;
use crate::refusal::Result;
use crate::router::Router;

/// The newest kind of event that the legacy style knows.
const LAST_LEGACY: DomainEventId = DomainEventId::DEVICE_REMOVED;

pub(super) fn routes(router: &mut Router) {
    router.on::<remote::ConnectDomainEventCallbackRegisterAny>(|call, args| {
        let event = known(call, args.event_id)?;
        let object = args.dom.map(|dom| Object::Uuid(dom.uuid));
        let callback_id = register(call, Wish::new(event, object))?;
        Ok(remote::ConnectDomainEventCallbackRegisterAnyRet { callback_id })
    });
    router.on::<remote::ConnectDomainEventCallbackDeregisterAny>(|call, args| {
        deregister(call, EventClass::Domain, args.callback_id)
    });
    router.on::<remote::ConnectDomainEventRegister>(|call, ()| {
        register_legacy(call, DomainEventId::LIFECYCLE)?;
        // libvirt leaves the count empty, and nobody reads it.
        Ok(remote::ConnectDomainEventRegisterRet { cb_registered: 0 })
    });
    router.on::<remote::ConnectDomainEventDeregister>(|call, ()| {
        deregister_legacy(call, DomainEventId::LIFECYCLE)?;
        Ok(remote::ConnectDomainEventDeregisterRet { cb_registered: 0 })
    });
    router.on::<remote::ConnectDomainEventRegisterAny>(|call, args| {
        let event = known_legacy(call, args.event_id)?;
        register_legacy(call, event)
    });
    router.on::<remote::ConnectDomainEventDeregisterAny>(|call, args| {
        let event = known_legacy(call, args.event_id)?;
        deregister_legacy(call, event)
    });
}

fn known(call: &Call, event: i32) -> Result<DomainEventId> {
    up_to(call.shared.settings.newest_domain_event, event)
}

fn known_legacy(call: &Call, event: i32) -> Result<DomainEventId> {
    let newest = call.shared.settings.newest_domain_event;
    up_to(newest.min(LAST_LEGACY), event)
}

fn up_to(newest: DomainEventId, event: i32) -> Result<DomainEventId> {
    if (0..=newest.0).contains(&event) && DomainEventId(event).name().is_some() {
        return Ok(DomainEventId(event));
    }
    Err(failure(&format!("unsupported event ID {event}")))
}

fn register_legacy(call: &Call, event: DomainEventId) -> Result<()> {
    let mut wish = Wish::new(event, None);
    wish.style = Style::Legacy;
    register(call, wish).map(drop)
}

/// In the legacy style the first registration for the kind goes, whatever its style, as in libvirt.
fn deregister_legacy(call: &Call, event: DomainEventId) -> Result<()> {
    let found = remove(call, |one| one.event == event.into());
    found.ok_or_else(|| failure(&format!("domain event {} not registered", event.0)))
}
