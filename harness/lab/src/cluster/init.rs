//! A node's first process.
//!
//! It is this very program, started as process 1 of the node's process namespace. It gives the node its host
//! name and files of its own, starts what the lab asks for, reports what ends, reaps what outlives its parent,
//! and passes on what an engine sends through `NOTIFY_SOCKET` (sd_notify(3)). When it ends, the kernel ends
//! every process of the node.
//!
//! It makes its mount, UTS and IPC namespaces itself, before it changes anything, and
//! serves only as process 1: typed by a person, it has nothing of the host to change.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, Write};
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, sethostname};
use serde::{Deserialize, Serialize};

use crate::base::error::{Doing, LabError};
use crate::base::log::Logs;
use crate::cluster::containment::{Contained, Paths, contain};
use crate::kernel::sys;

/// An order of the lab to a node's first process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    /// The node's name.
    pub(crate) name: String,
    /// What of the host its processes see.
    pub(crate) paths: Paths,
}

/// The first argument that makes this program a node's first process; the second is its [`Task`]
/// as JSON.
pub(crate) const ARGUMENT: &str = "wireproof-node-init";

/// Abstract socket address for `NOTIFY_SOCKET`, before the host's name; a node's network
/// namespace may be an etcd's as well.
const NOTIFY: &str = "wireproof/notify";

/// Number of a started command.
pub(crate) type CommandId = u32;

/// What the lab asks for, one JSON document a line on standard input.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Start a command with no input, its output appended to a log.
    Start {
        id: CommandId,
        words: Vec<String>,
        environment: BTreeMap<String, String>,
        log: PathBuf,
    },
    /// Send a signal.
    Signal { to: Receiver, signal: ProcessSignal },
}

/// Who gets a signal.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Receiver {
    /// A command. What it has started gets none.
    Command(CommandId),
    /// Every process of the node but its first.
    All,
}

/// The signals that the lab sends (signal(7)).
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum ProcessSignal {
    /// SIGTERM: it is asked to end.
    Terminate,
    /// SIGKILL: it ends at once.
    Kill,
    /// SIGSTOP: it does nothing any more.
    Stop,
    /// SIGCONT: it goes on.
    Continue,
}

impl From<ProcessSignal> for Signal {
    fn from(signal: ProcessSignal) -> Self {
        match signal {
            ProcessSignal::Terminate => Self::SIGTERM,
            ProcessSignal::Kill => Self::SIGKILL,
            ProcessSignal::Stop => Self::SIGSTOP,
            ProcessSignal::Continue => Self::SIGCONT,
        }
    }
}

/// A message to the lab, one JSON document a line on standard output.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum News {
    /// The node is set up; `processes` is the inode of its process namespace, `root` its root directory,
    /// `lacks` what of the host is not kept from its processes, or not as it should be.
    Ready {
        processes: u64,
        lacks: Vec<String>,
        root: Root,
        /// The number of its open file that leads to what the node's processes have written to the host's
        /// filesystems.
        overlays: Option<i32>,
    },
    /// The node could not be set up.
    Unfit { cause: String },
    /// A command could not be started.
    NotStarted { id: CommandId, cause: String },
    /// A command's program runs.
    Started { id: CommandId },
    /// A command ended.
    Ended { id: CommandId, how: Ended },
    /// A process of the node sent this to `NOTIFY_SOCKET`.
    Notified { text: String },
}

/// The identity of a root directory: its device and its inode. None if it cannot be looked at.
pub(crate) type Root = Option<(u64, u64)>;

/// The root directory of the calling thread.
pub(crate) fn root() -> Root {
    let root = fs::metadata("/").ok()?;
    Some((root.dev(), root.ino()))
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ended {
    /// With an exit status.
    Status(i32),
    /// By a signal.
    Signal(i32),
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(status) => write!(f, "exit status {status}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// Runs as a node's first process if the arguments are those of one. Call it before anything else in `main`.
pub fn run_if_asked() -> Option<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(ARGUMENT) {
        return None;
    }
    let task = arguments.next().unwrap_or_default();
    if Pid::this().as_raw() != 1 {
        eprintln!(
            "{ARGUMENT}: this is not the first process of a node\n  help: `wireproof run` starts it in every node"
        );
        return Some(ExitCode::from(2));
    }
    let task = serde_json::from_str(&task)
        .map_err(|error| LabError::machine("read the node's task", error));
    match task.and_then(Init::set_up) {
        Ok(init) => Some(init.serve()),
        Err(error) => {
            report(&News::Unfit {
                cause: error.to_string(),
            });
            Some(ExitCode::from(3))
        }
    }
}

struct Init {
    name: String,
    contained: Contained,
    logs: Logs,
    notify: UnixDatagram,
    signals: SignalFd,
    running: BTreeMap<i32, CommandId>,
}

impl Init {
    fn set_up(task: Task) -> Result<Self, LabError> {
        let name = &task.name;
        // What the caller of this program has open leads out of the node: an engine gets none of it.
        sys::close_others_on_exec().doing("keep open files from the engine")?;
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC)
            .doing("create the node's namespaces")?;
        mount(
            None::<&str>,
            "/",
            None::<&str>,
            MsFlags::MS_REC | MsFlags::MS_PRIVATE,
            None::<&str>,
        )
        .doing("make the node's mounts private")?;
        sethostname(name).doing("set the host name")?;
        let contained = contain(&task.paths)?;
        let address = SocketAddr::from_abstract_name(format!("{NOTIFY}/{name}"))
            .doing("name the notify socket")?;
        let notify = UnixDatagram::bind_addr(&address).doing("bind the notify socket")?;
        notify
            .set_nonblocking(true)
            .doing("set up the notify socket")?;
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        mask.thread_block().doing("block SIGCHLD")?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
            .doing("watch for SIGCHLD")?;
        Ok(Self {
            name: task.name,
            contained,
            logs: Logs::default(),
            notify,
            signals,
            running: BTreeMap::new(),
        })
    }

    fn serve(mut self) -> ExitCode {
        // Without it nobody knows which processes are the node's.
        let processes = fs::metadata("/proc/self/ns/pid").map_or(0, |file| file.ino());
        report(&News::Ready {
            processes,
            lacks: std::mem::take(&mut self.contained.lacks),
            root: root(),
            overlays: self.contained.overlays(),
        });
        let mut orders = io::BufReader::new(io::stdin());
        loop {
            let stdin = io::stdin();
            let mut fds = vec![
                PollFd::new(stdin.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.notify.as_fd(), PollFlags::POLLIN),
            ];
            fds.extend(self.logs.wait_for());
            if poll(&mut fds, PollTimeout::NONE).is_err() {
                continue;
            }
            let stirred = fds
                .iter()
                .map(|fd| fd.revents().is_some_and(|seen| !seen.is_empty()));
            let stirred: Vec<_> = stirred.collect();
            self.logs.take(&stirred[3..]);
            // What an engine said before it ended is told before its end.
            if stirred[2] {
                self.pass_on();
            }
            if stirred[1] {
                while let Ok(Some(_)) = self.signals.read_signal() {}
                self.reap();
            }
            if stirred[0] {
                // One read may bring several orders, for which `poll` would not wake again.
                loop {
                    let mut line = String::new();
                    match orders.read_line(&mut line) {
                        Ok(1..) => self.execute(&line),
                        Ok(0) | Err(_) => return ExitCode::SUCCESS,
                    }
                    if orders.buffer().is_empty() {
                        break;
                    }
                }
            }
        }
    }

    fn execute(&mut self, line: &str) {
        match serde_json::from_str(line) {
            Ok(Order::Start {
                id,
                words,
                environment,
                log,
            }) => match self.start(&words, &environment, &log) {
                Ok(pid) => {
                    self.running.insert(pid, id);
                    report(&News::Started { id });
                }
                Err(error) => report(&News::NotStarted {
                    id,
                    cause: match words.first() {
                        Some(program) => format!("{program}: {error}"),
                        None => error.to_string(),
                    },
                }),
            },
            Ok(Order::Signal { to, signal }) => self.signal(to, signal.into()),
            // The lab and this process are one program; there are no other orders.
            Err(_) => {}
        }
    }

    fn start(
        &mut self,
        words: &[String],
        environment: &BTreeMap<String, String>,
        log: &Path,
    ) -> io::Result<i32> {
        let (program, arguments) = words
            .split_first()
            .ok_or_else(|| io::Error::other("the command is empty"))?;
        let (printed, output) = io::pipe()?;
        let log = self.contained.in_runs(log);
        let log = fs::OpenOptions::new().create(true).append(true).open(log)?;
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(environment)
            .env("NOTIFY_SOCKET", format!("@{NOTIFY}/{}", self.name))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        self.logs.add(printed, log)?;
        // Not waited for here: `reap` takes every child of process 1.
        i32::try_from(child.id()).map_err(io::Error::other)
    }

    fn signal(&self, to: Receiver, signal: Signal) {
        let pids: Vec<i32> = match to {
            Receiver::Command(id) => {
                let running = self.running.iter().filter(|(_, running)| **running == id);
                running.map(|(pid, _)| *pid).collect()
            }
            // From the first process of a namespace, all others of it (kill(2)).
            Receiver::All => vec![-1],
        };
        for pid in pids {
            // Whether it worked shows when the command is reaped.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    fn reap(&mut self) {
        while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            let (pid, how) = match status {
                WaitStatus::Exited(pid, status) => (pid, Ended::Status(status)),
                WaitStatus::Signaled(pid, signal, _) => (pid, Ended::Signal(signal as i32)),
                WaitStatus::StillAlive => return,
                _ => continue,
            };
            // A process that is not in the list outlived its parent, and is only reaped.
            if let Some(id) = self.running.remove(&pid.as_raw()) {
                self.pass_on();
                // What it printed is in its log before its end is told.
                self.logs.take_all();
                report(&News::Ended { id, how });
            }
        }
    }

    fn pass_on(&self) {
        let mut buffer = [0; 4096];
        while let Ok(length) = self.notify.recv(&mut buffer) {
            report(&News::Notified {
                text: String::from_utf8_lossy(&buffer[..length]).into_owned(),
            });
        }
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        for pid in self.running.keys() {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
    }
}

fn report(news: &News) {
    if let Ok(mut line) = serde_json::to_string(news) {
        line.push('\n');
        // Without a reader the lab is gone, and this process is about to be.
        let _ = io::stdout().lock().write_all(line.as_bytes());
    }
}
