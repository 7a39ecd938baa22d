//! The known word nearest to a misspelt one.

use strsim::damerau_levenshtein;

/// How many edits lead from a word to a known one (Damerau-Levenshtein), if at most so many do. Words whose
/// lengths differ by more are not compared: that takes time in proportion to both lengths, and whoever
/// wrote the store chose one of them.
pub fn edits(word: &str, known: &str, most: usize) -> Option<usize> {
    let length = known.chars().count();
    let compared = word.chars().take(length + most + 1).count();
    if compared.abs_diff(length) > most {
        return None;
    }
    Some(damerau_levenshtein(word, known)).filter(|edits| *edits <= most)
}

/// The known word that is nearest to `word`, if one is near. `node-3` is no slip for `node-1`:
/// words that differ in their digits only are meant to differ.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters = |word: &str| word.replace(|c: char| c.is_ascii_digit(), "");
    let meant = letters(word);
    known
        .into_iter()
        .filter(|candidate| letters(candidate) != meant)
        .filter_map(|candidate| {
            let most = (candidate.chars().count() / 3).max(1);
            Some((edits(word, candidate, most)?, candidate))
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// The known word that was meant by one that is none: written in another case, or near to it.
pub fn meant<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let mut same = known.clone().into_iter();
    let same = same.find(|candidate| candidate.eq_ignore_ascii_case(word));
    same.or_else(|| nearest(word, known))
}

/// Whether a name that no node has may be that node's: in another case, with a domain or without it, empty, or
/// by a slip. Names of nodes differ by a letter or by digits as a rule (`node-a`, `node-b`): a slip is a letter
/// that is missing or too many, or two that have changed places.
pub fn may_mean(written: &str, node: &str) -> bool {
    let is_without_domain = |one: &str, other: &str| {
        let rest = one.strip_prefix(other);
        rest.is_some_and(|rest| rest.starts_with('.'))
    };
    let letters = |word: &str| {
        let mut letters: Vec<_> = word.chars().collect();
        letters.sort_unstable();
        letters
    };
    let (a, b) = (letters(written), letters(node));
    let is_other_letter = a.len() == b.len() && a != b;
    let is_slip = !is_other_letter && edits(written, node, 1).is_some();
    written.is_empty()
        || written.eq_ignore_ascii_case(node)
        || is_without_domain(written, node)
        || is_without_domain(node, written)
        || is_slip && nearest(written, [node]).is_some()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "the time that it takes is tested"
    )]
    fn a_word_of_megabytes_is_not_compared() {
        let began = Instant::now();
        let known: Vec<_> = (b'a'..=b'z')
            .map(|c| char::from(c).to_string().repeat(24))
            .collect();
        let word = "w".repeat(4 << 20);
        assert_eq!(nearest(&word, known.iter().map(String::as_str)), None);
        // Comparing takes minutes.
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "{:?}",
            began.elapsed()
        );
        assert_eq!(edits("strict", "strcit", 1), Some(1));
        assert_eq!(edits("strict", "strcit", 0), None);
        assert_eq!(edits("", "ab", 2), Some(2));
    }

    #[test]
    fn a_slip_has_a_nearest_word_and_another_word_has_none() {
        let known = ["strict", "plain-nodes", "node-1"];
        assert_eq!(nearest("strcit", known), Some("strict"));
        assert_eq!(nearest("plain-node", known), Some("plain-nodes"));
        assert_eq!(nearest("nod-1", known), Some("node-1"));
        assert_eq!(nearest("node-2", known), None);
        assert_eq!(nearest("moon", known), None);
    }

    #[test]
    fn a_word_in_another_case_is_a_slip_however_long_it_is() {
        let known = ["strict", "ipNetworks"];
        assert_eq!(nearest("IPNETWORKS", known), None);
        assert_eq!(meant("IPNETWORKS", known), Some("ipNetworks"));
        assert_eq!(meant("ipNetwork", known), Some("ipNetworks"));
        assert_eq!(meant("ipNATs", known), None);
    }

    #[test]
    fn a_name_that_is_near_to_a_node_s_may_be_that_node_s_and_a_sibling_s_is_not() {
        for near in [
            "Ada",
            "ADA",
            "adaa",
            "aad",
            "ad",
            "",
            "ada.example.com",
            "ada",
        ] {
            assert!(may_mean(near, "ada"), "{near}");
        }
        assert!(may_mean("ada", "ada.example.com"));
        for (other, node) in [
            ("bob", "ada"),
            ("ade", "ada"),
            ("node-b", "node-a"),
            ("node-2", "node-1"),
            ("node-11", "node-1"),
            ("ada-1", "ada"),
            ("ada-1", "ada-2.example.com"),
        ] {
            assert!(!may_mean(other, node), "{other} {node}");
        }
    }
}
