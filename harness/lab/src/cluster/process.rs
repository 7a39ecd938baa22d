//! Processes of nodes, as the lab finds them in `/proc`. Their numbers are of no use: the lab may be in another
//! process namespace than its `/proc`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// A process.
#[derive(Debug)]
pub(crate) struct Process {
    /// The inode of its process namespace.
    pub(crate) namespace: u64,
    /// Its folder in `/proc`.
    pub(crate) folder: PathBuf,
}

impl Process {
    /// Whether it is the first one of its process namespace (proc_pid_status(5)).
    pub(crate) fn is_first(&self) -> bool {
        let status = fs::read_to_string(self.folder.join("status")).unwrap_or_default();
        field(&status, "NSpid").and_then(|numbers| numbers.split_whitespace().last()) == Some("1")
    }
}

/// Every process whose namespace the lab may look at. Most are somebody else's, or end at this moment.
pub(crate) fn all() -> impl Iterator<Item = Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let folder = entry.path();
        let namespace = fs::metadata(folder.join("ns/pid")).ok()?.ino();
        Some(Process { namespace, folder })
    })
}

/// The value of a line of `/proc/PID/status`.
pub(crate) fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = status.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

/// A path of a node as the lab reads it, by the first process of that process namespace; none if it has ended.
pub(crate) fn path_of(namespace: u64, path: &str) -> Option<PathBuf> {
    let mut processes = all().filter(|process| process.namespace == namespace);
    let first = processes.find(Process::is_first)?;
    Some(first.folder.join("root").join(path.trim_start_matches('/')))
}
