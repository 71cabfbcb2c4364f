//! What is said of a domain's job while it runs and afterwards.

use std::time::Duration;

use virtwire_protocol::constants::{DomainJobOperation, DomainJobType};
use virtwire_protocol::remote::{DomainGetJobInfoRet, TypedParam, TypedParamValue};
use virtwire_xdr::Str;

/// How much of a backup is done, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    transferred: u64,
    total: u64,
    /// What the files take that keep the data as it was.
    scratch_used: u64,
    scratch_total: u64,
}

/// A domain's job, as it is or as it was at its end.
#[derive(Debug, Clone)]
pub(crate) struct CompletedJob {
    pub(crate) kind: DomainJobType,
    pub(crate) elapsed: Duration,
    pub(crate) figures: Figures,
    pub(crate) error: Option<String>,
}

impl Figures {
    /// Adds those of one disk.
    pub(crate) fn add(&mut self, pull: bool, (done, total): (u64, u64)) {
        let (one, other) = if pull {
            (&mut self.scratch_used, &mut self.scratch_total)
        } else {
            (&mut self.transferred, &mut self.total)
        };
        *one = one.saturating_add(done);
        *other = other.saturating_add(total);
    }
}

impl CompletedJob {
    fn milliseconds(&self) -> u64 {
        u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX)
    }

    /// With names, in libvirt's order.
    pub(crate) fn params(&self) -> Vec<TypedParam<'static>> {
        let figures = &self.figures;
        let mut params = vec![
            int("operation", DomainJobOperation::BACKUP.0),
            number("time_elapsed", self.milliseconds()),
        ];
        if figures.transferred > 0 || figures.total > 0 {
            let left = figures.total.saturating_sub(figures.transferred);
            params.push(number("disk_total", figures.total));
            params.push(number("disk_processed", figures.transferred));
            params.push(number("disk_remaining", left));
        }
        if figures.scratch_used > 0 || figures.scratch_total > 0 {
            params.push(number("disk_temp_used", figures.scratch_used));
            params.push(number("disk_temp_total", figures.scratch_total));
        }
        if self.kind != DomainJobType::UNBOUNDED {
            let success = i32::from(self.kind == DomainJobType::COMPLETED);
            params.push(param("success", TypedParamValue::Boolean(success)));
        }
        if let Some(error) = &self.error {
            let text = TypedParamValue::String(Str::from(error.clone()));
            params.push(param("errmsg", text));
        }
        params
    }

    /// In the older form.
    pub(crate) fn info(&self) -> DomainGetJobInfoRet {
        let (total, done) = (self.figures.total, self.figures.transferred);
        let left = total.saturating_sub(done);
        DomainGetJobInfoRet {
            type_: self.kind.0,
            time_elapsed: self.milliseconds(),
            data_total: total,
            data_processed: done,
            data_remaining: left,
            file_total: total,
            file_processed: done,
            file_remaining: left,
            ..DomainGetJobInfoRet::default()
        }
    }
}

fn int(name: &'static str, value: i32) -> TypedParam<'static> {
    param(name, TypedParamValue::Int(value))
}

fn number(name: &'static str, value: u64) -> TypedParam<'static> {
    param(name, TypedParamValue::Ullong(value))
}

fn param(name: &'static str, value: TypedParamValue<'static>) -> TypedParam<'static> {
    TypedParam {
        field: Str::from(name),
        value,
    }
}
