//! Blocks of Calico IPAM: who has them, and who has borrowed from them
//! (libcalico-go: `backend/model/block.go`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde_json::Value;

use super::{Block, Wrong, list, optional, required};

/// Reads a block from its value in etcd, which is also the `spec` of an IPAMBlock.
///
/// # Errors
/// It has no CIDR, or is not shaped like a block.
pub(crate) fn read(block: &Value) -> Result<Block, Wrong> {
    let text = required(block, "cidr")?;
    let cidr = text
        .parse::<IpNet>()
        .map_err(|_| Wrong::at("cidr", format!("holds `{text}`, which is no CIDR")))?
        .trunc();
    let affinity = optional(block, "affinity")?
        .and_then(|affinity| Some(affinity.strip_prefix("host:")?.to_owned()));
    let deleted = block.get("deleted").and_then(Value::as_bool);
    let attributes = list(block, "attributes")?;
    let mut borrowed = Vec::new();
    for (ordinal, allocation) in list(block, "allocations")?.iter().enumerate() {
        let Some(attribute) = allocation.as_u64().and_then(|at| usize::try_from(at).ok()) else {
            continue;
        };
        // An allocation without a node is nobody's in particular.
        let node = attributes
            .get(attribute)
            .and_then(|attribute| attribute.get("secondary")?.get("node")?.as_str());
        if let Some(node) = node
            && affinity.as_deref() != Some(node)
            && let Some(address) = nth(cidr, ordinal)
        {
            borrowed.push((address, node.to_owned()));
        }
    }
    Ok(Block {
        created: String::new(),
        cidr,
        affinity: affinity.filter(|_| deleted != Some(true)),
        borrowed,
    })
}

/// The address at that place of a network, if it is inside.
fn nth(cidr: IpNet, ordinal: usize) -> Option<IpAddr> {
    let ordinal = u128::try_from(ordinal).ok()?;
    let address = match cidr.network() {
        IpAddr::V4(first) => {
            let bits = u32::from(first).checked_add(u32::try_from(ordinal).ok()?)?;
            IpAddr::V4(Ipv4Addr::from(bits))
        }
        IpAddr::V6(first) => IpAddr::V6(Ipv6Addr::from(u128::from(first).checked_add(ordinal)?)),
    };
    cidr.contains(&address).then_some(address)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_allocation_of_another_node_is_borrowed() {
        let block = read(&json!({
            "cidr": "10.65.1.0/26", "affinity": "host:b",
            "allocations": [null, 0, null, 1, 2, 9],
            "attributes": [
                {"handle_id": "x", "secondary": {"node": "b"}},
                {"handle_id": "y", "secondary": {"node": "a"}},
                {"handle_id": "z"},
            ],
        }))
        .unwrap();
        assert_eq!(block.affinity.as_deref(), Some("b"));
        assert_eq!(
            block.borrowed,
            [("10.65.1.3".parse().unwrap(), "a".to_owned())]
        );
    }

    #[test]
    fn a_block_that_is_being_given_back_has_no_node() {
        let block = read(&json!({"cidr": "10.65.1.0/26", "affinity": "host:b", "deleted": true}));
        assert_eq!(block.unwrap().affinity, None);
    }

    #[test]
    fn what_is_no_block_is_named() {
        assert_eq!(
            read(&json!({})).unwrap_err().to_string(),
            "`cidr` is missing"
        );
        let wrong = read(&json!({"cidr": "10.65.1.0/26", "allocations": {}})).unwrap_err();
        assert_eq!(wrong.to_string(), "`allocations` is not a list");
    }

    #[test]
    fn an_ordinal_outside_the_block_is_nobody_s() {
        assert_eq!(nth("10.0.0.0/30".parse().unwrap(), 4), None);
        assert_eq!(
            nth("dead:beef::/122".parse().unwrap(), 63),
            "dead:beef::3f".parse().ok()
        );
    }
}
