//! Values at the edge, the second family, and what is held in force or cannot be read.

use super::check::{of, peered, with};
use super::*;

fn deviations(status: &Status<'_>) -> Vec<String> {
    status.deviations()
}

fn strict() -> Value {
    json!({"wiremesh/strict": "true"})
}

/// `ada` with a key in each family, seen in IPv6.
fn of_ipv6(published: [Option<u8>; 2]) -> Cluster {
    let [v4, v6] = published.map(|byte| byte.map(|byte| key(byte).to_string()));
    let node = json!({
        "kind": "Node", "metadata": {"name": "ada"},
        "spec": {"bgp": {"ipv6Address": "fd00::1/64"}},
        "status": {"wireguardPublicKey": v4, "wireguardPublicKeyV6": v6},
    });
    let on = json!({"wireguardEnabled": false, "wireguardEnabledV6": true});
    of(&[node, configuration("default", on, json!({}))])
}

#[test]
fn a_family_that_a_mistake_does_not_hold_in_force_is_idle() {
    let off = json!({"wireguardEnabled": false, "wireguardEnabledV6": false});
    let cluster = of(&[
        node("ada", 1, None),
        configuration("default", off, json!({})),
    ]);
    let actual = dataplane();
    let status = Status {
        held: true,
        ..status(&cluster, None, &actual)
    };
    assert_eq!(status.idle(Family::V4), None);
    let why = "no FelixConfiguration asks for it";
    assert_eq!(status.idle(Family::V6).as_deref(), Some(why));
}

#[test]
fn in_strict_mode_a_node_that_cannot_be_read_is_cut_off_and_is_named_once() {
    let unread = BTreeSet::from(["zoe".to_owned()]);
    let (device, actual) = (peered(), dataplane());
    for (annotations, is_dropped) in [(json!({}), false), (strict(), true)] {
        let cluster = with(annotations, &[node("zoe", 4, None)]);
        let status = Status {
            unread_nodes: &unread,
            ..status(&cluster, Some(&device), &actual)
        };
        let reach = status.reach("zoe", Family::V4);
        assert_eq!(matches!(reach, Reach::Dropped(_)), is_dropped);
        // The file that cannot be read is a problem by itself.
        assert_eq!(deviations(&status), [""; 0]);
    }
}

#[test]
fn a_node_without_addresses_is_cut_off_where_anything_is() {
    let bare = json!({"kind": "Node", "metadata": {"name": "zoe"}, "spec": {}});
    let cluster = with(json!({}), &[bare]);
    let mut actual = dataplane();
    assert!(!status(&cluster, None, &actual).refuses_now("zoe", Family::V4));
    let protected = ["10.0.0.0/24".parse().unwrap()].into();
    actual.firewall.sets = BTreeMap::from([("protected4".to_owned(), protected)]);
    assert!(status(&cluster, None, &actual).refuses_now("zoe", Family::V4));
}

#[test]
fn strict_mode_is_about_something_where_only_this_node_is_taken_out() {
    let spec = json!({"wireguardEnabled": true});
    let own = configuration("node.ada", json!({"wireguardEnabled": false}), json!({}));
    let nodes = [
        node("ada", 1, None),
        configuration("default", spec, strict()),
    ];
    let taken_out = of(&[&nodes[..], &[own]].concat());
    let actual = dataplane();
    assert!(!status(&taken_out, None, &actual).is_strict_about_nothing());
    let off = configuration("default", json!({"wireguardEnabled": false}), strict());
    let off = of(&[node("ada", 1, None), off]);
    let about_nothing = status(&off, None, &actual);
    assert!(about_nothing.is_strict_about_nothing());
    let is_off = |status: &Status<'_>| {
        let mut found = deviations(status).into_iter();
        found.any(|what| what.starts_with("encryption is off"))
    };
    assert!(is_off(&about_nothing));
    // What a mistake holds in force is not off.
    let held = Status {
        held: true,
        ..status(&off, None, &actual)
    };
    assert!(!is_off(&held));
}

#[test]
fn a_fifth_network_of_a_peer_is_shown_and_a_sixth_is_counted() {
    let all = [
        "10.1.0.1/32",
        "10.1.0.2/32",
        "10.1.0.3/32",
        "10.1.0.4/32",
        "10.1.0.5/32",
        "10.1.0.6/32",
    ];
    let cluster = with(json!({}), &[]);
    let actual = dataplane();
    let text = |networks: &[&str]| {
        let device = state(networks, Some(75));
        status(&cluster, Some(&device), &actual).text()
    };
    let five = text(&all[..5]);
    assert!(
        five.contains("10.1.0.5/32") && !five.contains("more"),
        "{five}"
    );
    let six = text(&all);
    assert!(six.contains("10.1.0.4/32, and 2 more"), "{six}");
}

#[test]
fn a_device_without_a_key_encrypts_nothing() {
    let mut device = peered();
    let cluster = with(json!({}), &[]);
    let actual = dataplane();
    let encrypting = |device: &State| {
        status(&cluster, Some(device), &actual).json()["families"][0]["encrypting"].clone()
    };
    assert_eq!(encrypting(&device), true);
    device.public_key = None;
    assert_eq!(encrypting(&device), false);
}

#[test]
fn each_family_has_its_own_key_and_ipv6_alone_is_encrypted_too() {
    let device = State {
        peers: Vec::new(),
        ..peered()
    };
    let actual = Dataplane::default();
    for (published, is_published) in [
        ([Some(9), Some(1)], true),
        ([Some(1), None], false),
        ([Some(1), Some(9)], false),
    ] {
        let cluster = of_ipv6(published);
        let devices = PerFamily {
            v4: None,
            v6: Some((Backend::Kernel, &device)),
        };
        let status = Status {
            devices,
            ..status(&cluster, None, &actual)
        };
        let expected: &[&str] = match is_published {
            true => &[],
            false => &["IPv6: this node's key is not published"],
        };
        assert_eq!(deviations(&status), expected);
        if is_published {
            assert_eq!(status.check_text(), "\nall is as intended\n");
        }
        assert_eq!(status.json()["families"][0]["implementation"], "kernel");
    }
}

#[test]
fn a_plain_node_that_is_cut_off_is_not_as_intended() {
    let cluster = with(
        json!({"wiremesh/strict": "true", "wiremesh/plain-nodes": "bob"}),
        &[],
    );
    let (device, actual) = (peered(), dataplane());
    let bypasses = PerFamily {
        v4: vec![Bypass {
            network: "10.0.0.2/32".parse().unwrap(),
            owner: "bob".into(),
            rule: "20: from all lookup main".into(),
            effect: Effect::Refused,
        }],
        v6: Vec::new(),
    };
    let status = Status {
        bypasses: &bypasses,
        ..status(&cluster, Some(&device), &actual)
    };
    let found = deviations(&status);
    assert!(found[0].starts_with("IPv4: bob is cut off"), "{found:?}");
}

#[test]
fn a_node_without_changes_to_make_is_in_sync_though_another_resource_has_a_mistake() {
    let cluster = with(json!({}), &[]);
    let (device, actual) = (peered(), dataplane());
    let status = Status {
        partly_known: true,
        ..status(&cluster, Some(&device), &actual)
    };
    let text = status.text();
    assert!(text.contains("\n  state    in sync\n"), "{text}");
}

#[test]
fn hosts_are_not_reported_as_encrypted_while_nothing_is() {
    let hosts = |enabled: bool| {
        let spec = json!({"wireguardEnabled": enabled, "wireguardHostEncryptionEnabled": true});
        let cluster = of(&[
            node("ada", 1, Some(1)),
            configuration("default", spec, json!({})),
        ]);
        let actual = dataplane();
        status(&cluster, Some(&peered()), &actual).text()
    };
    assert!(hosts(true).contains("  hosts    their own traffic is encrypted too\n"));
    assert!(
        hosts(false).contains("  hosts    their own traffic is left in clear: encryption is off\n")
    );
}
