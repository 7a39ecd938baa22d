//! A frame in one line, as a report shows it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::{Frame, Message, Packet, Payload, Quote};

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arp {
                operation: 1,
                sender,
                target,
            } => write!(f, "arp who has {target}, tell {sender}"),
            Self::Arp {
                operation: 2,
                sender,
                target,
            } => write!(f, "arp {sender} is here, for {target}"),
            Self::Arp {
                operation,
                sender,
                target,
            } => write!(f, "arp operation {operation}, {sender} > {target}"),
            Self::Ip(packet) => write!(f, "{packet}"),
            Self::Other { ethertype } => write!(f, "ethertype {ethertype:#06x}"),
            Self::Malformed { why } => write!(f, "unreadable: {why}"),
        }
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = |source_port: u16, destination_port: u16| {
            let from = SocketAddr::new(self.source, source_port);
            let to = SocketAddr::new(self.destination, destination_port);
            format!("{from} > {to}")
        };
        let between = format!("{} > {}", self.source, self.destination);
        match &self.payload {
            Payload::Icmp {
                kind,
                code,
                mtu,
                quoted,
            } => {
                let what = icmp(*kind, *code, self.source);
                write!(f, "{between} {what}")?;
                if let Some(mtu) = mtu {
                    write!(f, ", mtu {mtu}")?;
                }
                if let Some(quoted) = quoted {
                    write!(f, " about {quoted}")?;
                }
            }
            Payload::Tcp {
                source_port,
                destination_port,
                flags,
            } => write!(
                f,
                "{} tcp {}",
                way(*source_port, *destination_port),
                flag_names(*flags)
            )?,
            Payload::Udp {
                source_port,
                destination_port,
            } => write!(f, "{} udp", way(*source_port, *destination_port))?,
            Payload::WireGuard {
                source_port,
                destination_port,
                message,
            } => write!(f, "{} {message}", way(*source_port, *destination_port))?,
            Payload::Tunnelled { inner, .. } => write!(f, "{between} with [{inner}] inside")?,
            Payload::Other { protocol } => write!(f, "{between} protocol {protocol}")?,
        }
        if self.fragment.is_some() {
            f.write_str(" fragment")?;
        }
        write!(f, ", {} bytes", self.length)
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Initiation => f.write_str("wireguard handshake initiation"),
            Self::Response => f.write_str("wireguard handshake response"),
            Self::Cookie => f.write_str("wireguard cookie reply"),
            Self::Keepalive => f.write_str("wireguard keepalive"),
            Self::Data { length } => write!(f, "wireguard transport message of {length}"),
        }
    }
}

impl fmt::Display for Quote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            1 | 58 => "icmp".to_owned(),
            6 => "tcp".to_owned(),
            17 => "udp".to_owned(),
            other => format!("protocol {other}"),
        };
        match self.ports {
            Some((from, to)) => write!(
                f,
                "{} > {} {protocol}",
                SocketAddr::new(self.source, from),
                SocketAddr::new(self.destination, to)
            ),
            None => write!(f, "{} > {} {protocol}", self.source, self.destination),
        }
    }
}

fn icmp(kind: u8, code: u8, family: IpAddr) -> String {
    let name = match (family, kind, code) {
        (IpAddr::V4(_), 8, _) | (IpAddr::V6(_), 128, _) => "icmp echo request",
        (IpAddr::V4(_), 0, _) | (IpAddr::V6(_), 129, _) => "icmp echo reply",
        (IpAddr::V4(_), 3, 4) | (IpAddr::V6(_), 2, _) => "icmp packet too big",
        (IpAddr::V4(_), 3, 3) | (IpAddr::V6(_), 1, 4) => "icmp port unreachable",
        (IpAddr::V4(_), 3, _) | (IpAddr::V6(_), 1, _) => "icmp unreachable",
        (IpAddr::V4(_), 11, _) | (IpAddr::V6(_), 3, _) => "icmp time exceeded",
        (IpAddr::V4(_) | IpAddr::V6(_), _, _) => return format!("icmp type {kind} code {code}"),
    };
    name.to_owned()
}

/// As tcpdump abbreviates them, in words.
fn flag_names(flags: u8) -> String {
    let names: Vec<_> = [
        (0x02, "syn"),
        (0x01, "fin"),
        (0x04, "rst"),
        (0x08, "psh"),
        (0x10, "ack"),
    ]
    .into_iter()
    .filter(|(bit, _)| flags & bit != 0)
    .map(|(_, name)| name)
    .collect();
    names.join("+")
}
