//! A rule of others that jumps over the agent's, or over one that ends in the tunnel.

use super::{Case, FAMILIES, case, compare, start};
use crate::bypass::{SETTINGS, ip, strict};
use crate::{INSIDE, configuration, in_namespaces, write};

#[test]
fn a_jump_is_followed_as_the_kernel_follows_it() {
    in_namespaces("bypass::kinds::jump::inside_rules_jump");
}

const JUMPS: [Case; 12] = [
    case(&["rule add pref 20 goto 32766"], "BOB", true),
    case(&["rule add pref 20 to BOB goto 32766"], "BOB", true),
    case(
        &["rule add pref 20 ipproto tcp goto 32766"],
        "BOB ipproto tcp dport 80",
        true,
    ),
    case(
        &["rule add pref 20 not ipproto tcp goto 32766"],
        "BOB ipproto udp dport 80",
        true,
    ),
    case(
        &[
            "route add default dev outside table 80",
            "rule add pref 20 from OWN goto 150",
            "rule add pref 150 lookup 80",
        ],
        "BOB from OWN",
        true,
    ),
    // Over a rule that leads into the tunnel.
    case(
        &[
            "route add default dev TUNNEL table 81",
            "rule add pref 20 ipproto udp goto 40",
            "rule add pref 30 lookup 81",
            "rule add pref 40 lookup main",
        ],
        "BOB ipproto udp dport 53",
        true,
    ),
    // Nothing is behind it.
    case(
        &["rule add pref 20 goto 40000", "rule add pref 40000 nop"],
        "BOB",
        true,
    ),
    // What is behind it leads into the tunnel.
    case(
        &[
            "route add default dev TUNNEL table 80",
            "rule add pref 20 goto 150",
            "rule add pref 150 lookup 80",
        ],
        "BOB",
        false,
    ),
    // Over a rule that would divert.
    case(
        &[
            "rule add pref 20 goto 40",
            "rule add pref 30 unreachable",
            "rule add pref 40 nop",
        ],
        "BOB",
        false,
    ),
    case(&["rule add pref 20 goto 500"], "BOB", false),
    case(&["rule add pref 20 goto 99"], "BOB", false),
    case(&["rule add pref 20 fwmark 7 goto 32766"], "BOB", false),
];

#[test]
#[ignore = "the test above runs it in a namespace of its own"]
fn inside_rules_jump() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path());
    let strict = strict();
    for family in &FAMILIES {
        family.neighbours();
        compare(&node, family, &JUMPS);
        // The agent is told as well, and in strict mode nothing leaves.
        ip(&family.fill("rule add pref 20 ipproto udp goto 32766"));
        let problem = format!(
            "{}: the rule `20: from all ipproto 17 goto 32766`",
            family.name
        );
        node.until("told of the jump", |status| status.contains(&problem));
        assert!(family.leaks());
        write(&node.store, "default.yaml", &strict);
        node.until("said that it is dropped", |status| {
            status.contains(&problem) && status.contains("is dropped, since it would be in clear")
        });
        assert!(!family.leaks());
        write(&node.store, "default.yaml", &configuration(SETTINGS));
        family.clear();
        node.until("forgot the jump", |status| {
            status.contains("STATUS=in sync: 2 peers") && !status.contains("the rule")
        });
        assert!(!family.leaks());
    }
}
