//! A harness that is killed in any way leaves nothing behind.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long the kernel may take to end what belonged to a killed harness.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// When the harness is killed, in milliseconds: at a random moment of the [`SLICE`] that
/// starts here. Together they cover setup, convergence, probing and teardown of the seed cluster.
const MOMENTS: [u64; 10] = [3, 17, 31, 52, 78, 110, 150, 200, 270, 350];

/// Each moment is drawn from this many milliseconds.
const SLICE: u64 = 30;

/// A process: its id and the time at which it started, since ids are used again.
type Process = (i32, String);

#[test]
fn killed_at_any_moment_it_leaves_nothing_behind() {
    let mut seen = 0;
    let before = host();
    for (round, moment) in MOMENTS.into_iter().enumerate() {
        let moment = moment + RandomState::new().hash_one(round) % SLICE;
        let mut harness = start();
        wait(Duration::from_millis(moment));
        let family = descendants(harness.id());
        seen += family.len();
        let namespaces: BTreeSet<_> = family
            .iter()
            .flat_map(|(pid, _)| namespaces_of(*pid))
            .collect();
        let own: BTreeSet<_> = namespaces_of(i32::try_from(std::process::id()).unwrap())
            .into_iter()
            .collect();
        // One time the parent outside, one time the first process inside.
        let inner = family.iter().map(|(pid, _)| *pid).min();
        let victim = match inner {
            Some(inner) if round % 2 == 1 => inner,
            _ => i32::try_from(harness.id()).unwrap(),
        };
        // It may have ended by itself.
        let _ = kill(Pid::from_raw(victim), Signal::SIGKILL);
        harness.wait().unwrap();

        until_gone(&format!("after {moment} ms, processes"), || {
            family
                .iter()
                .filter(|process| lives(process))
                .map(|(pid, _)| pid.to_string())
                .collect()
        });
        until_gone(&format!("after {moment} ms, namespaces"), || {
            let used: BTreeSet<_> = all_processes()
                .into_iter()
                .flat_map(namespaces_of)
                .collect();
            namespaces
                .difference(&own)
                .filter(|ns| used.contains(*ns))
                .cloned()
                .collect()
        });
    }
    assert_eq!(host(), before, "after the last kill");
    assert!(
        seen > MOMENTS.len(),
        "the harness was never caught with processes of its own"
    );
}

#[test]
fn a_run_changes_nothing_on_the_host() {
    let before = host();
    let mut harness = start();
    let mut looks = 0;
    while harness.try_wait().unwrap().is_none() {
        assert_eq!(host(), before, "while the harness runs");
        looks += 1;
        wait(Duration::from_millis(5));
    }
    assert!(looks > 2, "the harness ended before it could be looked at");
    assert_eq!(host(), before, "after the run");
}

fn start() -> Child {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap();
    Command::new(env!("CARGO_BIN_EXE_wireproof"))
        .arg("run")
        .arg(root.join("scenarios/azure-cni/seed-cluster.toml"))
        .arg("--runs")
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("survival"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Interfaces, mounts and named namespaces of the host.
fn host() -> (Vec<String>, usize, Vec<PathBuf>) {
    let names = |text: String| {
        text.lines()
            .skip(2)
            .filter_map(|line| Some(line.split(':').next()?.trim().to_owned()))
            .collect()
    };
    let mut named: Vec<_> = fs::read_dir("/run/netns")
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect();
    named.sort();
    (
        names(fs::read_to_string("/proc/self/net/dev").unwrap()),
        fs::read_to_string("/proc/self/mounts")
            .unwrap()
            .lines()
            .count(),
        named,
    )
}

fn all_processes() -> Vec<i32> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

/// The fields of `/proc/PID/stat` after the name: state first.
fn stat(pid: i32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

fn descendants(ancestor: u32) -> Vec<Process> {
    let parents: Vec<_> = all_processes()
        .into_iter()
        .filter_map(|pid| {
            let fields = stat(pid)?;
            Some((pid, fields[1].parse::<i32>().ok()?, fields[19].clone()))
        })
        .collect();
    let mut family: Vec<Process> = Vec::new();
    let mut wanted = vec![i32::try_from(ancestor).unwrap()];
    while let Some(parent) = wanted.pop() {
        for (pid, _, started) in parents.iter().filter(|(_, of, _)| *of == parent) {
            family.push((*pid, started.clone()));
            wanted.push(*pid);
        }
    }
    family
}

/// A zombie lives no more; whoever started it will take note.
fn lives((pid, started): &Process) -> bool {
    stat(*pid).is_some_and(|fields| fields[19] == *started && fields[0] != "Z")
}

fn namespaces_of(pid: i32) -> Vec<String> {
    ["net", "mnt", "pid"]
        .into_iter()
        .filter_map(|kind| fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok())
        .map(|link| link.display().to_string())
        .collect()
}

fn until_gone(what: &str, mut left: impl FnMut() -> Vec<String>) {
    let end = Instant::now() + END_TIMEOUT;
    loop {
        let now = left();
        if now.is_empty() {
            return;
        }
        assert!(Instant::now() < end, "{what} are left behind: {now:?}");
        wait(Duration::from_millis(10));
    }
}

/// Lets time pass: the moment of a kill is the thing under test.
fn wait(time: Duration) {
    let (_keep, nobody) = mpsc::channel::<()>();
    let _ = nobody.recv_timeout(time);
}
