//! `[cluster]`, and the fields of a FelixConfiguration.

use toml::Spanned;

use crate::document::{Key, Table, Word};
use crate::name::IfName;
use crate::plan::{Addressing, Family, RouteSource, Settings};
use crate::problem::Span;

use super::{FAMILIES, placed_mtu, port, value};

const ROUTE_SOURCES: &[Word<RouteSource>] = &[
    (
        "workload-ips",
        RouteSource::WorkloadIps,
        "the fabric's subnet",
    ),
    (
        "calico-ipam",
        RouteSource::CalicoIpam,
        "blocks of 10.65.0.0/16; a pod may borrow an address from another node's block, and where no block has its \
         address, the pod's node claims the block",
    ),
];

const ADDRESSINGS: &[Word<Addressing>] = &[
    ("veth", Addressing::Veth, "each pod by a route of its own"),
    (
        "bridge",
        Addressing::Bridge,
        "all pods by a bridge `cni0`, with a subnet of 10.244.0.0/16 for each node",
    ),
];

const TYPE: Key = Key::optional(
    "type",
    "ClusterInformation's type; `aks` with host encryption makes the device's MTU 160 smaller than the uplink's",
    "none",
);

const WIREGUARD: Key = Key::or(
    "wireguard",
    "whether encryption is on before the first step",
    "true",
);

const HOST_ENCRYPTION: Key = Key::or(
    "host-encryption",
    "whether the nodes' own traffic is encrypted too",
    "true",
);

const ROUTE_SOURCE: Key = Key::or(
    "route-source",
    "where pods have their addresses from",
    "\"workload-ips\"",
);

const ADDRESSING: Key = Key::or("addressing", "how a node connects its pods", "\"veth\"");

const FAMILIES_KEY: Key = Key::or(
    "families",
    "the IP families of the cluster; both are `[\"ipv4\", \"ipv6\"]`",
    "[\"ipv4\"]",
);

const INTERFACE: Key = Key::or(
    "interface",
    "the tunnel device's name, which no other interface of a node has; with both families that of IPv4's, and \
     `config` has IPv6's",
    "\"wireguard.cali\"",
);

const LISTEN_PORT: Key = Key::or(
    "listen-port",
    "the tunnel device's UDP port; with both families that of IPv4's, and `config` has IPv6's; none of 7007 to 7999, which the lab's own packets go to",
    "51820",
);

const MTU: Key = Key::optional(
    "mtu",
    "the MTU of the tunnel devices of all families; with IPv6 at least 1280 bytes (RFC 8200)",
    "by the uplink's",
);

const KEEPALIVE: Key = Key::or(
    "keepalive",
    "how often the tunnel device sends a persistent keepalive; 0 is never",
    "0",
);

const CONFIG: Key = Key::optional(
    "config",
    "fields of FelixConfiguration `default`, which are passed on as they are",
    "none",
);

const ANNOTATIONS: Key = Key::optional(
    "annotations",
    "annotations of FelixConfiguration `default`",
    "none",
);

/// `[cluster]`.
#[derive(Debug, Default)]
pub struct Cluster {
    /// ClusterInformation's type.
    pub kind: Option<String>,
    /// Whether encryption is on at first.
    pub wireguard: Option<bool>,
    /// Whether it covers the nodes' own traffic.
    pub host_encryption: Option<bool>,
    /// Where the pods' addresses come from.
    pub route_source: Option<Spanned<RouteSource>>,
    /// How nodes connect their pods.
    pub addressing: Option<Spanned<Addressing>>,
    /// Its families.
    pub families: Option<Vec<Spanned<Family>>>,
    /// Name of the tunnel device.
    pub interface: Option<Spanned<IfName>>,
    /// UDP port of the tunnel devices.
    pub listen_port: Option<u16>,
    /// MTU of the tunnel devices, in bytes.
    pub mtu: Option<Spanned<u16>>,
    /// Seconds between keepalives.
    pub keepalive: Option<u16>,
    /// `[cluster.config]` and `[cluster.annotations]`.
    pub settings: Settings,
    /// Where the fields are written.
    pub config: Option<Span>,
}

pub(super) fn cluster(table: &mut Table<'_, '_>) -> Cluster {
    Cluster {
        kind: table
            .parsed(TYPE, value::CLUSTER_TYPE, value::cluster_type)
            .map(Spanned::into_inner),
        wireguard: table.flag(WIREGUARD),
        host_encryption: table.flag(HOST_ENCRYPTION),
        route_source: table.word(ROUTE_SOURCE, "route source", ROUTE_SOURCES),
        addressing: table.word(ADDRESSING, "addressing", ADDRESSINGS),
        families: table
            .words(FAMILIES_KEY, "family", FAMILIES)
            .map(Spanned::into_inner),
        interface: table.parsed(INTERFACE, value::TUNNEL_DEVICE, value::tunnel_device),
        listen_port: port::listen_port(table, LISTEN_PORT),
        mtu: placed_mtu(table, MTU),
        keepalive: table.number(KEEPALIVE, 0..=u16::MAX, "seconds"),
        settings: settings(table, CONFIG, ANNOTATIONS),
        config: table.place_of(CONFIG),
    }
}

/// Fields and annotations of a FelixConfiguration.
pub(super) fn settings(table: &mut Table<'_, '_>, config: Key, annotations: Key) -> Settings {
    let fields = table.values(config, port::FIELD);
    port::refuse_fields(table, config);
    Settings {
        fields,
        annotations: table.annotations(annotations),
    }
}
