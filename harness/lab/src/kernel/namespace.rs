//! Network namespaces: the only place that enters them.
//!
//! A namespace is a file descriptor and has no name anywhere. A thread that enters
//! one never comes back: it is started for the purpose and ends there, so no other
//! work can find itself in the wrong namespace. What it leaves behind - sockets,
//! child processes - stays in the namespace.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command};

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::fstat;

use crate::base::error::{Doing, LabError};
use crate::base::worker::on_new_thread;
use crate::kernel::sys;

/// A network namespace and, for a node, the mounts of its processes.
#[derive(Debug)]
pub(crate) struct Namespace {
    /// For messages: a node's or pod's name, or `fabric`.
    label: String,
    network: OwnedFd,
    /// The first process of the node, whose mounts are meant.
    first: Option<OwnedFd>,
}

impl Namespace {
    /// A new, empty network namespace.
    pub(crate) fn create(label: impl Into<String>) -> Result<Self, LabError> {
        let label = label.into();
        let network = on_new_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).doing("create a network namespace")?;
            open_own("net")
        })
        .map_err(|error| error.at(&label))?;
        Ok(Self {
            label,
            network,
            first: None,
        })
    }

    /// The same network, with no processes of its own yet.
    pub(crate) fn share(&self) -> Result<Self, LabError> {
        let network = self.network.try_clone();
        Ok(Self {
            label: self.label.clone(),
            network: network.doing("share a network namespace")?,
            first: None,
        })
    }

    /// The name used in messages.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// Its identity among all of this run.
    pub(crate) fn identity(&self) -> Result<u64, LabError> {
        fstat(&self.network)
            .map(|stat| stat.st_ino)
            .doing("tell a network namespace")
            .map_err(|error| self.locate(error))
    }

    /// For netlink attributes that name a namespace.
    pub(crate) fn network(&self) -> BorrowedFd<'_> {
        self.network.as_fd()
    }

    /// Runs `work` on a thread of its own inside the network namespace, and returns what it returns.
    pub(crate) fn enter<T: Send>(
        &self,
        work: impl FnOnce() -> Result<T, LabError> + Send,
    ) -> Result<T, LabError> {
        on_new_thread(|| {
            setns(&self.network, CloneFlags::CLONE_NEWNET).doing("enter the network namespace")?;
            work()
        })
        .map_err(|error| self.locate(error))
    }

    /// As [`enter`](Self::enter), and sees the mounts of the node's processes too. The
    /// node's `/proc` knows nothing of the thread itself.
    pub(crate) fn enter_with_mounts<T: Send>(
        &self,
        work: impl FnOnce() -> Result<T, LabError> + Send,
    ) -> Result<T, LabError> {
        self.enter(|| {
            if let Some(first) = &self.first {
                unshare(CloneFlags::CLONE_FS).doing("detach a thread's working directory")?;
                setns(first, CloneFlags::CLONE_NEWNS).doing("enter the mount namespace")?;
            }
            work()
        })
    }

    fn locate(&self, error: LabError) -> LabError {
        match error.place {
            Some(_) => error,
            None => error.at(&self.label),
        }
    }

    /// Starts `command` as the first process of a new process namespace in this network namespace. Later
    /// [`enter_with_mounts`](Self::enter_with_mounts) calls see its mounts: it makes a mount namespace of its
    /// own before it reports that it is ready.
    pub(crate) fn spawn_init(&mut self, command: &mut Command) -> Result<Child, LabError> {
        let network = &self.network;
        let (child, first) = on_new_thread(|| {
            setns(network, CloneFlags::CLONE_NEWNET).doing("enter the network namespace")?;
            unshare(CloneFlags::CLONE_NEWPID).doing("create the node's process namespace")?;
            let child = command.spawn().doing("start the node's first process")?;
            let first = sys::process(child.id()).doing("hold the node's first process")?;
            Ok((child, first))
        })
        .map_err(|error| self.locate(error))?;
        self.first = Some(first);
        Ok(child)
    }
}

fn open_own(kind: &str) -> Result<OwnedFd, LabError> {
    File::open(format!("/proc/thread-self/ns/{kind}"))
        .map(OwnedFd::from)
        .doing(format!("open the thread's {kind} namespace"))
}
