//! Bytes to frames.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

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
    /// Shorter than its headers say, or no IP version.
    Malformed {
        /// What is wrong with it.
        why: String,
    },
}

/// An IP packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packet {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Bytes of the whole IP packet, header included.
    pub length: u32,
    /// Whether routers must not fragment it (IPv4 DF; true for IPv6).
    pub dont_fragment: bool,
    /// Whether it is a fragment: more fragments follow, or an offset is set.
    pub fragment: bool,
    /// What it carries.
    pub payload: Payload,
}

/// What an IP packet carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Payload {
    /// ICMP (RFC 792).
    Icmp {
        /// 8 is an echo request, 0 its reply, 3 unreachable.
        kind: u8,
        /// Meaning depends on the kind.
        code: u8,
        /// For an error: the packet that it quotes, as `source -> destination`.
        quoted: Option<(IpAddr, IpAddr)>,
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
        /// Which message.
        message: Message,
    },
    /// A fragment that is not the first, or another protocol.
    Other {
        /// IANA protocol number.
        protocol: u8,
    },
}

/// A WireGuard message (WireGuard paper, section 5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
