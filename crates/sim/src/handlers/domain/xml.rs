//! A domain's XML.

use virtwire_protocol::constants::{DomainXmlFlags as Flags, ErrorCode, ErrorDomain};
use virtwire_protocol::remote;
use virtwire_xdr::Str;

use crate::hypervisor::domain::hardware;
use crate::refusal::{check_flags, from_domain};
use crate::router::Router;
use crate::xml::Element;

pub(super) fn routes(router: &mut Router) {
    router.on::<remote::DomainGetXmlDesc>(|call, args| {
        let known = Flags::SECURE | Flags::INACTIVE | Flags::UPDATE_CPU | Flags::MIGRATABLE;
        check_flags(args.flags, known.bits(), "qemuDomainGetXMLDesc")?;
        let flags = Flags::from_bits_retain(args.flags);
        if call.is_read_only() && flags.intersects(Flags::SECURE | Flags::MIGRATABLE) {
            let what = "virDomainGetXMLDesc with secure flag";
            return Err(from_domain(
                ErrorDomain::DOMAIN,
                ErrorCode::OPERATION_DENIED,
                what,
            ));
        }
        let hypervisor = call.hypervisor();
        let domain = hypervisor.domain(&args.dom)?;
        let mut xml = match &domain.live {
            Some(live) if flags.contains(Flags::MIGRATABLE) => {
                let mut xml = live.config.clone();
                hardware::unplug(&mut xml);
                xml
            }
            Some(live) if !flags.contains(Flags::INACTIVE) => live.xml(),
            _ => {
                let mut xml = domain.next().clone();
                hardware::unplug(&mut xml);
                xml
            }
        };
        if !flags.intersects(Flags::SECURE | Flags::MIGRATABLE) {
            hide_secrets(&mut xml);
        }
        let xml = Str::from(xml.to_string());
        Ok(remote::DomainGetXmlDescRet { xml })
    });
}

/// Passwords are for those who ask for them.
fn hide_secrets(xml: &mut Element) {
    let Some(devices) = xml.child_mut("devices") else {
        return;
    };
    for graphics in devices
        .elements_mut()
        .filter(|device| device.name == "graphics")
    {
        graphics.unset("passwd");
        graphics.unset("passwdValidTo");
    }
}
