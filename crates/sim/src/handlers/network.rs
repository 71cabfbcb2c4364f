//! Virtual networks: finding, defining, starting and stopping them.

use virtwire_protocol::constants::{
    ConnectListAllNetworksFlags, ErrorCode, NetworkCreateFlags, NetworkDefineFlags,
    NetworkEventLifecycleType, NetworkXmlFlags,
};
use virtwire_protocol::event::NetworkEventKind;
use virtwire_protocol::remote::{self, NonnullNetwork};
use virtwire_xdr::Str;

use crate::call::Call;
use crate::hypervisor::Hypervisor;
use crate::hypervisor::network::{Network, network};
use crate::refusal::{Result, check_flags};
use crate::router::Router;

pub(super) fn routes(router: &mut Router) {
    find(router);
    list(router);
    change(router);
    describe(router);
}

fn find(router: &mut Router) {
    router.on::<remote::NetworkLookupByName>(|call, args| {
        let name = args.name.to_string_lossy();
        let net = call.hypervisor().networks.by_name(&name)?.reference();
        Ok(remote::NetworkLookupByNameRet { net })
    });
    router.on::<remote::NetworkLookupByUuid>(|call, args| {
        let net = call.hypervisor().networks.by_uuid(&args.uuid)?.reference();
        Ok(remote::NetworkLookupByUuidRet { net })
    });
}

fn list(router: &mut Router) {
    router.on::<remote::ConnectListAllNetworks>(|call, args| {
        let flags = ConnectListAllNetworksFlags::from_bits_retain(args.flags);
        check_flags(args.flags, 0x3f, "networkConnectListAllNetworks")?;
        let hypervisor = call.hypervisor();
        let networks = hypervisor.networks.iter();
        let found = networks.filter(|network| args.need_results == 0 || network.matches(flags));
        let mut nets: Vec<_> = found.map(Network::reference).collect();
        let ret = u32::try_from(nets.len()).unwrap_or(u32::MAX);
        if args.need_results == 0 {
            nets.clear();
        }
        Ok(remote::ConnectListAllNetworksRet { nets, ret })
    });
    router.on::<remote::ConnectNumOfNetworks>(|call, ()| {
        let num = names(call, true, i32::MAX).len();
        let num = i32::try_from(num).unwrap_or(i32::MAX);
        Ok(remote::ConnectNumOfNetworksRet { num })
    });
    router.on::<remote::ConnectNumOfDefinedNetworks>(|call, ()| {
        let num = names(call, false, i32::MAX).len();
        let num = i32::try_from(num).unwrap_or(i32::MAX);
        Ok(remote::ConnectNumOfDefinedNetworksRet { num })
    });
    router.on::<remote::ConnectListNetworks>(|call, args| {
        let names = names(call, true, args.maxnames);
        Ok(remote::ConnectListNetworksRet { names })
    });
    router.on::<remote::ConnectListDefinedNetworks>(|call, args| {
        let names = names(call, false, args.maxnames);
        Ok(remote::ConnectListDefinedNetworksRet { names })
    });
}

fn names(call: &Call, active: bool, limit: i32) -> Vec<Str<'static>> {
    let hypervisor = call.hypervisor();
    let networks = hypervisor.networks.iter();
    let found = networks.filter(|network| network.is_active() == active);
    let limit = usize::try_from(limit).unwrap_or(0);
    let names = found.map(|network| Str::from(network.name.clone()));
    names.take(limit).collect()
}

fn change(router: &mut Router) {
    router.on::<remote::NetworkDefineXml>(|call, args| {
        let net = define(call, &args.xml, 0)?;
        Ok(remote::NetworkDefineXmlRet { net })
    });
    router.on::<remote::NetworkDefineXmlFlags>(|call, args| {
        let net = define(call, &args.xml, args.flags)?;
        Ok(remote::NetworkDefineXmlFlagsRet { net })
    });
    router.on::<remote::NetworkCreateXml>(|call, args| {
        let net = create(call, &args.xml, 0)?;
        Ok(remote::NetworkCreateXmlRet { net })
    });
    router.on::<remote::NetworkCreateXmlFlags>(|call, args| {
        let net = create(call, &args.xml, args.flags)?;
        Ok(remote::NetworkCreateXmlFlagsRet { net })
    });
    router.on::<remote::NetworkCreate>(|call, args| {
        let mut hypervisor = call.hypervisor();
        hypervisor.networks.get_mut(&args.net)?.start()?;
        let net = hypervisor.networks.get(&args.net)?.reference();
        tell(&mut hypervisor, &net, NetworkEventLifecycleType::STARTED);
        Ok(())
    });
    router.on::<remote::NetworkDestroy>(|call, args| {
        let mut hypervisor = call.hypervisor();
        let network = hypervisor.networks.get_mut(&args.net)?;
        network.stop()?;
        let net = network.reference();
        hypervisor.networks.tidy(&net.uuid);
        tell(&mut hypervisor, &net, NetworkEventLifecycleType::STOPPED);
        Ok(())
    });
    router.on::<remote::NetworkUndefine>(|call, args| {
        let mut hypervisor = call.hypervisor();
        let network = hypervisor.networks.get_mut(&args.net)?;
        network.undefine()?;
        let net = network.reference();
        hypervisor.networks.tidy(&net.uuid);
        tell(&mut hypervisor, &net, NetworkEventLifecycleType::UNDEFINED);
        Ok(())
    });
    router.on::<remote::NetworkSetAutostart>(|call, args| {
        let mut hypervisor = call.hypervisor();
        let found = hypervisor.networks.get_mut(&args.net)?;
        if !found.is_persistent() {
            let what = "cannot set autostart for transient network";
            return Err(network(ErrorCode::OPERATION_INVALID, what));
        }
        found.autostart = args.autostart != 0;
        Ok(())
    });
}

fn define(call: &Call, xml: &Str<'_>, flags: u32) -> Result<NonnullNetwork<'static>> {
    let known = NetworkDefineFlags::VALIDATE.bits();
    check_flags(flags, known, "networkDefineXMLFlags")?;
    let mut hypervisor = call.hypervisor();
    let described = hypervisor.networks.describe(&xml.to_string_lossy())?;
    let net = hypervisor.networks.define(described)?.reference();
    tell(&mut hypervisor, &net, NetworkEventLifecycleType::DEFINED);
    Ok(net)
}

fn create(call: &Call, xml: &Str<'_>, flags: u32) -> Result<NonnullNetwork<'static>> {
    let known = NetworkCreateFlags::VALIDATE.bits();
    check_flags(flags, known, "networkCreateXMLFlags")?;
    let mut hypervisor = call.hypervisor();
    let described = hypervisor.networks.describe(&xml.to_string_lossy())?;
    let net = hypervisor.networks.create(described)?.reference();
    tell(&mut hypervisor, &net, NetworkEventLifecycleType::STARTED);
    Ok(net)
}

fn describe(router: &mut Router) {
    router.on::<remote::NetworkGetXmlDesc>(|call, args| {
        let known = NetworkXmlFlags::INACTIVE;
        check_flags(args.flags, known.bits(), "networkGetXMLDesc")?;
        let flags = NetworkXmlFlags::from_bits_retain(args.flags);
        let xml = Str::from(call.hypervisor().networks.get(&args.net)?.xml(flags));
        Ok(remote::NetworkGetXmlDescRet { xml })
    });
    router.on::<remote::NetworkGetBridgeName>(|call, args| {
        let name = Str::from(call.hypervisor().networks.get(&args.net)?.bridge()?);
        Ok(remote::NetworkGetBridgeNameRet { name })
    });
    router.on::<remote::NetworkGetAutostart>(|call, args| {
        let autostart = call.hypervisor().networks.get(&args.net)?.autostart;
        Ok(remote::NetworkGetAutostartRet {
            autostart: autostart.into(),
        })
    });
    router.on::<remote::NetworkIsActive>(|call, args| {
        let active = call.hypervisor().networks.get(&args.net)?.is_active();
        Ok(remote::NetworkIsActiveRet {
            active: active.into(),
        })
    });
    router.on::<remote::NetworkIsPersistent>(|call, args| {
        let persistent = call.hypervisor().networks.get(&args.net)?.is_persistent();
        Ok(remote::NetworkIsPersistentRet {
            persistent: persistent.into(),
        })
    });
    router.on::<remote::NetworkGetDhcpLeases>(|call, args| {
        // No guest has ever asked for an address.
        call.hypervisor().networks.get(&args.net)?;
        let leases = Vec::new();
        Ok(remote::NetworkGetDhcpLeasesRet { leases, ret: 0 })
    });
    router.on::<remote::NetworkListAllPorts>(|call, args| {
        call.hypervisor()
            .networks
            .get(&args.network)?
            .check_active()?;
        let ports = Vec::new();
        Ok(remote::NetworkListAllPortsRet { ports, ret: 0 })
    });
}

fn tell(hypervisor: &mut Hypervisor, net: &NonnullNetwork<'_>, event: NetworkEventLifecycleType) {
    let kind = NetworkEventKind::Lifecycle { event, detail: 0 };
    hypervisor.tell(net.clone().into(), kind.into());
}
