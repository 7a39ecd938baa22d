//! The host's end of one machine: receives its messages, until it is done or dies.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};
use wireproof_model::plan::{Patience, Timeout};
use wireproof_model::text::shown_path;

use crate::base::error::{Doing, LabError};
use crate::base::wait::Deadline;

use super::blame::{Blame, Charges};
use super::boot::{BootFailure, End};
use super::complaint;
use super::qemu::{Acceleration, Qemu};
use super::stream::{Message, receive};
use super::{Job, Machine, News, Outcome, usual};

/// How long a machine on the processor itself may take until its first message. One that runs at
/// all needs a second; some hosts have a KVM that never gets there. This and what follows is multiplied
/// by as much as a patience is greater than the usual one of the way of running it.
const BOOT_BY_KVM: Duration = Duration::from_secs(10);
/// The same for one that is emulated, which takes 3 s, and more where others want the processors.
const BOOT_BY_EMULATION: Duration = Duration::from_secs(60);
/// How long a machine may be silent; it shows a sign of life each second.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the machine may have a processor while one run lasts in it.
const LONGEST_RUN: Duration = Duration::from_secs(600);
/// How many times as long a run may last where other programs have the processors.
const WAITS: u32 = 4;
/// What the kernel wrote to its log while a run lasted, in its run directory.
const KERNEL_LOG: &str = "kernel.log";
/// Lines of the console that are shown of a machine that died.
const CONSOLE_TAIL: usize = 15;

/// What a machine may take until its first message.
const BOOT: &str = "deadline of a boot";
/// What it may take from one message to the next.
const SIGN_OF_LIFE: &str = "deadline of a sign of life";

/// The host's end of one machine.
pub(super) struct Host<'j> {
    qemu: Qemu,
    news: BufReader<Patient>,
    patience: Patience,
    acceleration: Acceleration,
    started: Instant,
    jobs: &'j [&'j Job],
    /// The kernel's release and the time that its boot took, until a run begins.
    up: Option<(String, Duration)>,
    ended: BTreeSet<usize>,
    begun: Vec<Option<Begun>>,
    kernel_log: fs::File,
    blame: Blame,
    /// How many processors of the host it can have at once.
    at_once: u32,
}

/// When a run began.
#[derive(Debug, Clone)]
struct Begun {
    at: Instant,
    /// How long the machine had had a processor then.
    processor: Option<Duration>,
}

/// What a run has had too much of, if anything: the machine has had a processor for `worked` since it began, of at
/// most `at_once` processors, and it has lasted for `lasted`.
fn overrun(worked: Duration, lasted: Duration, longest: Duration, at_once: u32) -> Option<String> {
    let (most_work, most) = (longest * at_once, longest * WAITS);
    if worked > most_work {
        let limit = most_work.as_secs();
        Some(format!(
            "the machine has worked longer than {limit} s on a run"
        ))
    } else if lasted > most {
        Some(format!("a run lasted longer than {} s", most.as_secs()))
    } else {
        None
    }
}

impl<'j> Host<'j> {
    pub(super) fn start(
        machine: &Machine,
        root: &OwnedFd,
        acceleration: Acceleration,
        patience: Patience,
        kilohertz: Option<u32>,
        boot: u32,
        jobs: &'j [&'j Job],
    ) -> Result<Self, LabError> {
        let console = machine.console(boot);
        let kernel_log = machine.directory.join(format!("kernel-{boot}.log"));
        let kernel_log =
            fs::File::create(&kernel_log).doing(format!("create {}", shown_path(&kernel_log)))?;
        let (qemu, pipe) = Qemu::start(
            &machine.kernel,
            root,
            machine.size,
            acceleration,
            kilohertz,
            &console,
        )?;
        let boots_in = match acceleration {
            Acceleration::Kvm => BOOT_BY_KVM,
            Acceleration::Emulation => BOOT_BY_EMULATION,
        };
        let patient = Patient {
            pipe,
            deadline: BOOT,
            allowed: patience.allows(boots_in),
        };
        Ok(Self {
            qemu,
            news: BufReader::with_capacity(1 << 18, patient),
            patience,
            acceleration,
            started: Instant::now(),
            jobs,
            up: None,
            ended: BTreeSet::new(),
            begun: vec![None; jobs.len()],
            kernel_log,
            blame: Blame::default(),
            at_once: match acceleration {
                Acceleration::Kvm => u32::try_from(machine.size.processors).unwrap_or(u32::MAX),
                // Its processors run in turns.
                Acceleration::Emulation => 1,
            },
        })
    }

    /// Takes messages until all is done.
    ///
    /// # Errors
    /// How its line ended before that.
    pub(super) fn listen(&mut self, report: &mut impl FnMut(News)) -> Result<(), End> {
        loop {
            match receive(&mut self.news) {
                Ok(Some(Message::Done)) => return Ok(()),
                Ok(Some(message)) => self.take(message, report)?,
                Ok(None) => return Err(self.end(&io::ErrorKind::UnexpectedEof.into())),
                Err(error) => return Err(self.end(&error)),
            }
            if let Some(late) = self.late() {
                return Err(End::Wrong(format!("{late}: {}", self.advice())));
            }
        }
    }

    /// What a run has had too much of, if one has.
    fn late(&self) -> Option<String> {
        let longest = self.patience.allows(LONGEST_RUN).time();
        let now = self.qemu.processor_time();
        let mut running = self.blame.running().iter();
        running.find_map(|job| {
            let Begun { at, processor } = self.begun[*job].as_ref()?;
            let worked = now
                .zip(*processor)
                .map(|(now, then)| now.saturating_sub(then));
            let lasted = at.elapsed();
            overrun(worked.unwrap_or(lasted), lasted, longest, self.at_once)
        })
    }

    fn take(&mut self, message: Message, report: &mut impl FnMut(News)) -> Result<(), End> {
        let known = |job: usize| match job < self.jobs.len() {
            true => Ok(job),
            false => Err(End::Wrong(format!("there is no job {job}"))),
        };
        match message {
            Message::Up { release, failed } => {
                self.up = Some((release, self.started.elapsed()));
                let patient = self.news.get_mut();
                (patient.deadline, patient.allowed) =
                    (SIGN_OF_LIFE, self.patience.allows(SILENCE_TIMEOUT));
                for line in failed {
                    self.log(&format!("wireproof: {line}"));
                }
            }
            Message::Left(remains) => report(News::Left(remains)),
            Message::Beat { .. } | Message::Done => {}
            Message::Kernel { level, text } => {
                self.log(&text);
                self.blame.take(level, &text)?;
            }
            Message::Started { job } => {
                let job = known(job)?;
                if let Some((release, after)) = self.up.take() {
                    report(News::Up {
                        release,
                        acceleration: self.acceleration,
                        after,
                    });
                }
                self.blame.begin(job);
                self.begun[job] = Some(Begun {
                    at: Instant::now(),
                    processor: self.qemu.processor_time(),
                });
                report(News::Started(job));
            }
            Message::File { job, path, length } => {
                let job = known(job)?;
                self.save(job, &path, length)
                    .map_err(|error| self.end(&error))?;
            }
            Message::Ended {
                job,
                status,
                error_text,
            } => {
                let job = known(job)?;
                self.ended.insert(job);
                let Charges {
                    complaints,
                    shortage,
                } = self.blame.end(job);
                let outcome = match shortage {
                    Some(line) if complaints.is_empty() => Outcome::Lost {
                        why: format!("the virtual machine ran out of memory: {line}"),
                    },
                    _ => Outcome::Finished {
                        status,
                        error_text,
                        complaints,
                    },
                };
                report(News::Ended(job, outcome));
            }
        }
        Ok(())
    }

    /// Whether a run has begun in it.
    pub(super) fn came_to_a_run(&self) -> bool {
        self.blame.came_to_a_run()
    }

    /// The jobs that run.
    pub(super) fn running(&self) -> BTreeSet<usize> {
        self.blame.running().clone()
    }

    /// Why it did not come to a run.
    pub(super) fn boot_failure(&self, end: &End) -> BootFailure {
        BootFailure::of(end, &self.qemu.console())
    }

    fn save(&mut self, job: usize, path: &Path, length: u64) -> io::Result<()> {
        let is_below = path
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if !is_below {
            return Err(io::Error::other(format!(
                "a file is called {}",
                shown_path(&path)
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
    pub(super) fn lost(&mut self, job: usize, end: &End) -> Outcome {
        let mut complaints = self.blame.end(job).complaints;
        complaints.extend(self.blame.unsent(&self.qemu.console()));
        let why = self.why(end);
        match complaints.is_empty() {
            true => Outcome::Lost { why },
            false => Outcome::Finished {
                status: None,
                error_text: why,
                complaints,
            },
        }
    }

    /// What its kernel complained of when something had run and nothing did. A machine that died has its
    /// last words on its console only.
    pub(super) fn between_runs(&mut self, died: bool) -> Vec<String> {
        let mut lines = self.blame.between_runs();
        if died && self.blame.running().is_empty() {
            lines.extend(self.blame.unsent(&self.qemu.console()));
        }
        lines
    }

    fn log(&mut self, line: &str) {
        // The log is for people; a full disk shows elsewhere.
        let line = format!("{line}\n");
        let _ = io::Write::write_all(&mut self.kernel_log, line.as_bytes());
        for job in self.blame.running() {
            let path = self.jobs[*job].directory.join(KERNEL_LOG);
            let log = fs::File::options().create(true).append(true).open(path);
            let _ = log.and_then(|mut log| io::Write::write_all(&mut log, line.as_bytes()));
        }
    }

    /// The jobs that have not ended.
    pub(super) fn waiting(&self) -> BTreeSet<usize> {
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

    fn end(&mut self, error: &io::Error) -> End {
        match error.kind() {
            io::ErrorKind::TimedOut => {
                let Patient {
                    deadline, allowed, ..
                } = *self.news.get_ref();
                End::Silent {
                    deadline,
                    allowed: allowed.time(),
                    advice: self.advice(),
                }
            }
            io::ErrorKind::UnexpectedEof => {
                self.qemu.reap();
                End::Closed(self.qemu.ended())
            }
            _ => End::Wrong(error.to_string()),
        }
    }

    fn why(&self, end: &End) -> String {
        format!("the virtual machine is lost: {end}\n{}", self.last_words())
    }

    /// What its console ends with.
    pub(super) fn last_words(&self) -> String {
        let console = self.qemu.console();
        let console = complaint::last_words(&console, CONSOLE_TAIL);
        format!("  its console's last lines:\n{console}")
    }
}

/// A pipe whose reads have a deadline.
struct Patient {
    pipe: io::PipeReader,
    /// What it is called.
    deadline: &'static str,
    allowed: Timeout,
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let deadline = Deadline::after(self.allowed);
        loop {
            let mut fds = [PollFd::new(self.pipe.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, deadline.poll_timeout()) {
                Ok(0) if deadline.passed() => return Err(io::ErrorKind::TimedOut.into()),
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
    fn a_machine_that_is_silent_is_not_waited_for_longer_than_allowed() {
        let (pipe, _open) = io::pipe().unwrap();
        let patient = Patient {
            pipe,
            deadline: BOOT,
            allowed: Patience::NONE.allows(SILENCE_TIMEOUT),
        };
        let error = { patient }.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_run_may_last_longer_where_other_programs_have_the_processors() {
        let seconds = Duration::from_secs;
        let of = |worked, lasted, at_once| {
            overrun(seconds(worked), seconds(lasted), seconds(600), at_once)
        };
        assert_eq!(of(600, 2_400, 1), None);
        let worked = of(601, 601, 1).unwrap();
        assert_eq!(worked, "the machine has worked longer than 600 s on a run");
        // Four processors do four times as much.
        assert_eq!(of(2_400, 601, 4), None);
        assert!(of(2_401, 601, 4).is_some());
        assert_eq!(of(1, 2_401, 4).unwrap(), "a run lasted longer than 2400 s");
    }
}
