//! Virtual machines that end at any time: finished runs are kept and nothing stays behind.

/// Processes of a machine, and waits for them.
mod process;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::hash::{BuildHasher, RandomState};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Output, Stdio};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use wireproof_lab::vm::kernel;

use process::{descendants, is_qemu, qemu_of, until, until_within, wait};

const KERNEL: &str = "debian-6.1";

/// How long a machine may take until something runs in it, where others want the processors.
const BOOTED: Duration = Duration::from_secs(180);

/// Machines are ended at a random moment of so many milliseconds after qemu's start: that is while
/// they boot, or run something, or send what it left.
const MOMENTS: std::ops::Range<u64> = 500..16_000;

/// How many are ended like that.
const ROUNDS: usize = 2;

const SCENARIOS: &[&str] = &[
    "scenarios/first/two-nodes.toml",
    "scenarios/azure-cni/rp-filter-off.toml",
    "scenarios/azure-cni/rp-filter-loose.toml",
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let there = kernel::names().iter().any(|name| name == KERNEL);
    let trials = [
        Trial::test("a machine that is killed loses what it was doing", || {
            (0..ROUNDS).try_for_each(killed)
        }),
        Trial::test("a machine that panics says why", panicked),
        Trial::test("a machine that hangs in a run is given up", hung),
        Trial::test(
            "a machine that complains in its boot is started again",
            complained_once,
        ),
        Trial::test(
            "a machine that complains in three boots is given up",
            complained_thrice,
        ),
        Trial::test(
            "a machine that hangs in its boot is started again",
            hung_in_boot,
        ),
        Trial::test(
            "a machine that complains in a run fails that run",
            complained_in_a_run,
        ),
        Trial::test("a namespace that is left in a machine is told", left),
    ];
    let trials = trials.map(|trial| trial.with_ignored_flag(!there));
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

fn killed(round: usize) -> Result<(), Failed> {
    let random = RandomState::new().hash_one(round);
    let moment = MOMENTS.start + random % (MOMENTS.end - MOMENTS.start);
    let name = format!("killed-{round}");
    let machine = start(SCENARIOS, &["--wireguard", "kernel"], &name);
    let qemu = qemu_of(machine.id())?;
    wait(Duration::from_millis(moment));
    let was_there = kill(Pid::from_raw(qemu), Signal::SIGKILL).is_ok();
    let (output, document) = finish(machine)?;
    let outcomes = outcomes(&document);
    let text = String::from_utf8_lossy(&output.stderr);
    let failure = |what: &str| format!("killed after {moment} ms: {what}: {outcomes:#?} {text}");
    let lost = outcomes.iter().filter(|(_, outcome)| outcome != "held");
    let lost: Vec<_> = lost.cloned().collect();
    if outcomes.len() != SCENARIOS.len() {
        return Err(failure("a result is missing").into());
    }
    // As many as it does at a time; none while it boots, or after its last word.
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    if lost.len() > workers || lost.iter().any(|(_, outcome)| outcome != "inconclusive") {
        return Err(failure("more is lost than it was doing").into());
    }
    let wanted = if lost.is_empty() { 0 } else { 3 };
    if output.status.code() != Some(wanted) || (!was_there && !lost.is_empty()) {
        return Err(failure(&format!("it ended with {}", output.status)).into());
    }
    if !lost.is_empty() && !text.contains("signal: 9") {
        return Err(failure("nobody says why").into());
    }
    for (scenario, outcome) in &outcomes {
        let stem = Path::new(scenario).with_extension("");
        let runs = runs(&name).join(stem.strip_prefix("scenarios")?).join("1");
        let judged = Command::new(env!("CARGO_BIN_EXE_wireproof"))
            .arg("judge")
            .arg(&runs)
            .output()?;
        if outcome == "held" && !judged.status.success() {
            let text = String::from_utf8_lossy(&judged.stderr).into_owned();
            return Err(failure(&format!("a finished run cannot be judged: {text}")).into());
        }
    }
    Ok(())
}

fn panicked() -> Result<(), Failed> {
    let engine = runs("panic.toml");
    fs::create_dir_all(engine.parent().unwrap_or(Path::new("/")))?;
    let agent = r#"agent = ["bash", "-c", "echo c > /proc/sysrq-trigger"]"#;
    let text =
        format!("title = \"panics its kernel\"\n{agent}\ncontained = false\nready = \"notify\"\n");
    fs::write(&engine, text)?;
    let engine = engine.display().to_string();
    let machine = start(&SCENARIOS[..1], &["--engine", &engine], "panicked");
    qemu_of(machine.id())?;
    let (output, document) = finish(machine)?;
    let text = String::from_utf8_lossy(&output.stderr);
    let panicked = text.contains("Kernel panic - not syncing: sysrq triggered crash");
    match output.status.code() == Some(3) && panicked && outcomes(&document)[0].1 == "inconclusive"
    {
        true => Ok(()),
        false => Err(format!("{}: {text}", output.status).into()),
    }
}

fn hung() -> Result<(), Failed> {
    let machine = start(&SCENARIOS[..1], &["--wireguard", "kernel"], "hung");
    let qemu = qemu_of(machine.id())?;
    // WireGuard has a word to say of each device.
    let log = runs("hung").join("first/two-nodes/1/kernel.log");
    until_within(BOOTED, "what the kernel says of a run", || {
        fs::metadata(&log).is_ok_and(|file| file.len() > 0)
    })?;
    // All that is run takes longer than this.
    wait(Duration::from_millis(
        RandomState::new().hash_one(0) % 1_500,
    ));
    let stopped = kill(Pid::from_raw(qemu), Signal::SIGSTOP).is_ok();
    let (output, document) = finish(machine)?;
    let text = String::from_utf8_lossy(&output.stderr);
    let is_silent = text.contains("it was silent for");
    match stopped && output.status.code() == Some(3) && is_silent && outcomes(&document).len() == 1
    {
        true => Ok(()),
        false => Err(format!("{}: {text}", output.status).into()),
    }
}

fn complained_once() -> Result<(), Failed> {
    let machine = Boots::new("complained-once", &[Boot::Oops, Boot::Good])?;
    let (output, document) = finish(machine.start(&["--wireguard", "kernel"]))?;
    machine.check(&output, &document, 0, "held", &[Boot::Oops.complaint()])
}

fn complained_thrice() -> Result<(), Failed> {
    let boots = [Boot::Oops, Boot::Complaint, Boot::Oops, Boot::Good];
    let machine = Boots::new("complained-thrice", &boots)?;
    let (output, document) = finish(machine.start(&["--wireguard", "kernel"]))?;
    let failed = boots[..3].iter().map(Boot::complaint).collect::<Vec<_>>();
    machine.check(&output, &document, 3, "inconclusive", &failed)?;
    let error = document["scenarios"][0]["error"]
        .as_str()
        .unwrap_or_default();
    let names = failed.iter().all(|why| error.contains(why));
    match names && error.contains("came to no run in 3 starts") {
        true => Ok(()),
        false => Err(format!("what its kernel said is not told: {error}").into()),
    }
}

fn hung_in_boot() -> Result<(), Failed> {
    let machine = Boots::new("hung-in-boot", &[Boot::Hang, Boot::Good])?;
    let (output, document) = finish(machine.start(&["--wireguard", "kernel"]))?;
    machine.check(&output, &document, 0, "held", &[Boot::Hang.complaint()])
}

/// It is not started again: that would hide what an engine does to a kernel.
fn complained_in_a_run() -> Result<(), Failed> {
    let engine = runs("complains.toml");
    fs::create_dir_all(engine.parent().unwrap_or(Path::new("/")))?;
    let agent = r#"agent = ["bash", "-c", "echo '<1>BUG: of an engine' > /dev/kmsg"]"#;
    let text = format!("title = \"complains\"\n{agent}\ncontained = false\nready = \"notify\"\n");
    fs::write(&engine, text)?;
    let machine = Boots::new("complained-in-a-run", &[Boot::Good, Boot::Good])?;
    let engine = engine.display().to_string();
    let (output, document) = finish(machine.start(&["--engine", &engine]))?;
    machine.check(&output, &document, 1, "failed", &[])?;
    let error = document["scenarios"][0]["error"]
        .as_str()
        .unwrap_or_default();
    match error.contains("the kernel complained") && error.contains("BUG: of an engine") {
        true => Ok(()),
        false => Err(format!("the engine's complaint is not told: {error}").into()),
    }
}

/// How a machine boots.
#[derive(Clone, Copy)]
enum Boot {
    /// As it does.
    Good,
    /// Its kernel oopses, since a part of it is left out that others need.
    Oops,
    /// Its kernel has a complaint in its log and goes on. It repeats there its command line, which may have anything.
    Complaint,
    /// Its processors never start.
    Hang,
}

impl Boot {
    /// Its part in the report of a failed start.
    fn complaint(&self) -> &'static str {
        match self {
            Self::Good => "",
            Self::Oops => "BUG: kernel NULL pointer dereference",
            Self::Complaint => "BUG:_of_a_boot",
            Self::Hang => "it was silent for 60 s (deadline of a boot)",
        }
    }

    /// More arguments of qemu, as the lines of a script.
    fn script(self) -> &'static str {
        match self {
            Self::Good => ":",
            Self::Oops => "told=initcall_blacklist=sock_init",
            Self::Complaint => "told=BUG:_of_a_boot",
            Self::Hang => "more=-S",
        }
    }
}

/// A machine whose starts differ: before qemu stands a script that adds arguments, start by start.
struct Boots {
    name: &'static str,
    folder: PathBuf,
}

impl Boots {
    fn new(name: &'static str, boots: &[Boot]) -> Result<Self, Failed> {
        let qemu =
            wireproof_lab::base::program::find("qemu-system-x86_64").ok_or("there is no qemu")?;
        let folder = runs("boots").join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("kernels"))?;
        // A kernel of its own, beside which it is noted that KVM boots none here.
        let kernel = kernel::folder().join(KERNEL);
        symlink(kernel, folder.join("kernels").join(KERNEL))?;
        let id = fs::read("/proc/sys/kernel/random/boot_id")?;
        fs::write(folder.join("kernels/kvm-does-not-boot"), id)?;
        let cases: String = (1..)
            .zip(boots)
            .map(|(number, boot)| format!("  {number}) {} ;;\n", boot.script()))
            .collect();
        let script = format!(
            "#!/usr/bin/env bash\n\
             echo start >> '{starts}'\n\
             mapfile -t starts < '{starts}'\n\
             case ${{#starts[@]}} in\n{cases}esac\n\
             arguments=()\n\
             for one; do\n\
               [[ $one != console=* ]] || one+=\" $told\"\n\
               arguments+=(\"$one\")\n\
             done\n\
             exec '{qemu}' \"${{arguments[@]}}\" $more\n",
            starts = folder.join("starts").display(),
            qemu = qemu.display(),
        );
        let stand_in = folder.join("qemu-system-x86_64");
        fs::write(&stand_in, script)?;
        fs::set_permissions(&stand_in, Permissions::from_mode(0o755))?;
        Ok(Self { name, folder })
    }

    fn start(&self, more: &[&str]) -> Harness {
        let usual = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{usual}", self.folder.display());
        let kernels = self.folder.join("kernels").into_os_string();
        let set = [("PATH", path.into()), (kernel::FOLDER, kernels)];
        start_with(&SCENARIOS[..1], more, self.name, &set)
    }

    /// What the kernel of one start wrote on its console.
    fn console(&self, start: usize) -> Result<String, Failed> {
        let machine = format!("vm-{}", kernel::Kernel::find(KERNEL)?.release);
        let file = format!("1/console-{start}.log");
        let console = fs::read(runs(self.name).join(machine).join(file))?;
        Ok(String::from_utf8_lossy(&console).into_owned())
    }

    /// Whether it ended like this, and each failed start was reported, on standard error and in the document.
    fn check(
        &self,
        output: &Output,
        document: &Value,
        status: i32,
        outcome: &str,
        failed: &[&str],
    ) -> Result<(), Failed> {
        let text = String::from_utf8_lossy(&output.stderr);
        let starts = fs::read_to_string(self.folder.join("starts"))?;
        let starts = starts.lines().count();
        let machine = &document["machines"][0];
        let failure =
            |what: String| Err(format!("{what}: {}: {machine:#}: {text}", output.status).into());
        if output.status.code() != Some(status) || outcomes(document)[0].1 != outcome {
            return failure(format!("it came to {}", outcomes(document)[0].1));
        }
        let good = usize::from(outcome != "inconclusive");
        if starts != failed.len() + good || machine["starts"] != json!(starts) {
            return failure(format!("it was started {starts} times"));
        }
        let documented = machine["failed_starts"].as_array().cloned();
        let documented = documented.unwrap_or_default();
        if documented.len() != failed.len() {
            return failure("the document does not tell of each failed start".to_owned());
        }
        for (number, why) in failed.iter().enumerate() {
            let is_documented = documented[number]
                .as_str()
                .is_some_and(|text| text.contains(why));
            let line = format!("start {} came to no run: by plain emulation: ", number + 1);
            let line = text.lines().find(|text| text.contains(&line));
            if !is_documented || line.is_none_or(|line| !line.contains(why)) {
                return failure(format!("start {} is not told of", number + 1));
            }
        }
        if machine["kernel"].is_null() != (good == 0) {
            return failure("the kernel is not told".to_owned());
        }
        // However busy the host is, a guest does not count its clock by itself: where its count differs by
        // more than a tenth, the kernel takes what it was told (Linux: determine_cpu_tsc_frequencies).
        let console = self.console(starts)?;
        let (asked, counted) = (
            after(&console, "tsc_early_khz="),
            after(&console, "tsc: Detected "),
        );
        let is_obeyed = asked
            .zip(counted)
            .is_none_or(|(asked, counted)| (counted * 1_000.0 - asked).abs() * 10.0 <= asked);
        let flags = fs::read_to_string("/proc/cpuinfo")?;
        let is_steady = ["constant_tsc", "nonstop_tsc"]
            .iter()
            .all(|flag| flags.contains(flag));
        match is_obeyed && asked.is_some() == is_steady {
            true => Ok(()),
            false => failure(format!(
                "its clock: {asked:?} kHz asked for, {counted:?} MHz counted"
            )),
        }
    }
}

/// The number behind the first such text.
fn after(text: &str, name: &str) -> Option<f64> {
    let (_, rest) = text.split_once(name)?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Nothing that a run starts outlives it. What the kernel itself starts for it does: the program that it
/// gives a crashed process's memory to, which holds that process's network namespace here. Such a program
/// starts where the kernel's first process does, where no /proc is mounted.
fn left() -> Result<(), Failed> {
    let engine = runs("left.toml");
    fs::create_dir_all(engine.parent().unwrap_or(Path::new("/")))?;
    let holds = "$1 -t proc proc /proc; exec 9</proc/$2/ns/net 0<&-; kill -STOP $$";
    let agent = format!(
        "echo '{holds}' > /holds; echo \"|$BASH /holds $(type -P mount) %P\" > /proc/sys/kernel/core_pattern; \
         ulimit -c unlimited; \"$BASH\" -c 'kill -SEGV $$'"
    );
    // A machine has the programs of all commands; the second one is never run.
    let agent = format!(
        "agent = [\"bash\", \"-c\", {}]\nrotate-key = [\"mount\"]",
        json!(agent)
    );
    let text = format!(
        "title = \"leaves its namespace\"\n{agent}\ncontained = false\nready = \"notify\"\n"
    );
    fs::write(&engine, text)?;
    let engine = engine.display().to_string();
    let machine = start(&SCENARIOS[..1], &["--engine", &engine], "left");
    qemu_of(machine.id())?;
    let (output, document) = finish(machine)?;
    let lanes = document["lanes"].to_string();
    let reported = lanes.contains("network namespaces ") && !lanes.contains("network namespaces 0");
    match output.status.code() == Some(1) && reported {
        true => Ok(()),
        false => {
            let text = String::from_utf8_lossy(&output.stderr);
            Err(format!("{}: {lanes}: {text}", output.status).into())
        }
    }
}

fn start(scenarios: &[&str], more: &[&str], name: &str) -> Harness {
    start_with(scenarios, more, name, &[])
}

/// The same with these variables set.
fn start_with(scenarios: &[&str], more: &[&str], name: &str, set: &[(&str, OsString)]) -> Harness {
    let _ = fs::remove_dir_all(runs(name));
    let started = Command::new(env!("CARGO_BIN_EXE_wireproof"))
        .current_dir(root())
        .args(["run", "--json", "--lane", &format!("vm:{KERNEL}")])
        .args(more)
        .arg("--runs")
        .arg(runs(name))
        .args(scenarios)
        .envs(set.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    Harness(Some(started.expect("wireproof is built")))
}

/// A `wireproof run` that is under way. It ends when this is dropped.
struct Harness(Option<Child>);

impl Harness {
    fn id(&self) -> u32 {
        self.0.as_ref().map_or(0, Child::id)
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Its output, once it and its qemu are gone.
fn finish(mut machine: Harness) -> Result<(Output, Value), Failed> {
    let harness = machine.id();
    let mut family = BTreeSet::new();
    family.extend(descendants(harness));
    let child = machine.0.take().ok_or("it is over already")?;
    let output = child.wait_with_output()?;
    until("the end of qemu", || {
        !family.iter().any(|pid| is_qemu(*pid))
    })?;
    let document = serde_json::from_slice(&output.stdout)?;
    Ok((output, document))
}

/// Each scenario and what it came to.
fn outcomes(document: &Value) -> Vec<(String, String)> {
    let scenarios = document["scenarios"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    scenarios
        .map(|one| (text(&one["scenario"]), text(&one["outcome"])))
        .collect()
}

fn runs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("machines")
        .join(name)
}

fn root() -> &'static Path {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    root.unwrap_or(Path::new("/"))
}
