//! A real etcd with authentication, whose tokens last for 5 s.

use std::time::Instant;

use super::super::client::Client;
use super::super::message;
use super::*;

/// Longer than a token lasts that is not used.
const EXPIRED: Duration = Duration::from_secs(8);

fn as_user(server: &Server, user: &str) -> String {
    server.url().replace("http://", &format!("http://{user}@"))
}

fn store_as(server: &Server, user: &str) -> Store {
    format!("etcd:{}", as_user(server, user)).parse().unwrap()
}

#[tokio::test]
async fn a_store_with_users_is_listed_followed_and_written() {
    let server = Server::start_with_users("s3cr:t").await;
    server.put(&node_key("a"), &node("a", "10.0.0.1/24")).await;
    let store = store_as(&server, "root:s3cr%3At");
    assert_eq!(store.read().await.unwrap().resources.len(), 1);
    let mut feed = store.feed().await.unwrap();
    assert_eq!(next(&mut feed).await, "everything");
    assert!(publish(&store, "a", "k").await.unwrap());
    assert_eq!(next(&mut feed).await, "Node a");
}

#[tokio::test]
async fn a_token_that_has_expired_is_replaced_by_a_new_one() {
    let server = Server::start_with_users("s3cret").await;
    server.put(&node_key("a"), &node("a", "10.0.0.1/24")).await;
    let mut client = Client::new(as_user(&server, "root:s3cret").parse().unwrap());
    let question = message::get(&node_key("a"));
    client.call("/v3/kv/range", &question).await.unwrap();
    let watch = message::watch(key::ROOT, &key::end_of(key::ROOT), 0);
    let start = Instant::now();
    // Nothing is asked for meanwhile: each use of a token makes it last longer.
    tokio::time::sleep(EXPIRED).await;
    assert!(start.elapsed() >= EXPIRED);
    let stale = client.another();
    let mut lines = stale.open("/v3/watch", &watch).await.unwrap();
    let event = message::parse_watch(&lines.next_soon().await.unwrap()).unwrap();
    assert!(
        matches!(event, message::WatchEvent::Cancelled(_)),
        "the token has not expired: {event:?}"
    );
    client.call("/v3/kv/range", &question).await.unwrap();
}

#[tokio::test]
async fn a_token_that_a_change_of_users_has_made_void_is_replaced_and_the_watch_goes_on() {
    let server = Server::start_with_users("s3cret").await;
    server.add_user("agent", "one", "root").await;
    server.put(&node_key("a"), &node("a", "10.0.0.1/24")).await;
    let store = store_as(&server, "agent:one");
    let mut feed = store.feed().await.unwrap();
    assert_eq!(next(&mut feed).await, "everything");
    // The same password again: all tokens of the user are void.
    server.change_password("agent", "one").await;
    let mut client = Client::new(as_user(&server, "agent:one").parse().unwrap());
    let question = message::get(&node_key("a"));
    client.call("/v3/kv/range", &question).await.unwrap();
    server.change_password("agent", "one").await;
    client.call("/v3/kv/range", &question).await.unwrap();
    server.put(&node_key("b"), &node("b", "10.0.0.2/24")).await;
    let change = next(&mut feed).await;
    assert_eq!(change, "Node b");
    assert!(publish(&store, "b", "k").await.unwrap());
    assert_eq!(next(&mut feed).await, "Node b");
}

#[tokio::test]
async fn a_wrong_password_and_a_missing_user_are_refused_and_no_secret_is_printed() {
    let server = Server::start_with_users("s3cret").await;
    let error = store_as(&server, "root:wr0ng")
        .read()
        .await
        .unwrap_err()
        .to_string();
    let expected = "it refuses: the user `root`: etcdserver: authentication failed, invalid user ID or password";
    assert!(error.contains(expected), "{error}");
    assert!(!error.contains("wr0ng"), "{error}");
    let mut feed = store_as(&server, "root:wr0ng").feed().await.unwrap();
    let trouble = next(&mut feed).await;
    assert!(
        trouble.contains("the user `root`") && !trouble.contains("wr0ng"),
        "{trouble}"
    );
    assert!(!format!("{feed:?}").contains("wr0ng"));
    let error = store(&server).read().await.unwrap_err().to_string();
    assert!(
        error.contains("help: set ETCD_USERNAME and ETCD_PASSWORD"),
        "{error}"
    );
}

#[tokio::test]
async fn a_user_that_etcd_does_not_ask_for_is_no_trouble() {
    let server = Server::start().await;
    server.put(&node_key("a"), &node("a", "10.0.0.1/24")).await;
    let store = store_as(&server, "root:s3cret");
    assert_eq!(store.read().await.unwrap().resources.len(), 1);
}
