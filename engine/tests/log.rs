//! The agent's log as a program reads it, over a failure that is tried again and again.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Long enough for five tries (`FIRST_RETRY`, and twice as long each time).
const FIVE_TRIES: Duration = Duration::from_secs(2);

/// How long an agent may take to send a message.
const DEADLINE: Duration = Duration::from_secs(20);

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child"]);
    if !is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command
}

#[test]
fn a_node_that_is_not_there_is_one_line_until_it_is() {
    let tried = unshare().arg("true").output().unwrap();
    if !tried.status.success() {
        let why = String::from_utf8_lossy(&tried.stderr);
        assert!(!is_root(), "root cannot make a namespace here: {why}");
        eprintln!("skipped: this user cannot make namespaces: {}", why.trim());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    fs::create_dir(&store).unwrap();
    let address = folder.path().join("notify");
    let socket = UnixDatagram::bind(&address).unwrap();
    let mut agent = unshare()
        .arg(env!("CARGO_BIN_EXE_wiremesh"))
        .args(["--log-format", "json", "agent", "--node", "ada", "--store"])
        .arg(format!("dir:{}", store.display()))
        .env("NOTIFY_SOCKET", &address)
        .env_remove("RUST_LOG")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let receive = |patience| {
        socket.set_read_timeout(Some(patience)).unwrap();
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
    };
    let waits = "the store has no Node `ada`: the agent waits for it";
    assert_eq!(receive(DEADLINE), Some(format!("STATUS={waits}\n")));
    // It tries again meanwhile, and has nothing new to say.
    assert_eq!(receive(FIVE_TRIES), None);
    let node = "kind: Node\nmetadata: {name: ada}\nspec: {bgp: {ipv4Address: 10.0.0.1/24}}\n";
    fs::write(store.join("ada.yaml"), node).unwrap();
    let ready = receive(DEADLINE).expect("it has a Node now");
    assert!(ready.starts_with("READY=1\n"), "{ready}");
    agent.kill().unwrap();
    let output = agent.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<_> = text
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let word = |key: &str| line[key].as_str().unwrap().to_owned();
            (word("level"), word("message"))
        })
        .collect();
    let line = |level: &str, message: &str| (level.to_owned(), message.to_owned());
    assert_eq!(
        lines,
        [
            line("INFO", "the agent of ada begins"),
            line("ERROR", waits),
            line("INFO", &format!("no longer: {waits}")),
        ],
        "{text}"
    );
}
