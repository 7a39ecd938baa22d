//! Kernels to boot: an image and its modules, as a distribution's package has them.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use wireproof_model::text::shown_path;

use crate::base::error::{Doing, LabError};

/// Where kernels are looked for, each in a folder of its name; `ci/setup --kernels` fills it.
pub const FOLDER: &str = "WIREPROOF_KERNELS";

/// Modules that a lab or an engine may need. What a kernel has built in or lacks is left out: what a machine
/// cannot do, it reports by itself.
const WANTED: &[&str] = &[
    // What speaks with the host.
    "virtio_pci",
    "virtio_console",
    // Links.
    "veth",
    "bridge",
    "tun",
    "dummy",
    "wireguard",
    // Firewall, and the addresses that it translates.
    "nf_tables",
    "nft_chain_nat",
    "nft_ct",
    "nft_fib_inet",
    "nft_fib_ipv4",
    "nft_fib_ipv6",
    "nft_limit",
    "nft_log",
    "nft_masq",
    "nft_meta_bridge",
    "nft_nat",
    "nft_numgen",
    "nft_objref",
    "nft_redir",
    "nft_reject_bridge",
    "nft_reject_inet",
    "nf_conntrack_netlink",
    // Queues.
    "sch_netem",
    "sch_tbf",
    "sch_ingress",
    "cls_bpf",
    // Evidence.
    "drop_monitor",
];

/// What `ci/setup --kernels` installs: one of these that is not there is only not installed.
const INSTALLED: &[&str] = &["debian-6.1", "debian-6.12"];

/// A kernel to boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// As the user names it: `debian-6.1`.
    pub name: String,
    /// As it names itself: `6.1.0-56-cloud-amd64`.
    pub release: String,
    /// What qemu boots.
    pub image: PathBuf,
    /// `lib/modules/RELEASE`.
    modules: PathBuf,
}

impl Kernel {
    /// The kernel of that name among the installed ones, or the one in that folder.
    ///
    /// # Errors
    /// There is none, or a part of it is missing.
    pub fn find(name: &str) -> Result<Self, LabError> {
        let folder = match name.contains('/') {
            true => PathBuf::from(name),
            false => folder().join(name),
        };
        let doing = || format!("find the kernel `{name}`");
        if !folder.is_dir() {
            let known = names();
            let known = match known.is_empty() {
                true => "none is there".to_owned(),
                false => format!("there are: {}", known.join(", ")),
            };
            let cause = format!("there is no folder {}; {known}", shown_path(&folder));
            let error = match INSTALLED.contains(&name) {
                true => LabError::machine(doing(), cause),
                false => LabError::request(doing(), cause),
            };
            return Err(error.help(
                "run ci/setup --kernels, or give a folder with boot/vmlinuz-* and lib/modules/*",
            ));
        }
        let modules = only(&folder.join("lib/modules"), "")
            .or_else(|| only(&folder.join("usr/lib/modules"), ""))
            .ok_or_else(|| LabError::machine(doing(), "it has no lib/modules/RELEASE"))?;
        let release = file_name(&modules);
        let image = [folder.join("boot"), folder.clone()]
            .iter()
            .find_map(|at| only(at, "vmlinuz"))
            .ok_or_else(|| LabError::machine(doing(), "it has no boot/vmlinuz-RELEASE"))?;
        if !modules.join("modules.dep").is_file() {
            let cause = "its modules have no index, modules.dep";
            let help = format!("run: depmod -b {} {release}", shown_path(&folder));
            return Err(LabError::machine(doing(), cause).help(help));
        }
        Ok(Self {
            name: name.to_owned(),
            release,
            image,
            modules,
        })
    }

    /// Whether it has that module, loadable or built in.
    pub(crate) fn has(&self, module: &str) -> bool {
        let listed = |index: &str| fs::read_to_string(self.modules.join(index)).unwrap_or_default();
        let (loadable, built_in) = (listed("modules.dep"), listed("modules.builtin"));
        let mut paths = loadable.lines().chain(built_in.lines());
        paths.any(|line| module_name(line.split(':').next().unwrap_or(line)) == module)
    }

    /// The modules that are wanted of it, each after those that it depends on.
    ///
    /// # Errors
    /// Their index cannot be read, or they are compressed.
    pub(crate) fn modules(&self) -> Result<Vec<PathBuf>, LabError> {
        let index = self.modules.join("modules.dep");
        let text = fs::read_to_string(&index).doing(format!("read {}", shown_path(&index)))?;
        let chosen = in_order(&text, WANTED);
        if let Some(packed) = chosen.iter().find(|path| !path.ends_with(".ko")) {
            let what = format!("load {}", shown_path(&self.modules.join(packed)));
            return Err(LabError::machine(what, "it is compressed")
                .help("unpack the modules (xz -d, zstd -d), and run depmod again"));
        }
        Ok(chosen.iter().map(|path| self.modules.join(path)).collect())
    }
}

/// The folder with the kernels: what the variable names, else below the user's cache.
pub fn folder() -> PathBuf {
    let from = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    from(FOLDER).map_or_else(
        || {
            let cache = from("XDG_CACHE_HOME").map(PathBuf::from);
            let home = || PathBuf::from(from("HOME").unwrap_or_default()).join(".cache");
            cache.unwrap_or_else(home).join("wireproof/kernels")
        },
        PathBuf::from,
    )
}

/// The names of the installed kernels.
pub fn names() -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder())
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join("lib/modules").is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// The one entry of a folder whose name begins so.
fn only(folder: &Path, prefix: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let mut paths = entries
        .map(|entry| entry.path())
        .filter(|path| file_name(path).starts_with(prefix));
    paths.next().filter(|_| paths.next().is_none())
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// The wanted modules and what they depend on, in an order in which they load. `index` is a
/// `modules.dep` (depmod(8)): a line for each module, with everything that it depends on, the
/// nearest first.
fn in_order<'i>(index: &'i str, wanted: &[&str]) -> Vec<&'i str> {
    let mut modules = BTreeMap::new();
    for line in index.lines() {
        if let Some((path, needs)) = line.split_once(':') {
            modules.insert(module_name(path), (path, needs));
        }
    }
    let mut order: Vec<&str> = Vec::new();
    for (path, needs) in wanted.iter().filter_map(|name| modules.get(*name)) {
        for path in needs.split_whitespace().rev().chain([*path]) {
            if !order.contains(&path) {
                order.push(path);
            }
        }
    }
    order
}

/// `kernel/net/8021q/8021q.ko.xz` is `8021q`; a dash in a file's name is an underscore in the module's.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.split(".ko").next().unwrap_or(file);
    stem.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_come_after_what_they_need_and_once() {
        let index = "kernel/net/wireguard.ko: kernel/lib/chacha.ko kernel/net/udp-tunnel.ko\n\
                     kernel/lib/chacha.ko:\n\
                     kernel/net/udp-tunnel.ko:\n\
                     kernel/net/bridge/bridge.ko: kernel/net/llc/stp.ko kernel/net/llc/llc.ko\n";
        let order = in_order(index, &["udp_tunnel", "wireguard", "bridge", "absent"]);
        let expected = [
            "kernel/net/udp-tunnel.ko",
            "kernel/lib/chacha.ko",
            "kernel/net/wireguard.ko",
            "kernel/net/llc/llc.ko",
            "kernel/net/llc/stp.ko",
            "kernel/net/bridge/bridge.ko",
        ];
        assert_eq!(order, expected);
    }
}
