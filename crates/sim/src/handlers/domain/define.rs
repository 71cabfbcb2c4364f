//! Definitions: made, changed, renamed and forgotten.

use virtwire_protocol::constants::{DomainDefineFlags, DomainUndefineFlags as Undefine};
use virtwire_protocol::remote::{self, NonnullDomain};
use virtwire_xdr::Str;

use crate::call::Call;
use crate::refusal::{Result, check_flags, invalid, not_valid_now};
use crate::router::Router;

pub(super) fn routes(router: &mut Router) {
    router.on::<remote::DomainDefineXml>(|call, args| {
        let dom = define(call, &args.xml)?;
        Ok(remote::DomainDefineXmlRet { dom })
    });
    router.on::<remote::DomainDefineXmlFlags>(|call, args| {
        let known = DomainDefineFlags::VALIDATE.bits();
        check_flags(args.flags, known, "qemuDomainDefineXMLFlags")?;
        let dom = define(call, &args.xml)?;
        Ok(remote::DomainDefineXmlFlagsRet { dom })
    });
    router.on_turn::<remote::DomainUndefine>(
        |args| &args.dom,
        |call, args| undefine(call, &args.dom, Undefine::empty()),
    );
    router.on_turn::<remote::DomainUndefineFlags>(
        |args| &args.dom,
        |call, args| {
            let flags = Undefine::from_bits_retain(args.flags);
            undefine(call, &args.dom, flags)
        },
    );
    router.on_turn::<remote::DomainRename>(
        |args| &args.dom,
        |call, args| {
            check_flags(args.flags, 0, "qemuDomainRename")?;
            let name = args
                .new_name
                .ok_or_else(|| invalid("new_name in virDomainRename must not be NULL"))?;
            let mut hypervisor = call.hypervisor();
            let domain = hypervisor.domain(&args.dom)?;
            if domain.live.is_none() && domain.definition.is_none() {
                return Err(not_valid_now("cannot rename a transient domain"));
            }
            let uuid = domain.uuid;
            hypervisor.rename(uuid, &name.to_string_lossy())?;
            Ok(remote::DomainRenameRet { retcode: 0 })
        },
    );
}

fn define(call: &Call, xml: &Str<'_>) -> Result<NonnullDomain<'static>> {
    let mut hypervisor = call.hypervisor();
    let described = hypervisor.describe(&xml.to_string_lossy())?;
    let uuid = hypervisor.define(described)?;
    hypervisor.reference(uuid)
}

fn undefine(call: &Call, dom: &NonnullDomain<'_>, flags: Undefine) -> Result<()> {
    let known = Undefine::MANAGED_SAVE
        | Undefine::SNAPSHOTS_METADATA
        | Undefine::CHECKPOINTS_METADATA
        | Undefine::NVRAM
        | Undefine::KEEP_NVRAM
        | Undefine::TPM
        | Undefine::KEEP_TPM;
    check_flags(flags.bits(), known.bits(), "qemuDomainUndefineFlags")?;
    for (delete, keep, what) in [
        (Undefine::NVRAM, Undefine::KEEP_NVRAM, "nvram"),
        (Undefine::TPM, Undefine::KEEP_TPM, "TPM"),
    ] {
        if flags.contains(delete | keep) {
            let what = format!("cannot both keep and delete {what}");
            return Err(not_valid_now(what));
        }
    }
    let mut hypervisor = call.hypervisor();
    let domain = hypervisor.domain_mut(dom)?;
    if domain.definition.is_none() {
        return Err(not_valid_now("cannot undefine transient domain"));
    }
    if domain.live.is_none() {
        for (count, flag, what) in [
            (
                domain.snapshot_count(),
                Undefine::SNAPSHOTS_METADATA,
                "snapshots",
            ),
            (
                domain.checkpoint_count(),
                Undefine::CHECKPOINTS_METADATA,
                "checkpoints",
            ),
        ] {
            if count > 0 && !flags.contains(flag) {
                let what = format!("cannot delete inactive domain with {count} {what}");
                return Err(not_valid_now(what));
            }
        }
    }
    if domain.saved.is_some() && !flags.contains(Undefine::MANAGED_SAVE) {
        return Err(not_valid_now(
            "Refusing to undefine while domain managed save image exists",
        ));
    }
    let uuid = domain.uuid;
    hypervisor.undefine(uuid);
    Ok(())
}
