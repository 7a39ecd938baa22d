//! Messages from a guest to its host: one JSON document a line, and after some of them a file's bytes.

use std::io::{self, BufRead, Read, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::remains::Remains;

/// Longest line that is taken for a message, in bytes.
const MAX_LINE: u64 = 1 << 20;

/// A message from the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Message {
    /// The guest is up, with this kernel; this went wrong, such as modules that did not load.
    Up {
        /// As uname(2) returns it.
        release: String,
        /// A line for each.
        failed: Vec<String>,
    },
    /// It is still alive, with so much memory left, in KiB.
    Beat { available: u64 },
    /// Its kernel wrote this to its log.
    Kernel {
        /// 0 is worst, 7 is for debugging (syslog(2)).
        level: u8,
        text: String,
    },
    /// A job has begun.
    Started { job: usize },
    /// A file of a job's run directory; its bytes follow.
    File {
        job: usize,
        path: PathBuf,
        length: u64,
    },
    /// A job is done; all its files were sent.
    Ended {
        job: usize,
        /// Exit status; none if a signal ended it.
        status: Option<i32>,
        /// What it printed of an error, or why it could not be run.
        #[serde(rename = "said")]
        error_text: String,
    },
    /// So much is left of the jobs, which are all done.
    Left(Remains),
    /// All jobs are done; the guest switches itself off.
    Done,
}

/// Writes a message.
pub(crate) fn send(to: &mut impl Write, message: &Message) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    to.write_all(&line)
}

/// The next message; none at the end. What breaks off in the middle is an error.
pub(crate) fn receive(from: &mut impl BufRead) -> io::Result<Option<Message>> {
    let mut line = Vec::new();
    from.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.pop() != Some(b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(serde_json::from_slice(&line)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_files_come_as_they_were_sent() {
        let file = Message::File {
            job: 3,
            path: "a/b".into(),
            length: 4,
        };
        let mut bytes = Vec::new();
        send(&mut bytes, &file).unwrap();
        bytes.extend(b"\n{x\n");
        send(&mut bytes, &Message::Done).unwrap();
        let mut from = bytes.as_slice();
        assert_eq!(receive(&mut from).unwrap(), Some(file));
        let mut content = [0; 4];
        from.read_exact(&mut content).unwrap();
        assert_eq!(&content, b"\n{x\n");
        assert_eq!(receive(&mut from).unwrap(), Some(Message::Done));
        assert_eq!(receive(&mut from).unwrap(), None);
    }

    #[test]
    fn a_truncated_message_is_an_error() {
        let mut bytes = Vec::new();
        send(&mut bytes, &Message::Beat { available: 1 }).unwrap();
        let broken = &bytes[..bytes.len() - 3];
        assert!(receive(&mut &*broken).is_err());
        assert!(receive(&mut &b"garbage\n"[..]).is_err());
    }
}
