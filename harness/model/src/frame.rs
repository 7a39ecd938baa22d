//! Decoding of frames: what a verdict has to know of a frame, and no more.
//!
//! Nothing here trusts a length field: a frame that is shorter than its length field is [`Frame::Malformed`],
//! and never a panic.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use crate::plan::{Family, Protocol};

/// A frame in one line.
mod text;

/// WireGuard messages by their shape.
mod wireguard;

/// ICMP messages, and the packets that errors quote.
mod icmp;

/// Ethernet, ARP, IP, and what IP carries.
mod decode;

/// Decodes the bytes of a frame of link type `link`. Whatever follows the IP packet, as Ethernet's padding
/// does, is ignored.
pub fn decode(bytes: &[u8], link: LinkType) -> Frame {
    decode::frame(bytes, link)
}

/// How an interface's frames start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkType {
    /// With an Ethernet header.
    Ethernet,
    /// With the IP header.
    RawIp,
}

/// A frame, decoded as far as a verdict needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Frame {
    /// Address resolution (RFC 826), IPv4 over Ethernet.
    Arp {
        /// 1 is a request, 2 a reply.
        operation: u16,
        /// Who asks or answers.
        sender: Ipv4Addr,
        /// Who is asked for.
        target: Ipv4Addr,
    },
    /// IPv4 or IPv6.
    Ip(Packet),
    /// Another EtherType.
    Other {
        /// As on the wire.
        ethertype: u16,
    },
    /// Shorter than its headers' length fields, or no IP version.
    Malformed {
        /// What is wrong with it.
        why: String,
    },
}

/// An IP packet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Packet {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Bytes of the whole IP packet, header included.
    pub length: u32,
    /// Whether routers must not fragment it (IPv4 DF; true for IPv6).
    pub dont_fragment: bool,
    /// Which piece of a packet it is, if it is a fragment: more follow, or an offset is set.
    pub fragment: Option<Fragment>,
    /// What it carries.
    pub payload: Payload,
}

/// A piece of a packet. Pieces belong together that have the same addresses, identification and, in
/// IPv4, protocol (RFC 791, section 3.2; RFC 8200, section 4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fragment {
    /// The identification: 16 bits in IPv4, 32 in IPv6.
    pub id: u32,
    /// Where in the packet's payload it starts, in bytes.
    pub offset: u32,
    /// Whether more follow.
    pub more: bool,
}

/// What an IP packet carries.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Payload {
    /// ICMP (RFC 792), or ICMPv6 (RFC 4443) in an IPv6 packet.
    Icmp {
        /// 8 is an echo request, 0 its reply, 3 unreachable; other numbers in ICMPv6.
        kind: u8,
        /// Meaning depends on the kind.
        code: u8,
        /// Of an error about a packet that was too large: the MTU, in bytes (RFC 1191, RFC 4443).
        #[serde(default)]
        mtu: Option<u32>,
        /// For an error: the packet that it is about, as far as it quotes it.
        quoted: Option<Quote>,
    },
    /// TCP (RFC 9293).
    Tcp {
        /// Source port.
        source_port: u16,
        /// Destination port.
        destination_port: u16,
        /// The flags' byte: 0x02 SYN, 0x10 ACK, 0x04 RST, 0x01 FIN, 0x08 PSH.
        flags: u8,
    },
    /// UDP that is not shaped like a WireGuard message.
    Udp {
        /// Source port.
        source_port: u16,
        /// Destination port.
        destination_port: u16,
    },
    /// UDP whose payload has the type, the reserved zeroes and the length of a WireGuard message.
    WireGuard {
        /// Source port.
        source_port: u16,
        /// Destination port.
        destination_port: u16,
        /// The type of message.
        message: Message,
    },
    /// Another IP packet, inside IP (RFC 2003), GRE (RFC 2784) or VXLAN (RFC 7348).
    Tunnelled {
        /// IANA protocol number of the outer packet; 17 for VXLAN.
        protocol: u8,
        /// What is inside.
        inner: Box<Packet>,
    },
    /// A fragment that is not the first, or another protocol.
    Other {
        /// IANA protocol number.
        protocol: u8,
    },
}

/// The packet that an ICMP error quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Quote {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// IANA protocol number.
    pub protocol: u8,
    /// Source and destination port, of UDP and TCP.
    pub ports: Option<(u16, u16)>,
}

/// A WireGuard message (WireGuard paper, section 5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Message {
    /// Type 1, 148 bytes.
    Initiation,
    /// Type 2, 92 bytes.
    Response,
    /// Type 3, 64 bytes.
    Cookie,
    /// Type 4 of 32 bytes: an empty transport message.
    Keepalive,
    /// Type 4, longer: a packet.
    Data {
        /// Bytes of the UDP payload: 16 of header, the padded packet, 16 of authentication.
        length: u32,
    },
}

impl Packet {
    /// This packet, and every one inside it.
    pub fn layers(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |packet| match &packet.payload {
            Payload::Tunnelled { inner, .. } => Some(&**inner),
            Payload::Icmp { .. }
            | Payload::Tcp { .. }
            | Payload::Udp { .. }
            | Payload::WireGuard { .. }
            | Payload::Other { .. } => None,
        })
    }

    /// IANA number of the protocol that it carries.
    pub fn protocol(&self) -> u8 {
        match &self.payload {
            Payload::Icmp { .. } => match Family::of(self.source) {
                Family::Ipv4 => Protocol::Icmp.number(),
                Family::Ipv6 => Protocol::Icmp6.number(),
            },
            Payload::Tcp { .. } => Protocol::Tcp.number(),
            Payload::Udp { .. } | Payload::WireGuard { .. } => Protocol::Udp.number(),
            Payload::Tunnelled { protocol, .. } | Payload::Other { protocol } => *protocol,
        }
    }

    /// Whether its payload, or the payload that it is a fragment of, is of `protocol`.
    pub fn carries(&self, protocol: Protocol) -> bool {
        if Family::of(self.source) != protocol.family() {
            return false;
        }
        match &self.payload {
            Payload::Icmp { .. } => matches!(protocol, Protocol::Icmp | Protocol::Icmp6),
            Payload::Tcp { .. } => matches!(protocol, Protocol::Tcp | Protocol::Tcp6),
            Payload::Udp { .. } | Payload::WireGuard { .. } => {
                matches!(protocol, Protocol::Udp | Protocol::Udp6)
            }
            Payload::Tunnelled {
                protocol: number, ..
            }
            | Payload::Other { protocol: number } => *number == protocol.number(),
        }
    }
}

impl Frame {
    /// The IP packet, where it is one.
    pub fn packet(&self) -> Option<&Packet> {
        match self {
            Self::Ip(packet) => Some(packet),
            Self::Arp { .. } | Self::Other { .. } | Self::Malformed { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
