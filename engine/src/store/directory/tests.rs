//! A directory of resources, on a real file system.

use std::time::Duration;

use serde_json::json;
use wiremesh_plan::intent::family::PerFamily;
use wiremesh_plan::intent::key::PublicKey;
use wiremesh_plan::intent::publication::{Publication, node_identity};
use wiremesh_plan::intent::resource::Resource;

use super::super::{Changed, Feed, Store};
use super::*;

/// Replacements of a Node in its file.
mod replaced;

const NODE: &str = "apiVersion: projectcalico.org/v3\nkind: Node\nmetadata:\n  name: a\n  uid: keep-me\nspec:\n  bgp:\n    ipv4Address: 10.0.0.1/24\n";

fn store(files: &[(&str, &str)]) -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let store = Store::Dir(Directory::new(folder.path()));
    (folder, store)
}

/// The next change that a feed reports, as text.
async fn next(feed: &mut Feed) -> String {
    let deadline = Duration::from_secs(10);
    let changed = tokio::time::timeout(deadline, feed.changed()).await;
    match changed.expect("the feed tells nothing") {
        Changed::Resources(changed) => {
            let names: Vec<_> = changed.iter().map(Identity::to_string).collect();
            names.join(", ")
        }
        Changed::Everything => "everything".into(),
        Changed::Trouble(what) => format!("trouble: {what}"),
    }
}

/// What a feed has, and which files are bad.
fn has(feed: &Feed) -> (Vec<String>, Vec<&str>) {
    let snapshot = feed.snapshot();
    (
        snapshot.resources.keys().map(Identity::to_string).collect(),
        snapshot.bad.keys().map(String::as_str).collect(),
    )
}

async fn publish(
    store: &Store,
    v4: Option<PublicKey>,
    v6: Option<PublicKey>,
) -> Result<bool, StoreError> {
    let publication = Publication {
        keys: PerFamily { v4, v6 },
        rotated: None,
    };
    store
        .edit(&node_identity("a"), None, |node| publication.write(node))
        .await
}

#[tokio::test]
async fn a_published_key_keeps_the_rest_of_the_resource() {
    let (folder, store) = store(&[("a.yaml", NODE)]);
    let read = || fs::read_to_string(folder.path().join("a.yaml")).unwrap();
    let key = PublicKey::from_bytes([7; 32]).ok();
    assert!(publish(&store, key, None).await.unwrap());
    let again = publish(&store, key, None).await.unwrap();
    assert!(!again, "written again without need");
    assert!(read().contains("uid: keep-me"), "{}", read());
    assert!(read().contains("wireguardPublicKey: Bwc"), "{}", read());
    assert!(publish(&store, None, key).await.unwrap());
    assert!(!read().contains("wireguardPublicKey:"), "{}", read());
    assert!(read().contains("wireguardPublicKeyV6: Bwc"), "{}", read());
    assert!(publish(&store, None, None).await.unwrap());
    assert!(!read().contains("wireguardPublicKey"), "{}", read());
    let again = publish(&store, None, None).await.unwrap();
    assert!(!again, "written again without need");
}

#[tokio::test]
async fn a_key_of_a_node_that_is_not_there_is_published_nowhere() {
    let (_folder, store) = store(&[]);
    let error = publish(&store, None, None).await.unwrap_err();
    assert!(error.to_string().ends_with("has no Node a"), "{error}");
}

#[tokio::test]
async fn a_bad_file_is_named_and_the_others_count() {
    let (_folder, store) = store(&[
        ("a.yaml", NODE),
        ("b.yaml", "kind: [Node"),
        (
            "c.json",
            "{\"kind\": \"Cat\", \"metadata\": {\"name\": \"c\"}}",
        ),
        (".d.yaml", "nothing"),
    ]);
    let snapshot = store.read().await.unwrap();
    assert_eq!(snapshot.resources.len(), 1);
    assert!(snapshot.bad.keys().eq(["b.yaml", "c.json"]));
}

#[tokio::test]
async fn the_digest_differs_for_every_content_and_follows_file_changes() {
    let (folder, store) = store(&[("a.yaml", NODE), ("b.json", "{}")]);
    let mut feed = store.feed().await.unwrap();
    let first = feed.snapshot().digest.clone();
    assert_eq!(first.len(), 16);
    assert_eq!(first, store.read().await.unwrap().digest);
    let changed = NODE.replace("keep-me", "keep-mf");
    fs::write(folder.path().join("a.yaml"), changed).unwrap();
    assert_eq!(next(&mut feed).await, "", "no resource is another");
    assert_ne!(first, feed.snapshot().digest);
    assert_eq!(feed.snapshot().digest, store.read().await.unwrap().digest);
    fs::remove_file(folder.path().join("b.json")).unwrap();
    next(&mut feed).await;
    fs::write(folder.path().join("a.yaml"), NODE).unwrap();
    next(&mut feed).await;
    assert_eq!(feed.snapshot().digest, store.read().await.unwrap().digest);
}

#[test]
fn the_digest_is_the_one_that_the_readme_describes() {
    let mut digest = Digest::default();
    assert_eq!(digest.digits(), "0000000000000000");
    digest.set("a", Some(&Ok(b"b".to_vec())));
    assert_eq!(digest.digits(), format!("{:016x}", fnv(b"a", b"b")));
    // FNV-1a of the four bytes `a`, 0, `b`, 0.
    assert_eq!(digest.digits(), "ab40d7820d408076");
    digest.set("c", Some(&Ok(b"d".to_vec())));
    digest.set("a", None);
    assert_eq!(digest.digits(), format!("{:016x}", fnv(b"c", b"d")));
}

#[tokio::test]
async fn a_half_written_file_keeps_its_last_good_state() {
    let (folder, store) = store(&[("a.yaml", NODE)]);
    let mut feed = store.feed().await.unwrap();
    fs::write(folder.path().join("a.yaml"), "kind: [No").unwrap();
    assert_eq!(next(&mut feed).await, "");
    assert_eq!(has(&feed), (vec!["Node a".into()], vec!["a.yaml"]));
    fs::write(folder.path().join("a.yaml"), NODE.replace("0.1/", "0.2/")).unwrap();
    assert_eq!(next(&mut feed).await, "Node a");
    assert_eq!(has(&feed), (vec!["Node a".into()], vec![]));
}

#[tokio::test]
async fn a_file_that_changes_its_resource_takes_the_old_one_away() {
    let (folder, store) = store(&[("a.yaml", NODE)]);
    let mut feed = store.feed().await.unwrap();
    let other = NODE.replace("name: a", "name: b");
    fs::write(folder.path().join("a.yaml"), other).unwrap();
    assert_eq!(next(&mut feed).await, "Node a, Node b");
    assert_eq!(has(&feed), (vec!["Node b".into()], vec![]));
}

#[tokio::test]
async fn a_file_that_is_written_as_it_was_and_one_that_is_no_resource_wake_nobody() {
    let (folder, store) = store(&[("a.yaml", NODE)]);
    let mut feed = store.feed().await.unwrap();
    fs::write(folder.path().join("a.yaml"), NODE).unwrap();
    fs::write(folder.path().join("notes.txt"), "x").unwrap();
    fs::write(folder.path().join(".a.yaml.new"), "x").unwrap();
    fs::write(
        folder.path().join("b.yaml"),
        NODE.replace("name: a", "name: b"),
    )
    .unwrap();
    assert_eq!(next(&mut feed).await, "Node b");
}

#[tokio::test]
async fn a_change_that_nobody_waited_for_is_not_lost() {
    let (folder, store) = store(&[]);
    let mut feed = store.feed().await.unwrap();
    let cancelled = tokio::time::timeout(Duration::from_millis(1), feed.changed()).await;
    assert!(cancelled.is_err());
    fs::write(folder.path().join("a.yaml"), NODE).unwrap();
    assert_eq!(next(&mut feed).await, "Node a");
}

#[tokio::test]
async fn another_directory_takes_the_old_one_s_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("a.yaml"), NODE).unwrap();
    let mut feed = Store::Dir(Directory::new(&path)).feed().await.unwrap();

    let gone = folder.path().join("gone");
    fs::rename(&path, &gone).unwrap();
    let change = next(&mut feed).await;
    assert!(
        change.starts_with("trouble: cannot read the store"),
        "{change}"
    );
    assert_eq!(has(&feed), (vec!["Node a".into()], vec![]), "it stays");

    // It comes back as it was, and what is written to it counts.
    fs::rename(&gone, &path).unwrap();
    assert_eq!(next(&mut feed).await, "");
    fs::write(path.join("b.yaml"), NODE.replace("name: a", "name: b")).unwrap();
    assert_eq!(next(&mut feed).await, "Node b");

    // Another one comes, and what is written to the old one does not count.
    fs::rename(&path, &gone).unwrap();
    let change = next(&mut feed).await;
    assert!(change.starts_with("trouble"), "{change}");
    fs::write(gone.join("c.yaml"), NODE.replace("name: a", "name: c")).unwrap();
    let fresh = folder.path().join("fresh");
    fs::create_dir(&fresh).unwrap();
    fs::write(fresh.join("d.yaml"), NODE.replace("name: a", "name: d")).unwrap();
    fs::rename(&fresh, &path).unwrap();
    assert_eq!(next(&mut feed).await, "everything");
    assert_eq!(has(&feed), (vec!["Node d".into()], vec![]));
}

#[tokio::test]
async fn a_directory_is_found_again_although_its_parent_was_gone_too() {
    let folder = tempfile::tempdir().unwrap();
    let parent = folder.path().join("parent");
    fs::create_dir_all(parent.join("store")).unwrap();
    let store = Store::Dir(Directory::new(parent.join("store")));
    let mut feed = store.feed().await.unwrap();
    fs::remove_dir_all(&parent).unwrap();
    assert!(next(&mut feed).await.starts_with("trouble"));
    fs::create_dir_all(parent.join("store")).unwrap();
    assert_eq!(next(&mut feed).await, "");
    fs::write(parent.join("store/a.yaml"), NODE).unwrap();
    assert_eq!(next(&mut feed).await, "Node a");
}

#[tokio::test]
async fn a_burst_that_overflows_the_queue_is_not_lost() {
    let (folder, store) = store(&[]);
    let mut feed = store.feed().await.unwrap();
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    // Each write says two things at least, so half of the limit is too many.
    for number in 0..limit.min(20_000) {
        let name = folder.path().join(format!("{}.json", number % 100));
        fs::write(name, format!("{{\"number\": {number}}}")).unwrap();
    }
    fs::write(folder.path().join("last.yaml"), NODE).unwrap();
    while feed.snapshot().resources.is_empty() {
        next(&mut feed).await;
    }
    assert_eq!(feed.snapshot().digest, store.read().await.unwrap().digest);
}

#[tokio::test]
async fn a_configuration_is_made_where_there_is_none() {
    let (_folder, store) = store(&[]);
    let identity = Identity {
        kind: "FelixConfiguration".into(),
        ..node_identity("default")
    };
    let fresh = json!({"kind": "FelixConfiguration", "metadata": {"name": "default"}});
    let otherwise = Some(fresh);
    let first = store.edit(&identity, otherwise.clone(), |_| {}).await;
    assert!(first.unwrap());
    assert!(!store.edit(&identity, otherwise, |_| {}).await.unwrap());
    assert_eq!(store.read().await.unwrap().resources.len(), 1);
}

#[tokio::test]
async fn a_special_or_too_large_file_is_a_problem_and_blocks_nothing() {
    let (folder, store) = store(&[("a.yaml", NODE)]);
    let path = |name: &str| folder.path().join(name);
    nix::unistd::mkfifo(&path("fifo.yaml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::os::unix::fs::symlink("/dev/zero", path("zero.yaml")).unwrap();
    std::os::unix::fs::symlink("/proc/kmsg", path("gone.json")).unwrap();
    std::os::unix::fs::symlink("self.yaml", path("self.yaml")).unwrap();
    std::os::unix::fs::symlink("nothing", path("nothing.yaml")).unwrap();
    fs::create_dir(path("folder.yaml")).unwrap();
    File::create(path("large.yaml"))
        .unwrap()
        .set_len(file::LIMIT + 1)
        .unwrap();
    let snapshot = store.read().await.unwrap();
    assert_eq!(snapshot.resources.len(), 1);
    let bad = |name: &str| Some(snapshot.bad.get(name)?.mistakes[0].what.as_str());
    for name in ["fifo.yaml", "zero.yaml", "folder.yaml"] {
        assert_eq!(
            bad(name),
            Some("it is no regular file, and is not read"),
            "{name}"
        );
    }
    assert_eq!(bad("large.yaml"), Some("it is larger than 4 MiB"));
    assert!(bad("self.yaml").is_some());
    assert_eq!(bad("nothing.yaml"), Some("it is a link that leads nowhere"));
    let feed = store.feed().await.unwrap();
    assert_eq!(feed.snapshot().digest, snapshot.digest);
    assert_eq!(feed.snapshot().bad, snapshot.bad);
}

#[tokio::test]
async fn a_write_follows_no_link() {
    let (folder, store) = store(&[("a.yaml", NODE)]);
    let other = tempfile::tempdir().unwrap();
    let target = other.path().join("target");
    let key = PublicKey::from_bytes([7; 32]).ok();
    // Where the write goes first.
    fs::write(&target, "precious").unwrap();
    std::os::unix::fs::symlink(&target, folder.path().join(".a.yaml.new")).unwrap();
    assert!(publish(&store, key, None).await.unwrap());
    assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
    // The file itself: it is read by the link, and not written.
    fs::write(&target, NODE).unwrap();
    fs::remove_file(folder.path().join("a.yaml")).unwrap();
    std::os::unix::fs::symlink(&target, folder.path().join("a.yaml")).unwrap();
    let error = publish(&store, key, None).await.unwrap_err().to_string();
    assert!(error.contains("it is a link"), "{error}");
    assert_eq!(fs::read_to_string(&target).unwrap(), NODE);
    // The lock.
    fs::remove_file(folder.path().join("a.yaml")).unwrap();
    fs::write(folder.path().join("a.yaml"), NODE).unwrap();
    fs::remove_file(folder.path().join(".lock")).unwrap();
    std::os::unix::fs::symlink(other.path().join("made"), folder.path().join(".lock")).unwrap();
    publish(&store, key, None).await.unwrap_err();
    assert!(!other.path().join("made").exists());
}

#[tokio::test]
async fn a_mounted_config_map_is_read_and_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("..2026_1")).unwrap();
    fs::write(path("..2026_1/a.yaml"), NODE).unwrap();
    std::os::unix::fs::symlink("..2026_1", path("..data")).unwrap();
    std::os::unix::fs::symlink("..data/a.yaml", path("a.yaml")).unwrap();
    let mut feed = Store::Dir(Directory::new(folder.path()))
        .feed()
        .await
        .unwrap();
    assert_eq!(has(&feed), (vec!["Node a".into()], vec![]));
    fs::create_dir(path("..2026_2")).unwrap();
    fs::write(path("..2026_2/a.yaml"), NODE.replace("0.1/", "0.2/")).unwrap();
    std::os::unix::fs::symlink("..2026_2", path("..data_tmp")).unwrap();
    fs::rename(path("..data_tmp"), path("..data")).unwrap();
    assert_eq!(next(&mut feed).await, "Node a");
}

#[tokio::test]
async fn documents_and_items_come_and_go_by_themselves() {
    let b = NODE.replace("name: a", "name: b");
    let both = format!("{NODE}---\n{b}");
    let (folder, store) = store(&[("n.yaml", &both)]);
    let mut feed = store.feed().await.unwrap();
    assert_eq!(has(&feed).0, ["Node a", "Node b"]);
    let write = |text: &str| fs::write(folder.path().join("n.yaml"), text).unwrap();
    // One that is bad is told with its place, and its last good state stays.
    write(&format!("{NODE}---\n{}", b.replace("10.0.0.1/24", "moon")));
    assert_eq!(next(&mut feed).await, "");
    let (resources, bad) = has(&feed);
    assert_eq!(resources, ["Node a", "Node b"]);
    assert_eq!(bad, ["n.yaml (document 2)"]);
    // A file of which nothing can be read changes nothing, and is one problem.
    write("kind: [No");
    assert_eq!(next(&mut feed).await, "");
    assert!(has(&feed).0.len() == 2 && has(&feed).1.contains(&"n.yaml"));
    // Another order is no change; one that is gone is.
    write(&format!("{b}---\n{NODE}"));
    next(&mut feed).await;
    let (resources, bad) = has(&feed);
    assert_eq!((resources.len(), bad.len()), (2, 0));
    write(&b);
    assert_eq!(next(&mut feed).await, "Node a");
    assert_eq!(has(&feed), (vec!["Node b".into()], vec![]));
    fs::remove_file(folder.path().join("n.yaml")).unwrap();
    assert_eq!(next(&mut feed).await, "Node b");
}

#[tokio::test]
async fn a_key_is_published_into_the_item_that_it_belongs_to() {
    let list = "kind: List\nitems:\n- {kind: Node, metadata: {name: b}}\n- {kind: Node, metadata: {name: a}}\n---\nkind: Node\nmetadata: {name: c}\n";
    let (folder, store) = store(&[("n.yaml", list)]);
    let key = PublicKey::from_bytes([7; 32]).ok();
    assert!(publish(&store, key, None).await.unwrap());
    let text = fs::read_to_string(folder.path().join("n.yaml")).unwrap();
    assert_eq!(text.matches("wireguardPublicKey").count(), 1, "{text}");
    let snapshot = store.read().await.unwrap();
    assert_eq!(snapshot.resources.len(), 3);
    let has_key = |name: &str| match &snapshot.resources[&node_identity(name)] {
        Resource::Node(node) => node.public_key.v4.is_some(),
        _ => panic!(),
    };
    assert_eq!(["a", "b", "c"].map(has_key), [true, false, false]);
}

#[tokio::test]
async fn a_key_is_published_where_the_node_is_read_from() {
    // The first by name is wrong; the second counts, and of the third it is told that another does.
    let wrong = NODE.replace("10.0.0.1/24", "moon");
    let other = NODE.replace("10.0.0.1/24", "10.0.0.9/24");
    let (folder, store) = store(&[("a.yaml", &wrong), ("b.yaml", NODE), ("c.yaml", &other)]);
    let key = PublicKey::from_bytes([7; 32]).unwrap();
    for changes in [true, false] {
        // The second time there is nothing to write: else an agent would write for ever.
        assert_eq!(publish(&store, Some(key), None).await.unwrap(), changes);
        let snapshot = store.read().await.unwrap();
        let Some(Resource::Node(node)) = snapshot.resources.get(&node_identity("a")) else {
            panic!("{snapshot:?}");
        };
        assert_eq!(node.endpoint.v4, "10.0.0.1".parse().ok());
        assert_eq!(node.public_key.v4, Some(Ok(key)));
    }
    for (file, text) in [("a.yaml", &wrong), ("c.yaml", &other)] {
        assert_eq!(fs::read_to_string(folder.path().join(file)).unwrap(), *text);
    }
    // Where all are wrong there is still a place for it.
    let (folder, store) = self::store(&[("a.yaml", &wrong)]);
    assert!(publish(&store, Some(key), None).await.unwrap());
    let text = fs::read_to_string(folder.path().join("a.yaml")).unwrap();
    assert!(text.contains(&key.to_string()), "{text}");
}

#[tokio::test]
async fn a_store_whose_cluster_information_is_not_ready_is_reported_as_unready() {
    for (ready, expected) in [("false", true), ("true", false)] {
        let information = format!(
            "kind: ClusterInformation\nmetadata: {{name: default}}\nspec: {{datastoreReady: {ready}}}\n"
        );
        let (_folder, store) = store(&[("i.yaml", &information)]);
        let snapshot = store.read().await.unwrap();
        let unready = snapshot.unready();
        assert_eq!(
            unready.is_some_and(|why| why.contains("`spec.datastoreReady` is false")),
            expected
        );
    }
}

#[tokio::test]
async fn a_feed_does_not_block_while_a_large_file_is_parsed() {
    use futures_util::FutureExt;
    use std::time::Instant;

    use super::super::document::Documents;

    let labels: String = (0..100_000).map(|n| format!("    l{n}: x\n")).collect();
    let began = Instant::now();
    let large = NODE.replace("  uid", &format!("  labels:\n{labels}  uid"));
    Documents::parse(Format::Yaml, large.as_bytes()).unwrap();
    let whole = began.elapsed();
    let (folder, store) = store(&[]);
    let mut feed = store.feed().await.unwrap();
    let mut longest = Duration::MAX;
    // A busy machine may halt any of them.
    for try_ in 0..5 {
        let text = large.replace("keep-me", &format!("keep-{try_}"));
        fs::write(folder.path().join("a.yaml"), text).unwrap();
        let mut slowest = Duration::ZERO;
        loop {
            let began = Instant::now();
            let changed = feed.changed().now_or_never();
            slowest = slowest.max(began.elapsed());
            if changed.is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        longest = longest.min(slowest);
    }
    assert_eq!(has(&feed).0, ["Node a"]);
    assert!(longest < whole / 2, "{longest:?} of {whole:?}");
}
