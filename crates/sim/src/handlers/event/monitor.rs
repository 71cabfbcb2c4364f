//! What QEMU says on the monitors of its domains.

use regex_lite::RegexBuilder;
use virtwire_protocol::constants::{
    ConnectDomainQemuMonitorEventRegisterFlags as Flags, ErrorDomain,
};
use virtwire_protocol::event::{EventClass, EventId};
use virtwire_protocol::qemu;

use super::{Wish, deregister, refused, register};
use crate::hypervisor::event::{MonitorFilter, Object};
use crate::refusal::{Result, check_flags_of};
use crate::router::Router;

pub(super) fn routes(router: &mut Router) {
    router.on::<qemu::ConnectDomainMonitorEventRegister>(|call, args| {
        call.check_qemu()?;
        let object = args.dom.map(|dom| Object::Uuid(dom.uuid));
        let mut wish = Wish::new(EventId::QemuMonitor, object);
        let known = Flags::REGEX | Flags::NOCASE;
        let function = "virDomainQemuMonitorEventStateRegisterID";
        check_flags_of(ErrorDomain::NONE, args.flags, known.bits(), function)?;
        let flags = Flags::from_bits_retain(args.flags);
        wish.filter = match args.event {
            Some(event) => Some(filter(event.to_string_lossy().into_owned(), flags)?),
            None => None,
        };
        let callback_id = register(call, wish)?;
        Ok(qemu::ConnectDomainMonitorEventRegisterRet { callback_id })
    });
    router.on::<qemu::ConnectDomainMonitorEventDeregister>(|call, args| {
        deregister(call, EventClass::QemuMonitor, args.callback_id)
    });
}

fn filter(event: String, flags: Flags) -> Result<MonitorFilter> {
    let any_case = flags.contains(Flags::NOCASE);
    if flags.contains(Flags::REGEX) {
        let regex = RegexBuilder::new(&event).case_insensitive(any_case).build();
        let regex = regex
            .map_err(|error| refused(&format!("failed to compile regex '{event}': {error}")))?;
        return Ok(MonitorFilter::Regex(regex));
    }
    Ok(match any_case {
        true => MonitorFilter::AnyCase(event),
        false => MonitorFilter::Name(event),
    })
}
