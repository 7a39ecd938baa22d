//! A NAT in front of a node.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::name::NodeName;

/// How many ports each generation of mappings has to itself: that a mapping is new shows in its port.
const PORTS_PER_GENERATION: u16 = 1000;

/// What stands between a node and the fabric. The node's own address is the NAT's too; its TCP and
/// UDP come from ports of the NAT's (RFC 4787 calls the mapping address and port-dependent), and
/// whoever is not answered by what is sent to the node does not reach it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nat {
    /// Who is behind it.
    pub node: NodeName,
    /// That node's address, and what the NAT makes others see.
    pub address: Ipv4Addr,
    /// The scenario's lines that ask for it: first that of the node, then one for each time that it
    /// forgets its mappings.
    pub lines: Vec<u32>,
}

impl Nat {
    /// Ports of all mappings.
    pub const ALL_PORTS: RangeInclusive<u16> = 40_000..=49_999;

    /// How many times at most it can forget, so that each mapping has a port of its own.
    pub const FORGETS: usize = 9;

    /// What the counter of the mappings since the `generation`th line is called.
    pub fn counter(&self, generation: usize) -> Option<String> {
        Some(format!("nat{}", self.lines.get(generation)?))
    }

    /// The ports of the mappings since the `generation`th line.
    pub fn ports(generation: usize) -> RangeInclusive<u16> {
        let generation = u16::try_from(generation.min(Self::FORGETS)).unwrap_or_default();
        let first = Self::ALL_PORTS.start() + generation * PORTS_PER_GENERATION;
        first..=first + (PORTS_PER_GENERATION - 1)
    }

    /// How many times it has forgotten.
    pub fn generation(&self) -> usize {
        self.lines.len().saturating_sub(1)
    }

    /// Whether it maps to this port, at some time.
    pub fn has(&self, address: IpAddr, port: u16) -> bool {
        address == IpAddr::from(self.address) && Self::ALL_PORTS.contains(&port)
    }

    /// What the mappings since the `generation`th line are, in words.
    pub fn describe(&self, generation: usize) -> String {
        match generation {
            0 => format!("connections of {} get ports of the NAT's", self.node),
            _ => format!(
                "connections of {} get new ones, the old are forgotten",
                self.node
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_generations_share_a_port_and_all_are_the_nats() {
        let nat = Nat {
            node: "ada".parse().unwrap(),
            address: Ipv4Addr::new(10, 240, 0, 4),
            lines: vec![3, 20],
        };
        for generation in 0..=Nat::FORGETS {
            let ports = Nat::ports(generation);
            assert_eq!(ports.clone().count(), usize::from(PORTS_PER_GENERATION));
            for port in [ports.start(), ports.end()] {
                assert!(nat.has(nat.address.into(), *port));
                let others = (0..=Nat::FORGETS).filter(|other| *other != generation);
                assert!(
                    !others
                        .into_iter()
                        .any(|other| Nat::ports(other).contains(port))
                );
            }
        }
        assert!(!nat.has(nat.address.into(), 51820));
        assert!(!nat.has(Ipv4Addr::new(10, 240, 0, 5).into(), 40_000));
        assert_eq!(nat.counter(nat.generation()).as_deref(), Some("nat20"));
        assert_eq!(nat.counter(2), None);
    }
}
