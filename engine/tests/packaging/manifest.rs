//! A Kubernetes manifest with a DaemonSet of one container.

use std::path::PathBuf;

use serde_json::Value;

use crate::sandbox::{Mount, Sandbox};

/// The DaemonSet, and what else is there.
pub(crate) struct Manifest(Vec<Value>);

fn words(value: &Value) -> Vec<String> {
    let words = value.as_array().into_iter().flatten();
    words
        .map(|word| word.as_str().unwrap().to_owned())
        .collect()
}

impl Manifest {
    pub(crate) fn read(text: &str) -> Self {
        let documents = text.split("\n---\n");
        Self(
            documents
                .map(|document| serde_yaml_ng::from_str(document).unwrap())
                .collect(),
        )
    }

    fn of_kind(&self, kind: &str) -> &Value {
        let mut documents = self.0.iter();
        documents
            .find(|document| document["kind"] == kind)
            .unwrap_or_else(|| panic!("there is no {kind}"))
    }

    pub(crate) fn pod(&self) -> &Value {
        &self.of_kind("DaemonSet")["spec"]["template"]["spec"]
    }

    pub(crate) fn container(&self) -> &Value {
        let containers = self.pod()["containers"].as_array().unwrap();
        assert_eq!(containers.len(), 1);
        &containers[0]
    }

    /// Port and path of the readiness and the liveness probe.
    pub(crate) fn probes(&self) -> Vec<(u16, String)> {
        let container = self.container();
        let probe = |name: &str| {
            let get = &container[name]["httpGet"];
            let ports = container["ports"].as_array().unwrap();
            let port = ports.iter().find(|port| port["name"] == get["port"]);
            let port = port.unwrap()["containerPort"].as_u64().unwrap();
            let path = get["path"].as_str().unwrap();
            (u16::try_from(port).unwrap(), path.to_owned())
        };
        ["readinessProbe", "livenessProbe"].map(probe).into()
    }

    /// What the manifest gives its container, with this test's node and store.
    pub(crate) fn sandbox(&self) -> Sandbox {
        let container = self.container();
        let security = &container["securityContext"];
        let mut command = words(&container["command"]);
        command.extend(words(&container["args"]));
        let mut environment = Vec::new();
        for variable in container["env"].as_array().unwrap() {
            let name = variable["name"].as_str().unwrap();
            let value = match name {
                "NODE_NAME" => "node-1",
                "STORE" => "dir:/store",
                _ => variable["value"].as_str().unwrap(),
            };
            for word in &mut command {
                *word = word.replace(&format!("$({name})"), value);
            }
            environment.push((name.to_owned(), value.to_owned()));
        }
        let volumes = self.pod()["volumes"].as_array().unwrap();
        let mounts = container["volumeMounts"].as_array().unwrap().iter();
        let mounts = mounts.map(|mount| {
            let mut volumes = volumes.iter();
            let volume = volumes.find(|volume| volume["name"] == mount["name"]);
            let host = volume.unwrap()["hostPath"]["path"].as_str();
            Mount {
                host: host.map(PathBuf::from),
                inside: mount["mountPath"].as_str().unwrap().into(),
            }
        });
        let capabilities = words(&security["capabilities"]["add"]);
        Sandbox {
            command,
            environment,
            capabilities: capabilities
                .iter()
                .map(|name| name.to_lowercase())
                .collect(),
            no_new_privileges: security["allowPrivilegeEscalation"] == false,
            read_only_root: security["readOnlyRootFilesystem"] == true,
            // As every container's that is not privileged.
            read_only_sysctls: true,
            mounts: mounts.collect(),
            ..Sandbox::default()
        }
    }
}
