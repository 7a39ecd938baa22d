//! Facts about whole scenarios: what they mean, and how wrong ones are refused.

/// The effect of each key on the plan, and the promises of the cluster's intent.
mod meaning;

/// Permanent neighbour entries of the nodes of a large cluster.
mod neighbours;

/// The state of a cluster after each of its steps.
mod moments;

/// Networks of every kind, and their addresses.
mod network;

/// Promises over arbitrary text and arbitrary clusters.
mod arbitrary;

/// The promises of an `[[mtu]]` about each path.
mod mtu;

/// Addresses of phantoms, which nobody else has.
mod phantoms;

/// Refused scenarios, and their messages.
mod refusal;

/// The advice of messages: what one advises is accepted.
mod advice;

/// Ports that tunnels can have.
mod ports;

/// Settings of the tunnel devices.
mod tunnels;

use super::plan;
use crate::name::EngineName;
use crate::plan::{PairPromise, Plan, Protocol};
use crate::problem::Problems;

/// A scenario with every key, each with a value that is not its default.
const EVERY_KEY: &str = r#"
title = "every key"
engine = "none"

[fabric]
subnet = "10.9.0.0/16"
mtu = 1400

[cluster]
type = "aks"
wireguard = false
host-encryption = false
interface = "wg0"
listen-port = 28150
mtu = 1380
keepalive = 25

[node.ada]
address = "10.9.0.9"
pods = ["web"]
mtu = 9000
rp-filter = "loose"
wireguard = false

[node.bob]

[pod.db]
address = "10.9.0.10"
node = "bob"

[[step]]
action = "enable"

[[promise]]
from = "web"
to = "db"
protocols = ["udp"]
expect = "encrypted"

[deadline]
ready = "1m"
probe = "500ms"
"#;

const TWO_NODES: &str = r#"
title = "two nodes"
[node.ada]
pods = ["web"]
[node.bob]
pods = ["db"]
"#;

fn resolve(text: &str) -> Result<Plan, Problems> {
    let engines: Vec<EngineName> = ["none", "wiremesh"]
        .iter()
        .filter_map(|name| name.parse().ok())
        .collect();
    plan("scenario.toml", text, &engines)
}

fn planned(text: &str) -> Plan {
    resolve(text).unwrap_or_else(|problems| panic!("{}", problems.render()))
}

fn refused(text: &str) -> Problems {
    match resolve(text) {
        Ok(_) => panic!("accepted: {text}"),
        Err(problems) => problems,
    }
}

/// The promise about a pair and a protocol, if there is one.
fn promise<'a>(
    plan: &'a Plan,
    from: &str,
    to: &str,
    protocol: Protocol,
) -> Option<&'a PairPromise> {
    plan.promises.iter().find(|promise| {
        promise.from.as_str() == from && promise.to.as_str() == to && promise.protocol == protocol
    })
}
