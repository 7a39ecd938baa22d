//! The guest's first process: sets the machine up, does the jobs, sends back what they leave.
//!
//! It is this very program, started by the kernel as process 1. When it has sent everything it switches the
//! machine off; when it fails, the kernel panics and qemu ends.

use std::collections::VecDeque;
use std::env;
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::reboot::{RebootMode, reboot};
use nix::unistd::{Pid, sethostname};

use crate::base::error::{Doing, LabError};
use crate::base::machine::{ORDERS, is_guest};

use super::image::{MODULES, Orders};
use super::kernel_log::KernelLog;
use super::remains::Census;
use super::stream::{Message, send};

/// The port to the host: the first of the first device with ports (Linux: `virtio_console.c`).
const PORT: &str = "/dev/vport0p1";

/// Where the kernel has its processors.
const PROCESSORS: &str = "/sys/devices/system/cpu";

/// How often the guest shows that it is alive.
pub(crate) const BEAT: Duration = Duration::from_secs(1);

/// Longest text of an error that is sent, in bytes.
const MAX_ERROR_TEXT: usize = 16 << 10;

/// Runs as a guest's first process if this is one. Call it before anything else in `main`.
pub fn run_if_first() -> Option<ExitCode> {
    let is_init = env::args().next().as_deref() == Some("/init");
    if !is_init || Pid::this().as_raw() != 1 || !is_guest() {
        return None;
    }
    if let Err(error) = serve() {
        // The console is all there is; its tail is what the host shows.
        eprintln!("the guest could not be set up: {error}");
    }
    let _ = reboot(RebootMode::RB_AUTOBOOT);
    Some(ExitCode::from(3))
}

fn serve() -> Result<(), LabError> {
    set_up()?;
    let mut failed = load_modules();
    failed.extend(start_processors());
    // WireGuard's own words, such as why it refuses a packet (Linux: `Documentation/admin-guide/
    // dynamic-debug-howto.rst`). A kernel without them tells less.
    let _ = fs::write(
        "/sys/kernel/debug/dynamic_debug/control",
        "module wireguard +p",
    );
    let text = fs::read(ORDERS).doing("read the guest's orders")?;
    let orders: Orders =
        serde_json::from_slice(&text).map_err(|e| LabError::machine("read the orders", e))?;
    env::set_current_dir(&orders.folder).doing("enter the folder")?;
    let port = fs::OpenOptions::new()
        .write(true)
        .open(PORT)
        .doing("open the port to the host")?;
    let host = Host(Mutex::new(port));
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    host.send(&Message::Up {
        release: release.trim().to_owned(),
        failed,
    });
    let log = KernelLog::open().doing("open the kernel's log")?;
    let before = Census::first();
    let waiting: Mutex<VecDeque<usize>> = Mutex::new((0..orders.jobs.len()).collect());
    let (stop, stopped) = channel::<()>();
    thread::scope(|scope| {
        scope.spawn(|| log.follow(|line| host.send(line)));
        let life = &host;
        scope.spawn(move || show_life(life, &stopped));
        let work = || {
            let next = || lock(&waiting).pop_front();
            while let Some(job) = next() {
                do_job(&host, &log, &orders, job);
            }
        };
        let workers: Vec<_> = (0..orders.workers.max(1))
            .map(|_| scope.spawn(work))
            .collect();
        for worker in workers {
            let _ = worker.join();
        }
        if let Some(remains) = before.and_then(|before| Census::since(&before, orders.patience)) {
            host.send(&Message::Left(remains));
        }
        log.pass_on(|line| host.send(line));
        drop(stop);
        host.send(&Message::Done);
        // Who reads the kernel's log never ends by itself.
        let _ = reboot(RebootMode::RB_AUTOBOOT);
    });
    Ok(())
}

fn set_up() -> Result<(), LabError> {
    // What is no guest after all has nothing but its own to change.
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS)
        .doing("create the guest's namespaces")?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
        .doing("make the guest's mounts private")?;
    // Nothing is mounted where files of the archive may be: they have the paths that they have on
    // the host, which may be below /tmp.
    for (kind, target) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        mount_new(kind, target).doing(format!("mount {target}"))?;
    }
    // What programs know standard input and output by (Linux: `Documentation/admin-guide/devices.rst`).
    for (name, to) in [
        ("fd", ""),
        ("stdin", "/0"),
        ("stdout", "/1"),
        ("stderr", "/2"),
    ] {
        let link = format!("/dev/{name}");
        symlink(format!("/proc/self/fd{to}"), &link).doing(format!("make {link}"))?;
    }
    // The console has had the boot, for a machine that hangs in it; from here on the log is passed on.
    let _ = fs::write("/proc/sys/kernel/printk", "4");
    // What is evidence only; its absence is told by what needs it.
    let _ = mount_new("debugfs", "/sys/kernel/debug");
    sethostname("wireproof").doing("set the host name")
}

fn mount_new(kind: &str, target: &str) -> nix::Result<()> {
    mount(
        Some(kind),
        target,
        Some(kind),
        MsFlags::empty(),
        None::<&str>,
    )
}

/// Loads every module, in the order of their names; returns those that do not load.
fn load_modules() -> Vec<String> {
    let entries = fs::read_dir(MODULES).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    let load = |path: &PathBuf| -> Result<(), String> {
        let file = fs::File::open(path).map_err(|error| error.to_string())?;
        finit_module(&file, &CString::default(), ModuleInitFlags::empty())
            .map_err(|error| error.to_string())
    };
    let failed = paths.iter().filter_map(|path| {
        let error = load(path).err()?;
        Some(format!("module {}: {error}", path.display()))
    });
    failed.collect()
}

/// Starts the processors that the boot has left out (Linux: `Documentation/core-api/cpu_hotplug.rst`); returns
/// those that do not start. One that was there from the beginning has no such file, or its file has 1.
fn start_processors() -> Vec<String> {
    let entries = fs::read_dir(PROCESSORS).into_iter().flatten().flatten();
    let switches = entries.map(|entry| entry.path().join("online"));
    let mut switches: Vec<_> = switches
        .filter(|path| fs::read_to_string(path).is_ok_and(|text| text.trim() == "0"))
        .collect();
    switches.sort();
    let failed = switches.iter().filter_map(|path| {
        let error = fs::write(path, "1").err()?;
        Some(format!("processor {}: {error}", path.display()))
    });
    failed.collect()
}

/// The way to the host, one message at a time.
struct Host(Mutex<fs::File>);

impl Host {
    /// Without a host there is no receiver.
    fn send(&self, message: &Message) {
        let _ = send(&mut *lock(&self.0), message);
    }

    fn send_file(&self, job: usize, path: &Path, name: PathBuf) -> io::Result<()> {
        let mut file = fs::File::open(path)?;
        let length = file.metadata()?.len();
        let mut port = lock(&self.0);
        let message = Message::File {
            job,
            path: name,
            length,
        };
        send(&mut *port, &message)?;
        // Nobody writes to it any more; were it shorter, the rest is filled, so that what follows
        // stays where the host looks for it.
        let sent = io::copy(&mut io::Read::take(&mut file, length), &mut *port)?;
        io::copy(
            &mut io::Read::take(io::repeat(0), length - sent),
            &mut *port,
        )?;
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the kernel writes is sent before the beginning and the end of each job, so that the host knows
/// what it wrote meanwhile.
fn do_job(host: &Host, log: &KernelLog, orders: &Orders, job: usize) {
    log.pass_on(|line| host.send(line));
    host.send(&Message::Started { job });
    let runs = PathBuf::from(format!("/runs/{job}"));
    let output = Command::new(&orders.program)
        .args(["run", "--unjudged", "--runs"])
        .arg(&runs)
        .args(orders.jobs.get(job).into_iter().flatten())
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
        .env("HOME", "/root")
        .stdin(Stdio::null())
        .output();
    let (status, error_text) = match output {
        Ok(output) => (output.status.code(), error_text(&output.stderr)),
        Err(error) => (None, error.to_string()),
    };
    if let Some(root) = run_directory(&runs) {
        for path in files(&root) {
            let name = path.strip_prefix(&root).unwrap_or(&path).to_owned();
            let _ = host.send_file(job, &path, name);
        }
    }
    let _ = fs::remove_dir_all(&runs);
    log.pass_on(|line| host.send(line));
    host.send(&Message::Ended {
        job,
        status,
        error_text,
    });
}

/// What a run printed of an error.
fn error_text(errors: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(errors).trim().to_owned();
    text.truncate(text.floor_char_boundary(MAX_ERROR_TEXT));
    text
}

/// The one run directory below a folder: the one with a plan in it.
fn run_directory(folder: &Path) -> Option<PathBuf> {
    let plan = files(folder)
        .into_iter()
        .find(|path| path.file_name().is_some_and(|name| name == "plan.json"))?;
    plan.parent().map(Path::to_owned)
}

/// The regular files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => found.push(entry.path()),
                Ok(_) | Err(_) => {}
            }
        }
    }
    found.sort();
    found
}

/// Sends the sign of life, until the other end of `stopped` is gone.
fn show_life(host: &Host, stopped: &Receiver<()>) {
    loop {
        let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("MemAvailable:"));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        host.send(&Message::Beat {
            available: number
                .and_then(|text| text.parse().ok())
                .unwrap_or_default(),
        });
        #[expect(
            clippy::disallowed_methods,
            reason = "nobody waits for it: it is the beat"
        )]
        let stopped = stopped.recv_timeout(BEAT);
        if stopped != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}
