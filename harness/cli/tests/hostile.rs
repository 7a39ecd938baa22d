//! An engine that attacks its host changes nothing outside its node.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Runs the rest of the command as a plain user who may open `/dev/net/tun`.
const PLAIN: &str = "mount -t tmpfs none /mnt && mknod -m 666 /mnt/tun c 10 200 \
    && mount --bind /mnt/tun /dev/net/tun \
    && exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"";

/// One attack at a time: the processes of another one are seen too.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Two nodes whose engine encrypts nothing.
const SCENARIO: &str = "title = \"an engine attacks its host\"
snapshots = []
[node.ada]
pods = [\"web\"]
[node.bob]
pods = [\"db\"]
[[step]]
action = \"disable\"
[[step]]
action = \"enable\"
";

/// What the attacks write, besides files: each is seen if it is not contained.
const PARAMETERS: [&str; 5] = [
    "/proc/sys/vm/min_free_kbytes",
    "/proc/sys/fs/inotify/max_user_instances",
    "/proc/sys/kernel/printk",
    "/proc/sys/kernel/hostname",
    "/sys/kernel/mm/ksm/pages_to_scan",
];

/// Where the attacks leave files.
const FOLDERS: [&str; 12] = [
    "/", "/etc", "/usr", "/var/tmp", "/tmp", "/run", "/dev", "/dev/shm", "/root", "/home",
    "/var/lib", "/mnt",
];

#[test]
fn an_engine_of_root_changes_nothing_outside_its_node() {
    if nix::unistd::Uid::effective().is_root() {
        attack(
            "root",
            &["sh", "-c", "exec \"$@\"", "sh"],
            &["/etc", "/var/lib", "/tmp"],
        );
    }
}

#[test]
fn an_engine_of_a_plain_user_changes_nothing_outside_its_node() {
    let root = nix::unistd::Uid::effective().is_root();
    let as_plain = [
        "unshare",
        "-m",
        "--propagation",
        "private",
        "sh",
        "-c",
        PLAIN,
        "sh",
    ];
    let before: &[&str] = if root { &as_plain } else { &["env"] };
    attack("plain", before, &["/tmp", "/run", "/dev/shm"]);
}

/// Lets the engine attack; `own` are folders of which it has its own, so that it writes there.
#[track_caller]
fn attack(name: &str, before: &[&str], own: &[&str]) {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let victim = scratch.path().join("victim");
    fs::create_dir(&victim).unwrap();
    for file in ["there", "removed"] {
        fs::write(victim.join(file), "before").unwrap();
    }
    let runs = scratch.path().join("runs");
    fs::create_dir(&runs).unwrap();
    let script = root.join("harness/cli/tests/hostile/attack.sh");
    let engine = scratch.path().join(format!("{name}.toml"));
    // The operator's command: the run goes on when it has ended, so that every attack was made.
    let text = format!(
        "title = \"an engine that attacks its host\"\nready = \"none\"\n\
         disable = [\"true\"]\nenable = [\"sh\", {script:?}, {victim:?}]\n"
    );
    fs::write(&engine, text).unwrap();
    let scenario = scratch.path().join("scenarios/attacked.toml");
    fs::create_dir(scratch.path().join("scenarios")).unwrap();
    fs::write(&scenario, SCENARIO).unwrap();
    let opened = Command::new("chmod")
        .args(["-R", "a+rwX"])
        .arg(scratch.path())
        .status();
    assert!(opened.unwrap().success());

    let host = host(&victim);
    // Who calls it has files open, as a CI's runner has.
    let output = Command::new("sh")
        .args(["-c", "exec 8<\"$0\" 9>>\"$0/there\" && exec \"$@\""])
        .arg(&victim)
        .args(before)
        .arg(env!("CARGO_BIN_EXE_wireproof"))
        .args(["run", "--lane", "host", "--runs"])
        .arg(&runs)
        .arg("--engine")
        .arg(&engine)
        .arg("scenarios/attacked.toml")
        .current_dir(scratch.path())
        .output()
        .unwrap();
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    // It encrypts nothing: promises are broken, and nothing is wrong with the machine.
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(self::host(&victim), host, "{text}");

    let log = runs.join("attacked/1/enable.2.log");
    let log = fs::read(&log).unwrap_or_else(|error| panic!("{}: {error}\n{text}", log.display()));
    let log = String::from_utf8_lossy(&log);
    // The attacks were made, and those that a node's own files are for went well.
    for folder in own {
        let wrote = format!("did: echo x > {folder}/wireproof-attack\n");
        assert!(log.contains(&wrote), "{}", &log[..log.len().min(4000)]);
    }
    assert!(log.contains("did: echo 1234 > /sys/class/net/eth0/mtu\n"));
    assert!(log.ends_with("\nlog ended after 16777216 bytes\n"));
    assert!(log.len() < 17 << 20, "{} bytes", log.len());
}

/// What of the host could be changed.
fn host(victim: &Path) -> BTreeMap<String, String> {
    let mut seen = BTreeMap::new();
    let mut files: Vec<_> = PARAMETERS.iter().map(PathBuf::from).collect();
    files.extend(["there", "removed"].map(|file| victim.join(file)));
    for link in fs::read_dir("/sys/class/net")
        .into_iter()
        .flatten()
        .flatten()
    {
        files.push(link.path().join("mtu"));
    }
    for file in files {
        let content = fs::read_to_string(&file).unwrap_or_else(|error| error.to_string());
        seen.insert(file.display().to_string(), content);
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    seen.insert("mounts".into(), mounts);
    let folders = FOLDERS.iter().map(Path::new).chain([victim]);
    for folder in folders {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let left =
            names.filter(|name| name.starts_with("wireproof-attack") || name.ends_with("disk"));
        seen.insert(folder.display().to_string(), left.collect());
    }
    // What forked away.
    let processes = fs::read_dir("/proc").unwrap().flatten().filter(|process| {
        let words = fs::read(process.path().join("cmdline")).unwrap_or_default();
        words.starts_with(b"sleep\x001001") || words.starts_with(b"wireproof-attack")
    });
    seen.insert("processes".into(), processes.count().to_string());
    seen
}
