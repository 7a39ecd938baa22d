//! Sizes of the observers' rings: pure, and known before a run.

use std::collections::BTreeMap;

use wireproof_model::evidence::Place;
use wireproof_model::plan::Plan;

use crate::kernel::packet::room;

/// Bytes of an Ethernet header with a VLAN tag.
const ETHERNET_HEADER: usize = 18;

/// Probes that are under way at once: the next ones are sent when the observers have read what these made.
pub(crate) const BATCH: usize = 128;

/// Frames that a probe makes in a node at most, if nothing is sent again: some 10 packets of TCP, each at
/// three interfaces.
const FRAMES: usize = 32;

/// What one place's ring has to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RingSize {
    /// Bytes of the longest frame.
    pub(crate) longest: usize,
    /// Frames that may come before its reader gets a processor.
    pub(crate) at_once: usize,
}

impl RingSize {
    /// The memory that the ring takes, in bytes.
    fn bytes(self) -> u64 {
        let (slot, slots) = room(self.longest, self.at_once);
        (slot * slots) as u64
    }
}

/// What the rings of a run have to hold, place by place.
#[derive(Debug, Clone)]
pub(crate) struct Rings {
    /// The largest MTU of any interface there, at any time of the run.
    mtus: BTreeMap<Place, u16>,
    /// How many probes there are in the whole run.
    probes: usize,
}

impl Rings {
    pub(crate) fn of(plan: &Plan) -> Self {
        let mut mtus = BTreeMap::<Place, u16>::new();
        let mut note = |place: Place, mtu: u16| {
            let known = mtus.entry(place).or_default();
            *known = mtu.max(*known);
        };
        let everyone = plan.states().flat_map(|state| state.nodes);
        for node in everyone.chain(plan.clients.iter().cloned()) {
            note(Place::Fabric, node.mtu);
            note(Place::Node(node.name.clone()), node.mtu);
            for pod in node.pods {
                note(Place::Node(node.name.clone()), pod.mtu);
                note(Place::Pod(pod.name), pod.mtu);
            }
        }
        Self {
            mtus,
            probes: plan.probes.len(),
        }
    }

    /// What the ring of a place has to hold.
    ///
    /// Probes are sent so many at a time, and the next ones when what the last ones made was read; at the
    /// fabric everything comes together, such as 10,000 writes to a store; and what comes to a pod is little.
    pub(crate) fn at(&self, place: &Place) -> RingSize {
        let mtu = self.mtus.get(place).or(self.mtus.values().max());
        RingSize {
            longest: usize::from(mtu.copied().unwrap_or_default()) + ETHERNET_HEADER,
            at_once: match place {
                Place::Fabric => usize::MAX,
                Place::Node(_) => self.probes.min(BATCH) * FRAMES,
                Place::Pod(_) => 0,
            },
        }
    }

    /// All of them together, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.mtus.keys().map(|place| self.at(place).bytes()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rings(text: &str) -> Rings {
        let engine = "wiremesh".parse().unwrap();
        let text = format!("title = \"t\"\n{text}");
        Rings::of(&wireproof_model::resolve::plan("t.toml", &text, &[engine]).unwrap())
    }

    #[test]
    fn a_node_has_room_for_what_is_sent_at_a_time_however_many_probes_there_are() {
        let mesh = |nodes: usize| {
            let node = |number: usize| format!("[node.n{number}]\npods = [\"p{number}\"]\n");
            (1..=nodes).map(node).collect::<String>()
        };
        let node = Place::Node("n1".parse().unwrap());
        assert_eq!(rings(&mesh(2)).at(&node).at_once, 36 * FRAMES);
        assert_eq!(rings(&mesh(20)).at(&node).at_once, BATCH * FRAMES);
        // The fabric's 64 MiB, and 8 for each node and pod.
        assert_eq!(rings(&mesh(20)).bytes(), (64 + 40 * 8) << 20);
    }

    #[test]
    fn a_place_has_room_for_its_own_longest_frames() {
        let rings = rings(
            "[node.a]\nmtu = 9000\npods = [\"p\"]\n[node.b]\n\
             [[step]]\naction = \"set-mtu\"\nnode = \"b\"\nmtu = 1600\n",
        );
        let longest = |place: Place| rings.at(&place).longest;
        assert_eq!(longest(Place::Fabric), 9018);
        assert_eq!(longest(Place::Node("a".parse().unwrap())), 9018);
        assert_eq!(longest(Place::Pod("p".parse().unwrap())), 1518);
        assert_eq!(longest(Place::Node("b".parse().unwrap())), 1618);
    }
}
