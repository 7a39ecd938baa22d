//! Explanations of packets that are meant to be in clear.

use super::*;

/// Encrypt or drop, but for one address.
fn strict(plain: &str) -> String {
    format!(
        "\ntable inet engine {{
	set plain4 {{
		type ipv4_addr
		elements = {{ {plain} }}
	}}
	chain out {{
		type filter hook postrouting priority filter; policy accept;
		ip daddr @plain4 accept
		counter drop
	}}
}}"
    )
}

/// No table leads there into the tunnel.
fn exempt(node: &mut NodeEvidence, address: &str) {
    let to = format!("{address}/32");
    let routes = &mut node.dataplane.routes;
    routes.retain(|route| route.table != 1 || route.destination.to_string() != to);
    routes.push(route(1, &to, "throw", None));
}

fn change(evidence: &mut Evidence, node: &str, change: impl Fn(&mut NodeEvidence)) {
    let name: NodeName = node.parse().unwrap();
    change(evidence.nodes.get_mut(&name).unwrap());
}

#[test]
fn encrypt_or_drop_is_blamed_on_the_node_that_does_not_list_the_other_end() {
    let cause = |[ada, bob]: [Option<&str>; 2], port: u16| {
        let spoil = |evidence: &mut Evidence, _: &mut Plan| {
            change(evidence, "ada", |node| {
                device(node).listen_port = Some(port)
            });
            for (node, far, plain) in [("ada", "10.240.0.65", ada), ("bob", "10.240.0.5", bob)] {
                change(evidence, node, |node| {
                    exempt(node, far);
                    node.dataplane.nftables += &plain.map(strict).unwrap_or_default();
                });
            }
        };
        explained_as(
            Protection::Plaintext,
            Family::Ipv4,
            ["web", "db"],
            Reached::Elsewhere,
            spoil,
        )
        .cause
    };
    let (other, web, db) = ("192.0.2.1", "10.240.0.5", "10.240.0.65");
    let of_ada = "nftables of ada drops what is not encrypted (`counter drop`), and does not list 10.240.0.65 as plain";
    let of_bob = "nftables of bob drops what is not encrypted (`counter drop`), and does not list 10.240.0.5 as plain";
    for (plain, expected) in [
        ([Some(other), None], Some(of_ada)),
        ([Some(other), Some(web)], Some(of_ada)),
        ([None, Some(other)], Some(of_bob)),
        // That the sender lists the other end says that it is not the one to blame.
        ([Some(db), Some(other)], Some(of_bob)),
        ([Some(db), Some(web)], None),
        ([Some(db), None], None),
        ([None, Some(web)], None),
    ] {
        let cause = cause(plain, 51_820);
        match expected {
            Some(expected) => assert_eq!(cause, expected, "{plain:?}"),
            None => assert!(!cause.contains("as plain"), "{plain:?}: {cause}"),
        }
    }
    // That the sender's device is odd besides is not what dropped it.
    assert_eq!(cause([Some(db), Some(other)], 9), of_bob);
}

#[test]
fn a_missing_throw_is_reported_with_the_route_that_decided() {
    let why = explained("app", "ada", Reached::Elsewhere, |node| {
        node.dataplane
            .routes
            .retain(|route| route.kind != RouteKind::Throw);
    });
    let cause = "throw route missing: table 1 of ada does not list 10.240.0.6";
    assert_eq!(why.cause, cause);
    let won =
        "rule 32766: from all lookup main, route 10.240.0.6 dev azvapp proto static scope link";
    assert_eq!(why.won.as_deref(), Some(won));
    let expected = "route throw 10.240.0.6 in table 1";
    assert_eq!(why.expected.as_deref(), Some(expected));
}

#[test]
fn a_packet_that_entered_the_tunnel_was_dropped_by_no_firewall() {
    let spoil = |evidence: &mut Evidence, _: &mut Plan| {
        change(evidence, "ada", |node| {
            let routes = &mut node.dataplane.routes;
            routes.retain(|route| route.kind != RouteKind::Throw);
            routes.push(route(1, "10.240.0.6/32", "unicast", Some("wireguard.cali")));
            node.dataplane.nftables += &strict("192.0.2.1");
        });
    };
    let why = explained_of("app", Reached::Sender, spoil);
    let cause = "throw route missing: table 1 of ada leads 10.240.0.6 into wireguard.cali";
    assert_eq!(why.cause, cause);
}

#[test]
fn without_host_encryption_no_table_lists_a_node() {
    for (host_encryption, expected) in [
        (false, "unknown"),
        (
            true,
            "throw route missing: table 1 of ada does not list 10.240.0.64",
        ),
    ] {
        let spoil = |evidence: &mut Evidence, plan: &mut Plan| {
            plan.cluster.host_encryption = host_encryption;
            change(evidence, "bob", |node| exempt(node, "10.240.0.5"));
            change(evidence, "ada", |node| {
                let bob: IpNet = "10.240.0.64/32".parse().unwrap();
                node.dataplane
                    .routes
                    .retain(|route| route.destination != bob);
            });
        };
        let ends = ["web", "bob"];
        let why = explained_as(
            Protection::Plaintext,
            Family::Ipv4,
            ends,
            Reached::Elsewhere,
            spoil,
        );
        assert!(why.cause.starts_with(expected), "{}", why.cause);
    }
}
