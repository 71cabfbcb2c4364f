//! Is the daemon serving? Asked on the wire, without any libvirt client.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

const HEADER_LENGTH: usize = 28;
const PROGRAM: u32 = 0x2000_8086;
const PROTOCOL_VERSION: u32 = 1;
const AUTH_LIST: u32 = 66;
const REPLY: u32 = 1;
const STATUS_OK: u32 = 0;

/// Makes the one call that every client begins with and waits for a good reply.
///
/// libvirtd accepts connections early but answers only once its drivers are up.
pub(crate) fn answers(socket: &Path, within: Duration) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    let within = within.max(Duration::from_millis(1));
    stream.set_read_timeout(Some(within))?;
    stream.set_write_timeout(Some(within))?;
    stream.write_all(&header(0, STATUS_OK))?;
    let mut reply = [0; HEADER_LENGTH];
    stream.read_exact(&mut reply)?;
    // The length comes first and is longer than a bare header: a list follows.
    if reply.get(4..) == header(REPLY, STATUS_OK).get(4..) {
        Ok(())
    } else {
        Err(io::Error::from(io::ErrorKind::InvalidData))
    }
}

fn header(message_type: u32, status: u32) -> Vec<u8> {
    let serial = 1;
    [
        28,
        PROGRAM,
        PROTOCOL_VERSION,
        AUTH_LIST,
        message_type,
        serial,
        status,
    ]
    .into_iter()
    .flat_map(u32::to_be_bytes)
    .collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixListener;
    use std::thread;
    use std::time::Duration;

    use super::{HEADER_LENGTH, REPLY, answers, header};

    /// Says whether a daemon that sends this to the first call counts as serving.
    fn is_ready(reply: &[u8]) -> bool {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                stream.read_exact(&mut [0; HEADER_LENGTH]).unwrap();
                stream.write_all(reply).unwrap();
            });
            answers(&socket, Duration::from_secs(5)).is_ok()
        })
    }

    #[test]
    fn a_good_reply_is_one_of_any_length() {
        let mut reply = header(REPLY, 0);
        reply[3] = 36;
        reply.extend([0, 0, 0, 1, 0, 0, 0, 0]);
        assert!(is_ready(&reply));
    }

    #[test]
    fn anything_else_is_not_serving() {
        assert!(!is_ready(&header(REPLY, 1)), "an error");
        assert!(!is_ready(&header(REPLY, 0)[..20]), "half a reply");
        assert!(!is_ready(b""), "nothing");
        assert!(!is_ready(&[0xff; HEADER_LENGTH]), "garbage");
    }
}
