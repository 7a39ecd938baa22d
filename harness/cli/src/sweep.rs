//! The same scenarios with several WireGuards on several kernels, side by side.

/// The axes that are varied (WireGuard, lane), and their combinations.
mod axis;

/// The differences between the runs of one scenario.
mod difference;

/// The runs as a table, and the differences between them.
mod text;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};
use wireproof_model::name::NodeName;
use wireproof_model::run_traits::{self, Observation};
use wireproof_model::text::shown_path;

use crate::failure::{Failure, Status};
use crate::lane::{self, Prepared, Progress, Started};
use crate::output::{Watcher, print, print_error, print_json, report, status_of, word};
use crate::scenario::{Asked, JudgedRun};

pub use axis::{Axes, Column};
use difference::Difference;

/// What a scenario came to in one combination.
#[derive(Debug)]
struct Cell {
    word: &'static str,
    /// No status where the combination cannot be.
    status: Option<Status>,
    /// Why it is not held.
    why: String,
    directory: Option<PathBuf>,
    observations: Vec<Observation>,
    dataplanes: BTreeMap<NodeName, String>,
}

impl Cell {
    /// Of a combination that cannot be.
    fn none(why: String) -> Self {
        Self {
            word: "–",
            status: None,
            why,
            directory: None,
            observations: Vec::new(),
            dataplanes: BTreeMap::new(),
        }
    }

    fn of(proven: &Result<JudgedRun, Failure>) -> Self {
        let judged = match proven {
            Ok(judged) => judged,
            Err(failure) => {
                return Self {
                    word: "failed",
                    status: Some(failure.status()),
                    ..Self::none(failure.to_string())
                };
            }
        };
        let directory = shown_path(&judged.directory);
        let skipped = judged.evidence.skipped.clone();
        let why = skipped
            .clone()
            .unwrap_or_else(|| report(judged).failure(&directory));
        let tried = skipped.is_none();
        Self {
            word: word(judged),
            status: Some(status_of(judged)),
            why,
            directory: Some(judged.directory.clone()),
            observations: match tried {
                true => run_traits::observations(&judged.plan, &judged.evidence),
                false => Vec::new(),
            },
            dataplanes: run_traits::dataplanes(&judged.evidence),
        }
    }

    fn json(&self, column: &Column) -> Value {
        let observations = self.observations.iter();
        let observations: BTreeMap<_, _> = observations.map(|one| (one.what, &one.value)).collect();
        json!({
            "wireguard": column.wireguard,
            "lane": column.lane.to_string(),
            "outcome": match self.status {
                Some(_) => self.word,
                None => "impossible",
            },
            "status": self.status.map(|status| status as u8),
            "why": self.why,
            "directory": self.directory,
            "observations": observations,
        })
    }
}

/// One scenario in every combination.
#[derive(Debug)]
struct Row {
    name: String,
    title: String,
    path: PathBuf,
    cells: Vec<Cell>,
}

/// All scenarios in all combinations.
#[derive(Debug)]
struct Sweep {
    columns: Vec<Column>,
    rows: Vec<Row>,
    /// How virtual machines came to their runs.
    machines: Vec<Started>,
}

/// Runs every scenario in every combination that can be, the ones of one lane in one go, and prints
/// what they came to. Call it inside the sandbox.
///
/// # Errors
/// A lane cannot be set up.
pub fn run(
    axes: &Axes,
    paths: &[PathBuf],
    asked: Asked<'_>,
    runs: &std::path::Path,
    json: bool,
) -> Result<Status, Failure> {
    let columns = axes.columns();
    let watcher = Watcher::new(json);
    let mut cells: BTreeMap<(usize, usize), Cell> = BTreeMap::new();
    let mut ready: Vec<(usize, usize, Prepared)> = Vec::new();
    let mut rows = Vec::new();
    for (row, path) in paths.iter().enumerate() {
        let usual = Prepared::read(path, asked)?;
        for (number, column) in columns.iter().enumerate() {
            match column.prepare(&usual, asked) {
                Ok(prepared) => ready.push((row, number, prepared)),
                Err(why) => {
                    cells.insert((row, number), Cell::none(why));
                }
            }
        }
        rows.push(Row {
            name: usual.name,
            title: usual.plan.title,
            path: path.clone(),
            cells: Vec::new(),
        });
    }
    let mut lanes: Vec<_> = columns.iter().map(|column| &column.lane).collect();
    lanes.dedup();
    let mut left = Status::Held;
    let mut machines = Vec::new();
    for lane in lanes {
        let group = ready
            .iter()
            .filter(|(_, number, _)| columns[*number].lane == *lane);
        let group: Vec<_> = group.collect();
        let prepared: Vec<_> = group.iter().map(|(.., prepared)| prepared).collect();
        if prepared.is_empty() {
            continue;
        }
        lane::run(lane, &prepared, runs, |news| match news {
            Progress::Lane(text) => watcher.line(text),
            Progress::StartFailed(text) => {
                watcher.clear();
                print_error(text);
            }
            Progress::Machine(started) => machines.push(started),
            Progress::Left(failure) => {
                watcher.clear();
                left = left.or_worse(failure.status());
                print_error(failure);
            }
            Progress::Begins(_) => {}
            Progress::Phase(number, phase) => watcher.phase(&prepared[number].path, phase),
            Progress::Over(number, proven) => {
                watcher.clear();
                let (row, column, _) = group[number];
                cells.insert((*row, *column), Cell::of(&proven));
            }
        })?;
    }
    for (row, it) in rows.iter_mut().enumerate() {
        let of_row = (0..columns.len()).map(|column| cells.remove(&(row, column)));
        it.cells = of_row
            .map(|cell| cell.unwrap_or_else(|| Cell::none("nobody told of it".into())))
            .collect();
    }
    let sweep = Sweep {
        columns,
        rows,
        machines,
    };
    match json {
        true => print_json(&sweep.json()),
        false => print(&sweep.text()),
    }
    Ok(sweep.status().or_worse(left))
}

impl Sweep {
    /// The worst of all; a scenario that could be run in no combination proves nothing.
    fn status(&self) -> Status {
        let of_row = |row: &Row| {
            let statuses = row.cells.iter().filter_map(|cell| cell.status);
            statuses.max().unwrap_or(Status::Unfit)
        };
        self.rows.iter().map(of_row).max().unwrap_or(Status::Unfit)
    }

    fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for cell in self.rows.iter().flat_map(|row| &row.cells) {
            let word = match cell.status {
                Some(_) => cell.word,
                None => "impossible",
            };
            *counts.entry(word).or_default() += 1;
        }
        counts
    }

    fn json(&self) -> Value {
        let scenarios = self.rows.iter().map(|row| {
            let cells = self.columns.iter().zip(&row.cells);
            let cells: Vec<_> = cells.map(|(column, cell)| cell.json(column)).collect();
            json!({
                "scenario": row.path.display().to_string(),
                "name": row.name,
                "title": row.title,
                "runs": cells,
                "differences": Difference::of(row).json(&self.columns),
            })
        });
        json!({
            "status": self.status() as u8,
            "counts": self.counts(),
            "columns": self.columns.iter().map(Column::json).collect::<Vec<_>>(),
            "machines": self.machines.iter().map(Started::json).collect::<Vec<_>>(),
            "scenarios": scenarios.collect::<Vec<_>>(),
        })
    }
}
