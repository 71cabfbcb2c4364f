//! Managed save: a domain's state, kept until its next start.

use virtwire_protocol::constants::{DomainSaveRestoreFlags as Flags, ErrorCode};
use virtwire_protocol::remote;

use crate::refusal::{Result, check_flags, invalid, refusal};
use crate::router::Router;

pub(super) fn routes(router: &mut Router) {
    router.on_turn::<remote::DomainManagedSave>(
        |args| &args.dom,
        |call, args| -> Result<()> {
            let known = Flags::BYPASS_CACHE | Flags::RUNNING | Flags::PAUSED;
            check_flags(args.flags, known.bits(), "qemuDomainManagedSave")?;
            let flags = Flags::from_bits_retain(args.flags);
            let running = match (
                flags.contains(Flags::RUNNING),
                flags.contains(Flags::PAUSED),
            ) {
                (true, true) => {
                    let what =
                        "running and paused flags in virDomainManagedSave are mutually exclusive";
                    return Err(invalid(what));
                }
                (true, false) => Some(true),
                (false, true) => Some(false),
                (false, false) => None,
            };
            let mut hypervisor = call.hypervisor();
            let uuid = hypervisor.domain(&args.dom)?.uuid;
            hypervisor.save(uuid, running)
        },
    );
    router.on::<remote::DomainHasManagedSaveImage>(|call, args| {
        check_flags(args.flags, 0, "qemuDomainHasManagedSaveImage")?;
        let result = call.hypervisor().domain(&args.dom)?.saved.is_some().into();
        Ok(remote::DomainHasManagedSaveImageRet { result })
    });
    router.on_turn::<remote::DomainManagedSaveRemove>(
        |args| &args.dom,
        |call, args| -> Result<()> {
            check_flags(args.flags, 0, "qemuDomainManagedSaveRemove")?;
            let mut hypervisor = call.hypervisor();
            let domain = hypervisor.domain_mut(&args.dom)?;
            let saved = domain.saved.take();
            saved.map(drop).ok_or_else(|| {
                let name = &domain.name;
                let what = format!(
                    "Failed to remove managed save file '{name}.save': No such file or directory"
                );
                refusal(ErrorCode::SYSTEM_ERROR, what)
            })
        },
    );
}
