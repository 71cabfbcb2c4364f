//! Limits on the wire: bytes per second, whatever the call, and said to be so.

use proptest::prelude::*;
use virtwire::remote::{self, TypedParam, TypedParamValue};
use virtwire::xdr::Str;
use virtwire::{Bandwidth, BlockJob, Error};
use virtwire_tests::paused_deadline;

use super::host::Host;

/// Any limit there is; small, large and odd ones, and none.
fn limits() -> impl Strategy<Value = Bandwidth> {
    let bytes = prop_oneof![
        1..=Bandwidth::MAX_BYTES,
        1..=4096_u64,
        (0..63_u32).prop_map(|bit| 1 << bit),
        (0..=43_u32)
            .prop_map(|bit| (1_u64 << bit << 20) - 1)
            .prop_filter("not 0", |n| *n > 0),
        Just(Bandwidth::MAX_BYTES),
    ];
    prop_oneof![
        1 => Just(Bandwidth::UNLIMITED),
        9 => bytes.prop_map(|bytes| Bandwidth::bytes_per_s(bytes.min(Bandwidth::MAX_BYTES)).unwrap()),
    ]
}

fn begun(started: Result<BlockJob, Error>) {
    drop(started.unwrap());
}

/// Makes every call that takes or tells a limit, and looks at what has arrived.
async fn every_call(limit: Bandwidth) {
    let host = Host::connected().await;
    let disk = host.disk().await;
    let bytes = limit.bytes().unwrap_or(0);

    begun(disk.pull().bandwidth(limit).start().await);
    let pull = host.taken::<remote::DomainBlockPull>().remove(0);
    assert_eq!((pull.bandwidth, pull.flags), (bytes, 64));

    begun(disk.pull().base("/base").bandwidth(limit).start().await);
    let rebase = host.taken::<remote::DomainBlockRebase>().remove(0);
    assert_eq!((rebase.bandwidth, rebase.flags), (bytes, 64));

    begun(disk.commit_active().bandwidth(limit).start().await);
    let commit = host.taken::<remote::DomainBlockCommit>().remove(0);
    assert_eq!((commit.bandwidth, commit.flags), (bytes, 16 | 4));

    let inner = disk.commit_inner("/mid", "/base").bandwidth(limit);
    begun(inner.start().await);
    let commit = host.taken::<remote::DomainBlockCommit>().remove(0);
    assert_eq!((commit.bandwidth, commit.flags), (bytes, 16));

    begun(disk.copy("/new").bandwidth(limit).start().await);
    let copy = host.taken::<remote::DomainBlockCopy>().remove(0);
    let expected = limit.bytes().map(|bytes| TypedParam {
        field: Str::from("bandwidth"),
        value: TypedParamValue::Ullong(bytes),
    });
    assert_eq!(copy.params, Vec::from_iter(expected));
    assert_eq!(copy.flags, 0);

    disk.set_job_speed(limit).await.unwrap();
    let speed = host.taken::<remote::DomainBlockJobSetSpeed>().remove(0);
    assert_eq!((speed.bandwidth, speed.flags), (bytes, 1));

    host.words().info = remote::DomainGetBlockJobInfoRet {
        found: 1,
        type_: 1,
        bandwidth: bytes,
        cur: 0,
        end: 1,
    };
    host.taken::<remote::DomainGetBlockJobInfo>();
    let told = disk.job_info().await.unwrap().unwrap();
    assert_eq!(told.bandwidth, limit);
    let asked = host.taken::<remote::DomainGetBlockJobInfo>().remove(0);
    assert_eq!(asked.flags, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_call_says_bytes_and_has_its_own_bit_for_that(limit in limits()) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(paused_deadline(every_call(limit)));
    }

    #[test]
    fn no_unit_makes_no_limit_of_a_limit(count: u64) {
        for (limit, unit) in [
            (Bandwidth::bytes_per_s(count), 1),
            (Bandwidth::kib_per_s(count), 1 << 10),
            (Bandwidth::mib_per_s(count), 1_u64 << 20),
        ] {
            match limit {
                Ok(limit) => prop_assert_eq!(limit.to_wire_bytes(), count * unit),
                Err(_) => {
                    let bytes = count.checked_mul(unit);
                    let fits = bytes.is_some_and(|bytes| (1..=Bandwidth::MAX_BYTES).contains(&bytes));
                    prop_assert!(!fits);
                }
            }
        }
    }
}
