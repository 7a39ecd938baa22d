//! A made-up run with promises about MTUs that are held.

use super::run_promises::judge_packets;
use super::world::*;
use crate::evidence::*;
use crate::frame::{Frame, Packet, Payload};
use crate::name::IfName;
use crate::plan::*;
use crate::tag::Tag;
use crate::verdict::{Outcome, Verdict};

/// The pods of two encrypting nodes, `web` on ada and `db` on bob, with all that is promised of a
/// largest packet of 1340 bytes, and evidence in which it holds.
pub(super) fn limited() -> World {
    let mut world = mixed();
    let first = world.plan.promises.len();
    let size = |id: u16, size: u32, dont_fragment: bool| SizeProbe {
        id: SizeId(id),
        from: parsed("web"),
        to: parsed("db"),
        family: Family::Ipv4,
        size,
        dont_fragment,
    };
    let [below, at, above, whole] = [0, 1, 2, 3].map(SizeId);
    world.plan.limits.sizes = vec![
        size(0, 1339, true),
        size(1, 1340, true),
        size(2, 1341, true),
        size(3, 1341, false),
    ];
    world.plan.limits.bulks = vec![Bulk {
        id: SizeId(4),
        from: parsed("web"),
        to: parsed("db"),
        family: Family::Ipv4,
        bytes: 1000,
    }];
    let kinds = [
        MtuKind::Device {
            node: parsed("ada"),
            mtu: 1340,
        },
        MtuKind::Largest {
            below,
            at,
            above,
            encrypted: true,
        },
        MtuKind::TooLarge {
            above,
            mtu: 1340,
            reported_by: Hop::Node(parsed("ada")),
        },
        MtuKind::Fragmented { sizes: vec![whole] },
        MtuKind::Bulk {
            bulk: SizeId(4),
            arrives: true,
        },
        MtuKind::Outer {
            from: parsed("ada"),
            to: parsed("bob"),
            mtu: 1500,
            fragments: false,
        },
    ];
    world.plan.limits.promises = (first..)
        .zip(kinds)
        .map(|(id, kind)| MtuPromise {
            id: PromiseId(u32::try_from(id).unwrap()),
            family: Family::Ipv4,
            kind,
            origin: Origin::Derived,
        })
        .collect();
    world.evidence.sizes = [true, true, false, true]
        .into_iter()
        .zip(0..)
        .map(|(delivered, id)| SizeOutcome {
            id: SizeId(id),
            sent: 1,
            delivered,
            controls: 1,
            refused: None,
            error: None,
        })
        .collect();
    world.evidence.bulks = vec![BulkOutcome {
        id: SizeId(4),
        connected: true,
        received: 1000,
        error: None,
    }];
    for probe in world.plan.limits.sizes.clone() {
        let packet = sized(&world, &probe);
        see(
            &mut world,
            "web",
            "eth0",
            Direction::Out,
            probe.id,
            packet.clone(),
        );
        if probe.size <= 1340 {
            see(
                &mut world,
                "ada",
                "wireguard.cali",
                Direction::Out,
                probe.id,
                packet,
            );
        }
    }
    let error = too_big(&world, "ada", 1340);
    see(&mut world, "web", "eth0", Direction::In, above, error);
    world
}

/// A packet of a size probe.
pub(super) fn sized(world: &World, probe: &SizeProbe) -> Packet {
    let address = |name| world.plan.endpoint(name).unwrap().address.into();
    Packet {
        source: address(&probe.from),
        destination: address(&probe.to),
        length: probe.size,
        dont_fragment: probe.dont_fragment,
        fragment: None,
        payload: Payload::Udp {
            source_port: 40_000,
            destination_port: 7009,
        },
    }
}

/// "Fragmentation needed", from a node to `web`.
pub(super) fn too_big(world: &World, from: &str, mtu: u32) -> Packet {
    let address = |name: &str| world.plan.endpoint(&parsed(name)).unwrap().address.into();
    Packet {
        source: address(from),
        destination: address("web"),
        length: 576,
        dont_fragment: false,
        fragment: None,
        payload: Payload::Icmp {
            kind: 3,
            code: 4,
            mtu: Some(mtu),
            quoted: None,
        },
    }
}

pub(super) fn see(
    world: &mut World,
    place: &str,
    interface: &str,
    direction: Direction,
    id: SizeId,
    packet: Packet,
) {
    let name: IfName = parsed(interface);
    let mut interfaces = world.evidence.interfaces.iter();
    let found = interfaces.find(|known| known.place.name() == place && known.name == name);
    let interface = found.expect("the world observes it").id;
    let last = world.evidence.sightings.last().map_or(0, |last| last.at.0);
    world.evidence.sightings.push(Sighting {
        at: Nanos(last + 1),
        interface,
        direction,
        number: 1,
        length: packet.length + 14,
        frame: Frame::Ip(packet),
        tag: Some(Tag::Size(id)),
    });
}

/// What was decided about one of the promises.
pub(super) fn verdict(world: &World, promise: usize) -> Verdict {
    let mut verdicts = judge_packets(&world.plan, &world.evidence);
    verdicts.swap_remove(world.plan.promises.len() + promise)
}

/// How each promise about sizes was decided.
pub(super) fn outcomes(world: &World) -> Vec<Outcome> {
    let verdicts = judge_packets(&world.plan, &world.evidence);
    let first = world.plan.limits.promises[0].id;
    let sizes = verdicts.iter().filter(|verdict| verdict.promise >= first);
    sizes.map(|verdict| verdict.outcome).collect()
}

/// The promises, in the order of the plan.
pub(super) const DEVICE: usize = 0;
pub(super) const LARGEST: usize = 1;
pub(super) const TOO_LARGE: usize = 2;
pub(super) const FRAGMENTED: usize = 3;
pub(super) const BULK: usize = 4;
pub(super) const OUTER: usize = 5;

/// After `change` these promises come to that, and all others hold.
pub(super) fn after(change: impl FnOnce(&mut World), expected: &[(usize, Outcome)]) {
    let mut world = limited();
    change(&mut world);
    let mut all = vec![Outcome::Held; 6];
    for (promise, outcome) in expected {
        all[*promise] = *outcome;
    }
    assert_eq!(outcomes(&world), all);
}

/// The sightings of a size probe that `keep` is true of are dropped.
pub(super) fn forget(world: &mut World, id: u16, forget: impl Fn(&Sighting) -> bool) {
    let tag = Some(Tag::Size(SizeId(id)));
    let sightings = &mut world.evidence.sightings;
    sightings.retain(|sighting| sighting.tag != tag || !forget(sighting));
}

pub(super) fn is_error(sighting: &Sighting) -> bool {
    let packet = sighting.frame.packet();
    packet.is_some_and(|packet| matches!(packet.payload, Payload::Icmp { .. }))
}
