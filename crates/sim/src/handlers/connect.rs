//! Opening a connection, and what the daemon says of itself.

use virtwire_protocol::constants::{ErrorCode, ErrorDomain};
use virtwire_protocol::remote::{self, AuthType};
use virtwire_xdr::Str;

use crate::call::Call;
use crate::hypervisor::client::{Driver, Notice, Opened};
use crate::refusal::{Result, from_domain};
use crate::router::Router;

/// `VIR_CONNECT_RO`.
const READ_ONLY: u32 = 1;

/// `virDrvFeature`: the numbers are private to libvirt, so the tables of constants lack them.
const KEEPALIVE: i32 = 10;
const EVENT_CALLBACKS: i32 = 14;

/// What the QEMU driver has of them; the client's half (1, 2, 5) is not among it.
const QEMU_FEATURES: &[i32] = &[3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

/// What the test driver has of them.
const TEST_FEATURES: &[i32] = &[8, 9, 10, 14, 15, 16];

pub(super) fn routes(router: &mut Router) {
    router.on::<remote::AuthList>(|_, ()| {
        Ok(remote::AuthListRet {
            types: vec![AuthType::NONE],
        })
    });
    router.on::<remote::ConnectOpen>(open);
    router.on::<remote::ConnectClose>(close);
    router.on::<remote::ConnectSupportsFeature>(supports_feature);
    router.on::<remote::ConnectGetUri>(|call, ()| {
        let uri = Str::from(opened(call).uri);
        Ok(remote::ConnectGetUriRet { uri })
    });
    router.on::<remote::ConnectGetType>(|call, ()| {
        let type_ = Str::from(match opened(call).driver {
            Driver::Qemu => "QEMU",
            Driver::Test => "TEST",
        });
        Ok(remote::ConnectGetTypeRet { type_ })
    });
    router.on::<remote::ConnectGetVersion>(|call, ()| {
        let hv_ver = match opened(call).driver {
            Driver::Qemu => call.shared.settings.hypervisor_version,
            // The test driver has always said so.
            Driver::Test => 2,
        };
        Ok(remote::ConnectGetVersionRet { hv_ver })
    });
    router.on::<remote::ConnectGetLibVersion>(|call, ()| {
        let lib_ver = call.shared.settings.library_version;
        Ok(remote::ConnectGetLibVersionRet { lib_ver })
    });
    router.on::<remote::ConnectGetHostname>(|call, ()| {
        let hostname = Str::from(call.shared.settings.hostname.clone());
        Ok(remote::ConnectGetHostnameRet { hostname })
    });
    router.on::<remote::ConnectIsSecure>(|_, ()| Ok(remote::ConnectIsSecureRet { secure: 1 }));
}

fn open(call: &Call, args: remote::ConnectOpenArgs<'static>) -> Result<()> {
    let uri = args.name.unwrap_or_default().to_string_lossy().into_owned();
    let driver = match uri.split(':').next() {
        Some("qemu" | "") => Driver::Qemu,
        Some("test") => Driver::Test,
        _ => return Err(from_domain(ErrorDomain::NONE, ErrorCode::NO_CONNECT, &uri)),
    };
    let uri = if uri.is_empty() {
        String::from("qemu:///system")
    } else {
        uri
    };
    let mut hypervisor = call.hypervisor();
    if let Some(client) = hypervisor.clients.get_mut(&call.client) {
        // libvirt drops the connection to the driver when it is opened twice.
        if client.opened.take().is_some() {
            let what = "connection already open";
            return Err(from_domain(
                ErrorDomain::RPC,
                ErrorCode::INTERNAL_ERROR,
                what,
            ));
        }
        client.read_only |= args.flags & READ_ONLY != 0;
        client.opened = Some(Opened { uri, driver });
    }
    Ok(())
}

fn close(call: &Call, (): ()) -> Result<()> {
    let mut hypervisor = call.hypervisor();
    if let Some(client) = hypervisor.clients.get_mut(&call.client) {
        client.opened = None;
        client.registrations.clear();
        client.close_callback = false;
    }
    Ok(())
}

fn supports_feature(
    call: &Call,
    args: remote::ConnectSupportsFeatureArgs,
) -> Result<remote::ConnectSupportsFeatureRet> {
    let mut hypervisor = call.hypervisor();
    let client = hypervisor.clients.get_mut(&call.client);
    let mut supported = args.feature == KEEPALIVE;
    if let Some(client) = client {
        // The question is what starts the daemon's own pings.
        if let Some(config) = call.shared.keepalive().filter(|_| supported) {
            client.notify(Notice::StartKeepalive(config));
        }
        let features = match &client.opened {
            Some(opened) if opened.driver == Driver::Qemu => QEMU_FEATURES,
            Some(_) => TEST_FEATURES,
            None => &[],
        };
        supported |= features.contains(&args.feature);
    }
    supported &= args.feature != EVENT_CALLBACKS || call.shared.settings.event_callbacks;
    Ok(remote::ConnectSupportsFeatureRet {
        supported: supported.into(),
    })
}

/// What the client opened; only those that did get here.
fn opened(call: &Call) -> Opened {
    let hypervisor = call.hypervisor();
    let client = hypervisor.clients.get(&call.client);
    client
        .and_then(|client| client.opened.clone())
        .unwrap_or(Opened {
            uri: String::new(),
            driver: Driver::Qemu,
        })
}
