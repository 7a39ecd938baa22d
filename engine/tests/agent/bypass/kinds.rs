//! Every kind of rule and route of others: what the kernel does with a packet to a peer is what the agent
//! and `status` tell of it.

use std::process::Command;

use super::{BOB, SETTINGS, check, ip, leaves_in_clear, strict};
use crate::{INSIDE, Node, configuration, in_namespaces, write};

/// What others set up, and what becomes of packets to bob then.
struct Case {
    /// What follows `ip -4` or `ip -6`. BOB and OWN are addresses, TUNNEL is the device.
    commands: &'static [&'static str],
    /// What follows `ip route get` for a packet that is looked at.
    packet: &'static str,
    /// Whether that packet is kept from the tunnel.
    is_diverted: bool,
}

const fn case(commands: &'static [&'static str], packet: &'static str, is_diverted: bool) -> Case {
    Case {
        commands,
        packet,
        is_diverted,
    }
}

/// A family as others see it.
struct Family {
    flag: &'static str,
    name: &'static str,
    own: &'static str,
    bob: &'static str,
    /// Who is no node.
    nobody: &'static str,
    tunnel: &'static str,
}

const FAMILIES: [Family; 2] = [
    Family {
        flag: "-4",
        name: "IPv4",
        own: "10.0.0.1",
        bob: "10.0.0.2",
        nobody: "10.0.0.77",
        tunnel: "wireguard.cali",
    },
    Family {
        flag: "-6",
        name: "IPv6",
        own: "fd00::1",
        bob: "fd00::2",
        nobody: "fd00::77",
        tunnel: "wg-v6.cali",
    },
];

impl Family {
    fn fill(&self, text: &str) -> String {
        let text = text.replace("BOB", self.bob).replace("OWN", self.own);
        format!("{} {}", self.flag, text.replace("TUNNEL", self.tunnel))
    }

    /// Whether the kernel keeps a packet to bob from the tunnel.
    fn diverts(&self, packet: &str) -> bool {
        let arguments = self.fill(&format!("route get {packet}"));
        let output = Command::new("ip").args(arguments.split(' ')).output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        !text.contains(&format!("dev {} ", self.tunnel))
    }

    /// Makes it known where bob and nobody are on the wire.
    fn neighbours(&self) {
        for address in [self.bob, self.nobody] {
            let at = "lladdr 02:00:00:00:00:02 dev outside nud permanent";
            ip(&format!("neighbour add {address} {at}"));
        }
    }

    /// Whether a datagram to bob leaves the node in clear.
    fn leaks(&self) -> bool {
        leaves_in_clear(self.bob.parse().unwrap(), self.nobody.parse().unwrap())
    }

    /// Removes what a case has set up: rules of these priorities, and routes of these tables.
    fn clear(&self) {
        let rules = ip(&format!("{} rule list", self.flag));
        let rules = rules.lines().filter_map(|rule| rule.split(':').next());
        for priority in rules.filter(|priority| !["0", "99", "32766", "32767"].contains(priority)) {
            ip(&format!("{} rule del pref {priority}", self.flag));
        }
        for table in ["80", "81"] {
            let flush = format!("{} route flush table {table}", self.flag);
            // There is no such table where no route is.
            let _ = Command::new("ip").args(flush.split(' ')).output();
        }
    }
}

/// Compares what `status` tells with what the kernel does, case by case.
fn compare(node: &Node, family: &Family, cases: &[Case]) {
    for case in cases {
        for command in case.commands {
            ip(&family.fill(command));
        }
        let Case {
            commands, packet, ..
        } = case;
        let what = format!("{}: {commands:?}: {packet}", family.name);
        assert_eq!(
            family.diverts(packet),
            case.is_diverted,
            "the kernel: {what}"
        );
        let (is_well, text) = check(node);
        assert_eq!(is_well, !case.is_diverted, "{what}: {text}");
        let told = format!("{}: the rule `", family.name);
        assert_eq!(text.contains(&told), case.is_diverted, "{what}: {text}");
        family.clear();
    }
}

fn start(folder: &std::path::Path) -> Node {
    let on = configuration(SETTINGS);
    let node = Node::start(folder, &[("default.yaml", &on), ("bob.yaml", BOB)]);
    node.until("in sync", |status| {
        status.contains("STATUS=in sync: 2 peers")
    });
    node
}

#[test]
fn a_jump_is_followed_as_the_kernel_follows_it() {
    in_namespaces("bypass::kinds::inside_rules_jump");
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
        let told = format!(
            "{}: the rule `20: from all ipproto 17 goto 32766`",
            family.name
        );
        node.until("told of the jump", |status| status.contains(&told));
        assert!(family.leaks());
        write(&node.store, "default.yaml", &strict);
        node.until("said that it is dropped", |status| {
            status.contains(&told) && status.contains("is dropped, since it would be in clear")
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
