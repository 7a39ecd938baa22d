//! The runs as a table, and the differences between them.

use std::fmt::Write;

use super::difference::Difference;
use super::{Column, Row, Sweep};
use crate::failure::Status;
use wireproof_model::count::counted;

/// Columns of the longest name of a scenario.
const MAX_NAME_COLUMNS: usize = 60;

impl Sweep {
    /// As text, for people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        self.write_failures(&mut text);
        self.write_table(&mut text);
        self.write_reasons(&mut text);
        for row in &self.rows {
            self.write_difference(&mut text, row);
        }
        let counts = self.counts().into_iter();
        let counts: Vec<_> = counts
            .map(|(word, count)| format!("{count} {word}"))
            .collect();
        let _ = writeln!(
            text,
            "\n{} in {}: {}",
            counted(self.rows.len(), "scenario"),
            counted(self.columns.len(), "combination"),
            counts.join(", ")
        );
        text
    }

    fn write_failures(&self, text: &mut String) {
        for row in &self.rows {
            for (column, cell) in self.columns.iter().zip(&row.cells) {
                if cell.status.is_some_and(|status| status != Status::Held) {
                    let (name, column) = (&row.name, describe(column));
                    let _ = writeln!(text, "{name}, {column}: {}\n{}", cell.word, cell.why);
                }
            }
        }
    }

    fn write_table(&self, text: &mut String) {
        let names = self.rows.iter().map(|row| row.name.chars().count());
        let first = names
            .chain([8])
            .max()
            .unwrap_or_default()
            .min(MAX_NAME_COLUMNS);
        let head = |of: fn(&Column) -> String| self.columns.iter().map(of).collect::<Vec<_>>();
        let heads = [
            head(|column| column.name().to_owned()),
            head(|column| column.lane.to_string()),
        ];
        let mut lines = vec![
            ("scenario".to_owned(), &heads[0]),
            (String::new(), &heads[1]),
        ];
        let words: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|row| row.cells.iter().map(|cell| shown(cell.word)).collect())
            .collect();
        let rows = self.rows.iter().zip(&words);
        lines.extend(rows.map(|(row, words)| (row.name.clone(), words)));
        let width = |number: usize| {
            let cells = lines.iter().map(|(_, cells)| cells[number].chars().count());
            cells.max().unwrap_or_default()
        };
        let widths: Vec<_> = (0..self.columns.len()).map(width).collect();
        for (name, cells) in &lines {
            let cells = cells.iter().zip(&widths);
            let cells: String = cells
                .map(|(cell, width)| format!("  {cell:<width$}"))
                .collect();
            let _ = writeln!(text, "{name:<first$}{}", cells.trim_end());
        }
    }

    /// Why combinations cannot be: of a whole column once, of single scenarios one by one.
    fn write_reasons(&self, text: &mut String) {
        let mut begun = false;
        let mut line = |text: &mut String, what: String, why: &str| {
            if !std::mem::replace(&mut begun, true) {
                text.push_str("\nwhat cannot be\n");
            }
            let _ = writeln!(text, "  {what}: {why}");
        };
        for (number, column) in self.columns.iter().enumerate() {
            if let Some(why) = &column.impossible {
                line(text, describe(column), why);
                continue;
            }
            for row in &self.rows {
                let cell = &row.cells[number];
                if cell.status.is_none() {
                    line(
                        text,
                        format!("{}, {}", row.name, describe(column)),
                        &cell.why,
                    );
                }
            }
        }
    }

    fn write_difference(&self, text: &mut String, row: &Row) {
        let difference = Difference::of(row);
        let Some(base) = difference.base else { return };
        let _ = writeln!(text, "\nhow the runs of {} differ", row.name);
        for (one, values) in &difference.observations {
            let measured = match one.measured {
                true => " (measured)",
                false => "",
            };
            let _ = writeln!(text, "  {}{measured}", one.what);
            let mut runs_by_value: Vec<(&str, Vec<String>)> = Vec::new();
            for (run, value) in values {
                let run = describe(&self.columns[*run]);
                match runs_by_value.iter_mut().find(|(known, _)| known == value) {
                    Some((_, runs)) => runs.push(run),
                    None => runs_by_value.push((value, vec![run])),
                }
            }
            for (value, runs) in runs_by_value {
                let _ = writeln!(text, "    {value:<14} {}", runs.join(", "));
            }
        }
        if difference.observations.is_empty() {
            text.push_str("  nothing that was observed\n");
        }
        let base = describe(&self.columns[base]);
        for (node, diff, runs) in &difference.dataplanes {
            let runs = runs.iter().map(|run| describe(&self.columns[*run]));
            let runs: Vec<_> = runs.collect();
            let _ = writeln!(
                text,
                "  dataplane of {node}, {base} and {}",
                runs.join(", ")
            );
            for line in diff.lines() {
                let _ = writeln!(text, "    {line}");
            }
        }
        if difference.dataplanes.is_empty() {
            text.push_str("  dataplanes: the same in all runs\n");
        }
    }
}

fn describe(column: &Column) -> String {
    format!("{} on {}", column.name(), column.lane)
}

fn shown(word: &str) -> String {
    match word {
        "broken" => "BROKEN".into(),
        "inconclusive" => "INCONCLUSIVE".into(),
        "failed" => "FAILED".into(),
        word => word.into(),
    }
}
