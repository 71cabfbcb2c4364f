//! Statistics of one device.

use virtwire_protocol::constants::names::{
    DOMAIN_BLOCK_STATS_FLUSH_REQ, DOMAIN_BLOCK_STATS_FLUSH_TOTAL_TIMES,
    DOMAIN_BLOCK_STATS_READ_BYTES, DOMAIN_BLOCK_STATS_READ_REQ,
    DOMAIN_BLOCK_STATS_READ_TOTAL_TIMES, DOMAIN_BLOCK_STATS_WRITE_BYTES,
    DOMAIN_BLOCK_STATS_WRITE_REQ, DOMAIN_BLOCK_STATS_WRITE_TOTAL_TIMES,
};
use virtwire_protocol::remote::{self, TypedParam, TypedParamValue};

use super::{BLOCK, PACKET, operations};
use crate::hypervisor::Domain;
use crate::hypervisor::domain::normal::source_of;
use crate::refusal::{Result, check_flags, invalid};
use crate::router::Router;
use crate::xml::Element;

pub(super) fn routes(router: &mut Router) {
    router.on_monitor::<remote::DomainBlockStats>(
        |args| &args.dom,
        |call, args| {
            let hypervisor = call.hypervisor();
            let domain = hypervisor.domain(&args.dom)?;
            domain.live()?;
            check_disk(domain, &args.path.to_string_lossy())?;
            let done = signed(operations(domain));
            Ok(remote::DomainBlockStatsRet {
                rd_req: done,
                rd_bytes: done * signed(BLOCK),
                wr_req: done / 2,
                wr_bytes: done / 2 * signed(BLOCK),
                errs: -1,
            })
        },
    );
    router.on_monitor::<remote::DomainBlockStatsFlags>(
        |args| &args.dom,
        |call, args| {
            // Strings are welcome; there are none.
            check_flags(args.flags, 4, "qemuDomainBlockStatsFlags")?;
            let hypervisor = call.hypervisor();
            let domain = hypervisor.domain(&args.dom)?;
            domain.live()?;
            check_disk(domain, &args.path.to_string_lossy())?;
            let mut params = block(operations(domain));
            let all = i32::try_from(params.len()).unwrap_or(i32::MAX);
            let room = usize::try_from(args.nparams)
                .map_err(|_| invalid("nparams must not be negative"))?;
            params.truncate(room);
            let nparams = if room == 0 { all } else { 0 };
            Ok(remote::DomainBlockStatsFlagsRet { params, nparams })
        },
    );
    router.on::<remote::DomainInterfaceStats>(|call, args| {
        let hypervisor = call.hypervisor();
        let domain = hypervisor.domain(&args.dom)?;
        let live = domain.live()?;
        let wanted = args.device.to_string_lossy();
        let found = interfaces(&live.config).any(|interface| {
            let is = |child: &str, attribute: &str| {
                interface
                    .child(child)
                    .and_then(|one| one.attribute(attribute))
                    == Some(&*wanted)
            };
            is("target", "dev") || is("mac", "address")
        });
        if !found {
            return Err(invalid(format!("'{wanted}' is not a known interface")));
        }
        let done = signed(operations(domain));
        let bytes = done * signed(PACKET);
        Ok(remote::DomainInterfaceStatsRet {
            rx_bytes: bytes,
            rx_packets: done,
            rx_errs: 0,
            rx_drop: 0,
            tx_bytes: bytes,
            tx_packets: done,
            tx_errs: 0,
            tx_drop: 0,
        })
    });
}

/// The interfaces of a description.
pub(super) fn interfaces(config: &Element) -> impl Iterator<Item = &Element> {
    let devices = config.child("devices").into_iter();
    devices
        .flat_map(Element::elements)
        .filter(|device| device.name == "interface")
}

/// The disks of a description.
pub(super) fn disks(config: &Element) -> impl Iterator<Item = &Element> {
    let devices = config.child("devices").into_iter();
    devices
        .flat_map(Element::elements)
        .filter(|device| device.name == "disk")
}

/// A disk is named by its target or its source; no name at all means all of them.
fn check_disk(domain: &Domain, path: &str) -> Result<()> {
    let named = |disk: &Element| {
        let target = disk
            .child("target")
            .and_then(|target| target.attribute("dev"));
        let source = disk.child("source").and_then(source_of);
        target == Some(path) || source.as_deref() == Some(path)
    };
    if path.is_empty() || disks(domain.current()).any(named) {
        return Ok(());
    }
    Err(invalid(format!("invalid path: {path}")))
}

fn block(done: u64) -> Vec<TypedParam<'static>> {
    [
        (DOMAIN_BLOCK_STATS_WRITE_BYTES, done / 2 * BLOCK),
        (DOMAIN_BLOCK_STATS_WRITE_REQ, done / 2),
        (DOMAIN_BLOCK_STATS_READ_BYTES, done * BLOCK),
        (DOMAIN_BLOCK_STATS_READ_REQ, done),
        (DOMAIN_BLOCK_STATS_FLUSH_REQ, 0),
        (DOMAIN_BLOCK_STATS_WRITE_TOTAL_TIMES, 0),
        (DOMAIN_BLOCK_STATS_READ_TOTAL_TIMES, 0),
        (DOMAIN_BLOCK_STATS_FLUSH_TOTAL_TIMES, 0),
    ]
    .into_iter()
    .map(|(name, value)| TypedParam {
        field: name.into(),
        value: TypedParamValue::Llong(signed(value)),
    })
    .collect()
}

fn signed(number: u64) -> i64 {
    // Some thousand years of traffic, which leaves room to multiply.
    const MOST: i64 = i64::MAX >> 16;
    i64::try_from(number).map_or(MOST, |number| number.min(MOST))
}
