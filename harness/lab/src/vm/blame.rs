//! Attribution of kernel log lines to runs. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::boot::End;
use super::complaint::{is_complaint, is_shortage, on_console};

/// What a machine's kernel wrote while a run lasted and that counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Charges {
    /// A complaint: a line that no kernel should log.
    pub(super) complaints: Vec<String>,
    /// The first line that reports a shortage of memory.
    pub(super) shortage: Option<String>,
}

/// What runs in a machine, and what its kernel has written meanwhile.
#[derive(Debug, Default)]
pub(super) struct Blame {
    running: BTreeSet<usize>,
    came_to_a_run: bool,
    charges: BTreeMap<usize, Charges>,
    between_runs: Vec<String>,
    /// Every complaint that was sent.
    sent: BTreeSet<String>,
}

impl Blame {
    /// A run begins.
    pub(super) fn begin(&mut self, job: usize) {
        self.came_to_a_run = true;
        self.running.insert(job);
    }

    /// It is over, with this.
    pub(super) fn end(&mut self, job: usize) -> Charges {
        self.running.remove(&job);
        self.charges.remove(&job).unwrap_or_default()
    }

    /// A line of the log: it counts against all that runs. A complaint when something has run and nothing
    /// does is one of the runs' before it, and it is not known which.
    ///
    /// # Errors
    /// The kernel complains before the first run: nothing is to be judged on it.
    pub(super) fn take(&mut self, level: u8, text: &str) -> Result<(), End> {
        if is_shortage(text) {
            for job in &self.running {
                let charges = self.charges.entry(*job).or_default();
                charges.shortage.get_or_insert_with(|| text.to_owned());
            }
        }
        if !is_complaint(level, text) {
            return Ok(());
        }
        if !self.came_to_a_run {
            return Err(End::Complained(vec![text.to_owned()]));
        }
        for job in &self.running {
            let charges = self.charges.entry(*job).or_default();
            charges.complaints.push(text.to_owned());
        }
        if self.running.is_empty() {
            self.between_runs.push(text.to_owned());
        }
        self.sent.insert(text.to_owned());
        Ok(())
    }

    /// The jobs that run.
    pub(super) fn running(&self) -> &BTreeSet<usize> {
        &self.running
    }

    /// Whether anything has run.
    pub(super) fn came_to_a_run(&self) -> bool {
        self.came_to_a_run
    }

    /// What the kernel complained of when something had run and nothing did.
    pub(super) fn between_runs(&mut self) -> Vec<String> {
        std::mem::take(&mut self.between_runs)
    }

    /// The complaints on a console that were never sent: a machine's that died. The others were held
    /// against what ran then.
    pub(super) fn unsent(&self, console: &str) -> Vec<String> {
        let mut lines = on_console(console);
        lines.retain(|line| !self.sent.contains(line));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUG: &str = "[    9.100000] BUG: unable to handle page fault";
    const WARNING: &str = "[    9.200000] WARNING: CPU: 0 PID: 1 at net/core/dev.c:1";
    const SHORTAGE: &str = "[    9.300000] Out of memory: Killed process 71 (tail)";

    fn complaints(lines: &[&str]) -> Charges {
        Charges {
            complaints: lines.iter().map(|line| (*line).to_owned()).collect(),
            shortage: None,
        }
    }

    #[test]
    fn a_complaint_before_the_first_run_ends_the_machine() {
        let mut blame = Blame::default();
        assert_eq!(blame.take(6, "[    0.1] Booting"), Ok(()));
        assert_eq!(
            blame.take(4, WARNING),
            Err(End::Complained(vec![WARNING.into()]))
        );
        assert!(!blame.came_to_a_run());
    }

    #[test]
    fn a_complaint_in_a_run_is_held_against_all_that_runs() {
        let mut blame = Blame::default();
        blame.begin(0);
        assert_eq!(blame.end(0), Charges::default());
        blame.begin(1);
        blame.begin(2);
        assert_eq!(blame.take(1, BUG), Ok(()));
        assert_eq!(blame.end(1), complaints(&[BUG]));
        assert_eq!(blame.take(4, WARNING), Ok(()));
        assert_eq!(blame.end(2), complaints(&[BUG, WARNING]));
        assert!(blame.between_runs().is_empty());
    }

    #[test]
    fn a_complaint_between_runs_is_held_against_none_and_not_forgotten() {
        let mut blame = Blame::default();
        blame.begin(0);
        blame.end(0);
        assert_eq!(blame.take(4, WARNING), Ok(()));
        blame.begin(1);
        assert_eq!(blame.end(1), Charges::default());
        assert_eq!(blame.between_runs(), [WARNING]);
        assert!(blame.between_runs().is_empty());
    }

    #[test]
    fn a_complaint_that_was_sent_is_not_taken_from_the_console_again() {
        let mut blame = Blame::default();
        blame.begin(0);
        blame.take(1, BUG).unwrap();
        blame.end(0);
        let console = format!("{BUG}\r\n[    9.4] Oops: 0002\r\n");
        assert_eq!(blame.unsent(&console), ["[    9.4] Oops: 0002"]);
    }

    #[test]
    fn a_shortage_of_memory_counts_only_in_a_run() {
        let mut blame = Blame::default();
        assert_eq!(blame.take(3, SHORTAGE), Ok(()));
        blame.begin(0);
        assert_eq!(blame.take(3, SHORTAGE), Ok(()));
        let charges = blame.end(0);
        assert_eq!(charges.shortage.as_deref(), Some(SHORTAGE));
        assert!(charges.complaints.is_empty());
    }

    #[test]
    fn a_complaint_between_runs_is_not_taken_from_the_console_again() {
        let mut blame = Blame::default();
        blame.begin(0);
        blame.end(0);
        blame.take(4, WARNING).unwrap();
        assert!(blame.unsent(&format!("{WARNING}\r\n")).is_empty());
    }
}
