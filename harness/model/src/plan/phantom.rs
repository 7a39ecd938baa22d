//! Phantoms: nodes that exist only in the store, for clusters larger than the machine.

use std::net::{IpAddr, Ipv4Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::name::NodeName;

use super::Family;

/// A node that the store knows of and the lab does not build: its resources are there, its published
/// key too, and nobody is at its address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phantom {
    /// Its name.
    pub name: NodeName,
    /// Its address. Its pods have those that follow.
    pub address: Ipv4Addr,
    /// How many pods it has.
    pub pods: u16,
}

impl Phantom {
    /// Each pod's name and address.
    pub fn pods(&self) -> impl Iterator<Item = (String, Ipv4Addr)> {
        (1..=self.pods).map(|number| {
            let address = u32::from(self.address).saturating_add(number.into());
            let name = format!("{}-pod-{number}", self.name);
            (name, Ipv4Addr::from(address))
        })
    }

    /// The key that it has published for a family, of which nobody has the private one: its address
    /// there, and its name's bytes behind, in base64.
    pub fn public_key(&self, family: Family) -> String {
        let mut key = [0x5a; 32];
        let bytes = match family.address(self.address) {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let bytes = bytes.iter().chain(self.name.as_str().as_bytes());
        for (place, byte) in key.iter_mut().zip(bytes) {
            *place = *byte;
        }
        // Curve25519 does not look at the highest bit (RFC 7748 section 5), the kernel tells all of them.
        key[31] &= 0x7f;
        STANDARD.encode(key)
    }
}
