//! node-33 of the seed cluster, read as an operator would read it.

use proptest::prelude::*;

use super::*;
use crate::dataplane::Link;
use crate::dataplane::{Peer, WireGuard};

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn route(table: u32, kind: &str, destination: &str, interface: Option<&str>, scope: &str) -> Route {
    Route {
        table,
        destination: net(destination),
        kind: kind.parse().unwrap(),
        via: None,
        interface: interface.map(|name| name.parse().unwrap()),
        protocol: "boot".into(),
        scope: scope.into(),
        source: None,
        metric: 0,
    }
}

fn kernels(route: Route, source: &str) -> Route {
    Route {
        protocol: "kernel".into(),
        source: Some(source.parse().unwrap()),
        ..route
    }
}

fn peer(key: &str, endpoint: &str, allowed: &[&str]) -> Peer {
    Peer {
        public_key: key.into(),
        endpoint: Some(endpoint.parse().unwrap()),
        allowed_ips: allowed.iter().map(|text| net(text)).collect(),
        keepalive: None,
    }
}

/// node-33 of the seed cluster, in an order that nobody would print.
fn node_33() -> Dataplane {
    let link = |name: &str, kind: &str, mtu| Link {
        name: name.parse().unwrap(),
        kind: kind.parse().unwrap(),
        mtu,
        up: true,
    };
    let address = |name: &str, text: &str, scope: &str| Address {
        interface: name.parse().unwrap(),
        address: net(text),
        scope: scope.into(),
    };
    let plain = |priority, table| Rule {
        priority,
        not: false,
        fwmark: None,
        table: Some(table),
        other: vec![],
    };
    Dataplane {
        links: vec![
            link("lo", "loopback", 65536),
            link("eth0", "veth", 1500),
            link("azvpod-34", "veth", 1500),
            link("wireguard.cali", "tun", 1340),
        ],
        addresses: vec![
            address("wireguard.cali", "10.240.0.33/32", "global"),
            address("eth0", "10.240.0.33/16", "global"),
            address("lo", "127.0.0.1/8", "host"),
        ],
        rules6: vec![],
        rules: vec![
            plain(0, 255),
            Rule {
                not: true,
                fwmark: Some((0x10_0000, 0x10_0000)),
                ..plain(99, 1)
            },
            plain(32766, 254),
            plain(32767, 253),
        ],
        routes: vec![
            kernels(route(255, "local", "10.240.0.33/32", Some("eth0"), "host"), "10.240.0.33"),
            kernels(route(255, "local", "127.0.0.0/8", Some("lo"), "host"), "127.0.0.1"),
            kernels(route(255, "broadcast", "127.255.255.255/32", Some("lo"), "link"), "127.0.0.1"),
            Route {
                via: Some("10.240.0.1".parse().unwrap()),
                ..route(254, "unicast", "0.0.0.0/0", Some("eth0"), "global")
            },
            route(1, "unicast", "10.240.0.64/32", Some("wireguard.cali"), "link"),
            route(1, "throw", "10.240.0.34/32", None, "global"),
            route(1, "unicast", "10.240.0.4/32", Some("wireguard.cali"), "link"),
        ],
        wireguard: vec![WireGuard {
            interface: "wireguard.cali".parse().unwrap(),
            public_key: Some("KEY33=".into()),
            listen_port: Some(51820),
            fwmark: 0x10_0000,
            peers: vec![
                peer("KEY64=", "10.240.0.64:51820", &["10.240.0.66/32", "10.240.0.64/32", "10.240.0.65/32"]),
                peer("KEY4=", "10.240.0.4:51820", &["10.240.0.6/32", "10.240.0.5/32", "10.240.0.4/32"]),
            ],
        }],
        nftables: "table ip wiremesh { # handle 3\n\tchain in {\n\t\tcounter packets 12 bytes 800 meta mark set 0x1 # handle 7\n\t}\n}\n".into(),
        sysctls: BTreeMap::from([("net.ipv4.conf.all.src_valid_mark".into(), "1".into())]),
    }
}

fn keys() -> BTreeMap<String, NodeName> {
    [
        ("KEY4=", "node-4"),
        ("KEY33=", "node-33"),
        ("KEY64=", "node-64"),
    ]
    .into_iter()
    .map(|(key, name)| (key.to_owned(), name.parse().unwrap()))
    .collect()
}

#[test]
fn a_node_reads_as_its_operator_would_see_it() {
    let expected = "\
links
  lo              loopback  mtu 65536 up
  eth0            veth      mtu 1500  up
  azvpod-34       veth      mtu 1500  up
  wireguard.cali  wireguard mtu 1340  up

addresses
  lo              127.0.0.1/8 scope host
  eth0            10.240.0.33/16 scope global
  wireguard.cali  10.240.0.33/32 scope global

rules
  0: from all lookup local
  99: not from all fwmark 0x100000/0x100000 lookup 1
  32766: from all lookup main
  32767: from all lookup default

routes
  table 1
    10.240.0.4 dev wireguard.cali proto boot scope link
    throw 10.240.0.34 proto boot
    10.240.0.64 dev wireguard.cali proto boot scope link
  table main
    default via 10.240.0.1 dev eth0 proto boot
  table local
    local 127.0.0.0/8, broadcast 127.255.255.255 dev lo proto kernel
    local 10.240.0.33 dev eth0 proto kernel scope host src 10.240.0.33

wireguard
  interface: wireguard.cali
    public key: node-33
    listening port: 51820
    fwmark: 0x100000

  peer: node-4
    endpoint: 10.240.0.4:51820
    allowed ips: 10.240.0.4/32, 10.240.0.5/32, 10.240.0.6/32

  peer: node-64
    endpoint: 10.240.0.64:51820
    allowed ips: 10.240.0.64/32, 10.240.0.65/32, 10.240.0.66/32

nftables
  table ip wiremesh {
    chain in {
      counter meta mark set 0x1
    }
  }

sysctls
  net.ipv4.conf.all.src_valid_mark = 1
";
    assert_eq!(render(&node_33(), &keys()), expected);
}

#[test]
fn strangers_are_numbered_by_their_place_and_not_by_their_key() {
    let render_with = |first: &str, second: &str| {
        let mut plane = node_33();
        let Some(device) = plane.wireguard.first_mut() else {
            panic!("one device");
        };
        device.peers = vec![
            peer(first, "10.240.0.9:51820", &[]),
            peer("KEY4=", "10.240.0.4:51820", &[]),
            peer(second, "10.240.0.8:51820", &[]),
        ];
        render(&plane, &keys())
    };
    let text = render_with("B=", "A=");
    assert_eq!(text, render_with("A=", "B="));
    let eight = text
        .find("peer: unknown-1\n    endpoint: 10.240.0.8")
        .unwrap();
    let nine = text
        .find("peer: unknown-2\n    endpoint: 10.240.0.9")
        .unwrap();
    let four = text.find("peer: node-4\n").unwrap();
    assert!(four < eight && eight < nine, "{text}");
}

#[test]
fn an_odd_loopback_route_is_printed_in_full() {
    let mut plane = node_33();
    plane.routes.push(Route {
        metric: 5,
        ..kernels(
            route(255, "local", "127.1.0.0/16", Some("lo"), "host"),
            "127.0.0.1",
        )
    });
    let text = render(&plane, &keys());
    assert!(
        text.contains(
            "    local 127.1.0.0/16 dev lo proto kernel scope host src 127.0.0.1 metric 5\n"
        ),
        "{text}"
    );
}

#[test]
fn an_empty_dataplane_has_none_in_every_section() {
    let text = render(&Dataplane::default(), &BTreeMap::new());
    assert_eq!(text.matches("  (none)\n").count(), 7, "{text}");
}

proptest! {
    #[test]
    fn the_order_in_which_routes_and_peers_were_read_does_not_show(seed in any::<u64>()) {
        let mut plane = node_33();
        let turn = |length: usize| usize::try_from(seed % 997).unwrap_or(0) % length;
        let routes = turn(plane.routes.len());
        plane.routes.rotate_left(routes);
        for device in &mut plane.wireguard {
            let peers = turn(device.peers.len());
            device.peers.rotate_left(peers);
            for peer in &mut device.peers {
                peer.allowed_ips.reverse();
            }
        }
        plane.addresses.reverse();
        prop_assert_eq!(render(&plane, &keys()), render(&node_33(), &keys()));
    }
}
