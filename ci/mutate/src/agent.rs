//! One agent that stays alive while its store is replaced again and again.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::program::{ENDLESS, PATIENCE, Stopwatch, TRIES, printed_wrongly};
use crate::store::{File, Files};

/// Where the agent answers `/healthz`.
const HEALTH: &str = "127.0.0.1:9091";

/// How long an agent may take to begin: the machine starts a process and a tunnel device.
const BEGINNING: Duration = ENDLESS;

/// After a state that is meant to last, another one may come at once: of files that were replaced one
/// after the other the agent may have seen the first only.
pub(crate) const QUIET: Duration = Duration::from_millis(100);

/// States in which an agent rightly waits.
const WAITS: &[&str] = &[
    "the store has no Node `ada`: the agent waits for it",
    // Its file cannot be read any more: the agent has the Node as last seen, and nowhere to put its key.
    "/store has no Node ada",
    // The file of its Node has a field twice, or is not the only one that holds it: nothing is written there.
    "so Node ada is not written",
    // A configuration that cannot be read, or strict mode's with a mistake in it, lifts nothing.
    "what is encrypted and dropped stays as it is",
    "`spec.datastoreReady` is false",
];

/// The largest message of sd_notify that is looked for, in bytes.
const MESSAGE: usize = 1 << 18;

/// What the agent has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// It follows the store, and says so with these words.
    InSync(String),
    /// It waits for a Node, or for a store that is ready.
    Waits,
    /// It did not say so in time; what it said last.
    Behind(String),
}

/// A living agent.
pub(crate) struct Agent {
    child: Child,
    folder: PathBuf,
    statuses: mpsc::Receiver<String>,
    /// What it announced last.
    applied: String,
    log_read: u64,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Agent {
    /// Starts an agent in an empty folder, with an empty store.
    ///
    /// # Errors
    /// It cannot be started, or says nothing.
    pub(crate) fn start(wiremesh: &Path, folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder.join("store"))?;
        let address = folder.join("notify");
        let socket = UnixDatagram::bind(&address)?;
        let (tell, statuses) = mpsc::channel();
        // Read at once: an agent must not wait for its supervisor.
        thread::spawn(move || {
            let mut buffer = vec![0; MESSAGE];
            while let Ok(length) = socket.recv(&mut buffer) {
                let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if tell.send(message).is_err() {
                    return;
                }
            }
        });
        let child = Command::new(wiremesh)
            .args(["agent", "--node", "ada", "--metrics", HEALTH, "--store"])
            .arg(format!("dir:{}", folder.join("store").display()))
            .arg("--state")
            .arg(folder.join("state"))
            .env("NOTIFY_SOCKET", &address)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("log"))?)
            .spawn()?;
        let agent = Self {
            child,
            folder: folder.to_owned(),
            statuses,
            applied: String::new(),
            log_read: 0,
        };
        let begun = agent.statuses.recv_timeout(BEGINNING);
        begun.map_err(|_| io::Error::other("the agent does not begin"))?;
        Ok(agent)
    }

    /// Where its store is.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.join("store")
    }

    /// Replaces the whole store, in one of three ways: file by file at once, file by file in place, or
    /// the folder itself.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(crate) fn replace(&self, files: &Files, way: usize) -> io::Result<()> {
        let store = self.store();
        // As every writer: what the agent writes at the same time would come back, or get lost.
        let lock = fs::File::options()
            .create(true)
            .append(true)
            .open(store.join(".lock"))?;
        let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, errno)| errno)?;
        if way == 0 {
            let (next, last) = (self.folder.join("next"), self.folder.join("last"));
            fs::create_dir(&next)?;
            write_all(&next, files)?;
            fs::rename(&store, &last)?;
            fs::rename(&next, &store)?;
            return fs::remove_dir_all(&last);
        }
        for (name, file) in files {
            let path = store.join(name);
            match file {
                File::Text(text) if way == 1 && is_file(&path) => fs::write(&path, text)?,
                _ => {
                    let draft = store.join(".draft");
                    write(&draft, file)?;
                    clear(&path, file)?;
                    fs::rename(&draft, &path)?;
                }
            }
        }
        for entry in fs::read_dir(&store)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !files.contains_key(&name) && name != ".lock" {
                clear(&entry.path(), &File::Fifo)?;
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    /// Waits until it follows the store as it is now, or, if it may, until it waits itself. Says how long
    /// that took.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) fn follow(&mut self, may_wait: bool) -> io::Result<(State, Duration)> {
        let watch = Stopwatch::start(self.child.id());
        let before = self.applied.clone();
        let mut last = String::new();
        loop {
            let now = digest(&self.store())?;
            let follows = match &now {
                Some(now) => self.applied == *now,
                // A file whose error is part of the digest: another one than before is right.
                None => self.applied != before && last.starts_with("READY=1"),
            };
            let took = watch.took();
            if follows && !last.is_empty() {
                return Ok((State::InSync(status(&last).to_owned()), took));
            }
            // Nothing has changed, so that there is nothing to say.
            if follows && self.hear(QUIET).is_none() {
                return Ok((State::InSync(String::new()), took));
            }
            let waits = may_wait && WAITS.iter().any(|waits| status(&last).contains(waits));
            match self.hear(QUIET) {
                Some(message) => last = message,
                None if waits => return Ok((State::Waits, took)),
                None if watch.elapsed() > ENDLESS => {
                    return Ok((State::Behind(status(&last).to_owned()), took));
                }
                // It says nothing twice: a store that is again what it was is followed in silence, once
                // the agent has written its key.
                None => {}
            }
        }
    }

    /// What it says next; none, if it says nothing for that time.
    pub(crate) fn hear(&mut self, time: Duration) -> Option<String> {
        let message = self.statuses.recv_timeout(time).ok()?;
        // What is said without it is of a state that it does not follow yet.
        let applied = field(&message, "X_WIREMESH_APPLIED");
        self.applied = applied.unwrap_or_default().to_owned();
        Some(message)
    }

    /// What is wrong with it: it has ended, does not answer, or has logged what it must not.
    ///
    /// # Errors
    /// Its log cannot be read.
    pub(crate) fn fault(&mut self) -> io::Result<Option<String>> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(Some(format!("the agent has ended: {status}")));
        }
        let mut log = fs::File::open(self.folder.join("log"))?;
        log.seek(SeekFrom::Start(self.log_read))?;
        let mut text = Vec::new();
        log.read_to_end(&mut text)?;
        // What is being written counts when its line is whole.
        text.truncate(
            text.iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |end| end + 1),
        );
        self.log_read += text.len() as u64;
        if let Some(fault) = printed_wrongly(&text) {
            return Ok(Some(format!("the agent's log: {fault}")));
        }
        let fault = |answer: io::Result<String>| match answer {
            Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => None,
            Ok(answer) => Some(format!("/healthz: {}", answer.escape_debug())),
            Err(error) => Some(format!("/healthz: {error}")),
        };
        // One answer in time is enough: this program may have had no processor itself.
        let mut faults = Vec::new();
        for _ in 0..TRIES {
            match fault(health()) {
                None => return Ok(None),
                Some(fault) => faults.push(fault),
            }
        }
        Ok(faults.pop())
    }

    /// Its log's last lines.
    pub(crate) fn log(&self) -> String {
        let log = fs::read(self.folder.join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().rev().take(40).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// How much memory it has had, in KiB, and how many descriptors it has.
    pub(crate) fn holds(&self) -> io::Result<(u64, usize)> {
        let folder = PathBuf::from(format!("/proc/{}", self.child.id()));
        let status = fs::read_to_string(folder.join("status"))?;
        let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let most = most.and_then(|most| most.trim().strip_suffix(" kB")?.parse().ok());
        Ok((
            most.unwrap_or_default(),
            fs::read_dir(folder.join("fd"))?.count(),
        ))
    }
}

fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_file())
}

/// Removes a folder that something else is to take the place of.
fn clear(path: &Path, file: &File) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) if *file == File::Folder => fs::remove_file(path),
        _ => Ok(()),
    }
}

fn write(path: &Path, file: &File) -> io::Result<()> {
    match file {
        File::Text(text) => fs::write(path, text),
        File::Folder => fs::create_dir(path),
        File::Fifo => Ok(mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR)?),
        File::Link(to) => symlink(to, path),
    }
}

/// Writes files into an empty folder.
pub(crate) fn write_all(folder: &Path, files: &Files) -> io::Result<()> {
    files
        .iter()
        .try_for_each(|(name, file)| write(&folder.join(name), file))
}

/// The regular files of a folder.
pub(crate) fn read_all(folder: &Path) -> io::Result<Files> {
    let mut files = Files::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let name = entry.file_name().to_string_lossy().into_owned();
            files.insert(name, File::Text(fs::read(entry.path())?));
        }
    }
    Ok(files)
}

/// What an agent announces that follows this store (`harness/engines.md`: `X_WIREMESH_APPLIED`); none, if a file is
/// none that can be read.
fn digest(store: &Path) -> io::Result<Option<String>> {
    let mut sum = 0_u64;
    for entry in fs::read_dir(store)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let end = path.extension().and_then(|end| end.to_str());
        if name.starts_with('.') || !matches!(end, Some("yaml" | "yml" | "json")) {
            continue;
        }
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() && found.len() <= 4 << 20 => {}
            Ok(_) => return Ok(None),
            Err(_) => continue,
        }
        let content = fs::read(&path)?;
        let bytes = name
            .as_bytes()
            .iter()
            .chain(&[0])
            .chain(&content)
            .chain(&[0]);
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        sum = sum.wrapping_add(hash);
    }
    Ok(Some(format!("{sum:016x}")))
}

fn field<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

fn status(message: &str) -> &str {
    field(message, "STATUS").unwrap_or_default()
}

/// What `/healthz` answers.
fn health() -> io::Result<String> {
    let address = HEALTH.parse().map_err(io::Error::other)?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: node\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
