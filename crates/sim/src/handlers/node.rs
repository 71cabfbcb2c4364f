//! The host: a made-up one, of a size that depends on the driver.

use virtwire_protocol::remote;
use virtwire_xdr::{Opaque, Str};

use crate::call::Call;
use crate::hypervisor::client::Driver;
use crate::hypervisor::domain::settings::MAX_VCPUS;
use crate::hypervisor::host::Host;
use crate::refusal::{check_flags, invalid};
use crate::router::Router;
use crate::xml::Element;

pub(super) fn routes(router: &mut Router) {
    description(router);
    processors(router);
    router.on::<remote::NodeGetFreeMemory>(|call, ()| {
        let free_mem = host(call).memory.saturating_mul(1024) / 2;
        Ok(remote::NodeGetFreeMemoryRet { free_mem })
    });
    router.on::<remote::NodeGetSecurityModel>(|call, ()| {
        let (model, doi) = match call.driver() {
            Driver::Test => ("testSecurity", ""),
            Driver::Qemu => ("none", "0"),
        };
        Ok(remote::NodeGetSecurityModelRet {
            model: c_string(model),
            doi: c_string(doi),
        })
    });
}

/// Characters with the terminator that C sends too.
fn c_string(text: &str) -> Vec<u8> {
    text.bytes().chain([0]).collect()
}

fn description(router: &mut Router) {
    router.on::<remote::ConnectGetCapabilities>(|call, ()| {
        let capabilities = Str::from(capabilities(call.driver(), &host(call)).to_string());
        Ok(remote::ConnectGetCapabilitiesRet { capabilities })
    });
    router.on::<remote::ConnectGetDomainCapabilities>(|_, args| {
        check_flags(args.flags, 0, "qemuConnectGetDomainCapabilities")?;
        let text = |given: Option<Str<'_>>, otherwise: &str| match given {
            Some(text) => text.to_string_lossy().into_owned(),
            None => otherwise.to_owned(),
        };
        let capabilities = Element::new("domainCapabilities")
            .with_child(element(
                "path",
                text(args.emulatorbin, "/usr/bin/qemu-system-x86_64"),
            ))
            .with_child(element("domain", text(args.virttype, "kvm")))
            .with_child(element("machine", text(args.machine, "pc-i440fx-10.0")))
            .with_child(element("arch", text(args.arch, "x86_64")))
            .with_child(Element::new("vcpu").with("max", MAX_VCPUS));
        let capabilities = Str::from(capabilities.to_string());
        Ok(remote::ConnectGetDomainCapabilitiesRet { capabilities })
    });
    router.on::<remote::ConnectGetSysinfo>(|_, args| {
        check_flags(args.flags, 0, "qemuConnectGetSysinfo")?;
        let entry =
            |name: &str, value: &str| Element::new("entry").with("name", name).with_text(value);
        let bios = Element::new("bios")
            .with_child(entry("vendor", "virtwire"))
            .with_child(entry("version", env!("CARGO_PKG_VERSION")));
        let sysinfo = Element::new("sysinfo")
            .with("type", "smbios")
            .with_child(bios);
        let sysinfo = Str::from(sysinfo.to_string());
        Ok(remote::ConnectGetSysinfoRet { sysinfo })
    });
}

fn processors(router: &mut Router) {
    router.on::<remote::NodeGetInfo>(|call, ()| {
        let host = host(call);
        let mut model = [0; 32];
        // C's terminator has to fit as well.
        for (to, from) in model.iter_mut().zip(host.model.bytes().take(31)) {
            *to = from;
        }
        Ok(remote::NodeGetInfoRet {
            model,
            memory: host.memory,
            cpus: int(host.cpus),
            mhz: int(host.mhz),
            nodes: int(host.nodes),
            sockets: int(host.sockets),
            cores: int(host.cores),
            threads: int(host.threads),
        })
    });
    router.on::<remote::NodeGetCpuMap>(|call, args| {
        check_flags(args.flags, 0, "qemuNodeGetCPUMap")?;
        let host = host(call);
        let map = (args.need_map != 0).then(|| host.cpu_map());
        Ok(remote::NodeGetCpuMapRet {
            cpumap: Opaque::from(map.unwrap_or_default()),
            online: if args.need_online != 0 { host.cpus } else { 0 },
            ret: int(host.cpus),
        })
    });
    router.on::<remote::ConnectGetMaxVcpus>(|_, args| {
        let kind = args.type_.map(|kind| kind.to_string_lossy().to_lowercase());
        let max_vcpus = match kind.as_deref() {
            None | Some("qemu" | "kvm" | "test") => i32::try_from(MAX_VCPUS).unwrap_or_default(),
            Some(kind) => return Err(invalid(format!("unknown type '{kind}'"))),
        };
        Ok(remote::ConnectGetMaxVcpusRet { max_vcpus })
    });
}

/// The host that somebody has described, or one that suits the driver.
pub(super) fn host(call: &Call) -> Host {
    let driver = call.driver();
    let described = call.hypervisor().host.clone();
    described.unwrap_or_else(|| match driver {
        Driver::Test => Host::test(),
        Driver::Qemu => Host::qemu(),
    })
}

fn int(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn element(name: &str, text: impl ToString) -> Element {
    Element::new(name).with_text(text)
}

/// What the host can do, as far as anybody asks.
fn capabilities(driver: Driver, host: &Host) -> Element {
    let (arch, wordsize, emulator, kinds): (_, _, _, &[&str]) = match driver {
        Driver::Test => ("i686", 32, "/usr/bin/test-hv", &["test"]),
        Driver::Qemu => (
            "x86_64",
            64,
            "/usr/bin/qemu-system-x86_64",
            &["qemu", "kvm"],
        ),
    };
    let cpus = (0..host.cpus).fold(Element::new("cpus").with("num", host.cpus), |cpus, id| {
        let cpu = Element::new("cpu").with("id", id);
        let cpu = cpu
            .with("socket_id", 0)
            .with("die_id", 0)
            .with("core_id", id);
        cpus.with_child(cpu.with("siblings", id))
    });
    let cell = Element::new("cell")
        .with("id", 0)
        .with_child(element("memory", host.memory).with("unit", "KiB"))
        .with_child(cpus);
    let cells = Element::new("cells").with("num", 1).with_child(cell);
    let described = Element::new("host")
        .with_child(Element::new("cpu").with_child(element("arch", arch)))
        .with_child(Element::new("power_management"))
        .with_child(Element::new("iommu").with("support", "no"))
        .with_child(Element::new("topology").with_child(cells));
    let machine = Element::new("arch")
        .with("name", arch)
        .with_child(element("wordsize", wordsize))
        .with_child(element("emulator", emulator));
    let machine = kinds.iter().fold(machine, |machine, kind| {
        machine.with_child(Element::new("domain").with("type", kind))
    });
    let guest = Element::new("guest")
        .with_child(element("os_type", "hvm"))
        .with_child(machine);
    Element::new("capabilities")
        .with_child(described)
        .with_child(guest)
}
