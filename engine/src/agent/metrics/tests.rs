//! The exact text of the metrics page.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use wiremesh_plan::dataplane::model::Peer;
use wiremesh_plan::intent::cluster::Plain;
use wiremesh_plan::intent::family::Family;
use wiremesh_plan::intent::key::PublicKey;

use super::*;
use crate::agent::health::{Cause, Mesh};

const OWN: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const OTHER: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

fn key(byte: u8) -> PublicKey {
    PublicKey::from_bytes([byte; 32]).unwrap()
}

fn device(port: u16, endpoint: Option<&str>, handshake: Option<u64>) -> State {
    let peer = PeerState {
        peer: Peer {
            endpoint: endpoint.map(|endpoint| endpoint.parse().unwrap()),
            ..Peer::default()
        },
        handshake: handshake.map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)),
        received_bytes: 148,
        sent_bytes: 92,
    };
    State {
        public_key: Some(key(1)),
        listen_port: port,
        fwmark: 0x10_0000,
        peers: vec![(key(2), peer)],
    }
}

fn only<'a>(page: &'a str, start: &str) -> Vec<&'a str> {
    page.lines()
        .filter(|line| line.starts_with(start))
        .collect()
}

#[test]
fn wireguard_metrics_have_calico_s_names_for_both_families() {
    let readings = [
        (
            "wireguard.cali".into(),
            Some(device(51820, Some("10.0.0.2:51820"), Some(1_700_000_000))),
        ),
        (
            "wg-v6.cali".into(),
            Some(device(51821, Some("[fd00::2]:51821"), None)),
        ),
    ];
    let page = page(&Health::new("node-1"), &readings);
    let wireguard = page.split("# HELP wiremesh_").next().unwrap();
    let expected = format!(
        r#"# HELP wireguard_meta wireguard interface and runtime metadata
# TYPE wireguard_meta gauge
wireguard_meta{{hostname="node-1",iface="wireguard.cali",listen_port="51820",public_key="{OWN}"}} 1
wireguard_meta{{hostname="node-1",iface="wg-v6.cali",listen_port="51821",public_key="{OWN}"}} 1
# HELP wireguard_bytes_rcvd wireguard interface incoming bytes count from peer
# TYPE wireguard_bytes_rcvd counter
wireguard_bytes_rcvd{{hostname="node-1",peer_endpoint="10.0.0.2:51820",peer_key="{OTHER}",public_key="{OWN}"}} 148
wireguard_bytes_rcvd{{hostname="node-1",peer_endpoint="[fd00::2]:51821",peer_key="{OTHER}",public_key="{OWN}"}} 148
# HELP wireguard_bytes_sent wireguard interface outgoing bytes count to peer
# TYPE wireguard_bytes_sent counter
wireguard_bytes_sent{{hostname="node-1",peer_endpoint="10.0.0.2:51820",peer_key="{OTHER}",public_key="{OWN}"}} 92
wireguard_bytes_sent{{hostname="node-1",peer_endpoint="[fd00::2]:51821",peer_key="{OTHER}",public_key="{OWN}"}} 92
# HELP wireguard_latest_handshake_seconds wireguard interface latest handshake unix timestamp in seconds to a peer
# TYPE wireguard_latest_handshake_seconds gauge
wireguard_latest_handshake_seconds{{hostname="node-1",peer_endpoint="10.0.0.2:51820",peer_key="{OTHER}",public_key="{OWN}"}} 1700000000
wireguard_latest_handshake_seconds{{hostname="node-1",peer_endpoint="[fd00::2]:51821",peer_key="{OTHER}",public_key="{OWN}"}} 0
"#
    );
    assert_eq!(wireguard, expected);
}

#[test]
fn a_device_without_a_key_or_an_answer_has_no_wireguard_metrics() {
    let mut keyless = device(51820, None, None);
    keyless.public_key = None;
    let readings = [("a".into(), Some(keyless)), ("b".into(), None)];
    let page = page(&Health::new("node-1"), &readings);
    assert_eq!(only(&page, "wireguard_"), Vec::<&str>::new());
    assert_eq!(
        only(&page, "wiremesh_device_readable"),
        [
            "wiremesh_device_readable{iface=\"a\"} 1",
            "wiremesh_device_readable{iface=\"b\"} 0",
        ]
    );
}

#[test]
fn wireguards_own_can_be_left_out() {
    let mut health = Health::new("node-1");
    health.exports_wireguard = false;
    let readings = [("a".into(), Some(device(51820, None, None)))];
    let page = page(&health, &readings);
    assert!(page.starts_with("# HELP wiremesh_in_sync "), "{page}");
}

#[test]
fn a_labels_value_cannot_end_its_label() {
    let mut page = Page(String::new());
    page.sample("m", &[("a", "x\"} 9\nm{b=\"\\")], 1);
    assert_eq!(page.0, "m{a=\"x\\\"} 9\\nm{b=\\\"\\\\\"} 1\n");
}

#[test]
fn the_page_has_every_metric_of_the_agent() {
    let mut health = Health::new("node-1");
    let start = Instant::now();
    health.began(start);
    health.changed(Some(Cause::Drift));
    health.settled(
        start + Duration::from_millis(40),
        SystemTime::UNIX_EPOCH + Duration::from_millis(1500),
    );
    health.store(true);
    (
        health.writes,
        health.resyncs,
        health.failures,
        health.problems,
    ) = (7, 3, 2, 1);
    health.conflicts.v4 = 3;
    health.meshes[Family::V4] = Mesh {
        encrypting: true,
        device: None,
        encrypted: 2,
        plain: BTreeMap::from([("a".into(), Plain::NoKey)]),
        dropped: ["b", "c"].map(|name| (name.into(), Plain::OptedOut)).into(),
    };
    let page = page(&health, &[]);
    let samples: Vec<_> = page.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(
        samples.join("\n"),
        r#"wiremesh_in_sync 1
wiremesh_last_sync_timestamp_seconds 1.5
wiremesh_problems 1
wiremesh_store_reachable 0
wiremesh_store_losses_total 1
wiremesh_store_reconnects_total 0
wiremesh_kernel_writes_total 7
wiremesh_resyncs_total 3
wiremesh_drift_repairs_total{cause="drift"} 1
wiremesh_drift_repairs_total{cause="resync"} 0
wiremesh_failures_total 2
wiremesh_convergence_seconds_bucket{le="0.01"} 0
wiremesh_convergence_seconds_bucket{le="0.025"} 0
wiremesh_convergence_seconds_bucket{le="0.05"} 1
wiremesh_convergence_seconds_bucket{le="0.1"} 1
wiremesh_convergence_seconds_bucket{le="0.25"} 1
wiremesh_convergence_seconds_bucket{le="0.5"} 1
wiremesh_convergence_seconds_bucket{le="1"} 1
wiremesh_convergence_seconds_bucket{le="2.5"} 1
wiremesh_convergence_seconds_bucket{le="5"} 1
wiremesh_convergence_seconds_bucket{le="10"} 1
wiremesh_convergence_seconds_bucket{le="30"} 1
wiremesh_convergence_seconds_bucket{le="+Inf"} 1
wiremesh_convergence_seconds_sum 0.04
wiremesh_convergence_seconds_count 1
wiremesh_strict 0
wiremesh_encrypting{family="ipv4"} 1
wiremesh_encrypting{family="ipv6"} 0
wiremesh_address_conflicts{family="ipv4"} 3
wiremesh_address_conflicts{family="ipv6"} 0
wiremesh_peers{family="ipv4",reason="",state="encrypted"} 2
wiremesh_peers{family="ipv4",reason="bad_address",state="plain"} 0
wiremesh_peers{family="ipv4",reason="bad_key",state="plain"} 0
wiremesh_peers{family="ipv4",reason="bypassed",state="plain"} 0
wiremesh_peers{family="ipv4",reason="no_address",state="plain"} 0
wiremesh_peers{family="ipv4",reason="no_key",state="plain"} 1
wiremesh_peers{family="ipv4",reason="opted_out",state="plain"} 0
wiremesh_peers{family="ipv4",reason="own_key_shared",state="plain"} 0
wiremesh_peers{family="ipv4",reason="shared_key",state="plain"} 0
wiremesh_peers{family="ipv4",reason="bad_address",state="dropped"} 0
wiremesh_peers{family="ipv4",reason="bad_key",state="dropped"} 0
wiremesh_peers{family="ipv4",reason="bypassed",state="dropped"} 0
wiremesh_peers{family="ipv4",reason="no_address",state="dropped"} 0
wiremesh_peers{family="ipv4",reason="no_key",state="dropped"} 0
wiremesh_peers{family="ipv4",reason="opted_out",state="dropped"} 2
wiremesh_peers{family="ipv4",reason="own_key_shared",state="dropped"} 0
wiremesh_peers{family="ipv4",reason="shared_key",state="dropped"} 0"#
    );
}

#[test]
fn the_readme_names_every_metric_and_no_other() {
    let page = page(&Health::new("node-1"), &[]);
    let heads = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let exported: BTreeSet<_> = heads.filter_map(|head| head.split(' ').next()).collect();
    let readme = include_str!("../../../README.md");
    let words = readme.split(|c: char| !c.is_alphanumeric() && c != '_');
    let named = words.filter(|word| {
        ["wiremesh_", "wireguard_"]
            .iter()
            .any(|s| word.starts_with(s))
    });
    assert_eq!(named.collect::<BTreeSet<_>>(), exported);
}
