//! A directory of resources, on a real file system.

use super::*;

fn store(files: &[(&str, &str)]) -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let store = Store {
        path: folder.path().into(),
    };
    (folder, store)
}

const NODE: &str = "apiVersion: projectcalico.org/v3\nkind: Node\nmetadata:\n  name: a\n  uid: keep-me\nspec:\n  bgp:\n    ipv4Address: 10.0.0.1/24\n";

#[test]
fn a_published_key_keeps_the_rest_of_the_resource() {
    let (folder, store) = store(&[("a.yaml", NODE)]);
    assert!(store.publish_key("a", "k").unwrap());
    assert!(
        !store.publish_key("a", "k").unwrap(),
        "written again without need"
    );
    let text = fs::read_to_string(folder.path().join("a.yaml")).unwrap();
    assert!(
        text.contains("uid: keep-me") && text.contains("wireguardPublicKey: k"),
        "{text}"
    );
    assert!(store.publish_key("a", "").unwrap());
    let text = fs::read_to_string(folder.path().join("a.yaml")).unwrap();
    assert!(!text.contains("wireguardPublicKey"), "{text}");
    assert!(
        !store.publish_key("a", "").unwrap(),
        "written again without need"
    );
}

#[test]
fn a_bad_file_is_named_and_the_others_count() {
    let (_folder, store) = store(&[
        ("a.yaml", NODE),
        ("b.yaml", "kind: [Node"),
        (
            "c.json",
            "{\"kind\": \"Cat\", \"metadata\": {\"name\": \"c\"}}",
        ),
        (".d.yaml", "nothing"),
    ]);
    let snapshot = store.read().unwrap();
    assert_eq!(snapshot.resources.len(), 1);
    let bad: Vec<_> = snapshot.bad.iter().map(|bad| bad.name.as_str()).collect();
    assert_eq!(bad, ["b.yaml", "c.json"]);
}

#[test]
fn the_digest_tells_every_content_apart() {
    let (folder, store) = store(&[("a.yaml", NODE)]);
    let first = store.read().unwrap().digest;
    fs::write(
        folder.path().join("a.yaml"),
        NODE.replace("keep-me", "keep-mf"),
    )
    .unwrap();
    let second = store.read().unwrap().digest;
    assert_ne!(first, second);
    assert_eq!(first.len(), 16);
}

#[test]
fn a_change_is_told_also_of_a_directory_that_took_the_old_one_s_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    fs::create_dir(&path).unwrap();
    let store = Store { path: path.clone() };
    let (changed, mut changes) = mpsc::channel(1);
    store.watch(changed).unwrap();

    fs::write(path.join("a.yaml"), NODE).unwrap();
    changes.blocking_recv().unwrap();
    fs::rename(&path, folder.path().join("old")).unwrap();
    fs::create_dir(&path).unwrap();
    changes.blocking_recv().unwrap();
    fs::write(path.join("b.yaml"), NODE).unwrap();
    changes.blocking_recv().unwrap();
}

#[test]
fn a_configuration_is_made_where_there_is_none() {
    let (_folder, store) = store(&[]);
    assert!(
        store
            .configure(&[("wireguardEnabled", json!(true))])
            .unwrap()
    );
    assert!(
        !store
            .configure(&[("wireguardEnabled", json!(true))])
            .unwrap()
    );
    assert_eq!(store.read().unwrap().resources.len(), 1);
}
