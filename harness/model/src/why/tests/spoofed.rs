//! Explanations of spoofed packets that were taken.

use super::*;
use crate::why::of_spoofed;

/// Why packets in the name of `web` that came in at `through` arrived at `app`, once ada was changed.
fn cause(family: Family, through: &str, change: impl Fn(&mut NodeEvidence)) -> String {
    let plan = plan(family);
    let mut evidence = Evidence::none();
    for node in &plan.nodes {
        evidence.nodes.insert(node.name.clone(), right(&plan, node));
    }
    let ada: NodeName = "ada".parse().unwrap();
    change(evidence.nodes.get_mut(&ada).unwrap());
    let ends = [through, "db", "app"].map(|name| plan.endpoint(&name.parse().unwrap()).unwrap());
    let [through, source, to] = &ends;
    let why = of_spoofed(&plan, &evidence, [through, source, to], family, "arrived");
    why.unwrap().cause
}

const ACCEPTED: &str =
    "plaintext in a protected name is accepted unless the cluster is strict (encrypt or drop): ";

const FREE: &str = "no nftables rule of ada drops it, and ";

fn filter(of: &str, value: &str) -> impl Fn(&mut NodeEvidence) {
    let name = format!("net.ipv4.conf.{of}.rp_filter");
    move |node| {
        let sysctls = &mut node.dataplane.sysctls;
        sysctls.insert(name.clone(), value.to_owned());
    }
}

#[test]
fn plaintext_from_the_wire_is_taken_since_its_mark_shows_another_way_back() {
    assert_eq!(
        cause(Family::Ipv4, "ada", |_| {}),
        format!(
            "{ACCEPTED}{FREE}its way back with the mark 0x100000 that a rule gives it is eth0, as if there were no tunnel"
        )
    );
    // Without a mark the tunnel is its way back.
    assert_eq!(
        cause(Family::Ipv4, "ada", |node| node.dataplane.nftables.clear()),
        format!("{ACCEPTED}{FREE}its reverse-path filter did not drop it")
    );
    // Without a tunnel there is one way.
    let plain = |node: &mut NodeEvidence| {
        node.dataplane.nftables.clear();
        node.dataplane.rules.retain(|rule| rule.priority != 99);
    };
    assert_eq!(
        cause(Family::Ipv4, "ada", plain),
        format!("{ACCEPTED}{FREE}its way back is eth0 as well")
    );
}

#[test]
fn a_filter_that_does_not_check_is_named() {
    for (value, state) in [("0", "off"), ("2", "loose")] {
        assert_eq!(
            cause(Family::Ipv4, "ada", filter("eth0", value)),
            format!("{ACCEPTED}{FREE}the reverse-path filter of eth0 is {state}")
        );
    }
    // The larger of the two counts (ip-sysctl).
    let both = |node: &mut NodeEvidence| {
        filter("eth0", "0")(node);
        filter("all", "2")(node);
    };
    assert!(cause(Family::Ipv4, "ada", both).ends_with("of eth0 is loose"));
}

#[test]
fn ipv6_has_no_filter() {
    assert_eq!(
        cause(Family::Ipv6, "ada", |_| {}),
        format!("{ACCEPTED}{FREE}IPv6 has no reverse-path filter")
    );
}

#[test]
fn a_pod_s_spoof_is_explained_without_strictness() {
    // The link of a pod that nobody checks.
    assert_eq!(
        cause(Family::Ipv4, "web", filter("azvweb", "0")),
        format!("{FREE}the reverse-path filter of azvweb is off")
    );
}

#[test]
fn a_rule_that_should_have_dropped_it_is_no_excuse() {
    for family in Family::ALL {
        let cause = cause(family, "ada", |node| {
            node.dataplane.nftables += "\ntable inet fw {
	chain early {
		type filter hook prerouting priority raw; policy accept;
		iifname \"eth0\" drop
	}
}";
        });
        let expected = "the nftables of ada did not drop it, and ";
        assert!(
            cause.starts_with(&format!("{ACCEPTED}{expected}")),
            "{cause}"
        );
    }
}
