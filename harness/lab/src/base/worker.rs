//! Threads, and the error where the kernel gives none.

use std::hint::black_box;
use std::io;
use std::thread::{self, JoinHandle, Scope, ScopedJoinHandle};

use crate::base::error::{Doing, LabError};

/// A thread is refused for the lack of memory, or of room in a limit (pthread_create(3): `EAGAIN`).
const HELP: &str = "allow wireproof more memory and threads (ulimit -v and -u, a control group), or end \
                    what else runs on this machine";

/// Does `work` on a thread of its own, and returns what it returns.
pub(crate) fn on_new_thread<T: Send>(
    work: impl FnOnce() -> Result<T, LabError> + Send,
) -> Result<T, LabError> {
    thread::scope(|scope| ended(start(scope, work)?))
}

/// Does `work` with each, all at the same time, and returns what it returns for each.
pub(crate) fn on_new_threads<I: Send, T: Send>(
    each: impl IntoIterator<Item = I>,
    work: impl Fn(I) -> Result<T, LabError> + Sync,
) -> Vec<Result<T, LabError>> {
    let work = &work;
    thread::scope(|scope| {
        let started: Vec<_> = each
            .into_iter()
            .map(|one| start(scope, move || work(one)))
            .collect();
        let results = started.into_iter().map(|thread| ended(thread?));
        results.collect()
    })
}

/// Starts a thread that goes on beside this one.
pub(crate) fn begin(
    name: impl Into<String>,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, LabError> {
    let name = name.into();
    let doing = format!("start the thread `{name}`");
    let builder = thread::Builder::new().name(name);
    refused(room().and_then(|()| builder.spawn(work)), doing)
}

type Worker<'scope, T> = ScopedJoinHandle<'scope, Result<T, LabError>>;

fn start<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> Result<T, LabError> + Send + 'scope,
) -> Result<Worker<'scope, T>, LabError> {
    let started = room().and_then(|()| thread::Builder::new().spawn_scoped(scope, work));
    refused(started, "start a thread")
}

/// Memory that a thread takes once the kernel has given it: its stack (2 MiB, `std::thread`), and
/// the stack of its signal handlers and its first allocations, with as much again for the threads
/// that were given and have not come so far. In bytes.
const THREAD_MEMORY: usize = 4 << 20;

/// Whether a thread finds its memory. The standard library panics in a thread that has a stack and
/// finds no room for that of its signal handlers, and the whole program with it.
fn room() -> io::Result<()> {
    let mut room = Vec::<u8>::new();
    let taken = room.try_reserve_exact(THREAD_MEMORY);
    // An allocation that nobody looks at is one that the compiler may leave out.
    black_box(&room);
    taken.map_err(|_| io::ErrorKind::OutOfMemory.into())
}

fn refused<T>(started: io::Result<T>, doing: impl Into<String>) -> Result<T, LabError> {
    started.doing(doing).map_err(|error| error.help(HELP))
}

fn ended<T>(thread: Worker<'_, T>) -> Result<T, LabError> {
    match thread.join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_worked_on_and_answered_in_its_place() {
        let results = on_new_threads(0..8, |number| match number {
            3 => Err(LabError::machine("work", number)),
            _ => Ok(number),
        });
        let results: Vec<_> = results.into_iter().map(Result::ok).collect();
        assert_eq!(results.iter().flatten().count(), 7);
        assert_eq!(
            (results[2], results[3], results[7]),
            (Some(2), None, Some(7))
        );
    }
}
