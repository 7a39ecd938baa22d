//! Scenarios in a small virtual machine, for kernels that this one is not.
//!
//! The machine has no disk and no network. Its root is an archive in memory with this very
//! program in it, which is its first process too; what the runs leave comes back over a
//! virtual serial port, run by run, so that a machine that dies takes only what it was doing
//! along.

/// Kernels to boot: an image and its modules.
pub mod kernel;

/// The shared libraries that a program needs.
mod library;

/// The archive format of a kernel's first root.
mod cpio;

/// The guest's first root.
mod image;

/// The rate of this host's time stamp counter, which an emulated guest's is.
mod tsc;

/// A guest as a process.
mod qemu;

/// Capabilities of a virtual machine, as far as they are known without booting it.
pub mod able;

/// Complaints of a kernel: log lines of warnings, oopses, panics and memory shortage.
mod complaint;

/// Starts of a machine that never came to a run, and whether it is started again.
mod boot;

/// Attribution of kernel log lines to runs.
mod blame;

/// Leaks of kernel objects: what runs leave in the kernel when nobody uses it any more.
mod remains;

/// Messages from a guest to its host.
mod stream;

/// The log of a guest's kernel, line by line.
mod kernel_log;

/// The guest's first process.
mod guest;

/// The host's end of one machine: receives its messages, until it is done or dies.
mod host;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use wireproof_model::count::counted;
use wireproof_model::plan::Patience;
use wireproof_model::text::shown_path;

use crate::base::error::{Doing, LabError};

use boot::{Next, Starts};
pub use guest::run_if_first;
use host::Host;
use image::Orders;
pub use kernel::Kernel;
pub use qemu::{Acceleration, Size};
pub use remains::Remains;

/// Beside the kernels: the boot of this host in which KVM turned out not to boot a guest.
const NO_KVM: &str = "kvm-does-not-boot";
/// How many times as long everything takes that is emulated; a scenario took 6 to 30 times as long,
/// and one nft list a second.
const EMULATED: u32 = 20;

/// One run in a machine.
#[derive(Debug, Clone)]
pub struct Job {
    /// Arguments of `wireproof run`.
    pub arguments: Vec<String>,
    /// Where its files go.
    pub directory: PathBuf,
}

/// What all runs of one batch share.
#[derive(Debug)]
pub struct Machine {
    /// What is booted.
    pub kernel: Kernel,
    /// What it gets.
    pub size: Size,
    /// Runs at a time.
    pub workers: usize,
    /// The path of `wireproof`.
    pub program: PathBuf,
    /// Programs that the runs start.
    pub programs: BTreeSet<PathBuf>,
    /// Files that they read.
    pub files: BTreeSet<PathBuf>,
    /// How many times as long everything may take; else as long as the way of running it needs.
    pub patience: Option<u32>,
    /// Where the console's text and the kernel's log go.
    pub directory: PathBuf,
}

impl Machine {
    /// What the kernel of one start writes to its console.
    fn console(&self, start: u32) -> PathBuf {
        self.directory.join(format!("console-{start}.log"))
    }
}

/// What becomes known while a machine works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// It was started and came to no run.
    StartFailed {
        /// How it was run, and what went wrong.
        why: String,
        /// Its console's text.
        console: PathBuf,
        /// Whether it is started again.
        again: bool,
    },
    /// It is up, and a run begins.
    Up {
        /// Its kernel, as that names itself.
        release: String,
        /// How it is run.
        acceleration: Acceleration,
        /// Time from qemu's start.
        after: Duration,
    },
    /// A job has begun.
    Started(usize),
    /// A job is over.
    Ended(usize, Outcome),
    /// All of a machine's jobs are over, and so much is left of them.
    Left(Remains),
    /// Its kernel complained when something had run and nothing did.
    Complained(Vec<String>),
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It came to its end, and its files are here.
    Finished {
        /// Exit status of `wireproof run`; none if a signal ended it.
        status: Option<i32>,
        /// What it printed of an error, or why it could not be run.
        error_text: String,
        /// What the kernel complained of meanwhile: warnings, oopses, stuck tasks.
        complaints: Vec<String>,
    },
    /// The machine died, or never lived.
    Lost {
        /// Why, with the console's last lines.
        why: String,
    },
}

/// Does all jobs, in as few machines as it takes: when one dies, what it was doing is lost, and
/// another does the rest. One that came to no run has done no harm: it is started again, a few times.
///
/// # Errors
/// A machine cannot be put together. What happens in one is reported, job by job.
pub fn work(machine: &Machine, jobs: &[Job], mut report: impl FnMut(News)) -> Result<(), LabError> {
    fs::create_dir_all(&machine.directory)
        .doing(format!("create {}", shown_path(&machine.directory)))?;
    let mut left: Vec<usize> = (0..jobs.len()).collect();
    let mut acceleration = acceleration();
    let mut starts = Starts::default();
    let first_reading = tsc::Reading::take();
    for start in 1.. {
        if left.is_empty() {
            break;
        }
        let times = machine.patience.unwrap_or(usual(acceleration));
        let patience = ["--patience".to_owned(), times.to_string()];
        let orders = Orders {
            program: machine.program.clone(),
            folder: std::env::current_dir().doing("find the working folder")?,
            jobs: left
                .iter()
                .map(|job| [jobs[*job].arguments.as_slice(), &patience].concat())
                .collect(),
            workers: machine.workers,
            patience: own_patience(times, acceleration),
        };
        let programs: Vec<_> = machine.programs.iter().cloned().collect();
        let files: Vec<_> = machine.files.iter().cloned().collect();
        let root = image::assemble(&machine.kernel, &orders, &programs, &files)?;
        let chosen: Vec<_> = left.iter().map(|job| &jobs[*job]).collect();
        // Putting its root together has taken long enough to know.
        let kilohertz = first_reading
            .zip(tsc::Reading::take())
            .and_then(|(first, now)| now.kilohertz_since(&first));
        let mut host = Host::start(
            machine,
            &root,
            acceleration,
            orders.patience,
            kilohertz,
            start,
            &chosen,
        )?;
        let listened = host.listen(&mut |news| {
            report(match news {
                News::Started(job) => News::Started(left[job]),
                News::Ended(job, outcome) => News::Ended(left[job], outcome),
                News::StartFailed { .. }
                | News::Up { .. }
                | News::Left(_)
                | News::Complained(_) => news,
            });
        });
        if host.came_to_a_run() {
            starts.came_to_a_run();
            let complaints = host.between_runs(listened.is_err());
            if !complaints.is_empty() {
                report(News::Complained(complaints));
            }
            let Err(end) = listened else {
                break;
            };
            let lost = host.running();
            for job in &lost {
                report(News::Ended(left[*job], host.lost(*job, &end)));
            }
            let rest = host.waiting();
            left = rest.difference(&lost).map(|job| left[*job]).collect();
            continue;
        }
        let Err(end) = listened else {
            break;
        };
        let failure = host.boot_failure(&end);
        let why = format!("by {}: {failure}", acceleration.as_str());
        let next = starts.failed(acceleration, failure);
        report(News::StartFailed {
            why,
            console: machine.console(start),
            again: next != Next::Never,
        });
        match next {
            Next::Again(next) => {
                if acceleration == Acceleration::Kvm && next == Acceleration::Emulation {
                    remember_that_kvm_does_not_boot();
                }
                acceleration = next;
            }
            Next::Never => {
                let why = came_to_no_run(&starts.describe(), &host.last_words());
                for job in &left {
                    report(News::Ended(*job, Outcome::Lost { why: why.clone() }));
                }
                break;
            }
        }
    }
    Ok(())
}

/// How many times as long everything takes in a machine that is run in this way.
fn usual(acceleration: Acceleration) -> u32 {
    match acceleration {
        Acceleration::Kvm => 1,
        Acceleration::Emulation => EMULATED,
    }
}

/// How many times as long as usual the machine itself may take.
fn own_patience(times: u32, acceleration: Acceleration) -> Patience {
    Patience::times((times / usual(acceleration)).max(1))
}

/// The message about each job of a machine that is not started again.
fn came_to_no_run(failed: &[String], last_words: &str) -> String {
    let numbered = (1..).zip(failed);
    let lines: Vec<_> = numbered
        .map(|(number, why)| format!("\n  start {number}, {why}"))
        .collect();
    let starts = counted(failed.len(), "start");
    format!(
        "the virtual machine came to no run in {starts}{}\n{last_words}",
        lines.concat()
    )
}

/// KVM where it may work: it is there, and has not failed since this host was started.
fn acceleration() -> Acceleration {
    let kvm = fs::File::options().read(true).write(true).open("/dev/kvm");
    let known = fs::read_to_string(kernel::folder().join(NO_KVM)).ok();
    match kvm {
        Ok(_) if known.is_none() || known != boot_id() => Acceleration::Kvm,
        Ok(_) | Err(_) => Acceleration::Emulation,
    }
}

/// A guest that never came up by KVM costs its whole deadline: once is enough. Where it cannot be
/// noted, it is found out again.
fn remember_that_kvm_does_not_boot() {
    if let Some(id) = boot_id() {
        let _ = fs::write(kernel::folder().join(NO_KVM), id);
    }
}

/// What differs each time that the host starts (random(4)).
fn boot_id() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_as_much_longer_as_its_runs_have_than_usual() {
        let kvm = |times| own_patience(times, Acceleration::Kvm);
        let emulated = |times| own_patience(times, Acceleration::Emulation);
        assert_eq!([1, 5].map(kvm), [1, 5].map(Patience::times));
        assert_eq!([1, 20, 60].map(emulated), [1, 1, 3].map(Patience::times));
    }
}
