//! Questions over a real socket, and what the agent's state makes of the answers.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream as Stream};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// An address that is free now.
fn free() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn exporter() -> (Exporter, Shared, SocketAddr) {
    let record = Shared::new("node-1");
    let at = free();
    let mut exporter = Exporter::new(record.clone());
    exporter.listen(Some(at));
    (exporter, record, at)
}

/// Connects as soon as somebody listens.
fn connect(at: SocketAddr) -> Stream {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match Stream::connect(at) {
            Ok(stream) => return stream,
            Err(error) => assert!(Instant::now() < deadline, "nobody listens at {at}: {error}"),
        }
        thread::yield_now();
    }
}

fn ask(at: SocketAddr, request: &str) -> String {
    let mut stream = connect(at);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn get(at: SocketAddr, path: &str) -> String {
    ask(at, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
}

#[test]
fn metrics_are_answered_and_nothing_else_is() {
    let (_exporter, _, at) = exporter();
    let metrics = get(at, "/metrics");
    assert!(metrics.starts_with("HTTP/1.1 200 OK\r\n"), "{metrics}");
    assert!(metrics.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert!(metrics.contains("\nwiremesh_in_sync 0\n"), "{metrics}");
    assert!(get(at, "/").starts_with("HTTP/1.1 404 "));
    let post = ask(
        at,
        "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    );
    assert!(post.starts_with("HTTP/1.1 405 "), "{post}");
    assert!(post.contains("allow: GET\r\n"), "{post}");
    assert!(ask(at, "nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
}

#[test]
fn readiness_is_to_be_in_sync_and_says_why_not() {
    let (_exporter, record, at) = exporter();
    let answer = get(at, "/readyz");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(
        answer.ends_with("\r\n\r\nthe agent is starting\n"),
        "{answer}"
    );
    record.with(|record| record.settled(Instant::now(), std::time::SystemTime::now()));
    assert!(get(at, "/readyz").ends_with("\r\n\r\nok\n"));
    record.with(|record| record.failed("nftables refuse"));
    let answer = get(at, "/readyz");
    assert!(answer.ends_with("\r\n\r\nnftables refuse\n"), "{answer}");
}

#[test]
fn health_is_to_go_on_whatever_the_trouble() {
    let now = Instant::now();
    let mut record = Record::new("node-1");
    record.failed("nftables refuse");
    assert_eq!(health(&record, now), Ok(()));
    record.began(now);
    assert_eq!(health(&record, now + Duration::from_secs(59)), Ok(()));
    assert_eq!(
        health(&record, now + Duration::from_secs(61)),
        Err("the agent has been at the same thing for 61 s".into())
    );
    record.ended(0);
    assert_eq!(health(&record, now + Duration::from_secs(61)), Ok(()));
}

#[test]
fn a_crowd_that_says_nothing_does_not_grow() {
    let (_exporter, _, at) = exporter();
    let crowd: Vec<_> = (0..CONNECTIONS).map(|_| connect(at)).collect();
    // The kernel takes the connection; the exporter does not, until one of the crowd leaves.
    let mut late = connect(at);
    late.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    late.set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let mut byte = [0];
    assert!(late.read(&mut byte).is_err(), "one too many was answered");
    crowd[0].shutdown(Shutdown::Both).unwrap();
    late.set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    assert_eq!(late.read(&mut byte).unwrap(), 1);
}

#[test]
fn it_moves_to_where_it_is_wanted() {
    let (mut exporter, _, first) = exporter();
    assert!(get(first, "/healthz").starts_with("HTTP/1.1 200 "));
    let second = free();
    exporter.listen(Some(second));
    assert!(get(second, "/healthz").starts_with("HTTP/1.1 200 "));
    assert!(Stream::connect(first).is_err());
    exporter.listen(None);
    let deadline = Instant::now() + Duration::from_secs(10);
    while Stream::connect(second).is_ok() {
        assert!(
            Instant::now() < deadline,
            "somebody still listens at {second}"
        );
    }
}

fn named() -> Vec<(String, Backend)> {
    vec![("wg".into(), Backend::Userspace)]
}

fn state() -> Option<State> {
    Some(State {
        public_key: None,
        listen_port: 1,
        fwmark: 0,
        peers: Vec::new(),
    })
}

#[tokio::test]
async fn a_device_is_asked_at_most_once_a_second() {
    let asked = Arc::new(AtomicUsize::new(0));
    let mut devices = Devices::default();
    for _ in 0..10 {
        let asked = asked.clone();
        let ask = move |_: &str, _| {
            asked.fetch_add(1, Ordering::Relaxed);
            state()
        };
        assert!(devices.read(named(), ask).await[0].1.is_some());
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    // A device more is asked at once.
    let two = [named(), named()].concat();
    assert_eq!(devices.read(two, |_, _| state()).await.len(), 2);
}

#[tokio::test]
async fn a_frozen_device_delays_one_scrape_and_is_not_asked_again_meanwhile() {
    let (thaw, frozen) = std::sync::mpsc::channel();
    let mut devices = Devices::default();
    let ask = move |_: &str, _| {
        let _ = frozen.recv();
        state()
    };
    let start = Instant::now();
    assert!(devices.read(named(), ask).await[0].1.is_none());
    assert!(start.elapsed() < 2 * DEVICE_PATIENCE);
    let again = devices.read(named(), |_, _| panic!("it is asked a second time"));
    let (readings, ()) = tokio::join!(again, async { thaw.send(()).unwrap() });
    assert!(readings[0].1.is_some());
}
