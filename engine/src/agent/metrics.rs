//! The metrics in Prometheus's text format. Pure.
//!
//! `wireguard_*` have the names, labels and help of Calico's Felix
//! (`felix/wireguard/metrics.go`), for both families; `wiremesh_*` are this engine's own.

use std::fmt::{Display, Write as _};
use std::time::SystemTime;

use wiremesh_plan::intent::text;

use crate::agent::health::{Durations, Health, Standing};
use crate::host::device::{PeerState, State};

/// A device and its state; none if it could not be read in time.
pub(crate) type Reading = (String, Option<State>);

/// Why a node may be plain: each is exported, so that an alert can name it before it happens.
pub(crate) const REASONS: &[&str] = &[
    "bad_address",
    "bad_key",
    "bypassed",
    "no_address",
    "no_key",
    "opted_out",
    "own_key_shared",
    "shared_key",
];

/// The whole page.
pub(crate) fn page(health: &Health, readings: &[Reading]) -> String {
    let mut page = Page(String::new());
    if health.exports_wireguard {
        wireguard(&mut page, &health.node, readings);
    }
    agent(&mut page, health);
    meshes(&mut page, health);
    page.head(
        "wiremesh_device_readable",
        "gauge",
        "whether the tunnel device answered when it was asked for its counters",
    );
    for (name, state) in readings {
        let labels = [("iface", name.as_str())];
        page.sample(
            "wiremesh_device_readable",
            &labels,
            u8::from(state.is_some()),
        );
    }
    page.0
}

fn wireguard(page: &mut Page, node: &str, readings: &[Reading]) {
    let states = || {
        let read = readings.iter();
        read.filter_map(|(name, state)| {
            let state = state.as_ref()?;
            Some((name, state, state.public_key?.to_string()))
        })
    };
    page.head(
        "wireguard_meta",
        "gauge",
        "wireguard interface and runtime metadata",
    );
    for (name, state, key) in states() {
        let port = state.listen_port.to_string();
        let labels = [
            ("hostname", node),
            ("iface", name),
            ("listen_port", &port),
            ("public_key", &key),
        ];
        page.sample("wireguard_meta", &labels, 1);
    }
    let mut peers = |name, kind, help, value: fn(&PeerState) -> u64| {
        page.head(name, kind, help);
        for (_, state, key) in states() {
            for (peer_key, peer) in &state.peers {
                let endpoint = peer.peer.endpoint.map(|endpoint| endpoint.to_string());
                let labels = [
                    ("hostname", node),
                    ("peer_endpoint", &endpoint.unwrap_or_default()),
                    ("peer_key", &peer_key.to_string()),
                    ("public_key", &key),
                ];
                page.sample(name, &labels, value(peer));
            }
        }
    };
    peers(
        "wireguard_bytes_rcvd",
        "counter",
        "wireguard interface incoming bytes count from peer",
        |peer| peer.received_bytes,
    );
    peers(
        "wireguard_bytes_sent",
        "counter",
        "wireguard interface outgoing bytes count to peer",
        |peer| peer.sent_bytes,
    );
    peers(
        "wireguard_latest_handshake_seconds",
        "gauge",
        "wireguard interface latest handshake unix timestamp in seconds to a peer",
        |peer| unix(peer.handshake).as_secs(),
    );
}

fn agent(page: &mut Page, health: &Health) {
    let yes = |yes: bool| u64::from(yes);
    page.only(
        "wiremesh_in_sync",
        "gauge",
        "whether the dataplane follows the store as last seen",
        yes(health.standing == Standing::InSync),
    );
    page.only(
        "wiremesh_last_sync_timestamp_seconds",
        "gauge",
        "when the dataplane last followed the store, as a unix timestamp; 0 is never",
        unix(health.synced).as_secs_f64(),
    );
    page.only(
        "wiremesh_problems",
        "gauge",
        "what is wrong with the store's resources, the store or this node; the log says what",
        health.problems,
    );
    page.only(
        "wiremesh_store_reachable",
        "gauge",
        "whether the store can be followed",
        yes(!health.store_trouble),
    );
    page.only(
        "wiremesh_store_losses_total",
        "counter",
        "how often the store could not be followed any more",
        health.store_losses,
    );
    page.only(
        "wiremesh_store_reconnects_total",
        "counter",
        "how often the store could be followed again",
        health.store_recoveries,
    );
    page.only(
        "wiremesh_kernel_writes_total",
        "counter",
        "writes to route netlink, the tunnel devices, nftables and sysctls",
        health.writes,
    );
    page.only(
        "wiremesh_resyncs_total",
        "counter",
        "comparisons of everything that nothing but the clock had caused",
        health.resyncs,
    );
    let repairs = "wiremesh_drift_repairs_total";
    page.head(
        repairs,
        "counter",
        "writes that put right what somebody else had changed, by what told of it",
    );
    for (cause, count) in &health.repairs {
        page.sample(repairs, &[("cause", cause.word())], count);
    }
    page.only(
        "wiremesh_failures_total",
        "counter",
        "reconciliations that failed, and were tried again",
        health.failures,
    );
    convergence(page, &health.convergence);
}

fn convergence(page: &mut Page, durations: &Durations) {
    let name = "wiremesh_convergence_seconds";
    page.head(
        name,
        "histogram",
        "from the first event that was not dealt with to the settled dataplane, where that took a write",
    );
    let bucket = format!("{name}_bucket");
    let mut sum = 0;
    for (bound, count) in Durations::BOUNDS.iter().zip(durations.counts) {
        sum += count;
        page.sample(&bucket, &[("le", &bound.to_string())], sum);
    }
    page.sample(&bucket, &[("le", "+Inf")], durations.count);
    page.sample(&format!("{name}_sum"), &[], durations.sum.as_secs_f64());
    page.sample(&format!("{name}_count"), &[], durations.count);
}

fn meshes(page: &mut Page, health: &Health) {
    page.only(
        "wiremesh_strict",
        "gauge",
        "whether what should be encrypted is dropped where it cannot be",
        u8::from(health.strict),
    );
    page.head(
        "wiremesh_encrypting",
        "gauge",
        "whether this node encrypts, by family",
    );
    for (family, mesh) in health.meshes.iter() {
        let labels = [("family", family.word())];
        page.sample("wiremesh_encrypting", &labels, u8::from(mesh.encrypting));
    }
    page.head(
        "wiremesh_address_conflicts",
        "gauge",
        "addresses and blocks that are claimed for several nodes; the log says which",
    );
    for (family, count) in health.conflicts.iter() {
        let labels = [("family", family.word())];
        page.sample("wiremesh_address_conflicts", &labels, count);
    }
    page.head(
        "wiremesh_peers",
        "gauge",
        "other nodes by how they are reached, and why not encrypted",
    );
    for (family, mesh) in health.meshes.iter().filter(|(_, mesh)| mesh.encrypting) {
        let mut sample = |state, reason, count| {
            let labels = [
                ("family", family.word()),
                ("reason", reason),
                ("state", state),
            ];
            page.sample("wiremesh_peers", &labels, count);
        };
        sample("encrypted", "", mesh.encrypted);
        for (state, reasons) in [("plain", &mesh.plain), ("dropped", &mesh.dropped)] {
            for reason in REASONS {
                let alike = reasons.values().filter(|plain| plain.label() == *reason);
                sample(state, reason, alike.count());
            }
        }
    }
}

fn unix(time: Option<SystemTime>) -> std::time::Duration {
    let since = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).ok();
    time.and_then(since).unwrap_or_default()
}

struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn only(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.head(name, kind, help);
        self.sample(name, &[], value);
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            let text = escaped(text);
            let _ = write!(self.0, "{before}{label}=\"{text}\"");
        }
        let after = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{after} {value}");
    }
}

/// A label's value: backslash, quote and line end are written with a backslash. Prometheus knows no
/// other escape, so what does not show is text before that.
fn escaped(value: &str) -> String {
    let lines = value.split('\n').map(|part| {
        let shown = text::line(part);
        shown.replace('\\', "\\\\").replace('"', "\\\"")
    });
    lines.collect::<Vec<_>>().join("\\n")
}

#[cfg(test)]
mod tests;
