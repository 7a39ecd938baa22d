//! A real etcd on this machine, in a directory of its own; what listens in its place
//! when it is not there.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::super::{Changed, Feed, Store};
use super::*;
use crate::hooks::TestHooks;
use server::Server;

mod server;
mod user;

/// The key of a Node.
fn node_key(name: &str) -> String {
    format!("{}nodes/{name}", key::RESOURCES)
}

fn node(name: &str, address: &str) -> Value {
    json!({
        "kind": "Node", "apiVersion": "projectcalico.org/v3",
        "metadata": {"name": name, "uid": "keep-me"},
        "spec": {"bgp": {"ipv4Address": address}},
    })
}

fn store(server: &Server) -> Store {
    format!("etcd:{}", server.url()).parse().unwrap()
}

/// Publishes a key, as agents do.
async fn publish(store: &Store, name: &str, public: &str) -> Result<bool, StoreError> {
    let identity = key::identity(&node_key(name)).unwrap();
    let write = |node: &mut Value| node["status"] = json!({"wireguardPublicKey": public});
    store.edit(&identity, None, write).await
}

/// The next change that a feed reports, as text; an etcd that freezes is noticed in 10 s.
async fn next(feed: &mut Feed) -> String {
    let changed = tokio::time::timeout(Duration::from_secs(10), feed.changed()).await;
    match changed.expect("the feed tells nothing") {
        Changed::Resources(changed) => {
            let names: Vec<_> = changed.iter().map(Identity::to_string).collect();
            names.join(", ")
        }
        Changed::Everything => "everything".into(),
        Changed::Trouble(what) => format!("trouble: {what}"),
    }
}

/// Waits until the feed is through with its trouble and has that many resources.
async fn until(feed: &mut Feed, resources: usize) {
    while feed.snapshot().resources.len() != resources {
        next(feed).await;
    }
}

#[tokio::test]
async fn a_store_is_listed_and_then_followed() {
    let server = Server::start().await;
    server.put(&node_key("a"), &node("a", "10.0.0.1/24")).await;
    server.put("/calico/felix/v2/x", &json!("y")).await;
    let mut feed = store(&server).feed().await.unwrap();
    assert_eq!(next(&mut feed).await, "everything");
    assert_eq!(feed.snapshot().resources.len(), 1);
    assert_eq!(feed.snapshot().digest, "3");
    assert_eq!(*feed.snapshot(), store(&server).read().await.unwrap());

    server.put(&node_key("b"), &node("b", "10.0.0.2/24")).await;
    assert_eq!(next(&mut feed).await, "Node b");
    server.delete(&node_key("a")).await;
    assert_eq!(next(&mut feed).await, "Node a");
    // What concerns nobody is seen all the same: the revision says so.
    server.put("/calico/felix/v2/x", &json!("z")).await;
    assert_eq!(next(&mut feed).await, "");
    assert_eq!(feed.snapshot().digest, "6");
    assert_eq!(*feed.snapshot(), store(&server).read().await.unwrap());
}

#[tokio::test]
async fn a_list_of_many_pages_is_complete() {
    let server = Server::start().await;
    let nodes = (0..2 * PAGE + 1).map(|number| {
        let name = format!("n{number}");
        (node_key(&name), node(&name, "10.0.0.1/24"))
    });
    server.put_all(nodes).await;
    let snapshot = store(&server).read().await.unwrap();
    assert_eq!(snapshot.resources.len(), 2 * PAGE + 1);
}

#[tokio::test]
async fn a_published_key_keeps_every_other_field() {
    let server = Server::start().await;
    server.put(&node_key("a"), &node("a", "10.0.0.1/24")).await;
    let store = store(&server);
    assert!(publish(&store, "a", "k").await.unwrap());
    let again = publish(&store, "a", "k").await.unwrap();
    assert!(!again, "written again without need");
    let mut expected = node("a", "10.0.0.1/24");
    expected["status"] = json!({"wireguardPublicKey": "k"});
    assert_eq!(server.get(&node_key("a")).await, expected);
    let error = publish(&store, "b", "k").await.unwrap_err();
    assert!(error.to_string().ends_with("has no Node b"), "{error}");
}

#[tokio::test]
async fn a_configuration_is_made_where_there_is_none() {
    let server = Server::start().await;
    let store = store(&server);
    let identity =
        key::identity(&format!("{}felixconfigurations/default", key::RESOURCES)).unwrap();
    let fresh = Some(json!({"spec": {"wireguardEnabled": true}}));
    let first = store.edit(&identity, fresh.clone(), |_| {});
    assert!(first.await.unwrap());
    let again = store.edit(&identity, fresh, |_| {});
    assert!(!again.await.unwrap());
    let key = format!("{}felixconfigurations/default", key::RESOURCES);
    assert_eq!(server.get(&key).await["spec"]["wireguardEnabled"], true);
}

/// Edits what was read first, whatever is there by now.
#[derive(Debug, Default)]
struct FirstCopy(Mutex<Option<Value>>);

impl TestHooks for FirstCopy {
    fn edited(&self, _key: &str, value: Value) -> Value {
        self.0.lock().unwrap().get_or_insert(value).clone()
    }
}

/// Does not ask for what it has missed.
#[derive(Debug)]
struct NoResume;

impl TestHooks for NoResume {
    fn resumes_watch(&self) -> bool {
        false
    }
}

/// Edits a Node while somebody else writes it, `times` times. Returns what is there in the end.
async fn contended(times: usize, hooks: Hooks) -> (Result<bool, StoreError>, Value) {
    let server = Server::start().await;
    server.put(&node_key("a"), &node("a", "10.0.0.1/24")).await;
    let identity = key::identity(&node_key("a")).unwrap();
    let mut left = times;
    let store = store(&server).with_hooks(&hooks);
    let edited = store
        .edit(&identity, None, |value| {
            value["status"] = json!({"wireguardPublicKey": "k"});
            if left > 0 {
                left -= 1;
                let mut other = node("a", "10.0.0.1/24");
                other["spec"]["written"] = json!(left);
                server.put_from_elsewhere(&node_key("a"), &other);
            }
        })
        .await;
    (edited, server.get(&node_key("a")).await)
}

#[tokio::test]
async fn a_concurrent_write_is_not_lost() {
    let (edited, value) = contended(2, Hooks::default()).await;
    assert!(edited.unwrap());
    assert_eq!(value["spec"]["written"], 0);
    assert_eq!(value["status"]["wireguardPublicKey"], "k");
}

#[tokio::test]
async fn an_edit_gives_up_when_others_are_faster_each_time() {
    let (edited, value) = contended(MAX_TRIES, Hooks::default()).await;
    let error = edited.unwrap_err().to_string();
    assert!(error.contains("was written by others 3 times"), "{error}");
    assert_eq!(value["status"], json!(null));
}

#[tokio::test]
async fn without_compare_and_swap_it_would_be_lost() {
    let (_, value) = contended(2, Hooks::new(FirstCopy::default())).await;
    assert_eq!(value["spec"]["written"], json!(null));
}

#[tokio::test]
async fn an_outage_is_reported_once_and_changes_during_it_arrive() {
    let mut server = Server::start().await;
    server.put(&node_key("a"), &node("a", "10.0.0.1/24")).await;
    let mut feed = store(&server).feed().await.unwrap();
    assert_eq!(next(&mut feed).await, "everything");
    server.stop();
    let change = next(&mut feed).await;
    let expected = format!(
        "trouble: the etcd at {}: it cannot be reached",
        server.url()
    );
    assert!(change.starts_with(&expected), "{change}");
    assert_eq!(feed.snapshot().resources.len(), 1, "it stays");

    // On another port, where the feed does not see it.
    server.restart_elsewhere().await;
    server.put(&node_key("b"), &node("b", "10.0.0.2/24")).await;
    server.delete(&node_key("a")).await;
    server.stop();
    server.restart().await;
    while !feed.snapshot().resources.keys().any(|id| id.name == "b") {
        next(&mut feed).await;
    }
    until(&mut feed, 1).await;
}

#[tokio::test]
async fn an_agent_that_does_not_resume_misses_what_changed_meanwhile() {
    let mut server = Server::start().await;
    server.put(&node_key("a"), &node("a", "10.0.0.1/24")).await;
    let store = store(&server).with_hooks(&Hooks::new(NoResume));
    let mut feed = store.feed().await.unwrap();
    assert_eq!(next(&mut feed).await, "everything");
    server.stop();
    next(&mut feed).await;
    server.restart_elsewhere().await;
    server.put(&node_key("b"), &node("b", "10.0.0.2/24")).await;
    server.stop();
    server.restart().await;
    while next(&mut feed).await.starts_with("trouble") {}
    server.put(&node_key("c"), &node("c", "10.0.0.3/24")).await;
    until(&mut feed, 2).await;
    assert!(!feed.snapshot().resources.keys().any(|id| id.name == "b"));
}

#[tokio::test]
async fn a_history_that_was_compacted_meanwhile_is_listed_again() {
    let mut server = Server::start().await;
    server.put(&node_key("a"), &node("a", "10.0.0.1/24")).await;
    server.put(&node_key("b"), &node("b", "10.0.0.2/24")).await;
    let mut feed = store(&server).feed().await.unwrap();
    assert_eq!(next(&mut feed).await, "everything");
    server.stop();
    assert!(next(&mut feed).await.starts_with("trouble"));
    server.restart_elsewhere().await;
    server.delete(&node_key("a")).await;
    server.put(&node_key("b"), &node("b", "10.0.0.3/24")).await;
    server.compact().await;
    server.stop();
    assert_eq!(feed.snapshot().resources.len(), 2, "it stays");
    server.restart().await;
    until(&mut feed, 1).await;
    assert_eq!(*feed.snapshot(), store(&server).read().await.unwrap());
}

#[tokio::test]
async fn a_store_that_was_put_back_is_listed_again() {
    let mut server = Server::start().await;
    for address in ["10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/24"] {
        server.put(&node_key("a"), &node("a", address)).await;
    }
    let mut feed = store(&server).feed().await.unwrap();
    assert_eq!(next(&mut feed).await, "everything");
    server.stop();
    server.forget();
    server.restart().await;
    until(&mut feed, 0).await;
    server.put(&node_key("b"), &node("b", "10.0.0.2/24")).await;
    until(&mut feed, 1).await;
}

#[tokio::test]
async fn a_frozen_etcd_is_noticed_and_followed_again_when_it_thaws() {
    let server = Server::start().await;
    let mut feed = store(&server).feed().await.unwrap();
    assert_eq!(next(&mut feed).await, "everything");
    server.freeze();
    let change = next(&mut feed).await;
    assert!(change.contains("no response within 4 s"), "{change}");
    server.thaw();
    server.put(&node_key("a"), &node("a", "10.0.0.1/24")).await;
    until(&mut feed, 1).await;
}

#[tokio::test]
async fn an_etcd_that_is_not_there_yet_is_waited_for() {
    let mut server = Server::start().await;
    server.put(&node_key("a"), &node("a", "10.0.0.1/24")).await;
    server.stop();
    let mut feed = store(&server).feed().await.unwrap();
    assert!(next(&mut feed).await.contains("it cannot be reached"));
    assert_eq!(feed.snapshot(), &Snapshot::default());
    let again = tokio::time::timeout(Duration::from_millis(500), feed.changed()).await;
    assert!(again.is_err(), "said twice: {again:?}");
    server.restart().await;
    assert_eq!(next(&mut feed).await, "everything");
}

#[tokio::test]
async fn another_member_serves_where_one_does_not() {
    let mut absent = Server::start().await;
    absent.stop();
    let server = Server::start().await;
    server.put(&node_key("a"), &node("a", "10.0.0.1/24")).await;
    let urls = format!("etcd:{},{}", absent.url(), server.url());
    let store: Store = urls.parse().unwrap();
    assert_eq!(store.endpoints().len(), 2);
    let mut feed = store.feed().await.unwrap();
    assert_eq!(next(&mut feed).await, "everything");
    assert_eq!(store.read().await.unwrap().resources.len(), 1);
    assert!(publish(&store, "a", "k").await.unwrap());
}

/// Passes bytes on to `to`, each piece a second late. Returns where it listens.
async fn slow_way(to: String) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = tokio::net::TcpStream::connect(&to).await.unwrap();
            let (near, far) = (near.into_split(), far.into_split());
            tokio::spawn(pass_on(near.0, far.1));
            tokio::spawn(pass_on(far.0, near.1));
        }
    });
    url
}

async fn pass_on(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
) {
    let mut buffer = [0; 65536];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_slow_etcd_is_followed_without_trouble() {
    let server = Server::start().await;
    server.put(&node_key("a"), &node("a", "10.0.0.1/24")).await;
    let url = slow_way(server.url().replace("http://", "")).await;
    let store: Store = format!("etcd:{url}").parse().unwrap();
    let mut feed = store.feed().await.unwrap();
    assert_eq!(next(&mut feed).await, "everything");
    server.put(&node_key("b"), &node("b", "10.0.0.2/24")).await;
    assert_eq!(next(&mut feed).await, "Node b");
}

#[tokio::test]
async fn a_server_that_is_no_etcd_is_reported_as_one() {
    for (answer, expected) in [
        ("SSH-2.0-OpenSSH\r\n", "not an etcd endpoint"),
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
            "not an etcd endpoint: it answers 404",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            "not an etcd endpoint: `null` has no cluster_id",
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("etcd:http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                if answer.starts_with("HTTP") {
                    let _ = stream.read(&mut [0]);
                }
                let _ = stream.write_all(answer.as_bytes());
                // It is read, so that it ends without a reset.
                let _ = std::io::copy(&mut stream, &mut std::io::sink());
            }
        });
        let store: Store = url.parse().unwrap();
        let error = store.read().await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        let mut feed = store.feed().await.unwrap();
        let change = next(&mut feed).await;
        assert!(change.contains(expected), "{change}");
    }
}

#[tokio::test]
async fn a_value_that_is_garbage_leaves_the_last_good_one_and_the_others() {
    let server = Server::start().await;
    server.put(&node_key("a"), &node("a", "10.0.0.1/24")).await;
    server.put(&node_key("b"), &node("b", "10.0.0.2/24")).await;
    let mut feed = store(&server).feed().await.unwrap();
    assert_eq!(next(&mut feed).await, "everything");
    server.put_text(&node_key("a"), b"{\"kind\": \"No").await;
    assert_eq!(next(&mut feed).await, "");
    let snapshot = feed.snapshot();
    assert_eq!(snapshot.resources.len(), 2);
    let bad = snapshot.bad.get(&node_key("a")).unwrap();
    let what = &bad.mistakes[0].what;
    assert!(what.starts_with("it is not JSON"), "{bad:?}");
    assert!(publish(&store(&server), "a", "k").await.is_err());
    server.put(&node_key("b"), &node("b", "moon")).await;
    assert_eq!(next(&mut feed).await, "");
    assert_eq!(feed.snapshot().resources.len(), 2);
    server.put(&node_key("a"), &node("a", "10.0.0.3/24")).await;
    assert_eq!(next(&mut feed).await, "Node a");
    assert_eq!(feed.snapshot().bad.len(), 1);
}

#[tokio::test]
async fn a_burst_is_taken_in_without_loss_by_one_who_has_no_time() {
    const EVENTS: usize = 10_000;
    let server = Server::start().await;
    let mut feed = store(&server).feed().await.unwrap();
    assert_eq!(next(&mut feed).await, "everything");
    let writes = (0..EVENTS).map(|number| {
        let name = format!("n{}", number % 100);
        (
            node_key(&name),
            node(&name, &format!("10.0.{}.1/24", number / 100)),
        )
    });
    // Nobody takes anything in meanwhile.
    server.put_all(writes).await;
    let mut turns = 0;
    while feed.snapshot().digest != server.revision().await.to_string() {
        next(&mut feed).await;
        turns += 1;
    }
    assert_eq!(*feed.snapshot(), store(&server).read().await.unwrap());
    assert!(
        turns < EVENTS / 10,
        "{turns} turns: nothing is taken together"
    );
}
