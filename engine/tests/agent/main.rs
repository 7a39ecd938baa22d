//! A living agent in namespaces of its own, which reports its state as to systemd.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A Node that is there without an address.
mod bare;
/// A rule of another that comes before the agent's.
mod bypass;
/// A device that can be made only later.
mod device;
/// Labels and selectors that decide whether strict mode is asked for.
mod labels;
/// Marks of every bit.
mod marks;
/// A device's name that another link has.
mod name;
/// Networks that strict mode protects by a setting.
mod networks;
/// A UDP port that another program has.
mod port;
/// A prefix of pods' interfaces that the uplink's name begins with.
mod prefix;
/// A ClusterInformation whose `datastoreReady` is false.
mod ready;
/// A tunnel device that somebody changes.
mod repair;
/// A second agent on a node.
mod second;
/// A routing table that a rule of another looks up.
mod table;
/// A Node that is gone.
mod unknown;
/// A FelixConfiguration that an agent cannot read when it starts.
mod unread;

/// How long an agent may take to report what is expected; a taken port is tried again every 10 s.
const DEADLINE: Duration = Duration::from_secs(30);

/// Set where this process is in a namespace of its own.
const INSIDE: &str = "WIREMESH_TEST_INSIDE";

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Devices of this namespace alone, then the test itself.
const SCRIPT: &str = r#"
export PATH="$PATH:/usr/sbin:/sbin"
mount -t tmpfs none /run && ip link set lo up && ip link add name outside type bridge &&
ip address add 10.0.0.1/24 dev outside && ip address add fd00::1/64 dev outside nodad &&
ip link set outside up && exec "$0" "$1" --exact --ignored --nocapture
"#;

/// Runs an ignored test of this program in namespaces of its own; skipped, with the reason, where a
/// user cannot make them.
fn in_namespaces(test: &str) {
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
        .arg(test)
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
    /// Starts an agent whose store has its Node, and these resources besides.
    fn start(folder: &Path, resources: &[(&str, &str)]) -> Self {
        Self::start_with(folder, resources, &[])
    }

    /// The same with more arguments for the agent.
    fn start_with(folder: &Path, resources: &[(&str, &str)], arguments: &[&str]) -> Self {
        let store = folder.join("store");
        fs::create_dir(&store).unwrap();
        for (file, text) in resources {
            fs::write(store.join(file), text).unwrap();
        }
        let node = "kind: Node\nmetadata: {name: ada}\n\
            spec: {bgp: {ipv4Address: 10.0.0.1/24, ipv6Address: 'fd00::1/64'}}\n";
        fs::write(store.join("ada.yaml"), node).unwrap();
        let address = folder.join("notify");
        let socket = UnixDatagram::bind(&address).unwrap();
        Self {
            agent: agent(folder, arguments),
            store,
            socket,
        }
    }

    /// Ends the agent at once, and starts another one. The messages of the first one are dropped.
    fn restart(&mut self, meanwhile: impl FnOnce(&Path)) {
        self.agent.kill().unwrap();
        self.agent.wait().unwrap();
        self.socket.set_nonblocking(true).unwrap();
        while self.socket.recv(&mut [0; 4096]).is_ok() {}
        self.socket.set_nonblocking(false).unwrap();
        meanwhile(&self.store);
        self.agent = agent(self.store.parent().unwrap(), &[]);
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
            if condition(&last) {
                return last;
            }
        }
        panic!("never {what}; the agent reported last: {last}");
    }

    /// The output of `wiremesh status` for the node.
    fn status(&self) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_wiremesh"))
            .args(["status", "--node", "ada", "--store"])
            .arg(format!("dir:{}", self.store.display()))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Whether the node has published a key, for IPv4 and for IPv6.
    fn keys(&self) -> [bool; 2] {
        let text = fs::read_to_string(self.store.join("ada.yaml")).unwrap();
        ["wireguardPublicKey:", "wireguardPublicKeyV6:"].map(|field| text.contains(field))
    }
}

/// An agent in the folder of its store, with more arguments.
fn agent(folder: &Path, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_wiremesh"))
        .arg("agent")
        .args(arguments)
        .args(["--node", "ada", "--store"])
        .arg(format!("dir:{}", folder.join("store").display()))
        .arg("--state")
        .arg(folder.join("state"))
        .env("NOTIFY_SOCKET", folder.join("notify"))
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// A cluster that is encrypted in both families.
fn configuration(more: &str) -> String {
    format!(
        "kind: FelixConfiguration\nmetadata: {{name: default}}\n\
         spec: {{wireguardEnabled: true, wireguardEnabledV6: true{more}}}\n"
    )
}

/// Which store an agent follows, by its digest.
fn applied(status: &str) -> String {
    let digest = status.split("X_WIREMESH_APPLIED=").nth(1);
    digest
        .and_then(|digest| digest.lines().next())
        .unwrap_or_default()
        .to_owned()
}

/// Runs `ip`, which must succeed.
fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status();
    assert!(status.unwrap().success(), "ip {arguments}");
}

/// Whether nftables' rules have all of these texts.
fn ruleset_has(texts: &[&str]) -> bool {
    let output = Command::new("nft").args(["list", "ruleset"]).output();
    let rules = String::from_utf8(output.unwrap().stdout).unwrap();
    texts.iter().all(|text| rules.contains(text))
}

/// Writes a resource as a whole, so that nothing half written is read.
fn write(store: &Path, file: &str, text: &str) {
    let draft = store.join(format!(".{file}"));
    fs::write(&draft, text).unwrap();
    fs::rename(draft, store.join(file)).unwrap();
}
