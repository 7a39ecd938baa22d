//! Devices, peers and states told as text and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::change::Change;
use crate::cluster::Cluster;
use crate::dataplane::Dataplane;
use crate::device::{PeerState, State};
use crate::key::PublicKey;
use crate::observe::Observed;

/// How a node and its peers stand.
pub(crate) struct Status<'a> {
    pub(crate) node: &'a str,
    pub(crate) cluster: &'a Cluster,
    pub(crate) observed: &'a Observed,
    /// What is desired; none where the engine leaves the dataplane alone.
    pub(crate) desired: Option<&'a Dataplane>,
    /// What is still to be done.
    pub(crate) pending: &'a [Change],
    /// What is wrong with the store, or stands in the way.
    pub(crate) problems: &'a [String],
    pub(crate) now: SystemTime,
}

impl Status<'_> {
    fn encrypting(&self) -> bool {
        self.desired.is_some_and(|plane| plane.device.is_some())
    }

    fn others(&self) -> impl Iterator<Item = &String> {
        self.cluster.nodes.keys().filter(|name| *name != self.node)
    }

    /// Why a node is reached in clear, or its state as a peer.
    fn peer(&self, name: &str) -> Result<Option<&PeerState>, String> {
        if !self.encrypting() {
            return Err("this node does not encrypt".into());
        }
        match self.cluster.key_of(name) {
            Ok(key) => Ok(self.observed.peers.get(&key)),
            Err(plain) => Err(plain.to_string()),
        }
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let settings = &self.cluster.settings;
        match (self.encrypting(), self.observed.public_key) {
            (true, Some(key)) => writeln!(
                text,
                "{}: encrypting on {}, port {}, key {key}",
                self.node, settings.interface, settings.listen_port
            )?,
            (true, None) => writeln!(text, "{}: not encrypting yet", self.node)?,
            (false, _) => writeln!(text, "{}: not encrypting", self.node)?,
        }
        for name in self.others() {
            match self.peer(name) {
                Err(why) => writeln!(text, "  {name}: plain, because {why}")?,
                Ok(None) => writeln!(text, "  {name}: to be made a peer")?,
                Ok(Some(state)) => writeln!(text, "  {name}: {}", describe(state, self.now))?,
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
        let peer = |name: &String| match self.peer(name) {
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
        };
        json!({
            "node": self.node,
            "encrypting": self.encrypting() && self.observed.public_key.is_some(),
            "public_key": self.observed.public_key.map(|key| key.to_string()),
            "in_sync": self.pending.is_empty(),
            "pending": self.pending.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "problems": self.problems,
            "peers": self.others().map(peer).collect::<Vec<_>>(),
        })
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
