//! Names of fields, and the right one for a misspelt one.
//!
//! A field that is unknown is another program's business, unless it is near to one that counts here or
//! is where it does not belong: then something is meant that does not happen.

use serde_json::Value;

use crate::intent::family::Family;
use crate::intent::spelling::meant;

use super::Lost;
use super::fields::Fields;

/// What every resource has (Kubernetes: API conventions).
const TOP: &[&str] = &["apiVersion", "kind", "metadata", "spec", "status", "items"];

/// What metadata has (Kubernetes: `metav1.ObjectMeta`).
const METADATA: &[&str] = &[
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// The fields of a mapping, by its place.
type Shape = &'static [(&'static str, &'static [&'static str])];

/// Calico's Node (libcalico-go: `apis/v3/node.go`).
const NODE: Shape = &[
    (
        "spec",
        &[
            "addresses",
            "bgp",
            "ipv4VXLANTunnelAddr",
            "ipv6VXLANTunnelAddr",
            "orchRefs",
            "vxlanTunnelMACAddr",
            "vxlanTunnelMACAddrV6",
            "wireguard",
        ],
    ),
    (
        "spec.bgp",
        &[
            "asNumber",
            "ipv4Address",
            "ipv4IPIPTunnelAddr",
            "ipv6Address",
            "routeReflectorClusterID",
        ],
    ),
    (
        "spec.wireguard",
        &["interfaceIPv4Address", "interfaceIPv6Address"],
    ),
    (
        "status",
        &["podCIDRs", "wireguardPublicKey", "wireguardPublicKeyV6"],
    ),
];

/// Kubernetes' Node (`core/v1`: `NodeSpec`, `NodeStatus`).
const KUBERNETES_NODE: Shape = &[
    (
        "spec",
        &[
            "configSource",
            "externalID",
            "podCIDR",
            "podCIDRs",
            "providerID",
            "taints",
            "unschedulable",
        ],
    ),
    (
        "status",
        &[
            "addresses",
            "allocatable",
            "capacity",
            "conditions",
            "config",
            "daemonEndpoints",
            "declaredFeatures",
            "features",
            "images",
            "nodeInfo",
            "phase",
            "runtimeHandlers",
            "volumesAttached",
            "volumesInUse",
        ],
    ),
];

/// libcalico-go: `apis/v3/workloadendpoint.go`.
const WORKLOAD: Shape = &[(
    "spec",
    &[
        "allowSpoofedSourcePrefixes",
        "containerID",
        "endpoint",
        "interfaceName",
        "ipNATs",
        "ipNetworks",
        "ipv4Gateway",
        "ipv6Gateway",
        "mac",
        "node",
        "orchestrator",
        "pod",
        "ports",
        "profiles",
        "qosControls",
        "serviceAccountName",
        "workload",
    ],
)];

/// The API's `v3/clusterinfo.go`.
const INFORMATION: Shape = &[(
    "spec",
    &[
        "calicoVersion",
        "clusterGUID",
        "clusterType",
        "cnxVersion",
        "datastoreReady",
        "variant",
    ],
)];

/// The API's `v3/ippool.go`.
const POOL: Shape = &[(
    "spec",
    &[
        "allowedUses",
        "assignmentMode",
        "blockSize",
        "cidr",
        "disableBGPExport",
        "disabled",
        "ipip",
        "ipipMode",
        "namespaceSelector",
        "nat-outgoing",
        "natOutgoing",
        "nodeSelector",
        "vxlanMode",
    ],
)];

/// libcalico-go: `backend/model/block.go` and `apis/crd.projectcalico.org/v1`.
const BLOCK: Shape = &[(
    "spec",
    &[
        "affinity",
        "affinityClaimTime",
        "allocations",
        "attributes",
        "cidr",
        "deleted",
        "sequenceNumber",
        "sequenceNumberForAllocation",
        "strictAffinity",
        "unallocated",
    ],
)];

/// What is read of a field that stays as it was known if the field cannot be read.
fn held(kind: &str, document: &Value) -> &'static [(&'static str, Lost)] {
    const V4: Lost = Lost::Address(Family::V4);
    const V6: Lost = Lost::Address(Family::V6);
    match kind {
        "Node" if super::kubernetes::is_one(document) => &[
            ("metadata.annotations", V4),
            ("metadata.annotations", V6),
            ("metadata.labels", Lost::Labels),
            ("status.addresses", V4),
            ("status.addresses", V6),
        ],
        "Node" => &[
            ("metadata.labels", Lost::Labels),
            ("spec.addresses", V4),
            ("spec.addresses", V6),
            ("spec.bgp.ipv4Address", V4),
            ("spec.bgp.ipv4IPIPTunnelAddr", V4),
            ("spec.bgp.ipv6Address", V6),
            ("spec.ipv4VXLANTunnelAddr", V4),
            ("spec.ipv6VXLANTunnelAddr", V6),
            ("spec.wireguard.interfaceIPv4Address", V4),
            ("spec.wireguard.interfaceIPv6Address", V6),
        ],
        "WorkloadEndpoint" => &[("spec.ipNetworks", Lost::Network)],
        "IPAMBlock" => &[
            ("spec.affinity", Lost::Owner),
            ("spec.allocations", Lost::Network),
            ("spec.attributes", Lost::Network),
        ],
        "ClusterInformation" => &[
            ("spec.clusterType", Lost::ClusterType),
            ("spec.datastoreReady", Lost::Ready),
        ],
        _ => &[],
    }
}

fn shape(kind: &str, document: &Value) -> Shape {
    match kind {
        "Node" if super::kubernetes::is_one(document) => KUBERNETES_NODE,
        "Node" => NODE,
        "WorkloadEndpoint" => WORKLOAD,
        "ClusterInformation" => INFORMATION,
        "IPPool" => POOL,
        "IPAMBlock" => BLOCK,
        // [`crate::intent::settings`] knows the fields of a FelixConfiguration.
        _ => &[],
    }
}

/// Reports unknown names.
pub(super) fn check(fields: &mut Fields<'_>, kind: &str) {
    let shape = shape(kind, fields.document);
    for name in names_of(Some(fields.document)) {
        if TOP.contains(&name) {
            continue;
        }
        let (place, what) = match (meant(name, TOP.iter().copied()), elsewhere(name, "", shape)) {
            (_, Some(place)) => {
                let what = format!("is not where it belongs: did you mean `{place}`?");
                (place, what)
            }
            (Some(meant), None) => (
                meant.to_owned(),
                format!("is no field: did you mean `{meant}`?"),
            ),
            (None, None) => (
                String::new(),
                "is no field: settings belong to `spec`".to_owned(),
            ),
        };
        fields.fail(name, what);
        lose(fields, kind, &place);
    }
    let metadata = [("metadata", METADATA)];
    for (parent, known) in metadata.iter().chain(shape) {
        for name in names_of(fields.at(parent)) {
            if known.contains(&name) {
                continue;
            }
            let meant = match meant(name, known.iter().copied()) {
                Some(meant) => Some(format!("{parent}.{meant}")),
                None => elsewhere(name, parent, shape),
            };
            if let Some(meant) = meant {
                let what = format!("is no field: did you mean `{meant}`?");
                fields.fail(&format!("{parent}.{name}"), what);
                lose(fields, kind, &meant);
            }
        }
    }
    if kind == "FelixConfiguration" {
        check_metadata(fields);
        for name in ["annotations", "labels"] {
            let field = format!("spec.{name}");
            if fields.at(&field).is_some() {
                let what = format!("is no field: did you mean `metadata.{name}`?");
                fields.fail(&field, what);
            }
        }
    }
}

/// Reports settings of a FelixConfiguration that stand in labels, or elsewhere in the metadata but in annotations.
fn check_metadata(fields: &mut Fields<'_>) {
    let labels = names_of(fields.at("metadata.labels"));
    let settings = labels.filter(|name| SETTINGS.iter().any(|prefix| name.starts_with(prefix)));
    for name in settings.collect::<Vec<_>>() {
        let what = format!("is no label: did you mean `metadata.annotations.{name}`?");
        fields.fail(&format!("metadata.labels.{name}"), what);
    }
    let names = names_of(fields.at("metadata"));
    let unknown = names.filter(|name| !METADATA.contains(name));
    for name in unknown.collect::<Vec<_>>() {
        // What is near to a field has been told.
        if meant(name, METADATA.iter().copied()).is_none() {
            fields.fail(
                &format!("metadata.{name}"),
                "is no field: settings belong to `metadata.annotations` or `spec`",
            );
        }
    }
}

/// What the names of annotations begin with that are settings.
const SETTINGS: [&str; 2] = ["wiremesh/", "config.projectcalico.org/"];

/// Takes note of what cannot be read of a resource whose field `place` has another name: what the field itself
/// holds, and what is above it. A block's node that can be read counts, and so does whether the
/// cluster is ready.
fn lose(fields: &mut Fields<'_>, kind: &str, place: &str) {
    let is_above = |one: &str, other: &str| {
        let rest = other.strip_prefix(one);
        one.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    for (field, lost) in held(kind, fields.document) {
        let concerns = is_above(place, field);
        let is_there = fields.at(field).is_some();
        let counts = match lost {
            Lost::Owner => !is_there,
            Lost::Ready => !is_there && !place.is_empty(),
            _ => true,
        };
        if concerns && counts && !fields.lost.contains(lost) {
            fields.lost.push(*lost);
        }
    }
}

fn names_of(mapping: Option<&Value>) -> impl Iterator<Item = &str> {
    let mapping = mapping.and_then(Value::as_object);
    let names = mapping.into_iter().flat_map(|mapping| mapping.keys());
    names.map(String::as_str)
}

/// Where a field of that name belongs.
fn elsewhere(name: &str, parent: &str, shape: Shape) -> Option<String> {
    let metadata = [("metadata", METADATA)];
    let mut places = metadata.iter().chain(shape);
    let place = places.find(|(place, known)| *place != parent && known.contains(&name));
    place.map(|(place, _)| format!("{place}.{name}"))
}
