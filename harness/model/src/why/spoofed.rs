//! Explanations of spoofed packets that were accepted.

use super::firewall::{Fate, Header, Walk};
use super::node_view::NodeView;
use crate::dataplane::ruleset::Ruleset;
use crate::evidence::Evidence;
use crate::plan::{Endpoint, Family, Plan};
use crate::verdict::Explanation;

/// Why spoofed packets that came in at `through`, with the source of another endpoint, arrived.
/// `ends` are `through`, that source, and the receiver; none if nobody looked at the node.
pub(crate) fn of_spoofed(
    plan: &Plan,
    evidence: &Evidence,
    ends: [&Endpoint<'_>; 3],
    family: Family,
    fact: &str,
) -> Option<Explanation> {
    let [through, source, to] = ends;
    let site = NodeView::new(plan, evidence, through.node, family);
    if !site.was_seen() {
        return None;
    }
    let name = site.name();
    let link = match through.pod {
        Some(pod) => site.link_of(pod),
        None => "eth0".parse().ok()?,
    };
    let [from, destination] = [source, to].map(|end| family.address(end.address));
    let ruleset = Ruleset::parse(&site.seen?.dataplane.nftables);
    let header = Header {
        family,
        source: from,
        destination,
        input: Some(link.to_string()),
        output: None,
        udp: None,
        mark: Some(0),
    };
    let mut walk = Walk::new(&ruleset, header);
    let passes = walk.through("prerouting") == Fate::Passes;
    let mark = walk.mark();
    // By which interface a packet would go back (RFC 3704).
    let back = mark.and_then(|mark| site.decide(from, mark));
    let back = back.and_then(|(_, route)| route.interface.clone());
    let checked = match family {
        Family::Ipv6 => "IPv6 has no reverse-path filter".to_owned(),
        Family::Ipv4 => {
            let of = |name: &str| site.sysctl(&format!("net.ipv4.conf.{name}.rp_filter"));
            match of("all").max(of(link.as_str())) {
                Some(0) => format!("the reverse-path filter of {link} is off"),
                Some(2) => format!("the reverse-path filter of {link} is loose"),
                Some(_) if back.as_ref() == Some(&link) => match mark {
                    Some(0) | None => format!("its way back is {link} as well"),
                    Some(mark) => format!(
                        "its way back with the mark {mark:#x} that a rule gives it is {link}, as if there were no tunnel"
                    ),
                },
                Some(_) | None => "its reverse-path filter did not drop it".to_owned(),
            }
        }
    };
    let rules = match passes {
        true => format!("no nftables rule of {name} drops it"),
        false => format!("the nftables of {name} did not drop it"),
    };
    let strict = match through.pod {
        None => {
            "plaintext in a protected name is accepted unless the cluster is strict (encrypt or drop): "
        }
        Some(_) => "",
    };
    let counters = site.seen.into_iter().flat_map(|seen| &seen.moved);
    Some(Explanation {
        stopped_at: fact.to_owned(),
        lookup: None,
        won: None,
        expected: None,
        moved: counters
            .map(|(counter, count)| format!("{name}: {counter} +{count}"))
            .collect(),
        cause: format!("{strict}{rules}, and {checked}"),
    })
}
