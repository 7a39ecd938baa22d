//! Routes past the tunnel: by a nexthop object, by several next hops, in an encapsulation, of any type.

use std::fs;

use super::{Case, FAMILIES, Family, case, compare, start};
use crate::bypass::{check, ip};
use crate::{INSIDE, Node, in_namespaces};

const RULE: &str = "rule add pref 20 lookup 80";
const GATEWAY: &str = "nexthop add id 7 via NOBODY dev outside";
const TUNNEL: &str = "nexthop add id 8 dev TUNNEL";

const ROUTES: [Case; 23] = [
    case(
        &[GATEWAY, "route add BOB nhid 7 table 80", RULE],
        "BOB",
        true,
    ),
    case(
        &[TUNNEL, "route add BOB nhid 8 table 80", RULE],
        "BOB",
        false,
    ),
    case(
        &[
            "nexthop add id 9 blackhole",
            "route add BOB nhid 9 table 80",
            RULE,
        ],
        "BOB",
        true,
    ),
    case(
        &[
            GATEWAY,
            "nexthop add id 9 group 7",
            "route add BOB nhid 9 table 80",
            RULE,
        ],
        "BOB",
        true,
    ),
    case(
        &[
            TUNNEL,
            "nexthop add id 9 group 8",
            "route add BOB nhid 9 table 80",
            RULE,
        ],
        "BOB",
        false,
    ),
    // By which of two it goes, the packet's hash decides.
    case(
        &[
            GATEWAY,
            TUNNEL,
            "nexthop add id 9 group 7/8",
            "route add BOB nhid 9 table 80",
            RULE,
        ],
        "ANY",
        true,
    ),
    case(
        &[
            GATEWAY,
            "nexthop add id 9 group 7 type resilient buckets 4",
            "route add BOB nhid 9 table 80",
            RULE,
        ],
        "BOB",
        true,
    ),
    // Its place is before a wider one that leads into the tunnel, and behind one that does.
    case(
        &[
            GATEWAY,
            TUNNEL,
            "route add BOB nhid 7 table 80",
            "route add default nhid 8 table 80",
            RULE,
        ],
        "BOB",
        true,
    ),
    case(
        &[
            GATEWAY,
            TUNNEL,
            "route add BOB nhid 8 table 80",
            "route add default nhid 7 table 80",
            RULE,
        ],
        "BOB",
        false,
    ),
    // The object of a route that is suppressed has its link's group.
    case(
        &[
            GATEWAY,
            "route add BOB nhid 7 table 80",
            "rule add pref 20 lookup 80 suppress_ifgroup 0",
        ],
        "BOB",
        false,
    ),
    case(
        &[
            "link set outside group 5",
            GATEWAY,
            "route add BOB nhid 7 table 80",
            "rule add pref 20 lookup 80 suppress_ifgroup 0",
        ],
        "BOB",
        true,
    ),
    case(
        &[
            "route add BOB table 80 nexthop via NOBODY dev outside nexthop via OTHER dev outside",
            RULE,
        ],
        "BOB",
        true,
    ),
    case(
        &["route add BOB via NOBODY dev outside table 80", RULE],
        "BOB",
        true,
    ),
    // An encapsulation looks for its own way, whatever the route's link is; that in IP does not.
    case(
        &[
            "route add BOB encap seg6 mode encap segs fd00::77 dev TUNNEL table 80",
            RULE,
        ],
        "CLEAR",
        true,
    ),
    case(
        &[
            "route add BOB encap ip id 5 dst 10.0.0.77 dev TUNNEL table 80",
            RULE,
        ],
        "CLEAR",
        false,
    ),
    case(
        &[
            "route add BOB encap ip id 5 dst 10.0.0.77 dev outside table 80",
            RULE,
        ],
        "CLEAR",
        true,
    ),
    case(
        &["route add multicast BOB dev outside table 80", RULE],
        "CLEAR",
        true,
    ),
    case(
        &["route add anycast BOB dev outside table 80", RULE],
        "CLEAR",
        true,
    ),
    case(
        &["route add multicast BOB dev outside table 255"],
        "CLEAR",
        true,
    ),
    case(
        &[
            "route add BOB dev TUNNEL metric 5 table 80",
            "route add BOB dev outside metric 9 table 80",
            RULE,
        ],
        "BOB",
        false,
    ),
    case(
        &[
            "route add BOB dev TUNNEL metric 9 table 80",
            "route add BOB dev outside metric 5 table 80",
            RULE,
        ],
        "BOB",
        true,
    ),
    case(
        &[
            "route add throw BOB table 80",
            "route add default dev outside table 80",
            RULE,
        ],
        "BOB",
        false,
    ),
    case(&["route add prohibit BOB table 80", RULE], "BOB", true),
];

/// Routes that one family alone has.
const ROUTES_V4: [Case; 4] = [
    case(
        &[
            "route add BOB via inet6 fd00::77 dev outside table 80",
            RULE,
        ],
        "BOB",
        true,
    ),
    // For some packets alone.
    case(
        &["route add default tos 0x10 dev outside table 80", RULE],
        "BOB tos 0x10",
        true,
    ),
    case(
        &[
            "route add throw BOB tos 0x10 table 80",
            "route add default dev outside table 80",
            RULE,
        ],
        "BOB",
        true,
    ),
    case(
        &[
            "route add BOB tos 0x10 dev TUNNEL table 80",
            "route add BOB dev outside table 80",
            RULE,
        ],
        "BOB",
        true,
    ),
];

const ROUTES_V6: [Case; 2] = [
    case(
        &["route add default from OWN dev outside table 80", RULE],
        "BOB from OWN",
        true,
    ),
    case(
        &[
            "route add BOB from FOREIGN dev TUNNEL table 80",
            "route add default dev outside table 80",
            RULE,
        ],
        "BOB from OWN",
        true,
    ),
];

#[test]
fn a_route_leads_where_the_kernel_leads_by_it() {
    in_namespaces("bypass::kinds::route::inside_routes_lead");
}

#[test]
#[ignore = "the test above runs it in a namespace of its own"]
fn inside_routes_lead() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path());
    for family in &FAMILIES {
        family.neighbours();
    }
    // Whether a route tells what its nexthop object does, or its number alone.
    for mode in ["1", "0"] {
        fs::write("/proc/sys/net/ipv4/nexthop_compat_mode", mode).unwrap();
        let [v4, v6] = &FAMILIES;
        for family in &FAMILIES {
            compare(&node, family, &ROUTES);
            nexthop_changes(&node, family);
        }
        compare(&node, v4, &ROUTES_V4);
        compare(&node, v6, &ROUTES_V6);
    }
    for family in &FAMILIES {
        rule_comes_last(&node, family);
    }
}

/// The object leads elsewhere, and no route and no rule has changed.
fn nexthop_changes(node: &Node, family: &Family) {
    let problem = format!("{}: the rule `20: from all lookup 80`", family.name);
    let is_reported = |status: &str| status.contains(&problem);
    let is_well = |status: &str| status.contains("STATUS=in sync: 2 peers") && !is_reported(status);
    for command in [TUNNEL, "route add BOB nhid 8 table 80", RULE] {
        ip(&family.fill(command));
    }
    let (well, text) = check(node);
    assert!(well, "{text}");
    ip(&family.fill("nexthop replace id 8 via NOBODY dev outside"));
    node.until("told of the nexthop", is_reported);
    ip(&family.fill("nexthop replace id 8 dev TUNNEL"));
    node.until("forgot the nexthop", is_well);
    ip(&family.fill("nexthop replace id 8 via NOBODY dev outside"));
    node.until("told of the nexthop again", is_reported);
    // The route goes with it, and the kernel does not say so.
    ip(&family.fill("nexthop del id 8"));
    node.until("forgot the nexthop again", is_well);
    family.clear();
}

/// Of two routes at one place one goes, before any rule leads to their table.
fn rule_comes_last(node: &Node, family: &Family) {
    for command in [
        "route add throw FOREIGN table 80",
        "route add BOB dev outside metric 5 table 80",
        "route add BOB dev outside metric 9 table 80",
        "route del BOB metric 5 table 80",
        RULE,
    ] {
        ip(&family.fill(command));
    }
    let problem = format!("{}: the rule `20: from all lookup 80`", family.name);
    node.until("told of the rule", |status| status.contains(&problem));
    family.clear();
    node.until("forgot the rule", |status| {
        status.contains("STATUS=in sync: 2 peers") && !status.contains(&problem)
    });
}
