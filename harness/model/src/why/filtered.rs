//! Packets of a leg that nftables drop, whose mark they overwrite, or that are too large for
//! what is between the nodes.
//!
//! That a rule would drop a packet is reported only where its own counter has moved, or the kernel reports that
//! nftables dropped something on that node, or where the kernel could not be asked.

use super::firewall::{Dropping, Fate, Header, Walk};
use super::node_view::{NodeView, UPLINK};
use super::{Defect, Leg, Stage, device};
use crate::dataplane::ruleset::Ruleset;
use crate::evidence::{OVERSIZED, Place, SWALLOWED};
use crate::plan::{Family, Protection};

/// The kernel's reason for what a rule or a chain's policy dropped.
const BY_RULE: &str = "NETFILTER_DROP";

/// Bytes of the headers of an echo request, which are the least beside a payload: of IP and ICMP.
const ICMP: u32 = 8;

/// WireGuard pads to this many bytes.
const PADDING: u32 = 16;

/// A packet of the leg at one of its two nodes.
struct Stop<'a> {
    site: NodeView<'a>,
    stage: Stage,
    /// What it is, for a sentence.
    what: String,
    header: Header,
    hooks: &'static [&'static str],
}

/// The surest drop of the leg's packets, of two that are as sure the first on the way.
pub(super) fn defects<'a>(leg: &Leg<'a>) -> Vec<Defect<'a>> {
    let found = stops(leg).into_iter().filter_map(dropped);
    let surest = found.min_by_key(|(doubts, _)| *doubts);
    surest.map(|(_, defect)| defect).into_iter().collect()
}

/// What drops a packet, and how many rules may let it pass.
fn dropped<'a>(stop: Stop<'a>) -> Option<(usize, Defect<'a>)> {
    let (site, name) = (stop.site, stop.site.name());
    let seen = site.seen?;
    let ruleset = Ruleset::parse(&seen.dataplane.nftables);
    let mut walk = Walk::new(&ruleset, stop.header);
    let mut fates = stop.hooks.iter().map(|hook| walk.through(hook));
    let fate = fates.find(|fate| *fate != Fate::Passes);
    drop(fates);
    let count = |key: &str| seen.rule_counts.get(key).copied();
    let moved = |count: u64| format!("its counter moved by {count}");
    let dropped = match fate {
        Some(Fate::Drops { by, key, unless }) => match key.as_deref().and_then(count) {
            // It has dropped nothing.
            Some(0) => None,
            Some(counted) => Some((by, unless, moved(counted))),
            None => by_reason(site).map(|reason| (by, unless, reason)),
        },
        Some(Fate::Passes) | None => None,
    };
    // Whether the match of a rule fits is not always known. One that has counted packets may have
    // counted these.
    let sure = |dropped: &(String, Vec<String>, String)| dropped.1.is_empty();
    let perhaps = || {
        let counting = |by: &Dropping| count(&by.key).filter(|count| *count > 0);
        let mut all = walk.perhaps().iter();
        let (by, count) = all.find_map(|by| Some((by, counting(by)?)))?;
        Some((by.text.clone(), Vec::new(), moved(count)))
    };
    let (doubts, (by, unless, counted)) = match dropped.as_ref().is_some_and(sure) {
        true => (0, dropped?),
        false => match perhaps() {
            Some(by) => (1, by),
            None => dropped.map(|dropped| (dropped.1.len(), dropped))?,
        },
    };
    let unless = match unless.as_slice() {
        [] => String::new(),
        rules => {
            let rules: Vec<_> = rules.iter().map(|rule| format!("`{rule}`")).collect();
            format!(", unless {} does", rules.join(" or "))
        }
    };
    let defect = Defect {
        stage: stop.stage,
        text: format!("{name} drops {} by {by}{unless} ({counted})", stop.what),
        packet: None,
        expected: None,
    };
    Some((doubts, defect))
}

/// The kernel's drops by rules on a node; none if it reports that there were none.
fn by_reason(site: NodeView<'_>) -> Option<String> {
    let moved = site.seen?.moved.get(&format!("reason {BY_RULE}")).copied();
    let drops = site.drops;
    let all = drops.at(&Place::Node(site.node.name.clone()));
    match all {
        None => Some("by its rules alone: the kernel's drop reasons are not known".into()),
        Some(reasons) => {
            let all = reasons.get(BY_RULE).copied().or(moved).unwrap_or(0);
            (all > 0).then(|| format!("{BY_RULE} {all}"))
        }
    }
}

/// Every packet of the leg, where a hook sees it, in the order of the way.
fn stops<'a>(leg: &Leg<'a>) -> Vec<Stop<'a>> {
    let (sender, receiver) = (leg.sender, leg.receiver);
    let same = sender.node.name == receiver.node.name;
    let tunnel = sender.tunnel().to_string();
    let encrypted = leg.question.protection == Protection::Encrypted && !same;
    let inner = |input: Option<String>, output: Option<String>| Header {
        family: leg.family,
        source: leg.source,
        destination: leg.destination,
        input,
        output,
        udp: None,
        mark: Some(0),
    };
    let from = leg.from.pod.map(|pod| sender.link_of(pod).to_string());
    let to = leg.to.pod.map(|pod| receiver.link_of(pod).to_string());
    let between = match encrypted {
        true => tunnel.clone(),
        false => UPLINK.to_owned(),
    };
    let what = format!("what {} sends {}", leg.from.name, leg.to.name);
    let out = match same {
        true => to.clone(),
        false => Some(between.clone()),
    };
    let mut stops = vec![Stop {
        site: sender,
        stage: Stage::Route,
        what: what.clone(),
        hooks: hooks_of(from.is_some(), out.is_some()),
        header: inner(from, out),
    }];
    if same {
        return stops;
    }
    if encrypted {
        stops.extend(outer(leg));
    }
    stops.push(Stop {
        site: receiver,
        stage: match encrypted {
            true => Stage::Deliver,
            false => Stage::Accept,
        },
        what,
        hooks: hooks_of(true, to.is_some()),
        header: inner(Some(between), to),
    });
    stops
}

/// The tunnel's own packets, at both nodes.
fn outer<'a>(leg: &Leg<'a>) -> Vec<Stop<'a>> {
    let (sender, receiver) = (leg.sender, leg.receiver);
    let (Some(own), Some(other)) = (sender.device(), receiver.device()) else {
        return Vec::new();
    };
    let header = |input: Option<&str>, output: Option<&str>, mark| Header {
        family: leg.family,
        source: sender.address(),
        destination: receiver.address(),
        input: input.map(str::to_owned),
        output: output.map(str::to_owned),
        udp: own.listen_port.zip(other.listen_port),
        mark: Some(mark),
    };
    let what = format!(
        "the tunnel's packets from {} to {}",
        sender.name(),
        receiver.name()
    );
    vec![
        Stop {
            site: sender,
            stage: Stage::Encrypt,
            what: what.clone(),
            header: header(None, Some(UPLINK), own.fwmark),
            hooks: hooks_of(false, true),
        },
        Stop {
            site: receiver,
            stage: Stage::Accept,
            what,
            header: header(Some(UPLINK), None, 0),
            hooks: hooks_of(true, false),
        },
    ]
}

/// The hooks that a packet comes through which comes in by an interface, goes out by one, or both.
fn hooks_of(comes_in: bool, goes_out: bool) -> &'static [&'static str] {
    match (comes_in, goes_out) {
        (true, true) => &["prerouting", "forward", "postrouting"],
        (true, false) => &["prerouting", "input"],
        (false, _) => &["output", "postrouting"],
    }
}

/// The rule that gives incoming packets of the tunnel another mark than the one that keeps their
/// way back out of the tunnel.
pub(super) fn overwritten(leg: &Leg<'_>) -> Option<String> {
    let site = leg.receiver;
    let stop = outer(leg)
        .into_iter()
        .find(|stop| stop.stage == Stage::Accept)?;
    let ruleset = Ruleset::parse(&site.seen?.dataplane.nftables);
    let mut walk = Walk::new(&ruleset, stop.header);
    if walk.through("prerouting") != Fate::Passes {
        return None;
    }
    let looks_false = |mark: u32| site.tunnels(leg.sender.address(), mark);
    let was_right = walk.marks().iter().any(|mark| !looks_false(*mark));
    let by = walk.marked().filter(|_| was_right)?;
    looks_false(walk.mark()?).then(|| by.rule.clone())
}

/// A packet of the probe that is larger than the fabric carries, where the fabric had such.
pub(super) fn too_large<'a>(leg: &Leg<'a>) -> Option<Defect<'a>> {
    let question = leg.question;
    let (sender, receiver) = (leg.sender, leg.receiver);
    let tally = |name: &str| {
        let mut all = question.evidence.wire.iter();
        let tally = all.find(|tally| tally.name == name);
        tally.map_or(0, |tally| tally.packets)
    };
    let (oversized, swallowed) = (tally(OVERSIZED), tally(SWALLOWED));
    // A device that has another MTU than it must have is a cause of its own.
    if oversized == 0 || device::mtu(sender).is_some() {
        return None;
    }
    let carries = u32::from(question.plan.fabric.mtu);
    let header = match leg.family {
        Family::Ipv4 => 20,
        Family::Ipv6 => 40,
    };
    let payload = u32::from(question.payload?) + header + ICMP;
    let (link, overhead) = match question.protection {
        Protection::Encrypted => (
            sender.link(&sender.tunnel())?.mtu,
            u32::from(leg.family.wireguard_overhead()),
        ),
        Protection::Plaintext | Protection::Blocked | Protection::Delivered => {
            (sender.node.mtu.into(), 0)
        }
    };
    // WireGuard pads, but not beyond the device's MTU (wireguard-linux: `calculate_skb_padding`).
    let packet = match overhead {
        0 => payload,
        _ => payload.next_multiple_of(PADDING),
    };
    let size = packet.min(link) + overhead;
    (size > carries).then(|| {
        let (tunnel, ends) = (sender.tunnel(), [sender.name(), receiver.name()].join(" and "));
        let fits = carries.saturating_sub(overhead);
        let silent = match swallowed {
            0 => "",
            _ => ", whose answers that they are too big are lost",
        };
        let device = match overhead {
            0 => format!("eth0 carries {link}"),
            _ => format!("{tunnel} carries {link} and adds {overhead}; a device of {fits} fits"),
        };
        Defect {
            stage: Stage::Anywhere,
            text: format!(
                "packets of {size} bytes are too large for the fabric between {ends}, which carries {carries}{silent} ({oversized} were dropped; {device})"
            ),
            packet: None,
            expected: None,
        }
    })
}
