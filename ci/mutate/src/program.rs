//! A program under test: run with bounds of time and memory, and judged by how it ends and what it
//! prints.

use std::ffi::OsStr;
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

/// How often it is looked how long a program has waited for a processor.
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
    /// Without the time in which it waited for a processor.
    pub(crate) took: Duration,
}

/// How long a process has waited for a processor so far (`run_delay` of proc_pid_schedstat(5)); nothing,
/// where the kernel does not count it, and when it has ended.
pub(crate) fn delayed(id: u32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{id}/schedstat")).unwrap_or_default();
    let nanoseconds = text.split(' ').nth(1).and_then(|delay| delay.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or_default())
}

/// Runs a program to its end, or for [`ENDLESS`].
pub(crate) fn run<A: AsRef<OsStr>>(program: &Path, arguments: &[A]) -> io::Result<Ended> {
    let began = Instant::now();
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
    let mut waited = Duration::ZERO;
    let in_time = loop {
        if end.recv_timeout(LOOK).is_ok() {
            break true;
        }
        waited = waited.max(delayed(id));
        if began.elapsed() > ENDLESS {
            end_process(id);
            break false;
        }
    };
    let took = began.elapsed().saturating_sub(waited);
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
    fn memory_has_a_bound() {
        let ended = run(Path::new("sh"), &["-c", "ulimit -v"]).unwrap();
        assert_eq!(ended.stdout, b"2097152\n");
    }
}
