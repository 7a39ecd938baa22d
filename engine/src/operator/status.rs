//! The state of a node and its peers, as text and as JSON. Pure.
//!
//! The JSON has every key each time; what there is none of is null. Keys are added, and
//! never change their meaning.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::SystemTime;

use serde_json::{Value, json};
use wireguard_control::Backend;
use wiremesh_plan::dataplane::bypass::{self, Bypass, Effect};
use wiremesh_plan::dataplane::change::Change;
use wiremesh_plan::dataplane::desired::{is_active, peer_key};
use wiremesh_plan::dataplane::local_routes::LocalRoutes;
use wiremesh_plan::dataplane::model::{Dataplane, Device, Rule};
use wiremesh_plan::dataplane::networks::{self, Conflict};
use wiremesh_plan::intent::cluster::Cluster;
use wiremesh_plan::intent::family::{Family, PerFamily};
use wiremesh_plan::intent::key::PublicKey;
use wiremesh_plan::intent::text::line as shown;

use crate::host::device::{PeerState, State};
use crate::operator::render::{age, ago, size};

/// The checks of `status --check`: whether all is as intended.
mod check;

/// Names of more characters stick out of their column, which is as wide as the others need.
const MAX_COLUMN: usize = 40;

/// The version of the JSON document. Keys are added under it; one that goes or means something else makes it another.
pub(crate) const VERSION: u32 = 1;

/// How many of a peer's networks people are shown.
const MAX_NETWORKS: usize = 4;

/// How a node and its peers stand.
pub(crate) struct Status<'a> {
    pub(crate) node: &'a str,
    pub(crate) cluster: &'a Cluster,
    /// Nodes of which nothing can be read.
    pub(crate) unread_nodes: &'a BTreeSet<String>,
    /// The configured devices as they are.
    pub(crate) devices: PerFamily<Option<(Backend, &'a State)>>,
    /// The dataplane as it is.
    pub(crate) actual: &'a Dataplane,
    /// What is still to be done.
    pub(crate) pending: &'a [Change],
    /// What is wrong with the store's resources.
    pub(crate) problems: &'a [String],
    /// Networks that several nodes claim.
    pub(crate) conflicts: &'a PerFamily<Vec<Conflict>>,
    /// What rules of others send past the tunnel.
    pub(crate) bypasses: &'a PerFamily<Vec<Bypass>>,
    /// Whether the configuration cannot be read: nobody knows what is wanted.
    pub(crate) unread: bool,
    /// Whether the agent changes nothing: the configuration has a mistake, and asks for less than is in force.
    pub(crate) held: bool,
    /// Whether a resource has a mistake: a running agent keeps its last good state, which status does not know.
    pub(crate) partly_known: bool,
    pub(crate) now: SystemTime,
}

/// How another node is reached.
enum Reach<'a> {
    Encrypted(&'a PeerState),
    /// It can be a peer, and is none yet.
    Pending,
    Plain(String),
    /// Nothing is sent to it, since it would be in clear.
    Dropped(String),
}

impl Status<'_> {
    /// The families that matter: those that are asked for, or in which this node has an address.
    fn families(&self) -> impl Iterator<Item = Family> {
        let own = self.cluster.nodes.get(self.node);
        Family::ALL.into_iter().filter(move |family| {
            self.cluster.settings.tunnel[*family].enabled
                || own.is_some_and(|own| own.endpoint[*family].is_some())
        })
    }

    fn others(&self) -> impl Iterator<Item = &String> {
        let known = self.cluster.nodes.keys().chain(self.unread_nodes);
        known.filter(|name| *name != self.node)
    }

    /// Why this node does not encrypt, if it does not.
    fn idle(&self, family: Family) -> Option<String> {
        if self.held && !self.actual.families[family].rules.is_empty() {
            return None;
        }
        if is_active(self.cluster, self.node, family) {
            return None;
        }
        Some(match self.cluster.settings.tunnel[family].enabled {
            true => match self.cluster.nodes.get(self.node) {
                None => "the store has no Node for this node".into(),
                Some(own) if own.bad_address[family] => {
                    format!("this node's {family} address cannot be used")
                }
                Some(_) => format!("this node has no {family} address"),
            },
            false if self.cluster.opted_out[family].contains(self.node) => {
                "its own FelixConfiguration takes it out".into()
            }
            false => "no FelixConfiguration asks for it".into(),
        })
    }

    fn reach(&self, name: &str, family: Family) -> Reach<'_> {
        let settings = &self.cluster.settings;
        let dropped = match self.held {
            true => self.refuses_now(name, family),
            false => settings.tunnel[family].enabled && settings.refuses(name),
        };
        let clear = |why| match dropped {
            true => Reach::Dropped(why),
            false => Reach::Plain(why),
        };
        if self.unread_nodes.contains(name) {
            return clear("its Node cannot be read".into());
        }
        if self.idle(family).is_some() {
            return clear("this node does not encrypt".into());
        }
        match peer_key(self.cluster, self.node, name, family) {
            // The agent adds no peer.
            Ok(key) if self.held && self.peer(&key, family).is_none() => {
                clear("the device has no such peer".into())
            }
            Err(plain) => clear(plain.to_string()),
            Ok(key) => {
                if let Some(bypass) = bypass::worst(&self.bypasses[family], name) {
                    return match bypass.effect {
                        Effect::Refused => Reach::Dropped(bypass.to_string()),
                        Effect::Clear(_) | Effect::Skips(_) => clear(bypass.to_string()),
                    };
                }
                let peer = self.peer(&key, family);
                peer.map_or(Reach::Pending, Reach::Encrypted)
            }
        }
    }

    fn peer(&self, key: &PublicKey, family: Family) -> Option<&PeerState> {
        let peers = self.devices[family].map(|(_, device)| device.peers.as_slice());
        let mut peers = peers.unwrap_or_default().iter();
        let (_, state) = peers.find(|(known, _)| known == key)?;
        Some(state)
    }

    /// Whether the kernel drops what goes in clear to a node or its pods.
    fn refuses_now(&self, name: &str, family: Family) -> bool {
        let firewall = &self.actual.firewall;
        let endpoint = self
            .cluster
            .nodes
            .get(name)
            .and_then(|node| node.endpoint[family]);
        let networks = networks::of(self.cluster, self.node, family, &LocalRoutes::default());
        let owned = networks.owners.iter().filter(|(_, owner)| **owner == name);
        let mut addresses = owned
            .map(|(network, _)| network.addr())
            .chain(endpoint)
            .peekable();
        match addresses.peek() {
            None => firewall.is_strict(),
            Some(_) => addresses.any(|address| firewall.refuses(address)),
        }
    }

    /// Whether it is encrypt or drop: by the store, and by the rules that the kernel has.
    fn strict(&self) -> String {
        let in_force = self.actual.firewall.is_strict();
        let strict = self.cluster.settings.strict.as_ref();
        match strict {
            _ if self.is_unknown() => {
                let now = if in_force { "in force" } else { "not in force" };
                format!("{}; now it is {now}", self.unknown())
            }
            None if in_force => "off, but still in force".into(),
            None => "off".into(),
            Some(_) if self.is_strict_about_nothing() => {
                "asked for, without effect: encryption is off".into()
            }
            Some(strict) => {
                let plain: Vec<_> = strict.plain_nodes.iter().cloned().collect();
                let but = match plain.is_empty() {
                    true => String::new(),
                    false => format!(", but for {}", plain.join(", ")),
                };
                let yet = if in_force {
                    ""
                } else {
                    "; not in force on this node"
                };
                format!("on: encrypt or drop{but}{yet}")
            }
        }
    }

    fn is_bypassed(&self) -> bool {
        self.bypasses.iter().any(|(_, found)| !found.is_empty())
    }

    fn device(&self, family: Family) -> Option<&Device> {
        let name = &self.cluster.settings.tunnel[family].interface;
        self.actual.families[family].devices.get(name)
    }

    fn rule(&self, family: Family) -> Option<&Rule> {
        self.actual.families[family].rules.first()
    }

    /// Whether nobody knows what is wanted.
    fn is_unknown(&self) -> bool {
        self.unread || self.held
    }

    fn unknown(&self) -> &'static str {
        match self.unread {
            true => "unknown: the configuration cannot be read",
            false => "unknown: the configuration has a mistake",
        }
    }

    fn is_in_sync(&self) -> bool {
        let is_known = self.cluster.nodes.contains_key(self.node);
        self.pending.is_empty() && is_known && !self.is_bypassed() && !self.held
    }

    /// Whether strict mode is asked for while nothing at all is to be encrypted.
    fn is_strict_about_nothing(&self) -> bool {
        let (settings, wanted) = (&self.cluster.settings, &self.cluster.wanted);
        let mut families = Family::ALL.into_iter();
        let is_off = families.all(|family| !settings.tunnel[family].enabled && !wanted[family]);
        is_off && settings.strict.is_some()
    }

    /// As text, for people.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text, true);
        text
    }

    /// The same with what is not as intended, which has among others the problems and the pending changes.
    pub(crate) fn checked_text(&self) -> String {
        let mut text = String::new();
        let _ = self.write(&mut text, false);
        text + &self.check_text()
    }

    fn write(&self, text: &mut String, with_problems: bool) -> std::fmt::Result {
        let names = self.others().map(|name| shown(name).chars().count());
        // One long name is no reason to move all the others to the right.
        let width = names.filter(|name| *name <= MAX_COLUMN);
        let width = width.chain(["problem".len()]).max().unwrap_or_default();
        let mut line =
            |what: &str, value: &str| writeln!(text, "  {:width$}  {}", shown(what), shown(value));
        let settings = &self.cluster.settings;
        let is_on = settings.tunnel.v4.enabled || settings.tunnel.v6.enabled;
        let hosts = match settings.host_encryption {
            _ if self.is_unknown() => self.unknown(),
            true if !is_on => "their own traffic is left in clear: encryption is off",
            true => "their own traffic is encrypted too",
            false => "their own traffic is left in clear",
        };
        let sync = match self.pending.len() {
            0 if self.held => "unchanged: the configuration has a mistake".into(),
            0 if !self.cluster.nodes.contains_key(self.node) => "waiting for its Node".into(),
            0 if self.is_bypassed() => {
                "bypassed: rules of others send traffic past the tunnel".into()
            }
            0 => "in sync".into(),
            _ if self.partly_known => {
                "resources have mistakes: what they held before stays if the agent has read it"
                    .into()
            }
            1 => "1 change is still to be made".into(),
            more => format!("{more} changes are still to be made"),
        };
        line("node", self.node)?;
        line("state", &sync)?;
        line("hosts", hosts)?;
        line("strict", &self.strict())?;
        for problem in self.problems.iter().filter(|_| with_problems) {
            line("problem", problem)?;
        }
        for family in self.families() {
            self.write_family(text, family, width)?;
        }
        let pending = if with_problems { self.pending } else { &[] };
        if !pending.is_empty() {
            writeln!(text, "\n{}", self.to_be_made())?;
        }
        let mut pending = pending.iter();
        pending.try_for_each(|change| writeln!(text, "  {}", shown(&change.to_string())))
    }

    /// What the changes are that are pending.
    pub(super) fn to_be_made(&self) -> &'static str {
        match self.partly_known {
            true => "to be made by an agent that starts now",
            false => "still to be made",
        }
    }

    fn write_family(&self, text: &mut String, family: Family, width: usize) -> std::fmt::Result {
        if let Some(why) = self.idle(family) {
            return writeln!(text, "\n{family} is not encrypted: {why}");
        }
        writeln!(text, "\n{family}")?;
        let mut line =
            |what: &str, value: &str| writeln!(text, "  {:width$}  {}", shown(what), shown(value));
        let name = &self.cluster.settings.tunnel[family].interface;
        match (self.device(family), self.devices[family]) {
            (Some(device), Some((backend, state))) => {
                let (port, mtu, kind) = (device.listen_port, device.mtu, kind(backend));
                line(
                    "device",
                    &format!("{name} ({kind}), port {port}, mtu {mtu}"),
                )?;
                let key = state.public_key.map(|key| key.to_string());
                line("key", key.as_deref().unwrap_or("none yet"))?;
            }
            _ => line("device", &format!("{name} is yet to be made"))?,
        }
        match self.rule(family) {
            Some(rule) => {
                let (priority, mark, table) = (rule.priority, rule.mark, rule.table);
                let rule = format!("table {table}, mark {mark:#x}, priority {priority}");
                line("routing", &rule)?;
            }
            None => line("routing", "no rule leads to the device yet")?,
        }
        for name in self.others() {
            match self.reach(name, family) {
                Reach::Encrypted(state) => {
                    for (at, part) in self.describe(state).iter().enumerate() {
                        line(if at == 0 { name } else { "" }, part)?;
                    }
                }
                Reach::Pending => line(name, "is yet to be made a peer")?,
                Reach::Plain(why) => line(name, &format!("in clear: {why}"))?,
                Reach::Dropped(why) => line(name, &format!("dropped: {why}"))?,
            }
        }
        Ok(())
    }

    fn describe(&self, state: &PeerState) -> [String; 2] {
        let endpoint = state.peer.endpoint;
        let endpoint = endpoint.map_or("nowhere".into(), |endpoint| endpoint.to_string());
        let handshake = match age(state, self.now) {
            Some(age) => format!("handshake {} ago", ago(age)),
            None => "no handshake yet".into(),
        };
        let (received, sent) = (size(state.received_bytes), size(state.sent_bytes));
        let networks = state.peer.allowed_ips.iter().map(ToString::to_string);
        let mut shown: Vec<_> = networks.collect();
        if shown.len() > MAX_NETWORKS + 1 {
            let more = format!("and {} more", shown.len() - MAX_NETWORKS);
            shown.truncate(MAX_NETWORKS);
            shown.push(more);
        }
        if shown.is_empty() {
            shown.push("no network".into());
        }
        [
            format!("encrypted to {endpoint}, {handshake}, {received} received, {sent} sent"),
            format!("for {}", shown.join(", ")),
        ]
    }

    /// As JSON, for programs.
    pub(crate) fn json(&self) -> Value {
        let settings = &self.cluster.settings;
        let strict = settings.strict.as_ref();
        let families = self.families().map(|family| self.family_json(family));
        json!({
            "version": VERSION,
            "node": self.node,
            "in_sync": self.is_in_sync(),
            "held": self.held,
            "partly_known": self.partly_known,
            "pending": self.pending.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "problems": self.problems,
            "not_as_intended": self.deviations(),
            "host_encryption": settings.host_encryption,
            "strict": (!self.is_unknown()).then_some(strict.is_some()),
            "strict_in_force": self.actual.firewall.is_strict(),
            "plain_nodes": strict.map(|strict| &strict.plain_nodes),
            "families": families.collect::<Vec<_>>(),
        })
    }

    fn family_json(&self, family: Family) -> Value {
        let device = self.device(family);
        let state = self.devices[family];
        let key = state.and_then(|(_, state)| state.public_key);
        let rule = self.rule(family);
        let peers = self.others().map(|name| self.peer_json(name, family));
        let idle = self.idle(family);
        let conflicts = self.conflicts[family].iter().map(Conflict::json);
        let bypasses = self.bypasses[family].iter().map(Bypass::json);
        json!({
            "family": family.to_string(),
            "encrypting": idle.is_none() && key.is_some(),
            "idle_because": idle,
            "interface": self.cluster.settings.tunnel[family].interface,
            "implementation": state.map(|(backend, _)| kind(backend)),
            "listen_port": device.map(|device| device.listen_port),
            "mtu": device.map(|device| device.mtu),
            "public_key": key.map(|key| key.to_string()),
            "table": rule.map(|rule| rule.table),
            "mark": rule.map(|rule| rule.mark),
            "priority": rule.map(|rule| rule.priority),
            "peers": peers.collect::<Vec<_>>(),
            "conflicts": conflicts.collect::<Vec<_>>(),
            "bypasses": bypasses.collect::<Vec<_>>(),
        })
    }

    fn peer_json(&self, name: &str, family: Family) -> Value {
        let (state, why, peer) = match self.reach(name, family) {
            Reach::Encrypted(peer) => ("encrypted", None, Some(peer)),
            Reach::Pending => ("pending", None, None),
            Reach::Plain(why) => ("plain", Some(why), None),
            Reach::Dropped(why) => ("dropped", Some(why), None),
        };
        let handshake = peer.and_then(|peer| age(peer, self.now));
        json!({
            "node": name,
            "state": state,
            "because": why,
            "endpoint": peer.and_then(|peer| peer.peer.endpoint),
            "allowed_ips": peer.map(|peer| &peer.peer.allowed_ips),
            "handshake_age_seconds": handshake.map(|age| age.as_secs()),
            "received_bytes": peer.map(|peer| peer.received_bytes),
            "sent_bytes": peer.map(|peer| peer.sent_bytes),
        })
    }
}

fn kind(backend: Backend) -> &'static str {
    match backend {
        Backend::Kernel => "kernel",
        Backend::Userspace => "userspace",
    }
}

#[cfg(test)]
mod tests;
