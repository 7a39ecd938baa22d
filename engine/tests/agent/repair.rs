//! A tunnel device that somebody gives another name, switches off, takes away or writes on: it is put
//! right within seconds, in both families, and goes on carrying packets.

use std::fs;
use std::net::UdpSocket;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::bypass::{BOB, SETTINGS, ip, until};
use crate::{DEADLINE, INSIDE, Node, configuration, in_namespaces};

/// How long a repair may take.
const REPAIR: Duration = Duration::from_secs(8);

#[test]
fn a_device_that_others_change_is_put_right() {
    in_namespaces("repair::inside_devices_are_changed");
}

/// How many packets the tunnel's process has taken from its device (kernel: `tun_put_user`).
fn taken(device: &str) -> Option<u64> {
    let all = fs::read_to_string("/proc/self/net/dev").unwrap();
    let mut lines = all.lines().map(str::trim_start);
    let line = lines.find_map(|line| line.strip_prefix(device)?.strip_prefix(':'))?;
    line.split_whitespace().nth(9)?.parse().ok()
}

/// Waits until the device is as it should be, and takes what is sent to bob.
fn carries(device: &str, bob: &str, what: &str) -> Duration {
    let start = Instant::now();
    let any = if bob.contains(':') {
        "[::]:0"
    } else {
        "0.0.0.0:0"
    };
    let sender = UdpSocket::bind(any).unwrap();
    let mut last = String::new();
    while start.elapsed() < DEADLINE {
        let output = Command::new("ip")
            .args(["-details", "address", "show", "dev", device])
            .output()
            .unwrap();
        last = String::from_utf8(output.stdout).unwrap();
        let wrong = ["mtu 1290", "mtu 1000"];
        let is_right = last.contains(",UP,")
            && last.contains("alias wiremesh ")
            && !wrong.iter().any(|wrong| last.contains(wrong));
        let before = taken(device);
        let _ = sender.send_to(b"to bob", (bob, 9));
        if is_right && before.is_some() && taken(device) > before {
            return start.elapsed();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let links = ip("-details address show");
    panic!("{device} was never put right after {what}: {last}\n{links}");
}

/// Another network namespace, and the process that has it.
fn elsewhere() -> Child {
    let child = Command::new("unshare")
        .args(["--net", "sleep", "600"])
        .spawn()
        .unwrap();
    let own = fs::read_link("/proc/self/ns/net").unwrap();
    let other = format!("/proc/{}/ns/net", child.id());
    let deadline = Instant::now() + DEADLINE;
    while fs::read_link(&other).is_ok_and(|other| other == own) {
        assert!(Instant::now() < deadline, "no other namespace");
    }
    child
}

#[test]
#[ignore = "the test above runs it in a namespace of its own"]
fn inside_devices_are_changed() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let on = configuration(SETTINGS);
    for address in ["10.0.0.2", "fd00::2"] {
        ip(&format!(
            "neighbour add {address} lladdr 02:00:00:00:00:02 dev outside nud permanent"
        ));
    }
    let node = Node::start(folder.path(), &[("default.yaml", &on), ("bob.yaml", BOB)]);
    node.until("in sync", |status| {
        status.contains("STATUS=in sync: 2 peers")
    });
    until("/readyz", &["200 OK"]);
    let mut other = elsewhere();
    let keys = || fs::read_to_string(node.store.join("ada.yaml")).unwrap();
    for (device, bob) in [("wireguard.cali", "10.0.0.2"), ("wg-v6.cali", "fd00::2")] {
        carries(device, bob, "the start");
        for (act, key_stays) in [
            ("name other".to_owned(), true),
            ("name other".to_owned(), true),
            ("down".to_owned(), true),
            ("mtu 1290".to_owned(), true),
            ("mtu 1000".to_owned(), true),
            ("alias other".to_owned(), true),
            (format!("netns {}", other.id()), false),
        ] {
            let before = keys();
            ip(&format!("link set {device} {act}"));
            let took = carries(device, bob, &act);
            assert!(took < REPAIR, "{device} {act}: {took:?}");
            until("/readyz", &["200 OK"]);
            assert!(
                !key_stays || keys() == before,
                "{device} {act}: another key"
            );
        }
    }
    other.kill().unwrap();
    other.wait().unwrap();
}
