//! Exact text and exact JSON of one node of three.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wiremesh_plan::dataplane::model::{FamilyDataplane, Peer};
use wiremesh_plan::intent::key::PublicKey;
use wiremesh_plan::intent::resource::{Identity, Resource, read_partly};

use super::*;

mod check;
mod edges;

const NOW: u64 = 1_700_000_000;

static NO_CONFLICTS: PerFamily<Vec<Conflict>> = PerFamily {
    v4: Vec::new(),
    v6: Vec::new(),
};

static NO_BYPASSES: PerFamily<Vec<Bypass>> = PerFamily {
    v4: Vec::new(),
    v6: Vec::new(),
};

static NONE_UNREAD: BTreeSet<String> = BTreeSet::new();

/// A resource that has no mistake.
fn read(document: &Value) -> Result<(Identity, Resource), String> {
    let reading = read_partly(document, "here").map_err(|wrong| wrong.to_string())?;
    match reading.wrong.first() {
        None => Ok((reading.identity, reading.resource)),
        Some(wrong) => Err(wrong.to_string()),
    }
}

fn key(byte: u8) -> PublicKey {
    PublicKey::from_bytes([byte; 32]).unwrap()
}

fn node(name: &str, last: u8, published: Option<u8>) -> Value {
    let key = published.map(|byte| key(byte).to_string());
    json!({
        "kind": "Node", "metadata": {"name": name},
        "spec": {"bgp": {"ipv4Address": format!("10.0.0.{last}/24")}},
        "status": {"wireguardPublicKey": key},
    })
}

fn configuration(name: &str, spec: Value, annotations: Value) -> Value {
    json!({
        "kind": "FelixConfiguration", "metadata": {"name": name, "annotations": annotations},
        "spec": spec,
    })
}

/// Nodes `ada`, `bob` (a peer) and `a-long-name` (keyless), seen from `ada`.
fn cluster(mut spec: Value, annotations: Value) -> Cluster {
    let hosts = &mut spec["wireguardHostEncryptionEnabled"];
    *hosts = (*hosts == true).into();
    let resources = [
        node("ada", 1, Some(1)),
        node("bob", 2, Some(2)),
        node("a-long-name", 3, None),
        configuration("default", spec, annotations),
    ];
    let read = resources
        .iter()
        .map(|resource| read(resource).unwrap())
        .collect();
    let (cluster, wrong) = Cluster::new("ada", &read);
    assert!(wrong.is_empty());
    cluster
}

fn state(networks: &[&str], handshake: Option<u64>) -> State {
    let networks = networks.iter().map(|network| network.parse().unwrap());
    let peer = PeerState {
        peer: Peer {
            endpoint: Some("10.0.0.2:51820".parse().unwrap()),
            allowed_ips: networks.collect(),
            keepalive: 0,
        },
        handshake: handshake
            .map(|age| SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.saturating_sub(age))),
        received_bytes: 1536,
        sent_bytes: 92,
    };
    State {
        public_key: Some(key(1)),
        listen_port: 51820,
        fwmark: 0x10_0000,
        peers: vec![(key(2), peer)],
    }
}

fn dataplane() -> Dataplane {
    let device = Device {
        has_key: true,
        mtu: 1440,
        listen_port: 51820,
        ..Device::default()
    };
    let plane = FamilyDataplane {
        devices: BTreeMap::from([("wireguard.cali".into(), device)]),
        rules: BTreeSet::from([Rule::for_mark(99, 0x10_0000, 1)]),
        ..FamilyDataplane::default()
    };
    let mut dataplane = Dataplane::default();
    dataplane.families.v4 = plane;
    dataplane
}

fn status<'a>(
    cluster: &'a Cluster,
    device: Option<&'a State>,
    actual: &'a Dataplane,
) -> Status<'a> {
    Status {
        node: "ada",
        cluster,
        unread_nodes: &NONE_UNREAD,
        devices: PerFamily {
            v4: device.map(|device| (Backend::Userspace, device)),
            v6: None,
        },
        actual,
        pending: &[],
        problems: &[],
        conflicts: &NO_CONFLICTS,
        bypasses: &NO_BYPASSES,
        unread: false,
        held: false,
        partly_known: false,
        now: SystemTime::UNIX_EPOCH + Duration::from_secs(NOW),
    }
}

#[test]
fn one_long_name_does_not_move_the_others() {
    let long = "n".repeat(253);
    let on = json!({"wireguardEnabled": true});
    let resources = [
        node("ada", 1, Some(1)),
        node(&long, 2, None),
        configuration("default", on, json!({})),
    ];
    let resources = resources.iter().map(|resource| read(resource).unwrap());
    let (cluster, _) = Cluster::new("ada", &resources.collect());
    let actual = Dataplane::default();
    let text = status(&cluster, None, &actual).text();
    assert!(text.contains("\n  state    in sync\n"), "{text}");
    assert!(text.contains(&format!("\n  {long}  in clear")), "{text}");
}

#[track_caller]
fn reads(status: &Status<'_>, expected: &str) {
    let text = status.text();
    assert_eq!(
        text.trim_end(),
        expected.trim_matches('\n'),
        "\n--- it is:\n{text}"
    );
}

#[test]
fn a_node_in_sync_lists_each_peer_and_why_one_is_plain() {
    let cluster = cluster(
        json!({"wireguardEnabled": true, "wireguardHostEncryptionEnabled": true}),
        json!({}),
    );
    let (device, actual) = (
        state(&["10.0.0.2/32", "10.0.1.2/32"], Some(75)),
        dataplane(),
    );
    reads(
        &status(&cluster, Some(&device), &actual),
        "
  node         ada
  state        in sync
  hosts        their own traffic is encrypted too
  strict       off

IPv4
  device       wireguard.cali (userspace), port 51820, mtu 1440
  key          AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=
  routing      table 1, mark 0x100000, priority 99
  a-long-name  in clear: it has published no key
  bob          encrypted to 10.0.0.2:51820, handshake 75 s ago, 1.5 KiB received, 92 B sent
               for 10.0.0.2/32, 10.0.1.2/32
",
    );
}

#[test]
fn a_strict_node_drops_what_it_cannot_encrypt_but_for_the_nodes_it_lists() {
    let enabled = json!({"wireguardEnabled": true});
    let strict = cluster(enabled.clone(), json!({"wiremesh/strict": "true"}));
    let (device, actual) = (state(&[], None), dataplane());
    reads(
        &status(&strict, Some(&device), &actual),
        "
  node         ada
  state        in sync
  hosts        their own traffic is left in clear
  strict       on: encrypt or drop; not in force on this node

IPv4
  device       wireguard.cali (userspace), port 51820, mtu 1440
  key          AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=
  routing      table 1, mark 0x100000, priority 99
  a-long-name  dropped: it has published no key
  bob          encrypted to 10.0.0.2:51820, no handshake yet, 1.5 KiB received, 92 B sent
               for no network
",
    );
    let lists = json!({"wiremesh/strict": "true", "wiremesh/plain-nodes": "a-long-name,bob"});
    let lists = cluster(enabled, lists);
    let text = status(&lists, Some(&device), &actual).text();
    assert!(text.contains(
        "  strict       on: encrypt or drop, but for a-long-name, bob; not in force on this node\n"
    ));
    assert!(text.contains("  a-long-name  in clear: it has published no key\n"));
}

#[test]
fn pending_changes_and_problems_are_listed() {
    let cluster = cluster(json!({"wireguardEnabled": true}), json!({}));
    let name = || "wireguard.cali".to_owned();
    let pending = [
        Change::CreateDevice {
            family: Family::V4,
            name: name(),
        },
        Change::SwitchOn {
            family: Family::V4,
            name: name(),
        },
    ];
    let problems = ["pod.json: it is not JSON".to_owned()];
    let actual = Dataplane::default();
    let status = Status {
        pending: &pending,
        problems: &problems,
        ..status(&cluster, None, &actual)
    };
    reads(
        &status,
        "
  node         ada
  state        2 changes are still to be made
  hosts        their own traffic is left in clear
  strict       off
  problem      pod.json: it is not JSON

IPv4
  device       wireguard.cali is yet to be made
  routing      no rule leads to the device yet
  a-long-name  in clear: it has published no key
  bob          is yet to be made a peer

still to be made
  create wireguard.cali
  switch wireguard.cali on
",
    );
}

#[test]
fn a_node_that_does_not_encrypt_has_the_reason_in_its_status() {
    let actual = Dataplane::default();
    let off = cluster(json!({}), json!({}));
    reads(
        &status(&off, None, &actual),
        "
  node         ada
  state        in sync
  hosts        their own traffic is left in clear
  strict       off

IPv4 is not encrypted: no FelixConfiguration asks for it
",
    );
    let v6 = cluster(json!({"wireguardEnabledV6": true}), json!({}));
    let text = status(&v6, None, &actual).text();
    assert!(text.ends_with("\nIPv6 is not encrypted: this node has no IPv6 address\n"));
    let mut out = cluster(json!({}), json!({}));
    out.opted_out.v4.insert("ada".into());
    let text = status(&out, None, &actual).text();
    assert!(text.ends_with("\nIPv4 is not encrypted: its own FelixConfiguration takes it out\n"));
}

#[test]
fn people_are_not_shown_hundreds_of_networks_and_programs_are() {
    let networks: Vec<_> = (0..200).map(|last| format!("10.1.0.{last}/32")).collect();
    let networks: Vec<_> = networks.iter().map(String::as_str).collect();
    let cluster = cluster(json!({"wireguardEnabled": true}), json!({}));
    let (device, actual) = (state(&networks, None), dataplane());
    let status = status(&cluster, Some(&device), &actual);
    assert!(
        status.text().contains(
            "\n               for 10.1.0.0/32, 10.1.0.1/32, 10.1.0.2/32, 10.1.0.3/32, and 196 more\n"
        ),
        "{}",
        status.text()
    );
    let peer = &status.json()["families"][0]["peers"][1];
    assert_eq!(peer["allowed_ips"].as_array().unwrap().len(), 200);
}

#[test]
fn the_json_has_every_key_each_time() {
    let annotations = json!({"wiremesh/strict": "true", "wiremesh/plain-nodes": "bob"});
    let cluster = cluster(json!({"wireguardEnabled": true}), annotations);
    let (device, actual) = (state(&["10.0.0.2/32"], Some(75)), dataplane());
    let full = status(&cluster, Some(&device), &actual).json();
    assert_eq!(
        full,
        json!({
            "version": 1,
            "node": "ada",
            "in_sync": true,
            "held": false,
            "partly_known": false,
            "pending": [],
            "problems": [],
            "not_as_intended": ["IPv4: a-long-name is cut off: it has published no key"],
            "host_encryption": false,
            "strict": true,
            "strict_in_force": false,
            "plain_nodes": ["bob"],
            "families": [{
                "family": "IPv4",
                "encrypting": true,
                "idle_because": null,
                "interface": "wireguard.cali",
                "implementation": "userspace",
                "listen_port": 51820,
                "mtu": 1440,
                "public_key": key(1).to_string(),
                "table": 1,
                "mark": 0x10_0000,
                "priority": 99,
                "peers": [
                    {
                        "node": "a-long-name", "state": "dropped",
                        "because": "it has published no key",
                        "endpoint": null, "allowed_ips": null, "handshake_age_seconds": null,
                        "received_bytes": null, "sent_bytes": null,
                    },
                    {
                        "node": "bob", "state": "encrypted", "because": null,
                        "endpoint": "10.0.0.2:51820", "allowed_ips": ["10.0.0.2/32"],
                        "handshake_age_seconds": 75,
                        "received_bytes": 1536, "sent_bytes": 92,
                    },
                ],
                "bypasses": [],
                "conflicts": [],
            }],
        })
    );
    let actual = Dataplane::default();
    let empty = status(&cluster, None, &actual).json();
    let keys = |value: &Value| -> Vec<_> { value.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(keys(&empty), keys(&full));
    let families = |value: &Value| keys(&value["families"][0]);
    assert_eq!(families(&empty), families(&full));
}

#[test]
fn strict_is_what_the_store_asks_for_and_what_the_kernel_has() {
    let off = cluster(json!({"wireguardEnabled": true}), json!({}));
    let on = cluster(
        json!({"wireguardEnabled": true}),
        json!({"wiremesh/strict": "true"}),
    );
    let mut refusing = dataplane();
    let refused = ["10.0.0.0/8".parse().unwrap()].into();
    refusing.firewall.sets = BTreeMap::from([("protected4".to_owned(), refused)]);
    let idle = dataplane();
    for (cluster, actual, unread, expected, json) in [
        (&off, &idle, false, "off", json!([false, false])),
        (
            &off,
            &refusing,
            false,
            "off, but still in force",
            json!([false, true]),
        ),
        (
            &on,
            &refusing,
            false,
            "on: encrypt or drop",
            json!([true, true]),
        ),
        (
            &on,
            &idle,
            false,
            "on: encrypt or drop; not in force on this node",
            json!([true, false]),
        ),
        (
            &off,
            &refusing,
            true,
            "unknown: the configuration cannot be read; now it is in force",
            json!([null, true]),
        ),
        (
            &off,
            &idle,
            true,
            "unknown: the configuration cannot be read; now it is not in force",
            json!([null, false]),
        ),
    ] {
        let status = Status {
            unread,
            ..status(cluster, None, actual)
        };
        let text = status.text();
        assert!(
            text.contains(&format!("  strict       {expected}\n")),
            "{text}"
        );
        let found = status.json();
        assert_eq!(json!([found["strict"], found["strict_in_force"]]), json);
    }
}
