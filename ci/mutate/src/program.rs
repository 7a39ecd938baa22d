//! A program under test: run with bounds of time and memory, and judged by how it ends and what it
//! prints.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long one input may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// After this a program is ended, and an agent given up: on a machine that does much else at once, too.
pub(crate) const ENDLESS: Duration = Duration::from_secs(60);

/// How often it is looked how long a program has computed.
const LOOK: Duration = Duration::from_millis(100);

/// How often what took too long is tried: a machine that does other things at once is no fault of the
/// program's.
pub(crate) const TRIES: usize = 3;

/// Bounds the address space (KiB) before the program begins.
const BOUNDED: &str = "ulimit -v 2097152; exec \"$0\" \"$@\"";

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// None, if it had to be ended.
    pub(crate) status: Option<ExitStatus>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// As [`Stopwatch`] takes it.
    pub(crate) took: Duration,
}

/// Takes a program's time on a machine that does other things at once: what it computed itself, or what it
/// took while no task of the machine waited for a processor, whichever is more.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    id: u32,
    began: Instant,
    busy: Duration,
    crowded: Duration,
}

impl Stopwatch {
    /// Begins to take the time of a process.
    pub(crate) fn start(id: u32) -> Self {
        Self {
            id,
            began: Instant::now(),
            busy: busy(id),
            crowded: crowded(),
        }
    }

    /// The time so far, whatever else the machine did.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// How long the process has computed.
    fn busy(&self) -> Duration {
        busy(self.id).saturating_sub(self.busy)
    }

    /// How long it took, if it has computed for `busy` of it.
    fn took_with(&self, busy: Duration) -> Duration {
        let crowded = crowded().saturating_sub(self.crowded);
        self.elapsed().saturating_sub(crowded).max(busy)
    }

    /// How long it took.
    pub(crate) fn took(&self) -> Duration {
        self.took_with(self.busy())
    }
}

/// The processor time of a process and of children that it has waited for (proc_pid_stat(5)), with the
/// 100 ticks a second that Linux tells; nothing, when it has ended.
fn busy(id: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // Behind the name in parentheses: the 14th to 17th field are utime, stime, cutime and cstime.
    let fields = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    let ticks = fields
        .skip(11)
        .take(4)
        .filter_map(|ticks| ticks.parse::<u64>().ok());
    Duration::from_millis(ticks.sum::<u64>().saturating_mul(10))
}

/// How long, since the machine began, some task has waited for a processor (`/proc/pressure/cpu`);
/// nothing, where the kernel does not count it.
fn crowded() -> Duration {
    let text = fs::read_to_string("/proc/pressure/cpu").unwrap_or_default();
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("some ")?.rsplit_once("total="));
    let microseconds = total.and_then(|(_, total)| total.parse().ok());
    Duration::from_micros(microseconds.unwrap_or_default())
}

/// Runs a program to its end, or for [`ENDLESS`].
pub(crate) fn run<A: AsRef<OsStr>>(program: &Path, arguments: &[A]) -> io::Result<Ended> {
    let child = Command::new("sh")
        .args(["-c", BOUNDED])
        .arg(program)
        .args(arguments)
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let id = child.id();
    let (ended, end) = mpsc::channel();
    let waits = thread::spawn(move || {
        let output = child.wait_with_output();
        let _ = ended.send(());
        output
    });
    let watch = Stopwatch::start(id);
    let mut busy = Duration::ZERO;
    let in_time = loop {
        if end.recv_timeout(LOOK).is_ok() {
            break true;
        }
        busy = busy.max(watch.busy());
        if watch.elapsed() > ENDLESS {
            end_process(id);
            break false;
        }
    };
    let took = watch.took_with(busy);
    let output = waits
        .join()
        .map_err(|_| io::Error::other("the thread that waits for the program panicked"))??;
    Ok(Ended {
        status: in_time.then_some(output.status),
        stdout: output.stdout,
        stderr: output.stderr,
        took,
    })
}

/// Ends a child that its thread has not finished waiting for.
fn end_process(id: u32) {
    if let Ok(id) = i32::try_from(id) {
        let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
    }
}

impl Ended {
    /// What is wrong with how it ended or with what it printed; `allowed` are the documented statuses.
    pub(crate) fn fault(&self, allowed: &[i32]) -> Option<String> {
        let Some(status) = self.status else {
            return Some(format!("it did not end within {} s", ENDLESS.as_secs()));
        };
        if let Some(signal) = status.signal() {
            return Some(format!("signal {signal} ended it"));
        }
        let code = status.code().unwrap_or_default();
        if !allowed.contains(&code) {
            return Some(format!("exit status {code}, which is none of {allowed:?}"));
        }
        [("output", &self.stdout), ("error", &self.stderr)]
            .iter()
            .find_map(|(name, bytes)| Some(format!("standard {name}: {}", printed_wrongly(bytes)?)))
    }

    /// Whether it took longer than one input may.
    pub(crate) fn is_slow(&self) -> bool {
        self.took > PATIENCE
    }
}

/// Whether a character drives a terminal, or makes a text look like another one (Unicode TR 36).
fn is_obeyed(c: char) -> bool {
    c.is_control() && c != '\n' || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What must not be printed: a panic's message, what is not UTF-8, and what a terminal obeys.
pub(crate) fn printed_wrongly(bytes: &[u8]) -> Option<String> {
    let text = match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return Some(format!("not UTF-8: {error}")),
    };
    if let Some(line) = text.lines().find(|line| line.contains("panicked at")) {
        return Some(format!("a panic: {}", line.escape_debug()));
    }
    let (at, c) = text.char_indices().find(|(_, c)| is_obeyed(*c))?;
    let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let line: String = text[line..]
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(200)
        .collect();
    Some(format!(
        "U+{:04X} in: {}",
        u32::from(c),
        line.escape_debug()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(script: &str) -> Option<String> {
        run(Path::new("sh"), &["-c", script])
            .unwrap()
            .fault(&[0, 2])
    }

    #[test]
    fn whatever_is_wrong_is_seen() {
        assert_eq!(fault("echo ok; echo 'no: é 京都' >&2; exit 2"), None);
        let says = |script, says: &str| {
            let fault = fault(script).unwrap_or_default();
            assert!(fault.contains(says), "{script}: {fault}");
        };
        says("exit 101", "exit status 101");
        says("kill -SEGV $$", "signal 11");
        says(
            "printf 'a\\033[31mb'",
            "standard output: U+001B in: a\\u{1b}[31mb",
        );
        says("printf 'x\\ny\\tb' >&2", "standard error: U+0009 in: y\\tb");
        says("printf '\\302\\205'", "U+0085");
        says("printf '\\342\\200\\256'", "U+202E");
        says("printf '\\377'", "not UTF-8");
        says(
            "echo \"thread 'main' panicked at x.rs:1:2:\" >&2",
            "a panic: thread",
        );
    }

    #[test]
    fn a_program_that_computes_or_waits_takes_its_time() {
        let took = |script| run(Path::new("sh"), &["-c", script]).unwrap().took;
        assert!(took("i=0; while [ $i -lt 1000000 ]; do i=$((i+1)); done") > LOOK);
        assert!(took("true") < PATIENCE);
        let counted = fs::exists("/proc/pressure/cpu").unwrap();
        assert!(crowded() > Duration::ZERO || !counted);
    }

    #[test]
    fn memory_has_a_bound() {
        let ended = run(Path::new("sh"), &["-c", "ulimit -v"]).unwrap();
        assert_eq!(ended.stdout, b"2097152\n");
    }
}
