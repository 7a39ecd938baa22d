//! Every kind of rule and route of others: what the kernel does with a packet to a peer is what the agent and
//! `status` report.

use std::path::Path;
use std::process::Command;

use super::{BOB, SETTINGS, check, ip, leaves_in_clear};
use crate::{Node, configuration};

/// Jumps from rule to rule.
mod jump;
/// Routes past the tunnel: by a nexthop object, several next hops, an encapsulation, of any type.
mod route;
/// Selectors of a rule, and suppressors of the routes that it finds.
mod selector;

/// What others set up, and what becomes of packets to bob then.
struct Case {
    /// What follows `ip -4` or `ip -6`. BOB, OWN, NOBODY and OTHER are addresses, FOREIGN is a network,
    /// TUNNEL a device.
    commands: &'static [&'static str],
    /// What follows `ip route get` for a packet that is looked at; CLEAR is one that is sent to bob, and
    /// ANY is none, where chance decides.
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
    /// Who is none either.
    other: &'static str,
    /// A network that no address of the cluster is in.
    foreign: &'static str,
    tunnel: &'static str,
}

const FAMILIES: [Family; 2] = [
    Family {
        flag: "-4",
        name: "IPv4",
        own: "10.0.0.1",
        bob: "10.0.0.2",
        nobody: "10.0.0.77",
        other: "10.0.0.78",
        foreign: "192.0.2.0/24",
        tunnel: "wireguard.cali",
    },
    Family {
        flag: "-6",
        name: "IPv6",
        own: "fd00::1",
        bob: "fd00::2",
        nobody: "fd00::77",
        other: "fd00::78",
        foreign: "2001:db8::/32",
        tunnel: "wg-v6.cali",
    },
];

impl Family {
    fn fill(&self, text: &str) -> String {
        let text = text.replace("BOB", self.bob).replace("OWN", self.own);
        let text = text.replace("FOREIGN", self.foreign);
        let text = text
            .replace("NOBODY", self.nobody)
            .replace("OTHER", self.other);
        let text = text.replace("TUNNEL", self.tunnel);
        // A group of nexthops is of no family.
        match text.starts_with("nexthop") && text.contains("group") {
            true => text,
            false => format!("{} {text}", self.flag),
        }
    }

    /// Whether the kernel keeps a packet to bob from the tunnel.
    fn diverts(&self, packet: &str) -> bool {
        if packet == "CLEAR" {
            return self.leaks();
        }
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

    /// Removes what a case has set up: all rules but the kernel's and the agent's, and these tables.
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
        let flush = "route flush type multicast table 255 root 10.0.0.0/16";
        let flush = if self.flag == "-4" {
            flush
        } else {
            "route flush type multicast table 255 root fd00::/64"
        };
        ip(&format!("{} {flush}", self.flag));
        ip("nexthop flush");
        ip("link set outside group 0");
    }
}

/// Compares what `status` reports with what the kernel does, case by case.
fn compare(node: &Node, family: &Family, cases: &[Case]) {
    for case in cases {
        for command in case.commands {
            ip(&family.fill(command));
        }
        let Case {
            commands, packet, ..
        } = case;
        let what = format!("{}: {commands:?}: {packet}", family.name);
        let diverts = *packet == "ANY" || family.diverts(packet);
        assert_eq!(diverts, case.is_diverted, "the kernel: {what}");
        let (is_well, text) = check(node);
        assert_eq!(is_well, !case.is_diverted, "{what}: {text}");
        let problem = format!("{}: the rule `", family.name);
        assert_eq!(text.contains(&problem), case.is_diverted, "{what}: {text}");
        family.clear();
    }
}

fn start(folder: &Path) -> Node {
    let on = configuration(SETTINGS);
    let node = Node::start(folder, &[("default.yaml", &on), ("bob.yaml", BOB)]);
    node.until("in sync", |status| {
        status.contains("STATUS=in sync: 2 peers")
    });
    node
}
