//! WireGuard messages by their shape (WireGuard paper, section 5.4).

use super::Message;

/// The shortest packet inside, an IPv4 header (RFC 791), with WireGuard's 32 bytes around it. Packets
/// are padded to 16 bytes, but not beyond the device's MTU, and by boringtun not at all.
const MIN_PACKET: usize = 20 + 32;

/// The message whose type, reserved zeroes and length a UDP payload has. Of a payload of `length`
/// bytes the first may be all that is there.
pub(super) fn message(bytes: &[u8], length: usize) -> Option<Message> {
    let &[kind, 0, 0, 0, ..] = bytes else {
        return None;
    };
    match (kind, length) {
        (1, 148) => Some(Message::Initiation),
        (2, 92) => Some(Message::Response),
        (3, 64) => Some(Message::Cookie),
        (4, 32) => Some(Message::Keepalive),
        (4, MIN_PACKET..) => Some(Message::Data {
            length: u32::try_from(length).unwrap_or(u32::MAX),
        }),
        _ => None,
    }
}
