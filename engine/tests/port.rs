//! A UDP port that another program has, in a network namespace of its own: the other family goes on,
//! the program is named, the key is withheld, and the port is taken once it is free.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long an agent may take to say what is expected; a taken port is tried again every 10 s.
const DEADLINE: Duration = Duration::from_secs(30);

/// Says that this process is in a namespace of its own.
const INSIDE: &str = "WIREMESH_TEST_INSIDE";

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Devices of this namespace alone, then the test itself.
const SCRIPT: &str = r#"
export PATH="$PATH:/usr/sbin:/sbin"
mount -t tmpfs none /run && ip link set lo up && ip link add name outside type bridge &&
ip address add 10.0.0.1/24 dev outside && ip address add fd00::1/64 dev outside nodad &&
ip link set outside up && exec "$0" inside --exact --ignored --nocapture
"#;

#[test]
fn a_port_that_another_program_has_stops_one_family_and_only_until_it_is_free() {
    let command = || {
        let mut command = Command::new("unshare");
        command.args([
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ]);
        if !is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command
    };
    let tried = command().arg("true").output().unwrap();
    if !tried.status.success() || !Path::new("/dev/net/tun").exists() {
        let why = String::from_utf8_lossy(&tried.stderr);
        assert!(
            !is_root() || tried.status.success(),
            "root cannot make a namespace here: {why}"
        );
        eprintln!(
            "skipped: no namespaces or no /dev/net/tun here: {}",
            why.trim()
        );
        return;
    }
    let output = command()
        .args(["sh", "-c", SCRIPT])
        .arg(std::env::current_exe().unwrap())
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

struct Node {
    store: PathBuf,
    socket: UnixDatagram,
    agent: Child,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.agent.kill();
        let _ = self.agent.wait();
    }
}

impl Node {
    fn start(folder: &Path) -> Self {
        let store = folder.join("store");
        fs::create_dir(&store).unwrap();
        let node = "kind: Node\nmetadata: {name: ada}\n\
            spec: {bgp: {ipv4Address: 10.0.0.1/24, ipv6Address: 'fd00::1/64'}}\n";
        fs::write(store.join("ada.yaml"), node).unwrap();
        let address = folder.join("notify");
        let socket = UnixDatagram::bind(&address).unwrap();
        configure(&store, "");
        let agent = Command::new(env!("CARGO_BIN_EXE_wiremesh"))
            .args(["agent", "--node", "ada", "--store"])
            .arg(format!("dir:{}", store.display()))
            .arg("--state")
            .arg(folder.join("state"))
            .env("NOTIFY_SOCKET", &address)
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Self {
            store,
            socket,
            agent,
        }
    }

    /// Waits until the agent reports a state that meets the condition.
    fn until(&self, what: &str, condition: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + DEADLINE;
        let mut last = String::new();
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            self.socket
                .set_read_timeout(Some(left.max(Duration::from_millis(1))))
                .unwrap();
            let mut buffer = [0; 4096];
            let Ok(length) = self.socket.recv(&mut buffer) else {
                break;
            };
            last = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if last.contains("STATUS=in sync") && condition(&last) {
                return last;
            }
        }
        panic!("never {what}; the agent reported last: {last}");
    }

    /// Whether the node has published a key, for IPv4 and for IPv6.
    fn keys(&self) -> [bool; 2] {
        let text = fs::read_to_string(self.store.join("ada.yaml")).unwrap();
        ["wireguardPublicKey:", "wireguardPublicKeyV6:"].map(|field| text.contains(field))
    }
}

fn configure(store: &Path, more: &str) {
    let configuration = format!(
        "kind: FelixConfiguration\nmetadata: {{name: default}}\n\
         spec: {{wireguardEnabled: true, wireguardEnabledV6: true{more}}}\n"
    );
    // As a whole, so that nothing half written is read.
    let draft = store.join(".default.yaml");
    fs::write(&draft, configuration).unwrap();
    fs::rename(draft, store.join("default.yaml")).unwrap();
}

#[test]
#[ignore = "the test above runs it in a namespace of its own"]
fn inside() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let v4 = UdpSocket::bind("0.0.0.0:51820").unwrap();
    let node = Node::start(folder.path());
    let cannot = |family: &'static str, port: u16| {
        let process = std::process::id();
        move |status: &str| {
            let taken = format!("this node cannot encrypt {family}: UDP port {port} is taken by ");
            status.contains(&taken) && status.contains(&format!("(process {process})"))
        }
    };
    let well = |status: &str| !status.contains("cannot encrypt");
    node.until(
        "named the program that has IPv4's port",
        cannot("IPv4", 51820),
    );
    assert_eq!(node.keys(), [false, true]);
    drop(v4);
    node.until("took the port that is free", well);
    assert_eq!(node.keys(), [true, true]);
    // The way back, for the other family, with a socket of the other kind.
    let v6 = UdpSocket::bind("127.0.0.1:6000").unwrap();
    configure(&node.store, ", wireguardListeningPortV6: 6000");
    node.until(
        "named the program that has IPv6's port",
        cannot("IPv6", 6000),
    );
    assert_eq!(node.keys(), [true, false]);
    drop(v6);
    node.until("took the port that is free again", well);
    assert_eq!(node.keys(), [true, true]);
    // Ports that change places: each is taken by the other family's device at first.
    configure(
        &node.store,
        ", wireguardListeningPort: 6000, wireguardListeningPortV6: 51820",
    );
    node.until("changed the ports' places", |status| {
        well(status) && node.keys() == [true, true] && has_port(6000) && has_port(51820)
    });
}

/// Whether any socket of this namespace has that port.
fn has_port(port: u16) -> bool {
    let listed = |table| {
        fs::read_to_string(table)
            .unwrap()
            .contains(&format!(":{port:04X} "))
    };
    listed("/proc/net/udp") || listed("/proc/net/udp6")
}
