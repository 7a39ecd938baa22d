//! Following a directory: each file that inotify names is read again, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use tokio::sync::mpsc;
use tokio::time::sleep;
use wiremesh_plan::intent::resource::Identity;

use super::super::catalogue::Catalogue;
use super::super::snapshot::Snapshot;
use super::super::{Changed, StoreError};
use super::parse::{Parsed, Parser, Unparsed, is_small, parse};
use super::{Digest, Directory, file, is_resource};

/// What changes a store's content, and what takes the directory itself away.
const INSIDE: AddWatchFlags = AddWatchFlags::IN_CLOSE_WRITE
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_MOVE_SELF)
    .union(AddWatchFlags::IN_ONLYDIR);

/// What takes a store's directory away, and puts another one in its place. While its descriptor is open its
/// parent reports a deletion.
const OUTSIDE: AddWatchFlags = AddWatchFlags::IN_CREATE
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_DELETE);

/// How often a directory that is gone is looked for, besides when inotify notifies: its parent may be gone as
/// well.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The link that a mounted ConfigMap's files lead through (Kubernetes: `atomic_writer.go`): when it is
/// replaced, all of them are, and nothing else is reported of it.
const MOUNTED: &str = "..data";

/// How many readings of the queue may wait; while more come the kernel's own queue fills, and reports when it
/// has overflowed.
const QUEUE_LENGTH: usize = 16;

/// A directory and what it held when it was last looked at.
#[derive(Debug)]
pub(crate) struct Follower {
    directory: Directory,
    /// Without links, so that the name in the parent is known.
    path: PathBuf,
    inotify: Arc<Inotify>,
    events: mpsc::Receiver<Vec<InotifyEvent>>,
    /// None while the directory is gone.
    inside: Option<Inside>,
    outside: Option<WatchDescriptor>,
    catalogue: Catalogue,
    digest: Digest,
    /// What has been read and not yet reported.
    pending: Option<Changed>,
    parser: Parser,
    /// Whether the files that are being parsed are those of another directory; none, if none are.
    parsing: Option<bool>,
}

/// The directory that is watched. Its files are read through its own descriptor: by its
/// path, a directory that has just gone would look like an empty one.
#[derive(Debug)]
struct Inside {
    watch: WatchDescriptor,
    folder: File,
}

impl Inside {
    fn open(path: &Path, inotify: &Inotify) -> io::Result<Self> {
        let folder = File::open(path)?;
        // By its descriptor, so that it is this directory that is watched.
        let itself = format!("/proc/self/fd/{}", folder.as_raw_fd());
        let watch = inotify.add_watch(itself.as_str(), INSIDE)?;
        Ok(Self { watch, folder })
    }

    /// What a file holds; None if it is not there.
    fn read(&self, name: &str) -> Option<file::Content> {
        file::read(&self.folder, name)
    }
}

impl Drop for Follower {
    /// The last message to the reading thread.
    fn drop(&mut self) {
        let inside = self.inside.as_ref().map(|inside| inside.watch);
        for watch in [inside, self.outside].into_iter().flatten() {
            let _ = self.inotify.rm_watch(watch);
        }
    }
}

impl Follower {
    /// Reads everything, and follows it from there.
    pub(crate) fn start(directory: &Directory) -> Result<Self, StoreError> {
        let fail = |cause: io::Error| directory.unreadable(cause);
        let path = directory.path.canonicalize().map_err(fail)?;
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC).map_err(|errno| fail(errno.into()))?;
        let inside = Inside::open(&path, &inotify).map_err(fail)?;
        // The root directory has no parent, and is never replaced.
        let outside = path
            .parent()
            .map(|parent| inotify.add_watch(parent, OUTSIDE))
            .transpose()
            .map_err(|errno| fail(errno.into()))?;
        let inotify = Arc::new(inotify);
        let mut follower = Self {
            directory: directory.clone(),
            path,
            events: listen(Arc::clone(&inotify))?,
            inotify,
            inside: Some(inside),
            outside,
            catalogue: Catalogue::new(&directory.hooks),
            digest: Digest::default(),
            pending: None,
            parser: Parser::start()?,
            parsing: None,
        };
        // Watched first: what is written while this reads is read again.
        let files = follower.all_files()?;
        follower.take_parsed(parse(files));
        Ok(follower)
    }

    /// What was read last.
    pub(crate) fn snapshot(&self) -> &Snapshot {
        self.catalogue.snapshot()
    }

    /// Waits for a change. Cancelled, it loses none.
    pub(crate) async fn changed(&mut self) -> Changed {
        loop {
            if let Some(changed) = self.pending.take() {
                return changed;
            }
            if let Some(replaced) = self.parsing {
                let parsed = self.parser.parsed().await;
                self.parsing = None;
                let stirred = self.take_parsed(parsed);
                self.pending = changed(stirred, replaced);
                continue;
            }
            let events = tokio::select! {
                events = self.events.recv() => events,
                () = sleep(POLL_INTERVAL), if self.inside.is_none() => Some(Vec::new()),
            };
            // What was received is taken in without waiting, so nothing can be lost by cancelling.
            self.pending = match events {
                Some(mut events) => {
                    // All that has come by now is one change.
                    while let Ok(more) = self.events.try_recv() {
                        events.extend(more);
                    }
                    self.take(&events)
                }
                // Inotify cannot be read any more: the only way left is to look.
                None => {
                    sleep(POLL_INTERVAL).await;
                    self.read_again()
                }
            };
        }
    }

    /// Applies inotify's events.
    fn take(&mut self, events: &[InotifyEvent]) -> Option<Changed> {
        let Some(inside) = &self.inside else {
            return self.read_again();
        };
        let mut names = BTreeSet::new();
        for event in events {
            if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                return self.read_again();
            }
            if Some(event.wd) == self.outside {
                if event.name.as_deref() == self.path.file_name() {
                    return self.read_again();
                }
            } else if event.wd == inside.watch {
                match &event.name {
                    Some(name) => names.extend(name.to_str().map(str::to_owned)),
                    // The directory itself was moved or deleted: its descriptor follows the old one.
                    None => return self.read_again(),
                }
            }
        }
        if names.contains(MOUNTED) {
            // Every file of the mount may be another one now.
            return self.read_again();
        }
        let files = names.into_iter().filter(|name| is_resource(name));
        let files = files
            .map(|name| {
                let content = inside.read(&name);
                (name, content)
            })
            .collect();
        let files = self.unparsed(files);
        self.take_files(files, false)
    }

    /// Watches whatever directory is there by now, and reads all of it.
    fn read_again(&mut self) -> Option<Changed> {
        let lost = self.inside.take().map(|inside| inside.watch);
        if let Some(parent) = self.path.parent() {
            self.outside = self.inotify.add_watch(parent, OUTSIDE).ok();
        }
        let read = match Inside::open(&self.path, &self.inotify) {
            Ok(inside) => {
                self.inside = Some(inside);
                match lost {
                    None if !self.directory.hooks.resumes_watch() => Ok(Vec::new()),
                    _ => self.all_files(),
                }
            }
            Err(error) => Err(self.directory.unreadable(error)),
        };
        if read.is_err() {
            self.inside = None;
        }
        let watched = self.inside.as_ref().map(|inside| inside.watch);
        // The same directory has the same watch; another one's events count no more.
        if let Some(old) = lost
            && watched != lost
        {
            let _ = self.inotify.rm_watch(old);
        }
        match read {
            Ok(files) => self.take_files(files, watched != lost),
            // Said once; it is looked for all the same.
            Err(error) => lost.map(|_| match self.catalogue.lose_store() {
                gone if gone.is_empty() => Changed::Trouble(error.to_string()),
                gone => Changed::Resources(gone),
            }),
        }
    }

    /// Every file that is there or was.
    fn all_files(&self) -> Result<Vec<Unparsed>, StoreError> {
        let there = self.directory.files()?;
        let gone = self.digest.hashes.keys();
        let gone = gone.filter(|name| !there.contains_key(*name)).cloned();
        let mut files: BTreeMap<_, Option<file::Content>> = gone.map(|name| (name, None)).collect();
        files.extend(
            there
                .into_iter()
                .map(|(name, content)| (name, Some(content))),
        );
        Ok(self.unparsed(files))
    }

    fn unparsed(&self, files: BTreeMap<String, Option<file::Content>>) -> Vec<Unparsed> {
        let files = files.into_iter();
        let known = &self.digest.hashes;
        files
            .map(|(name, content)| Unparsed {
                known: known.get(&name).copied(),
                name,
                content,
            })
            .collect()
    }

    /// Takes in what these files hold by now, which are those of another directory if it was `replaced`;
    /// of large ones later.
    fn take_files(&mut self, files: Vec<Unparsed>, replaced: bool) -> Option<Changed> {
        if is_small(&files) {
            let stirred = self.take_parsed(parse(files));
            return changed(stirred, replaced);
        }
        self.parser.give(files);
        self.parsing = Some(replaced);
        None
    }

    /// Returns the resources that these files change, if anything is another at all.
    fn take_parsed(&mut self, files: Vec<Parsed>) -> Option<BTreeSet<Identity>> {
        let mut stirred = None;
        if !self.directory.hooks.accepts_store_events() {
            return stirred;
        }
        for Parsed {
            name,
            hash,
            contents,
        } in files
        {
            if self.digest.set_hash(&name, hash) {
                let changed = match contents {
                    Some(contents) => self.catalogue.put_file(&name, contents),
                    None => self.catalogue.remove_file(&name),
                };
                stirred.get_or_insert_with(BTreeSet::new).extend(changed);
            }
        }
        self.catalogue.set_digest(self.digest.digits());
        stirred
    }
}

/// The change to report for files that were read; of a directory that is another one than before it is that.
fn changed(stirred: Option<BTreeSet<Identity>>, replaced: bool) -> Option<Changed> {
    match stirred {
        stirred if !replaced => stirred.map(Changed::Resources),
        Some(_) => Some(Changed::Everything),
        // It is back, or another one holds what it held.
        None => Some(Changed::Resources(BTreeSet::new())),
    }
}

/// Reads inotify's queue until nobody listens any more.
fn listen(inotify: Arc<Inotify>) -> Result<mpsc::Receiver<Vec<InotifyEvent>>, StoreError> {
    let (sender, events) = mpsc::channel(QUEUE_LENGTH);
    let listen = move || {
        while let Ok(events) = inotify.read_events() {
            if sender.blocking_send(events).is_err() {
                return;
            }
        }
    };
    let started = thread::Builder::new().name("inotify".into()).spawn(listen);
    started.map(|_| events).map_err(StoreError::Thread)
}
