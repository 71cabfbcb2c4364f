//! What users note about a network.

use virtwire_protocol::RemoteError;
use virtwire_protocol::constants::{
    DomainMetadataType, ErrorCode, ErrorDomain, NetworkMetadataType, NetworkUpdateFlags as Flags,
};
use virtwire_protocol::event::NetworkEventKind;
use virtwire_protocol::remote;
use virtwire_xdr::Str;

use crate::call::Call;
use crate::hypervisor::network::network;
use crate::hypervisor::note::Note;
use crate::refusal::{Result, bad_argument, check_flags_of, from_domain};
use crate::router::Router;

pub(super) fn routes(router: &mut Router) {
    router.on::<remote::NetworkGetMetadata>(|call, args| {
        let flags = flags(args.flags, "virNetworkObjGetMetadata")?;
        if flags.contains(Flags::LIVE | Flags::CONFIG) {
            let words = "Flags 'VIR_NETWORK_UPDATE_AFFECT_LIVE' and \
                         'VIR_NETWORK_UPDATE_AFFECT_CONFIG' are mutually exclusive";
            return Err(bad("virNetworkGetMetadata", "ctl", words));
        }
        let note = note(args.type_, args.uri.map(owned))?;
        let hypervisor = call.hypervisor();
        let config = hypervisor.networks.get(&args.network)?.side(flags)?;
        let found = config.and_then(|config| note.read(config));
        let metadata = found.map(Str::from).ok_or_else(|| {
            let what = "Requested metadata element is not present";
            from_domain(ErrorDomain::NETWORK, ErrorCode::NO_NETWORK_METADATA, what)
        })?;
        Ok(remote::NetworkGetMetadataRet { metadata })
    });
    router.on::<remote::NetworkSetMetadata>(set);
}

fn set(call: &Call, args: remote::NetworkSetMetadataArgs<'static>) -> Result<()> {
    let flags = flags(args.flags, "networkSetMetadata")?;
    let uri = args.uri.map(owned);
    let note = note(args.type_, uri.clone())?;
    let (text, key) = (args.metadata.map(owned), args.key.map(owned));
    match &note {
        Note::Title if text.as_ref().is_some_and(|text| text.contains('\n')) => {
            let words = "metadata title can't contain newlines";
            return Err(bad("virNetworkSetMetadata", "metadata", words));
        }
        Note::Element(_) if text.is_some() && key.is_none() => {
            let words = "key in virNetworkSetMetadata must not be NULL";
            return Err(bad("virNetworkSetMetadata", "key", words));
        }
        _ => {}
    }
    let mut hypervisor = call.hypervisor();
    let network = hypervisor.networks.get_mut(&args.network)?;
    for config in network.sides(flags)? {
        note.write(config, text.as_deref(), key.as_deref())?;
    }
    let net = network.reference();
    let kind = NetworkMetadataType(args.type_);
    let event = NetworkEventKind::MetadataChange { kind, ns_uri: uri };
    hypervisor.tell(net.into(), event.into());
    Ok(())
}

fn flags(flags: u32, function: &str) -> Result<Flags> {
    let known = Flags::LIVE | Flags::CONFIG;
    check_flags_of(ErrorDomain::NETWORK, flags, known.bits(), function)?;
    Ok(Flags::from_bits_retain(flags))
}

fn note(kind: i32, uri: Option<String>) -> Result<Note> {
    let note = Note::of(DomainMetadataType(kind), uri);
    note.ok_or_else(|| {
        let what = format!("unknown metadata type '{kind}'");
        network(ErrorCode::INVALID_ARG, &what)
    })
}

fn bad(function: &str, argument: &str, words: &str) -> RemoteError {
    bad_argument(ErrorDomain::NETWORK, function, argument, words)
}

fn owned(text: Str<'_>) -> String {
    text.to_string_lossy().into_owned()
}
