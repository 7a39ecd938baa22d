//! The plan of the small cluster of a made-up run.

use crate::name::{IfName, PodName};
use crate::plan::*;

pub(crate) const PORT: u16 = 51820;

pub(crate) fn parsed<T: std::str::FromStr<Err: std::fmt::Debug>>(name: &str) -> T {
    name.parse().unwrap()
}

/// Names, last octets (pods follow their node) and whether they encrypt.
pub(crate) fn plan(nodes: &[(&str, u8, &[&str], bool)]) -> Plan {
    let mut plan = Plan {
        limits: MtuPlan::default(),
        spoofs: vec![],
        never_plaintext: vec![],
        title: "a run that never was".into(),
        engine: parsed("none"),
        conduct: Default::default(),
        warnings: Vec::new(),
        throws: false,
        calico_values: false,
        broken_by: vec![],
        snapshots: vec![],
        fabric: Fabric {
            subnet: parsed("10.240.0.0/16"),
            gateway: parsed("10.240.0.1"),
            mtu: 1400,
            beyond_mtu: BeyondMtu::Drop,
            ipv6: false,
            kind: FabricKind::Vnet,
            rack: None,
            impairments: vec![],
            nat: None,
        },
        cluster: Cluster {
            cluster_type: Some("aks".into()),
            wireguard: true,
            host_encryption: true,
            route_source: RouteSource::WorkloadIps,
            addressing: Addressing::Veth,
            families: vec![Family::Ipv4],
            interface: parsed("wireguard.cali"),
            listen_port: PORT,
            mtu: None,
            keepalive: 0,
            settings: Settings::default(),
        },
        store: Store::Directory,
        nodes: nodes
            .iter()
            .map(|(name, octet, pods, on)| node(name, *octet, pods, *on))
            .collect(),
        phantoms: Vec::new(),
        clients: vec![],
        later: Default::default(),
        steps: vec![],
        facts: vec![],
        probes: vec![],
        promises: vec![],
        flows: Flows::default(),
        deadlines: Deadlines {
            ready: 20_000,
            probe: 3_000,
            patience: Patience::default(),
        },
    };
    let endpoints = plan.endpoints();
    let (mut probes, mut promises) = (vec![], vec![]);
    for from in &endpoints {
        for to in endpoints.iter().filter(|to| to.name != from.name) {
            for protocol in Protocol::IPV4 {
                let number = u16::try_from(probes.len()).unwrap();
                probes.push(Probe {
                    id: ProbeId(number),
                    from: from.name.clone(),
                    to: to.name.clone(),
                    protocol,
                    payload: 64 + 16 * (number % 16),
                    wanted: None,
                });
                let (class, protection) = expected(from, to);
                promises.push(PairPromise {
                    id: PromiseId(number.into()),
                    probe: ProbeId(number),
                    from: from.name.clone(),
                    to: to.name.clone(),
                    protocol,
                    payload: None,
                    class,
                    protection,
                    origin: Origin::Derived,
                });
            }
        }
    }
    (plan.probes, plan.promises) = (probes, promises);
    plan
}

fn node(name: &str, octet: u8, pods: &[&str], wireguard: bool) -> Node {
    let pods = pods.iter().zip(octet + 1..).map(|(name, octet)| {
        let name: PodName = parsed(name);
        Pod {
            interface: IfName::of_pod(RouteSource::WorkloadIps.interface_prefix(), &name),
            name,
            rp_filter: RpFilter::Off,
            address: [10, 240, 0, octet].into(),
            mtu: 1500,
        }
    });
    Node {
        name: parsed(name),
        address: [10, 240, 0, octet].into(),
        mtu: 1500,
        rp_filter: RpFilter::Strict,
        wireguard,
        settings: Settings::default(),
        blocks: vec![],
        bridge: None,
        external: false,
        tunnel_address: None,
        pods: pods.collect(),
    }
}

fn expected(from: &Endpoint<'_>, to: &Endpoint<'_>) -> (Class, Protection) {
    if from.node.name == to.node.name {
        (Class::SameHost, Protection::Plaintext)
    } else if !(from.node.wireguard && to.node.wireguard) {
        (Class::Mixed, Protection::Plaintext)
    } else if from.pod.is_none() && to.pod.is_none() {
        (Class::HostToHost, Protection::Encrypted)
    } else {
        (Class::CrossHost, Protection::Encrypted)
    }
}
