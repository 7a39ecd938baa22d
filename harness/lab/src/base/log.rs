//! Logs of a node's commands, truncated at a size limit.

use std::fs::File;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::AsFd;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags};

/// How long a log may become, in bytes. What is printed after that is read and dropped, so that
/// whoever prints it goes on.
pub(crate) const LONGEST: u64 = 16 << 20;

/// The last line of a log that was ended.
pub(crate) fn ended() -> String {
    format!("log ended after {LONGEST} bytes")
}

/// All commands' output on its way to their logs.
#[derive(Debug, Default)]
pub(crate) struct Logs(Vec<Log>);

#[derive(Debug)]
struct Log {
    printed: PipeReader,
    file: File,
    /// Nothing is printed any more: whoever could has ended.
    over: bool,
}

impl Logs {
    /// Appends to a file from here on what is printed.
    ///
    /// # Errors
    /// The kernel refuses to read without waiting.
    pub(crate) fn add(&mut self, printed: PipeReader, file: File) -> io::Result<()> {
        fcntl(printed.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        self.0.push(Log {
            printed,
            file,
            over: false,
        });
        Ok(())
    }

    /// What to wait for, in the order of [`take`](Self::take).
    pub(crate) fn wait_for(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.0
            .iter()
            .map(|log| PollFd::new(log.printed.as_fd(), PollFlags::POLLIN))
    }

    /// Takes what was printed where something was.
    pub(crate) fn take(&mut self, stirred: &[bool]) {
        for (log, _) in self
            .0
            .iter_mut()
            .zip(stirred)
            .filter(|(_, stirred)| **stirred)
        {
            log.take();
        }
        self.0.retain(|log| !log.over);
    }

    /// Takes everything that was printed.
    pub(crate) fn take_all(&mut self) {
        // A pipe's whole content is one or two takes; who prints on does so after this.
        for log in &mut self.0 {
            log.take();
        }
        self.0.retain(|log| !log.over);
    }
}

impl Log {
    /// A pipe holds at most as much by itself (pipe(7)), so that this takes what was there.
    fn take(&mut self) {
        let mut buffer = vec![0; 64 << 10];
        match self.printed.read(&mut buffer) {
            Ok(0) => self.over = true,
            // A full disk is told where the run's other files are written.
            Ok(length) => drop(append(&mut self.file, &buffer[..length], LONGEST)),
            Err(_) => {}
        }
    }
}

/// Appends up to a size limit, and then a notice.
fn append(file: &mut File, text: &[u8], longest: u64) -> io::Result<()> {
    let length = file.metadata()?.len();
    let room = usize::try_from(longest.saturating_sub(length)).unwrap_or(usize::MAX);
    if text.len() <= room {
        return file.write_all(text);
    }
    // The line that says so is beyond the size, which is how it is written once.
    if length <= longest {
        file.write_all(&text[..room])?;
        writeln!(file, "\n{}", ended())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_truncated_at_its_limit_with_one_notice() {
        let folder = std::env::temp_dir().join(format!("wireproof-log-{}", std::process::id()));
        let open = || {
            File::options()
                .create(true)
                .append(true)
                .open(&folder)
                .unwrap()
        };
        for text in [&b"12345"[..], b"6789", b"abc", b"def"] {
            // A second command appends to the same log.
            append(&mut open(), text, 8).unwrap();
        }
        let read = std::fs::read_to_string(&folder).unwrap();
        std::fs::remove_file(&folder).unwrap();
        assert_eq!(read, format!("12345678\n{}\n", ended()));
    }
}
