//! An agent that starts while the FelixConfiguration, or a Node, cannot be read: what the one before it has
//! encrypted and dropped stays so.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{INSIDE, Node, applied, in_namespaces, ruleset_has, write};

/// Encrypt or drop for one other node.
const STRICT: &str = "kind: FelixConfiguration\n\
    metadata: {name: default, annotations: {wiremesh/strict: 'true'}}\n\
    spec: {wireguardEnabled: true, wireguardEnabledV6: true, wireguardHostEncryptionEnabled: true}\n";
const BOB: &str = "kind: Node\nmetadata: {name: bob}\n\
    spec: {bgp: {ipv4Address: 10.0.0.2/24, ipv6Address: 'fd00::2/64'}}\n";

const SPEC: &str = "spec: {wireguardEnabled: true, wireguardEnabledV6: true, wireguardHostEncryptionEnabled: true}";

/// As an editor, a full disk or a typist leave it.
const DAMAGES: [&str; 4] = ["{bad", "", "kind: FelixConfiguration\n\tspec: {}\n", "[]"];

#[test]
fn an_unreadable_resource_at_an_agent_s_start_lifts_no_protection() {
    in_namespaces("unread::inside_what_cannot_be_read");
}

/// Whether the kernel drops what is in clear to the other node, in both families.
fn drops() -> bool {
    ruleset_has(&["10.0.0.2", "fd00::2"])
}

fn has_rules() -> bool {
    ["-4", "-6"].iter().all(|family| {
        let output = Command::new("ip").args([family, "rule", "list"]).output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        text.contains("fwmark")
    })
}

#[test]
#[ignore = "the test above runs it in a namespace of its own"]
fn inside_what_cannot_be_read() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let guard = folder.path().join("state/guard.json");
    let resources = [("default.yaml", STRICT), ("bob.yaml", BOB)];
    let mut node = Node::start(folder.path(), &resources);
    let in_sync = |status: &str| status.contains("X_WIREMESH_APPLIED=");
    node.until("was in sync", in_sync);
    let keys = node.keys();
    let holds = |what: &str| {
        assert!(drops() && has_rules() && guard.is_file(), "{what}");
    };
    holds("at first");

    let stays = |status: &str| status.contains("what is encrypted and dropped stays as it is");
    for damage in DAMAGES {
        node.restart(|store| write(store, "default.yaml", damage));
        node.until("said that it cannot read the intent", stays);
        holds(damage);
        assert_eq!(node.keys(), keys);
        write(&node.store, "default.yaml", STRICT);
        node.until("went on when the file was repaired", in_sync);
        holds("repaired");
    }

    // Strict mode is not lifted by a mistake either, however the agent meets it.
    let mistakes = [
        ("wireguardEnabled: true", "WireguardEnabled: true"),
        (
            "wireguardHostEncryptionEnabled: true",
            "wireguardHostEncryptionEnabled: ture",
        ),
        ("spec:", "Spec:"),
        ("wiremesh/strict:", "Wiremesh/Strict:"),
        ("annotations:", "Annotations:"),
        // Nor by a manifest without the fields.
        (SPEC, "spec: {}"),
        (", wireguardHostEncryptionEnabled: true", ""),
        (
            "wireguardEnabled: true, wireguardEnabledV6: true",
            "wireguardEnabled: null",
        ),
    ];
    for (right, mistake) in mistakes {
        assert!(STRICT.contains(right));
        let mistaken = STRICT.replace(right, mistake);
        for restarts in [false, true] {
            let put = |store: &Path| write(store, "default.yaml", &mistaken);
            if restarts {
                node.restart(put);
            } else {
                put(&node.store);
            }
            node.until("said that it lifts nothing", stays);
            holds(mistake);
            write(&node.store, "default.yaml", STRICT);
            node.until("went on when the mistake was repaired", in_sync);
        }
    }

    // What one node alone is asked for, and the stricter one of two that hold `default`.
    let lax = STRICT.replace("'true'", "'false'");
    let of_node = STRICT.replace("name: default", "name: node.ada");
    for other in [&of_node, STRICT] {
        for restarts in [false, true] {
            // In this order, so that strict mode is asked for all the time.
            // What was reported before counts no more.
            node.restart(|_| {});
            let mut last = applied(&node.until("was in sync", in_sync));
            for (name, text) in [("z.yaml", other), ("default.yaml", &lax)] {
                write(&node.store, name, text);
                let is_next = |status: &str| in_sync(status) && applied(status) != last;
                let next = node.until("was in sync with another configuration", is_next);
                last = applied(&next);
            }
            holds("two configurations");
            let tear = |store: &Path| write(store, "z.yaml", "{bad");
            if restarts {
                node.restart(tear);
                node.until("said that it lifts nothing", stays);
            } else {
                tear(&node.store);
                // Of a resource of its own the last state counts; of two that hold one, what can be read.
                let is_taken_in =
                    |status: &str| stays(status) || in_sync(status) && applied(status) != last;
                node.until("took in what is torn", is_taken_in);
            }
            holds("one of two configurations is torn");
            write(&node.store, "default.yaml", STRICT);
            fs::remove_file(node.store.join("z.yaml")).unwrap();
        }
    }

    // A link that leads nowhere, such as a ConfigMap's whose data is away: at a start, and while the agent runs.
    for restarts in [true, false] {
        let away = |store: &Path| {
            fs::remove_file(store.join("default.yaml")).unwrap();
            std::os::unix::fs::symlink("nothing", store.join("default.yaml")).unwrap();
        };
        if restarts {
            node.restart(away);
        } else {
            let store = node.store.clone();
            let draft = store.join(".draft");
            std::os::unix::fs::symlink("nothing", &draft).unwrap();
            fs::rename(draft, store.join("default.yaml")).unwrap();
        }
        let responded =
            |status: &str| restarts == status.contains("stays as it is") && !status.is_empty();
        node.until("said that the link leads nowhere, or went on", responded);
        holds("a link that leads nowhere");
        fs::remove_file(node.store.join("default.yaml")).unwrap();
        write(&node.store, "default.yaml", STRICT);
        node.until("went on when the file was there", in_sync);
        holds("repaired");
    }

    // A table that somebody switches off is set anew, and drops.
    // The agent that does it has nothing else to do: what it set for another reason would hide it.
    node.restart(|_| {});
    node.until("was in sync before its table was switched off", in_sync);
    let dormant = ["add", "table", "inet", "wiremesh", "{ flags dormant; }"];
    assert!(
        Command::new("nft")
            .args(dormant)
            .status()
            .unwrap()
            .success()
    );
    let lists = || {
        Command::new("nft")
            .args(["list", "ruleset"])
            .output()
            .unwrap()
            .stdout
    };
    let deadline = std::time::Instant::now() + crate::DEADLINE;
    while String::from_utf8(lists()).unwrap().contains("dormant") || !drops() {
        assert!(
            std::time::Instant::now() < deadline,
            "the table stays dormant"
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }

    // Of another node.
    for damage in ["{bad", &BOB.replace("10.0.0.2/24", "banana")] {
        node.restart(|store| write(store, "bob.yaml", damage));
        node.until("was in sync without the other Node", in_sync);
        holds(damage);
        write(&node.store, "bob.yaml", BOB);
        node.until("read the other Node again", in_sync);
        holds("repaired");
    }

    // What is removed is not wanted.
    let remove = |store: &Path| fs::remove_file(store.join("default.yaml")).unwrap();
    node.restart(remove);
    node.until("was in sync without encryption", |status| {
        in_sync(status) && !drops() && !has_rules()
    });
    assert!(!guard.exists());
    assert_eq!(node.keys(), [false, false]);
}
