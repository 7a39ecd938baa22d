//! Mutated stores through `wiremesh status` and an agent that stays alive, with a good store in between.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::agent::{Agent, QUIET, State};
use crate::course::{Course, Found};
use crate::program::{ENDLESS, PATIENCE, TRIES};
use crate::random::Random;
use crate::status;
use crate::store::{Files, Seed, mutant};

/// After so many mutants a good store is put back.
const GOOD_EVERY: u64 = 10;

/// The most memory that an agent may have had, in KiB: one file has up to 4 MiB, and its values several
/// times as much.
const MEMORY: u64 = 256 * 1024;

/// How many descriptors more than at first an agent may have: connections that are being closed, and
/// the pipes of an `nft` that it has just started.
const DESCRIPTORS: usize = 10;

/// How often each good store is put in at first: what the agent sets once and for all is set by the
/// second time, and by the third all must be as at the second.
const ROUNDS: usize = 3;

/// What shows the node's dataplane; what differs each time is left out, and the number of the agent's own table:
/// it stays where it is while that one is allowed, wherever a mutant has sent it.
const DATAPLANE: &[&str] = &[
    "ip -o link show | sed -E 's/^[0-9]+: //; s/link.*//; s/master.*//'",
    "ip -o address show scope global | sed -E 's/^[0-9]+: //'",
    "(ip rule show; ip -6 rule show) | sed -E 's/lookup [0-9]+ proto 87/lookup OWN proto 87/'",
    "(ip -4 route show table all; ip -6 route show table all | grep -v 'fe80::.* table local') \
     | sed -E 's/table [0-9]+ proto 87/table OWN proto 87/'",
    "nft -s list ruleset",
    "cd /proc/sys/net/ipv4/conf; grep . */src_valid_mark */rp_filter",
];

/// The program under test, a folder for its input, and good stores.
pub(crate) struct Living<'a> {
    pub(crate) wiremesh: &'a Path,
    pub(crate) folder: &'a Path,
    pub(crate) seeds: &'a [Seed],
}

/// An agent, and what it was like with each good store at first.
struct Run {
    agent: Agent,
    /// What a good store of that number came to: the status, and the dataplane.
    good: BTreeMap<usize, (String, String)>,
    descriptors: usize,
}

impl Living<'_> {
    /// Puts mutants in until the course is over.
    ///
    /// # Errors
    /// No agent can be started, or it is never in sync with a good store.
    pub(crate) fn all(&self, course: &mut Course) -> io::Result<()> {
        let mut life = 0;
        let mut run = self.start(life)?;
        while let Some(case) = course.next() {
            let mut random = Random::of_case(course.seed, case);
            let files = mutant(self.seeds, &mut random);
            let way = random.below(16);
            let fault = match self.mutant(&mut run, &files, way, random.below(5))? {
                Ok(state) if state == State::Waits || case % GOOD_EVERY == GOOD_EVERY - 1 => {
                    self.good(&mut run, random.below(self.seeds.len()))?
                }
                Ok(_) => None,
                Err(fault) => Some(fault),
            };
            if let Some(what) = fault {
                self.keep(course, case, &files, what, &run)?;
                life += 1;
                // One at a time: two would undo what each other does.
                drop(run);
                run = self.start(life)?;
            }
        }
        println!("stores: {life} agents after the first");
        Ok(())
    }

    /// Keeps what shows a failure.
    fn keep(
        &self,
        course: &mut Course,
        case: u64,
        files: &Files,
        what: String,
        run: &Run,
    ) -> io::Result<()> {
        let kept = self.folder.join("kept");
        fs::create_dir_all(&kept)?;
        crate::agent::write_all(&kept, files)?;
        let since = case - case % GOOD_EVERY;
        let what = format!(
            "{what}\n  since the last good store at the latest: --seed {} --first {since} --count {}\n  the agent's log:\n{}",
            course.seed,
            case - since + 1,
            run.agent.log()
        );
        let as_name = PathBuf::from(case.to_string());
        course.found(Found {
            case,
            what,
            kept: &kept,
            as_name: &as_name,
        })?;
        fs::remove_dir_all(&kept)
    }

    /// What is wrong with a kept store, all that is asked of it.
    ///
    /// # Errors
    /// No agent can be started.
    pub(crate) fn alone(&self, path: &Path) -> io::Result<Option<String>> {
        let files = crate::agent::read_all(path)?;
        let mut run = self.start(0)?;
        for question in 0..5 {
            if let Err(fault) = self.mutant(&mut run, &files, 2, question)? {
                eprintln!("{}", run.agent.log());
                return Ok(Some(fault));
            }
        }
        let fault = self.good(&mut run, 0)?;
        eprintln!("{}", run.agent.log());
        Ok(fault)
    }

    /// An agent that has been in sync with each good store several times.
    fn start(&self, life: usize) -> io::Result<Run> {
        let folder = self.folder.join(life.to_string());
        let mut run = Run {
            agent: Agent::start(self.wiremesh, &folder)?,
            good: BTreeMap::new(),
            descriptors: usize::MAX,
        };
        for round in 0..ROUNDS {
            for number in 0..self.seeds.len() {
                if let Some(what) = self.good(&mut run, number)? {
                    let (seed, log) = (&self.seeds[number].name, run.agent.log());
                    return Err(io::Error::other(format!(
                        "the good store `{seed}`: {what}\n{log}"
                    )));
                }
            }
            if round == 0 {
                run.good.clear();
                run.descriptors = run.agent.holds()?.1 + DESCRIPTORS;
            }
        }
        Ok(run)
    }

    /// Puts a mutant in, and asks the agent and `status` about it.
    fn mutant(
        &self,
        run: &mut Run,
        files: &Files,
        way: usize,
        question: usize,
    ) -> io::Result<Result<State, String>> {
        let state = match self.follow(run, files, way, true)? {
            Ok(state) => state,
            Err(fault) => return Ok(Err(fault)),
        };
        if let Some(fault) = status::fault(self.wiremesh, &run.agent.store(), question)? {
            return Ok(Err(fault));
        }
        Ok(run.agent.fault()?.map_or(Ok(state), Err))
    }

    /// Replaces the store, and waits until the agent follows it; again after a good one, if that took too
    /// long.
    fn follow(
        &self,
        run: &mut Run,
        files: &Files,
        way: usize,
        may_wait: bool,
    ) -> io::Result<Result<State, String>> {
        let mut slow = String::new();
        for _ in 0..TRIES {
            run.agent.replace(files, way)?;
            let (state, took) = run.agent.follow(may_wait)?;
            slow = match state {
                State::Behind(said) => {
                    let fault = run.agent.fault()?;
                    let behind =
                        format!("the agent does not follow its store; it said last: `{said}`");
                    return Ok(Err(fault.unwrap_or(behind)));
                }
                state if took <= PATIENCE => return Ok(Ok(state)),
                state => format!("the agent takes {:.1} s: {state:?}", took.as_secs_f64()),
            };
            let good = self.seeds.first().map(|seed| &seed.files);
            run.agent.replace(good.unwrap_or(files), 2)?;
            if let (State::Behind(said), _) = run.agent.follow(false)? {
                return Ok(Err(format!(
                    "{slow}; then it does not follow a good store; it said last: `{said}`"
                )));
            }
        }
        Ok(Err(slow))
    }

    /// Puts a good store back: the agent is in sync in time, and all is as it was with it at first.
    fn good(&self, run: &mut Run, number: usize) -> io::Result<Option<String>> {
        let seed = &self.seeds[number];
        let with = |what: String| {
            Ok(Some(format!(
                "back with the good store `{}`: {what}",
                seed.name
            )))
        };
        let said = match self.follow(run, &seed.files, 2, false)? {
            Ok(State::InSync(said)) => said,
            Ok(other) => return with(format!("{other:?}")),
            Err(fault) => return with(fault),
        };
        if let Some(fault) = run.agent.fault()? {
            return with(fault);
        }
        let dataplane = settled(run, number)?;
        let (memory, descriptors) = run.agent.holds()?;
        if memory > MEMORY {
            return with(format!("the agent has had {memory} KiB of memory"));
        }
        if descriptors > run.descriptors {
            return with(format!(
                "the agent has {descriptors} descriptors, not {}",
                run.descriptors
            ));
        }
        let (first, expected) = run
            .good
            .entry(number)
            .or_insert_with(|| (said.clone(), dataplane.clone()));
        if !said.is_empty() && !first.is_empty() && said != *first {
            return with(format!("it says `{said}`, and said `{first}` at first"));
        }
        if let Some(difference) = difference(expected, &dataplane) {
            return with(format!(
                "the dataplane is another one than at first:\n{difference}"
            ));
        }
        Ok(None)
    }
}

/// The node's dataplane once it is as it was with that good store at first, or, after some time or at
/// first, as it stays: a tunnel's process ends by itself after its device was given up. The order of lines
/// is not compared: it is that in which the agent made links and routes.
fn settled(run: &mut Run, number: usize) -> io::Result<String> {
    let expected = run.good.get(&number).map(|(_, dataplane)| dataplane);
    let began = Instant::now();
    let mut last = dataplane()?;
    loop {
        if expected.is_some_and(|expected| difference(expected, &last).is_none()) {
            return Ok(last);
        }
        let _ = run.agent.hear(QUIET);
        let next = dataplane()?;
        let stays = next == last && expected.is_none();
        if stays || began.elapsed() > ENDLESS {
            return Ok(next);
        }
        last = next;
    }
}

/// The node's dataplane as text, and its tunnels' processes.
fn dataplane() -> io::Result<String> {
    let output = Command::new("sh")
        .arg("-c")
        .arg(DATAPLANE.join("\n"))
        .output()?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut tunnels = Vec::new();
    for process in fs::read_dir("/proc")? {
        // One that has ended meanwhile is none.
        let command = fs::read(process?.path().join("cmdline")).unwrap_or_default();
        let words: Vec<_> = command.split(|byte| *byte == 0).collect();
        if let [_, b"tunnel", name, ..] = words[..] {
            tunnels.push(format!(
                "tunnel process of {}\n",
                String::from_utf8_lossy(name)
            ));
        }
    }
    tunnels.sort();
    text.extend(tunnels);
    Ok(text)
}

/// The lines that only one of them has.
fn difference(before: &str, after: &str) -> Option<String> {
    let only = |one: &str, other: &str, sign: char| {
        let lines = one
            .lines()
            .filter(|line| !other.lines().any(|there| there == *line));
        lines
            .map(|line| format!("    {sign} {line}\n"))
            .collect::<String>()
    };
    let text = only(before, after, '-') + &only(after, before, '+');
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_the_lines_of_one_side() {
        assert_eq!(difference("a\nb\n", "b\na\n"), None);
        assert_eq!(
            difference("a\nb\n", "a\nc\n").unwrap(),
            "    - b\n    + c\n"
        );
    }
}
