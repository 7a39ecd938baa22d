//! A made-up run: a small cluster whose every packet takes the right way.
//!
//! The ways are written down here a second time, by interface, so that the judge is
//! not tested against itself.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::evidence::*;
use crate::frame::{Fragment, Frame, Message, Packet, Payload};
use crate::judge::judge;
use crate::name::{EndpointName, NodeName, PodName};
use crate::plan::*;
use crate::tag::{BeaconId, Magic, Tag};
use crate::verdict::{Outcome, Verdict};

pub(crate) use super::cluster::{PORT, parsed, plan};
use super::observed::{interfaces, node_evidence, observers};

/// A plan, and evidence of a run of it in which everything holds.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) evidence: Evidence,
    now: u64,
    /// What the tunnels pad to, in bytes.
    padding: u32,
}

/// Two nodes that encrypt, and one that does not.
pub(crate) fn mixed() -> World {
    World::run(plan(&[
        ("ada", 4, &["web", "app"], true),
        ("bob", 64, &["db"], true),
        ("cal", 33, &["log"], false),
    ]))
}

/// The seed cluster: three nodes with two pods each, all encrypting.
pub(crate) fn seed() -> World {
    World::run(plan(&[
        ("node-33", 33, &["pod-34", "pod-35"], true),
        ("node-4", 4, &["pod-5", "pod-6"], true),
        ("node-64", 64, &["pod-65", "pod-66"], true),
    ]))
}

impl World {
    /// Every probe of the plan, with all its packets, between two rounds of beacons.
    pub(crate) fn run(plan: Plan) -> Self {
        Self::run_padding(plan, 16)
    }

    /// With tunnels that pad to multiples of so many bytes.
    pub(crate) fn run_padding(plan: Plan, padding: u32) -> Self {
        let evidence = Evidence {
            start: Default::default(),
            steps: vec![],
            magic: Magic([7; 8]),
            interfaces: interfaces(&plan),
            observers: observers(&plan),
            beacons: vec![],
            sightings: vec![],
            probing: Nanos(0),
            flows: vec![],
            sizes: vec![],
            bulks: vec![],
            spoofs: vec![],
            probes: vec![],
            nodes: plan
                .nodes
                .iter()
                .map(|node| (node.name.clone(), node_evidence(node)))
                .collect(),
            conduct: Default::default(),
            secrets: Some(SecretEvidence {
                keys: plan
                    .nodes
                    .iter()
                    .filter(|node| node.wireguard)
                    .map(|node| (node.name.clone(), [format!("{}=", node.name)].into()))
                    .collect(),
                searched: [(SecretPlace::Capture, 1), (SecretPlace::Evidence, 1)].into(),
                ..SecretEvidence::default()
            }),
            states: Vec::new(),
            drops: Default::default(),
            wire: vec![],
            neighbours_refused: 0,
            skipped: None,
            lost: vec![],
            timings: vec![Timing {
                phase: "probing".into(),
                micros: 312_000,
            }],
        };
        let mut world = Self {
            plan,
            evidence,
            now: 1_000,
            padding,
        };
        world.light(Round::Opening);
        for probe in world.plan.probes.clone() {
            world.send(&probe);
            world.evidence.probes.push(ProbeOutcome {
                id: probe.id,
                delivered: true,
                answered: true,
                error: None,
                round_trip_us: Some(400),
            });
        }
        world.light(Round::Closing);
        world.number();
        world
    }

    /// Adds the beacons of before the first agent.
    pub(crate) fn arm(&mut self) {
        self.now = 0;
        self.light(Round::Armed);
        self.number();
    }

    /// An endpoint's address.
    pub(crate) fn address_of(&self, name: &str) -> IpAddr {
        self.address(&parsed(name))
    }

    fn light(&mut self, round: Round) {
        for interface in self.evidence.interfaces.clone() {
            if interface.role == Role::Loopback {
                continue;
            }
            for protocol in Protocol::IPV4 {
                let id = BeaconId(u16::try_from(self.evidence.beacons.len()).unwrap());
                self.evidence.beacons.push(Beacon {
                    id,
                    interface: interface.id,
                    protocol,
                    round,
                    no_link: None,
                });
                let frame = Frame::Ip(Packet {
                    source: parsed("192.0.2.1"),
                    destination: parsed("192.0.2.2"),
                    length: 88,
                    dont_fragment: false,
                    fragment: None,
                    payload: payload(protocol, 9, 9, 8, 0x18),
                });
                let far = self.far_end(&interface);
                self.see(interface.id, Direction::Out, &frame, Some(Tag::Beacon(id)));
                if let Some(far) = far {
                    self.see(far, Direction::In, &frame, Some(Tag::Beacon(id)));
                }
            }
        }
    }

    fn far_end(&self, interface: &Interface) -> Option<InterfaceId> {
        let node_of = |pod: &PodName| {
            let holds = |node: &&Node| node.pods.iter().any(|held| &held.name == pod);
            self.plan.nodes.iter().find(holds).unwrap().name.clone()
        };
        Some(match (&interface.place, &interface.role) {
            (Place::Fabric, Role::Port(node)) => self.uplink(node),
            (Place::Node(node), Role::Uplink) => self.port(node),
            (_, Role::PodLink(pod)) => self.at(&Place::Pod(pod.clone()), &Role::PodUplink),
            (Place::Pod(pod), Role::PodUplink) => self.pod_link(&node_of(pod), pod),
            _ => return None,
        })
    }

    /// All packets of a probe, in order.
    fn send(&mut self, probe: &Probe) {
        let (tag, answer) = (Some(Tag::Probe(probe.id)), Some(Tag::Answer(probe.id)));
        let bytes = u32::from(probe.payload);
        // Direction, ICMP kind or TCP flags, payload, tag.
        let packets: &[(bool, u8, u32, Option<Tag>)] = match probe.protocol {
            Protocol::Icmp | Protocol::Icmp6 => {
                &[(true, 8, bytes + 28, tag), (false, 0, bytes + 28, tag)]
            }
            Protocol::Udp | Protocol::Udp6 => {
                &[(true, 0, bytes + 28, tag), (false, 0, bytes + 28, answer)]
            }
            Protocol::Tcp | Protocol::Tcp6 => &[
                (true, 0x02, 60, None),
                (false, 0x12, 60, None),
                (true, 0x10, 52, None),
                (true, 0x18, bytes + 52, tag),
                (false, 0x10, 52, None),
                (false, 0x18, bytes + 52, answer),
                (true, 0x10, 52, None),
            ],
        };
        let sender_port = 40_000 + probe.id.0;
        for (forward, kind, length, tag) in packets {
            let (from, to, ports) = if *forward {
                (&probe.from, &probe.to, (sender_port, 7007))
            } else {
                (&probe.to, &probe.from, (7007, sender_port))
            };
            let packet = Packet {
                source: self.address(from),
                destination: self.address(to),
                length: *length,
                dont_fragment: true,
                fragment: None,
                payload: payload(probe.protocol, ports.0, ports.1, *kind, *kind),
            };
            self.carry(from, to, &packet, *tag);
        }
    }

    /// One packet, seen at every interface of its way.
    fn carry(&mut self, from: &EndpointName, to: &EndpointName, packet: &Packet, tag: Option<Tag>) {
        use Direction::{In, Out};
        let plan = self.plan.clone();
        let (from, to) = (plan.endpoint(from).unwrap(), plan.endpoint(to).unwrap());
        let (source, target) = (&from.node.name, &to.node.name);
        let clear = Frame::Ip(packet.clone());
        if let Some(pod) = from.pod {
            self.see(self.pod_uplink(&pod.name), Out, &clear, tag);
            self.see(self.pod_link(source, &pod.name), In, &clear, tag);
        }
        if source != target {
            let encrypts = from.node.wireguard && to.node.wireguard;
            let (outside, outer_tag) = if encrypts {
                self.see(self.tunnel(source), Out, &clear, tag);
                let length = packet.length.next_multiple_of(self.padding) + 32;
                let message = Message::Data { length };
                (wireguard(from.node, to.node, message, length + 28), None)
            } else {
                (clear.clone(), tag)
            };
            self.see(self.uplink(source), Out, &outside, outer_tag);
            self.see(self.port(source), In, &outside, outer_tag);
            self.see(self.port(target), Out, &outside, outer_tag);
            self.see(self.uplink(target), In, &outside, outer_tag);
            if encrypts {
                self.see(self.tunnel(target), In, &clear, tag);
            }
        }
        if let Some(pod) = to.pod {
            self.see(self.pod_link(target, &pod.name), Out, &clear, tag);
            self.see(self.pod_uplink(&pod.name), In, &clear, tag);
        }
    }

    /// Adds a sighting at the end of the run so far.
    pub(crate) fn see(
        &mut self,
        interface: InterfaceId,
        direction: Direction,
        frame: &Frame,
        tag: Option<Tag>,
    ) {
        self.now += 1_000;
        self.evidence.sightings.push(Sighting {
            at: Nanos(self.now),
            interface,
            direction,
            number: 0,
            length: frame.packet().map_or(60, |packet| packet.length + 14),
            frame: frame.clone(),
            tag,
        });
    }

    /// Numbers the frames of each capture file, as the lab does.
    pub(crate) fn number(&mut self) {
        let mut counts = BTreeMap::<Place, u32>::new();
        for sighting in &mut self.evidence.sightings {
            let place = &self.evidence.interfaces[usize::from(sighting.interface.0)].place;
            let count = counts.entry(place.clone()).or_default();
            *count += 1;
            sighting.number = *count;
        }
    }

    pub(crate) fn at(&self, place: &Place, role: &Role) -> InterfaceId {
        let fits = |interface: &&Interface| &interface.place == place && &interface.role == role;
        self.evidence.interfaces.iter().find(fits).unwrap().id
    }

    pub(crate) fn port(&self, node: &NodeName) -> InterfaceId {
        self.at(&Place::Fabric, &Role::Port(node.clone()))
    }

    pub(crate) fn uplink(&self, node: &NodeName) -> InterfaceId {
        self.at(&Place::Node(node.clone()), &Role::Uplink)
    }

    pub(crate) fn tunnel(&self, node: &NodeName) -> InterfaceId {
        self.at(&Place::Node(node.clone()), &Role::Tunnel)
    }

    fn pod_link(&self, node: &NodeName, pod: &PodName) -> InterfaceId {
        self.at(&Place::Node(node.clone()), &Role::PodLink(pod.clone()))
    }

    pub(crate) fn pod_uplink(&self, pod: &PodName) -> InterfaceId {
        self.at(&Place::Pod(pod.clone()), &Role::PodUplink)
    }

    pub(crate) fn address(&self, name: &EndpointName) -> IpAddr {
        self.plan.endpoint(name).unwrap().address.into()
    }

    /// The promise about a pair, such as `web > db udp`.
    pub(crate) fn promise(&self, pair: &str) -> PairPromise {
        let words: Vec<_> = pair
            .split([' ', '>'])
            .filter(|word| !word.is_empty())
            .collect();
        let fits = |promise: &&PairPromise| {
            [
                promise.from.as_str(),
                promise.to.as_str(),
                promise.protocol.as_str(),
            ] == words[..]
        };
        self.plan.promises.iter().find(fits).unwrap().clone()
    }

    /// The sighting of a probe's first request packet with a tag.
    pub(crate) fn request(&self, pair: &str) -> Sighting {
        let tag = Some(Tag::Probe(self.promise(pair).probe));
        let holds = |sighting: &&Sighting| sighting.tag == tag;
        self.evidence.sightings.iter().find(holds).unwrap().clone()
    }

    pub(crate) fn outcome(&mut self, pair: &str) -> &mut ProbeOutcome {
        let id = self.promise(pair).probe;
        &mut self.evidence.probes[usize::from(id.0)]
    }

    /// Every sighting at that interface in that direction.
    pub(crate) fn at_interface(
        &mut self,
        interface: InterfaceId,
        direction: Direction,
    ) -> impl Iterator<Item = &mut Sighting> {
        let fits = move |s: &&mut Sighting| s.interface == interface && s.direction == direction;
        self.evidence.sightings.iter_mut().filter(fits)
    }

    /// Removes the frames that `gone` selects; the others stay.
    pub(crate) fn remove(&mut self, gone: impl Fn(&Sighting) -> bool) {
        let before = self.evidence.sightings.len();
        self.evidence.sightings.retain(|sighting| !gone(sighting));
        assert!(
            self.evidence.sightings.len() < before,
            "nothing was removed"
        );
    }

    pub(crate) fn verdicts(&self) -> Vec<Verdict> {
        judge(&self.plan, &self.evidence)
    }

    pub(crate) fn verdict(&self, pair: &str) -> Verdict {
        let promise = self.promise(pair).id;
        let verdicts = self.verdicts();
        verdicts
            .into_iter()
            .find(|verdict| verdict.promise == promise)
            .unwrap()
    }

    /// The promise of `pair` is decided so, because of this.
    #[track_caller]
    pub(crate) fn check(&self, pair: &str, outcome: Outcome, fact: &str) {
        let verdict = self.verdict(pair);
        assert_eq!(
            (verdict.outcome, verdict.fact.as_str()),
            (outcome, fact),
            "{verdict:#?}"
        );
    }

    #[track_caller]
    pub(crate) fn holds(&self, pair: &str) {
        let verdict = self.verdict(pair);
        assert_eq!(verdict.outcome, Outcome::Held, "{verdict:#?}");
    }
}

/// A piece of a packet.
pub(crate) fn piece(id: u32, offset: u32, more: bool) -> Option<Fragment> {
    Some(Fragment { id, offset, more })
}

/// A WireGuard packet between the endpoints of two nodes.
pub(crate) fn wireguard(from: &Node, to: &Node, message: Message, length: u32) -> Frame {
    Frame::Ip(Packet {
        source: from.address.into(),
        destination: to.address.into(),
        length,
        dont_fragment: false,
        fragment: None,
        payload: Payload::WireGuard {
            source_port: PORT,
            destination_port: PORT,
            message,
        },
    })
}

fn payload(protocol: Protocol, from: u16, to: u16, kind: u8, flags: u8) -> Payload {
    match protocol {
        Protocol::Icmp | Protocol::Icmp6 => Payload::Icmp {
            kind,
            code: 0,
            mtu: None,
            quoted: None,
        },
        Protocol::Udp | Protocol::Udp6 => Payload::Udp {
            source_port: from,
            destination_port: to,
        },
        Protocol::Tcp | Protocol::Tcp6 => Payload::Tcp {
            source_port: from,
            destination_port: to,
            flags,
        },
    }
}
