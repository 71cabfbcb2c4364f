//! The same values through serde-xdr, which knows nothing of libvirt and shares no code with us:
//! the same bytes, both ways.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use virtwire_protocol::{net, remote};
use virtwire_xdr::{Decode, Encode, Opaque, Reader, Str};

use crate::body::encode;
use crate::mirror::{
    Authentication, Data, Domain, DomainInfo, DomainList, Failure, Hole, Network, NodeInfo, Open,
    SaslStart, SendKey, StatsRecord, TypedParam, TypedValue, VolumeInfo,
};
use virtwire_tests::random::Random;

/// Values per type.
const SAMPLES: u64 = 200;

/// Asserts that both codecs write the same bytes and read each other's.
fn agree<M>(seed: u64, mirror: &M, ours: &impl Encode, same: impl FnOnce(&mut Reader<'_>) -> bool)
where
    M: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let bytes = encode(ours).unwrap();
    let theirs = serde_xdr::to_bytes(mirror).unwrap();
    assert_eq!(bytes, theirs, "{seed}: {mirror:?}");
    assert_eq!(&serde_xdr::from_bytes::<_, M>(&bytes).unwrap(), mirror);
    let mut reader = Reader::new(&theirs);
    assert!(same(&mut reader), "{seed}: {mirror:?}");
    reader.finish().unwrap();
}

/// Makes values of a mirror, the generated value for each, and compares.
macro_rules! agreement {
    ($name:ident, $mirror:expr, |$from:ident| $ours:expr, $decode:expr) => {
        #[test]
        fn $name() {
            for seed in 0..SAMPLES {
                let mirror = $mirror(&mut Random::new(seed));
                let $from = &mirror;
                let ours = $ours;
                agree(seed, &mirror, &ours, |reader| {
                    $decode(reader).is_ok_and(|decoded| decoded == ours)
                });
            }
        }
    };
}

fn text(r: &mut Random) -> String {
    let length = r.below(24);
    (0..length)
        .map(|_| char::from(1 + r.byte() % 127))
        .collect()
}

fn option<T>(r: &mut Random, value: impl FnOnce(&mut Random) -> T) -> Option<T> {
    (r.below(2) > 0).then(|| value(r))
}

fn list<T>(r: &mut Random, most: usize, value: impl Fn(&mut Random) -> T) -> Vec<T> {
    let length = r.below(most + 1);
    (0..length).map(|_| value(r)).collect()
}

fn int(r: &mut Random) -> i32 {
    i32::from_be_bytes(r.bytes())
}

fn uint(r: &mut Random) -> u32 {
    u32::from_be_bytes(r.bytes())
}

fn domain(r: &mut Random) -> Domain {
    Domain {
        name: text(r),
        uuid: r.bytes(),
        id: int(r),
    }
}

fn our_domain(domain: &Domain) -> remote::NonnullDomain<'_> {
    remote::NonnullDomain {
        name: Str::from(&domain.name),
        uuid: domain.uuid,
        id: domain.id,
    }
}

agreement!(
    domains,
    domain,
    |domain| our_domain(domain),
    remote::NonnullDomain::decode
);

fn typed_param(r: &mut Random) -> TypedParam {
    let value = match r.below(7) {
        0 => TypedValue::Int(int(r)),
        1 => TypedValue::Uint(uint(r)),
        2 => TypedValue::Llong(i64::from_be_bytes(r.bytes())),
        3 => TypedValue::Ullong(r.number()),
        4 => TypedValue::Double(f64::from(int(r)) / 7.0),
        5 => TypedValue::Boolean(int(r)),
        _ => TypedValue::String(text(r)),
    };
    TypedParam {
        field: text(r),
        value,
    }
}

fn our_param(param: &TypedParam) -> remote::TypedParam<'_> {
    use remote::TypedParamValue as Value;
    let value = match &param.value {
        TypedValue::Int(v) => Value::Int(*v),
        TypedValue::Uint(v) => Value::Uint(*v),
        TypedValue::Llong(v) => Value::Llong(*v),
        TypedValue::Ullong(v) => Value::Ullong(*v),
        TypedValue::Double(v) => Value::Double(*v),
        TypedValue::Boolean(v) => Value::Boolean(*v),
        TypedValue::String(v) => Value::String(Str::from(v)),
        TypedValue::Unused => panic!("never made"),
    };
    remote::TypedParam {
        field: Str::from(&param.field),
        value,
    }
}

agreement!(
    typed_parameters,
    typed_param,
    |param| our_param(param),
    remote::TypedParam::decode
);

agreement!(
    statistics_records,
    |r: &mut Random| StatsRecord {
        dom: domain(r),
        params: list(r, 30, typed_param),
    },
    |record| remote::DomainStatsRecord {
        dom: our_domain(&record.dom),
        params: record.params.iter().map(our_param).collect(),
    },
    remote::DomainStatsRecord::decode
);

agreement!(
    lists_of_domains,
    |r: &mut Random| DomainList {
        domains: list(r, 9, domain),
        ret: uint(r),
    },
    |list| remote::ConnectListAllDomainsRet {
        domains: list.domains.iter().map(our_domain).collect(),
        ret: list.ret,
    },
    remote::ConnectListAllDomainsRet::decode
);

agreement!(
    errors,
    |r: &mut Random| Failure {
        code: int(r),
        domain: int(r),
        message: option(r, text),
        level: int(r),
        dom: option(r, domain),
        str1: option(r, text),
        str2: option(r, text),
        str3: option(r, text),
        int1: int(r),
        int2: int(r),
        net: option(r, |r| Network {
            name: text(r),
            uuid: r.bytes(),
        }),
    },
    |failure| net::MessageError {
        code: failure.code,
        domain: failure.domain,
        message: failure.message.as_ref().map(Str::from),
        level: failure.level,
        dom: failure.dom.as_ref().map(|dom| net::MessageNonnullDomain {
            name: Str::from(&dom.name),
            uuid: dom.uuid,
            id: dom.id,
        }),
        str1: failure.str1.as_ref().map(Str::from),
        str2: failure.str2.as_ref().map(Str::from),
        str3: failure.str3.as_ref().map(Str::from),
        int1: failure.int1,
        int2: failure.int2,
        net: failure.net.as_ref().map(|net| net::MessageNonnullNetwork {
            name: Str::from(&net.name),
            uuid: net.uuid,
        }),
    },
    net::MessageError::decode
);

agreement!(
    narrow_unsigned_numbers,
    |r: &mut Random| DomainInfo {
        state: r.byte(),
        max_mem: r.number(),
        memory: r.number(),
        nr_virt_cpu: u16::from_be_bytes(r.bytes()),
        cpu_time: r.number(),
    },
    |info| remote::DomainGetInfoRet {
        state: info.state,
        max_mem: info.max_mem,
        memory: info.memory,
        nr_virt_cpu: info.nr_virt_cpu,
        cpu_time: info.cpu_time,
    },
    remote::DomainGetInfoRet::decode
);

agreement!(
    narrow_signed_numbers,
    |r: &mut Random| VolumeInfo {
        kind: i8::from_be_bytes(r.bytes()),
        capacity: r.number(),
        allocation: r.number(),
    },
    |info| remote::StorageVolGetInfoRet {
        type_: info.kind,
        capacity: info.capacity,
        allocation: info.allocation,
    },
    remote::StorageVolGetInfoRet::decode
);

agreement!(
    fixed_arrays_of_characters,
    |r: &mut Random| NodeInfo {
        model: r.bytes().map(u8::cast_signed),
        memory: r.number(),
        rest: std::array::from_fn(|_| int(r)),
    },
    |info| {
        let [cpus, mhz, nodes, sockets, cores, threads] = info.rest;
        remote::NodeGetInfoRet {
            model: info.model.map(i8::cast_unsigned),
            memory: info.memory,
            cpus,
            mhz,
            nodes,
            sockets,
            cores,
            threads,
        }
    },
    remote::NodeGetInfoRet::decode
);

agreement!(
    variable_arrays_of_characters,
    |r: &mut Random| SaslStart {
        mech: text(r),
        nil: int(r),
        data: list(r, 20, |r| r.byte().cast_signed()),
    },
    |start| remote::AuthSaslStartArgs {
        mech: Str::from(&start.mech),
        nil: start.nil,
        data: start.data.iter().map(|c| c.cast_unsigned()).collect(),
    },
    remote::AuthSaslStartArgs::decode
);

agreement!(
    opaque_data,
    |r: &mut Random| Data(list(r, 20, Random::byte)),
    |data| remote::DomainBlockPeekRet {
        buffer: Opaque::from(data.0.as_slice()),
    },
    remote::DomainBlockPeekRet::decode
);

agreement!(
    enumerations,
    |r: &mut Random| list(r, 9, |r| match r.below(3) {
        0 => Authentication::None,
        1 => Authentication::Sasl,
        _ => Authentication::Polkit,
    }),
    |types| remote::AuthListRet {
        types: types
            .iter()
            .map(|kind| match kind {
                Authentication::None => remote::AuthType::NONE,
                Authentication::Sasl => remote::AuthType::SASL,
                Authentication::Polkit => remote::AuthType::POLKIT,
            })
            .collect(),
    },
    remote::AuthListRet::decode
);

agreement!(
    optional_strings,
    |r: &mut Random| Open {
        name: option(r, text),
        flags: uint(r),
    },
    |open| remote::ConnectOpenArgs {
        name: open.name.as_ref().map(Str::from),
        flags: open.flags,
    },
    remote::ConnectOpenArgs::decode
);

agreement!(
    arrays_of_numbers,
    |r: &mut Random| SendKey {
        dom: domain(r),
        codeset: uint(r),
        holdtime: uint(r),
        keycodes: list(r, 16, uint),
        flags: uint(r),
    },
    |keys| remote::DomainSendKeyArgs {
        dom: our_domain(&keys.dom),
        codeset: keys.codeset,
        holdtime: keys.holdtime,
        keycodes: keys.keycodes.clone(),
        flags: keys.flags,
    },
    remote::DomainSendKeyArgs::decode
);

agreement!(
    stream_holes,
    |r: &mut Random| Hole {
        length: i64::from_be_bytes(r.bytes()),
        flags: uint(r),
    },
    |hole| net::StreamHole {
        length: hole.length,
        flags: hole.flags,
    },
    net::StreamHole::decode
);
