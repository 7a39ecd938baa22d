//! Scenarios in a small virtual machine, for kernels that this one is not.
//!
//! The machine has no disk and no network. Its root is an archive in memory with this very
//! program in it, which is its first process too; what the runs leave comes back over a
//! virtual serial port, run by run, so that a machine that dies takes only what it was doing
//! along.

pub mod able;
mod complaint;
mod cpio;
mod guest;
mod image;
pub mod kernel;
mod library;
mod qemu;
mod remains;
mod stream;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};
use wireproof_model::plan::{Allowed, Patience};

use crate::error::{Doing, LabError};
use crate::wait::Deadline;

use complaint::{is_complaint, is_shortage};
pub use guest::run_if_first;
use image::Orders;
pub use kernel::Kernel;
use qemu::Qemu;
pub use qemu::{Acceleration, Size};
pub use remains::Remains;
use stream::{Message, receive};

/// How long a machine on the processor itself may take until its first message. One that runs at
/// all needs a second; some hosts have a KVM that never gets there. This and what follows is multiplied
/// by as much as a patience is greater than the usual one of the way of running it.
const BOOT_BY_KVM: Duration = Duration::from_secs(10);
/// The same for one that is emulated, which takes 3 s, and more where others want the processors.
const BOOT_BY_EMULATION: Duration = Duration::from_secs(60);
/// How long a machine may be silent; it shows a sign of life each second.
const SILENCE: Duration = Duration::from_secs(30);
/// How long one run may last in it.
const LONGEST_RUN: Duration = Duration::from_secs(600);
/// Beside the kernels: the boot of this host in which KVM turned out not to boot a guest.
const NO_KVM: &str = "kvm-does-not-boot";
/// How many times as long everything takes that is emulated; a scenario took 6 to 30 times as long,
/// and one nft list a second.
const EMULATED: u32 = 20;
/// What the kernel wrote to its log while a run lasted, in its run directory.
const KERNEL_LOG: &str = "kernel.log";
/// Lines of the console that are shown of a machine that died.
const TAIL: usize = 15;

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
    /// This program.
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

/// What becomes known while a machine works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// It is up.
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
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It came to its end, and its files are here.
    Finished {
        /// Exit status of `wireproof run`; none if a signal ended it.
        status: Option<i32>,
        /// What it said of an error.
        said: String,
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
/// another does the rest.
///
/// # Errors
/// A machine cannot be put together. What happens in one is told, job by job.
pub fn work(machine: &Machine, jobs: &[Job], mut told: impl FnMut(News)) -> Result<(), LabError> {
    fs::create_dir_all(&machine.directory)
        .doing(format!("create {}", machine.directory.display()))?;
    let mut left: Vec<usize> = (0..jobs.len()).collect();
    let mut acceleration = acceleration();
    let mut boots_again = true;
    for boot in 1.. {
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
        let mut host = Host::start(machine, &root, acceleration, orders.patience, boot, &chosen)?;
        let died = host.listen(&mut |news| {
            told(match news {
                News::Started(job) => News::Started(left[job]),
                News::Ended(job, outcome) => News::Ended(left[job], outcome),
                News::Up { .. } | News::Left(_) => news,
            });
        });
        let Err(why) = died else {
            break;
        };
        if !host.up && acceleration == Acceleration::Kvm {
            remember_that_kvm_does_not_boot();
            acceleration = Acceleration::Emulation;
            continue;
        }
        // Somebody ended it over nothing, who may have had a reason that is gone, such as a want of memory;
        // or it hung: one in some hundred guests that are emulated never says a word. One that did
        // nothing before has a second try.
        let hung = !host.up && host.qemu.ended().is_none();
        let over_nothing = host.running.is_empty() && (hung || host.qemu.was_killed());
        if over_nothing && (boots_again || !host.ended.is_empty()) {
            boots_again &= !host.ended.is_empty();
            left = host.waiting().iter().map(|job| left[*job]).collect();
            continue;
        }
        // Another that never came up will not come up the next time either; nor is there a reason to
        // try again where one died over nothing.
        let lost = match host.up && !host.running.is_empty() {
            true => host.running.clone(),
            false => host.waiting(),
        };
        for job in &lost {
            told(News::Ended(left[*job], host.lost(*job, &why)));
        }
        let rest = host.waiting();
        left = rest.difference(&lost).map(|job| left[*job]).collect();
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

/// The host's end of one machine.
struct Host<'j> {
    qemu: Qemu,
    patience: Patience,
    news: BufReader<Patient>,
    acceleration: Acceleration,
    started: Instant,
    jobs: &'j [&'j Job],
    up: bool,
    running: BTreeSet<usize>,
    ended: BTreeSet<usize>,
    begun: Vec<Option<Instant>>,
    kernel_log: fs::File,
    complaints: Vec<Vec<String>>,
    shortages: Vec<Option<String>>,
}

impl<'j> Host<'j> {
    fn start(
        machine: &Machine,
        root: &OwnedFd,
        acceleration: Acceleration,
        patience: Patience,
        boot: u32,
        jobs: &'j [&'j Job],
    ) -> Result<Self, LabError> {
        let console = machine.directory.join(format!("console-{boot}.log"));
        let kernel_log = machine.directory.join(format!("kernel-{boot}.log"));
        let kernel_log =
            fs::File::create(&kernel_log).doing(format!("create {}", kernel_log.display()))?;
        let (qemu, pipe) =
            Qemu::start(&machine.kernel, root, machine.size, acceleration, &console)?;
        let allowed = match acceleration {
            Acceleration::Kvm => BOOT_BY_KVM,
            Acceleration::Emulation => BOOT_BY_EMULATION,
        };
        let allowed = patience.allows(allowed);
        Ok(Self {
            qemu,
            patience,
            news: BufReader::with_capacity(1 << 18, Patient { pipe, allowed }),
            acceleration,
            started: Instant::now(),
            jobs,
            up: false,
            running: BTreeSet::new(),
            ended: BTreeSet::new(),
            begun: vec![None; jobs.len()],
            kernel_log,
            complaints: vec![Vec::new(); jobs.len()],
            shortages: vec![None; jobs.len()],
        })
    }

    /// Takes messages until all is done; the error is why the machine died.
    fn listen(&mut self, told: &mut impl FnMut(News)) -> Result<(), String> {
        loop {
            match receive(&mut self.news) {
                Ok(Some(Message::Done)) => return Ok(()),
                Ok(Some(message)) => {
                    if let Err(error) = self.take(message, told) {
                        return Err(self.how_it_died(&error));
                    }
                }
                Ok(None) => return Err(self.how_it_died(&io::ErrorKind::UnexpectedEof.into())),
                Err(error) => return Err(self.how_it_died(&error)),
            }
            let longest = self.patience.allows(LONGEST_RUN).time();
            let late =
                |job: &&usize| self.begun[**job].is_some_and(|begun| begun.elapsed() > longest);
            if self.running.iter().any(|job| late(&job)) {
                let error = io::Error::other(format!(
                    "a run lasted longer than {} s: {}",
                    longest.as_secs(),
                    self.advice()
                ));
                return Err(self.how_it_died(&error));
            }
        }
    }

    fn take(&mut self, message: Message, told: &mut impl FnMut(News)) -> io::Result<()> {
        let known = |job: usize| match job < self.jobs.len() {
            true => Ok(job),
            false => Err(io::Error::other(format!("there is no job {job}"))),
        };
        match message {
            Message::Up { release, failed } => {
                self.up = true;
                self.news.get_mut().allowed = self.patience.allows(SILENCE);
                for line in failed {
                    self.log(&format!("wireproof: module {line}"));
                }
                told(News::Up {
                    release,
                    acceleration: self.acceleration,
                    after: self.started.elapsed(),
                });
            }
            Message::Left(remains) => told(News::Left(remains)),
            Message::Beat { .. } | Message::Done => {}
            Message::Kernel { level, text } => {
                self.log(&text);
                if is_complaint(level, &text) {
                    for job in &self.running {
                        self.complaints[*job].push(text.clone());
                    }
                }
                if is_shortage(&text) {
                    for job in &self.running {
                        self.shortages[*job].get_or_insert_with(|| text.clone());
                    }
                }
            }
            Message::Started { job } => {
                let job = known(job)?;
                self.running.insert(job);
                self.begun[job] = Some(Instant::now());
                told(News::Started(job));
            }
            Message::File { job, path, length } => {
                let job = known(job)?;
                self.save(job, &path, length)?;
            }
            Message::Ended { job, status, said } => {
                let job = known(job)?;
                self.running.remove(&job);
                self.ended.insert(job);
                let complaints = std::mem::take(&mut self.complaints[job]);
                let outcome = match self.shortages[job].take() {
                    Some(line) if complaints.is_empty() => Outcome::Lost {
                        why: format!("the virtual machine ran out of memory: {line}"),
                    },
                    _ => Outcome::Finished {
                        status,
                        said,
                        complaints,
                    },
                };
                told(News::Ended(job, outcome));
            }
        }
        Ok(())
    }

    fn save(&mut self, job: usize, path: &Path, length: u64) -> io::Result<()> {
        let is_below = path
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if !is_below {
            return Err(io::Error::other(format!(
                "a file is called {}",
                path.display()
            )));
        }
        let path = self.jobs[job].directory.join(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("")))?;
        let mut file = fs::File::create(&path)?;
        match io::copy(&mut self.news.by_ref().take(length), &mut file) {
            Ok(came) if came == length => Ok(()),
            // Half a file is none.
            came => {
                fs::remove_file(&path)?;
                Err(came.err().unwrap_or(io::ErrorKind::UnexpectedEof.into()))
            }
        }
    }

    /// How a job ended that died with its machine: by a mistake in the kernel that is tested, or by
    /// an accident.
    fn lost(&mut self, job: usize, why: &str) -> Outcome {
        let mut complaints = std::mem::take(&mut self.complaints[job]);
        complaints.extend(complaint::on_console(&self.qemu.console()));
        match complaints.is_empty() {
            true => Outcome::Lost { why: why.into() },
            false => Outcome::Finished {
                status: None,
                said: why.into(),
                complaints,
            },
        }
    }

    fn log(&mut self, line: &str) {
        // The log is for people; a full disk shows elsewhere.
        let line = format!("{line}\n");
        let _ = io::Write::write_all(&mut self.kernel_log, line.as_bytes());
        for job in &self.running {
            let path = self.jobs[*job].directory.join(KERNEL_LOG);
            let log = fs::File::options().create(true).append(true).open(path);
            let _ = log.and_then(|mut log| io::Write::write_all(&mut log, line.as_bytes()));
        }
    }

    /// The jobs that have not ended.
    fn waiting(&self) -> BTreeSet<usize> {
        (0..self.jobs.len())
            .filter(|job| !self.ended.contains(job))
            .collect()
    }

    /// How to have more time.
    fn advice(&self) -> String {
        let usual = Patience::times(usual(self.acceleration));
        let more = self.patience.of(usual).more();
        match more {
            Some(more) => format!("on a host that is slow or busy, `--patience {more}`"),
            None => "run fewer things beside it".to_owned(),
        }
    }

    fn how_it_died(&mut self, error: &io::Error) -> String {
        let what = match error.kind() {
            io::ErrorKind::TimedOut => {
                format!("it was silent for {error}: {}", self.advice())
            }
            io::ErrorKind::UnexpectedEof => {
                self.qemu.reap();
                "its line broke off".to_owned()
            }
            _ => error.to_string(),
        };
        let ended = match self.qemu.ended() {
            Some(how) => format!("; {how}"),
            None => String::new(),
        };
        let console = self.qemu.console();
        let console = complaint::last_words(&console, TAIL);
        format!(
            "the virtual machine is lost: {what}{ended}\n  its console's last lines:\n{console}"
        )
    }
}

/// A pipe whose reads have a deadline.
struct Patient {
    pipe: io::PipeReader,
    allowed: Allowed,
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let deadline = Deadline::after(self.allowed);
        loop {
            let mut fds = [PollFd::new(self.pipe.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, deadline.poll_timeout()) {
                Ok(0) if deadline.passed() => {
                    let text = format!("{} s", self.allowed.time().as_secs());
                    return Err(io::Error::new(io::ErrorKind::TimedOut, text));
                }
                Ok(0) | Err(nix::errno::Errno::EINTR) => {}
                Ok(_) => return self.pipe.read(buffer),
                Err(error) => return Err(error.into()),
            }
        }
    }
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

    #[test]
    fn a_machine_that_is_silent_is_not_waited_for_longer_than_allowed() {
        let (pipe, _open) = io::pipe().unwrap();
        let allowed = Patience::NONE.allows(SILENCE);
        let error = Patient { pipe, allowed }.read(&mut [0]).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string()),
            (io::ErrorKind::TimedOut, "0 s".to_owned())
        );
    }
}
