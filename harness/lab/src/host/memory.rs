//! The memory that a run will need, and whether there is as much. What decides is pure.

/// The memory that this machine has left: its own, and what control groups and limits leave of it.
mod room;

use std::fmt;

use wireproof_model::plan::{Plan, Store};

use crate::base::machine::is_guest;
use crate::observe::ring::Rings;

pub use room::{Room, rooms};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Threads that the C library reserves 64 MiB for, each (mallopt(3), `M_ARENA_MAX`, for two processors).
const ARENAS: u64 = 16;

/// What a run needs, in bytes. The constants are measured: the estimate for meshes of 2 to 40 nodes is 1 to 1.5
/// times what they have had at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Demand {
    /// The observers' rings: the kernel's own memory, which no control group counts
    /// (Linux: `alloc_one_pg_vec_page` in `net/packet/af_packet.c`), and mapped into this process.
    rings: u64,
    /// Frames that the observers keep, and the evidence that is made of them.
    evidence: u64,
    /// Engines, the nodes' first processes, and namespaces.
    nodes: u64,
    /// Memory of the store, in bytes.
    store: u64,
    /// Captures, logs and evidence, where files are in memory.
    files: u64,
    /// Threads' stacks, and what the C library reserves for them, in address space only.
    stacks: u64,
}

impl Demand {
    /// Of a run of a plan whose files are on a disk.
    pub fn of(plan: &Plan) -> Self {
        let count = |number: usize| number as u64;
        let (nodes, probes) = (count(plan.nodes.len()), count(plan.probes.len()));
        let pods = plan.nodes.iter().map(|node| count(node.pods.len()));
        let pods: u64 = pods.sum();
        // Two for each node, and some that open sockets together.
        let threads = 8 + 3 * nodes + pods;
        let known = nodes + count(plan.phantoms.len());
        Self {
            rings: Rings::of(plan).bytes(),
            evidence: 32 * MIB + probes * (16 * KIB),
            nodes: nodes * (6 * MIB + known * (48 * KIB)) + (nodes + pods) * MIB,
            store: match plan.store {
                Store::Directory => 0,
                // Its log alone is allocated 64 MiB at a time, in memory.
                Store::Etcd { .. } => 160 * MIB,
            },
            files: 0,
            stacks: threads * (2 * MIB) + threads.min(ARENAS) * (64 * MIB),
        }
    }

    /// The same where files are in memory, as in a virtual machine without a disk.
    #[must_use]
    pub fn with_files(self, plan: &Plan) -> Self {
        let probes = plan.probes.len() as u64;
        Self {
            files: 16 * MIB + probes * (24 * KIB),
            ..self
        }
    }

    /// All of it.
    pub fn bytes(&self) -> u64 {
        self.rings + self.evidence + self.nodes + self.store + self.files
    }

    /// As much of it as that room is about.
    fn within(&self, room: &Room) -> u64 {
        match room {
            Room::Machine { .. } => self.bytes(),
            Room::ControlGroup { .. } => self.bytes() - self.rings,
            Room::AddressSpace { .. } => self.rings + self.evidence + self.stacks,
        }
    }

    /// Why there is not enough room; none if there is.
    pub fn lacks(&self, rooms: &[Room]) -> Option<String> {
        let missing = |room: &Room| self.within(room).saturating_sub(room.left());
        let worst = rooms.iter().max_by_key(|room| missing(room))?;
        let (needed, left) = (self.within(worst), worst.left());
        (needed > left).then(|| {
            let in_all = match needed == self.bytes() {
                true => String::new(),
                false => format!(" there, and {} in all", Size(self.bytes())),
            };
            format!(
                "this run has not enough memory ({worst} leaves {}, and it needs about {}{in_all}: \
                 {self}); {}, or try fewer nodes, pods or protocols",
                Size(left),
                Size(needed),
                worst.remedy()
            )
        })
    }
}

/// By what it is for.
impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.rings, "for the observers' rings"),
            (self.evidence, "for evidence"),
            (self.nodes, "for nodes and engines"),
            (self.store, "for etcd"),
            (self.files, "for files in memory"),
        ];
        let parts = parts.iter().filter(|(bytes, _)| *bytes > 0);
        let parts: Vec<_> = parts
            .map(|(bytes, what)| format!("{} {what}", Size(*bytes)))
            .collect();
        f.write_str(&parts.join(", "))
    }
}

/// Bytes as people read them, in MiB, rounded up.
#[derive(Debug, Clone, Copy)]
pub struct Size(pub u64);

impl Size {
    /// In MiB, rounded up.
    pub fn mebibytes(self) -> u64 {
        self.0.div_ceil(MIB)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB", self.mebibytes())
    }
}

/// What a run of a plan needs on this machine.
pub fn needed(plan: &Plan) -> Demand {
    needed_in(is_guest(), plan)
}

/// The same on a machine that is a guest of this lab, or none. A guest's files are in its memory.
fn needed_in(guest: bool, plan: &Plan) -> Demand {
    let demand = Demand::of(plan);
    match guest {
        true => demand.with_files(plan),
        false => demand,
    }
}

/// Why this machine has not the memory for a run of a plan; none if it has.
pub fn unmet(plan: &Plan) -> Option<String> {
    needed(plan).lacks(&rooms())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(nodes: usize, more: &str) -> Plan {
        let node = |number: usize| format!("[node.n{number}]\npods = [\"p{number}\"]\n");
        let nodes: String = (1..=nodes).map(node).collect();
        let text = format!("title = \"t\"\n{more}\n{nodes}");
        let engine = "wiremesh".parse().unwrap();
        wireproof_model::resolve::plan("t.toml", &text, &[engine]).unwrap()
    }

    fn machine(mebibytes: u64) -> Room {
        Room::Machine {
            left: mebibytes * MIB,
        }
    }

    #[test]
    fn a_mesh_needs_more_with_each_node_and_a_store_of_its_own_more_yet() {
        let of = |nodes| Demand::of(&plan(nodes, "")).bytes();
        assert!(of(2) < of(3) && of(3) < of(12) && of(12) < of(40));
        let with_etcd = Demand::of(&plan(3, "store = \"etcd\"")).bytes();
        assert_eq!(with_etcd, of(3) + 160 * MIB);
    }

    #[test]
    fn a_guest_has_the_files_of_a_run_in_its_memory() {
        let mesh = plan(3, "");
        let (guest, host) = (needed_in(true, &mesh), needed_in(false, &mesh));
        assert_eq!(host.bytes(), Demand::of(&mesh).bytes());
        assert!(guest.bytes() > host.bytes());
        let (in_guest, host) = (guest.to_string(), host.to_string());
        assert!(in_guest.contains("for files in memory"), "{in_guest}");
        assert!(!host.contains("for files in memory"), "{host}");
        // These tests run in no guest.
        assert_eq!(needed(&mesh).to_string(), host);
    }

    #[test]
    fn a_demand_that_fits_is_accepted_and_another_is_refused_with_its_numbers() {
        let demand = Demand {
            rings: 704 * MIB,
            evidence: 300 * MIB,
            nodes: 96 * MIB,
            stacks: 400 * MIB,
            ..Demand::default()
        };
        assert_eq!(demand.bytes(), 1100 * MIB);
        assert_eq!(demand.lacks(&[machine(1100)]), None);
        assert_eq!(demand.lacks(&[]), None);
        assert_eq!(
            demand.lacks(&[machine(5000), machine(1099)]).as_deref(),
            Some(
                "this run has not enough memory (the machine (MemAvailable) leaves 1099 MiB, and it needs about \
                 1100 MiB: 704 MiB for the observers' rings, 300 MiB for evidence, 96 MiB for nodes and engines); \
                 end other programs, or try fewer nodes, pods or protocols"
            )
        );
    }

    #[test]
    fn a_control_group_does_not_count_rings_and_an_address_space_counts_stacks() {
        let demand = Demand {
            rings: 700 * MIB,
            evidence: 300 * MIB,
            nodes: 100 * MIB,
            stacks: 400 * MIB,
            ..Demand::default()
        };
        let group = |mebibytes| Room::ControlGroup {
            file: "/sys/fs/cgroup/a/memory.max".into(),
            left: mebibytes * MIB,
        };
        assert_eq!(demand.lacks(&[group(400)]), None);
        let why = demand.lacks(&[group(399)]).unwrap();
        let expected = "/sys/fs/cgroup/a/memory.max leaves 399 MiB, and it needs about 400 MiB there, and 1100 MiB in all: 700 MiB";
        assert!(why.contains(expected), "{why}");
        let space = |mebibytes| Room::AddressSpace {
            left: mebibytes * MIB,
        };
        assert_eq!(demand.lacks(&[space(1400)]), None);
        let why = demand.lacks(&[space(1399)]).unwrap();
        assert!(why.contains("ulimit -v"), "{why}");
        // The one that lacks most is told.
        let why = demand.lacks(&[machine(1000), group(399)]).unwrap();
        assert!(why.contains("MemAvailable"), "{why}");
    }

    #[test]
    fn each_pod_needs_a_namespace_of_its_own() {
        let of = |pods: &str| {
            let text = format!("title = \"t\"\n[node.a]\npods = [{pods}]\n[node.b]\n");
            let engine = "wiremesh".parse().unwrap();
            Demand::of(&wireproof_model::resolve::plan("t.toml", &text, &[engine]).unwrap()).nodes
        };
        assert_eq!(of("\"p\", \"q\", \"r\"") - of("\"p\""), 2 * MIB);
    }
}
