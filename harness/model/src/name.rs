//! Names of nodes, pods, interfaces and engines, valid by construction.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest interface name the kernel takes, in bytes (`IFNAMSIZ` - 1).
pub const INTERFACE_NAME_MAX: usize = 15;

/// What the node's end of a pod's veth is called: this prefix and the pod's name, as Azure CNI does.
pub const POD_INTERFACE_PREFIX: &str = "azv";

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct NameError {
    why: String,
}

fn check(text: &str, longest: usize, why_longest: &str) -> Result<(), NameError> {
    let fail = |why: String| Err(NameError { why });
    if text.is_empty() {
        return fail("a name has at least one character".into());
    }
    if text.len() > longest {
        return fail(format!("at most {longest} characters: {why_longest}"));
    }
    if !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        return fail("a name starts with a lower-case letter".into());
    }
    if let Some(bad) = text
        .chars()
        .find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-'))
    {
        return fail(format!("`{bad}` is not one of a-z, 0-9 and `-`"));
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $longest:expr, $why:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                check(&text, $longest, $why)?;
                Ok(Self(text))
            }
        }

        impl std::str::FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(
    /// A node: a host of the cluster. The fabric's port towards it carries the same name.
    NodeName,
    INTERFACE_NAME_MAX,
    "the fabric's port is named after the node"
);

name!(
    /// A pod: a workload with an address of its own on one node.
    PodName,
    INTERFACE_NAME_MAX - POD_INTERFACE_PREFIX.len(),
    "the node's interface to the pod is `azv` and this name"
);

name!(
    /// A pod, or a node as a host-networked endpoint. Nodes and pods share one set of names.
    EndpointName,
    INTERFACE_NAME_MAX,
    "no node or pod has a longer name"
);

name!(
    /// An engine: the stem of its descriptor's file name.
    EngineName,
    63,
    "an engine is named after its descriptor"
);

impl From<&NodeName> for EndpointName {
    fn from(name: &NodeName) -> Self {
        Self(name.0.clone())
    }
}

impl From<&PodName> for EndpointName {
    fn from(name: &PodName) -> Self {
        Self(name.0.clone())
    }
}

/// A network interface's name: 1 to 15 bytes, no slash, colon or white space (kernel: `dev_valid_name`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IfName(String);

impl IfName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What Calico calls its tunnel device (`WireguardInterfaceName`).
    pub fn of_calico_tunnel() -> Self {
        Self("wireguard.cali".into())
    }

    /// What Calico calls its tunnel device for IPv6 (`WireguardInterfaceNameV6`).
    pub fn of_calico_tunnel_v6() -> Self {
        Self("wg-v6.cali".into())
    }

    /// The node's end of the veth to `pod`.
    pub fn of_pod(prefix: &str, pod: &PodName) -> Self {
        Self(format!("{prefix}{pod}"))
    }
}

impl TryFrom<String> for IfName {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        let bad = |c: char| c.is_whitespace() || c == '/' || c == ':';
        let why = if text.is_empty() || text.len() > INTERFACE_NAME_MAX {
            format!("an interface name has 1 to {INTERFACE_NAME_MAX} bytes")
        } else if text == "." || text == ".." || text.contains(bad) {
            "an interface name has no slash, colon or white space".into()
        } else {
            return Ok(Self(text));
        };
        Err(NameError { why })
    }
}

impl std::str::FromStr for IfName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::try_from(text.to_owned())
    }
}

impl From<IfName> for String {
    fn from(name: IfName) -> String {
        name.0
    }
}

impl From<&NodeName> for IfName {
    /// The fabric's port towards a node.
    fn from(name: &NodeName) -> Self {
        Self(name.0.clone())
    }
}

impl fmt::Display for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_name_leaves_room_for_the_interface_prefix() {
        assert!("a23456789012".parse::<PodName>().is_ok());
        assert!("a234567890123".parse::<PodName>().is_err());
    }

    #[test]
    fn names_are_lower_case_and_start_with_a_letter() {
        for bad in ["", "Ada", "4ever", "a_b", "a.b", "-a", "é"] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn interface_names_follow_the_kernel() {
        assert!("wireguard.cali".parse::<IfName>().is_ok());
        for bad in ["", ".", "a/b", "a b", "sixteen-bytes-xx"] {
            assert!(bad.parse::<IfName>().is_err(), "{bad:?}");
        }
    }
}
