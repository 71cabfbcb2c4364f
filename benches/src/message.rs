//! The messages to measure with.

use virtwire_protocol::remote;
use virtwire_xdr::Str;

/// How many domains the bulk replies tell of.
pub const DOMAINS: usize = 500;

/// A small message: 60 bytes, a string among them.
#[must_use]
pub fn small() -> remote::DomainGetInfoArgs<'static> {
    remote::DomainGetInfoArgs { dom: domain(1) }
}

/// The reply to a trivial call.
#[must_use]
pub fn library_version() -> remote::ConnectGetLibVersionRet {
    remote::ConnectGetLibVersionRet { lib_ver: 9_000_000 }
}

/// A list of domains as `LIST_ALL_DOMAINS` returns it.
#[must_use]
pub fn list() -> remote::ConnectListAllDomainsRet<'static> {
    remote::ConnectListAllDomainsRet {
        domains: (0..DOMAINS).map(domain).collect(),
        ret: u32::try_from(DOMAINS).unwrap_or(u32::MAX),
    }
}

/// Statistics of many domains: 60 typed parameters each, as a guest with four CPUs, two disks and
/// a network interface has them; 958 KB.
#[must_use]
pub fn stats() -> remote::ConnectGetAllDomainStatsRet<'static> {
    let names = parameter_names();
    let record = |index| remote::DomainStatsRecord {
        dom: domain(index),
        params: names.iter().map(|name| parameter(name, index)).collect(),
    };
    remote::ConnectGetAllDomainStatsRet {
        ret_stats: (0..DOMAINS).map(record).collect(),
    }
}

/// One of many domains.
#[must_use]
pub fn domain(index: usize) -> remote::NonnullDomain<'static> {
    // The UUID of zeros stands for no domain.
    let number = u128::try_from(index).unwrap_or_default() + 1;
    remote::NonnullDomain {
        name: format!("a-domain-whose-name-is-36-bytes-{index:04}").into(),
        uuid: number
            .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_0c75)
            .to_be_bytes(),
        id: i32::try_from(index).unwrap_or(-1),
    }
}

fn parameter(name: &str, index: usize) -> remote::TypedParam<'static> {
    let number = u64::try_from(index).unwrap_or_default();
    let value = match name.rsplit_once('.') {
        Some((_, "name")) => remote::TypedParamValue::String(Str::from("vda")),
        Some((_, "state" | "reason")) => remote::TypedParamValue::Int(1),
        Some((_, "count" | "current" | "maximum")) => remote::TypedParamValue::Uint(4),
        _ => remote::TypedParamValue::Ullong(number << 20),
    };
    remote::TypedParam {
        field: name.to_owned().into(),
        value,
    }
}

fn parameter_names() -> Vec<String> {
    let mut names: Vec<String> = [
        "state.state",
        "state.reason",
        "cpu.time",
        "cpu.user",
        "cpu.system",
        "cpu.cache.monitor.count",
        "balloon.current",
        "balloon.maximum",
        "balloon.swap_in",
        "balloon.swap_out",
        "balloon.major_fault",
        "balloon.rss",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut device = |kind: &str, count: usize, fields: &[&str]| {
        for index in 0..count {
            names.extend(fields.iter().map(|field| format!("{kind}.{index}.{field}")));
        }
    };
    device("vcpu", 4, &["state", "time", "wait", "halted.sum"]);
    device(
        "block",
        2,
        &[
            "name",
            "path.backing.index",
            "rd.reqs",
            "rd.bytes",
            "rd.times",
            "wr.reqs",
            "wr.bytes",
            "wr.times",
            "fl.reqs",
            "fl.times",
            "allocation",
            "capacity",
        ],
    );
    device(
        "net",
        1,
        &[
            "name", "rx.bytes", "rx.pkts", "rx.errs", "rx.drop", "tx.bytes", "tx.pkts", "tx.errs",
        ],
    );
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use virtwire_xdr::{Encode, Writer};

    fn encoded_len(value: &impl Encode) -> usize {
        let mut buffer = BytesMut::new();
        value.encode(&mut Writer::new(&mut buffer)).unwrap();
        buffer.len()
    }

    #[test]
    fn the_messages_are_as_large_as_they_say() {
        assert_eq!(encoded_len(&small()), 60);
        assert_eq!(encoded_len(&list()), 8 + 500 * 60);
        assert_eq!(parameter_names().len(), 60);
        assert_eq!(encoded_len(&stats()) / 1000, 958);
    }
}
