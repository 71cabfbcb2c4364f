use bytes::{Bytes, BytesMut};
use virtwire_protocol::frame::{Frame, FrameDecoder, PREFIX_LEN};

/// Cuts bytes into packets and gives each as it stands on the wire.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    decoder: FrameDecoder,
    /// What the decoder has, as it came.
    raw: BytesMut,
    /// Whether something came that is no packet, after which nothing can be told apart.
    lost: bool,
}

impl Splitter {
    /// Takes bytes as they come.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(bytes);
        if !self.lost {
            self.decoder.buffer_mut().extend_from_slice(bytes);
        }
    }

    /// The next whole packet.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        if self.lost {
            return None;
        }
        match self.decoder.next_frame() {
            Ok(frame) => Some(self.raw.split_to(length_of(&frame?)).freeze()),
            Err(_) => {
                self.lost = true;
                None
            }
        }
    }

    /// Whether what is left can never become a packet.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// What is left, whole packet or not.
    pub(super) fn take_rest(&mut self) -> Bytes {
        self.lost = true;
        self.raw.split().freeze()
    }
}

fn length_of(frame: &Frame) -> usize {
    let count_of_fds = if frame.header.kind.has_fds() { 4 } else { 0 };
    PREFIX_LEN + count_of_fds + frame.payload.len()
}
