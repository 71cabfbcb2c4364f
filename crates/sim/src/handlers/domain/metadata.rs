//! What users note about a domain.

use virtwire_protocol::constants::{
    DomainMetadataType, DomainModificationImpact, ErrorCode, ErrorDomain,
};
use virtwire_protocol::event::DomainEventKind;
use virtwire_protocol::remote;
use virtwire_xdr::Str;

use crate::hypervisor::note::Note;
use crate::refusal::{Result, check_flags, from_domain, invalid};
use crate::router::Router;

pub(super) fn routes(router: &mut Router) {
    let known = DomainModificationImpact::LIVE | DomainModificationImpact::CONFIG;
    router.on::<remote::DomainGetMetadata>(move |call, args| {
        check_flags(args.flags, known.bits(), "virDomainObjGetMetadata")?;
        let note = note(args.type_, args.uri.map(owned))?;
        let hypervisor = call.hypervisor();
        let domain = hypervisor.domain(&args.dom)?;
        let found = note.read(domain.side(args.flags)?);
        let metadata = found.map(Str::from).ok_or_else(|| {
            let what = "Requested metadata element is not present";
            from_domain(ErrorDomain::DOMAIN, ErrorCode::NO_DOMAIN_METADATA, what)
        })?;
        Ok(remote::DomainGetMetadataRet { metadata })
    });
    router.on_turn::<remote::DomainSetMetadata>(
        |args| &args.dom,
        move |call, args| -> Result<()> {
            check_flags(args.flags, known.bits(), "qemuDomainSetMetadata")?;
            let uri = args.uri.map(owned);
            let note = note(args.type_, uri.clone())?;
            let (text, key) = (args.metadata.map(owned), args.key.map(owned));
            if note == Note::Title && text.as_ref().is_some_and(|text| text.contains('\n')) {
                return Err(invalid("metadata title can't contain newlines"));
            }
            let mut hypervisor = call.hypervisor();
            let domain = hypervisor.domain_mut(&args.dom)?;
            let impact = domain.impact(args.flags)?;
            for config in domain.sides(impact) {
                note.write(config, text.as_deref(), key.as_deref())?;
            }
            let event = DomainEventKind::MetadataChange {
                kind: DomainMetadataType(args.type_),
                ns_uri: uri,
            };
            let uuid = domain.uuid;
            hypervisor.emit_now(uuid, event);
            Ok(())
        },
    );
}

fn note(kind: i32, uri: Option<String>) -> Result<Note> {
    let note = Note::of(DomainMetadataType(kind), uri);
    note.ok_or_else(|| invalid(format!("unknown metadata type '{kind}'")))
}

fn owned(text: Str<'_>) -> String {
    text.to_string_lossy().into_owned()
}
