//! WireGuard messages by their shape (WireGuard paper, section 5.4).

use super::Message;

/// The message whose type, reserved zeroes and length a UDP payload has.
pub(super) fn message(bytes: &[u8]) -> Option<Message> {
    let &[kind, 0, 0, 0, ..] = bytes else {
        return None;
    };
    match (kind, bytes.len()) {
        (1, 148) => Some(Message::Initiation),
        (2, 92) => Some(Message::Response),
        (3, 64) => Some(Message::Cookie),
        (4, 32) => Some(Message::Keepalive),
        // The packet inside is padded to 16 bytes, or to the device's MTU where that is less.
        (4, length) if length > 32 && length.is_multiple_of(16) => Some(Message::Data {
            length: u32::try_from(length).unwrap_or(u32::MAX),
        }),
        _ => None,
    }
}
