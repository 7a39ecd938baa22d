//! WorkloadEndpoints: pods' interfaces, with their addresses and nodes.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use crate::intent::address::unusable;
use crate::intent::family::network;

use super::fields::Fields;
use super::{Lost, Workload};

/// A WorkloadEndpoint as far as it can be read. One whose node cannot be read is nobody's, and its
/// addresses are protected all the same.
pub(super) fn read(fields: &mut Fields<'_>) -> Workload {
    let is_mapping = fields.at("spec").is_none_or(Value::is_object);
    if !is_mapping {
        fields.lose(Lost::Network, "spec", "is not a mapping");
    }
    let field = fields.spelt("spec.ipNetworks");
    let entries = match fields.at(&field) {
        // A pod has an address, or it has no WorkloadEndpoint (Calico: the CNI plugin writes both at once).
        None if is_mapping => {
            fields.lose(Lost::Network, &field, "is missing");
            Vec::new()
        }
        None => Vec::new(),
        Some(Value::Array(entries)) if entries.is_empty() => {
            fields.lose(Lost::Network, &field, "is empty");
            Vec::new()
        }
        Some(Value::Array(entries)) => entries.iter().collect(),
        Some(entry @ Value::String(_)) => {
            fields.fail(&field, "is not a list, and counts as one with this entry");
            vec![entry]
        }
        Some(_) => {
            fields.lose(Lost::Network, &field, "is not a list");
            Vec::new()
        }
    };
    let mut networks = Vec::new();
    for entry in entries {
        let (found, wrong) = one_address(entry);
        networks.extend(found.map(IpNet::from));
        if let Some(what) = wrong {
            fields.lose(Lost::Network, &field, what);
        }
    }
    let node = match fields.required("spec.node") {
        Ok(node) => node,
        Err(wrong) => {
            fields.lose(Lost::Owner, &wrong.field, wrong.what);
            String::new()
        }
    };
    Workload {
        created: fields.created(),
        node,
        networks,
    }
}

/// The address that an entry names, and what is wrong with the entry. What a wrong one names without
/// doubt is an address all the same: one too many is protected rather than one too few.
fn one_address(entry: &Value) -> (Option<IpAddr>, Option<String>) {
    let Some(text) = entry.as_str() else {
        return (None, Some("has an entry that is no text".into()));
    };
    let host = text.split_once('/').map_or(text, |(host, _)| host);
    let host = host.parse::<IpAddr>().ok();
    if let Some(what) = host.and_then(unusable)
        && network(text).is_none_or(|network| network.prefix_len() > 0)
    {
        return (None, Some(format!("holds `{text}`: that is {what}")));
    }
    let Some(network) = network(text) else {
        return (host, Some(format!("holds `{text}`, which is no network")));
    };
    // As Calico's own API: what is wider would take over the traffic of others.
    if network.prefix_len() == network.max_prefix_len() {
        return (Some(network.addr()), None);
    }
    let what = format!("holds `{text}`: a workload's network is one address, a /32 or a /128");
    let is_one = network.addr() != network.network();
    (host.filter(|_| is_one), Some(what))
}
