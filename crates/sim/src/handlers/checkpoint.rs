//! Checkpoints: making, listing and forgetting them.

use tokio::time::Instant;
use virtwire_protocol::constants::{
    DomainCheckpointCreateFlags, DomainCheckpointDeleteFlags, DomainCheckpointListFlags,
    DomainCheckpointXmlFlags, ErrorCode,
};
use virtwire_protocol::remote::{self, NonnullDomain, NonnullDomainCheckpoint};
use virtwire_xdr::Str;

use crate::call::Call;
use crate::hypervisor::Domain;
use crate::hypervisor::checkpoint::Checkpoint;
use crate::hypervisor::moment::{Moment, Wanted, no_such_moment};
use crate::refusal::{Result, check_flags, refusal};
use crate::router::Router;

pub(super) fn routes(router: &mut Router) {
    router.on_monitor::<remote::DomainCheckpointCreateXml>(|args| &args.dom, create);
    router.on_monitor::<remote::DomainCheckpointGetXmlDesc>(|args| &args.checkpoint.dom, xml);
    router.on_monitor::<remote::DomainCheckpointDelete>(|args| &args.checkpoint.dom, delete);
    router.on::<remote::DomainListAllCheckpoints>(|call, args| {
        let checkpoints = list(call, &args.dom, None, args.flags)?;
        let ret = i32::try_from(checkpoints.len()).unwrap_or(i32::MAX);
        Ok(remote::DomainListAllCheckpointsRet {
            checkpoints: only_if(args.need_results != 0, checkpoints),
            ret,
        })
    });
    router.on::<remote::DomainCheckpointListAllChildren>(|call, args| {
        let of = args.checkpoint.name.to_string_lossy();
        let checkpoints = list(call, &args.checkpoint.dom, Some(&of), args.flags)?;
        let ret = i32::try_from(checkpoints.len()).unwrap_or(i32::MAX);
        Ok(remote::DomainCheckpointListAllChildrenRet {
            checkpoints: only_if(args.need_results != 0, checkpoints),
            ret,
        })
    });
    router.on::<remote::DomainCheckpointLookupByName>(|call, args| {
        check_flags(args.flags, 0, "qemuDomainCheckpointLookupByName")?;
        let hypervisor = call.hypervisor();
        let domain = hypervisor.domain(&args.dom)?;
        let found = find(domain, &args.name)?;
        let checkpoint = reference(domain, &found.name);
        Ok(remote::DomainCheckpointLookupByNameRet { checkpoint })
    });
    router.on::<remote::DomainCheckpointGetParent>(|call, args| {
        check_flags(args.flags, 0, "qemuDomainCheckpointGetParent")?;
        let hypervisor = call.hypervisor();
        let domain = hypervisor.domain(&args.checkpoint.dom)?;
        let name = &args.checkpoint.name;
        let parent = find(domain, name)?.parent.as_deref().ok_or_else(|| {
            let name = name.to_string_lossy();
            let about = format!("checkpoint '{name}' does not have a parent");
            refusal(ErrorCode::NO_DOMAIN_CHECKPOINT, about)
        })?;
        let parent = reference(domain, parent);
        Ok(remote::DomainCheckpointGetParentRet { parent })
    });
}

fn create(
    call: &Call,
    args: remote::DomainCheckpointCreateXmlArgs<'static>,
) -> Result<remote::DomainCheckpointCreateXmlRet<'static>> {
    let known =
        DomainCheckpointCreateFlags::REDEFINE | DomainCheckpointCreateFlags::REDEFINE_VALIDATE;
    check_flags(args.flags, known.bits(), "qemuCheckpointCreateXML")?;
    let flags = DomainCheckpointCreateFlags::from_bits_retain(args.flags);
    let redefine = flags.contains(DomainCheckpointCreateFlags::REDEFINE);
    let mut hypervisor = call.hypervisor();
    if !redefine && hypervisor.domain(&args.dom)?.live.is_none() {
        return Err(refusal(
            ErrorCode::OPERATION_UNSUPPORTED,
            "cannot create checkpoint for inactive domain",
        ));
    }
    let mut moment = Moment::parse_checkpoint(&args.xml_desc.to_string_lossy(), redefine)?;
    let name = moment.name.clone();
    if !redefine {
        hypervisor.prepare_checkpoint(&args.dom, &mut moment)?;
    }
    let domain = hypervisor.domain_mut(&args.dom)?;
    if redefine {
        let parent = moment.parent.as_deref();
        let follows = parent.is_some_and(|parent| domain.checkpoints.is_current(parent));
        domain.checkpoints.redefine(moment, follows)?;
    } else {
        domain.checkpoints.add(moment)?;
    }
    let checkpoint = reference(domain, &name);
    Ok(remote::DomainCheckpointCreateXmlRet { checkpoint })
}

fn xml(
    call: &Call,
    args: remote::DomainCheckpointGetXmlDescArgs<'static>,
) -> Result<remote::DomainCheckpointGetXmlDescRet<'static>> {
    let known = DomainCheckpointXmlFlags::SECURE
        | DomainCheckpointXmlFlags::NO_DOMAIN
        | DomainCheckpointXmlFlags::SIZE;
    check_flags(args.flags, known.bits(), "qemuCheckpointGetXMLDesc")?;
    let flags = DomainCheckpointXmlFlags::from_bits_retain(args.flags);
    let hypervisor = call.hypervisor();
    let domain = hypervisor.domain(&args.checkpoint.dom)?;
    let found = find(domain, &args.checkpoint.name)?;
    let sizes = flags.contains(DomainCheckpointXmlFlags::SIZE);
    if sizes {
        domain.live()?;
    }
    let now = Instant::now();
    let size = |disk: &str| {
        let wanted = sizes.then_some(found.name.as_str());
        domain.dirty_since(disk, wanted, now)
    };
    let with_domain = !flags.contains(DomainCheckpointXmlFlags::NO_DOMAIN);
    let xml = Checkpoint::element(found, with_domain, size);
    Ok(remote::DomainCheckpointGetXmlDescRet {
        xml: Str::from(xml.to_string()),
    })
}

fn delete(call: &Call, args: remote::DomainCheckpointDeleteArgs<'static>) -> Result<()> {
    use DomainCheckpointDeleteFlags as Flags;
    let known = Flags::CHILDREN | Flags::METADATA_ONLY | Flags::CHILDREN_ONLY;
    check_flags(args.flags, known.bits(), "qemuCheckpointDelete")?;
    let flags = Flags::from_bits_retain(args.flags);
    let mut hypervisor = call.hypervisor();
    let domain = hypervisor.domain_mut(&args.checkpoint.dom)?;
    if !flags.contains(Flags::METADATA_ONLY) && domain.live.is_none() {
        return Err(refusal(
            ErrorCode::OPERATION_UNSUPPORTED,
            "cannot delete checkpoint for inactive domain",
        ));
    }
    let name = find(domain, &args.checkpoint.name)?.name.clone();
    if flags.intersects(Flags::CHILDREN | Flags::CHILDREN_ONLY) {
        domain.checkpoints.remove_descendants(&name);
    }
    if !flags.contains(Flags::CHILDREN_ONLY) {
        domain.checkpoints.remove(&name);
    }
    Ok(())
}

fn list(
    call: &Call,
    dom: &NonnullDomain<'_>,
    of: Option<&str>,
    flags: u32,
) -> Result<Vec<NonnullDomainCheckpoint<'static>>> {
    use DomainCheckpointListFlags as Flags;
    let known = Flags::ROOTS | Flags::TOPOLOGICAL | Flags::LEAVES | Flags::NO_LEAVES;
    check_flags(flags, known.bits(), "qemuDomainListAllCheckpoints")?;
    let flags = Flags::from_bits_retain(flags);
    let hypervisor = call.hypervisor();
    let domain = hypervisor.domain(dom)?;
    if let Some(of) = of {
        find(domain, &Str::from(of))?;
    }
    let wanted = Wanted {
        roots_or_descendants: flags.contains(Flags::ROOTS),
        leaves: flags.contains(Flags::LEAVES),
        no_leaves: flags.contains(Flags::NO_LEAVES),
    };
    let found = domain.checkpoints.list(of, wanted).into_iter();
    Ok(found
        .map(|moment| reference(domain, &moment.name))
        .collect())
}

fn find<'a>(domain: &'a Domain, name: &Str<'_>) -> Result<&'a Moment<Checkpoint>> {
    let name = name.to_string_lossy();
    domain
        .checkpoints
        .get(&name)
        .ok_or_else(|| no_such_moment(ErrorCode::NO_DOMAIN_CHECKPOINT, "checkpoint", &name))
}

fn reference(domain: &Domain, name: &str) -> NonnullDomainCheckpoint<'static> {
    NonnullDomainCheckpoint {
        name: Str::from(name.to_owned()),
        dom: domain.reference(),
    }
}

fn only_if<T>(wanted: bool, list: Vec<T>) -> Vec<T> {
    if wanted { list } else { Vec::new() }
}
