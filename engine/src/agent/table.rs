//! The routing tables: a family goes without a tunnel while no table is free.

use wiremesh_plan::dataplane::desired::{is_active, wanted_routes};
use wiremesh_plan::dataplane::tables::{Choice, NoTable};
use wiremesh_plan::intent::cluster::Cluster;
use wiremesh_plan::intent::family::{Family, PerFamily};

use crate::host::kernel::KernelCache;

use super::Agent;

/// The tables that were chosen, or why there is none.
pub(crate) type Choices = PerFamily<Result<Choice, NoTable>>;

/// Chooses a table for each family.
pub(crate) fn choose(kernel: &KernelCache, cluster: &Cluster, node: &str) -> Choices {
    let settings = &cluster.settings;
    PerFamily::each(|family| {
        let tables = kernel.tables(family, settings);
        tables.choose(&settings.tables, || {
            wanted_routes(cluster, node, family, &kernel.here(settings))
        })
    })
}

/// The problems of the tables of the families in which the node encrypts.
pub(crate) fn problems(tables: &Choices, cluster: &Cluster, node: &str) -> Vec<String> {
    let active = tables
        .iter()
        .filter(|(family, _)| is_active(cluster, node, *family));
    let problems = active.filter_map(|(family, choice)| match choice {
        Err(none) => Some(format!("this node cannot encrypt {family}: {none}")),
        Ok(Choice { shared, .. }) if shared.is_empty() => None,
        Ok(Choice { table, shared }) => {
            let first = shared.first()?;
            let more = match shared.len() - 1 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            Some(format!(
                "{family}: the routing table {table} has routes of another program, to {first}{more}, which apply to \
                 traffic that is not encrypted too; add a free table to routeTableRanges"
            ))
        }
    });
    problems.collect()
}

impl Agent {
    /// Chooses the tables.
    pub(super) fn look_at_tables(&mut self) {
        let tables = choose(&self.kernel, &self.cluster, &self.config.node);
        for (family, now) in tables
            .iter()
            .filter(|(family, _)| self.is_encrypting(*family))
        {
            if let (Ok(before), Ok(now)) = (&self.tables[family], now)
                && before.table != now.table
            {
                let known = self.kernel.tables(family, &self.cluster.settings);
                let why = known.why_taken(before.table);
                tracing::info!(
                    "the {family} routes move from the routing table {} to {}: {}",
                    before.table,
                    now.table,
                    why.as_deref().unwrap_or("routeTableRanges has changed")
                );
            }
        }
        self.tables = tables;
    }

    /// The problems of this agent's tables.
    pub(super) fn table_problems(&self) -> Vec<String> {
        problems(&self.tables, &self.cluster, &self.config.node)
    }

    /// Whether this node has a table in that family.
    pub(super) fn has_table(&self, family: Family) -> bool {
        self.tables[family].is_ok()
    }
}
