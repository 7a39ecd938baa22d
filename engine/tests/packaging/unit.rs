//! A systemd unit: what its service may do.

use std::path::PathBuf;

use crate::sandbox::{Mount, Sandbox};

/// Keys and values in order; a key may be there more than once.
pub(crate) struct Unit(Vec<(String, String)>);

impl Unit {
    pub(crate) fn read(text: &str) -> Self {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with(['#', ';', '[']));
        let pair = |line: &str| {
            let (key, value) = line.split_once('=').expect("a line is KEY=VALUE");
            (key.to_owned(), value.to_owned())
        };
        Self(lines.map(pair).collect())
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.all(key).last()
    }

    fn all(&self, key: &str) -> impl Iterator<Item = &str> {
        let same = self.0.iter().filter(move |(known, _)| known == key);
        same.map(|(_, value)| value.as_str())
    }

    /// What the unit gives its process, with this test's node and store.
    pub(crate) fn sandbox(&self) -> Sandbox {
        let mut command = self.get("ExecStart").unwrap().to_owned();
        for variable in self.all("Environment") {
            let (name, _) = variable.split_once('=').unwrap();
            let value = match name {
                "WIREMESH_NODE" => "node-1",
                "WIREMESH_STORE" => "dir:/store",
                other => panic!("what is {other}?"),
            };
            command = command.replace(&format!("${{{name}}}"), value);
        }
        let capabilities = self.get("CapabilityBoundingSet").unwrap();
        let own = |key, below: &'static str| {
            self.all(key).map(move |name| Mount {
                host: None,
                inside: PathBuf::from(below).join(name),
            })
        };
        let runtime = own("RuntimeDirectory", "/run").chain(own("StateDirectory", "/var/lib"));
        let device = self.all("DeviceAllow").map(|device| {
            let path = PathBuf::from(device.split(' ').next().unwrap());
            let folder = path.parent().unwrap().to_owned();
            Mount {
                host: Some(folder.clone()),
                inside: folder,
            }
        });
        Sandbox {
            command: command.split(' ').map(str::to_owned).collect(),
            capabilities: capabilities
                .split_whitespace()
                .map(|name| name.trim_start_matches("CAP_").to_lowercase())
                .collect(),
            no_new_privileges: self.get("NoNewPrivileges") == Some("yes"),
            read_only_root: self.get("ProtectSystem") == Some("strict"),
            read_only_sysctls: self.get("ProtectKernelTunables") != Some("no"),
            mounts: runtime.chain(device).collect(),
            ..Sandbox::default()
        }
    }
}
