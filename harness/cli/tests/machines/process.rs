//! Processes of a machine under test, and waits for them.

use std::fs;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;

/// How long qemu may take to be there, and to be gone.
const QEMU_TIMEOUT: Duration = Duration::from_secs(30);

/// The process that is qemu, as soon as it is there.
pub(crate) fn qemu_of(harness: u32) -> Result<i32, Failed> {
    let mut found = None;
    until("qemu", || {
        found = descendants(harness).into_iter().find(|pid| is_qemu(*pid));
        found.is_some()
    })?;
    found.ok_or_else(|| "there is no qemu".into())
}

pub(crate) fn is_qemu(pid: i32) -> bool {
    let name = fs::read_to_string(format!("/proc/{pid}/comm"));
    name.is_ok_and(|name| name.starts_with("qemu-system"))
}

/// All that a process has started, and what that has.
pub(crate) fn descendants(ancestor: u32) -> Vec<i32> {
    let mut family = Vec::new();
    let mut wanted = vec![ancestor.to_string()];
    while let Some(parent) = wanted.pop() {
        let tasks = fs::read_dir(format!("/proc/{parent}/task"));
        for task in tasks.into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            for child in children.split_whitespace() {
                wanted.push(child.to_owned());
                family.extend(child.parse::<i32>());
            }
        }
    }
    family
}

pub(crate) fn until(what: &str, is_so: impl FnMut() -> bool) -> Result<(), Failed> {
    until_within(QEMU_TIMEOUT, what, is_so)
}

pub(crate) fn until_within(
    allowed: Duration,
    what: &str,
    mut is_so: impl FnMut() -> bool,
) -> Result<(), Failed> {
    let end = Instant::now() + allowed;
    while !is_so() {
        if Instant::now() > end {
            return Err(format!("waited {} s for {what}", allowed.as_secs()).into());
        }
        wait(Duration::from_millis(10));
    }
    Ok(())
}

/// Lets time pass: the moment of a kill is the thing under test.
pub(crate) fn wait(time: Duration) {
    let (_keep, nobody) = mpsc::channel::<()>();
    let _ = nobody.recv_timeout(time);
}
