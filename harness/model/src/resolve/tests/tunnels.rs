//! Settings of each family's tunnel devices by the keys of `[cluster]`.

use serde_json::{Value, json};

use super::{TWO_NODES, planned, refused};
use crate::plan::{Family, Plan};
use crate::plan_text::plan_text;
use crate::resource;

fn cluster(lines: &str) -> String {
    format!("{TWO_NODES}[cluster]\n{lines}\n")
}

/// The fields that FelixConfiguration `default` has.
fn felix_fields(plan: &Plan) -> Value {
    let files = resource::files(plan).into_iter();
    let mut files = files.filter(|file| file.name == "felixconfiguration.default.json");
    let resource: Value = serde_json::from_str(&files.next().unwrap().text).unwrap();
    resource["spec"].clone()
}

const KEYS: &str = "interface = \"wg0\"\nlisten-port = 51900\nmtu = 1380";

#[test]
fn the_keys_of_an_ipv6_only_cluster_set_the_ipv6_fields() {
    let plan = planned(&cluster(&format!("families = [\"ipv6\"]\n{KEYS}")));
    let fields = felix_fields(&plan);
    for (field, value) in [
        ("wireguardInterfaceNameV6", json!("wg0")),
        ("wireguardListeningPortV6", json!(51_900)),
        ("wireguardMTUV6", json!(1380)),
        ("wireguardEnabled", json!(false)),
        ("wireguardInterfaceName", json!("wireguard.cali")),
        ("wireguardListeningPort", json!(51_820)),
        ("wireguardMTU", Value::Null),
    ] {
        assert_eq!(fields[field], value, "{field}");
    }
    let state = plan.at_last();
    assert_eq!(state.cluster.tunnel(Family::Ipv6).as_str(), "wg0");
    assert_eq!(state.cluster.port(Family::Ipv6), 51_900);
    assert_eq!(state.tunnel_mtu(&plan.nodes[0], Family::Ipv6), 1380);
    let text = plan_text(&plan);
    assert!(text.contains("wg0 on port 51900, mtu 1380"), "{text}");
    assert!(!text.contains("wireguard.cali"), "{text}");
}

#[test]
fn ipv4_s_own_port_is_free_for_ipv6_alone() {
    let plan = planned(&cluster("families = [\"ipv6\"]\nlisten-port = 51820"));
    assert_eq!(plan.cluster.port(Family::Ipv6), 51_820);
    let fields = felix_fields(&plan);
    assert_eq!(fields["wireguardListeningPortV6"], 51_820);
    // Two equal ones are refused, though there is no other device.
    assert_eq!(fields["wireguardListeningPort"], 51_821);
}

#[test]
fn of_both_families_each_has_the_mtu_and_ipv4_has_the_name_and_the_port() {
    let plan = planned(&cluster(&format!(
        "families = [\"ipv4\", \"ipv6\"]\n{KEYS}"
    )));
    let fields = felix_fields(&plan);
    for (field, value) in [
        ("wireguardInterfaceName", json!("wg0")),
        ("wireguardListeningPort", json!(51_900)),
        ("wireguardMTU", json!(1380)),
        ("wireguardMTUV6", json!(1380)),
        ("wireguardInterfaceNameV6", Value::Null),
        ("wireguardListeningPortV6", Value::Null),
    ] {
        assert_eq!(fields[field], value, "{field}");
    }
    // What is said by its own field counts.
    let own = "[cluster.config]\nwireguardMTUV6 = 1300";
    let plan = planned(&cluster(&format!(
        "families = [\"ipv4\", \"ipv6\"]\n{KEYS}\n{own}"
    )));
    let state = plan.at_last();
    let mtus = Family::ALL.map(|family| state.tunnel_mtu(&plan.nodes[0], family));
    assert_eq!(mtus, [1380, 1300]);
}

#[test]
fn both_devices_cannot_have_one_name() {
    let both = "families = [\"ipv4\", \"ipv6\"]";
    let other = "[cluster.config]\nwireguardInterfaceNameV6 = \"wg6\"";
    let step = |set: &str| format!("[[step]]\naction = \"configure\"\nset = {{ {set} }}");
    for (lines, at) in [
        ("interface = \"wg-v6.cali\"".to_owned(), "\"wg-v6.cali\""),
        (format!("interface = \"wg6\"\n{other}"), "\"wg6\""),
        (
            "[cluster.config]\nwireguardInterfaceNameV6 = \"wireguard.cali\"".to_owned(),
            "[cluster.config]",
        ),
        (
            step("wireguardInterfaceName = \"wg-v6.cali\""),
            "{ wireguardInterfaceName = \"wg-v6.cali\" }",
        ),
        (
            step("wireguardInterfaceNameV6 = \"wireguard.cali\""),
            "{ wireguardInterfaceNameV6 = \"wireguard.cali\" }",
        ),
    ] {
        let text = cluster(&format!("{both}\n{lines}"));
        let problems = refused(&text);
        let rendered = problems.render();
        assert_eq!(problems.len(), 1, "{rendered}");
        let place = problems.each()[0].advice().0;
        assert!(text[place].starts_with(at), "{rendered}");
        assert!(
            rendered.contains("the device of the other family has that name"),
            "{rendered}"
        );
        // One family alone has no other device.
        planned(&text.replace(both, "families = [\"ipv4\"]"));
    }
    planned(&cluster(&format!("{both}\ninterface = \"wg0\"\n{other}")));
}

#[test]
fn no_device_has_the_bridge_s_name() {
    let bridged = "addressing = \"bridge\"\ninterface = \"cni0\"";
    let rendered = refused(&cluster(bridged)).render();
    assert!(
        rendered.contains("the bridge of each node has that name"),
        "{rendered}"
    );
    planned(&cluster("interface = \"cni0\""));
}
