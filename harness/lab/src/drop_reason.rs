//! The kernel's own names for why it dropped a packet (tracepoint `skb:kfree_skb`, since Linux 5.17).
//!
//! What a thread puts on a veth is taken up at the other end on the same thread, before the
//! system call returns. So the thread's own drops are counted, by perf_event_open(2), and
//! nobody else's. The counters are file descriptors: they vanish with the thread that has them.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::mount::{MsFlags, mount};

use crate::sys;

/// Where the kernel tells what its tracepoints are.
const TRACEFS: &str = "/sys/kernel/tracing";

/// The drops of a packet that arrives at a host. Each costs a counter, so others are not asked for.
const REASONS: &[&str] = &[
    "IP_CSUM",
    "IP_INADDRERRORS",
    "IP_INHDR",
    "IP_INNOROUTES",
    "IP_INVALID_SOURCE",
    "IP_LOCAL_SOURCE",
    "IP_RPFILTER",
    "NETFILTER_DROP",
    "NO_SOCKET",
    "OTHERHOST",
    "UDP_CSUM",
];

/// Counts the drops that happen on the thread that opened it.
#[derive(Debug)]
pub(crate) struct DropReasons {
    counters: Vec<(&'static str, OwnedFd)>,
}

impl DropReasons {
    /// Counts from here on what happens on the calling thread. The error says why it cannot:
    /// most often, because this is not the host's root.
    pub(crate) fn of_this_thread() -> Result<Self, String> {
        let event = Path::new(TRACEFS).join("events/skb/kfree_skb");
        if !event.is_dir() {
            let kind = Some("tracefs");
            // Seen by the sandbox only, whose mounts are its own.
            let _ = mount(kind, TRACEFS, kind, MsFlags::MS_NOSUID, None::<&str>);
        }
        let read = |name: &str| {
            let file = event.join(name);
            fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))
        };
        let id = read("id")?;
        let id = id.trim().parse().map_err(|_| "the tracepoint has no id")?;
        let format = read("format")?;
        let named = REASONS
            .iter()
            .filter_map(|name| Some((*name, number_of(&format, name)?)));
        let counters = named.map(|(name, number)| {
            let filter = format!("reason == {number}");
            let counter = sys::count_tracepoint(id, &filter)?;
            Ok((name, counter))
        });
        let counters: Vec<_> = counters
            .collect::<io::Result<_>>()
            .map_err(|error| format!("perf_event_open: {error}"))?;
        if counters.is_empty() {
            return Err("this kernel's skb:kfree_skb names no reasons".into());
        }
        Ok(Self { counters })
    }

    /// The drops so far, by name; those that did not happen are left out.
    pub(crate) fn counts(&self) -> Result<Vec<(&'static str, u64)>, String> {
        let mut counts = Vec::new();
        for (name, counter) in &self.counters {
            let mut bytes = [0; 8];
            let length = nix::unistd::read(counter, &mut bytes);
            if length != Ok(bytes.len()) {
                return Err("a drop counter cannot be read".into());
            }
            counts.push((*name, u64::from_ne_bytes(bytes)));
        }
        counts.retain(|(_, count)| *count > 0);
        Ok(counts)
    }
}

/// A reason's number, from the event's format: `{ 16, "IP_RPFILTER" }`. It differs from kernel to kernel.
fn number_of(format: &str, name: &str) -> Option<u32> {
    let (before, _) = format.split_once(&format!(", \"{name}\" }}"))?;
    let (_, number) = before.rsplit_once("{ ")?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_the_number_that_this_kernel_says() {
        let format = r#"reason: %s", __print_symbolic(REC->reason, { 2, "NOT_SPECIFIED" }, { 16, "IP_RPFILTER" }, { 17, "X" })"#;
        assert_eq!(number_of(format, "IP_RPFILTER"), Some(16));
        assert_eq!(number_of(format, "RPFILTER"), None);
    }
}
