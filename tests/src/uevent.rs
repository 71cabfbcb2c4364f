//! What the host's device manager says, said by us.

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, SendFlags, SocketType, sendto, socket};

/// The group of listeners that hear the device manager.
const GROUP: u32 = 2;

/// Tells everybody in this network namespace that something happened to its own interface.
///
/// # Panics
///
/// When that is not allowed.
pub fn announce_loopback(action: &str) {
    let properties = format!(
        "ACTION={action}\0DEVPATH=/devices/virtual/net/lo\0SUBSYSTEM=net\0INTERFACE=lo\0\
         IFINDEX=1\0SEQNUM=1\0USEC_INITIALIZED=1\0"
    );
    // The format of libudev: a magic number, the length of this header, and where the properties
    // are; then hashes for those who wish to hear of some subsystems only.
    let length = u32::try_from(properties.len()).expect("few properties");
    let mut message = b"libudev\0".to_vec();
    message.extend(0xfeed_cafe_u32.to_be_bytes());
    for number in [40, 40, length, 0, 0, 0, 0] {
        message.extend(number.to_ne_bytes());
    }
    message.extend(properties.as_bytes());
    let kind = Some(netlink::KOBJECT_UEVENT);
    let socket = socket(AddressFamily::NETLINK, SocketType::RAW, kind).expect("a socket");
    let listeners = SocketAddrNetlink::new(0, GROUP);
    let sent = sendto(&socket, &message, SendFlags::empty(), &listeners);
    assert_eq!(sent, Ok(message.len()));
}
