//! Who wants to hear of what.

mod close;
mod domain;
mod monitor;
mod object;

use virtwire_protocol::RemoteError;
use virtwire_protocol::constants::{ErrorCode, ErrorDomain};
use virtwire_protocol::event::{EventClass, EventId, Style};

use crate::call::Call;
use crate::hypervisor::event::{MonitorFilter, Object, Registration};
use crate::refusal::{Result, from_domain};
use crate::router::Router;

/// How many registrations a connection may have. libvirt has no limit, but a registration may name
/// a domain that does not exist, so that there would be no end to them.
const MAX_REGISTRATIONS: usize = 65_536;

pub(super) fn routes(router: &mut Router) {
    domain::routes(router);
    object::routes(router);
    monitor::routes(router);
    close::routes(router);
}

/// What a client wishes to be told.
#[derive(Debug)]
struct Wish {
    event: EventId,
    style: Style,
    object: Option<Object>,
    filter: Option<MonitorFilter>,
}

impl Wish {
    /// All of a kind, or what happens to one object.
    fn new(event: impl Into<EventId>, object: Option<Object>) -> Self {
        Self {
            event: event.into(),
            style: Style::Callback,
            object,
            filter: None,
        }
    }

    /// Whether a registration is for the same. Those that pick events by more than their object
    /// are never the same as any before them.
    fn is(&self, one: &Registration) -> bool {
        self.filter.is_none() && (self.event, &self.object) == (one.event, &one.object)
    }
}

/// Notes a client's wish; the number of the registration.
///
/// A second wish for the same is refused, whatever its style: the client's library is to share the
/// first.
fn register(call: &Call, wish: Wish) -> Result<i32> {
    let driver = call.driver();
    let mut hypervisor = call.hypervisor();
    let Some(client) = hypervisor.clients.get(&call.client) else {
        return Err(failure("the connection is closed"));
    };
    if client.registrations.iter().any(|one| wish.is(one)) {
        return Err(refused("event callback already tracked"));
    }
    if client.registrations.len() >= MAX_REGISTRATIONS {
        return Err(failure("too many event callbacks"));
    }
    let id = hypervisor.next_callback_id(driver, wish.event.class());
    if let Some(client) = hypervisor.clients.get_mut(&call.client) {
        client.registrations.push(Registration {
            id,
            style: wish.style,
            event: wish.event,
            object: wish.object,
            filter: wish.filter,
        });
    }
    Ok(id)
}

/// Forgets a wish.
fn deregister(call: &Call, class: EventClass, id: i32) -> Result<()> {
    let found = remove(call, |one| one.event.class() == class && one.id == id);
    found.ok_or_else(|| {
        let what = match class {
            EventClass::QemuMonitor => String::from("qemu monitor"),
            // libvirt's own slip.
            EventClass::Secret => EventClass::NodeDevice.to_string(),
            class => class.to_string(),
        };
        failure(&format!("{what} event callback {id} not registered"))
    })
}

fn remove(call: &Call, which: impl Fn(&Registration) -> bool) -> Option<()> {
    let mut hypervisor = call.hypervisor();
    let client = hypervisor.clients.get_mut(&call.client)?;
    let place = client.registrations.iter().position(which)?;
    client.registrations.remove(place);
    Some(())
}

/// What the daemon itself refuses.
fn failure(what: &str) -> RemoteError {
    from_domain(ErrorDomain::RPC, ErrorCode::INTERNAL_ERROR, what)
}

/// What the part of libvirt refuses that keeps registrations for all drivers.
fn refused(what: &str) -> RemoteError {
    from_domain(ErrorDomain::NONE, ErrorCode::INVALID_ARG, what)
}
