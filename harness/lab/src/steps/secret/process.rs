//! Command lines and environments of the nodes' processes.

use std::fs;
use std::path::Path;

use wireproof_model::evidence::SecretPlace;

use super::{Place, Secrets};
use crate::cluster::process;
use crate::steps::engine::Engines;

impl Secrets {
    /// Searches the processes that the nodes have now.
    pub(super) fn search_processes(&mut self, engines: &Engines<'_>) {
        let namespaces = engines.process_namespaces();
        for process in process::all() {
            let Some(node) = namespaces.get(&process.namespace) else {
                continue;
            };
            let path = process.folder;
            let program = program(&path);
            for (kind, file) in [
                (SecretPlace::CommandLine, "cmdline"),
                (SecretPlace::Environment, "environ"),
            ] {
                let name = format!("{program} on {node}");
                let text = match fs::read(path.join(file)) {
                    Ok(text) => text,
                    // It has ended.
                    Err(error) if !path.exists() || error.raw_os_error() == Some(libc::ESRCH) => {
                        continue;
                    }
                    Err(error) => {
                        self.unsearched(
                            &format!("{} of {name}", kind.as_str()),
                            &error.to_string(),
                        );
                        continue;
                    }
                };
                self.search(
                    &Place {
                        kind,
                        name: &name,
                        mode: None,
                    },
                    &mut text.as_slice(),
                );
            }
        }
    }
}

/// The name of a process's program (proc_pid_comm(5)). Its command line may have the key.
fn program(process: &Path) -> String {
    let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
    name.trim_end().to_owned()
}
