use std::time::Duration;

use virtwire_protocol::constants::{
    DomainGetJobStatsFlags, DomainJobOperation, DomainJobType, names,
};
use virtwire_protocol::remote::{self, TypedParam};
use virtwire_protocol::typed_param::TypedParams;
use virtwire_xdr::IntoOwned;

use crate::{Domain, Error};

/// The figures of a backup.
///
/// The daemon leaves out those that are zero together, and which there are depends on the mode.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BackupStats {
    /// How long the backup has run, or ran.
    pub elapsed: Duration,
    /// What there is to write, in bytes; push mode.
    pub total: Option<u64>,
    /// What is written, in bytes; push mode.
    pub processed: Option<u64>,
    /// What is left to write, in bytes; push mode.
    pub remaining: Option<u64>,
    /// What the scratch files hold, in bytes; pull mode.
    pub scratch_used: Option<u64>,
    /// What the scratch files may come to hold, in bytes; pull mode.
    pub scratch_total: Option<u64>,
    /// Everything as the daemon said it, with what this version does not know.
    pub params: Vec<TypedParam<'static>>,
}

impl BackupStats {
    /// Reads parameters that are said to be those of a job; `None` when that is no backup.
    pub(super) fn read(params: Vec<TypedParam<'static>>) -> Option<Self> {
        let named = TypedParams::new(&params);
        let operation = named.signed(names::DOMAIN_JOB_OPERATION);
        if operation != Some(i64::from(DomainJobOperation::BACKUP.0)) {
            return None;
        }
        let elapsed = named.unsigned(names::DOMAIN_JOB_TIME_ELAPSED);
        Some(Self {
            elapsed: Duration::from_millis(elapsed.unwrap_or(0)),
            total: named.unsigned(names::DOMAIN_JOB_DISK_TOTAL),
            processed: named.unsigned(names::DOMAIN_JOB_DISK_PROCESSED),
            remaining: named.unsigned(names::DOMAIN_JOB_DISK_REMAINING),
            scratch_used: named.unsigned(names::DOMAIN_JOB_DISK_TEMP_USED),
            scratch_total: named.unsigned(names::DOMAIN_JOB_DISK_TEMP_TOTAL),
            params,
        })
    }

    /// The part that is written, from 0 to 1; `None` while there are no figures, and in pull mode.
    ///
    /// A fraction of 1 does not mean that the backup has completed, only its event does.
    #[must_use]
    pub fn fraction(&self) -> Option<f64> {
        let total = self.total.filter(|total| *total > 0)?;
        #[expect(
            clippy::cast_precision_loss,
            reason = "a fraction needs no 64 exact bits"
        )]
        let fraction = self.processed.unwrap_or(0) as f64 / total as f64;
        Some(fraction.clamp(0.0, 1.0))
    }

    /// The part that is written in per cent, 0 while there are no figures.
    #[must_use]
    pub fn percent(&self) -> f64 {
        self.fraction().map_or(0.0, |fraction| fraction * 100.0)
    }

    /// Whether the backup did what it was to do, when it is over.
    pub(super) fn success(&self) -> Option<bool> {
        TypedParams::new(&self.params).bool(names::DOMAIN_JOB_SUCCESS)
    }

    /// What went wrong, in the hypervisor's words, if anything did.
    pub(super) fn message(&self) -> Option<String> {
        let named = TypedParams::new(&self.params);
        named.str(names::DOMAIN_JOB_ERRMSG).map(str::to_owned)
    }
}

/// A job of a whole domain that is under way or over.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DomainJob {
    pub(super) kind: DomainJobType,
    pub(super) params: Vec<TypedParam<'static>>,
}

impl DomainJob {
    pub(super) fn operation(&self) -> DomainJobOperation {
        let operation = TypedParams::new(&self.params).signed(names::DOMAIN_JOB_OPERATION);
        let operation = operation.and_then(|operation| i32::try_from(operation).ok());
        operation.map_or(DomainJobOperation::UNKNOWN, DomainJobOperation)
    }

    pub(super) fn backup(self) -> Option<BackupStats> {
        BackupStats::read(self.params)
    }
}

/// The job of a domain that is under way, or with `COMPLETED` the last that was; `None` when there
/// is none.
pub(super) async fn domain_job(
    domain: &Domain,
    flags: DomainGetJobStatsFlags,
) -> Result<Option<DomainJob>, Error> {
    let args = remote::DomainGetJobStatsArgs {
        dom: domain.wire(),
        flags: flags.bits(),
    };
    let reply = domain.call::<remote::DomainGetJobStats>(&args).await?;
    let stats = reply.decode()?;
    let job = DomainJob {
        kind: DomainJobType(stats.type_),
        params: stats.params.into_owned(),
    };
    Ok(Some(job).filter(|job| job.kind != DomainJobType::NONE))
}

/// The last backup of a domain, without having the daemon forget it.
pub(super) async fn last_backup(
    domain: &Domain,
) -> Result<Option<(DomainJobType, BackupStats)>, Error> {
    let flags = DomainGetJobStatsFlags::COMPLETED | DomainGetJobStatsFlags::KEEP_COMPLETED;
    let job = domain_job(domain, flags).await?;
    Ok(job.and_then(|job| Some((job.kind, job.backup()?))))
}

#[cfg(test)]
mod tests {
    use virtwire_protocol::remote::TypedParamValue;

    use super::*;

    fn params(list: &[(&'static str, TypedParamValue<'static>)]) -> Vec<TypedParam<'static>> {
        let params = list
            .iter()
            .map(|(name, value)| TypedParam::new(*name, value.clone()));
        params.map(Result::unwrap).collect()
    }

    #[test]
    fn figures_are_read_and_the_unknown_is_kept() {
        let all = params(&[
            ("operation", TypedParamValue::Int(9)),
            ("time_elapsed", TypedParamValue::Ullong(1500)),
            ("disk_total", TypedParamValue::Ullong(200)),
            ("disk_processed", TypedParamValue::Ullong(50)),
            ("disk_remaining", TypedParamValue::Ullong(150)),
            ("of_tomorrow", TypedParamValue::Ullong(1)),
        ]);
        let stats = BackupStats::read(all.clone()).unwrap();
        assert_eq!(stats.elapsed, Duration::from_millis(1500));
        assert_eq!(stats.percent(), 25.0);
        assert_eq!(stats.remaining, Some(150));
        assert_eq!(stats.scratch_used, None);
        assert_eq!(stats.success(), None);
        assert_eq!(stats.params, all);
    }

    #[test]
    fn other_jobs_are_no_backups() {
        assert_eq!(BackupStats::read(Vec::new()), None);
        let save = params(&[("operation", TypedParamValue::Int(2))]);
        assert_eq!(BackupStats::read(save), None);
    }

    #[test]
    fn nothing_to_write_is_no_fraction() {
        let stats = BackupStats::read(params(&[("operation", TypedParamValue::Int(9))]));
        assert_eq!(stats.unwrap().fraction(), None);
    }
}
