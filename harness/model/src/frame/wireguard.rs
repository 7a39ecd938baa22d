//! WireGuard messages by their shape (WireGuard paper, section 5.4).

use super::Message;

/// Messages shorter than this are padded to 16 bytes; a longer one may hold a packet that is as
/// long as the device's MTU, which is the only other length that padding leads to.
const SMALLEST_MTU: usize = 576;

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
        (4, 33..) if length.is_multiple_of(16) || length > SMALLEST_MTU => Some(Message::Data {
            length: u32::try_from(length).unwrap_or(u32::MAX),
        }),
        _ => None,
    }
}
