//! Ports that tunnels can have.

use super::{TWO_NODES, planned, refused};
use crate::plan::{FLOW_PORT, LAB_PORTS, PROBE_PORT, SizeId, SpoofId};

/// Every way to give tunnels a port.
fn ways(port: u16) -> [(String, String); 6] {
    let v4 = format!("wireguardListeningPort = {port}");
    let v6 = format!("wireguardListeningPortV6 = {port}");
    let key = format!("listen-port = {port}");
    let step = |more: &str| format!("[[step]]\naction = \"configure\"\n{more}\n");
    let provoked = format!(
        "[[step]]\naction = \"crash-everywhere\"\nnode = \"ada\"\nprovoke = {{ action = \"configure\", set = {{ {v4} }} }}\n"
    );
    [
        (format!("[cluster]\n{key}\n"), "listen-port".to_owned()),
        (
            format!("[cluster.config]\n{v4}\n"),
            "wireguardListeningPort".to_owned(),
        ),
        (
            format!("[cluster.config]\n{v6}\n"),
            "wireguardListeningPortV6".to_owned(),
        ),
        (
            format!("[node.cid.config]\n{v4}\n"),
            "wireguardListeningPort".to_owned(),
        ),
        (
            step(&format!("set = {{ {v6} }}")),
            "wireguardListeningPortV6".to_owned(),
        ),
        (provoked, "wireguardListeningPort".to_owned()),
    ]
}

#[test]
fn a_tunnel_has_no_port_of_the_lab_s_own() {
    let own = [
        PROBE_PORT,
        FLOW_PORT,
        SizeId(0).port(),
        SpoofId(0).port(),
        *LAB_PORTS.end(),
    ];
    for families in ["[\"ipv4\"]", "[\"ipv6\"]", "[\"ipv4\", \"ipv6\"]"] {
        let line = format!("families = {families}\n");
        let text = |more: &str| match more.strip_prefix("[cluster]\n") {
            Some(rest) => format!("{TWO_NODES}[cluster]\n{line}{rest}"),
            None => format!("{TWO_NODES}[cluster]\n{line}{more}"),
        };
        for port in own {
            for (more, key) in ways(port) {
                let text = text(&more);
                let problems = refused(&text);
                let rendered = problems.render();
                assert_eq!(problems.len(), 1, "{rendered}");
                let [problem] = problems.each() else { continue };
                assert_eq!(text[problem.advice().0], port.to_string(), "{more}");
                for part in [
                    &format!("`{key}` is a port of the lab's own"),
                    "7007 to 7999",
                    "probes to 7007",
                    "flows to 7008",
                    "to 7009 and up",
                    "7100 and up",
                ] {
                    let flat = rendered
                        .split_whitespace()
                        .collect::<Vec<_>>()
                        .join(" ")
                        .replace("│ ", "");
                    assert!(flat.contains(part), "{part} is not in\n{rendered}");
                }
            }
        }
        for port in [LAB_PORTS.start() - 1, LAB_PORTS.end() + 1] {
            for (more, _) in ways(port) {
                planned(&text(&more));
            }
        }
    }
}

/// Two nodes with so many pods together, and so many tables about pairs of these.
fn about_pairs(pods: usize, count: usize, table: impl Fn(usize, usize) -> String) -> String {
    let names: Vec<_> = (0..pods).map(|pod| format!("\"p{pod}\"")).collect();
    let pairs = (0..pods).flat_map(|from| (0..pods).map(move |to| (from, to)));
    let pairs = pairs.filter(|(from, to)| from != to).take(count);
    let tables: String = pairs.map(|(from, to)| table(from, to)).collect();
    format!(
        "title = \"many\"\n[node.ada]\npods = [{}]\n[node.bob]\n{tables}",
        names.join(", ")
    )
}

#[test]
fn each_of_the_lab_s_packets_has_a_port_of_its_own() {
    let spoof = |from, to| {
        format!(
            "[[spoof]]\nthrough = \"bob\"\nas = \"p{from}\"\nto = \"p{to}\"\ndrop = \"nothing\"\n"
        )
    };
    let plan = planned(&about_pairs(31, 900, spoof));
    assert_eq!(plan.spoofs.last().map(|spoof| spoof.id.port()), Some(7999));
    let rendered = refused(&about_pairs(31, 901, spoof)).render();
    assert!(rendered.contains("901 spoofs are too many"), "{rendered}");
    let size = |from, to| format!("[[mtu]]\nfrom = \"p{from}\"\nto = \"p{to}\"\n");
    let each = planned(&about_pairs(31, 1, size)).limits.sizes.len();
    let most = 991 / each;
    let plan = planned(&about_pairs(31, most, size));
    assert_eq!(plan.limits.sizes.len(), most * each);
    let sizes = plan.limits.sizes.iter();
    assert!(
        sizes
            .map(|size| size.id.port())
            .all(|port| LAB_PORTS.contains(&port))
    );
    let rendered = refused(&about_pairs(31, most + 1, size)).render();
    assert!(rendered.contains("are too many"), "{rendered}");
}

#[test]
fn a_tunnel_has_no_port_that_a_nat_may_give_away() {
    let text = |port: u16| {
        format!(
            "title = \"nat\"\n[cluster]\nkeepalive = 1\nlisten-port = {port}\n[node.ada]\nbehind-nat = true\n[node.bob]\n"
        )
    };
    for port in [40_000, 49_999] {
        let rendered = refused(&text(port)).render();
        assert!(
            rendered.contains("one that the NAT may give to a connection"),
            "{rendered}"
        );
    }
    for port in [39_999, 50_000] {
        planned(&text(port));
    }
}
