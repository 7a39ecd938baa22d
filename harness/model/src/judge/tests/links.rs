//! Links that an engine has taken away: what they broke is broken, what nobody could see is open, and the link
//! itself is reported.

use super::run_promises::wrong;
use super::world::*;
use crate::dataplane::{Address, Dataplane};
use crate::evidence::{NoLink, Round};
use crate::name::NodeName;
use crate::plan::*;
use crate::tag::Tag;
use crate::verdict::Outcome::{Broken, Inconclusive};

const ROUNDS: [Round; 2] = [Round::Opening, Round::Closing];

/// ada's uplink is down in these rounds: neither it nor its port carries a beacon.
fn down(world: &mut World, rounds: &[Round]) {
    let ada: NodeName = parsed("ada");
    let ends = [
        (world.uplink(&ada), NoLink::Down),
        (world.port(&ada), NoLink::NoCarrier),
    ];
    let mut lost = Vec::new();
    for beacon in &mut world.evidence.beacons {
        for (end, state) in ends {
            if beacon.interface == end && rounds.contains(&beacon.round) {
                beacon.no_link = Some(state);
                lost.push(Some(Tag::Beacon(beacon.id)));
            }
        }
    }
    world.remove(|sighting| lost.contains(&sighting.tag));
}

/// Nothing of a pair comes further than the sender's tunnel device.
fn lose(world: &mut World, pair: &str) {
    let promise = world.promise(pair);
    let first = world.request(pair);
    let tags = [Tag::Probe(promise.probe), Tag::Answer(promise.probe)];
    let tunnel = world.tunnel(&parsed("ada"));
    world.remove(|sighting| {
        let of_it = sighting.tag.is_some_and(|tag| tags.contains(&tag));
        of_it && sighting.at > first.at && sighting.interface != tunnel
    });
    world.remove(|sighting| {
        let answer = Some(Tag::Answer(promise.probe));
        sighting.tag == answer
    });
    let outcome = world.outcome(pair);
    (outcome.delivered, outcome.answered) = (false, false);
}

#[test]
fn a_loss_through_a_link_that_is_down_is_broken() {
    let pair = "ada > db udp";
    let mut world = mixed();
    down(&mut world, &ROUNDS);
    lose(&mut world, pair);
    let fact = "entered wireguard.cali on ada, then never left wireguard.cali on bob";
    let verdict = world.verdict(pair);
    assert_eq!(verdict.outcome, Broken, "{verdict:#?}");
    assert_ne!(verdict.fact, fact);
    // What does not pass the link is decided as ever.
    world.holds("db > log udp");
    world.holds("db > bob icmp");
}

#[test]
fn a_probe_without_sightings_is_broken_by_its_sockets() {
    let pair = "web > db udp";
    let mut world = mixed();
    down(&mut world, &ROUNDS);
    let probe = Some(Tag::Probe(world.promise(pair).probe));
    let answer = Some(Tag::Answer(world.promise(pair).probe));
    world.remove(|sighting| sighting.tag == probe || sighting.tag == answer);
    let fact = "never arrived: ada eth0 is down: it carried no opening beacon of udp";
    // One of the two suffices: an answer that nobody heard is none.
    world.outcome(pair).answered = false;
    world.check(pair, Broken, fact);
    world.outcome(pair).delivered = false;
    world.check(pair, Broken, fact);
}

#[test]
fn an_arrival_through_an_unobserved_link_is_inconclusive() {
    for (rounds, fact) in [
        (
            &ROUNDS[..1],
            "ada eth0 is down: it carried no opening beacon of udp",
        ),
        (
            &ROUNDS[1..],
            "ada eth0 is down: it carried no closing beacon of udp",
        ),
    ] {
        let mut world = mixed();
        down(&mut world, rounds);
        world.check("web > db udp", Inconclusive, fact);
        // A leak is one whatever else nobody saw.
        let mut leak = world.request("web > db udp");
        leak.interface = world.port(&parsed("ada"));
        leak.direction = crate::evidence::Direction::In;
        world.evidence.sightings.push(leak);
        let fact = "its payload is readable on the wire";
        world.check("web > db udp", Broken, fact);
    }
}

#[test]
fn a_port_is_as_blind_as_the_uplink_behind_it() {
    // An uplink with another name: its port has a carrier, and sees nothing that comes in.
    let mut world = mixed();
    down(&mut world, &ROUNDS);
    let port = world.port(&parsed("ada"));
    for beacon in &mut world.evidence.beacons {
        beacon.no_link = beacon.no_link.map(|_| NoLink::Missing);
        if beacon.interface == port {
            beacon.no_link = None;
        }
    }
    let fact = "ada eth0 is missing: it carried no opening beacon of udp";
    world.check("web > db udp", Inconclusive, fact);
}

#[test]
fn a_blocked_promise_is_not_proven_by_a_link_that_is_down() {
    let pair = "web > db udp";
    let mut world = mixed();
    let id = world.promise(pair).id;
    let mut promises = world.plan.promises.iter_mut();
    let promise = promises.find(|promise| promise.id == id).unwrap();
    promise.protection = Protection::Blocked;
    lose(&mut world, pair);
    let open = "ada eth0 is down: it carried no opening beacon of udp";
    let mut dark = world.clone();
    down(&mut dark, &ROUNDS);
    dark.check(pair, Inconclusive, open);
    // Its sockets' word breaks it even so.
    dark.outcome(pair).delivered = true;
    dark.check(pair, Broken, "arrived at db");
}

#[test]
fn an_observer_that_misses_a_beacon_of_a_link_that_is_up_is_no_excuse() {
    let pair = "ada > db udp";
    let mut world = mixed();
    lose(&mut world, pair);
    let port = world.port(&parsed("ada"));
    world.remove(|s| s.interface == port && matches!(s.tag, Some(Tag::Beacon(_))));
    let fact = "the observer of fabric has not shown that it sees udp at ada (no opening beacon)";
    world.check(pair, Inconclusive, fact);
}

/// The breaches of ada, once its dataplane was changed, and their causes.
fn breaches(change: impl Fn(&mut Dataplane)) -> Vec<(String, Option<String>)> {
    let mut world = mixed();
    let seen = world.evidence.nodes.get_mut(&parsed("ada")).unwrap();
    change(&mut seen.dataplane);
    let all = wrong(&world.plan, &world.evidence).into_iter();
    all.map(|breach| (breach.text(), breach.why)).collect()
}

fn lost(name: &str, why: &str) -> Vec<(String, Option<String>)> {
    let text = format!("ada: {name} was up before the engine and is not any more");
    vec![(text, Some(why.to_owned()))]
}

#[test]
fn a_link_that_the_engine_took_down_is_reported_with_its_state() {
    assert_eq!(breaches(|_| {}), []);
    assert_eq!(
        breaches(|plane| plane.links[1].up = false),
        lost("eth0", "eth0 of ada is down")
    );
    assert_eq!(
        breaches(|plane| drop(plane.links.remove(1))),
        lost("eth0", "eth0 of ada is missing")
    );
    assert_eq!(
        breaches(|plane| plane.links[0].up = false),
        lost("lo", "lo of ada is down")
    );
    // An address of the node's on the tunnel device is no sign of another name.
    for (device, why) in [
        (
            "wan0",
            "eth0 of ada is missing: its address 10.240.0.4 is on wan0",
        ),
        ("wireguard.cali", "eth0 of ada is missing"),
    ] {
        let renamed = breaches(|plane| {
            plane.links[1].name = parsed("wan0");
            plane.addresses.push(Address {
                interface: parsed(device),
                address: parsed("10.240.0.4/16"),
                scope: "global".into(),
            });
        });
        assert_eq!(renamed, lost("eth0", why));
    }
    // In IPv6 too.
    let renamed = breaches(|plane| {
        plane.links[1].name = parsed("wan0");
        plane.addresses.push(Address {
            interface: parsed("wan0"),
            address: parsed("fd00::af0:4/128"),
            scope: "global".into(),
        });
    });
    let why = "eth0 of ada is missing: its address fd00::af0:4 is on wan0";
    assert_eq!(renamed, lost("eth0", why));
}

#[test]
fn no_step_excuses_a_link_that_is_down_at_the_end() {
    for action in [
        Action::RebootNode {
            node: parsed("ada"),
        },
        Action::Tamper {
            node: parsed("ada"),
            what: Tamper::Delete(Own::Everything),
            settles: Settles::Repaired,
        },
    ] {
        let mut world = mixed();
        world.plan.steps.push(Step {
            action,
            deadline: 1_000,
            outage: 1_000,
            leaks: None,
            line: 1,
            writes: None,
            settles_within: None,
        });
        world.evidence.steps.push(Default::default());
        let seen = world.evidence.nodes.get_mut(&parsed("ada")).unwrap();
        seen.dataplane.links[1].up = false;
        let all = wrong(&world.plan, &world.evidence).into_iter();
        let why: Vec<_> = all.filter_map(|breach| breach.why).collect();
        assert_eq!(why, ["eth0 of ada is down"]);
    }
}

#[test]
fn a_link_of_a_pod_that_is_gone_is_missed_by_nobody() {
    let link = |world: &mut World| {
        let seen = world.evidence.nodes.get_mut(&parsed("ada")).unwrap();
        let links = &mut seen.dataplane.links;
        let at = links.iter().position(|link| link.name == parsed("azvweb"));
        let link = links.remove(at.unwrap());
        seen.before.as_mut().unwrap().links.push(link);
    };
    let whys = |world: &World| {
        let all = wrong(&world.plan, &world.evidence).into_iter();
        all.filter_map(|breach| breach.why).collect::<Vec<_>>()
    };
    let mut world = mixed();
    link(&mut world);
    assert_eq!(whys(&world), ["azvweb of ada is missing"]);
    world.plan.steps.push(Step {
        action: Action::RemovePod { pod: parsed("web") },
        deadline: 1_000,
        outage: 1_000,
        leaks: None,
        line: 1,
        writes: None,
        settles_within: None,
    });
    assert_eq!(whys(&world), Vec::<String>::new());
}

#[test]
fn a_hidden_root_directory_is_reported() {
    let mut world = mixed();
    let seen = world.evidence.nodes.get_mut(&parsed("ada")).unwrap();
    seen.root_hidden = true;
    let all = wrong(&world.plan, &world.evidence).into_iter();
    let breaches: Vec<_> = all.map(|breach| breach.text()).collect();
    let right =
        "ada: something is mounted over the root directory that was there before the engine";
    assert_eq!(breaches, [right]);
}

#[test]
fn a_link_that_was_down_in_one_round_is_no_excuse_for_an_observer_in_the_other() {
    let pair = "ada > db udp";
    let mut world = mixed();
    down(&mut world, &[Round::Opening]);
    lose(&mut world, pair);
    let port = world.port(&parsed("ada"));
    world.remove(|s| s.interface == port && matches!(s.tag, Some(Tag::Beacon(_))));
    let fact = "the observer of fabric has not shown that it sees udp at ada (no closing beacon)";
    world.check(pair, Inconclusive, fact);
}

#[test]
fn a_link_that_was_down_before_the_engine_is_not_its_doing() {
    let mut world = mixed();
    let seen = world.evidence.nodes.get_mut(&parsed("ada")).unwrap();
    seen.dataplane.links[0].up = false;
    seen.before.as_mut().unwrap().links[0].up = false;
    assert_eq!(
        seen.dataplane.links[0].name,
        seen.before.as_ref().unwrap().links[0].name
    );
    assert_eq!(wrong(&world.plan, &world.evidence).len(), 0);
}
