//! The list of scenarios, each with its title and what it needs.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};
use wireproof_lab::host::memory::{Demand, Size};
use wireproof_model::count::counted;
use wireproof_model::plan::{Need, Plan};
use wireproof_model::text::line;

/// Columns of the longest name.
const MAX_NAME_COLUMNS: usize = 70;

/// One line for each scenario: its name, its fact, what not every machine has, and about how much memory.
pub fn text<'p>(scenarios: impl Iterator<Item = (&'p Path, &'p str, &'p Plan)> + Clone) -> String {
    let names = scenarios.clone().map(|(_, name, _)| name.chars().count());
    let width = names.max().unwrap_or_default().min(MAX_NAME_COLUMNS);
    let mut text = String::new();
    let mut count = 0_usize;
    for (_, name, plan) in scenarios {
        let name = line(name);
        let needs = plan.needs().into_iter().map(Need::as_str);
        let needs: Vec<_> = needs
            .map(str::to_owned)
            .chain([memory(plan).to_string()])
            .collect();
        let needs = format!(" [needs {}]", needs.join(", "));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<width$}  {}{needs}", plan.title);
        count += 1;
    }
    let _ = writeln!(text, "\n{}", counted(count, "scenario"));
    text
}

fn memory(plan: &Plan) -> Size {
    Size(Demand::of(plan).bytes())
}

/// The same as JSON, for programs.
pub fn json<'p>(scenarios: impl Iterator<Item = (&'p Path, &'p str, &'p Plan)>) -> Value {
    let one = |(path, name, plan): (&Path, &str, &Plan)| {
        json!({
            "scenario": path.display().to_string(),
            "name": name,
            "title": plan.title,
            "engine": plan.engine,
            "needs": plan.needs().into_iter().map(Need::as_str).collect::<Vec<_>>(),
            "memory_mib": memory(plan).mebibytes(),
            "broken_by": plan.broken_by,
        })
    };
    json!({ "scenarios": scenarios.map(one).collect::<Vec<_>>() })
}
