//! Block jobs: starting, watching, steering and ending them.

use tokio::time::Instant;
use virtwire_protocol::RemoteError;
use virtwire_protocol::constants::{
    ConnectDomainEventBlockJobStatus, DomainBlockCommitFlags, DomainBlockCopyFlags,
    DomainBlockJobAbortFlags, DomainBlockJobInfoFlags, DomainBlockJobSetSpeedFlags,
    DomainBlockPullFlags, DomainBlockRebaseFlags, ErrorCode, ErrorDomain,
};
use virtwire_protocol::remote::{self, TypedParam, TypedParamValue};
use virtwire_xdr::Str;

use crate::call::Call;
use crate::hypervisor::block_job::{BlockJobFault, CopyTo, Ended, bytes_per_second, follow};
use crate::hypervisor::disk::{Chain, Layer, MirrorState};
use crate::refusal::{Result, check_flags, from_domain, invalid, not_valid_now, refusal};
use crate::router::Router;
use crate::xml::Element;

/// The most bytes a second that libvirt passes on.
const MAX_BANDWIDTH: u64 = i64::MAX as u64;

/// What libvirt knows of a rebase's flags.
const REBASE: DomainBlockRebaseFlags = DomainBlockRebaseFlags::SHALLOW
    .union(DomainBlockRebaseFlags::REUSE_EXT)
    .union(DomainBlockRebaseFlags::COPY_RAW)
    .union(DomainBlockRebaseFlags::COPY)
    .union(DomainBlockRebaseFlags::RELATIVE)
    .union(DomainBlockRebaseFlags::COPY_DEV)
    .union(DomainBlockRebaseFlags::BANDWIDTH_BYTES);

/// What it knows of a commit's.
const COMMIT: DomainBlockCommitFlags = DomainBlockCommitFlags::SHALLOW
    .union(DomainBlockCommitFlags::DELETE)
    .union(DomainBlockCommitFlags::ACTIVE)
    .union(DomainBlockCommitFlags::RELATIVE)
    .union(DomainBlockCommitFlags::BANDWIDTH_BYTES);

pub(super) fn routes(router: &mut Router) {
    router.on_monitor::<remote::DomainBlockPull>(|args| &args.dom, pull);
    router.on_monitor::<remote::DomainBlockRebase>(|args| &args.dom, rebase);
    router.on_monitor::<remote::DomainBlockCommit>(|args| &args.dom, commit);
    router.on_monitor::<remote::DomainBlockCopy>(|args| &args.dom, copy);
    router.on_monitor::<remote::DomainGetBlockJobInfo>(|args| &args.dom, info);
    router.on_monitor::<remote::DomainBlockJobSetSpeed>(|args| &args.dom, set_speed);
    router.on_async::<remote::DomainBlockJobAbort, _>(abort);
}

fn pull(call: &Call, args: remote::DomainBlockPullArgs<'static>) -> Result<()> {
    let known = DomainBlockPullFlags::BANDWIDTH_BYTES;
    check_flags(args.flags, known.bits(), "qemuDomainBlockPull")?;
    let flags = DomainBlockRebaseFlags::from_bits_retain(args.flags);
    let path = args.path.to_string_lossy();
    let key = call
        .hypervisor()
        .block_pull(&args.dom, &path, None, args.bandwidth, flags)?;
    follow(&call.shared, key);
    Ok(())
}

fn rebase(call: &Call, args: remote::DomainBlockRebaseArgs<'static>) -> Result<()> {
    let flags = DomainBlockRebaseFlags::from_bits_retain(args.flags);
    let (path, base) = (args.path.to_string_lossy(), text(args.base.as_ref()));
    if flags.contains(DomainBlockRebaseFlags::COPY) {
        let base = base.ok_or_else(|| {
            let about = "base in virDomainBlockRebase must not be NULL";
            plain(ErrorDomain::DOMAIN, about)
        })?;
        return rebase_to(call, &args, &path, &base);
    }
    let for_copies = DomainBlockRebaseFlags::SHALLOW
        | DomainBlockRebaseFlags::REUSE_EXT
        | DomainBlockRebaseFlags::COPY_RAW
        | DomainBlockRebaseFlags::COPY_DEV;
    if flags.intersects(for_copies) {
        let about = "use of flags requires a copy job";
        return Err(plain(ErrorDomain::DOMAIN, about));
    }
    check_flags(args.flags, REBASE.bits(), "qemuDomainBlockRebase")?;
    if flags.contains(DomainBlockRebaseFlags::RELATIVE) && base.is_none() {
        return Err(invalid(
            "flag VIR_DOMAIN_BLOCK_REBASE_RELATIVE is valid only with non-null base",
        ));
    }
    let key =
        call.hypervisor()
            .block_pull(&args.dom, &path, base.as_deref(), args.bandwidth, flags)?;
    follow(&call.shared, key);
    Ok(())
}

/// The older way to start a copy. It knows nothing of jobs on domains with a definition.
fn rebase_to(
    call: &Call,
    args: &remote::DomainBlockRebaseArgs<'static>,
    path: &str,
    to: &str,
) -> Result<()> {
    let flags = DomainBlockRebaseFlags::from_bits_retain(args.flags);
    check_flags(args.flags, REBASE.bits(), "qemuDomainBlockRebase")?;
    let format = flags.contains(DomainBlockRebaseFlags::COPY_RAW);
    let mut layer = Layer::file(to, format.then_some("raw"));
    if flags.contains(DomainBlockRebaseFlags::COPY_DEV) {
        layer.kind = String::from("block");
        layer.source = Element::new("source").with("dev", to);
    }
    let in_bytes = flags.contains(DomainBlockRebaseFlags::BANDWIDTH_BYTES);
    let limit = bytes_per_second(args.bandwidth, in_bytes)?;
    if flags.contains(DomainBlockRebaseFlags::RELATIVE) {
        return Err(refusal(
            ErrorCode::ARGUMENT_UNSUPPORTED,
            "Relative backing during copy not supported yet",
        ));
    }
    // The numbers of these two are the same for both calls.
    let kept = DomainBlockRebaseFlags::SHALLOW | DomainBlockRebaseFlags::REUSE_EXT;
    let chain = Chain {
        layers: vec![layer],
        terminated: false,
    };
    let flags = DomainBlockCopyFlags::from_bits_retain((flags & kept).bits());
    start_copy(
        call,
        &args.dom,
        path,
        CopyTo {
            chain,
            limit,
            flags,
        },
    )
}

fn commit(call: &Call, args: remote::DomainBlockCommitArgs<'static>) -> Result<()> {
    check_flags(args.flags, COMMIT.bits(), "qemuDomainBlockCommit")?;
    let flags = DomainBlockCommitFlags::from_bits_retain(args.flags);
    let disk = args.disk.to_string_lossy();
    let (base, top) = (text(args.base.as_ref()), text(args.top.as_ref()));
    let images = (base.as_deref(), top.as_deref());
    let key = call
        .hypervisor()
        .block_commit(&args.dom, &disk, images, args.bandwidth, flags)?;
    follow(&call.shared, key);
    Ok(())
}

fn copy(call: &Call, args: remote::DomainBlockCopyArgs<'static>) -> Result<()> {
    let known = DomainBlockCopyFlags::SHALLOW
        | DomainBlockCopyFlags::REUSE_EXT
        | DomainBlockCopyFlags::TRANSIENT_JOB
        | DomainBlockCopyFlags::SYNCHRONOUS_WRITES;
    check_flags(args.flags, known.bits(), "qemuDomainBlockCopy")?;
    let limit = copy_params(&args.params)?;
    let chain = destination(&args.destxml.to_string_lossy())?;
    let flags = DomainBlockCopyFlags::from_bits_retain(args.flags);
    let path = args.path.to_string_lossy();
    start_copy(
        call,
        &args.dom,
        &path,
        CopyTo {
            chain,
            limit,
            flags,
        },
    )
}

fn start_copy(call: &Call, dom: &remote::NonnullDomain<'_>, path: &str, to: CopyTo) -> Result<()> {
    let relative =
        |layer: &Layer| layer.is_local() && !layer.path().is_some_and(|path| path.starts_with('/'));
    if to.chain.top().is_some_and(relative) {
        return Err(invalid("absolute path must be used as block copy target"));
    }
    if to.limit > MAX_BANDWIDTH {
        let most = MAX_BANDWIDTH >> 20;
        return Err(invalid(format!(
            "bandwidth must be less than '{MAX_BANDWIDTH}' bytes/s ({most} MiB/s)"
        )));
    }
    let key = call.hypervisor().block_copy(dom, path, to)?;
    follow(&call.shared, key);
    Ok(())
}

/// Checks a copy's parameters; the limit in bytes a second.
fn copy_params(params: &[TypedParam<'_>]) -> Result<u64> {
    let mut limit = 0;
    for (index, param) in params.iter().enumerate() {
        let name = param.field.to_string_lossy();
        if params
            .iter()
            .skip(index + 1)
            .any(|other| other.field == param.field)
        {
            return Err(invalid(format!("parameter '{name}' occurs multiple times")));
        }
        let wanted = match (&*name, &param.value) {
            ("bandwidth", TypedParamValue::Ullong(bandwidth)) => {
                limit = *bandwidth;
                continue;
            }
            ("granularity", TypedParamValue::Uint(0)) => continue,
            ("granularity", TypedParamValue::Uint(size)) if size.is_power_of_two() => continue,
            ("granularity", TypedParamValue::Uint(_)) => {
                return Err(invalid("granularity must be power of 2"));
            }
            ("buf-size", TypedParamValue::Ullong(_)) => continue,
            ("bandwidth" | "buf-size", _) => "ullong",
            ("granularity", _) => "uint",
            _ => {
                let about = format!("parameter '{name}' not supported");
                return Err(refusal(ErrorCode::ARGUMENT_UNSUPPORTED, about));
            }
        };
        let found = type_name(&param.value);
        return Err(invalid(format!(
            "invalid type '{found}' for parameter '{name}', expected '{wanted}'"
        )));
    }
    Ok(limit)
}

fn type_name(value: &TypedParamValue<'_>) -> &'static str {
    match value {
        TypedParamValue::Int(_) => "int",
        TypedParamValue::Uint(_) => "uint",
        TypedParamValue::Llong(_) => "llong",
        TypedParamValue::Ullong(_) => "ullong",
        TypedParamValue::Double(_) => "double",
        TypedParamValue::Boolean(_) => "boolean",
        TypedParamValue::String(_) => "string",
        _ => "unknown",
    }
}

/// The images that a `<disk>` of a copy's destination names.
fn destination(xml: &str) -> Result<Chain> {
    let fail = |about: &str| from_domain(ErrorDomain::DOMAIN, ErrorCode::XML_ERROR, about);
    let disk = Element::parse(xml).map_err(|error| fail(&error.to_string()))?;
    if disk.name != "disk" {
        let name = &disk.name;
        let about = format!("expecting root element of 'disk', not '{name}'");
        return Err(fail(&about));
    }
    let chain = Chain::read(&disk);
    if chain.top().is_none() {
        let about = "missing source information for device";
        return Err(from_domain(
            ErrorDomain::DOMAIN,
            ErrorCode::NO_SOURCE,
            about,
        ));
    }
    Ok(chain)
}

fn info(
    call: &Call,
    args: remote::DomainGetBlockJobInfoArgs<'static>,
) -> Result<remote::DomainGetBlockJobInfoRet> {
    let known = DomainBlockJobInfoFlags::BANDWIDTH_BYTES;
    check_flags(args.flags, known.bits(), "qemuDomainGetBlockJobInfo")?;
    let mut hypervisor = call.hypervisor();
    let (disks, _) = hypervisor.disks_mut(&args.dom)?;
    let disk = disks.get(&args.path.to_string_lossy())?;
    let in_bytes = args.flags & known.bits() != 0;
    let info = disk
        .job
        .as_ref()
        .map(|job| job.info(Instant::now(), in_bytes));
    Ok(info.unwrap_or_default())
}

fn set_speed(call: &Call, args: remote::DomainBlockJobSetSpeedArgs<'static>) -> Result<()> {
    let known = DomainBlockJobSetSpeedFlags::BANDWIDTH_BYTES;
    check_flags(args.flags, known.bits(), "qemuDomainBlockJobSetSpeed")?;
    let limit = bytes_per_second(args.bandwidth, args.flags & known.bits() != 0)?;
    let mut hypervisor = call.hypervisor();
    let (disks, _) = hypervisor.disks_mut(&args.dom)?;
    let disk = disks.get_mut(&args.path.to_string_lossy())?;
    let writes = disk.writes.rate();
    disk.running_job()?.set_limit(limit, writes);
    disk.touch();
    Ok(())
}

/// Ends a job. A call that is not to wait is answered as soon as the job was told; another one has
/// the domain's turn until the job is gone.
async fn abort(call: Call, args: remote::DomainBlockJobAbortArgs<'static>) -> Result<()> {
    let known = DomainBlockJobAbortFlags::ASYNC | DomainBlockJobAbortFlags::PIVOT;
    check_flags(args.flags, known.bits(), "qemuDomainBlockJobAbort")?;
    let flags = DomainBlockJobAbortFlags::from_bits_retain(args.flags);
    let pivot = flags.contains(DomainBlockJobAbortFlags::PIVOT);
    let _turn = call.turn(&args.dom).await?;
    call.monitor(&args.dom).await?;
    let (name, waiting) = {
        let mut hypervisor = call.hypervisor();
        let (disks, _) = hypervisor.disks_mut(&args.dom)?;
        let disk = disks.get_mut(&args.path.to_string_lossy())?;
        let target = disk.target.clone();
        let job = disk.running_job()?;
        let name = job.name.clone();
        tell_to_end(job, &target, pivot)?;
        let wait = !flags.contains(DomainBlockJobAbortFlags::ASYNC);
        let waiting = wait.then(|| job.wait_here());
        if let Some(mirror) = &mut disk.mirror {
            mirror.state = if pivot {
                MirrorState::Pivot
            } else {
                MirrorState::Abort
            };
        }
        (name, waiting)
    };
    let Some(mut waiting) = waiting else {
        return Ok(());
    };
    let ended = waiting.wait_for(Option::is_some).await;
    let ended = ended.map(|ended| ended.clone()).ok().flatten();
    let failed = |ended: &Ended| ended.status == ConnectDomainEventBlockJobStatus::FAILED;
    match ended {
        None => Err(refusal(
            ErrorCode::OPERATION_FAILED,
            "domain is no longer running",
        )),
        Some(ended) if pivot && failed(&ended) => {
            let why = ended.error.map(|error| format!(": {error}"));
            let why = why.unwrap_or_default();
            let about = format!("block job '{name}' failed while pivoting{why}");
            Err(refusal(ErrorCode::OPERATION_FAILED, about))
        }
        Some(_) => Ok(()),
    }
}

fn tell_to_end(
    job: &mut crate::hypervisor::block_job::BlockJob,
    target: &str,
    pivot: bool,
) -> Result<()> {
    let name = job.name.clone();
    if job.is_ending() {
        let about = format!("block job on disk '{target}' is still being ended");
        return Err(not_valid_now(about));
    }
    if pivot && !job.may_pivot() {
        let about = format!("block job '{name}' not ready for pivot yet");
        return Err(refusal(ErrorCode::BLOCK_COPY_ACTIVE, about));
    }
    if job.is_over() {
        let about = format!(
            "unable to execute QEMU command 'block-job-cancel': Job '{name}' in state \
             'concluded' cannot accept command verb 'cancel'"
        );
        return Err(refusal(ErrorCode::INTERNAL_ERROR, about));
    }
    if pivot && job.take_fault(&BlockJobFault::RefusePivot) {
        let about = format!(
            "unable to execute QEMU command 'job-complete': Job '{name}' could not be completed"
        );
        return Err(refusal(ErrorCode::INTERNAL_ERROR, about));
    }
    job.end(pivot);
    Ok(())
}

/// An error without the words that belong to its code.
fn plain(domain: ErrorDomain, about: &str) -> RemoteError {
    RemoteError::new(ErrorCode::INVALID_ARG, domain, about)
}

fn text(text: Option<&Str<'_>>) -> Option<String> {
    text.map(|text| text.to_string_lossy().into_owned())
}
