//! Notifications from the kernel: every change of a link, address, route, nexthop object or rule.
//!
//! The kernel notifies before the call that made the change returns, so what this engine has written can be
//! read here at once.

use std::io;

use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::{NetlinkBuffer, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, TokioSocket, protocols::NETLINK_ROUTE};

use super::{NetlinkError, nexthop};

/// The socket's receive buffer in bytes, for notifications while nobody reads; the kernel may grant less.
const RECEIVE_BUFFER: usize = 4 << 20;

/// What is listened to.
const GROUPS: [MulticastGroup; 7] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Rule,
];

/// What is listened to where there is such a thing: before Linux 5.3 there is none.
const OPTIONAL_GROUP: MulticastGroup = MulticastGroup::Nexthop;

/// A socket that receives the kernel's notifications.
pub(crate) struct Monitor {
    socket: TokioSocket,
    /// What was received while waiting.
    received: Vec<News>,
}

/// What was received.
#[derive(Debug)]
pub(crate) enum News {
    Message(RouteNetlinkMessage),
    /// A nexthop object has changed. The kernel does not notify of the routes that use it.
    Nexthop,
    /// More happened than there was room for: look at everything.
    Missed,
}

impl News {
    /// Whether the link of that index may have gone, or have another name.
    pub(crate) fn may_be_loss(&self, index: u32) -> bool {
        match self {
            Self::Missed => true,
            Self::Message(
                RouteNetlinkMessage::DelLink(link) | RouteNetlinkMessage::NewLink(link),
            ) => link.header.index == index,
            Self::Message(_) | Self::Nexthop => false,
        }
    }
}

impl Monitor {
    /// Listens from now on.
    pub(crate) fn open() -> Result<Self, NetlinkError> {
        let open = || -> io::Result<TokioSocket> {
            let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
            let inner = socket.socket_mut();
            inner.set_rx_buf_sz(RECEIVE_BUFFER)?;
            inner.bind_auto()?;
            for group in GROUPS {
                inner.add_membership(group as u32)?;
            }
            match inner.add_membership(OPTIONAL_GROUP as u32) {
                Err(error) if error.kind() != io::ErrorKind::InvalidInput => Err(error),
                Err(_) | Ok(()) => Ok(socket),
            }
        };
        let socket = open().map_err(|error| NetlinkError::new("listen to the kernel", error))?;
        Ok(Self {
            socket,
            received: Vec::new(),
        })
    }

    /// Waits until there is something to read. Cancel-safe.
    pub(crate) async fn ready(&mut self) {
        if self.received.is_empty() {
            match self.socket.recv_from_full().await {
                Ok((bytes, _)) => read(&bytes, &mut self.received),
                // Out of room.
                Err(_) => self.received.push(News::Missed),
            }
        }
    }

    /// Every notification so far. The socket itself is asked: the runtime learns only later that there is
    /// something to read.
    pub(crate) fn drain(&mut self) -> Vec<News> {
        let mut news = std::mem::take(&mut self.received);
        let mut failures = 0;
        loop {
            match self.socket.socket_ref().recv_from_full() {
                Ok((bytes, _)) => read(&bytes, &mut news),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return news,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Out of room: what is left in the socket is old, and comes next.
                Err(_) if failures == 0 => {
                    failures += 1;
                    news.push(News::Missed);
                }
                Err(_) => return news,
            }
        }
    }
}

fn read(mut bytes: &[u8], news: &mut Vec<News>) {
    while !bytes.is_empty() {
        let length = match NetlinkBuffer::new_checked(bytes) {
            Ok(found) if nexthop::NOTIFICATIONS.contains(&found.message_type()) => {
                news.push(News::Nexthop);
                found.length()
            }
            _ => {
                let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes) else {
                    // A message that cannot be read may have said anything.
                    news.push(News::Missed);
                    return;
                };
                match message.payload {
                    NetlinkPayload::InnerMessage(message) => news.push(News::Message(message)),
                    NetlinkPayload::Overrun(_) => news.push(News::Missed),
                    _ => {}
                }
                message.header.length
            }
        };
        let length = usize::try_from(length).unwrap_or(bytes.len());
        let next = length.max(4).next_multiple_of(4).min(bytes.len());
        bytes = &bytes[next..];
    }
}
