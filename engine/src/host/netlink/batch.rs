//! Many routes in one message: one system call in which the kernel takes them all.

use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use wiremesh_plan::dataplane::model::RouteKey;

use super::message::{route_at, route_message};
use super::{NetlinkError, PROTOCOL, RouteAction};

/// How many routes go in one message. The kernel answers each that it refuses before it
/// returns, and the answers must fit the socket's buffer.
const CHUNK: usize = 128;

/// `ESRCH`: there is no such route, which is what is wanted of a removal.
const NO_SUCH_ROUTE: i32 = -nix::libc::ESRCH;

/// Removes routes of this engine's, then sets others.
pub(crate) fn set_routes(
    remove: &[RouteKey],
    set: &[(RouteKey, RouteAction)],
) -> Result<(), NetlinkError> {
    let removals = remove.iter().map(|slot| removal(*slot, Some(PROTOCOL)));
    let additions = set.iter().map(|(slot, way)| {
        let message = RouteNetlinkMessage::NewRoute(route_message(*slot, *way));
        (*slot, message, NLM_F_CREATE | NLM_F_REPLACE)
    });
    send_all(removals.chain(additions).collect())
}

/// Removes the routes at these places, whoever made them.
pub(crate) fn remove_left_routes(routes: &[RouteKey]) -> Result<(), NetlinkError> {
    send_all(routes.iter().map(|slot| removal(*slot, None)).collect())
}

/// A request, the place that it is about, and its flags.
type Request = (RouteKey, RouteNetlinkMessage, u16);

fn removal(slot: RouteKey, protocol: Option<u8>) -> Request {
    (
        slot,
        RouteNetlinkMessage::DelRoute(route_at(slot, protocol)),
        0,
    )
}

fn send_all(requests: Vec<Request>) -> Result<(), NetlinkError> {
    requests.chunks(CHUNK).try_for_each(send)
}

fn send(chunk: &[Request]) -> Result<(), NetlinkError> {
    let fail = |cause: &dyn ToString| NetlinkError::new("set the routes", cause.to_string());
    let mut socket = Socket::new(NETLINK_ROUTE).map_err(|error| fail(&error))?;
    socket.bind_auto().map_err(|error| fail(&error))?;
    let last = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::new();
    for (number, (_, message, flags)) in (1..).zip(chunk) {
        let mut message = NetlinkMessage::from(message.clone());
        message.header.sequence_number = number;
        message.header.flags = NLM_F_REQUEST | flags;
        // Refusals are always told; an answer to the last says that there will be no more.
        if number == last {
            message.header.flags |= NLM_F_ACK;
        }
        message.finalize();
        let start = bytes.len();
        // Netlink messages start at multiples of four bytes.
        bytes.resize(start + message.buffer_len().next_multiple_of(4), 0);
        message.serialize(&mut bytes[start..]);
    }
    socket
        .send_to(&bytes, &SocketAddr::new(0, 0), 0)
        .map_err(|error| fail(&error))?;
    let mut refused = None;
    loop {
        let (answer, _) = socket.recv_from_full().map_err(|error| fail(&error))?;
        let mut rest = answer.as_slice();
        while !rest.is_empty() {
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                .map_err(|error| fail(&error))?;
            let number = message.header.sequence_number;
            if let NetlinkPayload::Error(error) = &message.payload {
                let code = error.code.map_or(0, |code| code.get());
                if code != 0 && code != NO_SUCH_ROUTE {
                    let slot = usize::try_from(number).ok().and_then(|n| chunk.get(n - 1));
                    let network = slot.map(|(slot, ..)| slot.network.to_string());
                    refused.get_or_insert_with(|| {
                        let what = format!("set the route to {}", network.unwrap_or_default());
                        NetlinkError::new(what, error.to_io())
                    });
                }
                if number == last {
                    return refused.map_or(Ok(()), Err);
                }
            }
            let length = usize::try_from(message.header.length).unwrap_or(rest.len());
            let next = length.max(4).next_multiple_of(4).min(rest.len());
            rest = &rest[next..];
        }
    }
}
