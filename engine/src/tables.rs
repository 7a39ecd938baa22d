//! Which routing table is this engine's.

use std::collections::BTreeSet;

use crate::dataplane::Rule;
use crate::settings::KERNEL_TABLES;

/// The table that this engine's rule looks up, if the ranges still allow it; else the first
/// of the ranges that holds no route of anybody else's and that no rule of anybody else's
/// looks up. Where there is none, the first of all: then two engines share a table, and
/// each leaves the other's rules alone. The kernel's own tables are never taken, not even where
/// a rule of this engine's leads to one: what is in them would be removed.
pub(crate) fn choose(
    ranges: &[(u32, u32)],
    rules: &BTreeSet<Rule>,
    used: impl Iterator<Item = u32>,
) -> u32 {
    let all = || {
        let tables = ranges.iter().flat_map(|(min, max)| *min..=*max);
        tables.filter(|table| !KERNEL_TABLES.contains(table))
    };
    let allowed = |table: u32| {
        let in_range = |(min, max): &(u32, u32)| (*min..=*max).contains(&table);
        ranges.iter().any(in_range) && !KERNEL_TABLES.contains(&table)
    };
    let own = rules.iter().filter(|rule| rule.own);
    if let Some(table) = own.map(|rule| rule.table).find(|table| allowed(*table)) {
        return table;
    }
    let looked_up = rules.iter().filter(|rule| !rule.own && !rule.foreign);
    // A rule without a mark is not an older engine's of our kind: that table is taken over.
    let looked_up = looked_up.filter(|rule| !rule.not);
    let taken: BTreeSet<_> = used.chain(looked_up.map(|rule| rule.table)).collect();
    all()
        .find(|table| !taken.contains(table))
        .or_else(|| all().next())
        .unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(rules: &[Rule], used: &[u32]) -> u32 {
        let rules = rules.iter().cloned().collect();
        choose(&[(1, 250), (300, 310)], &rules, used.iter().copied())
    }

    #[test]
    fn the_first_table_that_nobody_uses_is_taken() {
        assert_eq!(choice(&[], &[]), 1);
        assert_eq!(choice(&[], &[1, 2, 254]), 3);
        let foreign = Rule {
            own: false,
            not: false,
            ..Rule::for_mark(50, 7, 1)
        };
        assert_eq!(choice(&[foreign], &[2]), 3);
    }

    #[test]
    fn a_table_that_was_taken_is_kept_while_it_is_allowed() {
        assert_eq!(choice(&[Rule::for_mark(99, 7, 9)], &[9]), 9);
        assert_eq!(choice(&[Rule::for_mark(99, 7, 280)], &[]), 1);
    }

    #[test]
    fn another_engine_s_rule_of_our_kind_is_taken_over() {
        let felix = Rule {
            own: false,
            ..Rule::for_mark(99, 0x10_0000, 1)
        };
        assert_eq!(choice(&[felix], &[]), 1);
    }

    #[test]
    fn the_kernel_s_own_tables_are_never_taken() {
        let used: Vec<u32> = (1..=252).collect();
        let rules = BTreeSet::new();
        assert_eq!(choose(&[(1, 260)], &rules, used.into_iter()), 256);
    }

    #[test]
    fn no_range_and_no_rule_leads_to_a_table_of_the_kernel() {
        for table in KERNEL_TABLES {
            let rules = BTreeSet::from([Rule::for_mark(99, 7, table)]);
            for range in [(table, table), (253, 255)] {
                let chosen = choose(&[range], &rules, std::iter::empty());
                assert!(!KERNEL_TABLES.contains(&chosen), "{range:?}: {chosen}");
            }
        }
        let used: Vec<u32> = (256..=260).collect();
        let chosen = choose(&[(253, 260)], &BTreeSet::new(), used.into_iter());
        assert_eq!(
            chosen, 256,
            "where all are taken one is shared, of those that are allowed"
        );
    }
}
