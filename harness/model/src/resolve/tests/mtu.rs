//! The promises of an `[[mtu]]` about each path.

use super::{TWO_NODES, planned, refused};
use crate::plan::{Hop, MtuKind, Origin, Plan};

/// Two nodes with a pod each, whose largest packets are looked for; with more keys above the nodes, in
/// ada, in bob and in the promise.
fn limited(above: &str, ada: &str, bob: &str, promise: &str) -> Plan {
    planned(&format!(
        "title = \"sizes\"\n{above}\n[node.ada]\npods = [\"web\"]\n{ada}\n[node.bob]\npods = [\"db\"]\n{bob}\n\
         [[mtu]]\nfrom = \"db\"\nto = \"web\"\n{promise}\n"
    ))
}

/// The largest packet that is promised, and the hop that reports larger ones; none if nothing is.
fn largest(plan: &Plan) -> Option<(u32, Hop)> {
    let promises = plan.limits.promises.iter();
    let mut all = promises.filter_map(|promise| match &promise.kind {
        MtuKind::TooLarge {
            mtu, reported_by, ..
        } => Some((*mtu, reported_by.clone())),
        MtuKind::Device { .. }
        | MtuKind::Largest { .. }
        | MtuKind::Fragmented { .. }
        | MtuKind::Bulk { .. }
        | MtuKind::Outer { .. } => None,
    });
    all.next()
}

/// Whether a transfer has to get through, and whether its author states so.
fn bulk(plan: &Plan) -> (bool, bool) {
    let promises = plan.limits.promises.iter();
    let mut all = promises.filter_map(|promise| match promise.kind {
        MtuKind::Bulk { arrives, .. } => Some((arrives, promise.origin != Origin::Derived)),
        MtuKind::Device { .. }
        | MtuKind::Largest { .. }
        | MtuKind::TooLarge { .. }
        | MtuKind::Fragmented { .. }
        | MtuKind::Outer { .. } => None,
    });
    all.next().unwrap()
}

#[test]
fn a_transfer_gets_through_unless_the_scenario_states_that_it_is_lost() {
    for beyond in ["drop", "fragment", "swallow"] {
        let fabric = format!("[fabric]\nmtu = 1400\nbeyond-mtu = \"{beyond}\"");
        assert_eq!(
            bulk(&limited(&fabric, "", "", "")),
            (true, false),
            "{beyond}"
        );
        let lost = limited(&fabric, "", "", "bulk = \"lost\"");
        assert_eq!(bulk(&lost), (false, true), "{beyond}");
    }
    assert_eq!(
        bulk(&limited("", "", "", "bulk = \"arrives\"")),
        (true, true)
    );
}

#[test]
fn an_uplink_takes_in_four_bytes_more_than_its_mtu() {
    // 1344 bytes and 60 of headers are 1404.
    let narrow = limited("", "mtu = 1400", "", "");
    assert_eq!(largest(&narrow), Some((1344, Hop::Nobody)));
    // What a fabric carries, and what a node sends, is exact: 1328 is the last multiple of 16.
    let fabric = limited("[fabric]\nmtu = 1400", "", "", "");
    assert_eq!(largest(&fabric), Some((1328, Hop::Nobody)));
    let sender = limited("", "", "mtu = 1400", "");
    assert_eq!(
        largest(&sender),
        Some((1340, Hop::Node("bob".parse().unwrap())))
    );
    let both = limited("[fabric]\nmtu = 1400", "mtu = 1400", "", "");
    assert_eq!(largest(&both), Some((1328, Hop::Nobody)));
    // In clear as well.
    let plain = limited("[cluster]\nwireguard = false", "mtu = 1400", "", "");
    assert_eq!(largest(&plain), Some((1404, Hop::Nobody)));
}

#[test]
fn where_the_tunnel_s_df_bit_decides_the_largest_is_promised_only_if_it_is_stated() {
    let swallow = "[fabric]\nmtu = 1400\nbeyond-mtu = \"swallow\"";
    assert_eq!(largest(&limited(swallow, "", "", "")), None);
    let stated = limited(swallow, "", "", "largest = 1328");
    assert_eq!(largest(&stated), Some((1328, Hop::Nobody)));
    // Where the device suits the fabric nothing depends on it.
    let suits = format!("{swallow}\n[cluster]\nmtu = 1340");
    let bob = || Hop::Node("bob".parse().unwrap());
    assert_eq!(largest(&limited(&suits, "", "", "")), Some((1340, bob())));
    let drops = limited("[fabric]\nmtu = 1400", "", "", "");
    assert_eq!(largest(&drops), Some((1328, Hop::Nobody)));
}

#[test]
fn no_link_of_ipv6_has_less_than_its_least_mtu() {
    let ways = |mtu: u16| {
        [
            format!("[cluster]\nmtu = {mtu}\n"),
            format!("[fabric]\nmtu = {mtu}\n"),
            format!("[[step]]\naction = \"set-mtu\"\nnode = \"ada\"\nmtu = {mtu}\n"),
            format!("[[step]]\naction = \"set-fabric-mtu\"\nmtu = {mtu}\n"),
        ]
    };
    let text = |families: &str, more: &str| {
        let families = format!("families = {families}\n");
        match more.strip_prefix("[cluster]\n") {
            Some(keys) => format!("{TWO_NODES}[cluster]\n{families}{keys}"),
            None => format!("{TWO_NODES}[cluster]\n{families}{more}"),
        }
    };
    for families in ["[\"ipv6\"]", "[\"ipv4\", \"ipv6\"]"] {
        for way in ways(1279) {
            let text = text(families, &way);
            let problems = refused(&text);
            let rendered = problems.render();
            assert_eq!(problems.len(), 1, "{rendered}");
            assert_eq!(text[problems.each()[0].advice().0], *"1279", "{rendered}");
            assert!(rendered.contains("RFC 8200"), "{rendered}");
        }
        for way in ways(1280) {
            planned(&text(families, &way));
        }
    }
    for way in ways(1279) {
        planned(&text("[\"ipv4\"]", &way));
    }
}
