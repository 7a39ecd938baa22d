//! The memory that this machine has left: its own, and what control groups and limits leave of it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Memory that something leaves to a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Room {
    /// The machine itself.
    Machine {
        /// The memory that is left, in bytes.
        left: u64,
    },
    /// A control group that this process is in, or one above it.
    ControlGroup {
        /// The file that has its limit.
        file: PathBuf,
        /// The memory that is left, in bytes.
        left: u64,
    },
    /// This process's address space (getrlimit(2), `RLIMIT_AS`).
    AddressSpace {
        /// The memory that is left, in bytes.
        left: u64,
    },
}

impl Room {
    /// The memory that is left, in bytes.
    pub fn left(&self) -> u64 {
        match self {
            Self::Machine { left }
            | Self::ControlGroup { left, .. }
            | Self::AddressSpace { left } => *left,
        }
    }

    /// How to have more.
    pub(super) fn remedy(&self) -> &'static str {
        match self {
            Self::Machine { .. } => "end other programs",
            Self::ControlGroup { .. } => "raise that limit (containers: --memory)",
            Self::AddressSpace { .. } => "`ulimit -v unlimited`",
        }
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine { .. } => f.write_str("the machine (MemAvailable)"),
            Self::ControlGroup { file, .. } => file.display().fmt(f),
            Self::AddressSpace { .. } => f.write_str("the limit of address space"),
        }
    }
}

/// All that limit a run here. What the kernel does not report limits nothing.
pub fn rooms() -> Vec<Room> {
    let read = |name: &str| fs::read_to_string(format!("/proc/{name}")).unwrap_or_default();
    let (groups, mounts) = (read("self/cgroup"), read("self/mountinfo"));
    let groups = folders(&groups, &mounts);
    let groups = groups.iter().filter_map(|(kind, folder)| kind.room(folder));
    available(&read("meminfo"))
        .into_iter()
        .chain(groups)
        .chain(address_space(&read("self/limits"), &read("self/status")))
        .collect()
}

/// Linux: `Documentation/filesystems/proc.rst`.
fn available(meminfo: &str) -> Option<Room> {
    let left = kilobytes(meminfo, "MemAvailable:")?;
    Some(Room::Machine { left })
}

fn address_space(limits: &str, status: &str) -> Option<Room> {
    let mut lines = limits.lines();
    let line = lines.find_map(|line| line.strip_prefix("Max address space"))?;
    // Without a limit it is a word.
    let limit = line.split_whitespace().next()?.parse::<u64>().ok()?;
    let used = kilobytes(status, "VmSize:").unwrap_or_default();
    Some(Room::AddressSpace {
        left: limit.saturating_sub(used),
    })
}

/// A number of a file of `/proc` that is in KiB, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number = line.split_whitespace().next()?.parse::<u64>().ok()?;
    number.checked_mul(1 << 10)
}

/// The two versions of control groups (cgroups(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    First,
    Second,
}

impl Kind {
    /// Files of the limit, of what is used, and names of what of that can be taken back at any time: files'
    /// content (Linux: `Documentation/admin-guide/cgroup-v1/memory.rst`, `cgroup-v2.rst`).
    fn names(self) -> (&'static str, &'static str, [&'static str; 2]) {
        match self {
            Self::First => (
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                ["total_inactive_file ", "total_active_file "],
            ),
            Self::Second => (
                "memory.max",
                "memory.current",
                ["inactive_file ", "active_file "],
            ),
        }
    }

    /// What a group leaves; none where it has no limit, as the topmost of the second version.
    fn room(self, folder: &Path) -> Option<Room> {
        let (limit, used, files) = self.names();
        let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
        let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
        let file = folder.join(limit);
        let (limit, used) = (number(limit)?, number(used)?);
        let stat = read("memory.stat").unwrap_or_default();
        let cached = |name: &&str| {
            let line = stat.lines().find_map(|line| line.strip_prefix(*name))?;
            line.trim().parse::<u64>().ok()
        };
        let cached: u64 = files.iter().filter_map(cached).sum();
        Some(Room::ControlGroup {
            file,
            left: limit.saturating_sub(used.saturating_sub(cached)),
        })
    }
}

/// The folders of the groups that a process is in, and of all above them.
fn folders(groups: &str, mounts: &str) -> Vec<(Kind, PathBuf)> {
    let mut all = Vec::new();
    for line in groups.lines() {
        // `hierarchy:controllers:path`.
        let mut parts = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(path)) =
            (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let kind = match number {
            "0" => Kind::Second,
            _ if controllers.split(',').any(|name| name == "memory") => Kind::First,
            _ => continue,
        };
        for (root, point) in mounts.lines().filter_map(|line| mount(line, kind)) {
            // What is not below the root of the mount is not to be seen in it.
            if let Ok(below) = Path::new(path).strip_prefix(root) {
                let folder = Path::new(point).join(below);
                let up = folder.ancestors();
                let up = up.take_while(|folder| folder.starts_with(point));
                all.extend(up.map(|folder| (kind, folder.to_owned())));
            }
        }
    }
    all
}

/// The root and the place of a mount of that version, with the controller of memory in the first
/// (proc_pid_mountinfo(5)).
fn mount(line: &str, kind: Kind) -> Option<(&str, &str)> {
    let (head, tail) = line.split_once(" - ")?;
    let mut tail = tail.split(' ');
    let (system, _, options) = (tail.next()?, tail.next()?, tail.next()?);
    let is_it = match kind {
        Kind::First => system == "cgroup" && options.split(',').any(|name| name == "memory"),
        Kind::Second => system == "cgroup2",
    };
    let mut head = head.split(' ').skip(3);
    let (root, point) = (head.next()?, head.next()?);
    is_it.then_some((root, point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_parsed_from_meminfo() {
        let text = "MemTotal:       24684000 kB\nMemAvailable:   22906880 kB\n";
        let left = 22_906_880 << 10;
        assert_eq!(available(text), Some(Room::Machine { left }));
        assert_eq!(available("MemTotal: 1 kB\n"), None);
        assert_eq!(available("MemAvailable: much\n"), None);
    }

    #[test]
    fn an_address_space_is_limited_or_not() {
        let status = "VmSize:\t   1024 kB\n";
        let limits =
            |number: &str| format!("Max address space         {number}  unlimited  bytes\n");
        let room = |number: &str| address_space(&limits(number), status);
        assert_eq!(room("unlimited"), None);
        let left = (60 << 20) - (1 << 20);
        assert_eq!(room("62914560"), Some(Room::AddressSpace { left }));
        assert_eq!(room("1000"), Some(Room::AddressSpace { left: 0 }));
        assert_eq!(address_space("", status), None);
    }

    const MOUNTS: &str = "\
        30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n\
        33 30 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        34 30 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n";

    fn paths(groups: &str, mounts: &str) -> Vec<String> {
        let folders = folders(groups, mounts).into_iter();
        folders
            .map(|(_, path)| path.display().to_string())
            .collect()
    }

    #[test]
    fn every_group_above_counts_in_both_versions() {
        assert_eq!(
            paths("0::/user/session:1\n", MOUNTS),
            [
                "/sys/fs/cgroup/user/session:1",
                "/sys/fs/cgroup/user",
                "/sys/fs/cgroup"
            ]
        );
        assert_eq!(
            paths("9:name=systemd:/\n4:memory:/a/b\n2:cpu:/c\n", MOUNTS),
            [
                "/sys/fs/cgroup/memory/a/b",
                "/sys/fs/cgroup/memory/a",
                "/sys/fs/cgroup/memory"
            ]
        );
    }

    #[test]
    fn a_mount_of_a_part_shows_that_part() {
        let mounts = "33 30 0:29 /docker/x /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        assert_eq!(
            paths("4:memory:/docker/x/y\n", mounts),
            ["/sys/fs/cgroup/memory/y", "/sys/fs/cgroup/memory"]
        );
        assert!(paths("4:memory:/elsewhere\n", mounts).is_empty());
        assert!(paths("rubbish\n0::/a\n", "rubbish\n").is_empty());
    }

    #[test]
    fn page_cache_counts_as_reclaimable_memory() {
        let folder = std::env::temp_dir().join(format!("wireproof-group-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        write("memory.max", "1000\n");
        write("memory.current", "700\n");
        write(
            "memory.stat",
            "anon 100\ninactive_file 200\nactive_file 100\n",
        );
        write("memory.limit_in_bytes", "1000\n");
        write("memory.usage_in_bytes", "900\n");
        let left = |kind: Kind| kind.room(&folder).map(|room| room.left());
        let both = [Kind::Second, Kind::First].map(left);
        write("memory.max", "max\n");
        let without = left(Kind::Second);
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(both, [Some(600), Some(100)]);
        assert_eq!(without, None);
        assert_eq!(left(Kind::First), None);
    }
}
