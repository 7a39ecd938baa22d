//! HTTP requests over a real socket, and the answers in each state of the agent.

use std::io::{Read as _, Write as _};
use std::net::TcpStream as Stream;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// An address that is free now.
fn free() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn exporter() -> (Exporter, Shared, SocketAddr) {
    let health = Shared::new("node-1");
    let at = free();
    let mut exporter = Exporter::new(health.clone());
    exporter.listen(Some(at));
    (exporter, health, at)
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
fn readyz_is_503_with_the_reason_until_the_agent_is_in_sync() {
    let (_exporter, health, at) = exporter();
    let answer = get(at, "/readyz");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(
        answer.ends_with("\r\n\r\nthe agent is starting\n"),
        "{answer}"
    );
    health.with(|health| health.settled(Instant::now(), std::time::SystemTime::now()));
    assert!(get(at, "/readyz").ends_with("\r\n\r\nok\n"));
    health.with(|health| health.failed("nftables refuse"));
    let answer = get(at, "/readyz");
    assert!(answer.ends_with("\r\n\r\nnftables refuse\n"), "{answer}");
}

#[test]
fn an_agent_that_has_been_at_work_for_a_while_is_not_ready() {
    let now = Instant::now();
    let mut health = Health::new("node-1");
    health.settled(now, std::time::SystemTime::now());
    health.began(now);
    assert_eq!(readiness(&health, now + BUSY_AFTER), Ok(()));
    let later = now + Duration::from_secs(3);
    let why = readiness(&health, later);
    assert_eq!(why, Err("the agent has been at work for 3 s".into()));
    health.ended(0);
    assert_eq!(readiness(&health, later), Ok(()));
}

#[test]
fn health_is_to_go_on_whatever_the_trouble() {
    let now = Instant::now();
    let mut health = Health::new("node-1");
    health.failed("nftables refuse");
    assert_eq!(liveness(&health, now), Ok(()));
    health.began(now);
    assert_eq!(liveness(&health, now + Duration::from_secs(59)), Ok(()));
    assert_eq!(
        liveness(&health, now + Duration::from_secs(61)),
        Err("the agent has been at the same thing for 61 s".into())
    );
    health.ended(0);
    assert_eq!(liveness(&health, now + Duration::from_secs(61)), Ok(()));
}

/// More than [`CONNECTION_TIMEOUT`] would be needed if a connection had to wait for those before it.
const BOUND: Duration = Duration::from_secs(5);

/// Asks for the health, on a connection that is new, while others are open.
fn is_healthy_at_once(at: SocketAddr) {
    let start = Instant::now();
    let mut stream = connect(at);
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    assert!(
        answer.starts_with("HTTP/1.1 200 "),
        "{read:?} after {:?}: {answer}",
        start.elapsed()
    );
}

#[test]
fn health_is_answered_while_hundreds_of_connections_are_idle() {
    let (_exporter, _, at) = exporter();
    let _idle: Vec<_> = (0..300).map(|_| connect(at)).collect();
    is_healthy_at_once(at);
}

#[test]
fn health_is_answered_while_hundreds_of_requests_are_never_ended() {
    let (_exporter, _, at) = exporter();
    let mut slow: Vec<_> = (0..300).map(|_| connect(at)).collect();
    for _ in 0..3 {
        for stream in &mut slow {
            // Most of them have been closed meanwhile.
            let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nX");
        }
        is_healthy_at_once(at);
    }
}

#[test]
fn health_is_answered_while_many_read_nothing_of_their_metrics() {
    let (_exporter, health, at) = exporter();
    // Larger than what the kernel buffers for a connection (`tcp_wmem`).
    let name = "n".repeat(5 << 20);
    health.with(|health| health.meshes.v4.device = Some((name, Backend::Userspace)));
    let mut slow = Vec::new();
    for _ in 0..2 * places::PLACES {
        let mut stream = connect(at);
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        slow.push(stream);
    }
    is_healthy_at_once(at);
}

#[test]
fn a_request_that_is_never_ended_is_given_up() {
    let (_exporter, _, at) = exporter();
    let start = Instant::now();
    let mut slow = connect(at);
    slow.write_all(b"GET /healthz HTTP/1.1\r\n").unwrap();
    let mut answer = Vec::new();
    // It is closed, with an answer or without one.
    let _ = slow.read_to_end(&mut answer);
    let took = start.elapsed();
    assert!(took < CONNECTION_TIMEOUT, "after {took:?}");
}

#[test]
fn a_request_without_end_is_refused_for_its_size() {
    let (_exporter, _, at) = exporter();
    let long = "x".repeat(REQUEST_LIMIT);
    let answer = ask(at, &format!("GET /healthz HTTP/1.1\r\nX: {long}\r\n"));
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
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

#[test]
fn an_agent_whose_loop_does_not_turn_is_neither_alive_nor_ready() {
    let mut health = Health::new("a");
    let now = Instant::now();
    health.settled(now, std::time::SystemTime::UNIX_EPOCH);
    health.turned = Some(now);
    assert_eq!(liveness(&health, now + Duration::from_secs(59)), Ok(()));
    assert_eq!(
        liveness(&health, now + Duration::from_secs(61)),
        Err("the agent's loop has not turned for 61 s".into())
    );
}
