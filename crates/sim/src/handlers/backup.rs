//! Backups, and the jobs of a whole domain in general.

use virtwire_protocol::constants::{
    DomainAbortJobFlags, DomainBackupBeginFlags, DomainGetJobStatsFlags, ErrorCode,
};
use virtwire_protocol::remote;
use virtwire_xdr::Str;

use crate::call::Call;
use crate::hypervisor::backup::{BackupDescription, NewBackup};
use crate::hypervisor::block_job::follow;
use crate::hypervisor::moment::Moment;
use crate::refusal::{Result, check_flags, not_valid_now, refusal};
use crate::router::Router;

pub(super) fn routes(router: &mut Router) {
    router.on_async::<remote::DomainBackupBegin, _>(begin);
    router.on::<remote::DomainBackupGetXmlDesc>(|call, args| {
        check_flags(args.flags, 0, "qemuBackupGetXMLDesc")?;
        let hypervisor = call.hypervisor();
        let live = hypervisor.domain(&args.dom)?.live.as_ref();
        let backup = live.and_then(|live| live.disks.backup.as_ref());
        let backup = backup.ok_or_else(|| {
            let about = "no domain backup job present";
            refusal(ErrorCode::NO_DOMAIN_BACKUP, about)
        })?;
        let xml = Str::from(backup.description.element().to_string());
        Ok(remote::DomainBackupGetXmlDescRet { xml })
    });
    router.on_monitor::<remote::DomainGetJobInfo>(
        |args| &args.dom,
        |call, args| {
            let job = call.hypervisor().current_job(&args.dom)?;
            Ok(job.map(|job| job.info()).unwrap_or_default())
        },
    );
    router.on_async::<remote::DomainGetJobStats, _>(stats);
    router.on_monitor::<remote::DomainAbortJob>(
        |args| &args.dom,
        |call, args| abort(call, &args.dom),
    );
    router.on_monitor::<remote::DomainAbortJobFlags>(
        |args| &args.dom,
        |call, args| {
            let known = DomainAbortJobFlags::POSTCOPY.bits();
            check_flags(args.flags, known, "qemuDomainAbortJobFlags")?;
            if args.flags & known != 0 {
                call.hypervisor().domain(&args.dom)?.live()?;
                return Err(not_valid_now(
                    "current job is not outgoing migration in post-copy mode",
                ));
            }
            abort(call, &args.dom)
        },
    );
}

async fn begin(call: Call, args: remote::DomainBackupBeginArgs<'static>) -> Result<()> {
    let known = DomainBackupBeginFlags::REUSE_EXTERNAL;
    check_flags(args.flags, known.bits(), "qemuBackupBegin")?;
    let description = BackupDescription::parse(&args.backup_xml.to_string_lossy())?;
    let checkpoint = args.checkpoint_xml.as_ref().map(|xml| {
        let xml = xml.to_string_lossy();
        Moment::parse_checkpoint(&xml, false)
    });
    let checkpoint = checkpoint.transpose()?;
    // This one waits for the end of any other such job.
    let turn = call.job_turn(&args.dom).await?;
    call.monitor(&args.dom).await?;
    let new = NewBackup {
        description,
        checkpoint,
        reuse: args.flags & known.bits() != 0,
        turn,
    };
    let keys = call.hypervisor().begin_backup(&args.dom, new)?;
    for key in keys {
        follow(&call.shared, key);
    }
    Ok(())
}

async fn stats(
    call: Call,
    args: remote::DomainGetJobStatsArgs<'static>,
) -> Result<remote::DomainGetJobStatsRet<'static>> {
    let known = DomainGetJobStatsFlags::COMPLETED | DomainGetJobStatsFlags::KEEP_COMPLETED;
    check_flags(args.flags, known.bits(), "qemuDomainGetJobStats")?;
    let flags = DomainGetJobStatsFlags::from_bits_retain(args.flags);
    let job = if flags.contains(DomainGetJobStatsFlags::COMPLETED) {
        let mut hypervisor = call.hypervisor();
        let domain = hypervisor.domain_mut(&args.dom)?;
        let live = domain.live.as_ref();
        if live.is_some_and(|live| live.disks.backup.is_some()) {
            None
        } else if flags.contains(DomainGetJobStatsFlags::KEEP_COMPLETED) {
            domain.completed_job.clone()
        } else {
            domain.completed_job.take()
        }
    } else {
        let _turn = call.turn(&args.dom).await?;
        call.monitor(&args.dom).await?;
        call.hypervisor().current_job(&args.dom)?
    };
    Ok(match job {
        Some(job) => remote::DomainGetJobStatsRet {
            type_: job.kind.0,
            params: job.params(),
        },
        None => remote::DomainGetJobStatsRet::default(),
    })
}

fn abort(call: &Call, dom: &remote::NonnullDomain<'_>) -> Result<()> {
    let mut hypervisor = call.hypervisor();
    hypervisor.domain(dom)?.live()?;
    if hypervisor.cancel_backup(dom.uuid) {
        return Ok(());
    }
    Err(not_valid_now("no job is active on the domain"))
}
