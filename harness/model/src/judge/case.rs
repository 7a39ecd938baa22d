//! The case of a pair's promise: its endpoints, probe and outcome.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::evidence::{Evidence, ProbeOutcome};
use crate::frame::Payload;
use crate::journey::{Index, Leg, Seen};
use crate::name::EndpointName;
use crate::plan::{Endpoint, Family, PairPromise, Plan, ProbeId, Protection, Protocol};
use crate::tag::Tag;

/// ICMP echo reply and echo request (RFC 792), and those of ICMPv6 (RFC 4443).
const ECHO: [u8; 4] = [0, 8, 128, 129];

/// What promises refer to, by name and number.
#[derive(Debug)]
pub(super) struct PairIndex<'a> {
    plan: &'a Plan,
    endpoints: BTreeMap<EndpointName, Endpoint<'a>>,
    outcomes: BTreeMap<ProbeId, &'a ProbeOutcome>,
}

/// One promise, its two endpoints, and what its sockets reported.
#[derive(Debug)]
pub(super) struct PairCase<'a> {
    pub(super) promise: &'a PairPromise,
    pub(super) from: &'a Endpoint<'a>,
    pub(super) to: &'a Endpoint<'a>,
    pub(super) outcome: &'a ProbeOutcome,
}

impl<'a> PairIndex<'a> {
    pub(super) fn new(plan: &'a Plan, evidence: &'a Evidence) -> Self {
        Self {
            plan,
            endpoints: plan
                .endpoints()
                .into_iter()
                .map(|endpoint| (endpoint.name.clone(), endpoint))
                .collect(),
            outcomes: evidence
                .probes
                .iter()
                .map(|outcome| (outcome.id, outcome))
                .collect(),
        }
    }

    /// The case of a promise.
    ///
    /// # Errors
    /// The plan or the evidence lacks what the promise refers to; the error names it.
    pub(super) fn case(&'a self, promise: &'a PairPromise) -> Result<PairCase<'a>, String> {
        let endpoint = |name: &EndpointName| {
            self.endpoints
                .get(name)
                .ok_or_else(|| format!("the plan has no endpoint {name}"))
        };
        let probe = self.plan.probes.get(usize::from(promise.probe.0));
        let tests_it = probe.is_some_and(|probe| {
            probe.id == promise.probe
                && (&probe.from, &probe.to, probe.protocol, probe.wanted)
                    == (
                        &promise.from,
                        &promise.to,
                        promise.protocol,
                        promise.payload,
                    )
        });
        if !tests_it {
            return Err("no probe of the plan tests it".into());
        }
        Ok(PairCase {
            promise,
            from: endpoint(&promise.from)?,
            to: endpoint(&promise.to)?,
            outcome: self
                .outcomes
                .get(&promise.probe)
                .ok_or("the evidence does not say what became of its probe")?,
        })
    }
}

impl<'a> PairCase<'a> {
    pub(super) fn protocol(&self) -> Protocol {
        self.promise.protocol
    }

    pub(super) fn family(&self) -> Family {
        self.promise.protocol.family()
    }

    /// Bytes of the payload of its probe.
    pub(super) fn probe_payload(&self, plan: &Plan) -> Option<u16> {
        let probe = plan.probes.get(usize::from(self.promise.probe.0))?;
        Some(probe.payload)
    }

    /// Whether its payload waits for a handshake.
    pub(super) fn is_connection(&self) -> bool {
        matches!(self.promise.protocol, Protocol::Tcp | Protocol::Tcp6)
    }

    /// Whether the sockets alone refute the promise: what had to arrive and to be answered was not, or
    /// what must not arrive did.
    pub(super) fn sockets_refute(&self) -> bool {
        let ProbeOutcome {
            delivered,
            answered,
            ..
        } = self.outcome;
        match self.promise.protection {
            Protection::Blocked => *delivered || *answered,
            Protection::Encrypted | Protection::Plaintext | Protection::Delivered => {
                !(*delivered && *answered)
            }
        }
    }

    pub(super) fn same_host(&self) -> bool {
        self.from.node.name == self.to.node.name
    }

    /// Who sends and who receives on a leg.
    pub(super) fn ends(&self, leg: Leg) -> (&'a Endpoint<'a>, &'a Endpoint<'a>) {
        match leg {
            Leg::Request => (self.from, self.to),
            Leg::Answer => (self.to, self.from),
        }
    }

    /// Source and destination of a leg's packets.
    pub(super) fn addresses(&self, leg: Leg) -> (IpAddr, IpAddr) {
        let family = self.family();
        let sender = family.address(self.from.source_address(self.to));
        let other = family.address(self.to.address);
        match leg {
            Leg::Request => (sender, other),
            Leg::Answer => (other, sender),
        }
    }

    /// Whether a frame holds the tag of this probe or of its answer.
    pub(super) fn is_tagged(&self, seen: &Seen<'_>) -> bool {
        let id = self.promise.probe;
        seen.sighting
            .tag
            .is_some_and(|tag| tag == Tag::Probe(id) || tag == Tag::Answer(id))
    }

    /// The packets of a leg that hold its tag. An echo reply brings the request's tag back, so for ICMP the
    /// addresses distinguish the legs.
    pub(super) fn tagged<'s>(&self, leg: Leg, index: &Index<'s>) -> Vec<Seen<'s>> {
        let id = self.promise.probe;
        let tag = match (self.protocol(), leg) {
            (Protocol::Icmp | Protocol::Icmp6, Leg::Answer) | (_, Leg::Request) => Tag::Probe(id),
            (_, Leg::Answer) => Tag::Answer(id),
        };
        self.of_leg(leg, index.of_probe(id))
            .filter(|seen| seen.sighting.tag == Some(tag))
            .collect()
    }

    /// The packets of a leg by their addresses and protocol, with or without a tag.
    pub(super) fn addressed<'s>(&self, leg: Leg, index: &Index<'s>) -> Vec<Seen<'s>> {
        let (source, destination) = self.addresses(leg);
        self.of_leg(leg, index.between(source, destination))
            .collect()
    }

    fn of_leg<'c, 's>(
        &'c self,
        leg: Leg,
        seen: &'c [Seen<'s>],
    ) -> impl Iterator<Item = Seen<'s>> + use<'c, 's> {
        let (source, destination) = self.addresses(leg);
        seen.iter().copied().filter(move |seen| {
            let packet = seen.sighting.frame.packet();
            seen.goes(source, destination)
                && packet.is_some_and(|packet| {
                    packet.carries(self.protocol())
                        && !matches!(&packet.payload, Payload::Icmp { kind, .. } if !ECHO.contains(kind))
                })
        })
    }
}
