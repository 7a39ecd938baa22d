//! Blocks of Calico IPAM: their nodes, and the nodes that have borrowed from them (libcalico-go:
//! `backend/model/block.go`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde_json::Value;

use super::fields::Fields;
use super::{Block, Lost, Wrong, cidr};

/// A block as far as it can be read. Its value in etcd is the `spec` of an IPAMBlock.
///
/// # Errors
/// It has no CIDR.
pub(super) fn read(fields: &mut Fields<'_>) -> Result<Block, Wrong> {
    let cidr = cidr(fields)?;
    let affinity = affinity(fields);
    let is_deleted = fields.at("spec.deleted") == Some(&Value::Bool(true));
    let attributes = list(fields, "spec.attributes");
    let mut borrowed = Vec::new();
    for (ordinal, allocation) in list(fields, "spec.allocations").iter().enumerate() {
        let Some(attribute) = allocation.as_u64().and_then(|at| usize::try_from(at).ok()) else {
            if !allocation.is_null() {
                let what = format!("has an entry that is no number of an attribute: {allocation}");
                fields.lose(Lost::Network, "spec.allocations", what);
            }
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
    let written = fields.optional("spec.affinity").unwrap_or_default();
    Ok(Block {
        created: fields.created(),
        cidr,
        is_virtual: written.is_some_and(|text| text.starts_with(VIRTUAL)),
        affinity: affinity.filter(|_| !is_deleted),
        borrowed,
    })
}

/// What the affinity of a block for load balancers begins with (libcalico-go: `AffinityTypeVirtual`).
const VIRTUAL: &str = "virtual:";

/// The node that a block is for. What cannot be read is nobody's, and protected all the same; a block
/// without one, or for a load balancer (`virtual:`), is for no node.
fn affinity(fields: &mut Fields<'_>) -> Option<String> {
    let field = "spec.affinity";
    let what = match fields.optional(field) {
        Ok(None) => return None,
        Ok(Some(text)) if text.is_empty() || text.starts_with(VIRTUAL) => return None,
        Ok(Some(text)) => match text.strip_prefix("host:") {
            Some(node) if !node.is_empty() => return Some(node.to_owned()),
            _ => format!("is `{text}`, which is no `host:NODE`"),
        },
        Err(wrong) => wrong.what,
    };
    fields.lose(Lost::Owner, field, what);
    Some(String::new())
}

fn list<'a>(fields: &mut Fields<'a>, field: &str) -> &'a [Value] {
    match fields.at(field) {
        None => &[],
        Some(Value::Array(entries)) => entries,
        Some(_) => {
            fields.lose(Lost::Network, field, "is not a list");
            &[]
        }
    }
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

    use super::super::{Resource, read as read_whole};
    use super::*;

    fn read(spec: &Value) -> Result<Block, Wrong> {
        let resource = json!({"kind": "IPAMBlock", "metadata": {"name": "x"}, "spec": spec});
        match read_whole(&resource)?.1 {
            Resource::Block(block) => Ok(block),
            other => panic!("{other:?}"),
        }
    }

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
    fn a_wrong_block_is_reported_with_its_field() {
        assert_eq!(
            read(&json!({})).unwrap_err().to_string(),
            "`spec.cidr` is missing"
        );
        let wrong = read(&json!({"cidr": "10.65.1.0/26", "allocations": {}})).unwrap_err();
        assert_eq!(wrong.to_string(), "`spec.allocations` is not a list");
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
