//! Settings of the tunnel devices by the keys of `[cluster]`: names, ports and MTUs.

use serde_json::json;
use toml::Spanned;

use crate::name::IfName;
use crate::plan::{Addressing, BRIDGE, Cluster, Family, LISTEN_PORT, LISTEN_PORT_V6, Plan};
use crate::problem::{Problem, Span};
use crate::scenario::{self, Scenario};

/// Gives the device's keys to the families of the cluster: IPv4's device has fields of its own, and IPv6's has
/// others. A name and a port can be only one device's, which is IPv4's where there are two.
pub(super) fn apply(written: &scenario::Cluster, cluster: &mut Cluster) {
    let mtu = written.mtu.as_ref().map(|mtu| *mtu.get_ref());
    let (v4, v6) = (
        cluster.has_family(Family::Ipv4),
        cluster.has_family(Family::Ipv6),
    );
    // What is said by the field's own name goes before what follows from a key.
    let mut of_v6 = |field: &str, value| {
        let fields = &mut cluster.settings.fields;
        fields.entry(field.to_owned()).or_insert(value);
    };
    if let Some(mtu) = mtu.filter(|_| v6) {
        of_v6("wireguardMTUV6", json!(mtu));
    }
    if v4 || !v6 {
        let name = written.interface.as_ref();
        cluster.interface =
            name.map_or_else(IfName::of_calico_tunnel, |name| name.get_ref().clone());
        cluster.listen_port = written.listen_port.unwrap_or(LISTEN_PORT);
        cluster.mtu = mtu;
        return;
    }
    if let Some(name) = &written.interface {
        of_v6("wireguardInterfaceNameV6", json!(name.get_ref()));
    }
    if let Some(port) = written.listen_port {
        of_v6("wireguardListeningPortV6", json!(port));
    }
    // The other device, which there is not, has another port all the same: two equal ones are refused.
    if written.listen_port == Some(LISTEN_PORT) {
        cluster.listen_port = LISTEN_PORT_V6;
    }
}

/// Reports a device's name that another interface of the nodes has.
pub(super) fn names(scenario: &Scenario, plan: &Plan) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut before = None;
    for (number, state) in plan.states().enumerate() {
        let cluster = &state.cluster;
        let found = taken(cluster);
        // Once, where it begins.
        if found != before
            && let Some((name, whose)) = &found
        {
            problems.push(Problem::new(
                format!("`{name}` cannot be the tunnel device's name"),
                place(scenario, number),
                whose.clone(),
                "write another name, such as `wg0`",
            ));
        }
        before = found;
    }
    problems
}

/// A name of a tunnel device that is another interface's, and whose.
fn taken(cluster: &Cluster) -> Option<(IfName, String)> {
    let named = cluster
        .families
        .iter()
        .map(|family| (*family, cluster.tunnel(*family)));
    let named: Vec<_> = named.collect();
    if let [(_, one), (_, other)] = named.as_slice()
        && one == other
    {
        return Some((
            one.clone(),
            "the device of the other family has that name".to_owned(),
        ));
    }
    let bridged = cluster.addressing == Addressing::Bridge;
    let mut named = named.into_iter().map(|(_, name)| name);
    let bridge = named.find(|name| bridged && name.as_str() == BRIDGE)?;
    Some((bridge, "the bridge of each node has that name".to_owned()))
}

/// Where the file gives a name that counts from after so many steps on.
fn place(scenario: &Scenario, steps: usize) -> Span {
    let step = steps
        .checked_sub(1)
        .and_then(|index| scenario.steps.get(index));
    if let Some(step) = step {
        return step.place("set");
    }
    let cluster = &scenario.cluster;
    let key = cluster.interface.as_ref().map(Spanned::span);
    key.or_else(|| cluster.config.clone()).unwrap_or_default()
}
