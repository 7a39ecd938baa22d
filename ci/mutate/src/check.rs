//! Mutated scenarios through `wireproof check`, and those that are right through `wireproof plan`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::course::{Course, Found};
use crate::program::{Ended, TRIES, run};
use crate::random::Random;
use crate::scenario::Seeds;

/// How many files one process checks. One that is not as it must be is checked file by file.
const BATCH: usize = 40;

/// 0 all are right, 2 one is wrong.
const STATUSES: &[i32] = &[0, 2];

/// The program under test, and a folder for its input.
pub(crate) struct Check<'a> {
    pub(crate) wireproof: &'a Path,
    pub(crate) folder: &'a Path,
}

impl Check<'_> {
    /// Checks mutants until the course is over.
    ///
    /// # Errors
    /// A seed, the folder or the program cannot be used.
    pub(crate) fn all(&self, seeds: &Seeds, course: &mut Course) -> io::Result<()> {
        loop {
            let mut batch = Vec::new();
            while batch.len() < BATCH
                && let Some(case) = course.next()
            {
                let mutant = seeds.mutant(&mut Random::of_case(course.seed, case));
                let path = self.folder.join(format!("{case}.toml"));
                fs::write(&path, mutant)?;
                batch.push((case, path));
            }
            if batch.is_empty() {
                return Ok(());
            }
            for (case, path, what) in self.batch(&batch)? {
                let file = path.file_name().unwrap_or_default();
                course.found(Found {
                    case,
                    what,
                    kept: &path,
                    as_name: Path::new(file),
                })?;
            }
            for (_, path) in batch {
                fs::remove_file(path)?;
            }
        }
    }

    /// What is wrong with each file of a batch, if anything is.
    fn batch(&self, batch: &[(u64, PathBuf)]) -> io::Result<Vec<(u64, PathBuf, String)>> {
        let mut arguments = vec![PathBuf::from("check")];
        arguments.extend(batch.iter().map(|(_, path)| path.clone()));
        let together = run(self.wireproof, &arguments)?;
        let is_fine = together.fault(STATUSES).is_none()
            && !together.is_slow()
            && batch.iter().all(|(_, path)| is_answered(&together, path));
        let mut found = Vec::new();
        for (case, path) in batch {
            let what = match (is_fine, is_right(&together, path)) {
                (true, true) => self.plan(path, *case)?,
                (true, false) => None,
                (false, _) => self.alone(path)?,
            };
            found.extend(what.map(|what| (*case, path.clone(), what)));
        }
        Ok(found)
    }

    /// What is wrong with one file, all that is asked of it.
    ///
    /// # Errors
    /// The program cannot be started.
    pub(crate) fn alone(&self, path: &Path) -> io::Result<Option<String>> {
        let ended = patiently(self.wireproof, &[Path::new("check"), path])?;
        if let Some(fault) = fault(&ended) {
            return Ok(Some(format!("check: {fault}")));
        }
        if !is_answered(&ended, path) {
            return Ok(Some(
                "check: neither a plan nor a mistake is told of the file".into(),
            ));
        }
        match is_right(&ended, path) {
            true => Ok(self.plan(path, 0)?.or(self.plan(path, 1)?)),
            false => Ok(None),
        }
    }

    /// Shows what a right file means, to people or to programs.
    fn plan(&self, path: &Path, case: u64) -> io::Result<Option<String>> {
        let format = if case.is_multiple_of(2) {
            "text"
        } else {
            "json"
        };
        let arguments = ["plan", "--format", format].map(Path::new);
        let ended = patiently(self.wireproof, &[&arguments[..], &[path]].concat())?;
        let fault = fault(&ended).or_else(|| match ended.status?.code() {
            Some(0) if format == "json" => {
                serde_json::from_slice::<serde_json::Value>(&ended.stdout)
                    .err()
                    .map(|error| format!("not JSON: {error}"))
            }
            Some(0) => None,
            code => Some(format!(
                "exit status {code:?} of a scenario that `check` takes"
            )),
        });
        Ok(fault.map(|fault| format!("plan --format {format}: {fault}")))
    }
}

/// Runs the program, again if it takes too long.
fn patiently(program: &Path, arguments: &[&Path]) -> io::Result<Ended> {
    let mut ended = run(program, arguments)?;
    for _ in 1..TRIES {
        if ended.is_slow() {
            ended = run(program, arguments)?;
        }
    }
    Ok(ended)
}

fn fault(ended: &Ended) -> Option<String> {
    let slow = || {
        ended
            .is_slow()
            .then(|| format!("it takes {:.1} s", ended.took.as_secs_f64()))
    };
    ended.fault(STATUSES).or_else(slow)
}

/// Whether the file's plan is counted on standard output.
fn is_right(ended: &Ended, path: &Path) -> bool {
    let begins = format!("{}: ", path.display());
    let output = String::from_utf8_lossy(&ended.stdout);
    output.lines().any(|line| line.starts_with(&begins))
}

/// Whether anything is said of the file.
fn is_answered(ended: &Ended, path: &Path) -> bool {
    let name = path.display().to_string();
    is_right(ended, path) || String::from_utf8_lossy(&ended.stderr).contains(&name)
}
