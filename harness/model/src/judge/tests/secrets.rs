//! Copies of private keys.

use super::world::{World, mixed};
use crate::dataplane::{Dataplane, WireGuard};
use crate::evidence::{OpenSocket, SecretCopy, SecretEvidence, SecretPlace, StateEvidence};
use crate::plan::{EnginePromise, PromiseKind};
use crate::verdict::Outcome::{self, Broken, Held, Inconclusive};

fn copy(owner: &str, place: SecretPlace, mode: Option<u32>) -> SecretCopy {
    SecretCopy {
        owner: owner.parse().unwrap(),
        preshared: false,
        place,
        name: format!("{owner}.state/key"),
        encoding: "base64".into(),
        mode,
    }
}

/// The verdict about the keys of one node, with its fact.
fn verdict(world: &World, node: &str) -> (Outcome, String) {
    let promises = world.plan.every_promise();
    let mut about = promises.iter().filter(|promise| {
        matches!(&promise.kind, PromiseKind::Engine(name, EnginePromise::Secrets) if name.as_str() == node)
    });
    let id = about.next().unwrap().id;
    let verdicts = world.verdicts();
    let verdict = verdicts
        .iter()
        .find(|verdict| verdict.promise == id)
        .unwrap();
    (verdict.outcome, verdict.fact.clone())
}

fn with(change: impl FnOnce(&mut SecretEvidence)) -> World {
    let mut world = mixed();
    change(world.evidence.secrets.as_mut().unwrap());
    world
}

#[test]
fn a_copy_in_any_kind_of_place_breaks_the_promise_of_its_owner_alone() {
    use strum::VariantArray;
    for place in SecretPlace::VARIANTS {
        let world = with(|secrets| secrets.copies.push(copy("bob", *place, Some(0o600))));
        let fact = format!(
            "bob: a private key of its device is in {}: bob.state/key (base64)",
            place.as_str()
        );
        assert_eq!(verdict(&world, "bob"), (Broken, fact));
        assert_eq!(verdict(&world, "ada").0, Held);
    }
}

#[test]
fn an_engine_may_keep_keys_in_its_state_where_it_claims_so_and_only_their_owner_can_read_them() {
    let foreign = SecretCopy {
        name: "bob.state/key".into(),
        ..copy("ada", SecretPlace::State, Some(0o600))
    };
    let mut world = with(|secrets| secrets.copies.push(foreign));
    world.plan.conduct.keys_in_state = true;
    assert_eq!(verdict(&world, "ada").0, Broken);
    for (claims, place, mode, outcome) in [
        (true, SecretPlace::State, Some(0o600), Held),
        (true, SecretPlace::State, Some(0o640), Broken),
        (true, SecretPlace::State, Some(0o604), Broken),
        (true, SecretPlace::State, None, Broken),
        (true, SecretPlace::Log, Some(0o600), Broken),
        (false, SecretPlace::State, Some(0o600), Broken),
    ] {
        let mut world = with(|secrets| secrets.copies.push(copy("ada", place, mode)));
        world.plan.conduct.keys_in_state = claims;
        assert_eq!(
            verdict(&world, "ada").0,
            outcome,
            "{claims} {place:?} {mode:?}"
        );
    }
}

#[test]
fn a_control_socket_that_all_users_can_connect_to_breaks_the_promise() {
    let open = OpenSocket {
        node: "ada".parse().unwrap(),
        path: "/var/run/wireguard/wireguard.cali.sock".into(),
        mode: 0o666,
    };
    let world = with(|secrets| secrets.open_sockets.push(open));
    let fact = "ada: users other than root can read its private key: \
                /var/run/wireguard/wireguard.cali.sock has mode 0666";
    assert_eq!(verdict(&world, "ada"), (Broken, fact.into()));
    assert_eq!(verdict(&world, "bob").0, Held);
}

#[test]
fn without_a_whole_search_nothing_is_proved() {
    let mut world = mixed();
    world.evidence.secrets = None;
    assert_eq!(verdict(&world, "ada").0, Inconclusive);

    let world = with(|secrets| {
        secrets
            .unsearched
            .push("ada.engine.log: it is a riddle".into())
    });
    assert_eq!(verdict(&world, "ada").0, Inconclusive);

    let world = with(|secrets| {
        secrets.searched.remove(&SecretPlace::Capture);
    });
    assert_eq!(verdict(&world, "ada").0, Inconclusive);
}

#[test]
fn a_published_key_without_any_private_key_in_the_search_proves_nothing() {
    for family in [4, 6] {
        let mut world = with(|secrets| secrets.keys.clear());
        let node = world
            .evidence
            .nodes
            .get_mut(&"ada".parse().unwrap())
            .unwrap();
        let key = node.published_key.take();
        match family {
            4 => node.published_key = key,
            _ => node.published_key6 = key,
        }
        assert_eq!(verdict(&world, "ada").0, Inconclusive, "{family}");
        // It publishes none, and has no device.
        assert_eq!(verdict(&world, "cal").0, Held);
    }
}

#[test]
fn each_public_key_of_a_device_needs_its_private_key_in_the_search() {
    let device = |name: &str, key: &str| WireGuard {
        interface: name.parse().unwrap(),
        public_key: Some(key.into()),
        listen_port: None,
        fwmark: 0,
        peers: Vec::new(),
    };
    let name = "ada".parse().unwrap();
    let mut world = mixed();
    assert_eq!(verdict(&world, "ada").0, Held);
    let node = world.evidence.nodes.get_mut(&name).unwrap();
    node.dataplane.wireguard = vec![
        device("wireguard.cali", "four"),
        device("wg-v6.cali", "six"),
    ];
    let read = |world: &mut World, keys: &[&str]| {
        let secrets = world.evidence.secrets.as_mut().unwrap();
        let keys = keys.iter().map(|key| (*key).to_owned());
        secrets.keys = [("ada".parse().unwrap(), keys.collect())].into();
    };
    for (keys, outcome) in [
        ([].as_slice(), Inconclusive),
        (&["four"], Inconclusive),
        (&["four", "six"], Held),
    ] {
        read(&mut world, keys);
        assert_eq!(verdict(&world, "ada").0, outcome, "{keys:?}");
    }
    // A key that the device had after an earlier step counts too.
    world.evidence.states = vec![StateEvidence {
        node: name,
        after: 0,
        dataplane: Dataplane {
            wireguard: vec![device("wireguard.cali", "earlier")],
            ..Dataplane::default()
        },
        keys: Default::default(),
    }];
    assert_eq!(verdict(&world, "ada").0, Inconclusive);
    read(&mut world, &["four", "six", "earlier"]);
    assert_eq!(verdict(&world, "ada").0, Held);
}

#[test]
fn a_published_key_whose_device_does_not_show_it_holds_once_texts_were_searched_for_it() {
    let published = |searched: bool, key6: Option<&str>| {
        let mut world = with(|secrets| {
            secrets.keys.clear();
            if searched {
                let keys = ["the-key".to_owned()].into();
                secrets.silent.insert("bob".parse().unwrap(), keys);
            }
        });
        let bob = world
            .evidence
            .nodes
            .get_mut(&"bob".parse().unwrap())
            .unwrap();
        bob.published_key = Some("the-key".into());
        bob.published_key6 = key6.map(str::to_owned);
        bob.dataplane.wireguard.clear();
        verdict(&world, "bob")
    };
    assert_eq!(published(false, None).0, Inconclusive);
    // Of the key of the other family nobody knows anything.
    assert_eq!(published(true, Some("another-key")).0, Inconclusive);
    let fact = "bob: its device does not show its private key, and no text has it in base64 or hexadecimal";
    assert_eq!(published(true, None), (Held, fact.into()));
}
