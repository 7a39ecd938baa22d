//! Dropped packets of every network namespace, by the kernel's own reasons.
//!
//! A program of a few instructions runs whenever the kernel drops a packet (tracepoint `skb:kfree_skb`, since
//! Linux 5.17), and counts by the namespace of the packet's device, or of its socket. The offsets of the fields
//! come from the running kernel (BTF). The program and its counters go with their descriptors.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::OnceLock;

use wireproof_model::evidence::{DropEvidence, Place, PlaceDrops};

use crate::base::error::LabError;
use crate::cluster::topology::Topology;
use crate::kernel::namespace::Namespace;
use crate::kernel::sys;
use crate::observe::btf::Btf;

/// The running kernel's types.
const TYPES: &str = "/sys/kernel/btf/vmlinux";

/// How many pairs of a namespace and a reason there can be, of the whole machine.
const MAX_ENTRIES: u32 = 16_384;

/// What every reason's name begins with.
const PREFIX: &str = "SKB_DROP_REASON_";

/// Drops by reason.
pub(crate) type Reasons = BTreeMap<String, u64>;

/// Counts dropped packets while it lives.
#[derive(Debug)]
pub(crate) struct DropWatch {
    counters: OwnedFd,
    /// Detaches the program when it is closed.
    _attached: OwnedFd,
    layout: &'static Layout,
}

/// Where the kernel has what the program looks at, in bytes, and what the reasons are called.
#[derive(Debug)]
struct Layout {
    /// `sk_buff.dev`, `net_device.nd_net`.
    device: [u32; 2],
    /// `sk_buff.sk`, `sock_common.skc_net`.
    socket: [u32; 2],
    /// `net.ns.inum`: what `/proc/PID/ns/net` shows.
    number: u32,
    reasons: BTreeMap<u32, String>,
}

impl DropWatch {
    /// Counts from here on. The error is the reason why it cannot.
    pub(crate) fn begin() -> Result<Self, String> {
        static LAYOUT: OnceLock<Result<Layout, String>> = OnceLock::new();
        let layout = LAYOUT.get_or_init(layout).as_ref().map_err(String::clone)?;
        let cannot = |error| format!("bpf: {error}");
        let counters = sys::bpf_counters(MAX_ENTRIES).map_err(cannot)?;
        let instructions = program(layout, counters.as_raw_fd());
        let program = sys::bpf_program(&instructions).map_err(cannot)?;
        let attached = sys::bpf_attach("kfree_skb", program.as_fd()).map_err(cannot)?;
        Ok(Self {
            counters,
            _attached: attached,
            layout,
        })
    }

    /// The drops of each namespace so far, by its number.
    fn counts(&self) -> Result<BTreeMap<u64, Reasons>, String> {
        let entries = sys::bpf_entries(self.counters.as_fd());
        let entries = entries.map_err(|error| format!("bpf: {error}"))?;
        if entries.len() >= MAX_ENTRIES as usize {
            return Err("there are more namespaces on this machine than can be counted".into());
        }
        let mut all = BTreeMap::<u64, Reasons>::new();
        for (key, count) in entries {
            // The program writes the namespace first, and the machine is little-endian.
            let (namespace, reason) = (key & u64::from(u32::MAX), (key >> 32) as u32);
            let name = self.layout.reasons.get(&reason);
            let name = name.cloned().unwrap_or_else(|| format!("reason {reason}"));
            *all.entry(namespace).or_default().entry(name).or_default() += count;
        }
        Ok(all)
    }

    /// Those of one namespace.
    pub(crate) fn of(&self, namespace: &Namespace) -> Result<Reasons, LabError> {
        let all = self.counts();
        let mut all =
            all.map_err(|why| LabError::machine("count dropped packets by reason", why))?;
        Ok(all.remove(&namespace.identity()?).unwrap_or_default())
    }
}

/// What a namespace has dropped so far, or why nobody knows. What a thread dropped itself would be too
/// little: under load, a thread of the kernel takes up what it put on a veth.
pub(crate) fn so_far(
    watch: &Result<DropWatch, String>,
    namespace: &Namespace,
) -> Result<Result<Reasons, String>, LabError> {
    match watch {
        Ok(watch) => watch.of(namespace).map(Ok),
        Err(why) => Ok(Err(why.clone())),
    }
}

/// What was dropped where, or why nobody knows.
pub(crate) fn evidence(
    watch: &Result<DropWatch, String>,
    topology: &Topology,
) -> Result<DropEvidence, LabError> {
    let all = match watch
        .as_ref()
        .map_err(String::clone)
        .and_then(DropWatch::counts)
    {
        Ok(all) => all,
        Err(why) => {
            return Ok(DropEvidence {
                unavailable: Some(why),
                places: Vec::new(),
            });
        }
    };
    let nodes = topology.nodes.iter();
    let nodes = nodes.map(|space| (Place::Node(space.name.clone()), &space.namespace));
    let pods = topology.nodes.iter().flat_map(|space| &space.pods);
    let pods = pods.map(|(name, namespace)| (Place::Pod(name.clone()), namespace));
    let fabric = std::iter::once((Place::Fabric, &topology.fabric));
    let places = fabric.chain(nodes).chain(pods).map(|(place, namespace)| {
        let reasons = all.get(&namespace.identity()?).cloned();
        Ok(PlaceDrops {
            place,
            reasons: reasons.unwrap_or_default(),
        })
    });
    Ok(DropEvidence {
        unavailable: None,
        places: places.collect::<Result<_, LabError>>()?,
    })
}

fn layout() -> Result<Layout, String> {
    if cfg!(target_endian = "big") {
        return Err("the program is written for little-endian machines".into());
    }
    let bytes = fs::read(TYPES).map_err(|error| format!("{TYPES}: {error}"))?;
    let types = Btf::read(&bytes).ok_or_else(|| format!("{TYPES} is in another form"))?;
    let offset = |structure: &str, field: &str| {
        let found = types.offset(structure, field);
        found.ok_or_else(|| format!("this kernel has no {structure}.{field}"))
    };
    let reasons = types.words("skb_drop_reason").into_iter();
    let reasons = reasons.map(|(number, name)| match name.strip_prefix(PREFIX) {
        Some(short) => (number, short.to_owned()),
        None => (number, name),
    });
    let reasons: BTreeMap<_, _> = reasons.collect();
    if reasons.is_empty() {
        return Err("this kernel's skb:kfree_skb names no reasons".into());
    }
    Ok(Layout {
        device: [offset("sk_buff", "dev")?, offset("net_device", "nd_net")?],
        socket: [offset("sk_buff", "sk")?, offset("sock_common", "skc_net")?],
        number: offset("net", "ns")? + offset("ns_common", "inum")?,
        reasons,
    })
}

/// One instruction (`struct bpf_insn`).
fn instruction(code: u8, to: u8, from: u8, offset: i16, value: i32) -> u64 {
    let [low, high] = offset.to_le_bytes();
    let [a, b, c, d] = value.to_le_bytes();
    u64::from_le_bytes([code, to | from << 4, low, high, a, b, c, d])
}

/// The counting program. It reads what may not be there any more: such a read gives zeroes, and
/// what is nobody's is counted at namespace 0.
fn program(layout: &Layout, counters: i32) -> Vec<u64> {
    /// Registers: arguments from 1 on, results in 0, the packet and the reason in 6 and 7, the
    /// stack's end in 10.
    const PACKET: u8 = 6;
    const REASON: u8 = 7;
    const HERE: u8 = 8;
    const STACK: u8 = 10;
    /// Places on the stack: what was read, the key (namespace, reason), a first count.
    const READ: i16 = -8;
    const KEY: i16 = -16;
    const ONE: i16 = -24;
    let field = |offset: u32| i32::try_from(offset).unwrap_or(i32::MAX);
    let place = |register: u8, at: i16| {
        [
            instruction(0xbf, register, STACK, 0, 0),
            instruction(0x07, register, 0, 0, at.into()),
        ]
    };
    // bpf_probe_read_kernel(place, size, from + offset)
    let read = |at: i16, size: i32, from: u8, offset: u32| {
        let mut all = place(1, at).to_vec();
        all.extend([
            instruction(0xb7, 2, 0, 0, size),
            instruction(0xbf, 3, from, 0, 0),
            instruction(0x07, 3, 0, 0, field(offset)),
            instruction(0x85, 0, 0, 0, 113),
        ]);
        all
    };
    let follow = |from: u8, offset: u32| {
        let mut all = read(READ, 8, from, offset);
        all.push(instruction(0x79, HERE, STACK, READ, 0));
        all
    };
    // bpf_map_lookup_elem(counters, key)
    let map = [
        instruction(0x18, 1, 1, 0, counters),
        instruction(0, 0, 0, 0, 0),
    ];
    let mut lookup = map.to_vec();
    lookup.extend(place(2, KEY));
    lookup.push(instruction(0x85, 0, 0, 0, 1));
    let count = [instruction(0xb7, 1, 0, 0, 1), instruction(0xdb, 0, 1, 0, 0)];
    let end = [instruction(0xb7, 0, 0, 0, 0), instruction(0x95, 0, 0, 0, 0)];

    // The tracepoint's arguments: the packet, the place in the kernel, the reason.
    let mut all = vec![
        instruction(0x79, PACKET, 1, 0, 0),
        instruction(0x79, REASON, 1, 16, 0),
    ];
    all.extend(follow(PACKET, layout.device[0]));
    all.extend(follow(HERE, layout.device[1]));
    let mut by_socket = follow(PACKET, layout.socket[0]);
    by_socket.extend(follow(HERE, layout.socket[1]));
    let over = i16::try_from(by_socket.len()).unwrap_or(0);
    all.push(instruction(0x55, HERE, 0, over, 0));
    all.extend(by_socket);
    all.extend(read(KEY, 4, HERE, layout.number));
    all.push(instruction(0x63, STACK, REASON, KEY + 4, 0));
    all.extend(&lookup);
    // Where there is a counter, it counts, and that is all.
    all.push(instruction(0x15, 0, 0, 4, 0));
    all.extend(count);
    all.extend(end);
    // Else there is a new one, unless another processor was faster.
    all.push(instruction(0x7a, STACK, 0, ONE, 1));
    all.extend(map);
    all.extend(place(2, KEY));
    all.extend(place(3, ONE));
    all.push(instruction(0xb7, 4, 0, 0, 1));
    all.push(instruction(0x85, 0, 0, 0, 2));
    let again = i16::try_from(lookup.len() + 1 + count.len()).unwrap_or(0);
    all.push(instruction(0x15, 0, 0, again, 0));
    all.extend(&lookup);
    all.push(instruction(0x15, 0, 0, 2, 0));
    all.extend(count);
    all.extend(end);
    all
}
