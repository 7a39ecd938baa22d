//! Which routing table is this engine's.

use std::collections::BTreeSet;

use crate::dataplane::Rule;

/// The kernel's own: default, main and local (kernel: `uapi/linux/rtnetlink.h`).
const RESERVED: std::ops::RangeInclusive<u32> = 253..=255;

/// The table that this engine's rule looks up, if the ranges still allow it; else the first
/// of the ranges that holds no route of anybody else's and that no rule of anybody else's
/// looks up. Where there is none, the first of all: then two engines share a table, and
/// each leaves the other's rules alone.
pub(crate) fn choose(
    ranges: &[(u32, u32)],
    rules: &BTreeSet<Rule>,
    used: impl Iterator<Item = u32>,
) -> u32 {
    let allowed = |table: u32| {
        ranges
            .iter()
            .any(|(min, max)| (*min..=*max).contains(&table))
    };
    let own = rules.iter().filter(|rule| rule.own);
    if let Some(table) = own.map(|rule| rule.table).find(|table| allowed(*table)) {
        return table;
    }
    let looked_up = rules.iter().filter(|rule| !rule.own && !rule.foreign);
    // A rule without a mark is not an older engine's of our kind: that table is taken over.
    let looked_up = looked_up.filter(|rule| !rule.not);
    let taken: BTreeSet<_> = used.chain(looked_up.map(|rule| rule.table)).collect();
    let mut all = ranges.iter().flat_map(|(min, max)| *min..=*max);
    all.find(|table| !RESERVED.contains(table) && !taken.contains(table))
        .or_else(|| ranges.first().map(|(min, _)| *min))
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
}
