//! Devices, peers and states told as text and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::change::Change;
use crate::cluster::Cluster;
use crate::desired::peer_key;
use crate::device::{PeerState, State};
use crate::family::{Family, PerFamily};
use crate::key::PublicKey;

/// How a node and its peers stand.
pub(crate) struct Status<'a> {
    pub(crate) node: &'a str,
    pub(crate) cluster: &'a Cluster,
    /// Whether this node is to encrypt.
    pub(crate) active: PerFamily<bool>,
    /// The devices as they are.
    pub(crate) devices: PerFamily<Option<&'a State>>,
    /// What is still to be done.
    pub(crate) pending: &'a [Change],
    /// What is wrong with the store, or stands in the way.
    pub(crate) problems: &'a [String],
    pub(crate) now: SystemTime,
}

impl Status<'_> {
    /// The families that matter: those in which this node encrypts, or has an address.
    fn families(&self) -> impl Iterator<Item = Family> {
        let own = self.cluster.nodes.get(self.node);
        Family::ALL.into_iter().filter(move |family| {
            self.active[*family] || own.is_some_and(|own| own.endpoint[*family].is_some())
        })
    }

    fn others(&self) -> impl Iterator<Item = &String> {
        self.cluster.nodes.keys().filter(|name| *name != self.node)
    }

    fn key(&self, family: Family) -> Option<PublicKey> {
        self.devices[family]?.public_key
    }

    /// Why a node is reached in clear, or its state as a peer.
    fn peer(&self, name: &str, family: Family) -> Result<Option<&PeerState>, String> {
        if !self.active[family] {
            return Err("this node does not encrypt".into());
        }
        let key =
            peer_key(self.cluster, self.node, name, family).map_err(|plain| plain.to_string())?;
        let peers = self.devices[family].map(|device| device.peers.as_slice());
        let mut peers = peers.unwrap_or_default().iter();
        Ok(peers
            .find(|(known, _)| *known == key)
            .map(|(_, state)| state))
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        for family in self.families() {
            let tunnel = &self.cluster.settings.tunnel[family];
            match (self.active[family], self.key(family)) {
                (true, Some(key)) => writeln!(
                    text,
                    "{}: encrypting {family} on {}, port {}, key {key}",
                    self.node, tunnel.interface, tunnel.listen_port
                )?,
                (true, None) => writeln!(text, "{}: not encrypting {family} yet", self.node)?,
                (false, _) => writeln!(text, "{}: not encrypting {family}", self.node)?,
            }
            for name in self.others() {
                match self.peer(name, family) {
                    Err(why) => writeln!(text, "  {name}: plain, because {why}")?,
                    Ok(None) => writeln!(text, "  {name}: to be made a peer")?,
                    Ok(Some(state)) => writeln!(text, "  {name}: {}", describe(state, self.now))?,
                }
            }
        }
        for problem in self.problems {
            writeln!(text, "problem: {problem}")?;
        }
        if self.pending.is_empty() {
            return writeln!(text, "in sync");
        }
        writeln!(text, "still to be done: {}", self.pending.len())?;
        self.pending
            .iter()
            .try_for_each(|change| writeln!(text, "  {change}"))
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let families = self.families().map(|family| {
            let tunnel = &self.cluster.settings.tunnel[family];
            let peers = self.others().map(|name| self.peer_json(name, family));
            json!({
                "family": family.to_string(),
                "encrypting": self.active[family] && self.key(family).is_some(),
                "interface": tunnel.interface,
                "listen_port": tunnel.listen_port,
                "public_key": self.key(family).map(|key| key.to_string()),
                "peers": peers.collect::<Vec<_>>(),
            })
        });
        json!({
            "node": self.node,
            "in_sync": self.pending.is_empty(),
            "pending": self.pending.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "problems": self.problems,
            "families": families.collect::<Vec<_>>(),
        })
    }

    fn peer_json(&self, name: &str, family: Family) -> Value {
        match self.peer(name, family) {
            Err(why) => json!({"node": name, "encrypted": false, "plain_because": why}),
            Ok(None) => {
                json!({"node": name, "encrypted": false, "plain_because": "it is yet to be made a peer"})
            }
            Ok(Some(state)) => json!({
                "node": name,
                "encrypted": true,
                "endpoint": state.peer.endpoint,
                "allowed_ips": state.peer.allowed_ips,
                "handshake_age_seconds": age(state, self.now).map(|age| age.as_secs()),
                "received_bytes": state.received_bytes,
                "sent_bytes": state.sent_bytes,
            }),
        }
    }
}

fn describe(state: &PeerState, now: SystemTime) -> String {
    let networks: Vec<_> = state
        .peer
        .allowed_ips
        .iter()
        .map(ToString::to_string)
        .collect();
    let endpoint = state
        .peer
        .endpoint
        .map_or("nowhere".into(), |endpoint| endpoint.to_string());
    let handshake = match age(state, now) {
        Some(age) => format!("handshake {} s ago", age.as_secs()),
        None => "no handshake yet".into(),
    };
    format!(
        "encrypted to {endpoint}, {handshake}, {} bytes received, {} sent, allowed {}",
        state.received_bytes,
        state.sent_bytes,
        networks.join(", ")
    )
}

fn age(state: &PeerState, now: SystemTime) -> Option<Duration> {
    now.duration_since(state.handshake?).ok()
}

/// A device as `wg show` tells it, with the names of nodes where the store knows them.
pub(crate) fn device(
    name: &str,
    state: &State,
    names: &BTreeMap<PublicKey, String>,
    now: SystemTime,
) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_device(&mut text, name, state, names, now);
    text
}

fn write_device(
    text: &mut String,
    name: &str,
    state: &State,
    names: &BTreeMap<PublicKey, String>,
    now: SystemTime,
) -> std::fmt::Result {
    writeln!(text, "interface: {name}")?;
    if let Some(key) = state.public_key {
        writeln!(text, "  public key: {key}\n  private key: (hidden)")?;
    }
    writeln!(text, "  listening port: {}", state.listen_port)?;
    if state.fwmark != 0 {
        writeln!(text, "  fwmark: {:#x}", state.fwmark)?;
    }
    for (key, peer) in &state.peers {
        match names.get(key) {
            Some(node) => writeln!(text, "\npeer: {key} ({node})")?,
            None => writeln!(text, "\npeer: {key}")?,
        }
        if let Some(endpoint) = peer.peer.endpoint {
            writeln!(text, "  endpoint: {endpoint}")?;
        }
        let networks: Vec<_> = peer
            .peer
            .allowed_ips
            .iter()
            .map(ToString::to_string)
            .collect();
        let networks = if networks.is_empty() {
            "(none)".to_owned()
        } else {
            networks.join(", ")
        };
        writeln!(text, "  allowed ips: {networks}")?;
        if let Some(age) = age(peer, now) {
            writeln!(text, "  latest handshake: {} seconds ago", age.as_secs())?;
            writeln!(
                text,
                "  transfer: {} B received, {} B sent",
                peer.received_bytes, peer.sent_bytes
            )?;
        }
        if peer.peer.keepalive > 0 {
            writeln!(
                text,
                "  persistent keepalive: every {} seconds",
                peer.peer.keepalive
            )?;
        }
    }
    Ok(())
}
