//! Parsing files, the large ones on a thread of its own: signals, the kernel and whoever asks for the
//! agent's health do not wait for it.

use std::sync::mpsc as blocking;
use std::thread;

use tokio::sync::mpsc;

use super::super::StoreError;
use super::super::catalogue::Contents;
use super::{contents_of, file, hash_of};

/// How many bytes are parsed at once, in a few milliseconds even by an unoptimized program.
const MAX_INLINE_BYTES: usize = 64 * 1024;

/// A file as it is by now.
pub(super) struct Unparsed {
    pub(super) name: String,
    /// None, if it is gone.
    pub(super) content: Option<file::Content>,
    /// The hash of what it held before.
    pub(super) known: Option<u64>,
}

/// A file that was parsed, unless it is as it was.
pub(super) struct Parsed {
    pub(super) name: String,
    /// Of what it holds; None, if it is gone.
    pub(super) hash: Option<u64>,
    /// None, if it is gone or holds what it held.
    pub(super) contents: Option<Contents>,
}

/// Whether that is done at once.
pub(super) fn is_small(files: &[Unparsed]) -> bool {
    let contents = files.iter().filter_map(|file| file.content.as_ref());
    let lengths = contents.map(|content| content.as_ref().map_or(0, Vec::len));
    lengths.sum::<usize>() <= MAX_INLINE_BYTES
}

pub(super) fn parse(files: Vec<Unparsed>) -> Vec<Parsed> {
    let parse = |file: Unparsed| {
        let name = file.name;
        let hash = file.content.as_ref().map(|content| hash_of(&name, content));
        let content = file.content.filter(|_| hash != file.known);
        let contents = content.map(|content| contents_of(&name, content));
        Parsed {
            name,
            hash,
            contents,
        }
    };
    files.into_iter().map(parse).collect()
}

/// A thread that parses what it is given, in order.
#[derive(Debug)]
pub(super) struct Parser {
    given: blocking::Sender<Vec<Unparsed>>,
    parsed: mpsc::UnboundedReceiver<Vec<Parsed>>,
}

impl Parser {
    /// # Errors
    /// The machine has no thread left.
    pub(super) fn start() -> Result<Self, StoreError> {
        let (given, take) = blocking::channel();
        let (give, parsed) = mpsc::unbounded_channel();
        let work = move || {
            while let Ok(files) = take.recv() {
                if give.send(parse(files)).is_err() {
                    return;
                }
            }
        };
        let started = thread::Builder::new().name("parser".into()).spawn(work);
        started.map_err(StoreError::Thread)?;
        Ok(Self { given, parsed })
    }

    pub(super) fn give(&self, files: Vec<Unparsed>) {
        // It listens as long as this is there.
        let _ = self.given.send(files);
    }

    /// What was given first and not taken yet. Cancelled, it loses nothing.
    pub(super) async fn parsed(&mut self) -> Vec<Parsed> {
        self.parsed.recv().await.unwrap_or_default()
    }
}
