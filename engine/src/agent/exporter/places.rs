//! The open connections: a bounded number, so that a new one is always accepted at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

/// How many connections are open at once.
pub(super) const PLACES: usize = 32;

/// The connections that are open now.
#[derive(Debug, Clone, Default)]
pub(super) struct Places(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    next: u64,
    /// By number, so the oldest is first.
    connections: BTreeMap<u64, Connection>,
}

#[derive(Debug)]
struct Connection {
    /// Whether its request has been read.
    has_asked: bool,
    task: AbortHandle,
}

/// One connection's place, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    places: Places,
}

impl Places {
    /// Starts a connection's task. Where all places are taken another connection is closed: the
    /// oldest of those that have not sent their request, else the oldest of all. So a client that
    /// sends its request at once is answered, however many others are idle or slow.
    pub(super) fn start(&self, task: impl FnOnce(Place) -> AbortHandle) {
        let mut open = self.open();
        let number = open.next;
        open.next += 1;
        let place = Place {
            number,
            places: self.clone(),
        };
        let task = task(place);
        let connection = Connection {
            has_asked: false,
            task,
        };
        let closed = open.make_room();
        open.connections.insert(number, connection);
        drop(open);
        if let Some(closed) = closed {
            closed.task.abort();
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn make_room(&mut self) -> Option<Connection> {
        if self.connections.len() < PLACES {
            return None;
        }
        let mut silent = self.connections.iter().filter(|(_, open)| !open.has_asked);
        let number = match silent.next() {
            Some((number, _)) => *number,
            None => *self.connections.keys().next()?,
        };
        self.connections.remove(&number)
    }
}

impl Place {
    /// Takes note that the request has been read.
    pub(super) fn has_asked(&self) {
        if let Some(connection) = self.places.open().connections.get_mut(&self.number) {
            connection.has_asked = true;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.open().connections.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opens a connection that lasts; returns whether it has asked.
    fn open(places: &Places, asks: bool) -> tokio::task::JoinHandle<()> {
        let mut handle = None;
        places.start(|place| {
            let task = tokio::spawn(async move {
                if asks {
                    place.has_asked();
                }
                std::future::pending::<()>().await;
            });
            let abort = task.abort_handle();
            handle = Some(task);
            abort
        });
        handle.unwrap()
    }

    /// Which of these connections have been closed, once all tasks have had a turn.
    async fn closed(tasks: &[tokio::task::JoinHandle<()>]) -> Vec<usize> {
        tokio::task::yield_now().await;
        let tasks = tasks.iter().enumerate();
        let closed = tasks.filter(|(_, task)| task.is_finished());
        closed.map(|(at, _)| at).collect()
    }

    #[tokio::test]
    async fn a_silent_connection_is_closed_before_one_that_is_being_answered() {
        let places = Places::default();
        let mut tasks: Vec<_> = (0..PLACES).map(|at| open(&places, at != 3)).collect();
        assert_eq!(closed(&tasks).await, [0; 0]);
        tasks.push(open(&places, true));
        assert_eq!(closed(&tasks).await, [3]);
        tasks.push(open(&places, true));
        assert_eq!(closed(&tasks).await, [0, 3]);
    }

    #[tokio::test]
    async fn a_connection_that_ends_gives_its_place_back() {
        let places = Places::default();
        let first = open(&places, true);
        let tasks: Vec<_> = (1..PLACES).map(|_| open(&places, true)).collect();
        assert_eq!(closed(&tasks).await, [0; 0]);
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        let _new = open(&places, true);
        assert_eq!(closed(&tasks).await, [0; 0]);
    }
}
