//! Other documents of a resource beside the one that counts.

use serde_json::json;

use super::*;

/// The networks of pods, with the resources that name them.
fn claims(catalogue: &Catalogue) -> Vec<String> {
    let resources = catalogue.snapshot().resources.iter();
    let claims = resources.map(|(identity, resource)| match resource {
        Resource::Workload(pod) => format!("{} {}", identity.name, pod.networks[0]),
        Resource::Pool(cidr) => format!("{} {cidr}", identity.name),
        Resource::Block(block) => format!("{} {}", identity.name, block.cidr),
        other => panic!("{other:?}"),
    });
    claims.collect()
}

#[test]
fn of_two_documents_with_one_pod_the_addresses_of_both_are_claimed() {
    for (first, second) in [
        ("10.0.1.1/32", "10.0.1.2/32"),
        ("fd00::1/128", "fd00::2/128"),
    ] {
        let of = |node: &str, network: &str| Some(pod("x", json!(node), json!([network])));
        let mut catalogue = Catalogue::default();
        catalogue.put("1", of("a", first));
        let both = [format!("x {first}"), format!("x in 2 {second}")];
        assert_eq!(names(&catalogue.put("2", of("b", second))), ["x in 2"]);
        assert_eq!(claims(&catalogue), both);
        assert_eq!(
            problems(&catalogue),
            [
                "2: holds WorkloadEndpoint x, as 1 does, and the addresses of both count: delete one of them"
            ]
        );
        // The other one turns bad, and then the first one.
        assert!(catalogue.put("2", garbage()).is_empty());
        assert_eq!(claims(&catalogue), both);
        catalogue.put("1", garbage());
        assert_eq!(claims(&catalogue), both);
        // One of them can be read in part, and knows what it was.
        catalogue.put("1", of("a", first));
        catalogue.put("2", Some(pod("x", json!("b"), json!("moon"))));
        assert_eq!(claims(&catalogue), both);
        // What is the same twice is one claim; what is gone is gone.
        assert_eq!(names(&catalogue.put("2", of("a", first))), ["x in 2"]);
        assert_eq!(claims(&catalogue), both[..1]);
        catalogue.put("2", of("b", second));
        assert_eq!(names(&catalogue.put("1", None)), ["x", "x in 2"]);
        assert_eq!(claims(&catalogue), [format!("x {second}")]);
        assert_eq!(problems(&catalogue), [""; 0]);
        catalogue.put("2", None);
        assert_eq!(claims(&catalogue), [""; 0]);
    }
}

#[test]
fn of_two_documents_with_one_node_the_first_counts_with_the_addresses_of_both() {
    let mut catalogue = Catalogue::default();
    catalogue.put("1", Some(node("a", "10.0.0.1")));
    let addresses = |catalogue: &Catalogue| match &catalogue.snapshot().resources[&identity("a")] {
        Resource::Node(node) => {
            assert_eq!(node.endpoint.v4, "10.0.0.1".parse().ok());
            let addresses = node.addresses.iter().map(ToString::to_string);
            addresses.collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(
        names(&catalogue.put("2", Some(node("a", "10.0.0.2")))),
        ["a"]
    );
    assert_eq!(addresses(&catalogue), ["10.0.0.1", "10.0.0.2"]);
    assert!(catalogue.put("2", garbage()).is_empty());
    assert_eq!(addresses(&catalogue), ["10.0.0.1", "10.0.0.2"]);
    assert_eq!(names(&catalogue.put("2", None)), ["a"]);
    assert_eq!(addresses(&catalogue), ["10.0.0.1"]);
}

#[test]
fn of_a_pool_or_a_block_whose_network_got_a_mistake_the_former_network_stays() {
    let double = || Mistake::from("the field `cidr` is there twice".to_owned());
    for kind in ["IPPool", "IPAMBlock"] {
        let resource =
            |cidr: &str| json!({"kind": kind, "metadata": {"name": "x"}, "spec": {"cidr": cidr}});
        let mut catalogue = Catalogue::default();
        catalogue.put("1", Some(Content::read(&resource("10.0.1.0/26"), "here")));
        let two = |cidr: &str| Some(Content::ambiguous(&resource(cidr), "here", double()));
        let both = ["x 10.0.2.0/26", "x in 1 10.0.1.0/26"];
        assert_eq!(
            names(&catalogue.put("1", two("10.0.2.0/26"))),
            ["x", "x in 1"]
        );
        assert_eq!(claims(&catalogue), both);
        // The second time, and as garbage.
        assert!(catalogue.put("1", two("10.0.2.0/26")).is_empty());
        assert!(
            catalogue
                .put("1", Some(Content::read(&resource("moon"), "here")))
                .is_empty()
        );
        assert_eq!(claims(&catalogue), both);
        // An agent that starts uses what is there.
        let mut started = Catalogue::default();
        started.put("1", two("10.0.2.0/26"));
        assert_eq!(claims(&started), ["x 10.0.2.0/26"]);
        catalogue.put("1", Some(Content::read(&resource("10.0.3.0/26"), "here")));
        assert_eq!(claims(&catalogue), ["x 10.0.3.0/26"]);
    }
}
