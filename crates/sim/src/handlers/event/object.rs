//! Events of whatever is no domain.

use virtwire_protocol::constants::{
    NetworkEventId, NodeDeviceEventId, SecretEventId, StoragePoolEventId,
};
use virtwire_protocol::event::{EventClass, EventId};
use virtwire_protocol::remote;

use super::{Wish, deregister, failure, register};
use crate::hypervisor::event::Object;
use crate::refusal::Result;
use crate::router::Router;

pub(super) fn routes(router: &mut Router) {
    networks(router);
    storage_pools(router);
    node_devices(router);
    secrets(router);
}

fn networks(router: &mut Router) {
    router.on::<remote::ConnectNetworkEventRegisterAny>(|call, args| {
        let event = known(NetworkEventId(args.event_id))?;
        let object = args.net.map(|net| Object::Uuid(net.uuid));
        let callback_id = register(call, Wish::new(event, object))?;
        Ok(remote::ConnectNetworkEventRegisterAnyRet { callback_id })
    });
    router.on::<remote::ConnectNetworkEventDeregisterAny>(|call, args| {
        deregister(call, EventClass::Network, args.callback_id)
    });
}

fn storage_pools(router: &mut Router) {
    router.on::<remote::ConnectStoragePoolEventRegisterAny>(|call, args| {
        let event = known(StoragePoolEventId(args.event_id))?;
        let object = args.pool.map(|pool| Object::Uuid(pool.uuid));
        let callback_id = register(call, Wish::new(event, object))?;
        Ok(remote::ConnectStoragePoolEventRegisterAnyRet { callback_id })
    });
    router.on::<remote::ConnectStoragePoolEventDeregisterAny>(|call, args| {
        deregister(call, EventClass::StoragePool, args.callback_id)
    });
}

fn node_devices(router: &mut Router) {
    router.on::<remote::ConnectNodeDeviceEventRegisterAny>(|call, args| {
        let event = known(NodeDeviceEventId(args.event_id))?;
        let name = args.dev.map(|dev| dev.name.to_string_lossy().into_owned());
        let callback_id = register(call, Wish::new(event, name.map(Object::Name)))?;
        Ok(remote::ConnectNodeDeviceEventRegisterAnyRet { callback_id })
    });
    router.on::<remote::ConnectNodeDeviceEventDeregisterAny>(|call, args| {
        deregister(call, EventClass::NodeDevice, args.callback_id)
    });
}

fn secrets(router: &mut Router) {
    router.on::<remote::ConnectSecretEventRegisterAny>(|call, args| {
        let event = known(SecretEventId(args.event_id))?;
        call.check_qemu()?;
        let object = args.secret.map(|secret| Object::Uuid(secret.uuid));
        let callback_id = register(call, Wish::new(event, object))?;
        Ok(remote::ConnectSecretEventRegisterAnyRet { callback_id })
    });
    router.on::<remote::ConnectSecretEventDeregisterAny>(|call, args| {
        deregister(call, EventClass::Secret, args.callback_id)
    });
}

/// Refuses kinds that the daemon does not know.
fn known(event: impl Into<EventId>) -> Result<EventId> {
    let event = event.into();
    if event.name().is_some() {
        return Ok(event);
    }
    let (class, number) = (event.class(), event.number());
    Err(failure(&format!("unsupported {class} event ID {number}")))
}
