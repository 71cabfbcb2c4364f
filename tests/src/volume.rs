//! Volumes and the streams into and out of them, packet by packet.

use std::iter::repeat_n;
use std::path::Path;

use virtwire::remote::{self, NonnullStorageVol};
use virtwire_protocol::header::{MessageType, Status};
use virtwire_protocol::session::Route;

use crate::raw::{Raw, decode};

/// The name of the pool.
const POOL: &str = "p";

/// Data that is not zero anywhere, and the same every time.
#[must_use]
pub fn noise(length: usize) -> Vec<u8> {
    let cycle = (1..=251_u8).cycle();
    let steps = (1..=241_u8).flat_map(|step| repeat_n(step, 1021)).cycle();
    let bytes = cycle
        .zip(steps)
        .map(|(byte, step)| byte.wrapping_mul(step) | 1);
    bytes.take(length).collect()
}

/// Makes a pool in a new directory, and starts it.
pub async fn create_pool(raw: &mut Raw, directory: &Path) {
    let path = directory.display();
    let xml =
        format!("<pool type='dir'><name>{POOL}</name><target><path>{path}</path></target></pool>");
    // `VIR_STORAGE_POOL_CREATE_WITH_BUILD`
    let args = remote::StoragePoolCreateXmlArgs {
        xml: xml.into(),
        flags: 1,
    };
    raw.call::<remote::StoragePoolCreateXml>(&args).await;
}

/// Makes a raw volume without data in that pool.
pub async fn create(raw: &mut Raw, name: &str, capacity: u64) -> NonnullStorageVol<'static> {
    let args = remote::StoragePoolLookupByNameArgs { name: POOL.into() };
    let (_, payload) = raw.call::<remote::StoragePoolLookupByName>(&args).await;
    let found: remote::StoragePoolLookupByNameRet<'_> = decode(&payload);
    let xml = format!(
        "<volume><name>{name}</name><capacity>{capacity}</capacity><allocation>0</allocation>\
         </volume>"
    );
    let args = remote::StorageVolCreateXmlArgs {
        pool: found.pool,
        xml: xml.into(),
        flags: 0,
    };
    raw.call::<remote::StorageVolCreateXml>(&args).await;
    NonnullStorageVol {
        pool: POOL.into(),
        name: name.to_owned().into(),
        key: "".into(),
    }
}

/// Opens an upload to the start of a volume.
pub async fn upload(raw: &mut Raw, vol: &NonnullStorageVol<'_>, length: u64, flags: u32) -> Route {
    let args = upload_args(vol, length, flags);
    raw.call::<remote::StorageVolUpload>(&args).await.0
}

/// What opens it.
#[must_use]
pub fn upload_args<'a>(
    vol: &NonnullStorageVol<'a>,
    length: u64,
    flags: u32,
) -> remote::StorageVolUploadArgs<'a> {
    remote::StorageVolUploadArgs {
        vol: vol.clone(),
        offset: 0,
        length,
        flags,
    }
}

/// Opens a download of a whole volume.
pub async fn download(raw: &mut Raw, vol: &NonnullStorageVol<'_>, flags: u32) -> Route {
    let args = download_args(vol, flags);
    raw.call::<remote::StorageVolDownload>(&args).await.0
}

/// What opens it.
#[must_use]
pub fn download_args<'a>(
    vol: &NonnullStorageVol<'a>,
    flags: u32,
) -> remote::StorageVolDownloadArgs<'a> {
    remote::StorageVolDownloadArgs {
        vol: vol.clone(),
        offset: 0,
        length: 0,
        flags,
    }
}

/// What a download sends up to its end: the lengths of its packets, holes as negative numbers,
/// and the data.
///
/// # Panics
///
/// When it sends something else.
pub async fn contents(raw: &mut Raw, route: Route) -> (Vec<i64>, Vec<u8>) {
    let (mut lengths, mut data) = (Vec::new(), Vec::new());
    loop {
        match raw.hear(route).await {
            (MessageType::Stream, Status::Continue, payload) => {
                if payload.is_empty() {
                    return (lengths, data);
                }
                lengths.push(i64::try_from(payload.len()).expect("a length"));
                data.extend(payload);
            }
            (MessageType::StreamHole, Status::Continue, payload) => {
                let (length, flags) = payload.split_first_chunk().expect("a length");
                assert_eq!(flags, [0; 4]);
                lengths.push(-i64::from_be_bytes(*length));
            }
            other => panic!("{other:?}"),
        }
    }
}
