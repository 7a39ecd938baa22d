//! The kernel's tables of neighbours (ARP, neighbour discovery): one of each family for all namespaces.
//!
//! Where one is full, the kernel drops the packets that need a new entry.

use crate::base::error::LabError;
use crate::kernel::namespace::Namespace;
use crate::kernel::netlink::{NeighbourTable, Netlink};

/// The kernel's own limit of entries that are not permanent (Linux: `gc_thresh3` in `net/ipv4/arp.c`
/// and `net/ipv6/ndisc.c`). The lab is made for it.
const DEFAULT_LIMIT: u32 = 1024;

/// How a machine comes to have room.
pub(crate) const REMEDY: &str =
    "sysctl -w net.ipv4.neigh.default.gc_thresh3=8192 net.ipv6.neigh.default.gc_thresh3=8192";

/// Both tables. Any namespace knows them.
fn tables() -> Result<Vec<NeighbourTable>, LabError> {
    Netlink::open(&Namespace::create("survey")?)?.neighbour_tables()
}

/// How often an entry was refused since the machine started, in either table; none where the kernel does not
/// report.
pub(crate) fn refused() -> Option<u64> {
    let tables = tables().ok()?;
    Some(tables.iter().map(|table| table.refused).sum())
}

/// Tries whether the tables have the room that every kernel gives them.
pub(crate) fn try_room() -> Result<(), LabError> {
    let small = tables()?
        .into_iter()
        .find(|table| table.most < DEFAULT_LIMIT);
    small.map_or(Ok(()), |table| {
        let (name, most) = (&table.name, table.most);
        let cause = format!("{name} has room for {most} entries, not {DEFAULT_LIMIT}");
        Err(LabError::machine(
            "look for room in the neighbour tables",
            cause,
        ))
    })
}
