//! How many cases there are, how far they have come, and what was found.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often progress is printed.
const PROGRESS: Duration = Duration::from_secs(15);

/// After so many failures no further one is looked for.
const ENOUGH: usize = 10;

/// What is to be done.
#[derive(Debug)]
pub(crate) struct Course {
    /// `scenarios` or `stores`.
    pub(crate) name: &'static str,
    pub(crate) seed: u64,
    /// The number of the next case.
    next: u64,
    /// The number of the case after the last.
    end: u64,
    deadline: Option<Instant>,
    /// Where failures are kept.
    keep: PathBuf,
    began: Instant,
    told: Instant,
    done: u64,
    failures: usize,
}

/// A case that is not as it must be.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    pub(crate) case: u64,
    pub(crate) what: String,
    /// The file or folder that shows it.
    pub(crate) kept: &'a Path,
    /// What it is called where it is kept, besides the seed.
    pub(crate) as_name: &'a Path,
}

impl Course {
    /// Begins now.
    pub(crate) fn new(
        name: &'static str,
        seed: u64,
        first: u64,
        count: u64,
        seconds: Option<u64>,
        keep: PathBuf,
    ) -> Self {
        let now = Instant::now();
        Self {
            name,
            seed,
            next: first,
            end: first.saturating_add(count),
            deadline: seconds.map(|seconds| now + Duration::from_secs(seconds)),
            keep,
            began: now,
            told: now,
            done: 0,
            failures: 0,
        }
    }

    /// The next case; none, if all are done, the time is over, or enough has failed.
    pub(crate) fn next(&mut self) -> Option<u64> {
        let now = Instant::now();
        if now.duration_since(self.told) > PROGRESS {
            self.told = now;
            eprintln!("{}", self.progress());
        }
        let is_late = self.deadline.is_some_and(|deadline| now > deadline);
        if self.next >= self.end || is_late || self.failures >= ENOUGH {
            return None;
        }
        let case = self.next;
        self.next += 1;
        self.done += 1;
        Some(case)
    }

    /// Keeps what shows a failure, and says how to see it again.
    ///
    /// # Errors
    /// It cannot be kept.
    pub(crate) fn found(&mut self, found: Found<'_>) -> io::Result<()> {
        self.failures += 1;
        let folder = self.keep.join(format!("{}-{}", self.name, self.seed));
        fs::create_dir_all(&folder)?;
        let kept = folder.join(found.as_name);
        copy(found.kept, &kept)?;
        eprintln!(
            "FAILED {} case {}: {}\n  kept: {}\n  replay: cargo run -p wireproof-mutate -- {} --replay {}",
            self.name,
            found.case,
            found.what,
            kept.display(),
            self.name,
            kept.display()
        );
        Ok(())
    }

    /// What was done so far.
    pub(crate) fn progress(&self) -> String {
        format!(
            "{}: {} cases with seed {}, {} failed, {:.0} s",
            self.name,
            self.done,
            self.seed,
            self.failures,
            self.began.elapsed().as_secs_f64()
        )
    }

    /// Whether all was as it must be, and anything was tried.
    pub(crate) fn is_fine(&self) -> bool {
        self.failures == 0 && self.done > 0
    }
}

/// Copies a file, or a folder with what is in it: links as links, and no special files.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let kind = fs::symlink_metadata(from)?.file_type();
    if kind.is_dir() {
        if to.exists() {
            fs::remove_dir_all(to)?;
        }
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
    } else if kind.is_symlink() {
        std::os::unix::fs::symlink(fs::read_link(from)?, to)?;
    } else if kind.is_file() {
        fs::copy(from, to)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_course_ends_with_its_last_case_or_its_time() {
        let course = |count, seconds| Course::new("scenarios", 1, 5, count, seconds, "".into());
        let mut some = course(3, None);
        assert!(!some.is_fine(), "nothing was tried yet");
        assert_eq!(
            std::iter::from_fn(|| some.next()).collect::<Vec<_>>(),
            [5, 6, 7]
        );
        assert!(some.is_fine());
        let mut late = course(u64::MAX, Some(0));
        assert_eq!(late.next(), None);
    }
}
