//! Starts of a machine that never came to a run: what went wrong, and whether it is started again.
//! Pure: decided by what its kernel wrote and how its line ended.

use std::fmt;
use std::time::Duration;

use super::complaint;
use super::qemu::{Acceleration, Exit};

/// How often a machine is started until something runs in it, each way of running it by itself.
pub(super) const MOST_STARTS: usize = 3;

/// Lines of a kernel's complaint that are shown.
const MAX_SHOWN: usize = 3;

/// How the connection to a machine ended before the machine had reported that it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing came for as long as that deadline allows.
    Silent {
        deadline: &'static str,
        allowed: Duration,
        /// How to have more time.
        advice: String,
    },
    /// The line was closed, since qemu ended like this; it is not known where it did not end.
    Closed(Option<Exit>),
    /// Something else is wrong: what came is no message, or a run lasts for ever.
    Wrong(String),
    /// Its kernel complained before anything ran: these lines of its log.
    Complained(Vec<String>),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent {
                deadline,
                allowed,
                advice,
            } => {
                let allowed = allowed.as_secs();
                write!(f, "it was silent for {allowed} s ({deadline}): {advice}")
            }
            Self::Closed(Some(exit)) => write!(f, "its line broke off; {}", exit.text),
            Self::Closed(None) => write!(f, "its line broke off"),
            Self::Wrong(what) => write!(f, "{what}"),
            Self::Complained(lines) => write!(f, "its kernel complained: {}", shown(lines)),
        }
    }
}

/// Why nothing ran in a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BootFailure {
    /// Its kernel wrote what no kernel should, or panicked.
    Complained(Vec<String>),
    /// It hung until a deadline.
    Hung(String),
    /// A signal ended qemu: somebody's, the kernel's for want of memory, or one for qemu's own mistake.
    Killed { how: String, from_outside: bool },
    /// qemu ended by itself, or the guest did not know what to do. That does not change by itself.
    Unable(String),
}

impl BootFailure {
    /// What a start failed by that ended like this, with that on its console.
    pub(super) fn of(end: &End, console: &str) -> Self {
        let mut lines = match end {
            End::Complained(lines) => lines.clone(),
            End::Silent { .. } | End::Closed(_) | End::Wrong(_) => Vec::new(),
        };
        if lines.is_empty() {
            lines = complaint::of_boot(console);
        }
        if !lines.is_empty() {
            return Self::Complained(lines);
        }
        match end {
            End::Silent { .. } => Self::Hung(end.to_string()),
            End::Closed(Some(Exit {
                signal: Some(signal),
                ..
            })) => Self::Killed {
                how: end.to_string(),
                from_outside: matches!(*signal, libc::SIGKILL | libc::SIGTERM),
            },
            End::Closed(_) | End::Wrong(_) | End::Complained(_) => Self::Unable(end.to_string()),
        }
    }
}

impl fmt::Display for BootFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complained(lines) => write!(f, "its kernel complained: {}", shown(lines)),
            Self::Hung(how) => write!(f, "it hung: {how}"),
            Self::Killed { how, .. } | Self::Unable(how) => write!(f, "{how}"),
        }
    }
}

fn shown(lines: &[String]) -> String {
    lines[..lines.len().min(MAX_SHOWN)].join("; ")
}

/// What follows a start that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The machine is started again, and run like this.
    Again(Acceleration),
    /// It would not help.
    Never,
}

/// The starts of a machine that failed since something ran in it.
#[derive(Debug, Default)]
pub(super) struct Starts {
    failed: Vec<(Acceleration, BootFailure)>,
}

impl Starts {
    /// One more has failed. What does not boot cleanly by KVM is emulated, unless somebody ended it: some
    /// hosts have a KVM by which no guest boots. An emulated guest that complained, hung or was killed may
    /// well do without the next time.
    pub(super) fn failed(&mut self, acceleration: Acceleration, failure: BootFailure) -> Next {
        let may_be_chance = match (&failure, acceleration) {
            (BootFailure::Killed { from_outside, .. }, Acceleration::Kvm) => *from_outside,
            (_, Acceleration::Kvm) | (BootFailure::Unable(_), _) => false,
            (BootFailure::Complained(_) | BootFailure::Hung(_) | BootFailure::Killed { .. }, _) => {
                true
            }
        };
        self.failed.push((acceleration, failure));
        let like_this = self.failed.iter().filter(|(by, _)| *by == acceleration);
        match acceleration {
            _ if may_be_chance && like_this.count() < MOST_STARTS => Next::Again(acceleration),
            Acceleration::Kvm => Next::Again(Acceleration::Emulation),
            Acceleration::Emulation => Next::Never,
        }
    }

    /// Something runs in it.
    pub(super) fn came_to_a_run(&mut self) {
        self.failed.clear();
    }

    /// What each of them failed by, in order.
    pub(super) fn describe(&self) -> Vec<String> {
        let one = |(acceleration, failure): &(Acceleration, BootFailure)| {
            format!("by {}: {failure}", acceleration.as_str())
        };
        self.failed.iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INT3: &str = "[    2.701000] int3: 0000 [#1] PREEMPT SMP NOPTI";

    fn silent() -> End {
        End::Silent {
            deadline: "a boot",
            allowed: Duration::from_secs(60),
            advice: "wait".into(),
        }
    }

    fn closed(signal: Option<i32>) -> End {
        End::Closed(Some(Exit {
            text: "qemu ended with exit status: 0".into(),
            signal,
        }))
    }

    fn complained() -> BootFailure {
        BootFailure::Complained(vec![INT3.into()])
    }

    fn killed(from_outside: bool) -> BootFailure {
        BootFailure::Killed {
            how: "signal".into(),
            from_outside,
        }
    }

    /// What follows each of several starts in a row, all by emulation.
    fn emulated(failures: &[BootFailure]) -> Vec<Next> {
        let mut starts = Starts::default();
        let failed =
            |failure: &BootFailure| starts.failed(Acceleration::Emulation, failure.clone());
        failures.iter().map(failed).collect()
    }

    #[test]
    fn a_kernel_that_oopsed_complained_however_its_line_ended() {
        let console = format!("[    0.000000] Linux version 6.1.0 #1 SMP\r\n{INT3}\r\nlast\r\n");
        for end in [silent(), closed(None), closed(Some(9)), End::Closed(None)] {
            assert_eq!(BootFailure::of(&end, &console), complained(), "{end}");
        }
    }

    #[test]
    fn a_panic_without_an_oops_is_a_complaint_of_a_boot() {
        let console = "[ 1.5] Kernel panic - not syncing: VFS: Unable to mount root fs\r\n";
        let failure = BootFailure::of(&closed(None), console);
        assert_eq!(
            failure,
            BootFailure::Complained(vec![console.trim().into()])
        );
    }

    #[test]
    fn a_warning_in_the_log_counts_where_the_console_has_none() {
        let line = "[    3.1] WARNING: CPU: 0 PID: 1 at kernel/x.c:1".to_owned();
        let failure = BootFailure::of(&End::Complained(vec![line.clone()]), "");
        assert_eq!(failure, BootFailure::Complained(vec![line.clone()]));
        assert_eq!(
            failure.to_string(),
            format!("its kernel complained: {line}")
        );
    }

    #[test]
    fn silence_is_a_hang_and_names_its_deadline() {
        let failure = BootFailure::of(&silent(), "[    0.1] Booting\r\n");
        let text = "it hung: it was silent for 60 s (a boot): wait";
        assert_eq!(failure.to_string(), text);
        assert!(matches!(failure, BootFailure::Hung(_)));
    }

    #[test]
    fn a_signal_from_outside_is_distinguished_from_qemu_s_own_exit() {
        let of = |end: &End| BootFailure::of(end, "");
        let is_outside = |failure: BootFailure| match failure {
            BootFailure::Killed { from_outside, .. } => Some(from_outside),
            _ => None,
        };
        assert_eq!(is_outside(of(&closed(Some(libc::SIGKILL)))), Some(true));
        assert_eq!(is_outside(of(&closed(Some(libc::SIGTERM)))), Some(true));
        assert_eq!(is_outside(of(&closed(Some(libc::SIGABRT)))), Some(false));
        assert!(matches!(of(&closed(None)), BootFailure::Unable(_)));
        assert!(matches!(
            of(&End::Wrong("x".into())),
            BootFailure::Unable(_)
        ));
    }

    #[test]
    fn an_emulated_machine_has_three_starts_and_no_fourth() {
        let again = Next::Again(Acceleration::Emulation);
        for failure in [complained(), killed(true), killed(false)] {
            let failures = vec![failure; MOST_STARTS];
            assert_eq!(emulated(&failures), [again, again, Next::Never]);
        }
        let mixed = [complained(), BootFailure::Hung("60 s".into()), killed(true)];
        assert_eq!(emulated(&mixed), [again, again, Next::Never]);
    }

    #[test]
    fn a_permanent_boot_failure_is_not_tried_again() {
        let unable = BootFailure::Unable("qemu ended with exit status: 1".into());
        assert_eq!(emulated(&[unable]), [Next::Never]);
    }

    #[test]
    fn a_run_makes_the_starts_before_it_count_no_more() {
        let mut starts = Starts::default();
        for _ in 0..2 * MOST_STARTS {
            let next = starts.failed(Acceleration::Emulation, complained());
            assert_eq!(next, Next::Again(Acceleration::Emulation));
            starts.came_to_a_run();
        }
        assert!(starts.describe().is_empty());
    }

    #[test]
    fn a_machine_that_kvm_does_not_boot_is_emulated_with_its_own_starts() {
        let unable = BootFailure::Unable("qemu ended with exit status: 1".into());
        for failure in [complained(), unable, killed(false)] {
            let mut starts = Starts::default();
            let next = starts.failed(Acceleration::Kvm, failure);
            assert_eq!(next, Next::Again(Acceleration::Emulation));
            for _ in 1..MOST_STARTS {
                let next = starts.failed(Acceleration::Emulation, complained());
                assert_eq!(next, Next::Again(Acceleration::Emulation));
            }
            let next = starts.failed(Acceleration::Emulation, complained());
            assert_eq!(
                (next, starts.describe().len()),
                (Next::Never, MOST_STARTS + 1)
            );
        }
        let mut starts = Starts::default();
        let next = starts.failed(Acceleration::Kvm, killed(true));
        assert_eq!(next, Next::Again(Acceleration::Kvm));
    }
}
