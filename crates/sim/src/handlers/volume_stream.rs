//! Data on its way into volumes and out of them.

use std::sync::Arc;

use bytes::Bytes;
use virtwire_protocol::RemoteError;
use virtwire_protocol::constants::{
    ErrorCode, ErrorDomain, StorageVolDownloadFlags, StorageVolUploadFlags,
};
use virtwire_protocol::remote::{self, NonnullStoragePool};
use virtwire_protocol::session::StreamBody;

use super::storage::refreshed;
use crate::call::Call;
use crate::hypervisor::storage::Errno;
use crate::hypervisor::storage::sparse::Section;
use crate::refusal::{Result, check_flags};
use crate::router::Router;
use crate::server::Shared;
use crate::stream::{Stream, Turn};

/// How much libvirt reads from a file at a time.
const READ: usize = 256 << 10;

/// How much libvirt puts into a packet: what is left of an old limit without a packet's header.
const PACKET: usize = READ - 24;

pub(super) fn routes(router: &mut Router) {
    router.on::<remote::StorageVolUpload>(|call, args| {
        let known = StorageVolUploadFlags::SPARSE_STREAM.bits();
        check_flags(args.flags, known, "storageVolUpload")?;
        let upload = Upload {
            place: Place::find(call, &args.vol, args.offset, args.length)?,
            written: 0,
            closed: false,
        };
        let work = |stream| upload.run(stream);
        match args.flags {
            0 => call.open_stream(work),
            _ => call.open_sparse_stream(work),
        }
        Ok(())
    });
    router.on::<remote::StorageVolDownload>(|call, args| {
        let known = StorageVolDownloadFlags::SPARSE_STREAM.bits();
        check_flags(args.flags, known, "storageVolDownload")?;
        let download = Download {
            place: Place::find(call, &args.vol, args.offset, args.length)?,
            sparse: args.flags != 0,
            read: 0,
            buffer: Bytes::new(),
            section: 0,
        };
        let work = |stream| download.run(stream);
        match args.flags {
            0 => call.open_stream(work),
            _ => call.open_sparse_stream(work),
        }
        Ok(())
    });
}

/// A part of a volume.
struct Place {
    shared: Arc<Shared>,
    pool: NonnullStoragePool<'static>,
    path: String,
    offset: u64,
    /// How much of it there is, if that is limited.
    length: Option<u64>,
}

impl Place {
    fn find(
        call: &Call,
        vol: &remote::NonnullStorageVol<'_>,
        offset: u64,
        length: u64,
    ) -> Result<Self> {
        let hypervisor = call.hypervisor();
        let (pool, volume) = hypervisor.pools.volume(vol)?;
        let path = volume.path.clone();
        if i64::try_from(offset).is_err() {
            let what = format!("Unable to seek {path} to {offset}");
            return Err(report(Errno::Invalid, &what));
        }
        Ok(Self {
            shared: Arc::clone(&call.shared),
            pool: pool.reference(),
            path,
            offset,
            length: Some(length).filter(|length| *length > 0),
        })
    }

    /// How much of so many bytes is within it, when `done` are dealt with.
    fn within(&self, done: u64, bytes: u64) -> u64 {
        let left = self.length.map(|length| length.saturating_sub(done));
        left.map_or(bytes, |left| left.min(bytes))
    }
}

/// Data on its way into a volume.
struct Upload {
    place: Place,
    /// How much was written, holes included.
    written: u64,
    /// Whether something without a length has come. libvirt takes that for the end.
    closed: bool,
}

/// However an upload ends, what is in the volume now is found out.
impl Drop for Upload {
    fn drop(&mut self) {
        let Place {
            shared, pool, path, ..
        } = &self.place;
        let mut hypervisor = shared.hypervisor();
        let (pools, images) = hypervisor.storage();
        // Neither can fail: the image is there, and so is its directory.
        let _ = pools.publish(path, images);
        if pools.pool(pool).is_ok_and(|pool| pool.active) {
            let _ = pools.refresh(&pool.uuid, images);
            refreshed(&mut hypervisor, pool);
        }
    }
}

impl Upload {
    async fn run(mut self, mut stream: Stream) {
        while let Some(body) = stream.receive().await {
            match body {
                StreamBody::Data(data) => {
                    if let Err(error) = self.write(&data) {
                        drop(self);
                        return stream.error(error);
                    }
                }
                StreamBody::Hole(length) => {
                    if self.skip(length).is_none() {
                        drop(self);
                        return stream.refuse_hole(without_cause());
                    }
                }
                _ => {
                    drop(self);
                    return stream.confirm();
                }
            }
        }
    }

    /// A packet that does not fit into what was announced is lost as a whole: libvirt throws away
    /// what it has not written when a stream fails.
    fn write(&mut self, data: &Bytes) -> Result<()> {
        let length = count(data.len());
        if self.place.within(self.written, length) < length {
            return Err(report(Errno::NoSpace, "cannot write to stream"));
        }
        if self.closed {
            return Err(report(Errno::BadFile, "cannot write to stream"));
        }
        self.closed = data.is_empty();
        let Place { shared, path, .. } = &self.place;
        let mut hypervisor = shared.hypervisor();
        let at = self.place.offset.saturating_add(self.written);
        match hypervisor.pools.files.write(path, at, data) {
            // As on a real host: the file goes on without a name until the stream is closed.
            Ok(()) | Err(Errno::NoEntry) => {}
            Err(errno) => return Err(report(errno, &format!("Unable to write {path}"))),
        }
        self.written = self.written.saturating_add(length);
        Ok(())
    }

    /// Fails without a cause, as libvirt forgets it on the way.
    fn skip(&mut self, length: i64) -> Option<()> {
        let length = u64::try_from(length).ok().filter(|length| *length > 0)?;
        if self.closed {
            return None;
        }
        let length = self.place.within(self.written, length);
        self.closed = length == 0;
        self.written = self.written.saturating_add(length);
        let Place { shared, path, .. } = &self.place;
        let mut hypervisor = shared.hypervisor();
        let end = self.place.offset.saturating_add(self.written);
        // libvirt ends the file there, whatever was behind it.
        match hypervisor.pools.files.truncate(path, end) {
            Ok(()) | Err(Errno::NoEntry) => Some(()),
            Err(_) => None,
        }
    }
}

/// Data on its way out of a volume.
struct Download {
    place: Place,
    sparse: bool,
    /// How much was read, holes included.
    read: u64,
    /// What was read and not sent yet.
    buffer: Bytes,
    /// How far data goes on, in a sparse download.
    section: u64,
}

/// What a download sends next.
enum Piece {
    /// Nothing at all is the end.
    Data(Bytes),
    Hole(i64),
}

impl Download {
    async fn run(mut self, mut stream: Stream) {
        let mut over = false;
        loop {
            let turn = match over {
                true => stream.receive().await.map_or(Turn::Gone, Turn::Received),
                false => stream.turn().await,
            };
            match turn {
                Turn::Room => match self.next() {
                    Piece::Data(data) => {
                        over = data.is_empty();
                        stream.send(data).await;
                    }
                    Piece::Hole(length) => stream.send_hole(length).await,
                },
                Turn::Received(StreamBody::Finish | StreamBody::Abort) => {
                    return stream.confirm();
                }
                // There is nothing to write to.
                Turn::Received(_) => {}
                Turn::Gone => return,
            }
        }
    }

    fn next(&mut self) -> Piece {
        if self.buffer.is_empty() {
            if let Some(hole) = self.fill() {
                return Piece::Hole(hole);
            }
        }
        Piece::Data(self.buffer.split_to(PACKET.min(self.buffer.len())))
    }

    /// Reads on, unless there is a hole: how long that is.
    fn fill(&mut self) -> Option<i64> {
        let Place { shared, path, .. } = &self.place;
        let hypervisor = shared.hypervisor();
        let file = hypervisor.pools.files.get(path)?;
        let at = self.place.offset.saturating_add(self.read);
        let mut length = self.place.within(self.read, count(READ));
        if self.sparse {
            if self.section == 0 {
                match file.section(at) {
                    Section::Data(section) => {
                        self.section = self.place.within(self.read, section);
                    }
                    Section::Hole(hole) => {
                        let hole = self.place.within(self.read, hole);
                        self.read = self.read.saturating_add(hole);
                        return i64::try_from(hole).ok().filter(|hole| *hole > 0);
                    }
                }
            }
            length = length.min(self.section);
            self.section -= length;
        }
        self.buffer = file.read(at, usize::try_from(length).unwrap_or(READ));
        self.read = self.read.saturating_add(count(self.buffer.len()));
        None
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// What libvirt reports when it does not know what went wrong.
fn without_cause() -> RemoteError {
    let what = "Library function returned error but did not set virError";
    RemoteError::new(ErrorCode::INTERNAL_ERROR, ErrorDomain::RPC, what)
}

/// An error of libvirt's streams.
fn report(errno: Errno, doing: &str) -> RemoteError {
    errno.report(ErrorDomain::STREAMS, doing)
}
