//! The differences between the runs of one scenario.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use similar::TextDiff;
use wireproof_model::name::NodeName;
use wireproof_model::run_traits::Observation;

use super::{Cell, Column, Row};

/// The differences between the runs of one scenario; runs by the numbers of their columns.
#[derive(Debug)]
pub(super) struct Difference<'r> {
    /// The run that dataplanes are compared with: the first that was tried. None if fewer than two were.
    pub(super) base: Option<usize>,
    /// What was not the same everywhere, with each run's value.
    pub(super) observations: Vec<(&'r Observation, BTreeMap<usize, &'r str>)>,
    /// How a node differs from that of the first run, and in which runs it differs so.
    pub(super) dataplanes: Vec<(&'r NodeName, String, Vec<usize>)>,
}

impl<'r> Difference<'r> {
    pub(super) fn of(row: &'r Row) -> Self {
        let tried = |cell: &Cell| !cell.observations.is_empty();
        let runs: Vec<_> = (0..row.cells.len())
            .filter(|number| tried(&row.cells[*number]))
            .collect();
        let (Some(base), true) = (runs.first().copied(), runs.len() > 1) else {
            return Self {
                base: None,
                observations: Vec::new(),
                dataplanes: Vec::new(),
            };
        };
        let observations = row.cells[base].observations.iter().enumerate();
        let observations = observations.filter_map(|(place, first)| {
            let value = |run: &usize| {
                let one = row.cells[*run].observations.get(place)?;
                Some((*run, one.value.as_str()))
            };
            let values: BTreeMap<_, _> = runs.iter().filter_map(value).collect();
            let differs = values.values().any(|value| *value != first.value);
            differs.then_some((first, values))
        });
        let mut dataplanes: Vec<(&NodeName, String, Vec<usize>)> = Vec::new();
        for (node, usual) in &row.cells[base].dataplanes {
            for run in runs.iter().filter(|run| **run != base) {
                let text = row.cells[*run].dataplanes.get(node);
                let text = text.map_or("", String::as_str);
                if text == usual {
                    continue;
                }
                let diff = TextDiff::from_lines(usual.as_str(), text);
                let diff = diff.unified_diff().context_radius(1).to_string();
                let mut known = dataplanes.iter_mut();
                match known.find(|(of, other, _)| *of == node && *other == diff) {
                    Some((.., runs)) => runs.push(*run),
                    None => dataplanes.push((node, diff, vec![*run])),
                }
            }
        }
        Self {
            base: Some(base),
            observations: observations.collect(),
            dataplanes,
        }
    }

    pub(super) fn json(&self, columns: &[Column]) -> Value {
        let name = |run: &usize| {
            let column = &columns[*run];
            json!({ "wireguard": column.wireguard, "lane": column.lane.to_string() })
        };
        let observations = self.observations.iter().map(|(one, values)| {
            let values = values.iter().map(|(run, value)| {
                let mut entry = name(run);
                entry["value"] = json!(value);
                entry
            });
            json!({
                "what": one.what,
                "measured": one.measured,
                "values": values.collect::<Vec<_>>(),
            })
        });
        let dataplanes = self.dataplanes.iter().map(|(node, diff, runs)| {
            json!({ "node": node, "diff": diff, "in": runs.iter().map(name).collect::<Vec<_>>() })
        });
        json!({
            "base": self.base.as_ref().map(name),
            "observations": observations.collect::<Vec<_>>(),
            "dataplanes": dataplanes.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(bit: &str, plane: &str) -> Cell {
        let observation = |what, value: &str| Observation {
            what,
            value: value.into(),
            measured: false,
        };
        Cell {
            word: "held",
            observations: vec![observation("DF bit", bit), observation("padding", "none")],
            dataplanes: [("ada".parse().unwrap(), plane.to_owned())].into(),
            ..Cell::none(String::new())
        }
    }

    fn row(cells: Vec<Cell>) -> Row {
        Row {
            name: "a".into(),
            title: "b".into(),
            path: "c".into(),
            cells,
        }
    }

    #[test]
    fn a_difference_lists_only_what_differs_and_each_text_once() {
        let none = Cell::none("it cannot be".into());
        let row = row(vec![
            none,
            ran("set", "one\ntwo\n"),
            ran("set", "one\nthree\n"),
            ran("not set", "one\nthree\n"),
        ]);
        let difference = Difference::of(&row);
        assert_eq!(difference.base, Some(1));
        let observed: Vec<_> = difference
            .observations
            .iter()
            .map(|(one, _)| one.what)
            .collect();
        assert_eq!(observed, ["DF bit"]);
        assert_eq!(difference.observations[0].1[&3], "not set");
        assert_eq!(difference.dataplanes.len(), 1);
        let (node, diff, runs) = &difference.dataplanes[0];
        assert_eq!((node.as_str(), runs.as_slice()), ("ada", &[2, 3][..]));
        assert!(diff.contains("-two\n+three\n"), "{diff}");
    }

    #[test]
    fn one_run_differs_from_nothing() {
        let row = row(vec![ran("set", "one\n"), Cell::none("it cannot be".into())]);
        assert_eq!(Difference::of(&row).base, None);
    }
}
