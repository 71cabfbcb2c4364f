//! Disks: their sizes, and being told when they grow.

use std::sync::Arc;

use tokio::time::{Instant, sleep_until};
use virtwire_protocol::constants::{DomainBlockResizeFlags, ErrorCode};
use virtwire_protocol::remote;

use crate::call::Call;
use crate::hypervisor::Uuid;
use crate::hypervisor::disk::{
    Chain, Disk, Layer, Threshold, disk_elements, parse_indexed, target_of,
};
use crate::refusal::{Result, check_flags, invalid, refusal};
use crate::router::Router;
use crate::server::Shared;

pub(super) fn routes(router: &mut Router) {
    router.on_async::<remote::DomainGetBlockInfo, _>(|call, args| async move {
        let _turn = call.turn(&args.dom).await?;
        let runs = call.hypervisor().domain(&args.dom)?.live.is_some();
        if runs {
            call.monitor(&args.dom).await?;
        }
        info(&call, args)
    });
    router.on_monitor::<remote::DomainBlockResize>(|args| &args.dom, resize);
    router.on_monitor::<remote::DomainSetBlockThreshold>(|args| &args.dom, set_threshold);
}

fn info(
    call: &Call,
    args: remote::DomainGetBlockInfoArgs<'static>,
) -> Result<remote::DomainGetBlockInfoRet> {
    check_flags(args.flags, 0, "qemuDomainGetBlockInfo")?;
    let path = args.path.to_string_lossy();
    let mut hypervisor = call.hypervisor();
    let unknown = || invalid(format!("invalid path {path} not assigned to domain"));
    let image = if hypervisor.domain(&args.dom)?.live.is_some() {
        let (disks, model) = hypervisor.disks_mut(&args.dom)?;
        let disk = disks.get_mut(&path).map_err(|_| unknown())?;
        disk.top()?;
        disk.settle_writes(model, Instant::now());
        disk.image(model)
    } else {
        let config = hypervisor.domain(&args.dom)?.current();
        let mut chains = disk_elements(config).map(|disk| (target_of(disk), Chain::read(disk)));
        let named = |(target, chain): &(Option<&str>, Chain)| {
            *target == Some(&*path) || chain.top().and_then(Layer::path) == Some(&*path)
        };
        let (_, chain) = chains.find(named).ok_or_else(unknown)?;
        let top = chain.top().ok_or_else(|| {
            invalid(format!(
                "disk '{path}' does not currently have a source assigned"
            ))
        })?;
        let location = top.location().unwrap_or_default();
        let images = &hypervisor.model.images;
        images.get_or_default(&location, top.format.as_deref())
    };
    Ok(remote::DomainGetBlockInfoRet {
        allocation: image.allocation(),
        capacity: image.capacity(),
        physical: image.physical(),
    })
}

fn resize(call: &Call, args: remote::DomainBlockResizeArgs<'static>) -> Result<()> {
    let known = DomainBlockResizeFlags::BYTES | DomainBlockResizeFlags::CAPACITY;
    check_flags(args.flags, known.bits(), "qemuDomainBlockResize")?;
    let flags = DomainBlockResizeFlags::from_bits_retain(args.flags);
    let size = if flags.contains(DomainBlockResizeFlags::BYTES) {
        args.size
    } else {
        args.size.checked_mul(1024).ok_or_else(|| {
            let most = u64::MAX / 1024;
            refusal(
                ErrorCode::OVERFLOW,
                format!("size must be less than {most}"),
            )
        })?
    };
    let mut hypervisor = call.hypervisor();
    let (disks, model) = hypervisor.disks_mut(&args.dom)?;
    let path = args.disk.to_string_lossy();
    let disk = disks
        .get(&path)
        .map_err(|_| invalid(format!("disk '{path}' was not found in the domain config")))?;
    let target = &disk.target;
    let Some(top) = disk.chain.top().filter(|_| !disk.readonly) else {
        let about = format!("can't resize empty or readonly disk '{target}'");
        return Err(refusal(ErrorCode::OPERATION_UNSUPPORTED, about));
    };
    let size = if flags.contains(DomainBlockResizeFlags::CAPACITY) {
        if top.kind != "block" || top.format.as_deref() != Some("raw") {
            return Err(refusal(
                ErrorCode::OPERATION_UNSUPPORTED,
                "block resize to full capacity supported only with 'raw' local block-based disks",
            ));
        }
        disk.image(model).capacity()
    } else if top.format.as_deref() == Some("qcow2") {
        // QEMU counts in sectors.
        size.next_multiple_of(512)
    } else {
        size
    };
    model
        .images
        .resize(&top.location().unwrap_or_default(), size);
    Ok(())
}

fn set_threshold(call: &Call, args: remote::DomainSetBlockThresholdArgs<'static>) -> Result<()> {
    check_flags(args.flags, 0, "qemuDomainSetBlockThreshold")?;
    let device = args.dev.to_string_lossy();
    let (target, index) = match parse_indexed(&device) {
        Some((target, index)) => (target, Some(index)),
        None => (&*device, None),
    };
    let missing = |what: &str| invalid(format!("failed to find disk '{what}'"));
    let mut hypervisor = call.hypervisor();
    let (disks, model) = hypervisor.disks_mut(&args.dom)?;
    let disk = disks.by_target_mut(target).ok_or_else(|| missing(target))?;
    let position = index.map_or(Some(0), |index| disk.chain.position(index));
    let found = position.and_then(|at| Some((at, disk.chain.layers.get(at)?.index)));
    let (position, index) = found.ok_or_else(|| missing(&device))?;
    let reached = disk.extent(position, model, Instant::now());
    disk.thresholds.retain(|one| one.index != index);
    if args.threshold == 0 {
        return Ok(());
    }
    disk.thresholds.push(Threshold {
        index,
        bytes: args.threshold,
        numbered: device.contains('['),
        reached,
    });
    if disk.watched {
        disk.touch();
    } else {
        disk.watched = true;
        watch(&call.shared, args.dom.uuid, disk);
    }
    Ok(())
}

/// Sees to it that whoever wants to know is told when the disk's images have grown so far.
fn watch(shared: &Arc<Shared>, domain: Uuid, disk: &Disk) {
    let (target, mut changes) = (disk.target.clone(), disk.changes());
    let (shared, end) = (Arc::clone(shared), shared.end());
    let watching = async move {
        loop {
            let now = Instant::now();
            let next = shared.hypervisor().pass_thresholds(domain, &target, now);
            // No threshold is left.
            let Some(next) = next else { return };
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = sleep_until(next.unwrap_or(now)), if next.is_some() => {}
            }
        }
    };
    tokio::spawn(async move {
        tokio::select! {
            () = end => {}
            () = watching => {}
        }
    });
}
