//! Explanations of packets whose link was taken away.

use super::*;
use crate::dataplane::Address;

/// Why `web > db` broke once a link of a node, by its number, was changed; in both families the
/// same.
#[track_caller]
fn cause(at: &str, reached: Reached, change: impl Fn(&mut Dataplane)) -> String {
    let [four, six] = Family::ALL.map(|family| {
        let spoil = |evidence: &mut Evidence, _: &mut Plan| {
            let node = evidence.nodes.get_mut(&at.parse::<NodeName>().unwrap());
            change(&mut node.unwrap().dataplane);
        };
        explained_in(family, "db", reached, spoil).cause
    });
    assert_eq!(four, six);
    four
}

/// The links of all pods are down.
fn of_pod(plane: &mut Dataplane) {
    let links = plane.links.iter_mut();
    let pods = links.filter(|link| link.name.as_str().starts_with("azv"));
    pods.for_each(|link| link.up = false);
}

fn is_unknown(cause: &str) -> bool {
    cause.starts_with("unknown")
}

#[test]
fn a_link_on_the_way_is_named_with_its_state() {
    for reached in [Reached::Sender, Reached::Device] {
        for (node, link) in [("ada", "eth0 of ada"), ("bob", "eth0 of bob")] {
            let down = cause(node, reached, |plane| plane.links[0].up = false);
            assert_eq!(down, format!("{link} is down"));
            let gone = cause(node, reached, |plane| drop(plane.links.remove(0)));
            assert_eq!(gone, format!("{link} is missing"));
        }
    }
    let found = cause("ada", Reached::Sender, of_pod);
    assert_eq!(found, "azvweb of ada is down");
    let found = cause("bob", Reached::Inside, of_pod);
    assert_eq!(found, "azvdb of bob is down");
}

#[test]
fn a_link_that_was_passed_is_not_the_cause() {
    let down = |plane: &mut Dataplane| plane.links[0].up = false;
    assert!(is_unknown(&cause("ada", Reached::Wire, down)));
    assert!(is_unknown(&cause("bob", Reached::Receiver, down)));
    assert!(is_unknown(&cause("bob", Reached::Inside, down)));
    assert!(is_unknown(&cause("ada", Reached::Device, of_pod)));
    // What is where it must not be was stopped by none.
    assert!(is_unknown(&cause("ada", Reached::Elsewhere, down)));
}

/// A node's own address is its uplink's, also for its own pods; between two of its pods nothing is.
#[test]
fn an_uplink_is_on_the_way_of_its_node_s_own_packets() {
    for family in Family::ALL {
        let cause = |ends| {
            let down = |evidence: &mut Evidence, _: &mut Plan| {
                let ada = evidence.nodes.get_mut(&"ada".parse::<NodeName>().unwrap());
                ada.unwrap().dataplane.links[0].up = false;
            };
            explained_between(family, ends, Reached::Sender, down).cause
        };
        for ends in [
            ["ada", "web"],
            ["web", "ada"],
            ["ada", "bob"],
            ["bob", "web"],
        ] {
            assert_eq!(cause(ends), "eth0 of ada is down", "{ends:?}");
        }
        let between_pods = cause(["web", "app"]);
        assert!(is_unknown(&between_pods), "{between_pods}");
    }
}

#[test]
fn an_address_that_went_with_its_link_is_named() {
    for family in Family::ALL {
        let own = family.address("10.240.0.4".parse().unwrap());
        let spoil = |kept: bool| {
            move |evidence: &mut Evidence, _: &mut Plan| {
                let ada = evidence.nodes.get_mut(&"ada".parse::<NodeName>().unwrap());
                let ada = ada.unwrap();
                let mut before = ada.dataplane.clone();
                before.addresses.push(Address {
                    interface: "eth0".parse().unwrap(),
                    address: IpNet::from(own),
                    scope: "global".into(),
                });
                if kept {
                    ada.dataplane.addresses = before.addresses.clone();
                }
                ada.before = Some(before);
            }
        };
        let lost = explained_in(family, "db", Reached::Device, spoil(false)).cause;
        assert_eq!(lost, format!("eth0 of ada has lost its address {own}"));
        let kept = explained_in(family, "db", Reached::Device, spoil(true)).cause;
        assert!(is_unknown(&kept), "{kept}");
    }
}

#[test]
fn a_node_that_is_led_nowhere_has_no_route_for_its_tunnel() {
    let led_nowhere = |plane: &mut Dataplane| plane.routes.retain(|route| route.table != 254);
    for (family, to) in [
        (Family::Ipv4, "10.240.0.64"),
        (Family::Ipv6, "fd00::af0:40"),
    ] {
        let spoil = |evidence: &mut Evidence, _: &mut Plan| {
            let ada = evidence.nodes.get_mut(&"ada".parse::<NodeName>().unwrap());
            led_nowhere(&mut ada.unwrap().dataplane);
        };
        let cause = explained_in(family, "db", Reached::Device, spoil).cause;
        assert_eq!(cause, format!("ada has no route to {to}"));
    }
}
