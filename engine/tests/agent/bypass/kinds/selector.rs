//! Selectors of a rule, and suppressors of the routes that it finds.

use super::{Case, FAMILIES, case, compare, start};
use crate::bypass::{check, ip};
use crate::{INSIDE, in_namespaces};

#[test]
fn each_selector_and_suppressor_does_what_the_kernel_does() {
    in_namespaces("bypass::kinds::selector::inside_rules_select");
}

const DEFAULT: &str = "route add default dev outside table 80";

const SELECTORS: [Case; 23] = [
    case(&[DEFAULT, "rule add pref 20 iif lo lookup 80"], "BOB", true),
    // No such link.
    case(
        &[DEFAULT, "rule add pref 20 iif nosuch lookup 80"],
        "BOB",
        false,
    ),
    case(
        &[DEFAULT, "rule add pref 20 not iif nosuch lookup 80"],
        "BOB",
        true,
    ),
    case(
        &[DEFAULT, "rule add pref 20 oif nosuch lookup 80"],
        "BOB",
        false,
    ),
    case(
        &[DEFAULT, "rule add pref 20 oif outside lookup 80"],
        "BOB",
        false,
    ),
    case(
        &[DEFAULT, "rule add pref 20 uidrange 0-0 lookup 80"],
        "BOB",
        true,
    ),
    case(
        &[DEFAULT, "rule add pref 20 uidrange 5-9 lookup 80"],
        "BOB uid 7",
        true,
    ),
    case(
        &[DEFAULT, "rule add pref 20 ipproto tcp lookup 80"],
        "BOB ipproto tcp dport 80",
        true,
    ),
    case(
        &[DEFAULT, "rule add pref 20 ipproto tcp sport 99 lookup 80"],
        "BOB ipproto tcp sport 99 dport 7",
        true,
    ),
    case(
        &[
            DEFAULT,
            "rule add pref 20 ipproto udp dport 80-90 lookup 80",
        ],
        "BOB ipproto udp dport 85",
        true,
    ),
    case(
        &[DEFAULT, "rule add pref 20 dsfield 0x10 lookup 80"],
        "BOB tos 0x10",
        true,
    ),
    case(
        &[DEFAULT, "rule add pref 20 fwmark 0/0xff lookup 80"],
        "BOB",
        true,
    ),
    case(
        &[DEFAULT, "rule add pref 20 from OWN lookup 80"],
        "BOB from OWN",
        true,
    ),
    case(
        &[DEFAULT, "rule add pref 20 from FOREIGN lookup 80"],
        "BOB",
        false,
    ),
    // No packet of this node's comes out of a tunnel with a number.
    case(
        &[DEFAULT, "rule add pref 20 tun_id 7 lookup 80"],
        "BOB",
        false,
    ),
    // There is no VRF.
    case(&[DEFAULT, "rule add pref 20 l3mdev"], "BOB", false),
    case(&["rule add pref 20 unreachable"], "BOB", true),
    case(&["rule add pref 20 prohibit"], "BOB", true),
    case(&["rule add pref 20 blackhole"], "BOB", true),
    case(&["rule add pref 20 to BOB prohibit"], "BOB", true),
    case(&["rule add pref 20 not to BOB prohibit"], "BOB", false),
    case(&["rule add pref 20 nop"], "BOB", false),
    case(&["rule add pref 20 not from FOREIGN prohibit"], "BOB", true),
];

const SUPPRESSORS: [Case; 10] = [
    case(
        &[
            DEFAULT,
            "rule add pref 20 lookup 80 suppress_prefixlength 0",
        ],
        "BOB",
        false,
    ),
    case(
        &[
            DEFAULT,
            "rule add pref 20 lookup 80 suppress_prefixlength 300",
        ],
        "BOB",
        false,
    ),
    case(
        &[
            "route add BOB dev outside table 80",
            "rule add pref 20 lookup 80 suppress_prefixlength 31",
        ],
        "BOB",
        true,
    ),
    case(
        &[
            "route add BOB dev outside table 80",
            "rule add pref 20 lookup 80 suppress_prefixlength 128",
        ],
        "BOB",
        false,
    ),
    case(
        &[DEFAULT, "rule add pref 20 lookup 80 suppress_ifgroup 0"],
        "BOB",
        false,
    ),
    case(
        &[DEFAULT, "rule add pref 20 lookup 80 suppress_ifgroup 5"],
        "BOB",
        true,
    ),
    case(
        &[
            "link set outside group 5",
            DEFAULT,
            "rule add pref 20 lookup 80 suppress_ifgroup 5",
        ],
        "BOB",
        false,
    ),
    case(
        &[
            "link set outside group 5",
            DEFAULT,
            "rule add pref 20 lookup 80 suppress_ifgroup 0",
        ],
        "BOB",
        true,
    ),
    // What drops is taken all the same.
    case(
        &[
            "route add unreachable default table 80",
            "rule add pref 20 lookup 80 suppress_prefixlength 0",
        ],
        "BOB",
        true,
    ),
    // A suppressed route does not lead to a wider one.
    case(
        &[
            "link set outside group 5",
            "route add default dev outside table 80",
            "route add BOB dev lo table 80",
            "rule add pref 20 lookup 80 suppress_ifgroup 0",
        ],
        "BOB",
        false,
    ),
];

#[test]
#[ignore = "the test above runs it in a namespace of its own"]
fn inside_rules_select() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path());
    for family in &FAMILIES {
        compare(&node, family, &SELECTORS);
        compare(&node, family, &SUPPRESSORS);
    }
    let [v4, v6] = &FAMILIES;
    // An IPv4 socket has no address yet when it asks for its route.
    const NO_ADDRESS: [&str; 2] = [DEFAULT, "rule add pref 20 from 0.0.0.0/32 lookup 80"];
    compare(&node, v4, &[case(&NO_ADDRESS, "BOB", true)]);
    const NO_ADDRESS_V6: [&str; 2] = [DEFAULT, "rule add pref 20 from ::/128 lookup 80"];
    compare(&node, v6, &[case(&NO_ADDRESS_V6, "BOB", false)]);
    // The kernel answers an IPv6 echo request by the link that it came in by.
    const BY_TUNNEL: [&str; 2] = [DEFAULT, "rule add pref 20 oif TUNNEL lookup 80"];
    compare(
        &node,
        v4,
        &[case(&BY_TUNNEL, "BOB from OWN oif TUNNEL", false)],
    );
    compare(
        &node,
        v6,
        &[case(&BY_TUNNEL, "BOB from OWN oif TUNNEL", true)],
    );
    // The link of a pod comes, and is named otherwise: no rule has changed.
    for family in &FAMILIES {
        let problem = format!("{}: the rule `20: from all iif cali9 ", family.name);
        let is_reported = |status: &str| status.contains(&problem);
        ip(&family.fill(DEFAULT));
        ip(&family.fill("rule add pref 20 iif cali9 lookup 80"));
        let (is_well, text) = check(&node);
        assert!(is_well, "{text}");
        ip("link add name cali9 type bridge");
        node.until("told of the pod's link", is_reported);
        ip("link set cali9 name cali8");
        node.until("forgot the pod's link", |status| {
            status.contains("STATUS=in sync: 2 peers") && !is_reported(status)
        });
        ip("link set cali8 name cali9");
        node.until("told of the pod's link again", is_reported);
        ip("link delete cali9");
        node.until("forgot the pod's link again", |status| {
            status.contains("STATUS=in sync: 2 peers") && !is_reported(status)
        });
        family.clear();
    }
}
