//! The nftables table of this engine, as objects of libnftables-json(5), which are also what `nft -j` lists.
//!
//! - `incoming-mark` lets the reverse-path filter look up the way back as if WireGuard
//! itself sent the answer (Felix: `cali-wireguard-incoming-mark`). The same for ARP,
//! which passes no IP table and is checked against the reverse path too
//! (kernel: `arp_process`, `fib_validate_source`).
//! - `store` keeps the store's own connections out of the mesh that they configure.
//! - `strict-out` and `strict-in` are "encrypt or drop". They are the kernel's, and hold
//! while there is no device and no agent.
//!
//! They are JSON, not types: what is written is compared with what is listed, whatever statements others have put
//! into the table or a newer `nft` adds. The nftables crate (0.6) has types for most, and needs schemars and six
//! crates more; that `nft` takes every object is what the agent's tests show.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use serde_json::{Value, json};

use crate::intent::family::Family;

/// Parser of the listing of `nft -j`: into the objects that were written.
mod listing;

/// Parser of the saved rules.
mod kept;

use listing::read_element;

/// The table's name, in the families `inet` and `arp`.
pub const TABLE: &str = "wiremesh";

/// How the names of sets start: what is refused in clear, and what inside of it is not.
const PROTECTED: &str = "protected";
const EXCEPTIONS: &str = "plain";

/// Set of what is behind this node, before the family's number.
const LOCAL: &str = "local";

/// Families of tables.
pub const TABLES: [&str; 2] = ["inet", "arp"];

/// The tables of this engine, wanted or found. Empty ones are no tables.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Firewall {
    /// Tables, sets, chains and rules in order, without handles and counts.
    pub objects: Vec<Value>,
    /// The elements of each set. They do not overlap.
    pub sets: BTreeMap<String, BTreeSet<IpNet>>,
}

/// What the firewall is made from.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The mark of packets that do not enter the tunnel.
    pub mark: u32,
    /// Whether incoming packets are marked: with host encryption.
    pub incoming_mark: bool,
    /// The tunnel devices.
    pub devices: BTreeSet<String>,
    /// Prefixes of the pods' interfaces.
    pub pods: BTreeSet<String>,
    /// UDP ports of the tunnels.
    pub ports: BTreeSet<u16>,
    /// Where the store is.
    pub store: Vec<SocketAddr>,
    /// What must be encrypted or dropped, and what inside of it may pass in clear.
    pub strict: Option<Protected>,
}

/// The networks of "encrypt or drop".
#[derive(Debug, Clone, Default)]
pub struct Protected {
    /// Networks that may only be reached through the tunnel.
    pub networks: BTreeSet<IpNet>,
    /// Networks that may be reached in clear all the same.
    pub exceptions: BTreeSet<IpNet>,
    /// What is behind this node itself.
    pub local: BTreeSet<IpNet>,
}

impl Firewall {
    /// Whether there are no tables.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Whether anything is refused.
    pub fn is_strict(&self) -> bool {
        !self.sets.is_empty()
    }

    /// Whether packets that come out of the tunnel are marked, as host encryption needs it.
    pub fn marks_incoming(&self) -> bool {
        let mut objects = self.objects.iter();
        objects.any(|object| object["chain"]["name"] == "incoming-mark")
    }

    /// What is refused in clear, exceptions included.
    pub fn protected(&self) -> impl Iterator<Item = &IpNet> {
        let sets = self.sets.iter();
        let protected = sets.filter(|(name, _)| name.starts_with(PROTECTED));
        protected.flat_map(|(_, networks)| networks)
    }

    /// Whether what goes to an address in clear is dropped: it is protected, and no exception lists it.
    pub fn refuses(&self, to: IpAddr) -> bool {
        let mut sets = self.sets.iter();
        let is_exempt = sets.any(|(name, networks)| {
            name.starts_with(EXCEPTIONS) && networks.iter().any(|network| network.contains(&to))
        });
        !is_exempt && self.protected().any(|network| network.contains(&to))
    }

    /// This one, but refusing what the other refuses too.
    pub fn with_all_that_is_refused_by(&self, other: &Self) -> Self {
        let mut both = self.clone();
        for (name, elements) in &mut both.sets {
            let Some(others) = other.sets.get(name) else {
                continue;
            };
            *elements = match name.starts_with(PROTECTED) || name.starts_with(LOCAL) {
                true => apart(elements.union(others)),
                false => elements.intersection(others).copied().collect(),
            };
        }
        both
    }

    /// What is wanted.
    pub fn new(wanted: &Wanted) -> Self {
        let mut firewall = Self::default();
        let bypass = wanted.incoming_mark && !wanted.store.is_empty();
        if !wanted.incoming_mark && wanted.strict.is_none() {
            return firewall;
        }
        firewall.object(json!({"table": {"family": "inet", "name": TABLE}}));
        if let Some(strict) = &wanted.strict {
            firewall.set(PROTECTED, &strict.networks);
            firewall.set(EXCEPTIONS, &strict.exceptions);
            firewall.set(LOCAL, &strict.local);
        }
        let mut rules = Rules::default();
        if wanted.incoming_mark {
            rules.chain("inet", "incoming-mark", "filter", "prerouting", -300);
            rules.exempt("iifname", wanted);
            rules.add(vec![set_mark(wanted.mark)]);
        }
        if bypass {
            rules.chain("inet", "store", "route", "output", -150);
            for (way, port) in [("daddr", "dport"), ("saddr", "sport")] {
                for store in &wanted.store {
                    rules.add(vec![
                        matches(payload(ip(store.ip()), way), json!(store.ip().to_string())),
                        matches(payload("tcp", port), json!(store.port())),
                        set_mark(wanted.mark),
                    ]);
                }
            }
        }
        if wanted.strict.is_some() {
            rules.strict(wanted);
        }
        firewall.objects.append(&mut rules.chains);
        firewall.objects.append(&mut rules.rules);
        if wanted.incoming_mark {
            firewall.object(json!({"table": {"family": "arp", "name": TABLE}}));
            rules.chain("arp", "incoming-mark", "filter", "input", 0);
            rules.exempt("iifname", wanted);
            rules.add(vec![set_mark(wanted.mark)]);
            firewall.objects.append(&mut rules.chains);
            firewall.objects.append(&mut rules.rules);
        }
        firewall
    }

    fn object(&mut self, object: Value) {
        self.objects.push(object);
    }

    /// A set for each family: nftables sets hold addresses of one length.
    fn set(&mut self, name: &str, networks: &BTreeSet<IpNet>) {
        let apart = apart(networks.iter());
        for family in Family::ALL {
            let (name, kind) = match family {
                Family::V4 => (format!("{name}4"), "ipv4_addr"),
                Family::V6 => (format!("{name}6"), "ipv6_addr"),
            };
            self.object(json!({"set": {
                "family": "inet", "name": name, "table": TABLE, "type": kind, "flags": ["interval"],
            }}));
            let own = apart
                .iter()
                .filter(|network| Family::of_network(**network) == family);
            self.sets.insert(name, own.copied().collect());
        }
    }

    /// The transaction for `nft -j` that leads from this to the other.
    pub fn transaction(&self, other: &Self) -> Value {
        let mut commands = Vec::new();
        if self.objects != other.objects {
            for family in TABLES {
                // A table that is added can be deleted, whether it was there before or not.
                let table = json!({"table": {"family": family, "name": TABLE}});
                commands.push(json!({"add": table}));
                commands.push(json!({"delete": table}));
            }
            commands.extend(other.objects.iter().map(|object| json!({"add": object})));
            for (name, elements) in &other.sets {
                commands.extend(element("add", name, elements.iter()));
            }
        } else {
            let none = BTreeSet::new();
            for (name, elements) in &other.sets {
                let before = self.sets.get(name).unwrap_or(&none);
                // Deletions first: what is added may overlap with what goes.
                commands.extend(element("delete", name, before.difference(elements)));
                commands.extend(element("add", name, elements.difference(before)));
            }
        }
        json!({"nftables": commands})
    }
}

/// Chains and rules of one table: `nft` lists all chains first.
#[derive(Default)]
struct Rules {
    family: &'static str,
    chain: &'static str,
    chains: Vec<Value>,
    rules: Vec<Value>,
}

impl Rules {
    /// Begins a chain.
    fn chain(
        &mut self,
        family: &'static str,
        name: &'static str,
        kind: &str,
        hook: &str,
        priority: i32,
    ) {
        (self.family, self.chain) = (family, name);
        self.chains.push(json!({"chain": {
            "family": family, "table": TABLE, "name": name,
            "type": kind, "hook": hook, "prio": priority, "policy": "accept",
        }}));
    }

    /// A rule of the chain that was begun last.
    fn add(&mut self, expressions: Vec<Value>) {
        self.rules.push(json!({"rule": {
            "family": self.family, "table": TABLE, "chain": self.chain, "expr": expressions,
        }}));
    }

    /// Lets packets of the loopback and tunnel devices and of pods' interfaces alone.
    fn exempt(&mut self, way: &str, wanted: &Wanted) {
        let devices = wanted.devices.iter().cloned();
        let pods = wanted.pods.iter().map(|prefix| format!("{prefix}*"));
        for name in std::iter::once("lo".to_owned()).chain(devices).chain(pods) {
            self.add(vec![
                matches(json!({"meta": {"key": way}}), json!(name)),
                json!({"accept": null}),
            ]);
        }
    }

    fn strict(&mut self, wanted: &Wanted) {
        // Out: the tunnel's own packets carry its mark; nobody else's may leave for a protected network.
        self.chain("inet", "strict-out", "filter", "postrouting", 0);
        self.exempt("oifname", wanted);
        for port in &wanted.ports {
            self.add(vec![
                matches(
                    json!({"&": [{"meta": {"key": "mark"}}, wanted.mark]}),
                    json!(wanted.mark),
                ),
                matches(payload("udp", "sport"), json!(port)),
                json!({"accept": null}),
            ]);
        }
        self.pass_neighbours();
        self.pass_store(wanted);
        self.refuse("daddr");
        // Through: what came out of the tunnel for somebody who has just left this node would go where
        // everything goes.
        self.chain("inet", "strict-through", "filter", "forward", 0);
        self.exempt("oifname", wanted);
        for device in &wanted.devices {
            for (family, number) in [("ip", 4), ("ip6", 6)] {
                self.add(vec![
                    matches(json!({"meta": {"key": "iifname"}}), json!(device)),
                    matches(payload(family, "daddr"), json!(format!("@{LOCAL}{number}"))),
                    json!({"counter": null}),
                    json!({"drop": null}),
                ]);
            }
        }
        // In: nobody may come from there but by way of the tunnel.
        self.chain("inet", "strict-in", "filter", "prerouting", -310);
        self.exempt("iifname", wanted);
        for port in &wanted.ports {
            self.add(vec![
                matches(payload("udp", "dport"), json!(port)),
                json!({"accept": null}),
            ]);
        }
        self.pass_neighbours();
        self.pass_store(wanted);
        self.refuse("saddr");
    }

    /// Neighbour discovery (RFC 4861) finds the way to the tunnel's other end. ARP is no IP.
    fn pass_neighbours(&mut self) {
        let kinds = [
            "router-solicit",
            "router-advert",
            "neighbor-solicit",
            "neighbor-advert",
        ];
        let kinds = kinds.map(|kind| format!("nd-{kind}"));
        self.add(vec![
            matches(payload("icmpv6", "type"), json!({"set": kinds})),
            json!({"accept": null}),
        ]);
    }

    fn pass_store(&mut self, wanted: &Wanted) {
        for (way, port) in [("daddr", "dport"), ("saddr", "sport")] {
            for store in &wanted.store {
                self.add(vec![
                    matches(payload(ip(store.ip()), way), json!(store.ip().to_string())),
                    matches(payload("tcp", port), json!(store.port())),
                    json!({"accept": null}),
                ]);
            }
        }
    }

    fn refuse(&mut self, way: &str) {
        for (family, number) in [("ip", 4), ("ip6", 6)] {
            let of = |set: &str| matches(payload(family, way), json!(format!("@{set}{number}")));
            self.add(vec![of(EXCEPTIONS), json!({"accept": null})]);
            self.add(vec![
                of(PROTECTED),
                json!({"counter": null}),
                json!({"drop": null}),
            ]);
        }
    }
}

/// Elements of a set must not overlap.
fn apart<'a>(networks: impl Iterator<Item = &'a IpNet>) -> BTreeSet<IpNet> {
    let networks: Vec<_> = networks.copied().collect();
    IpNet::aggregate(&networks).into_iter().collect()
}

fn matches(left: Value, right: Value) -> Value {
    json!({"match": {"op": "==", "left": left, "right": right}})
}

fn payload(protocol: &str, field: &str) -> Value {
    json!({"payload": {"protocol": protocol, "field": field}})
}

fn ip(address: IpAddr) -> &'static str {
    match Family::of(address) {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

fn set_mark(mark: u32) -> Value {
    let meta = json!({"meta": {"key": "mark"}});
    json!({"mangle": {"key": meta, "value": {"|": [meta, mark]}}})
}

/// A command for the elements of a set, if there are any.
fn element<'a>(verb: &str, set: &str, elements: impl Iterator<Item = &'a IpNet>) -> Option<Value> {
    let written: Vec<_> = elements.map(|network| write_element(*network)).collect();
    (!written.is_empty()).then(|| {
        json!({verb: {"element": {
            "family": "inet", "table": TABLE, "name": set, "elem": written,
        }}})
    })
}

fn write_element(network: IpNet) -> Value {
    if network.prefix_len() == network.max_prefix_len() {
        json!(network.addr().to_string())
    } else {
        json!({"prefix": {"addr": network.addr().to_string(), "len": network.prefix_len()}})
    }
}

#[cfg(test)]
mod tests;
