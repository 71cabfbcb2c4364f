//! Snapshots: taking, listing and forgetting them.

use virtwire_protocol::constants::{
    DomainSnapshotCreateFlags, DomainSnapshotDeleteFlags, DomainSnapshotListFlags,
    DomainSnapshotXmlFlags, ErrorCode, ErrorDomain,
};
use virtwire_protocol::remote::{self, NonnullDomain, NonnullDomainSnapshot};
use virtwire_xdr::Str;

use super::filesystem::has_agent;
use crate::call::Call;
use crate::hypervisor::Domain;
use crate::hypervisor::moment::{Moment, Wanted, no_such_moment};
use crate::hypervisor::snapshot::{NewSnapshot, Snapshot};
use crate::refusal::{Result, check_flags, from_domain, not_valid_now, refusal};
use crate::router::Router;

/// What libvirt knows of the flags for taking one.
const CREATE: DomainSnapshotCreateFlags = DomainSnapshotCreateFlags::REDEFINE
    .union(DomainSnapshotCreateFlags::CURRENT)
    .union(DomainSnapshotCreateFlags::NO_METADATA)
    .union(DomainSnapshotCreateFlags::HALT)
    .union(DomainSnapshotCreateFlags::DISK_ONLY)
    .union(DomainSnapshotCreateFlags::REUSE_EXT)
    .union(DomainSnapshotCreateFlags::QUIESCE)
    .union(DomainSnapshotCreateFlags::ATOMIC)
    .union(DomainSnapshotCreateFlags::LIVE)
    .union(DomainSnapshotCreateFlags::VALIDATE);

/// What it knows of those for listing them.
const LIST: DomainSnapshotListFlags = DomainSnapshotListFlags::ROOTS
    .union(DomainSnapshotListFlags::METADATA)
    .union(DomainSnapshotListFlags::LEAVES)
    .union(DomainSnapshotListFlags::NO_LEAVES)
    .union(DomainSnapshotListFlags::NO_METADATA)
    .union(DomainSnapshotListFlags::INACTIVE)
    .union(DomainSnapshotListFlags::ACTIVE)
    .union(DomainSnapshotListFlags::DISK_ONLY)
    .union(DomainSnapshotListFlags::INTERNAL)
    .union(DomainSnapshotListFlags::EXTERNAL)
    .union(DomainSnapshotListFlags::TOPOLOGICAL);

pub(super) fn routes(router: &mut Router) {
    router.on_async::<remote::DomainSnapshotCreateXml, _>(create);
    router.on_turn::<remote::DomainSnapshotDelete>(|args| &args.snap.dom, delete);
    router.on_turn::<remote::DomainRevertToSnapshot>(|args| &args.snap.dom, revert);
    router.on::<remote::DomainSnapshotGetXmlDesc>(|call, args| {
        let known = DomainSnapshotXmlFlags::SECURE;
        check_flags(args.flags, known.bits(), "qemuDomainSnapshotGetXMLDesc")?;
        let hypervisor = call.hypervisor();
        let domain = hypervisor.domain(&args.snap.dom)?;
        let xml = Snapshot::element(find(domain, &args.snap.name)?);
        let xml = Str::from(xml.to_string());
        Ok(remote::DomainSnapshotGetXmlDescRet { xml })
    });
    lists(router);
    questions(router);
}

fn lists(router: &mut Router) {
    router.on::<remote::DomainListAllSnapshots>(|call, args| {
        let snapshots = list(call, &args.dom, None, args.flags)?;
        let ret = count(&snapshots);
        Ok(remote::DomainListAllSnapshotsRet {
            snapshots: only_if(args.need_results != 0, snapshots),
            ret,
        })
    });
    router.on::<remote::DomainSnapshotListAllChildren>(|call, args| {
        let of = args.snapshot.name.to_string_lossy();
        let snapshots = list(call, &args.snapshot.dom, Some(&of), args.flags)?;
        let ret = count(&snapshots);
        Ok(remote::DomainSnapshotListAllChildrenRet {
            snapshots: only_if(args.need_results != 0, snapshots),
            ret,
        })
    });
    router.on::<remote::DomainSnapshotNum>(|call, args| {
        let num = count(&list(call, &args.dom, None, args.flags)?);
        Ok(remote::DomainSnapshotNumRet { num })
    });
    router.on::<remote::DomainSnapshotNumChildren>(|call, args| {
        let of = args.snap.name.to_string_lossy();
        let num = count(&list(call, &args.snap.dom, Some(&of), args.flags)?);
        Ok(remote::DomainSnapshotNumChildrenRet { num })
    });
    router.on::<remote::DomainSnapshotListNames>(|call, args| {
        let snapshots = list(call, &args.dom, None, args.flags)?;
        let names = names(snapshots, args.maxnames);
        Ok(remote::DomainSnapshotListNamesRet { names })
    });
    router.on::<remote::DomainSnapshotListChildrenNames>(|call, args| {
        let of = args.snap.name.to_string_lossy();
        let snapshots = list(call, &args.snap.dom, Some(&of), args.flags)?;
        let names = names(snapshots, args.maxnames);
        Ok(remote::DomainSnapshotListChildrenNamesRet { names })
    });
}

fn questions(router: &mut Router) {
    router.on::<remote::DomainSnapshotLookupByName>(|call, args| {
        check_flags(args.flags, 0, "qemuDomainSnapshotLookupByName")?;
        let hypervisor = call.hypervisor();
        let domain = hypervisor.domain(&args.dom)?;
        let snap = reference(domain, &find(domain, &args.name)?.name);
        Ok(remote::DomainSnapshotLookupByNameRet { snap })
    });
    router.on::<remote::DomainHasCurrentSnapshot>(|call, args| {
        check_flags(args.flags, 0, "qemuDomainHasCurrentSnapshot")?;
        let hypervisor = call.hypervisor();
        let domain = hypervisor.domain(&args.dom)?;
        let result = i32::from(domain.snapshots.current().is_some());
        Ok(remote::DomainHasCurrentSnapshotRet { result })
    });
    router.on::<remote::DomainSnapshotCurrent>(|call, args| {
        check_flags(args.flags, 0, "qemuDomainSnapshotCurrent")?;
        let hypervisor = call.hypervisor();
        let domain = hypervisor.domain(&args.dom)?;
        let current = domain.snapshots.current().ok_or_else(|| {
            let about = "the domain does not have a current snapshot";
            refusal(ErrorCode::NO_DOMAIN_SNAPSHOT, about)
        })?;
        let snap = reference(domain, &current.name);
        Ok(remote::DomainSnapshotCurrentRet { snap })
    });
    router.on::<remote::DomainSnapshotGetParent>(|call, args| {
        check_flags(args.flags, 0, "qemuDomainSnapshotGetParent")?;
        let hypervisor = call.hypervisor();
        let domain = hypervisor.domain(&args.snap.dom)?;
        let name = &args.snap.name;
        let parent = find(domain, name)?.parent.as_deref().ok_or_else(|| {
            let name = name.to_string_lossy();
            let about = format!("snapshot '{name}' does not have a parent");
            refusal(ErrorCode::NO_DOMAIN_SNAPSHOT, about)
        })?;
        let snap = reference(domain, parent);
        Ok(remote::DomainSnapshotGetParentRet { snap })
    });
    router.on::<remote::DomainSnapshotIsCurrent>(|call, args| {
        check_flags(args.flags, 0, "qemuDomainSnapshotIsCurrent")?;
        let hypervisor = call.hypervisor();
        let domain = hypervisor.domain(&args.snap.dom)?;
        let name = &find(domain, &args.snap.name)?.name;
        let current = i32::from(domain.snapshots.is_current(name));
        Ok(remote::DomainSnapshotIsCurrentRet { current })
    });
    router.on::<remote::DomainSnapshotHasMetadata>(|call, args| {
        check_flags(args.flags, 0, "qemuDomainSnapshotHasMetadata")?;
        let hypervisor = call.hypervisor();
        find(hypervisor.domain(&args.snap.dom)?, &args.snap.name)?;
        Ok(remote::DomainSnapshotHasMetadataRet { metadata: 1 })
    });
}

async fn create(
    call: Call,
    args: remote::DomainSnapshotCreateXmlArgs<'static>,
) -> Result<remote::DomainSnapshotCreateXmlRet<'static>> {
    use DomainSnapshotCreateFlags as Flags;
    check_flags(args.flags, CREATE.bits(), "qemuSnapshotCreateXML")?;
    let flags = Flags::from_bits_retain(args.flags);
    check_combination(flags)?;
    let redefine = flags.contains(Flags::REDEFINE);
    let moment = Moment::parse_snapshot(&args.xml_desc.to_string_lossy(), redefine)?;
    let new = NewSnapshot { moment, flags };
    new.check_name()?;
    if flags.contains(Flags::LIVE) {
        return Err(refusal(
            ErrorCode::OPERATION_UNSUPPORTED,
            "live snapshot creation is supported only during full system snapshots",
        ));
    }
    let _turn = call.job_turn(&args.dom).await?;
    call.monitor(&args.dom).await?;
    let mut hypervisor = call.hypervisor();
    let domain = hypervisor.domain_mut(&args.dom)?;
    let name = if redefine {
        let name = new.moment.name.clone();
        let current = flags.contains(Flags::CURRENT);
        domain.snapshots.redefine(new.moment, current)?;
        name
    } else {
        if flags.contains(Flags::QUIESCE) && !has_agent(domain) {
            return Err(refusal(
                ErrorCode::ARGUMENT_UNSUPPORTED,
                "QEMU guest agent is not configured",
            ));
        }
        hypervisor.take_snapshot(&args.dom, new)?
    };
    let snap = reference(hypervisor.domain(&args.dom)?, &name);
    Ok(remote::DomainSnapshotCreateXmlRet { snap })
}

fn check_combination(flags: DomainSnapshotCreateFlags) -> Result<()> {
    use DomainSnapshotCreateFlags as Flags;
    if flags.contains(Flags::QUIESCE) && !flags.contains(Flags::DISK_ONLY) {
        return Err(from_domain(
            ErrorDomain::QEMU,
            ErrorCode::INVALID_ARG,
            "flag 'VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE' requires flag \
             'VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY'",
        ));
    }
    if flags.contains(Flags::LIVE | Flags::REDEFINE) {
        return Err(from_domain(
            ErrorDomain::QEMU,
            ErrorCode::INVALID_ARG,
            "flags 'VIR_DOMAIN_SNAPSHOT_CREATE_LIVE' and \
             'VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE' are mutually exclusive",
        ));
    }
    if flags.contains(Flags::HALT) {
        return Err(not_valid_now("cannot halt after a simulated snapshot"));
    }
    Ok(())
}

fn delete(call: &Call, args: remote::DomainSnapshotDeleteArgs<'static>) -> Result<()> {
    use DomainSnapshotDeleteFlags as Flags;
    let known = Flags::CHILDREN | Flags::METADATA_ONLY | Flags::CHILDREN_ONLY;
    check_flags(args.flags, known.bits(), "qemuSnapshotDelete")?;
    let flags = Flags::from_bits_retain(args.flags);
    let mut hypervisor = call.hypervisor();
    let domain = hypervisor.domain_mut(&args.snap.dom)?;
    let found = find(domain, &args.snap.name)?;
    let name = found.name.clone();
    if !flags.contains(Flags::METADATA_ONLY) && found.about.is_external() {
        let about = "deletion of 1 external disk snapshots not supported yet";
        return Err(refusal(ErrorCode::CONFIG_UNSUPPORTED, about));
    }
    if flags.intersects(Flags::CHILDREN | Flags::CHILDREN_ONLY) {
        domain.snapshots.remove_descendants(&name);
    }
    if !flags.contains(Flags::CHILDREN_ONLY) {
        domain.snapshots.remove(&name);
    }
    Ok(())
}

fn revert(call: &Call, args: remote::DomainRevertToSnapshotArgs<'static>) -> Result<()> {
    let hypervisor = call.hypervisor();
    let domain = hypervisor.domain(&args.snap.dom)?;
    let found = find(domain, &args.snap.name)?;
    let kind = if found.about.is_external() {
        "external"
    } else {
        "internal"
    };
    let about = format!("revert to {kind} snapshot not supported yet");
    Err(refusal(ErrorCode::CONFIG_UNSUPPORTED, about))
}

fn list(
    call: &Call,
    dom: &NonnullDomain<'_>,
    of: Option<&str>,
    flags: u32,
) -> Result<Vec<NonnullDomainSnapshot<'static>>> {
    use DomainSnapshotListFlags as Flags;
    check_flags(flags, LIST.bits(), "qemuDomainListAllSnapshots")?;
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
    let found = domain.snapshots.list(of, wanted).into_iter();
    Ok(found
        .filter(|moment| is_listed(&moment.about, flags))
        .map(|moment| reference(domain, &moment.name))
        .collect())
}

/// Whether a snapshot is of the states and places that are wanted; naming none means all.
fn is_listed(snapshot: &Snapshot, flags: DomainSnapshotListFlags) -> bool {
    use DomainSnapshotListFlags as Flags;
    let state = match snapshot.state.as_str() {
        "disk-snapshot" => Flags::DISK_ONLY,
        "shutoff" => Flags::INACTIVE,
        _ => Flags::ACTIVE,
    };
    let place = if snapshot.is_external() {
        Flags::EXTERNAL
    } else {
        Flags::INTERNAL
    };
    let groups = [
        (Flags::METADATA | Flags::NO_METADATA, Flags::METADATA),
        (Flags::INACTIVE | Flags::ACTIVE | Flags::DISK_ONLY, state),
        (Flags::INTERNAL | Flags::EXTERNAL, place),
    ];
    groups
        .iter()
        .all(|&(group, own)| !flags.intersects(group) || flags.contains(own))
}

fn find<'a>(domain: &'a Domain, name: &Str<'_>) -> Result<&'a Moment<Snapshot>> {
    let name = name.to_string_lossy();
    domain
        .snapshots
        .get(&name)
        .ok_or_else(|| no_such_moment(ErrorCode::NO_DOMAIN_SNAPSHOT, "snapshot", &name))
}

fn reference(domain: &Domain, name: &str) -> NonnullDomainSnapshot<'static> {
    NonnullDomainSnapshot {
        name: Str::from(name.to_owned()),
        dom: domain.reference(),
    }
}

fn names(snapshots: Vec<NonnullDomainSnapshot<'static>>, most: i32) -> Vec<Str<'static>> {
    let most = usize::try_from(most).unwrap_or(0);
    let names = snapshots.into_iter().map(|snapshot| snapshot.name);
    names.take(most).collect()
}

fn count<T>(list: &[T]) -> i32 {
    i32::try_from(list.len()).unwrap_or(i32::MAX)
}

fn only_if<T>(wanted: bool, list: Vec<T>) -> Vec<T> {
    if wanted { list } else { Vec::new() }
}
