//! Statistics of all domains at once.

use tokio::time::Instant;
use virtwire_protocol::constants::{
    ConnectGetAllDomainStatsFlags as Flags, ConnectListAllDomainsFlags, DomainStatsTypes as Types,
    ErrorCode, VcpuState,
};
use virtwire_protocol::remote::{
    self, DomainStatsRecord, NonnullDomain, TypedParam, TypedParamValue,
};
use virtwire_xdr::Str;

use super::device::{disks, interfaces};
use super::{BLOCK, PACKET, operations};
use crate::handlers::domain::list;
use crate::hypervisor::client::Driver;
use crate::hypervisor::disk::Layer;
use crate::hypervisor::domain::normal::source_of;
use crate::hypervisor::domain::settings::{self, Memory};
use crate::hypervisor::image::Images;
use crate::hypervisor::{Domain, Hypervisor};
use crate::refusal::{Result, check_flags, refusal};
use crate::router::Router;
use crate::xml::Element;

/// The flags that choose domains.
const FILTERS: Flags = Flags::ACTIVE
    .union(Flags::INACTIVE)
    .union(Flags::PERSISTENT)
    .union(Flags::TRANSIENT)
    .union(Flags::RUNNING)
    .union(Flags::PAUSED)
    .union(Flags::SHUTOFF)
    .union(Flags::OTHER);

/// What QEMU guests have statistics of.
const QEMU: &[Types] = &[
    Types::STATE,
    Types::CPU_TOTAL,
    Types::BALLOON,
    Types::VCPU,
    Types::INTERFACE,
    Types::BLOCK,
    Types::PERF,
    Types::IOTHREAD,
    Types::MEMORY,
    Types::DIRTYRATE,
];

/// What the test driver's guests have statistics of.
const TEST: &[Types] = &[Types::STATE, Types::IOTHREAD];

/// What cannot be told without asking the process that runs the domain.
const MONITOR: Types = Types::BALLOON
    .union(Types::VCPU)
    .union(Types::BLOCK)
    .union(Types::IOTHREAD);

pub(super) fn routes(router: &mut Router) {
    router.on_async::<remote::ConnectGetAllDomainStats, _>(|call, args| async move {
        let known = FILTERS | Flags::NOWAIT | Flags::BACKING | Flags::ENFORCE_STATS;
        check_flags(args.flags, known.bits(), "qemuConnectGetAllDomainStats")?;
        let flags = Flags::from_bits_retain(args.flags);
        let supported = match call.driver() {
            Driver::Qemu => QEMU,
            Driver::Test => TEST,
        };
        let types = types_of(args.stats, supported, flags).map_err(|bits| {
            let who = match call.driver() {
                Driver::Qemu => "this daemon or QEMU",
                Driver::Test => "this daemon",
            };
            let what = format!("Stats types bits 0x{bits:x} are not supported by {who}");
            refusal(ErrorCode::ARGUMENT_UNSUPPORTED, what)
        })?;
        let domains = chosen(&call.hypervisor(), &args.doms, flags);
        let mut ret_stats = Vec::new();
        for dom in domains {
            if types.intersects(MONITOR) && !flags.contains(Flags::NOWAIT) && dom.id >= 0 {
                // A domain that cannot be asked is told of as far as it is known.
                if let Ok(_turn) = call.turn(&dom).await {
                    let _ = call.monitor(&dom).await;
                }
            }
            let mut hypervisor = call.hypervisor();
            if let Ok((disks, model)) = hypervisor.disks_mut(&dom) {
                for disk in disks.iter_mut() {
                    disk.settle_writes(model, Instant::now());
                }
            }
            if let Ok(domain) = hypervisor.domain(&dom) {
                let images = flags.contains(Flags::BACKING);
                ret_stats.push(DomainStatsRecord {
                    dom: domain.reference(),
                    params: params(domain, &hypervisor.model.images, types, images),
                });
            }
        }
        Ok(remote::ConnectGetAllDomainStatsRet { ret_stats })
    });
}

/// The domains that are named, or all, as far as they pass the filters. Those that are named and
/// not there are left out.
fn chosen(
    hypervisor: &Hypervisor,
    named: &[NonnullDomain<'_>],
    flags: Flags,
) -> Vec<NonnullDomain<'static>> {
    let wanted = ConnectListAllDomainsFlags::from_bits_retain((flags & FILTERS).bits());
    let all = hypervisor.domains.values().filter(|_| named.is_empty());
    let named = named
        .iter()
        .filter_map(|dom| hypervisor.domains.get(&dom.uuid));
    let chosen = named
        .chain(all)
        .filter(|domain| list::passes(domain, wanted));
    chosen.map(Domain::reference).collect()
}

/// What is to be told; everything there is when nothing is asked for by name. The bits of what
/// there is not, when that matters.
fn types_of(asked: u32, supported: &[Types], flags: Flags) -> Result<Types, u32> {
    let supported = supported.iter().fold(Types::empty(), |all, one| all | *one);
    let asked = Types::from_bits_retain(asked);
    let missing = asked & !supported;
    if flags.contains(Flags::ENFORCE_STATS) && !missing.is_empty() {
        return Err(missing.bits());
    }
    Ok(match asked.is_empty() {
        true => supported,
        false => asked & supported,
    })
}

fn params(
    domain: &Domain,
    images: &Images,
    types: Types,
    backing: bool,
) -> Vec<TypedParam<'static>> {
    let mut list = List::default();
    if types.contains(Types::STATE) {
        list.int("state.state", domain.state.0);
        list.int("state.reason", domain.reason);
    }
    if types.contains(Types::CPU_TOTAL) && domain.live.is_some() {
        let time = domain.running_for();
        list.long("cpu.time", time);
        list.long("cpu.user", time / 2);
        list.long("cpu.system", time / 4);
    }
    if types.contains(Types::BALLOON) {
        balloon(&mut list, domain);
    }
    if types.contains(Types::VCPU) {
        vcpus(&mut list, domain);
    }
    if types.contains(Types::INTERFACE) {
        nets(&mut list, domain);
    }
    if types.contains(Types::BLOCK) {
        blocks(&mut list, domain, images, backing);
    }
    list.0
}

fn balloon(list: &mut List, domain: &Domain) {
    let now = domain.current();
    list.long("balloon.current", settings::memory(now, Memory::Current));
    list.long("balloon.maximum", settings::memory(now, Memory::Total));
    if domain.live.is_some() {
        use virtwire_protocol::constants::DomainMemoryStatTags as Tag;
        for (tag, value) in crate::handlers::domain::memory::stats(domain) {
            let name = match tag {
                Tag::SWAP_IN => "swap_in",
                Tag::SWAP_OUT => "swap_out",
                Tag::MAJOR_FAULT => "major_fault",
                Tag::MINOR_FAULT => "minor_fault",
                Tag::UNUSED => "unused",
                Tag::AVAILABLE => "available",
                Tag::USABLE => "usable",
                Tag::LAST_UPDATE => "last-update",
                Tag::DISK_CACHES => "disk_caches",
                Tag::HUGETLB_PGALLOC => "hugetlb_pgalloc",
                Tag::HUGETLB_PGFAIL => "hugetlb_pgfail",
                Tag::RSS => "rss",
                _ => continue,
            };
            list.long(&format!("balloon.{name}"), value);
        }
    }
}

fn vcpus(list: &mut List, domain: &Domain) {
    let number = settings::vcpus(domain.current());
    list.uint("vcpu.current", number);
    list.uint("vcpu.maximum", settings::max_vcpus(domain.current()));
    if domain.live.is_none() {
        return;
    }
    for vcpu in 0..number {
        list.int(&format!("vcpu.{vcpu}.state"), VcpuState::RUNNING.0);
        list.long(&format!("vcpu.{vcpu}.time"), domain.running_for());
        list.long(&format!("vcpu.{vcpu}.wait"), 0);
        list.long(&format!("vcpu.{vcpu}.delay"), 0);
    }
}

fn nets(list: &mut List, domain: &Domain) {
    let Some(live) = &domain.live else { return };
    let count = interfaces(&live.config).count();
    list.uint("net.count", u32::try_from(count).unwrap_or(u32::MAX));
    let done = operations(domain);
    for (index, interface) in interfaces(&live.config).enumerate() {
        let target = interface.child("target");
        let Some(name) = target.and_then(|target| target.attribute("dev")) else {
            continue;
        };
        list.string(&format!("net.{index}.name"), name);
        for direction in ["rx", "tx"] {
            let prefix = format!("net.{index}.{direction}");
            list.long(&format!("{prefix}.bytes"), done * PACKET);
            list.long(&format!("{prefix}.pkts"), done);
            list.long(&format!("{prefix}.errs"), 0);
            list.long(&format!("{prefix}.drop"), 0);
        }
    }
}

/// Disks have one record each, and with the flag for it one for every image beneath.
fn blocks(list: &mut List, domain: &Domain, images: &Images, backing: bool) {
    let described = domain.live.as_ref().map(|live| live.xml());
    let config = described.as_ref().unwrap_or_else(|| domain.current());
    let mut records = List::default();
    let mut count = 0;
    for disk in disks(config) {
        let target = disk
            .child("target")
            .and_then(|target| target.attribute("dev"));
        let target = target.unwrap_or_default();
        let mut image = disk;
        while let Some(source) = image.child("source") {
            let top = std::ptr::eq(image, disk);
            record(&mut records, count, target, source, top.then_some(domain));
            sizes(&mut records, count, image, images);
            count += 1;
            match image.child("backingStore") {
                Some(next) if backing => image = next,
                _ => break,
            }
        }
        // A drive without an image still counts.
        if disk.child("source").is_none() {
            records.string(&format!("block.{count}.name"), target);
            count += 1;
        }
    }
    list.uint("block.count", count);
    list.0.append(&mut records.0);
}

fn record(list: &mut List, number: u32, target: &str, source: &Element, top: Option<&Domain>) {
    let prefix = format!("block.{number}");
    list.string(&format!("{prefix}.name"), target);
    let local = source.attribute("file").is_some() || source.attribute("dev").is_some();
    if let Some(path) = source_of(source).filter(|_| local) {
        list.string(&format!("{prefix}.path"), &path);
    }
    if let Some(index) = source
        .attribute("index")
        .and_then(|index| index.parse().ok())
    {
        list.uint(&format!("{prefix}.backingIndex"), index);
    }
    let Some(domain) = top.filter(|domain| domain.live.is_some()) else {
        return;
    };
    let done = operations(domain);
    for (name, value) in [
        ("rd.reqs", done),
        ("rd.bytes", done * BLOCK),
        ("rd.times", 0),
        ("wr.reqs", done / 2),
        ("wr.bytes", done / 2 * BLOCK),
        ("wr.times", 0),
        ("fl.reqs", 0),
        ("fl.times", 0),
    ] {
        list.long(&format!("{prefix}.{name}"), value);
    }
}

/// How large an image is, in libvirt's three ways.
fn sizes(list: &mut List, number: u32, element: &Element, images: &Images) {
    let format = element.child(if element.name == "disk" {
        "driver"
    } else {
        "format"
    });
    let format = format.and_then(|format| format.attribute("type"));
    let location = Layer::read(element, None).and_then(|layer| layer.location());
    let Some(location) = location else { return };
    let image = images.get_or_default(&location, format);
    for (name, bytes) in [
        ("allocation", image.allocation()),
        ("capacity", image.capacity()),
        ("physical", image.physical()),
    ] {
        list.long(&format!("block.{number}.{name}"), bytes);
    }
}

/// A list of parameters that grows.
#[derive(Debug, Default)]
struct List(Vec<TypedParam<'static>>);

impl List {
    fn push(&mut self, name: &str, value: TypedParamValue<'static>) {
        let field = Str::from(name.to_owned());
        self.0.push(TypedParam { field, value });
    }

    fn int(&mut self, name: &str, value: i32) {
        self.push(name, TypedParamValue::Int(value));
    }

    fn uint(&mut self, name: &str, value: u32) {
        self.push(name, TypedParamValue::Uint(value));
    }

    fn long(&mut self, name: &str, value: u64) {
        self.push(name, TypedParamValue::Ullong(value));
    }

    fn string(&mut self, name: &str, value: &str) {
        self.push(name, TypedParamValue::String(Str::from(value.to_owned())));
    }
}
