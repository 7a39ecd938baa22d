//! Leaks of kernel objects: what runs leave in the kernel when nobody uses it any more.

use std::fmt;
use std::fs;
use std::thread::park_timeout;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wireproof_model::plan::Patience;

use crate::base::wait::Deadline;
use crate::kernel::namespace::Namespace;

/// How long the kernel may take to clear up behind the last run. It does so in the background
/// (Linux: `cleanup_net` in `net/core/net_namespace.c`), and emulated it is slow.
const CLEANUP_TIMEOUT: Duration = Duration::from_secs(20);

/// How often is looked.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// How often is looked before the next namespace comes and goes: clearing up behind it takes a while.
const POLLS_PER_NAMESPACE: usize = 8;

/// The kernel's caches of network namespaces, and of WireGuard's peers
/// (Linux: `net/core/net_namespace.c`, `drivers/net/wireguard/peer.c`).
const CACHES: [&str; 2] = ["net_namespace", "wg_peer"];

/// What there is more than before the first run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remains {
    /// How many network namespaces are left.
    pub namespaces: u64,
    /// Peers of WireGuard devices.
    pub peers: u64,
    /// The kernel's own memory in KiB, which caches of any kind are part of: it grows with first uses, and
    /// means something only when it grows with their number.
    pub kilobytes: u64,
}

impl Remains {
    /// Whether everything is gone that belongs to a run.
    pub fn is_clean(&self) -> bool {
        self.namespaces == 0 && self.peers == 0
    }
}

impl fmt::Display for Remains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            namespaces,
            peers,
            kilobytes,
        } = self;
        write!(
            f,
            "left of the runs: network namespaces {namespaces}, WireGuard peers {peers}; the kernel's memory has grown by {kilobytes} KiB"
        )
    }
}

/// What there is at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Census {
    objects: [u64; 2],
    kilobytes: u64,
}

impl Census {
    /// What there is before anything has run; none where the kernel does not report it.
    pub(super) fn first() -> Option<Self> {
        Self::least(|_| false)
    }

    /// The least of a few counts, or the first that is enough.
    ///
    /// Namespaces that the kernel has cleared up are given back only when it clears up the next time
    /// (Linux: `net_complete_free` in `net/core/net_namespace.c`). So one comes and goes before it is
    /// counted, and that one is in every such count, or in none.
    fn least(enough: impl Fn(&Self) -> bool) -> Option<Self> {
        drop(Namespace::create("one more").ok()?);
        let mut least = Self::take()?;
        for _ in 0..POLLS_PER_NAMESPACE {
            if enough(&least) {
                break;
            }
            // The kernel tells nobody when a namespace is gone.
            #[expect(clippy::disallowed_methods, reason = "one of a few looks")]
            park_timeout(POLL_INTERVAL);
            let count = Self::take()?;
            if count.objects <= least.objects {
                least = count;
            }
        }
        Some(least)
    }

    /// Counts; none where the kernel does not report them (Linux: `CONFIG_SLUB_DEBUG`).
    fn take() -> Option<Self> {
        for cache in CACHES {
            // Objects that a processor keeps for the next use count as used, until they are given back.
            let _ = fs::write(format!("/sys/kernel/slab/{cache}/shrink"), "1");
        }
        let slabs = fs::read_to_string("/proc/slabinfo").ok()?;
        let memory = fs::read_to_string("/proc/meminfo").ok()?;
        Self::read(&slabs, &memory)
    }

    fn read(slabs: &str, memory: &str) -> Option<Self> {
        let number = |text: &str, name: &str| {
            let mut lines = text.lines();
            let line = lines.find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        let objects = CACHES.map(|cache| number(slabs, &format!("{cache} ")));
        Some(Self {
            // WireGuard may not be there; every kernel has namespaces.
            objects: [objects[0]?, objects[1].unwrap_or(0)],
            kilobytes: number(memory, "SUnreclaim:")? + number(memory, "Percpu:")?,
        })
    }

    /// What there is more than at that time, once the kernel has cleared up or its time is over.
    pub(super) fn since(before: &Self, patience: Patience) -> Option<Remains> {
        let deadline = Deadline::after(patience.watches(CLEANUP_TIMEOUT));
        loop {
            let count = Self::least(|count| count.more_than(before).is_clean())?;
            let remains = count.more_than(before);
            if remains.is_clean() || deadline.passed() {
                return Some(remains);
            }
        }
    }

    fn more_than(&self, before: &Self) -> Remains {
        let [namespaces, peers] =
            [0, 1].map(|which| self.objects[which].saturating_sub(before.objects[which]));
        Remains {
            namespaces,
            peers,
            kilobytes: self.kilobytes.saturating_sub(before.kilobytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLABS: &str = "slabinfo - version: 2.1\n\
        # name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>\n\
        wg_peer                4     20   1600   20    8 : tunables    0    0    0\n\
        net_namespace         11     12   4992    6    8 : tunables    0    0    0\n";
    const MEMORY: &str =
        "MemTotal:        3012132 kB\nSUnreclaim:        20000 kB\nPercpu:             1500 kB\n";

    #[test]
    fn objects_beyond_those_before_are_leaks() {
        let before = Census::read(
            &SLABS
                .replace("  11     12", "   1     12")
                .replace("   4 ", "   0 "),
            &MEMORY.replace("20000", "15000"),
        );
        let after = Census::read(SLABS, MEMORY).unwrap();
        let remains = after.more_than(&before.unwrap());
        assert_eq!(
            remains,
            Remains {
                namespaces: 10,
                peers: 4,
                kilobytes: 5000
            }
        );
        assert!(!remains.is_clean());
        assert!(after.more_than(&after).is_clean());
    }

    #[test]
    fn a_kernel_without_wireguard_has_no_peers_and_one_without_slabinfo_has_no_census() {
        let without = SLABS.replace("wg_peer", "other");
        assert_eq!(Census::read(&without, MEMORY).unwrap().objects, [11, 0]);
        assert!(Census::read("", MEMORY).is_none());
    }
}
