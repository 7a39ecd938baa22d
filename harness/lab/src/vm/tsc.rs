//! The rate of this host's time stamp counter, which an emulated guest's is (QEMU: `cpu_get_tsc` in
//! `target/i386`).
//!
//! A guest counts it against a timer while it boots. Where qemu has to wait for a processor meanwhile, the
//! guest comes to a wrong frequency, and all its clocks go wrong.

use std::fs;
use std::time::{Duration, Instant};

use crate::kernel::sys::time_stamp;

/// The shortest time between two readings that gives the frequency to a few parts in ten thousand, where
/// each may be late by some microseconds.
const MIN_INTERVAL: Duration = Duration::from_millis(50);

/// How often one reading is tried, for the one that took the shortest time.
const MAX_TRIES: usize = 5;

/// What the counter and the clock showed at the same time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    ticks: u64,
    at: Instant,
}

impl Reading {
    /// Reads both; none where the counter is not the same on all processors all the time.
    pub(super) fn take() -> Option<Self> {
        let flags = fs::read_to_string("/proc/cpuinfo").ok()?;
        if !is_steady(&flags) {
            return None;
        }
        let mut best: Option<(Duration, Self)> = None;
        for _ in 0..MAX_TRIES {
            let before = Instant::now();
            let ticks = time_stamp()?;
            let took = before.elapsed();
            if best.is_none_or(|(least, _)| took < least) {
                let at = before + took / 2;
                best = Some((took, Self { ticks, at }));
            }
        }
        best.map(|(_, reading)| reading)
    }

    /// The counter's frequency in kHz; none if too little time has passed since the earlier reading.
    pub(super) fn kilohertz_since(&self, earlier: &Self) -> Option<u32> {
        let passed = self.at.checked_duration_since(earlier.at)?;
        let ticks = u128::from(self.ticks.checked_sub(earlier.ticks)?);
        if passed < MIN_INTERVAL {
            return None;
        }
        u32::try_from(ticks * 1_000_000 / passed.as_nanos())
            .ok()
            .filter(|kilohertz| *kilohertz > 0)
    }
}

/// Whether the counter's frequency never changes and it never stops (Linux:
/// `arch/x86/include/asm/cpufeatures.h`).
fn is_steady(processors: &str) -> bool {
    let flags = processors.lines().find(|line| line.starts_with("flags"));
    let has =
        |name: &str| flags.is_some_and(|flags| flags.split_whitespace().any(|one| one == name));
    has("constant_tsc") && has("nonstop_tsc")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(ticks: u64, at: Instant) -> Reading {
        Reading { ticks, at }
    }

    #[test]
    fn the_frequency_is_ticks_by_time() {
        let begin = Instant::now();
        let earlier = reading(1_000, begin);
        let later = |ticks, after| reading(ticks, begin + Duration::from_millis(after));
        let after_half_a_second = later(1_298_061_500 + 1_000, 500);
        assert_eq!(
            after_half_a_second.kilohertz_since(&earlier),
            Some(2_596_123)
        );
    }

    #[test]
    fn too_short_a_time_and_a_counter_that_ran_back_give_none() {
        let begin = Instant::now();
        let earlier = reading(1_000, begin);
        let later = |ticks, after| reading(ticks, begin + Duration::from_millis(after));
        assert_eq!(later(127_000_000, 49).kilohertz_since(&earlier), None);
        assert_eq!(later(999, 500).kilohertz_since(&earlier), None);
        assert_eq!(later(1_000, 500).kilohertz_since(&earlier), None);
        assert_eq!(earlier.kilohertz_since(&later(127_000_000, 500)), None);
        assert_eq!(later(u64::MAX, 50).kilohertz_since(&earlier), None);
    }

    #[test]
    fn only_a_steady_counter_counts() {
        let flags = "processor\t: 0\nflags\t\t: fpu tsc constant_tsc nonstop_tsc cpuid\n";
        assert!(is_steady(flags));
        assert!(!is_steady(&flags.replace("nonstop_tsc", "")));
        assert!(!is_steady(&flags.replace("constant_tsc", "xconstant_tsc")));
        assert!(!is_steady(""));
    }
}
