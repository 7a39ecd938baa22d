//! Each kind, whole and with mistakes.

/// Addresses of Nodes.
mod addresses;

use serde_json::json;

use super::*;

fn wrong(document: Value) -> String {
    read(&document).unwrap_err().to_string()
}

#[test]
fn a_name_has_at_most_253_characters() {
    let node = |length| json!({"kind": "Node", "metadata": {"name": "n".repeat(length)}});
    assert!(read(&node(253)).is_ok());
    for length in [254, 65536] {
        assert_eq!(
            wrong(node(length)),
            format!("`metadata.name` has {length} characters; a name has at most 253")
        );
    }
}

#[test]
fn a_workload_s_network_is_one_address() {
    let pod = |network: &str| {
        read(&json!({
            "kind": "WorkloadEndpoint", "metadata": {"name": "x"},
            "spec": {"node": "a", "ipNetworks": ["10.0.1.1", network]},
        }))
    };
    for network in ["10.0.1.2/32", "fd00::1/128", "fd00::1"] {
        assert!(pod(network).is_ok(), "{network}");
    }
    for network in ["0.0.0.0/0", "::/0", "10.0.1.2/31", "fd00::/127"] {
        assert_eq!(
            pod(network).unwrap_err().to_string(),
            format!(
                "`spec.ipNetworks` holds `{network}`: a workload's network is one address, a \
                 /32 or a /128"
            )
        );
    }
}

#[test]
fn a_mistake_is_reported_with_its_field() {
    assert_eq!(wrong(json!({})), "`kind` is missing");
    assert_eq!(wrong(json!({"kind": "Node"})), "`metadata.name` is missing");
    assert!(
        wrong(json!({"kind": "Pod", "metadata": {"name": "x"}})).starts_with("`kind` is `Pod`")
    );
    assert_eq!(
        wrong(
            json!({"kind": "Node", "metadata": {"name": "x"}, "spec": {"bgp": {"ipv4Address": "moon"}}})
        ),
        "`spec.bgp.ipv4Address` holds `moon`, which is no IPv4 address"
    );
    assert_eq!(
        wrong(
            json!({"kind": "WorkloadEndpoint", "metadata": {"name": "x"}, "spec": {"ipNetworks": ["10.0.1.1"]}})
        ),
        "`spec.node` is missing"
    );
}

/// What is read of a resource, and what is wrong with it.
fn partly(document: &Value) -> (Resource, Vec<String>) {
    let read = read_partly(document, "here").unwrap();
    let wrong = read.wrong.iter().map(ToString::to_string);
    (read.resource, wrong.collect())
}

/// A pod's node and addresses, and what is wrong with it.
fn pod(document: &Value) -> (String, Vec<String>, Vec<String>) {
    let (Resource::Workload(pod), wrong) = partly(document) else {
        panic!()
    };
    let networks = pod.networks.iter().map(ToString::to_string);
    (pod.node, networks.collect(), wrong)
}

#[test]
fn no_mistake_takes_a_pod_s_other_addresses_away() {
    let metadata = json!({"name": "x"});
    for (spec, node, networks, problems) in [
        (
            json!({"node": "a", "ipNetworks": ["moon", "10.0.1.1/32", 5, "fd00::1"]}),
            "a",
            &["10.0.1.1/32", "fd00::1/128"][..],
            &[
                "`spec.ipNetworks` holds `moon`, which is no network",
                "`spec.ipNetworks` has an entry that is no text",
            ][..],
        ),
        (
            json!({"node": "a", "ipNetworks": "10.0.1.1/32"}),
            "a",
            &["10.0.1.1/32"],
            &["`spec.ipNetworks` is not a list, and counts as one with this entry"],
        ),
        (
            json!({"Node": "a", "ipNetworks": ["10.0.1.1/32"]}),
            "",
            &["10.0.1.1/32"],
            &[
                "`spec.Node` is no field: did you mean `spec.node`?",
                "`spec.node` is missing",
            ],
        ),
        (
            json!({"node": "a", "ipNetwork": ["10.0.1.1/32"]}),
            "a",
            &["10.0.1.1/32"],
            &["`spec.ipNetwork` is no field: did you mean `spec.ipNetworks`?"],
        ),
        (
            json!({"node": "a", "IPNetworks": "10.0.1.1"}),
            "a",
            &["10.0.1.1/32"],
            &[
                "`spec.IPNetworks` is no field: did you mean `spec.ipNetworks`?",
                "`spec.IPNetworks` is not a list, and counts as one with this entry",
            ],
        ),
        // The address is plain though its length is not.
        (
            json!({"node": "a", "ipNetworks": ["10.0.1.1/99", "10.0.1.2/24", "10.0.2.0/24"]}),
            "a",
            &["10.0.1.1/32", "10.0.1.2/32"],
            &[
                "`spec.ipNetworks` holds `10.0.1.1/99`, which is no network",
                "`spec.ipNetworks` holds `10.0.1.2/24`: a workload's network is one address, a /32 or a /128",
                "`spec.ipNetworks` holds `10.0.2.0/24`: a workload's network is one address, a /32 or a /128",
            ],
        ),
        (
            json!({"node": "a", "ipNetworks": ["127.0.0.1", "::ffff:10.0.0.1/128", "10.0.1.1"]}),
            "a",
            &["10.0.1.1/32"],
            &[
                "`spec.ipNetworks` holds `127.0.0.1`: that is a loopback address",
                "`spec.ipNetworks` holds `::ffff:10.0.0.1/128`: that is an IPv4-mapped address",
            ],
        ),
        (
            json!("x"),
            "",
            &[],
            &["`spec` is not a mapping", "`spec.node` is missing"],
        ),
    ] {
        let document = json!({"kind": "WorkloadEndpoint", "metadata": metadata, "spec": spec});
        let (found, addresses, wrong) = pod(&document);
        assert_eq!(
            (found.as_str(), &addresses[..]),
            (
                node,
                &networks.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()[..]
            ),
            "{spec}"
        );
        assert_eq!(wrong, problems, "{spec}");
    }
}

#[test]
fn a_pod_counts_whatever_it_is_called() {
    let spec = json!({"node": "a", "ipNetworks": ["10.0.1.1/32"]});
    for metadata in [
        json!({}),
        json!({"name": 5}),
        json!({"name": "a b"}),
        json!("x"),
    ] {
        let document = json!({"kind": "WorkloadEndpoint", "metadata": metadata, "spec": spec});
        let read = read_partly(&document, "file.yaml (item 3)").unwrap();
        assert_eq!(read.identity.name, "file.yaml (item 3)");
        assert_eq!(read.wrong.len(), 1, "{:?}", read.wrong);
        assert_eq!(pod(&document).1, ["10.0.1.1/32"]);
    }
    let namespace = json!({"name": "x", "namespace": 7});
    let document = json!({"kind": "workloadEndpoint", "metadata": namespace, "spec": spec});
    assert_eq!(
        pod(&document).2,
        [
            "`kind` is `workloadEndpoint`: did you mean `WorkloadEndpoint`?",
            "`metadata.namespace` is not a text"
        ]
    );
}

#[test]
fn a_block_whose_node_cannot_be_read_is_nobody_s() {
    let block = |spec| {
        let block = json!({"kind": "IPAMBlock", "metadata": {"name": "x"}, "spec": spec});
        match partly(&block) {
            (Resource::Block(block), wrong) => (block.affinity, wrong),
            other => panic!("{other:?}"),
        }
    };
    let cidr = "10.65.1.0/26";
    assert_eq!(
        block(json!({"cidr": cidr, "affinity": "b"})),
        (
            Some(String::new()),
            vec!["`spec.affinity` is `b`, which is no `host:NODE`".into()]
        )
    );
    assert_eq!(
        block(json!({"cidr": cidr, "affinity": ["b"]})),
        (
            Some(String::new()),
            vec!["`spec.affinity` is not a text".into()]
        )
    );
    assert_eq!(
        block(json!({"cidr": cidr, "affinity": "virtual:load-balancer"})),
        (None, vec![])
    );
    let (affinity, problems) =
        block(json!({"cidr": cidr, "affinity": "host:b", "allocations": "x"}));
    assert_eq!(affinity.as_deref(), Some("b"));
    assert_eq!(problems, ["`spec.allocations` is not a list"]);
    for (cidr, what) in [
        ("010.65.1.0/26", "holds `010.65.1.0/26`, which is no CIDR"),
        ("10.65.1.0", "holds `10.65.1.0`, which is no CIDR"),
        (
            "127.0.0.0/8",
            "holds `127.0.0.0/8`: that is a loopback address",
        ),
    ] {
        for kind in ["IPAMBlock", "IPPool"] {
            let document = json!({"kind": kind, "metadata": {"name": "x"}, "spec": {"cidr": cidr}});
            assert_eq!(wrong(document), format!("`spec.cidr` {what}"));
        }
    }
}

#[test]
fn a_readiness_as_a_string_is_parsed_and_nonsense_is_false() {
    let ready = |ready| {
        let document = json!({
            "kind": "ClusterInformation", "metadata": {"name": "default"},
            "spec": {"datastoreReady": ready},
        });
        match partly(&document) {
            (Resource::Information(information), wrong) => (information.ready, wrong.len()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ready(json!(true)), (true, 0));
    assert_eq!(ready(json!(null)), (true, 0));
    assert_eq!(ready(json!(false)), (false, 0));
    assert_eq!(ready(json!("false")), (false, 1));
    assert_eq!(ready(json!("true")), (true, 1));
    assert_eq!(ready(json!(0)), (false, 1));
}

#[test]
fn a_misplaced_or_misspelt_field_is_reported_with_the_right_name() {
    let problems = |kind: &str, more: Value| {
        let mut document = json!({"kind": kind, "metadata": {"name": "default"}});
        let fields = document.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        partly(&document).1
    };
    for (kind, more, expected) in [
        (
            "FelixConfiguration",
            json!({"Spec": {}}),
            "`Spec` is no field: did you mean `spec`?",
        ),
        (
            "FelixConfiguration",
            json!({"annotations": {"wiremesh/strict": "true"}}),
            "`annotations` is not where it belongs: did you mean `metadata.annotations`?",
        ),
        (
            "FelixConfiguration",
            json!({"spec": {"annotations": {}}}),
            "`spec.annotations` is no field: did you mean `metadata.annotations`?",
        ),
        (
            "FelixConfiguration",
            json!({"wireguardEnabled": true}),
            "`wireguardEnabled` is no field: settings belong to `spec`",
        ),
        (
            "FelixConfiguration",
            json!({"metadata": {"name": "default", "anotations": {}}}),
            "`metadata.anotations` is no field: did you mean `metadata.annotations`?",
        ),
        (
            "Node",
            json!({"spec": {"BGP": {}}}),
            "`spec.BGP` is no field: did you mean `spec.bgp`?",
        ),
        (
            "Node",
            json!({"spec": {"bgp": {"ipv4Adress": "10.0.0.1"}}}),
            "`spec.bgp.ipv4Adress` is no field: did you mean `spec.bgp.ipv4Address`?",
        ),
        (
            "Node",
            json!({"spec": {"ipv4Address": "10.0.0.1"}}),
            "`spec.ipv4Address` is no field: did you mean `spec.bgp.ipv4Address`?",
        ),
        (
            "Node",
            json!({"spec": {"wireguardPublicKey": "x"}}),
            "`spec.wireguardPublicKey` is no field: did you mean `status.wireguardPublicKey`?",
        ),
    ] {
        assert_eq!(problems(kind, more), [expected]);
    }
    // What is Calico's own or far from everything is nobody's mistake.
    let quiet = json!({"spec": {"bgp": {"asNumber": 64512}, "orchRefs": [], "banana": 1}});
    assert_eq!(problems("Node", quiet), [""; 0]);
}

#[test]
fn one_resource_has_so_many_mistakes_and_no_more() {
    let many: Vec<_> = (0..100_000).map(|number| format!("moon{number}")).collect();
    let document = json!({
        "kind": "WorkloadEndpoint", "metadata": {"name": "x"},
        "spec": {"node": "a", "ipNetworks": many},
    });
    assert_eq!(pod(&document).2.len(), 9);
    // The same mistake again is the same.
    let document = json!({
        "kind": "WorkloadEndpoint", "metadata": {"name": "x"},
        "spec": {"node": "a", "ipNetworks": ["moon", "moon"]},
    });
    assert_eq!(pod(&document).2.len(), 1);
}

#[test]
fn a_pool_with_host_bits_counts_as_its_network_and_is_reported() {
    for (written, counts) in [
        ("10.65.0.1/16", "10.65.0.0/16"),
        ("fd65::1/64", "fd65::/64"),
    ] {
        for kind in ["IPPool", "IPAMBlock"] {
            let pool = json!({"kind": kind, "metadata": {"name": "p"}, "spec": {"cidr": written}});
            let (resource, wrong) = partly(&pool);
            let cidr = match resource {
                Resource::Pool(cidr) => cidr,
                Resource::Block(block) => block.cidr,
                other => panic!("{other:?}"),
            };
            assert_eq!(cidr.to_string(), counts);
            let what = "an address within a network, and counts as";
            assert_eq!(
                wrong,
                [format!("`spec.cidr` holds `{written}`, {what} `{counts}`")]
            );
        }
    }
}
