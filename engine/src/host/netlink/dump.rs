//! A dump of all that the kernel has of one kind, unparsed.
//!
//! The crate that reads route netlink knows no nexthop objects, and drops what it cannot read of an
//! answer without a word: a rule or a route that is not known would be one that diverts nothing.

use std::io;

use rtnetlink::packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NLMSG_OVERRUN, NetlinkBuffer,
};
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket, protocols};

/// The length of a message's header, in bytes (`struct nlmsghdr`).
const HEADER: usize = 16;

/// The bodies of the messages that answer a request of that kind, whose body is `body`.
///
/// # Errors
/// The kernel refuses it, or its answer breaks off.
pub(crate) async fn list(kind: u16, body: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let mut socket = TokioSocket::new(protocols::NETLINK_ROUTE)?;
    socket.socket_mut().bind_auto()?;
    let request = request(kind, body);
    socket.send_to(&request, &SocketAddr::new(0, 0)).await?;
    let mut bodies = Vec::new();
    loop {
        let (bytes, _) = socket.recv_from_full().await?;
        if take(&bytes, &mut bodies)? {
            return Ok(bodies);
        }
    }
}

fn request(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER + body.len()];
    let length = bytes.len();
    let mut message = NetlinkBuffer::new(&mut bytes);
    message.set_length(u32::try_from(length).unwrap_or(u32::MAX));
    message.set_message_type(kind);
    message.set_flags(NLM_F_REQUEST | NLM_F_DUMP);
    bytes[HEADER..].copy_from_slice(body);
    bytes
}

/// Takes in the bodies of messages that came at once. Returns whether they are the last.
fn take(mut bytes: &[u8], bodies: &mut Vec<Vec<u8>>) -> io::Result<bool> {
    while !bytes.is_empty() {
        let message = NetlinkBuffer::new_checked(bytes).map_err(|error| broken(&error))?;
        let body = message.payload();
        match message.message_type() {
            NLMSG_DONE | NLMSG_ERROR => {
                let code = body
                    .first_chunk()
                    .map_or(0, |code| i32::from_ne_bytes(*code));
                return match code {
                    0 => Ok(true),
                    code => Err(io::Error::from_raw_os_error(code.saturating_neg())),
                };
            }
            NLMSG_OVERRUN => return Err(broken(&"more than fits")),
            _ => bodies.push(body.to_vec()),
        }
        let length = usize::try_from(message.length()).unwrap_or(bytes.len());
        let next = length.max(HEADER).next_multiple_of(4).min(bytes.len());
        bytes = &bytes[next..];
    }
    Ok(false)
}

fn broken(why: &dyn ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = request(kind, body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn taken(bytes: &[u8]) -> (Result<bool, io::ErrorKind>, Vec<Vec<u8>>) {
        let mut bodies = Vec::new();
        let last = take(bytes, &mut bodies).map_err(|error| error.kind());
        (last, bodies)
    }

    #[test]
    fn an_answer_ends_with_nlmsg_done_or_an_error() {
        let two = [message(104, b"one"), message(104, b"other")].concat();
        let bodies = vec![b"one".to_vec(), b"other".to_vec()];
        assert_eq!(taken(&two), (Ok(false), bodies.clone()));
        let done = [two.clone(), message(NLMSG_DONE, &0_i32.to_ne_bytes())].concat();
        assert_eq!(taken(&done), (Ok(true), bodies.clone()));
        let refused = (-nix::libc::ENOENT).to_ne_bytes();
        for kind in [NLMSG_DONE, NLMSG_ERROR] {
            let failed = [two.clone(), message(kind, &refused)].concat();
            assert_eq!(
                taken(&failed),
                (Err(io::ErrorKind::NotFound), bodies.clone())
            );
        }
    }

    #[test]
    fn a_truncated_answer_is_an_error() {
        let whole = message(104, b"body");
        for length in 1..whole.len() {
            let (last, bodies) = taken(&whole[..length]);
            assert_eq!(last, Err(io::ErrorKind::InvalidData), "{length}");
            assert!(bodies.is_empty());
        }
        let mut too_short = whole;
        too_short[0] = 3;
        assert_eq!(taken(&too_short).0, Err(io::ErrorKind::InvalidData));
    }
}
